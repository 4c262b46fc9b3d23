"""OP_COMPRESSED: one message wrapped in another, by a compressor both sides know.

Inflation is bounded by the size the sender declared, the declared size by the message limit,
and the result must have exactly that size: neither a bomb nor a short result gets through.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from psdb_base.codes import Code
from psdb_base.errors import MongoError
from psdb_base.limits import MESSAGE_BYTES_MAX
from psdb_wire.frames import HEADER_BYTES, OP_COMPRESSED

_HEAD = struct.Struct("<iiiiiiB")
_HEADER = struct.Struct("<iiii")
_ZSTD_WINDOW_BYTES_MAX: Final = 1 << 26
_ZLIB_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 6


def _bad(message: str) -> MongoError:
    return MongoError(Code.PROTOCOL_ERROR, message)


def _inflate_noop(data: bytes, size: int) -> bytes:  # noqa: ARG001 -- one signature for all
    return data


def _inflate_snappy(data: bytes, size: int) -> bytes:
    import cramjam

    try:
        if cramjam.snappy.decompress_raw_len(data) != size:
            raise _bad("snappy data declares another size than its message")
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise _bad("malformed snappy data in a compressed message") from error


def _inflate_zlib(data: bytes, size: int) -> bytes:
    import zlib

    inflater = zlib.decompressobj()
    try:
        # One byte more than declared is room enough to see that there is more.
        result = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise _bad("malformed zlib data in a compressed message") from error
    if not inflater.eof or inflater.unused_data:
        raise _bad("zlib data does not end where its message does")
    return result


def _inflate_zstd(data: bytes, size: int) -> bytes:
    import zstandard

    try:
        # The one-shot call trusts the frame's own size, so that is checked before.
        if zstandard.frame_content_size(data) not in {-1, size}:
            raise _bad("zstd data declares another size than its message")
        inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
        return inflater.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _bad("malformed zstd data in a compressed message") from error


def _deflate_noop(data: bytes) -> bytes:
    return data


def _deflate_snappy(data: bytes) -> bytes:
    import cramjam

    return bytes(cramjam.snappy.compress_raw(data))


def _deflate_zlib(data: bytes) -> bytes:
    import zlib

    return zlib.compress(data, _ZLIB_LEVEL)


def _deflate_zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)


@dataclass(frozen=True, slots=True)
class Compressor:
    """One compressor: its number on the wire, `inflate(data, size)`, `deflate(data)`."""

    number: int
    inflate: Callable[[bytes, int], bytes]
    deflate: Callable[[bytes], bytes]


COMPRESSORS: Final = {
    "noop": Compressor(0, _inflate_noop, _deflate_noop),
    "snappy": Compressor(1, _inflate_snappy, _deflate_snappy),
    "zlib": Compressor(2, _inflate_zlib, _deflate_zlib),
    "zstd": Compressor(3, _inflate_zstd, _deflate_zstd),
}
_NAMES: Final = {compressor.number: name for name, compressor in COMPRESSORS.items()}

DEFAULT_ENABLED: Final = ("snappy", "zstd", "zlib")
"""What a server offers unless told otherwise (`--networkMessageCompressors`)."""


NEVER_COMPRESSED: Final = frozenset(
    {
        b"authenticate",
        b"copydb",
        b"copydbgetnonce",
        b"copydbsaslstart",
        b"createuser",
        b"getnonce",
        b"hello",
        b"ismaster",
        b"saslcontinue",
        b"saslstart",
        b"updateuser",
    }
)
"""Commands, in lower case, whose messages the specification forbids to compress: what is
negotiated or secret must not depend on, or leak through, a compressor."""


def check_compressible(body: bytes) -> None:
    """Raise ProtocolError where the command of a compressed message must come uncompressed."""
    end = body.find(b"\0", 5)
    name = body[5:end].lower() if end > 0 else b""
    if name in NEVER_COMPRESSED:
        raise _bad(f"the command {name.decode()} must not be compressed")


def negotiate(client_list: Iterable[Any], enabled: Collection[str]) -> list[str]:
    """Return the compressors both sides have, in the client's order of preference."""
    chosen: list[str] = []
    for name in client_list:
        if type(name) is str and name in enabled and name in COMPRESSORS and name not in chosen:
            chosen.append(name)
    return chosen


def decompress(
    raw: bytes, allowed: Collection[str], limit: int = MESSAGE_BYTES_MAX
) -> tuple[bytes, str]:
    """Unwrap an OP_COMPRESSED message; return the message inside and the compressor's name.

    `allowed` are the compressors negotiated on the connection, `limit` the largest message.
    Raises ProtocolError on every other message than a well-formed, honest one.
    """
    if len(raw) < _HEAD.size:
        raise _bad("compressed message is cut short")
    length, request_id, response_to, opcode, original, size, number = _HEAD.unpack_from(raw)
    if length != len(raw) or opcode != OP_COMPRESSED:
        raise _bad("not a whole compressed message")
    name = _NAMES.get(number)
    if name is None or name not in allowed:
        raise _bad(f"compressor {number} was not negotiated on this connection")
    if original == OP_COMPRESSED:
        raise _bad("compressed message within a compressed message")
    if size < 0 or size > limit - HEADER_BYTES:
        raise _bad(f"uncompressed size {size} of a compressed message is out of range")
    inner = COMPRESSORS[name].inflate(raw[_HEAD.size :], size)
    if len(inner) != size:
        raise _bad("compressed message has another size than it declares")
    return _HEADER.pack(HEADER_BYTES + size, request_id, response_to, original) + inner, name


def compress(raw: bytes, name: str) -> bytes:
    """Wrap a whole message into an OP_COMPRESSED message by the compressor of that name."""
    compressor = COMPRESSORS[name]
    _, request_id, response_to, opcode = _HEADER.unpack_from(raw)
    inner = raw[HEADER_BYTES:]
    packed = compressor.deflate(inner)
    length = _HEAD.size + len(packed)
    head = _HEAD.pack(
        length, request_id, response_to, OP_COMPRESSED, opcode, len(inner), compressor.number
    )
    return head + packed
