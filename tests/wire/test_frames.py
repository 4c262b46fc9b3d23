"""Frames: any split of the stream gives the same messages; malformed ones are refused."""

from __future__ import annotations

import contextlib
import itertools
import struct

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_wire.frames import (
    CHECKSUM_PRESENT,
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    FrameReader,
    append_fields,
    build_op_msg,
    build_op_query,
    build_op_reply,
    parse,
    replace_ids,
)

BODY = bson.encode({"ping": 1, "$db": "admin"})
DOCUMENTS = [bson.encode({"_id": i, "text": "x" * i}) for i in range(4)]
EXTRA = bson.encode({"shardVersion": 7, "text": "é"})[4:-1]


def with_sections(*sections: bytes, flags: int = 0) -> bytes:
    inner = struct.pack("<I", flags) + b"".join(sections)
    return struct.pack("<iiii", 16 + len(inner), 3, 4, OP_MSG) + inner


def body_section(body: bytes = BODY) -> bytes:
    return b"\0" + body


def sequence_section(name: bytes, *documents: bytes, size: int | None = None) -> bytes:
    inner = name + b"\0" + b"".join(documents)
    return b"\x01" + struct.pack("<i", 4 + len(inner) if size is None else size) + inner


SAMPLES = {
    "body": build_op_msg(1, 2, BODY),
    "checksum": build_op_msg(1, 2, BODY, flags=CHECKSUM_PRESENT),
    "exhaust": build_op_msg(1, 2, BODY, flags=EXHAUST_ALLOWED),
    "more to come": build_op_msg(1, 2, BODY, flags=MORE_TO_COME),
    "query": build_op_query(5, "admin.$cmd", BODY),
    "reply": build_op_reply(6, 5, BODY),
    "sequence": build_op_msg(1, 2, BODY, sequences=[("documents", DOCUMENTS)]),
    "sequence and checksum": build_op_msg(
        1, 2, BODY, sequences=[("documents", DOCUMENTS)], flags=CHECKSUM_PRESENT
    ),
    "sequence before body": with_sections(
        sequence_section(b"documents", *DOCUMENTS), body_section()
    ),
    "sequence without documents": build_op_msg(1, 2, BODY, sequences=[("documents", [])]),
    "two sequences": build_op_msg(
        1, 2, BODY, sequences=[("ops", DOCUMENTS), ("nsInfo", DOCUMENTS[:1])]
    ),
}


# -- the reader ---------------------------------------------------------------------------------


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(marks)]


def outcome(pieces: list[bytes], limit: int) -> tuple[list[bytes], str]:
    """All messages a reader gives, then the text of its error, if any."""
    reader = FrameReader(limit)
    messages: list[bytes] = []
    try:
        for piece in pieces:
            messages += reader.feed(piece)
        reader.feed(b"")
    except MongoError as error:
        return messages, str(error)
    return messages, ""


@given(
    st.lists(st.sampled_from(sorted(SAMPLES)), max_size=8),
    st.binary(max_size=40),
    st.lists(st.integers(0, 5000), max_size=30),
    st.sampled_from([100, 200, 48_000_000]),
)
def test_any_split_of_the_stream_gives_the_same(names, tail, cuts, limit):
    stream = b"".join(SAMPLES[name] for name in names) + tail
    whole = outcome([stream], limit)
    assert not whole[1] or whole[1].startswith("ProtocolError (17): recv(): message msgLen")
    assert outcome(split(stream, cuts), limit) == whole
    assert outcome([stream[i : i + 1] for i in range(len(stream))], limit) == whole
    if limit > 5000:
        assert whole[0][: len(names)] == [SAMPLES[name] for name in names]


def test_one_whole_message_is_passed_on_without_a_copy():
    message = SAMPLES["sequence"]
    assert FrameReader().feed(message)[0] is message


@pytest.mark.parametrize("piece_bytes", [100, 5000, 65_536])
def test_a_large_message_in_pieces(piece_bytes):
    message = build_op_msg(1, 0, bson.encode({"x": bytes(700_000)}))
    stream = message + SAMPLES["body"]
    reader = FrameReader()
    got = [
        complete
        for start in range(0, len(stream), piece_bytes)
        for complete in reader.feed(stream[start : start + piece_bytes])
    ]
    assert got == [message, SAMPLES["body"]]
    assert all(type(complete) is bytes for complete in got)


def test_small_pieces_share_one_buffer():
    reader = FrameReader()
    reader.feed(struct.pack("<iiii", 1_000_000, 1, 0, OP_MSG))
    for _ in range(10_000):
        reader.feed(b"abc")
    assert len(reader._chunks) <= 2


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 15, 1001, 2**31 - 1])
def test_a_bad_length_is_refused_before_anything_is_buffered(length):
    reader = FrameReader(1000)
    head = struct.pack("<iiii", length, 9, 0, OP_MSG)
    with pytest.raises(MongoError, match=f"msgLen {length} is invalid") as caught:
        reader.feed(head)
    assert caught.value.code == 17
    assert reader.bad_header == head
    with pytest.raises(MongoError):
        reader.feed(SAMPLES["body"])


def test_messages_before_a_bad_one_are_given_first():
    reader = FrameReader(1000)
    good = SAMPLES["body"]
    assert reader.feed(good + struct.pack("<iiii", 3, 9, 0, OP_MSG)) == [good]
    assert reader.error is not None
    with pytest.raises(MongoError):
        reader.feed(b"")


def test_the_limit_is_inclusive():
    message = SAMPLES["body"]
    assert FrameReader(len(message)).feed(message) == [message]
    with pytest.raises(MongoError):
        FrameReader(len(message) - 1).feed(message)


# -- parsing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "flags", "sequences"),
    [
        ("body", 0, []),
        ("checksum", CHECKSUM_PRESENT, []),
        ("exhaust", EXHAUST_ALLOWED, []),
        ("more to come", MORE_TO_COME, []),
        ("sequence", 0, [("documents", DOCUMENTS)]),
        ("sequence and checksum", CHECKSUM_PRESENT, [("documents", DOCUMENTS)]),
        ("sequence without documents", 0, [("documents", [])]),
        ("two sequences", 0, [("ops", DOCUMENTS), ("nsInfo", DOCUMENTS[:1])]),
    ],
)
def test_op_msg(name, flags, sequences):
    message = parse(SAMPLES[name])
    assert (message.request_id, message.response_to, message.opcode) == (1, 2, OP_MSG)
    assert message.body == BODY
    assert message.flags == flags
    assert message.sequences == sequences
    assert message.raw is SAMPLES[name]


def test_the_body_may_stand_after_a_sequence():
    message = parse(SAMPLES["sequence before body"])
    assert message.body == BODY
    assert message.sequences == [("documents", DOCUMENTS)]


def test_op_query_and_op_reply():
    query = parse(SAMPLES["query"])
    assert (query.request_id, query.opcode, query.body) == (5, OP_QUERY, BODY)
    assert (query.collection, query.number_to_return) == ("admin.$cmd", -1)
    reply = parse(SAMPLES["reply"])
    assert (reply.request_id, reply.response_to, reply.opcode) == (6, 5, OP_REPLY)
    assert (reply.body, reply.flags) == (BODY, 8)


def test_op_query_with_a_field_selector():
    raw = SAMPLES["query"] + BODY
    raw = struct.pack("<i", len(raw)) + raw[4:]
    assert parse(raw).body == BODY


MALFORMED = {
    "a document beyond its section": (22, with_sections(b"\0" + b"\xff\0\0\0" + b"\0" * 10)),
    "a document of size 4": (22, with_sections(b"\0" + b"\x04\0\0\0" + b"\0" * 10)),
    "a negative document size": (22, with_sections(b"\0" + b"\xff\xff\xff\xff" + b"\0" * 10)),
    "bytes after the body": (40432, with_sections(body_section(), b"\x07")),
    "checksum of other bytes": (
        288,
        with_sections(body_section(), b"\x01\x02\x03\x04", flags=CHECKSUM_PRESENT),
    ),
    "declared length differs": (17, SAMPLES["body"] + b"\0"),
    "identifier not UTF-8": (22, with_sections(body_section(), sequence_section(b"\xff"))),
    "no body": (40587, with_sections(sequence_section(b"documents", *DOCUMENTS))),
    "op_query cut": (17, struct.pack("<iiii", 30, 1, 0, OP_QUERY) + b"\0" * 14),
    "op_reply of two": (17, SAMPLES["reply"][:32] + b"\x02\0\0\0" + SAMPLES["reply"][36:]),
    "retired opcode": (5745702, struct.pack("<iiii", 30, 1, 0, 2002) + b"\0" * 14),
    "sequence ends inside a document": (
        22,
        with_sections(body_section(), sequence_section(b"d", DOCUMENTS[2][:-1])),
    ),
    "sequence larger than the message": (
        17,
        with_sections(body_section(), sequence_section(b"d", size=4000)),
    ),
    "sequence size negative": (17, with_sections(body_section(), sequence_section(b"d", size=-1))),
    "sequence size too small": (17, with_sections(body_section(), sequence_section(b"d", size=4))),
    "sequence twice": (
        40431,
        with_sections(body_section(), sequence_section(b"d"), sequence_section(b"d")),
    ),
    "sequence without identifier": (17, with_sections(body_section(), b"\x01\x06\0\0\0ab")),
    "two bodies": (40430, with_sections(body_section(), body_section())),
    "unknown opcode": (17, struct.pack("<iiii", 30, 1, 0, 77) + b"\0" * 14),
    "unknown required flag": (223, with_sections(body_section(), flags=4)),
    "unknown required flag 15": (223, with_sections(body_section(), flags=1 << 15)),
    "unknown section kind": (40432, with_sections(b"\x02" + BODY)),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_malformed_messages(name):
    code, raw = MALFORMED[name]
    with pytest.raises(MongoError) as caught:
        parse(raw)
    assert caught.value.code == code


def test_unknown_optional_flags_are_ignored():
    assert parse(with_sections(body_section(), flags=1 << 20)).body == BODY


CUTS_BETWEEN_SECTIONS = {"sequence": 1, "sequence without documents": 1, "two sequences": 2}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_truncation_is_refused(name):
    raw = SAMPLES[name]
    accepted = 0
    for size in range(16, len(raw)):
        cut = struct.pack("<i", size) + raw[4:size]
        try:
            message = parse(cut)
        except MongoError:
            continue
        # A cut between two sections leaves a shorter message that is right as it stands.
        accepted += 1
        assert build_op_msg(1, 2, message.body, sequences=message.sequences) == cut
    assert accepted == CUTS_BETWEEN_SECTIONS.get(name, 0)


@pytest.mark.parametrize("name", ["checksum", "sequence and checksum"])
def test_every_changed_bit_fails_the_checksum_or_the_structure(name):
    raw = SAMPLES[name]
    for position in range(4, len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 0x10
        if position in range(12, 20):
            continue  # opcode and flags: then it is no checked OP_MSG
        with pytest.raises(MongoError):
            parse(bytes(changed))


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_are_a_message_or_an_error(data):
    raw = bytearray(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    raw += data.draw(st.binary(max_size=6))
    if data.draw(st.booleans()):
        raw[:4] = struct.pack("<i", len(raw))
    try:
        message = parse(bytes(raw))
    except MongoError:
        return
    assert len(message.body) == struct.unpack_from("<i", message.body)[0]
    for _, documents in message.sequences:
        assert all(len(document) >= 5 for document in documents)


@given(st.binary(max_size=120))
def test_random_bytes_are_a_message_or_an_error(raw):
    for call in (parse, lambda raw: append_fields(raw, EXTRA), lambda raw: replace_ids(raw, 1, 2)):
        with contextlib.suppress(MongoError):
            call(raw)


# -- building and changing ----------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.dictionaries(NAMES, st.lists(st.sampled_from(DOCUMENTS), max_size=3), max_size=3),
    st.sampled_from([0, CHECKSUM_PRESENT, MORE_TO_COME, EXHAUST_ALLOWED, 3]),
)
def test_what_is_built_is_what_is_parsed(request_id, response_to, sequences, flags):
    raw = build_op_msg(
        request_id, response_to, BODY, sequences=list(sequences.items()), flags=flags
    )
    message = parse(raw)
    assert (message.request_id, message.response_to) == (request_id, response_to)
    assert (message.flags, message.body) == (flags, BODY)
    assert message.sequences == list(sequences.items())


@pytest.mark.parametrize("name", sorted(name for name in SAMPLES if name not in {"query", "reply"}))
def test_fields_are_appended_to_the_body(name):
    before = parse(SAMPLES[name])
    after = parse(append_fields(SAMPLES[name], EXTRA))
    added = {**bson.decode(before.body), "shardVersion": 7, "text": "é"}
    assert bson.decode(after.body) == added
    assert after.sequences == before.sequences
    assert after.flags == before.flags & ~CHECKSUM_PRESENT
    assert (after.request_id, after.response_to) == (before.request_id, before.response_to)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_ids_are_replaced(name):
    before = parse(SAMPLES[name])
    after = parse(replace_ids(SAMPLES[name], -5, 77))
    assert (after.request_id, after.response_to) == (-5, 77)
    assert (after.body, after.sequences) == (before.body, before.sequences)


@pytest.mark.parametrize("name", ["query", "reply"])
def test_fields_are_appended_to_op_msg_only(name):
    with pytest.raises(MongoError, match="not a whole OP_MSG"):
        append_fields(SAMPLES[name], EXTRA)
