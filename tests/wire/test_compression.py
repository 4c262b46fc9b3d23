"""OP_COMPRESSED: exact sizes, bounded inflation, only what was negotiated."""

from __future__ import annotations

import struct

import bson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_wire.compression import COMPRESSORS, compress, decompress, negotiate
from psdb_wire.frames import OP_COMPRESSED, OP_MSG, build_op_msg, parse

BODY = bson.encode({"insert": "c", "text": "hello " * 100, "$db": "d"})
MESSAGE = build_op_msg(11, 12, BODY, sequences=[("documents", [BODY] * 3)])
NAMES = sorted(COMPRESSORS)


def wrap(data: bytes, size: int, number: int, original: int = OP_MSG) -> bytes:
    head = struct.pack("<iiiiiiB", 25 + len(data), 11, 12, OP_COMPRESSED, original, size, number)
    return head + data


def deflated(name: str, data: bytes) -> bytes:
    return COMPRESSORS[name].deflate(data)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name):
    packed = compress(MESSAGE, name)
    assert name == "noop" or len(packed) < len(MESSAGE)
    assert decompress(packed, [name]) == (MESSAGE, name)
    assert parse(decompress(packed, [name])[0]).body == BODY


@given(st.binary(max_size=300), st.sampled_from(NAMES))
def test_round_trip_of_any_bytes(inner, name):
    raw = struct.pack("<iiii", 16 + len(inner), 1, 2, OP_MSG) + inner
    assert decompress(compress(raw, name), NAMES)[0] == raw


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("difference", [-100, -1, 1, 100])
def test_the_declared_size_must_be_exact(name, difference):
    inner = MESSAGE[16:]
    data = deflated(name, inner)
    raw = wrap(data, len(inner) + difference, COMPRESSORS[name].number)
    with pytest.raises(MongoError) as caught:
        decompress(raw, NAMES)
    assert caught.value.code == 17


def test_zstd_frames_that_do_not_tell_their_size():
    inner = MESSAGE[16:]
    data = zstandard.ZstdCompressor(write_content_size=False).compress(inner)
    assert decompress(wrap(data, len(inner), 3), NAMES)[0] == MESSAGE
    for size in (len(inner) - 1, len(inner) + 1):
        with pytest.raises(MongoError):
            decompress(wrap(data, size, 3), NAMES)


@pytest.mark.parametrize("name", ["snappy", "zlib", "zstd"])
def test_a_bomb_is_refused_for_its_declared_size_or_its_real_one(name):
    bomb = deflated(name, bytes(20_000_000))
    number = COMPRESSORS[name].number
    for size in (100, 19_999_999):
        with pytest.raises(MongoError):
            decompress(wrap(bomb, size, number), NAMES)
    with pytest.raises(MongoError, match="out of range"):
        decompress(wrap(bomb, 20_000_000, number), NAMES, limit=1_000_000)


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_a_bomb_is_not_inflated_beyond_what_its_message_declares(name):
    import tracemalloc

    bomb = deflated(name, bytes(20_000_000))
    raw = wrap(bomb, 1000, COMPRESSORS[name].number)
    tracemalloc.start()
    with pytest.raises(MongoError):
        decompress(raw, NAMES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("size", [-1, -(2**31), 48_000_000 - 15, 2**31 - 1])
def test_sizes_out_of_range(size):
    with pytest.raises(MongoError, match="out of range"):
        decompress(wrap(deflated("zlib", b"x"), size, 2), NAMES)


@pytest.mark.parametrize("name", ["snappy", "zlib", "zstd"])
def test_garbage_after_and_cuts_within_the_data(name):
    inner = MESSAGE[16:]
    data = deflated(name, inner)
    number = COMPRESSORS[name].number
    for broken in (data + b"x", data + data, data[:-1], data[: len(data) // 2], b""):
        with pytest.raises(MongoError):
            decompress(wrap(broken, len(inner), number), NAMES)


def test_nested_compression_is_refused():
    inner = compress(MESSAGE, "zlib")[16:]
    raw = wrap(deflated("snappy", inner), len(inner), 1, original=OP_COMPRESSED)
    with pytest.raises(MongoError, match="within a compressed"):
        decompress(raw, NAMES)


@pytest.mark.parametrize("number", [0, 2, 3, 4, 255])
def test_only_negotiated_compressors(number):
    with pytest.raises(MongoError, match="not negotiated"):
        decompress(wrap(b"", 0, number), ["snappy"])


@pytest.mark.parametrize("size", range(25))
def test_cut_headers(size):
    raw = compress(MESSAGE, "snappy")[:size]
    with pytest.raises(MongoError):
        decompress(raw, NAMES)


@settings(max_examples=300)
@given(st.data())
def test_any_change_gives_a_message_or_an_error(data):
    raw = bytearray(compress(MESSAGE, data.draw(st.sampled_from(["snappy", "zlib", "zstd"]))))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(20, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        inner, _ = decompress(bytes(raw), NAMES)
    except MongoError:
        return
    assert len(inner) == struct.unpack_from("<i", inner)[0]


@pytest.mark.parametrize(
    ("client", "enabled", "chosen"),
    [
        ([], ["snappy"], []),
        (["zstd", "snappy"], ["snappy", "zstd", "zlib"], ["zstd", "snappy"]),
        (["lz4", "zlib"], ["snappy", "zlib"], ["zlib"]),
        (["zlib", "zlib"], ["zlib"], ["zlib"]),
        ([1, None, "zlib"], ["zlib"], ["zlib"]),
        (["noop"], ["snappy"], []),
        (["lz4"], ["lz4"], []),
    ],
)
def test_negotiate(client, enabled, chosen):
    assert negotiate(client, enabled) == chosen
