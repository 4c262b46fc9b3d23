"""What the planner is asked: one query with everything that may shape its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psdb_base.limits import SORT_MEMORY_BYTES_MAX
from psdb_base.values import Document
from psdb_query.context import Collation, Env
from psdb_query.filters import Filter, tree
from psdb_query.projection import Projection
from psdb_query.sorting import Sorter
from psdb_store.collection import Collection
from psdb_store.committed import Committed, State


@dataclass(frozen=True, slots=True)
class Advice:
    """What stands in a query's hint when there are settings for its shape.

    Args:
        settings: The settings, for `explain`.
        hint: The hint of the command itself, for collections that the settings do not name.
        indexes: Names, key patterns and `$natural` that are allowed, by namespace.

    """

    settings: Document
    hint: Any
    indexes: dict[str, list[Any]]


@dataclass(slots=True)
class Query:
    """A query over one collection.

    Args:
        collection: Where.
        filter: Which documents.
        env: Runtime variables.
        sort: In which order, None for any.
        projection: What the caller makes of the records; the planner only looks for covering.
        hint: Index name, key pattern or `{$natural: ±1}`.
        skip, limit: Counts of documents; limit None is all.
        collation: The compiled collation that the filter and the sort use.
        min, max: Index keys as documents, lower inclusive, upper exclusive.
        count: Only the number of documents is wanted.
        distinct: Only one document for each value of this field is wanted.
        meta: The caller wants the metadata of the records (scores).
        allowed: Names of the indexes that an index filter or query settings leave; None for all.
        sort_memory_bytes: What a sort in memory may hold.
        bounds_memory: A sort that would hold more ends with `SortOverflowError`.
        committed: The committed state of the collection, where that is read; None: the latest.
        settings: The settings of the query's shape, if there are any.
        shown: The filter's tree as it was asked, where `filter` has been made to test `$text`.

    """

    collection: Collection
    filter: Filter
    env: Env
    sort: Sorter | None = None
    projection: Projection | None = None
    hint: Any = None
    skip: int = 0
    limit: int | None = None
    collation: Collation | None = None
    min: Document | None = None
    max: Document | None = None
    count: bool = False
    distinct: str | None = None
    meta: bool = False
    shown: tree.Node | None = None
    allowed: frozenset[str] | None = None
    sort_memory_bytes: int = SORT_MEMORY_BYTES_MAX
    bounds_memory: bool = True
    settings: Document | None = None
    committed: Committed | None = None

    @property
    def state(self) -> State:
        """What the plan reads."""
        return self.collection if self.committed is None else self.committed

    @property
    def needs_meta(self) -> bool:
        """Whether scores have to be known."""
        return (
            self.meta
            or (self.sort is not None and self.sort.needs_meta)
            or (self.projection is not None and bool(self.projection.needs_meta))
        )

    @property
    def needed(self) -> int | None:
        """How many documents have to be found before skip and limit have all they want."""
        return None if self.limit is None else self.limit + self.skip
