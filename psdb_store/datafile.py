"""Data files `data/<db>/<collection>/<number>.jsonl`: append-only lines of records.

- the header, first: `{"c":…,"psdb":"data","format":1,"ns":…,"uuid":…}`;
- a record: `{"c":…,"rid":7,"o":{document}}`; a later line for the same number replaces it;
- a deletion: `{"c":…,"gone":7}`.

The manifest says how many bytes count and their digest; what follows them is the rest of a
checkpoint that was not finished, and is cut. The digest is one BLAKE2b over the whole file,
continued by each checkpoint (loading reads every byte, so the state is always at hand).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import orjson

from psdb_base.world import Disk
from psdb_store.failures import StorageDamagedError, newer_format
from psdb_store.lines import PREFIX_BYTES, is_sound, seal

if TYPE_CHECKING:
    from psdb_store.cold import Home

FORMAT: Final = 1
NAME: Final = re.compile(r"\d{8}\.jsonl")
THREAD: Final = "checkpoint"

_RID_AT: Final = PREFIX_BYTES + len('"rid":')
_GONE_AT: Final = PREFIX_BYTES + len('"gone":')


def new_digest() -> Any:
    """Begin the digest of a file."""
    return blake2b(digest_size=16)


@dataclass(slots=True)
class DataFile:
    """The file that holds a collection's records as of the last checkpoint.

    Attributes:
        path: Relative to the dbpath.
        home: Who of its records is in memory.
        size: Bytes that count.
        lines: Record and deletion lines in them.
        digest: BLAKE2b state over them.

    """

    path: str
    home: Home
    size: int = 0
    lines: int = 0
    digest: Any = field(default_factory=new_digest)

    def extend(self, data: bytes, lines: int) -> None:
        """Count bytes that were appended."""
        self.digest.update(data)
        self.size += len(data)
        self.lines += lines


def header_line(ns: str, uuid: bytes) -> bytes:
    """Make a data file's first line."""
    fields = {"psdb": "data", "format": FORMAT, "ns": ns, "uuid": uuid.hex()}
    return seal(orjson.dumps(fields)[1:])


def record_line(rid: int, json: bytes) -> bytes:
    """Make a record's line from its document's JSON."""
    return seal(b'"rid":%d,"o":%b}' % (rid, json))


def gone_line(rid: int) -> bytes:
    """Make the line that says a record was deleted."""
    return seal(b'"gone":%d}' % rid)


def line_rid(line: bytes) -> tuple[int, bool]:
    """Return the record number of a sound line and whether it is a deletion; (0, False) else."""
    if line.startswith(b'"rid":', PREFIX_BYTES):
        return int(line[_RID_AT : line.index(b",", _RID_AT)]), False
    if line.startswith(b'"gone":', PREFIX_BYTES):
        return int(line[_GONE_AT:-1]), True
    return 0, False


async def blocks(disk: Disk, path: str, size: int, block_bytes: int) -> Any:
    """Yield the first `size` bytes of a file in pieces that end with whole lines."""
    file = await disk.submit(THREAD, lambda: disk.open(path))
    try:
        offset, rest = 0, b""
        while offset < size:
            want = min(block_bytes, size - offset)
            piece = await disk.submit(THREAD, _reader(file, offset, want))
            if not piece:
                break
            offset += len(piece)
            whole, newline, tail = (rest + piece).rpartition(b"\n")
            rest = tail
            if newline:
                yield whole + newline
        if rest:
            yield rest
    finally:
        file.close()


def _reader(file: Any, offset: int, size: int) -> Callable[[], bytes]:
    def work() -> bytes:
        data: bytes = file.read_at(offset, size)
        return data

    return work


def cut_rest(disk: Disk, path: str, size: int) -> None:
    """Cut what a checkpoint that was not finished left behind the bytes that count."""
    file = disk.open(path)
    try:
        if file.size() > size:
            file.truncate(size)
    finally:
        file.close()


async def verify(disk: Disk, path: str, entry: dict[str, Any], block_bytes: int) -> Any:
    """Check a file's first bytes against the manifest and return the digest's state.

    Raises StorageDamagedError, naming the line where one line is to blame.
    """
    if not disk.exists(path):
        raise StorageDamagedError(path, 0, "the file is missing, the manifest names it")
    digest = new_digest()
    size = 0
    async for block in blocks(disk, path, entry["bytes"], block_bytes):
        digest.update(block)
        size += len(block)
    if size == entry["bytes"] and digest.hexdigest() == entry["digest"]:
        return digest
    number = 0
    async for block in blocks(disk, path, entry["bytes"], block_bytes):
        for line in block.split(b"\n")[: block.count(b"\n")]:
            number += 1
            if not is_sound(line):
                raise StorageDamagedError(path, number, "the line is damaged (checksum)")
        if not block.endswith(b"\n"):
            raise StorageDamagedError(path, number + 1, "the line is incomplete")
    reason = "is shorter than" if size < entry["bytes"] else "does not have the digest in"
    raise StorageDamagedError(path, number, f"the file {reason} the manifest")


def check_header(path: str, line: bytes, kind: str = "data") -> None:
    """Refuse a file of another kind or a newer format."""
    header: dict[str, Any] = orjson.loads(line)
    if header.get("psdb") != kind:
        raise StorageDamagedError(path, 1, f"this is not a {kind} file")
    if header["format"] != FORMAT:
        raise newer_format(path, header["format"], FORMAT)


def parse_block(block: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Parse a block of whole lines at once and return each line with its object."""
    block = block[:-1]
    parsed: list[dict[str, Any]] = orjson.loads(b"[%b]" % block.replace(b"\n", b","))
    return zip(block.split(b"\n"), parsed, strict=True)
