"""The executing stages of a plan: small machines that are pulled for rows.

`pull(want)` does about `want` steps of work (keys or documents looked at) and returns the rows
that came of it, maybe none; `done` tells that nothing more will come. Nothing is held between
two pulls but positions and numbers of records, so writes may happen in between: a row is the
latest version at the time of the pull. Rows of index stages are `(key, rid)`, of others records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.bounds_ranges import KeyRanges
from psdb_query.context import Env
from psdb_store.committed import State
from psdb_store.index import IdIndex, Index
from psdb_store.record import Record

Matches = Callable[[Document, Env], bool]


class Stage:
    """A stage with the counters that `explain` shows.

    Attributes:
        done: It has reached its end.
        works: Steps of work.
        advanced: Rows it gave.
        keys_examined, docs_examined: What it looked at itself.
        children: The stages it pulls.

    """

    __slots__ = ("advanced", "children", "docs_examined", "done", "keys_examined", "works")

    def __init__(self, *children: Stage) -> None:
        self.children = children
        self.done = False
        self.works = 0
        self.advanced = 0
        self.keys_examined = 0
        self.docs_examined = 0

    def pull(self, want: int) -> list[Any]:
        """Do some work and return the rows that came of it."""
        raise NotImplementedError

    def counters(self) -> Document:
        """Return the counters of this kind of stage only."""
        return {}

    def meta(self, rid: int) -> dict[str, Any] | None:
        """Return the metadata of a record that this stage or one below gave."""
        for child in self.children:
            found = child.meta(rid)
            if found is not None:
                return found
        return None

    def total(self, name: str) -> int:
        """Sum a counter over this stage and those below."""
        return int(getattr(self, name)) + sum(child.total(name) for child in self.children)


def check_collection(collection: State) -> None:
    """Raise 175 when the collection was dropped since the plan was made."""
    if collection.dropped:
        raise MongoError(Code.QUERY_PLAN_KILLED, f"collection dropped: {collection.ns}")


def check_index(collection: State, index: Index) -> None:
    """Raise 175 when the index was dropped since the plan was made: nobody keeps it up now."""
    check_collection(collection)
    if collection.indexes.get(index.name) is not index:
        raise MongoError(Code.QUERY_PLAN_KILLED, f"index '{index.name}' dropped")


class Nothing(Stage):
    """No rows at all."""

    __slots__ = ()

    def pull(self, want: int) -> list[Any]:  # noqa: ARG002 -- part of the interface
        """Be done."""
        self.done = True
        return []


class CollectionScan(Stage):
    """Every document in natural order, filtered."""

    __slots__ = ("_after", "_collection", "_filter", "_reverse")

    def __init__(
        self, collection: State, filter_: Selector | None, *, reverse: bool = False
    ) -> None:
        super().__init__()
        self._collection = collection
        self._filter = filter_
        self._reverse = reverse
        self._after: int | None = None

    def pull(self, want: int) -> list[Record]:
        """Look at the next `want` documents."""
        check_collection(self._collection)
        records = self._collection.scan(self._after, want, self._reverse)
        if not records:
            self.done = True
            return []
        self._after = records[-1].rid
        self.works += len(records)
        self.docs_examined += len(records)
        if self._filter is not None:
            records = self._filter.select(records)
        self.advanced += len(records)
        return records

    def counters(self) -> Document:
        """Documents looked at."""
        return {
            "direction": "backward" if self._reverse else "forward",
            "docsExamined": self.docs_examined,
        }


class Selector:
    """A filter over records: whole batches at once where that is faster."""

    __slots__ = ("_batch", "_env", "matches")

    def __init__(self, filter_: Any, env: Env) -> None:
        self._env = env
        self._batch = filter_.batch
        matches = filter_.matches
        self.matches: Callable[[Record], bool] = lambda record: matches(record.document(), env)

    def select(self, records: list[Record]) -> list[Record]:
        """Return the records whose documents match, in order."""
        if len(records) < 4:
            return [record for record in records if self.matches(record)]
        docs = [record.document() for record in records]
        kept = self._batch(docs, self._env)
        if len(kept) == len(docs):
            return records
        if not kept:
            return []
        found: list[Record] = []
        rest = iter(kept)
        wanted = next(rest)
        for record, doc in zip(records, docs, strict=True):
            if doc is wanted:
                found.append(record)
                wanted = next(rest, None)
                if wanted is None:
                    break
        return found


class IdLookup(Stage):
    """One document by its `_id`."""

    __slots__ = ("_collection", "_filter", "_key")

    def __init__(self, collection: State, key: bytes, filter_: Selector | None) -> None:
        super().__init__()
        self._collection = collection
        self._key = key
        self._filter = filter_

    def pull(self, want: int) -> list[Record]:  # noqa: ARG002
        """Look it up."""
        self.done = True
        self.works += 1
        record = self._collection.by_id(self._key)
        if record is None:
            return []
        self.keys_examined = self.docs_examined = 1
        if self._filter is not None and not self._filter.matches(record):
            return []
        self.advanced = 1
        return [record]

    def counters(self) -> Document:
        """Tell what was looked at."""
        return {"keysExamined": self.keys_examined, "docsExamined": self.docs_examined}


class IndexScan(Stage):
    """The entries of an index within ranges of keys, each record once."""

    __slots__ = (
        "_after",
        "_at",
        "_bound",
        "_chunk",
        "_collection",
        "_index",
        "_ranges",
        "_reverse",
        "_seen",
        "dups_dropped",
        "seeks",
    )

    def __init__(
        self, collection: State, index: Index, ranges: KeyRanges, *, reverse: bool = False
    ) -> None:
        super().__init__()
        self._collection = collection
        self._index = index
        self._ranges = ranges
        self._reverse = reverse
        self._at = 0
        self._after: tuple[bytes, int] | None = None
        self._bound: bytes | None = None
        self._chunk = 16
        self._seen: set[int] = set()
        self.seeks = 0
        self.dups_dropped = 0
        self.done = not ranges.ranges

    def pull(self, want: int) -> list[tuple[bytes, int]]:
        """Look at about `want` keys."""
        check_index(self._collection, self._index)
        found: list[tuple[bytes, int]] = []
        while want > 0 and not self.done:
            pairs = self._next(want)
            want -= max(len(pairs), 1)
            self.works += max(len(pairs), 1)
            found += pairs
        if self._index.multikey and found:
            found = self._fresh(found)
        self.advanced += len(found)
        return found

    def _fresh(self, pairs: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Drop records that other keys have led to before."""
        seen, fresh = self._seen, []
        for pair in pairs:
            if pair[1] not in seen:
                seen.add(pair[1])
                fresh.append(pair)
        self.dups_dropped += len(pairs) - len(fresh)
        return fresh

    def _next(self, want: int) -> list[tuple[bytes, int]]:
        """Return entries of the present range; go on to the next one at its end."""
        ranges = self._ranges.ranges
        low, high = ranges[-1 - self._at if self._reverse else self._at]
        if self._bound is not None:
            if self._reverse:
                high = min(high, self._bound)
            else:
                low = max(low, self._bound)
            if low >= high:
                self._leave_range()
                return []
        if self._after is None:
            self.seeks += 1
        limit = want if self._ranges.check is None else min(want, self._chunk)
        pairs = self._scan(low, high, limit)
        if pairs:
            self._after = pairs[-1]
        ended = len(pairs) < limit
        if self._ranges.check is not None:
            pairs, ended = self._checked(pairs, ended=ended)
        else:
            self.keys_examined += len(pairs)
        if ended:
            self._leave_range()
        return pairs

    def _leave_range(self) -> None:
        self._after = self._bound = None
        self._at += 1
        if self._at >= len(self._ranges.ranges):
            self.done = True

    def _scan(self, low: bytes, high: bytes, limit: int) -> list[tuple[bytes, int]]:
        index = self._index
        if isinstance(index, IdIndex) and not index.is_built and high[:-1] == low:
            rid = self._collection.rid_of(low)
            return [] if rid is None or self._after is not None else [(low, rid)]
        return self._collection.index_scan(
            index, low, high, high_inclusive=False, after=self._after, reverse=self._reverse,
            limit=limit,
        )

    def _checked(
        self, pairs: list[tuple[bytes, int]], *, ended: bool
    ) -> tuple[list[tuple[bytes, int]], bool]:
        """Keep the entries whose other components belong; skip where none can."""
        check = self._ranges.check
        assert check is not None
        step = check.behind if self._reverse else check.ahead
        kept: list[tuple[bytes, int]] = []
        at, count = 0, len(pairs)
        while at < count:
            pair = pairs[at]
            self.keys_examined += 1
            target = step(pair[0])
            at += 1
            if target is None:
                kept.append(pair)
                continue
            if self._reverse:
                while at < count and pairs[at][0] >= target:
                    at += 1
            else:
                while at < count and pairs[at][0] < target:
                    at += 1
            if at == count and not ended:
                self._bound, self._after = target, None
                self._chunk = 16
                return kept, False
        self._chunk = min(self._chunk * 2, 1024)
        return kept, ended

    def counters(self) -> Document:
        """Tell what was looked at."""
        return {
            "keysExamined": self.keys_examined,
            "seeks": self.seeks,
            "dupsTested": len(self._seen) + self.dups_dropped,
            "dupsDropped": self.dups_dropped,
        }


class Fetch(Stage):
    """From index entries to records, filtered.

    Args:
        child: Gives the entries.
        collection: Has the records.
        filter_: What they have to match.
        trusted: Indexes without arrays whose entries all match: no document is looked at as
            long as that is so. Empty: every document is.

    """

    __slots__ = ("_child", "_filter", "_get", "_trusted", "_warm")

    def __init__(
        self,
        child: Stage,
        collection: State,
        filter_: Selector | None,
        trusted: tuple[Index, ...] = (),
    ) -> None:
        super().__init__(child)
        self._child = child
        self._get = collection.get
        self._warm = collection.warm
        self._filter = filter_
        self._trusted = trusted

    def pull(self, want: int) -> list[Record]:
        """Fetch what the child gives for this much work."""
        get = self._get
        found = [get(rid) for _key, rid in self._child.pull(want)]
        self.done = self._child.done
        records = [record for record in found if record is not None]
        self._warm(records)
        self.works += len(found)
        self.docs_examined += len(records)
        if self._filter is not None and records and not self._is_trusted():
            records = self._filter.select(records)
        self.advanced += len(records)
        return records

    def _is_trusted(self) -> bool:
        return bool(self._trusted) and not any(index.multikey for index in self._trusted)

    def counters(self) -> Document:
        """Documents looked at."""
        return {"docsExamined": self.docs_examined, "alreadyHasObj": 0}


class Covered(Stage):
    """Records of index entries that say all that is wanted of them."""

    __slots__ = ("_child", "_get")

    def __init__(self, child: Stage, collection: State) -> None:
        super().__init__(child)
        self._child = child
        self._get = collection.get

    def pull(self, want: int) -> list[Record]:
        """Take the records of the child's entries."""
        found = [self._get(rid) for _key, rid in self._child.pull(want)]
        self.done = self._child.done
        self.works += len(found)
        records = [record for record in found if record is not None]
        self.advanced += len(records)
        return records
