"""MongoDB's wire messages as bytes in, bytes out; no I/O and no decoding of documents.

`FrameReader` cuts a byte stream into messages, `parse` takes one apart, the `build_*` functions
make them, and `append_fields` and `replace_ids` change one without decoding it. Every malformed
input raises `MongoError`; nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psdb_base.codes import Code
from psdb_base.errors import MongoError
from psdb_base.limits import MESSAGE_BYTES_MAX

OP_REPLY: Final = 1
OP_QUERY: Final = 2004
OP_COMPRESSED: Final = 2012
OP_MSG: Final = 2013

CHECKSUM_PRESENT: Final = 1
MORE_TO_COME: Final = 1 << 1
EXHAUST_ALLOWED: Final = 1 << 16
_FLAGS_UNKNOWN_REQUIRED: Final = 0xFFFF & ~(CHECKSUM_PRESENT | MORE_TO_COME)

REPLY_AWAIT_CAPABLE: Final = 8
REPLY_QUERY_FAILURE: Final = 2

HEADER_BYTES: Final = 16
_SECTIONS_START: Final = 20
_BODY_START: Final = 21
_OP_MSG_BYTES_MIN: Final = _BODY_START + 5
_DOCUMENT_BYTES_MIN: Final = 5
_TAIL_CHUNK_BYTES: Final = 4096

_HEADER = struct.Struct("<iiii")
_IDS = struct.Struct("<ii")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_OP_MSG_OPENING = struct.Struct("<iiiiIBi")
_OP_MSG_BODY_HEAD = struct.Struct("<iiiiIB")
_OP_REPLY_HEAD = struct.Struct("<iiiiiqii")
_header_of = _HEADER.unpack_from
_opening_of = _OP_MSG_OPENING.unpack_from
_int32_at = _INT32.unpack_from
_pack_body_head = _OP_MSG_BODY_HEAD.pack

_RETIRED_OPCODES: Final = {
    2001: "OP_UPDATE",
    2002: "OP_INSERT",
    2005: "OP_GET_MORE",
    2006: "OP_DELETE",
    2007: "OP_KILL_CURSORS",
}


@dataclass(slots=True)
class Message:
    """One message, taken apart but not decoded.

    `body` is the kind-0 document (of OP_QUERY: the query; of OP_REPLY: the first document),
    `sequences` the kind-1 sections as (identifier, documents). `raw` is the whole message,
    uncompressed; `compressor` names what it came compressed with. `collection` and
    `number_to_return` are OP_QUERY's.
    """

    raw: bytes
    request_id: int
    response_to: int
    opcode: int
    flags: int
    body: bytes
    sequences: list[tuple[str, list[bytes]]] = field(default_factory=list)
    compressor: str | None = None
    collection: str = ""
    number_to_return: int = 0
    decoded: dict[str, Any] | None = None
    """The decoded body, once somebody on the message's way through this process had to know it."""
    routed: Any = None
    """What a router in this process relies on; over a socket it stands in the body."""


def _protocol_error(message: str) -> MongoError:
    return MongoError(Code.PROTOCOL_ERROR, message)


class FrameReader:
    """Cuts what arrives into whole messages; at most one unfinished message is held.

    `limit` is the largest message taken, in bytes, and may be changed at any time.
    """

    __slots__ = ("_chunks", "_error", "_missing", "bad_header", "limit")

    def __init__(self, limit: int = MESSAGE_BYTES_MAX) -> None:
        self.limit = limit
        self.bad_header = b""
        """The first bytes of the message that was refused, for the reply that says so."""
        self._chunks: list[bytes | bytearray] = []
        self._missing = 0  # bytes still to come; 0 while the length is not known either
        self._error: MongoError | None = None

    @property
    def error(self) -> MongoError | None:
        """The error the next `feed` raises: set where good messages came before a bad one."""
        return self._error

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the messages that are now complete.

        Raises ProtocolError where a message length is below 16 or above the limit. Messages
        before the bad one are returned first, and the error is raised by the next call.
        """
        if not self._chunks and self._error is None:
            size = len(data)
            if size >= HEADER_BYTES:
                length: int = _int32_at(data)[0]
                if length == size and size <= self.limit:
                    return [data]
        return self._feed_slowly(data)

    def _feed_slowly(self, data: bytes) -> list[bytes]:
        if self._error is not None:
            raise self._error
        messages: list[bytes] = []
        position = 0
        if self._chunks:
            position = self._complete(data, messages)
        try:
            self._cut(data, position, messages)
        except MongoError as error:
            self._error = error
            if not messages:
                raise
        return messages

    def _complete(self, data: bytes, messages: list[bytes]) -> int:
        """Add to the unfinished message; return where in `data` the next one begins."""
        if not self._missing:
            # Fewer than 16 bytes are held: join them with the new ones and start afresh.
            return self._restart(data, messages)
        if len(data) < self._missing:
            self._hold(data)
            self._missing -= len(data)
            return len(data)
        end = self._missing
        self._chunks.append(data[:end])
        messages.append(b"".join(self._chunks))
        self._chunks.clear()
        self._missing = 0
        return end

    def _restart(self, data: bytes, messages: list[bytes]) -> int:
        held = b"".join(self._chunks)
        self._chunks.clear()
        needed = HEADER_BYTES - len(held)
        head = held + data[:needed]
        if len(head) < HEADER_BYTES:
            self._chunks.append(head)
            return len(data)
        try:
            length = self._length_at(head, 0)
        except MongoError as error:
            self._error = error
            raise
        self._chunks.append(head)
        self._missing = length - HEADER_BYTES
        if not self._missing:
            messages.append(head)
            self._chunks.clear()
            return needed
        return needed + self._complete(data[needed:], messages)

    def _hold(self, data: bytes) -> None:
        """Keep a piece; small ones share one growing buffer, or each would cost 50 bytes more."""
        chunks = self._chunks
        if len(data) >= _TAIL_CHUNK_BYTES:
            chunks.append(data)
            return
        tail = chunks[-1]
        if type(tail) is bytearray:
            tail += data
        else:
            chunks.append(bytearray(data))

    def _length_at(self, data: bytes, position: int) -> int:
        length: int = _int32_at(data, position)[0]
        if length < HEADER_BYTES or length > self.limit:
            self.bad_header = data[position : position + HEADER_BYTES]
            raise _protocol_error(
                f"recv(): message msgLen {length} is invalid. "
                f"Min: {HEADER_BYTES}, Max: {self.limit}"
            )
        return length

    def _cut(self, data: bytes, position: int, messages: list[bytes]) -> None:
        size = len(data)
        while size - position >= HEADER_BYTES:
            length = self._length_at(data, position)
            end = position + length
            if end > size:
                self._missing = end - size
                break
            messages.append(data[position:end])
            position = end
        if position < size:
            self._chunks.append(data[position:])


def parse(raw: bytes) -> Message:
    """Take one whole message apart.

    OP_MSG, OP_QUERY and OP_REPLY are understood; OP_COMPRESSED is unpacked by
    `psdb_wire.compression` first. Raises MongoError on any malformed message: ProtocolError,
    IllegalOpMsgFlag, ChecksumMismatch, InvalidBSON and the location codes of MongoDB's parser.
    """
    size = len(raw)
    if size < _OP_MSG_BYTES_MIN:
        raise _protocol_error(f"message of {size} bytes is too short")
    length, request_id, response_to, opcode, flags, kind, body_size = _opening_of(raw)
    if length != size:
        raise _protocol_error(f"message length {length} does not match its {size} bytes")
    if opcode != OP_MSG:
        return _parse_legacy(raw, request_id, response_to, opcode)
    if kind == 0 and body_size + _BODY_START == size and not flags & 0xFFFD:
        return Message(raw, request_id, response_to, OP_MSG, flags, raw[_BODY_START:])
    if flags & _FLAGS_UNKNOWN_REQUIRED:
        raise MongoError(
            Code.ILLEGAL_OP_MSG_FLAG, f"Message contains illegal flags value: Ob{flags:032b}"
        )
    end = size
    if flags & CHECKSUM_PRESENT:
        end -= 4
        _verify_checksum(raw)
    body_start, sequences = _sections(raw, end)
    body_end = body_start + _int32_at(raw, body_start)[0]
    return Message(raw, request_id, response_to, OP_MSG, flags, raw[body_start:body_end], sequences)


def _verify_checksum(raw: bytes) -> None:
    import google_crc32c  # few clients send checksums

    expected = _UINT32.unpack_from(raw, len(raw) - 4)[0]
    if google_crc32c.value(raw[:-4]) != expected:
        raise MongoError(Code.CHECKSUM_MISMATCH, "OP_MSG checksum does not match contents")


def _document_end(raw: bytes, start: int, end: int) -> int:
    """Return where the document at `start` ends; it must end at or before `end`."""
    if end - start < _DOCUMENT_BYTES_MIN:
        raise MongoError(Code.INVALID_BSON, "not enough bytes for a document in the message")
    size: int = _int32_at(raw, start)[0]
    if size < _DOCUMENT_BYTES_MIN or size > end - start:
        raise MongoError(Code.INVALID_BSON, f"document of {size} bytes does not fit its section")
    return start + size


def _sections(raw: bytes, end: int) -> tuple[int, list[tuple[str, list[bytes]]]]:
    """Walk an OP_MSG's sections; return the body's offset and the sequences."""
    body_start = 0
    sequences: list[tuple[str, list[bytes]]] = []
    position = _SECTIONS_START
    while position < end:
        kind = raw[position]
        position += 1
        if kind == 0:
            if body_start:
                raise MongoError(40430, "Multiple body sections in message")
            body_start = position
            position = _document_end(raw, position, end)
        elif kind == 1:
            name, documents, position = _sequence(raw, position, end)
            if any(name == other for other, _ in sequences):
                raise MongoError(40431, f"Duplicate document sequence: {name}")
            sequences.append((name, documents))
        else:
            raise MongoError(40432, f"Unknown section kind {kind}")
    if not body_start:
        raise MongoError(40587, "OP_MSG messages must have a body")
    return body_start, sequences


def _sequence(raw: bytes, start: int, end: int) -> tuple[str, list[bytes], int]:
    """Read the kind-1 section at `start`: its identifier, its documents, where it ends."""
    if end - start < 5:
        raise _protocol_error("document sequence is cut short")
    size: int = _int32_at(raw, start)[0]
    if size < 5 or size > end - start:
        raise _protocol_error(f"document sequence of {size} bytes does not fit its message")
    stop = start + size
    terminator = raw.find(b"\0", start + 4, stop)
    if terminator < 0:
        raise _protocol_error("document sequence has no identifier")
    name = _utf8(raw[start + 4 : terminator])
    position = terminator + 1
    documents: list[bytes] = []
    append = documents.append
    last = stop - _DOCUMENT_BYTES_MIN
    while position <= last:
        document_end = position + _int32_at(raw, position)[0]
        if document_end > stop or document_end - position < _DOCUMENT_BYTES_MIN:
            break
        append(raw[position:document_end])
        position = document_end
    if position != stop:
        raise MongoError(Code.INVALID_BSON, f"malformed document in document sequence {name}")
    return name, documents, stop


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MongoError(Code.INVALID_BSON, "invalid UTF-8 in a message") from error


def _parse_legacy(raw: bytes, request_id: int, response_to: int, opcode: int) -> Message:
    if opcode == OP_QUERY:
        return _parse_query(raw, request_id, response_to)
    if opcode == OP_REPLY:
        return _parse_reply(raw, request_id, response_to)
    if opcode in _RETIRED_OPCODES:
        raise MongoError(5745702, f"{_RETIRED_OPCODES[opcode]} is no longer supported; use OP_MSG")
    raise _protocol_error(f"Unknown or unexpected opcode {opcode}")


def _parse_query(raw: bytes, request_id: int, response_to: int) -> Message:
    size = len(raw)
    terminator = raw.find(b"\0", _SECTIONS_START)
    if terminator < 0 or size - terminator < 1 + 8 + _DOCUMENT_BYTES_MIN:
        raise _protocol_error("OP_QUERY message is cut short")
    collection = _utf8(raw[_SECTIONS_START:terminator])
    _skip, number_to_return = _IDS.unpack_from(raw, terminator + 1)
    start = terminator + 9
    end = _document_end(raw, start, size)
    if end != size and _document_end(raw, end, size) != size:
        raise _protocol_error("OP_QUERY message has bytes after its documents")
    return Message(
        raw,
        request_id,
        response_to,
        OP_QUERY,
        _int32_at(raw, HEADER_BYTES)[0],
        raw[start:end],
        collection=collection,
        number_to_return=number_to_return,
    )


def _parse_reply(raw: bytes, request_id: int, response_to: int) -> Message:
    head = _OP_REPLY_HEAD.size
    if len(raw) < head:
        raise _protocol_error("OP_REPLY message is cut short")
    flags, count = _int32_at(raw, HEADER_BYTES)[0], _int32_at(raw, head - 4)[0]
    if count != 1:
        raise _protocol_error(f"OP_REPLY holds {count} documents, one was expected")
    if _document_end(raw, head, len(raw)) != len(raw):
        raise _protocol_error("OP_REPLY message has bytes after its document")
    return Message(raw, request_id, response_to, OP_REPLY, flags, raw[head:])


def build_op_msg(
    request_id: int,
    response_to: int,
    body: bytes,
    *,
    sequences: Iterable[tuple[str, Sequence[bytes]]] = (),
    flags: int = 0,
) -> bytes:
    """Make an OP_MSG of a body document and document sequences; ids are int32.

    `flags` may hold MORE_TO_COME and EXHAUST_ALLOWED. With CHECKSUM_PRESENT the checksum is added.
    """
    if not sequences and not flags & CHECKSUM_PRESENT:
        length = _BODY_START + len(body)
        return _pack_body_head(length, request_id, response_to, OP_MSG, flags, 0) + body
    parts = [b"", body]
    for name, documents in sequences:
        identifier = name.encode() + b"\0"
        size = 4 + len(identifier) + sum(map(len, documents))
        parts.append(b"\x01" + _INT32.pack(size) + identifier)
        parts.extend(documents)
    length = _BODY_START + sum(map(len, parts))
    if flags & CHECKSUM_PRESENT:
        length += 4
    parts[0] = _pack_body_head(length, request_id, response_to, OP_MSG, flags, 0)
    raw = b"".join(parts)
    if flags & CHECKSUM_PRESENT:
        import google_crc32c  # few need checksums

        raw += _UINT32.pack(google_crc32c.value(raw))
    return raw


def build_op_reply(
    request_id: int, response_to: int, document: bytes, *, flags: int = REPLY_AWAIT_CAPABLE
) -> bytes:
    """Make the OP_REPLY with one document that answers an OP_QUERY."""
    length = _OP_REPLY_HEAD.size + len(document)
    head = _OP_REPLY_HEAD.pack(length, request_id, response_to, OP_REPLY, flags, 0, 0, 1)
    return head + document


def build_op_query(request_id: int, collection: str, query: bytes) -> bytes:
    """Make an OP_QUERY for one document, as drivers open a connection with."""
    name = collection.encode() + b"\0"
    length = _SECTIONS_START + len(name) + 8 + len(query)
    head = _HEADER.pack(length, request_id, 0, OP_QUERY) + _INT32.pack(0)
    return head + name + _IDS.pack(0, -1) + query


def append_fields(raw_op_msg: bytes, extra_elements: bytes) -> bytes:
    """Add raw BSON elements at the end of an OP_MSG's body, nothing decoded.

    `extra_elements` are whole elements (type byte, name, value) without a document's length
    and terminator. A checksum is dropped. Raises MongoError where the message is malformed.
    """
    if len(raw_op_msg) < _OP_MSG_BYTES_MIN:
        raise _protocol_error("message is too short for an OP_MSG")
    length, request_id, response_to, opcode, flags, kind, body_size = _opening_of(raw_op_msg)
    if length != len(raw_op_msg) or opcode != OP_MSG:
        raise _protocol_error("not a whole OP_MSG")
    end = length
    if flags & CHECKSUM_PRESENT:
        flags ^= CHECKSUM_PRESENT
        end -= 4
    start = _BODY_START
    if kind != 0:
        start = _sections(raw_op_msg, end)[0]
        body_size = _int32_at(raw_op_msg, start)[0]
    last = _document_end(raw_op_msg, start, end) - 1
    added = len(extra_elements)
    return b"".join(
        (
            _HEADER.pack(end + added, request_id, response_to, OP_MSG),
            _UINT32.pack(flags),
            raw_op_msg[_SECTIONS_START:start],
            _INT32.pack(body_size + added),
            raw_op_msg[start + 4 : last],
            extra_elements,
            raw_op_msg[last:end],
        )
    )


def replace_ids(raw: bytes, request_id: int, response_to: int) -> bytes:
    """Give a whole message other ids; an OP_MSG's checksum, then wrong, is dropped."""
    if len(raw) < _SECTIONS_START:
        raise _protocol_error("message is too short")
    length, _, _, opcode = _header_of(raw)
    if opcode == OP_MSG and raw[HEADER_BYTES] & CHECKSUM_PRESENT:
        flags = _UINT32.unpack_from(raw, HEADER_BYTES)[0] ^ CHECKSUM_PRESENT
        head = _HEADER.pack(length - 4, request_id, response_to, opcode)
        return head + _UINT32.pack(flags) + raw[_SECTIONS_START:-4]
    return b"".join((raw[:4], _IDS.pack(request_id, response_to), raw[12:]))
