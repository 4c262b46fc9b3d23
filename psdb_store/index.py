"""An index: ordered entries of key bytes and record number, in a B+ tree in C.

An entry is the key's bytes followed by the record number in eight bytes, big-endian. Keys are
prefix-free, so entries sort by key and then by record number, and a compound key's leading
components are a prefix that bounds can name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from BTrees.OOBTree import OOTreeSet

from psdb_base import order, paths
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.describe import text_of
from psdb_store.gate import Gate
from psdb_store.index_keys import KeyMaker, MultikeyPaths, is_descending

_RID_BYTES: Final = 8
_ENTRY_OVERHEAD_BYTES: Final = 57
"""What CPython and the tree take beside an entry's bytes: object head, slot, share of the nodes."""
_DATE_LOW: Final = order.bracket(order.RANK_DATE)[0]


def after_prefix(prefix: bytes) -> bytes | None:
    """Return the least bytes above all that begin with `prefix`; None when there are none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def _below(entry: bytes) -> bytes:
    """Return bytes that are below `entry` and above every lower entry."""
    last = entry[-1]
    return entry[:-1] + bytes((last - 1, 255)) if last else entry[:-1]


def _rests_on(spec: Document, kind: str, partial: Any) -> tuple[str, ...] | None:
    """Return the top-level fields that an index's keys depend on, None where on any."""
    names = [*spec["key"], *(partial.paths if partial is not None else ())]
    if kind == "text":
        names += [*spec["weights"], spec["language_override"]]
    if kind == "wildcard" or "$**" in names or "" in names:
        return None
    return tuple(sorted({name.partition(".")[0] for name in names}))


class Index:
    """One index of one collection.

    Attributes:
        name: Its name.
        spec: The specification as `listIndexes` shows it.
        key_pattern: Field names to 1, -1, "hashed", …, in order.
        kind: Row of the kind table: "btree", "hashed", "wildcard", …
        unique, sparse, hidden: Options.
        partial: Compiled filter of a partial index, None for a whole one.
        collation: String order, None for the binary one.
        expire_after_seconds: Of a TTL index, else None.
        multikey: Some document had an array on a path.
        accesses: How often a plan used it (the planner counts).
        since_ms: Wall time at which `accesses` began to count.
        ready: False while it is being built.
        finished: Opens when its build has ended, well or not.
        stopped: Why its build has to end, None when it may go on.

    """

    def __init__(
        self,
        spec: Document,
        kind: str,
        make_keys: KeyMaker,
        *,
        partial: Any = None,
        collation: order.Collation | None = None,
        since_ms: int = 0,
    ) -> None:
        self.kind = kind
        self.partial = partial
        self.collation = collation
        self.since_ms = since_ms
        self.accesses = 0
        self.multikey = False
        self.ready = True
        self.finished = Gate()
        self.stopped: MongoError | None = None
        self.conflicts: dict[bytes, None] | None = None
        self.skipped: dict[int, None] | None = None
        self._masks: list[int] = [0] * len(spec["key"])
        self._make_keys = make_keys
        self._rests_on = _rests_on(spec, kind, partial)
        self._tree: Any = OOTreeSet()
        self._count = 0
        self._bytes = 0
        self.describe(spec)

    def describe(self, spec: Document) -> None:
        """Take over a specification that differs in changeable options only."""
        self.spec = spec
        self.name: str = spec["name"]
        self.key_pattern: dict[str, Any] = spec["key"]
        self.unique = bool(spec.get("unique", False))
        self.sparse = bool(spec.get("sparse", False))
        self.hidden = bool(spec.get("hidden", False))
        self.prepare_unique = bool(spec.get("prepareUnique", False))
        expiry = spec.get("expireAfterSeconds", None)
        self.expire_after_seconds: float | None = None if expiry is None else float(str(expiry))

    # -- what the planner asks -----------------------------------------------------------------

    @property
    def entry_count(self) -> int:
        """Number of entries; more than documents for a multikey index, fewer for a sparse one."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Estimate of the memory it takes."""
        return self._bytes + self._count * _ENTRY_OVERHEAD_BYTES

    @property
    def multikey_paths(self) -> dict[str, list[str]]:
        """Per field of the pattern the path prefixes that are arrays in some document."""
        paths: dict[str, list[str]] = {}
        for name, mask in zip(self.key_pattern, self._masks, strict=True):
            parts = name.split(".")
            paths[name] = [
                ".".join(parts[: at + 1]) for at in range(len(parts)) if mask >> at & 1
            ]
        return paths

    @property
    def key_maker(self) -> KeyMaker:
        """The function behind `keys_and_paths`, for passes over everything."""
        return self._make_keys if self.partial is None else self.keys_and_paths

    def keys_of(self, doc: Document) -> list[bytes]:
        """Return the keys a document has, each once.

        Raises MongoError 171 for parallel arrays, 16766 for an array in a hashed index.
        """
        return self.keys_and_paths(doc)[0]

    def keys_and_paths(self, doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        """Return the keys and, when an array was met, the multikey paths."""
        if self.partial is not None and not self.partial.matches(doc, {}):
            return [], None
        return self._make_keys(doc)

    def is_untouched(self, old: Document, new: Document) -> bool:
        """Tell whether two versions of a document surely have the same keys.

        What a change leaves alone need not be computed, which most updates do to most indexes.
        """
        return self._rests_on is not None and all(
            order.identical(old.get(name, MISSING), new.get(name, MISSING))
            for name in self._rests_on
        )

    def scan(
        self,
        low: bytes,
        high: bytes,
        *,
        low_inclusive: bool = True,
        high_inclusive: bool = True,
        after: tuple[bytes, int] | None = None,
        reverse: bool = False,
        limit: int,
        tree: Any = None,
    ) -> list[tuple[bytes, int]]:
        """Return at most `limit` (key, rid) between two bounds, in index order.

        Args:
            low: Lower bound, a key or a prefix of keys (whole components); b"" is no bound.
            high: Upper bound likewise; b"" is no bound.
            low_inclusive: Whether keys that begin with `low` are within.
            high_inclusive: Whether keys that begin with `high` are within.
            after: The last (key, rid) of the batch before, to go on behind it.
            reverse: From high to low.
            limit: Size of the batch.
            tree: Other entries of the same form to look at, instead of the index's own.

        """
        start = low if low_inclusive or not low else after_prefix(low)
        end = None
        if high:
            end = after_prefix(high) if high_inclusive else high
        if start is None:
            return []
        if tree is None:
            tree = self._ordered()
        if reverse:
            return self._scan_back(tree, start, end, after, limit)
        if after is not None:
            start = max(start, after[0] + after[1].to_bytes(_RID_BYTES, "big") + b"\0")
        # Entries end in eight bytes below 80…, so `end` itself, a bare prefix, is never an entry.
        found = islice(tree.keys(start, end), limit)
        return [(entry[:-8], int.from_bytes(entry[-8:], "big")) for entry in found]

    def count(self, low: bytes, high: bytes) -> int:
        """Return how many entries lie at or above `low` and below `high`, both prefixes of keys.

        The tree counts by its leaves: a million entries take about a millisecond.
        """
        return len(self._ordered().keys(low, high, False, True))

    def _scan_back(
        self,
        tree: Any,
        start: bytes,
        end: bytes | None,
        after: tuple[bytes, int] | None,
        limit: int,
    ) -> list[tuple[bytes, int]]:
        if after is not None:
            resumed = _below(after[0] + after[1].to_bytes(_RID_BYTES, "big"))
            end = resumed if end is None else min(end, resumed)
        found: list[tuple[bytes, int]] = []
        if not tree:
            return found
        greatest = tree.maxKey
        try:
            entry: bytes = greatest() if end is None else greatest(end)
            while entry >= start and len(found) < limit:
                found.append((entry[:-8], int.from_bytes(entry[-8:], "big")))
                entry = greatest(_below(entry))
        except ValueError:
            pass  # nothing lower
        return found

    def expired(self, now_ms: int, limit: int, seconds: float | None = None) -> list[int]:
        """Return records whose date is older than a TTL index lets them grow, oldest first.

        Args:
            now_ms: Wall time.
            limit: Records at most.
            seconds: How old they may grow, where that is the collection's and not the index's.

        """
        seconds = self.expire_after_seconds if seconds is None else seconds
        direction = next(iter(self.key_pattern.values()))
        if seconds is None or type(direction) is str:
            return []
        horizon = now_ms - int(seconds * 1000)
        low, high = _DATE_LOW, order.key(DatetimeMS(max(horizon, -(1 << 63))))
        if is_descending(direction):
            low, high = order.descending(high), order.descending(low)
        found = self.scan(low, high, limit=limit)
        return list(dict.fromkeys(rid for _, rid in found))

    # -- what writes do ------------------------------------------------------------------------

    def conflict(self, keys: list[bytes], rid: int) -> bytes | None:
        """Return a key of `keys` that another record holds, None when there is none."""
        tree = self._ordered()
        own = rid.to_bytes(_RID_BYTES, "big")
        for key in keys:
            for entry in tree.keys(key, key + b"\xff"):
                if entry[-8:] != own:
                    return key
        return None

    def note_paths(self, paths: MultikeyPaths | None) -> None:
        """Remember that arrays were met."""
        if paths is not None:
            self.multikey = True
            for at, mask in enumerate(paths):
                self._masks[at] |= mask

    def add(self, keys: Iterable[bytes], rid: int) -> None:
        """Enter a record under keys; what is there already stays."""
        tail = rid.to_bytes(_RID_BYTES, "big")
        for key in keys:
            if self._tree.add(key + tail):
                self._count += 1
                self._bytes += len(key) + _RID_BYTES

    def discard(self, keys: Iterable[bytes], rid: int) -> None:
        """Take a record out from under keys; what is not there is no error."""
        tail = rid.to_bytes(_RID_BYTES, "big")
        for key in keys:
            try:
                self._tree.remove(key + tail)
            except KeyError:
                continue
            self._count -= 1
            self._bytes -= len(key) + _RID_BYTES

    def fill(self, entries: list[bytes]) -> None:
        """Replace all entries at once (key and rid joined, in any order)."""
        entries.sort()
        self._tree = OOTreeSet(entries)
        self._count = len(self._tree)
        self._bytes = sum(map(len, entries))

    def entries(self) -> Iterator[bytes]:
        """Yield all entries in order, for validation."""
        yield from self._ordered()

    def holds(self, key: bytes, rid: int) -> bool:
        """Tell whether a record is entered under a key."""
        return key + rid.to_bytes(_RID_BYTES, "big") in self._ordered()

    def _ordered(self) -> Any:
        return self._tree


class IdIndex(Index):
    """The `_id_` index: equality is the collection's dictionary; the tree is made when needed."""

    def __init__(
        self,
        spec: Document,
        make_keys: KeyMaker,
        ids: dict[bytes, int],
        *,
        collation: order.Collation | None = None,
        since_ms: int = 0,
    ) -> None:
        super().__init__(spec, "btree", make_keys, collation=collation, since_ms=since_ms)
        self.unique = True
        self._ids = ids
        self._tree = None

    @property
    def is_built(self) -> bool:
        """Whether the ordered tree exists and has to be kept up."""
        return self._tree is not None

    @property
    def entry_count(self) -> int:
        """Number of entries."""
        return len(self._ids)

    @property
    def size_bytes(self) -> int:
        """Estimate of the memory it takes, the dictionary included."""
        count = len(self._ids)
        return count * (_ENTRY_OVERHEAD_BYTES + 80 if self._tree is not None else 100)

    def conflict(self, keys: list[bytes], rid: int) -> bytes | None:
        """Return the key when another record holds it."""
        held = self._ids.get(keys[0])
        return None if held is None or held == rid else keys[0]

    def holds(self, key: bytes, rid: int) -> bool:
        """Tell whether a record is entered under a key."""
        return self._ids.get(key) == rid

    def count(self, low: bytes, high: bytes) -> int:
        """Return how many entries lie between two bounds, at most: no tree is made for this."""
        if self._tree is None:
            return int(low in self._ids) if high[:-1] == low else len(self._ids)
        return super().count(low, high)

    def _ordered(self) -> Any:
        if self._tree is None:
            self.fill([key + rid.to_bytes(_RID_BYTES, "big") for key, rid in self._ids.items()])
        return self._tree


def duplicate_key_error(
    ns: str, index: Index, doc: Document, key: bytes | None = None
) -> MongoError:
    """Make MongoDB's 11000 for a document that another one stands in the way of.

    Args:
        ns: Namespace of the collection.
        index: The unique index.
        doc: The document that was to be written.
        key: Which of its keys is taken; None when it has but one.

    """
    value = _key_value(index, doc, key)
    extra: dict[str, Any] = {"keyPattern": dict(index.key_pattern), "keyValue": value}
    collated = ""
    if index.collation is not None:
        extra["collation"] = index.spec.get("collation")
        collated = f" collation: {text_of(index.spec.get('collation', {}))}"
    return MongoError(
        Code.DUPLICATE_KEY,
        f"E11000 duplicate key error collection: {ns} index: {index.name}{collated} "
        f"dup key: {text_of(value)}",
        extra=extra,
    )


def _key_value(index: Index, doc: Document, key: bytes | None) -> Document:
    """Return the values that make a key: of an array the element that is in it."""
    value: Document = {}
    at = 0
    for name, direction in index.key_pattern.items():
        found = _first_value(doc, name)
        if key is not None and direction in (1, -1):
            for one in paths.values_along(doc, paths.split(name)):
                part = order.key(None if one is MISSING else one, index.collation)
                part = order.descending(part) if direction == -1 else part
                if key.startswith(part, at):
                    found, at = one, at + len(part)
                    break
        value[name] = None if found is MISSING else found
    return value


def _first_value(doc: Any, path: str) -> Any:
    """Return a value at a path, the first array element's where arrays are in the way."""
    value = doc
    for part in path.split("."):
        if type(value) is list:
            value = next((one for one in value if type(one) is dict and part in one), MISSING)
        value = value.get(part, MISSING) if type(value) is dict else MISSING
    return value


