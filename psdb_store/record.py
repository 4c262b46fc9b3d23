"""A record: one version of one document, and the bounded cache of decoded ones.

A record whose bytes are not in memory is a `ColdRecord`: the same object with another class and
without `raw`, which is read back from its data file when somebody asks (`psdb_store.cold`). So
records that are in memory cost no look at whether they are.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from psdb_base.bson_codec import decode, decode_plain
from psdb_base.values import Document

if TYPE_CHECKING:
    from psdb_store.cold import Home

_EXACT: Final[Any] = object()
"""In the `doc` slot of a record whose bytes only the exact codec reads (never cached)."""

CACHE_BYTES: Final = 8 * 1024 * 1024
"""Raw bytes whose decoded form is kept, in the whole process (decoded takes 5 to 10 times that)."""


class Record:
    """One version of a document; immutable but for what the versions' upkeep cuts off.

    Attributes:
        rid: The record's number in its collection, ascending with time, never used again.
        raw: The document's BSON.
        doc: Decoded document while it is hot; use `document()`.
        at: Log index of the entry that made this version.
        prev: The version before, while somebody may need it.
        home: The data file's home when it is the record's latest version and saved there, so that
            its bytes may leave memory; else None.

    """

    __slots__ = ("at", "doc", "home", "prev", "raw", "rid")

    def __init__(
        self, rid: int, raw: bytes, at: int, prev: Record | None = None, *, plain: bool = True
    ) -> None:
        self.rid = rid
        self.raw = raw
        self.doc: Any = None if plain else _EXACT
        self.at = at
        self.prev = prev
        self.home: Home | None = None

    def document(self) -> Document:
        """Return the decoded document. Callers must not change it."""
        doc: Document | None = self.doc
        if doc is None:
            doc = self.doc = decode_plain(self.raw)
            HOT.keep(self)
        elif doc is _EXACT:
            return decode(self.raw)
        return doc

    def peek(self) -> Document:
        """Return the decoded document without keeping it, for passes over everything."""
        doc: Document | None = self.doc
        if doc is None:
            return decode_plain(self.raw)
        return decode(self.raw) if doc is _EXACT else doc

    @property
    def holds_document(self) -> bool:
        """Whether it is among the hot ones, which keep their bytes."""
        return type(self.doc) is dict

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rid={self.rid}, at={self.at})"


class ColdRecord(Record):
    """A record whose bytes are in its data file only; asking for them makes it a `Record`."""

    __slots__ = ()

    def __init__(self, rid: int, at: int) -> None:
        self.rid = rid
        self.doc = None
        self.at = at
        self.prev = None
        self.home = None

    def __getattr__(self, name: str) -> Any:
        """Read the bytes back; called for `raw` only, the slot that is empty.

        Raises StorageDamagedError, or MongoError when the file cannot be read.
        """
        home = self.home
        if name != "raw" or home is None:
            raise AttributeError(name)
        return home.read_back(self)


class HotDocuments:
    """Which records hold their decoded document: first in, first out, bounded by raw bytes."""

    __slots__ = ("_bytes", "_bytes_max", "_records")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._records: deque[Record] = deque()

    def limit(self, bytes_max: int) -> None:
        """Keep no more than so many bytes from the next on."""
        self._bytes_max = bytes_max

    def keep(self, record: Record) -> None:
        """Note that a record now holds its document; let the oldest go when it is too much."""
        self._records.append(record)
        self._bytes += len(record.raw)
        while self._bytes > self._bytes_max:
            oldest = self._records.popleft()
            oldest.doc = None
            self._bytes -= len(oldest.raw)


HOT: Final = HotDocuments(CACHE_BYTES)
