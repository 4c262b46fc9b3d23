"""Records that leave memory: which hold their bytes, and how others get them back.

A record may leave (`Record.home` is set) when it is its document's latest version and a
checkpoint that is complete has saved it: then the last line for its number in the data file is
that version. Superseding a record brings its bytes back first and takes `home` away, so old
versions, undo and everything newer than the last checkpoint never depend on a file.

What is resident is bounded by bytes. When room is needed, the file with the most resident bytes
gives, the longest resident first, passing over records that hold their decoded document: so a
scan over a large collection drives out its own records, and not a small one's. Reading back is
synchronous, checks the line's checksum and number, and for a batch reads neighbours at once.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any, Final

import orjson

from psdb_base.errors import Code, MongoError
from psdb_base.world import Disk, DiskFile
from psdb_store.datafile import line_rid
from psdb_store.document_json import read_document
from psdb_store.failures import StorageDamagedError
from psdb_store.lines import is_sound
from psdb_store.record import ColdRecord, Record

_PAGE_BITS: Final = 10
_PAGE: Final = 1 << _PAGE_BITS
_ZEROS: Final = bytes(8 * _PAGE)
_GAP_BYTES: Final = 16 * 1024
"""Lines no further apart are read in one piece."""
_PIECE_BYTES: Final = 1024 * 1024
_OPEN_FILES: Final = 64
_STALE_SLACK: Final = 1024
_SHARE: Final = 64
_ROOM_BYTES_MAX: Final = 1024 * 1024
"""Room is made for at least this fraction of the bound at once, but no more than these bytes."""


class Offsets:
    """Where the line of each record begins in a data file: eight bytes a number."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def put(self, rid: int, offset: int) -> None:
        """Note a record's line."""
        page = self._pages.get(rid >> _PAGE_BITS)
        if page is None:
            page = self._pages[rid >> _PAGE_BITS] = array("q", _ZEROS)
        page[rid & (_PAGE - 1)] = offset

    def put_all(self, places: dict[int, int]) -> None:
        """Note many records' lines."""
        at, page = -1, array("q")
        for rid, offset in places.items():
            if rid >> _PAGE_BITS != at:
                at = rid >> _PAGE_BITS
                self.put(rid, offset)
                page = self._pages[at]
            page[rid & (_PAGE - 1)] = offset

    def get(self, rid: int) -> int:
        """Return where the line of a record begins that has one."""
        return self._pages[rid >> _PAGE_BITS][rid & (_PAGE - 1)]


class Cold:
    """The bound of one engine's resident records, and its open data files.

    Attributes:
        bytes_max: How many bytes of saved records may be resident.
        resident_bytes: How many are.
        reads: Records read back.
        evictions: Records that left.

    """

    def __init__(self, disk: Disk, dbpath: str, bytes_max: int) -> None:
        self._disk = disk
        self._dbpath = dbpath
        self.bytes_max = bytes_max
        self.resident_bytes = 0
        self.reads = 0
        self.evictions = 0
        self._homes: dict[int, Home] = {}
        self._files: dict[str, DiskFile] = {}

    @property
    def records(self) -> int:
        """Number of records that are not in memory."""
        return sum(home.cold for home in self._homes.values())

    @property
    def cold_bytes(self) -> int:
        """Their bytes, as BSON."""
        return sum(home.cold_bytes for home in self._homes.values())

    @property
    def has_room(self) -> bool:
        """Whether records can become resident without any leaving."""
        return self.resident_bytes * 8 < self.bytes_max * 7

    def make_room(self, wanted: int) -> None:
        """Let records leave until `wanted` more bytes fit, as far as any can."""
        while self.resident_bytes and self.resident_bytes + wanted > self.bytes_max:
            home = max(self._homes.values(), key=_resident_bytes)
            over = self.resident_bytes + wanted - self.bytes_max
            share = min(self.bytes_max // _SHARE, _ROOM_BYTES_MAX)
            if not home.evict(max(over, share)):
                return

    def enter(self, home: Home) -> None:
        """Count a home's records from now on."""
        self._homes[id(home)] = home

    def leave(self, home: Home) -> None:
        """Forget a home and its records: its collection was dropped."""
        if self._homes.pop(id(home), None) is not None:
            self.resident_bytes -= home.resident_bytes

    def file(self, path: str) -> DiskFile:
        """Return an open data file; a few stay open."""
        file = self._files.pop(path, None)
        if file is None:
            full = f"{self._dbpath}/{path}"
            if not self._disk.exists(full):
                raise StorageDamagedError(full, 0, "the file is missing")
            file = self._disk.open(full)
        self._files[path] = file
        if len(self._files) > _OPEN_FILES:
            self.close_file(next(iter(self._files)))
        return file

    def full_path(self, path: str) -> str:
        """Return a data file's whole path."""
        return f"{self._dbpath}/{path}"

    def close_file(self, path: str) -> None:
        """Close a data file, if it is open."""
        file = self._files.pop(path, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close all files."""
        for path in list(self._files):
            self.close_file(path)


class Home:
    """The saved records of one collection: where their lines are, which are resident.

    Attributes:
        path: The data file, relative to the dbpath.
        offsets: Where each record's line begins.
        resident_bytes: Bytes of records of this home that are in memory and may leave.
        cold: Number of records that are not in memory.
        cold_bytes: Their bytes.

    """

    __slots__ = (
        "_gone", "_resident", "_stale", "_store", "cold", "cold_bytes", "offsets", "path",
        "resident_bytes", "typical_bytes",
    )  # fmt: skip

    def __init__(self, store: Cold, path: str) -> None:
        self._store = store
        self.path = path
        self.offsets = Offsets()
        self.resident_bytes = 0
        self.cold = 0
        self.cold_bytes = 0
        self.typical_bytes = 512
        self._resident: deque[Record] = deque()
        self._stale = 0
        self._gone = False
        store.enter(self)

    # -- who is here -----------------------------------------------------------------------------

    def settle(self, record: Record) -> None:
        """Take in a resident record whose line is in the file."""
        record.home = self
        self._resident.append(record)
        size = len(record.raw)
        self.resident_bytes += size
        self._store.resident_bytes += size

    def settle_all(self, records: list[Record], size: int) -> None:
        """Take in all records of a file, some of them cold; together they have `size` bytes."""
        warm = [record for record in records if record.__class__ is Record]
        for record in records:
            record.home = self
        self._resident.extend(warm)
        self.resident_bytes = sum([len(record.raw) for record in warm])
        self._store.resident_bytes += self.resident_bytes
        self.cold = len(records) - len(warm)
        self.cold_bytes = size - self.resident_bytes

    def let_go(self, record: Record) -> None:
        """Bring the bytes of a record back that is superseded; it stays in memory from now on."""
        size = len(record.raw)
        record.home = None
        self.resident_bytes -= size
        self._store.resident_bytes -= size
        self._stale += 1
        if self._stale > _STALE_SLACK and self._stale * 2 > len(self._resident):
            self._resident = deque([one for one in self._resident if one.home is self])
            self._stale = 0

    def evict(self, wanted: int) -> int:
        """Let resident records leave until `wanted` bytes are free; return how many are."""
        freed = 0
        queue = self._resident
        for _ in range(len(queue)):
            if freed >= wanted:
                break
            record = queue.popleft()
            if record.home is not self:
                self._stale -= 1
            elif record.holds_document:
                queue.append(record)
            elif record.__class__ is Record:
                size = len(record.raw)
                del record.raw
                record.__class__ = ColdRecord
                self.cold += 1
                self._store.evictions += 1
                freed += size
        self.cold_bytes += freed
        self.resident_bytes -= freed
        self._store.resident_bytes -= freed
        return freed

    def drop(self) -> None:
        """Read nothing back any more: the collection was dropped."""
        self._gone = True
        self._store.leave(self)
        self._store.close_file(self.path)

    def move(self, path: str, offsets: Offsets) -> None:
        """Compaction wrote the lines anew."""
        self._store.close_file(self.path)
        self.path, self.offsets = path, offsets

    # -- reading back ----------------------------------------------------------------------------

    def read_back(self, record: Record) -> bytes:
        """Return a cold record's bytes, which it holds again from now on."""
        self.thaw([record])
        return record.raw

    def thaw(self, records: list[Record]) -> None:
        """Bring back the bytes of those among a collection's records that are cold."""
        cold: list[Record] = [one for one in records if one.__class__ is ColdRecord]
        if not cold:
            return
        if self._gone:
            raise MongoError(Code.QUERY_PLAN_KILLED, "collection dropped while it was read")
        get = self.offsets.get
        cold.sort(key=lambda record: get(record.rid))
        places = [get(record.rid) for record in cold]
        start = 0
        while start < len(cold):
            end = start + 1
            while (
                end < len(cold)
                and places[end] - places[end - 1] < _GAP_BYTES
                and places[end] - places[start] < _PIECE_BYTES
            ):
                end += 1
            self._take(cold[start:end], self._lines(places[start:end]))
            start = end

    def _lines(self, places: list[int]) -> list[bytes]:
        """Read the lines that begin at these places, ascending and not far apart."""
        file = self._store.file(self.path)
        first = places[0]
        block = self._read(file, first, places[-1] - first + 2 * self.typical_bytes)
        lines: list[bytes] = []
        step = max(4096, self.typical_bytes)
        for place in places:
            at = place - first
            end = block.find(b"\n", at)
            while end < 0:
                more = self._read(file, first + len(block), step)
                if not more:
                    raise self._damage(place, "the line is incomplete")
                block += more
                step *= 2
                end = block.find(b"\n", at)
            lines.append(block[at:end])
        self.typical_bytes = (7 * self.typical_bytes + len(lines[-1])) // 8 + 8
        return lines

    def _read(self, file: DiskFile, offset: int, size: int) -> bytes:
        try:
            return file.read_at(offset, size)
        except OSError as error:
            raise MongoError(
                Code.FILE_STREAM_FAILED, f"{self._store.full_path(self.path)}: {error.strerror}"
            ) from error

    def _take(self, records: list[Record], lines: list[bytes]) -> None:
        """Give records their bytes, out of lines that are checked."""
        for record, line in zip(records, lines, strict=True):
            if not is_sound(line) or line_rid(line) != (record.rid, False):
                raise self._damage(self.offsets.get(record.rid), "the line is damaged (checksum)")
        parsed: list[dict[str, Any]] = orjson.loads(b"[%b]" % b",".join(lines))
        raws = [
            read_document(one["o"], line.count(b'{"$'))[0]
            for one, line in zip(parsed, lines, strict=True)
        ]
        total = sum(map(len, raws))
        self._store.make_room(total)
        self._store.reads += len(records)
        for record, raw in zip(records, raws, strict=True):
            record.raw = raw
            record.__class__ = Record
            self._resident.append(record)
        self.cold -= len(records)
        self.cold_bytes -= total
        self.resident_bytes += total
        self._store.resident_bytes += total

    def _damage(self, place: int, reason: str) -> StorageDamagedError:
        """Name the line that begins at a place."""
        file = self._store.file(self.path)
        number, offset = 1, 0
        while offset < place:
            piece = file.read_at(offset, min(_PIECE_BYTES, place - offset))
            if not piece:
                break
            number += piece.count(b"\n")
            offset += len(piece)
        return StorageDamagedError(self._store.full_path(self.path), number, reason)


def _resident_bytes(home: Home) -> int:
    return home.resident_bytes
