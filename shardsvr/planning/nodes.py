"""The nodes a plan is made of: what `explain` says of each, and the stage that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psdb_base.values import Document
from psdb_query.bounds import FieldBounds
from psdb_query.bounds_index import IndexBounds
from psdb_query.bounds_ranges import KeyRanges
from psdb_query.bounds_text import bounds_text
from psdb_query.filters import tree
from psdb_store.index import Index
from psdb_store.index_keys import is_descending
from shardsvr.planning import stages, stages_combine, stages_keys
from shardsvr.planning.filter_text import filter_document
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Selector, Stage


class Node:
    """A node of a plan.

    Attributes:
        stage: MongoDB's name of the stage.
        children: Nodes it takes rows from.

    """

    stage = ""
    children: tuple[Node, ...] = ()

    def describe(self) -> Document:
        """Return the fields of `explain` that belong to this node alone."""
        return {}

    def open(self, query: Query) -> Stage:
        """Make the stage that runs it, with those below."""
        raise NotImplementedError

    def explain(self) -> Document:
        """Describe the node and those below as in `winningPlan`."""
        document = {"stage": self.stage, **self.describe()}
        inputs = [child.explain() for child in self.children]
        if len(inputs) == 1 and not isinstance(self, Or):
            document["inputStage"] = inputs[0]
        elif inputs:
            document["inputStages"] = inputs
        return document


def _selector(query: Query, *, needed: bool = True) -> Selector | None:
    if not needed or query.filter.is_trivial:
        return None
    return Selector(query.filter, query.env)


def filter_field(residual: tree.Node | None) -> Document:
    """Return the field of `explain` that shows what is left of a filter."""
    return {} if residual is None else {"filter": filter_document(residual)}


@dataclass(frozen=True)
class Eof(Node):
    """Nothing can match."""

    stage = "EOF"

    def open(self, query: Query) -> Stage:  # noqa: ARG002
        """Make the empty stage."""
        return stages.Nothing()


@dataclass(frozen=True)
class CollectionScan(Node):
    """Every document."""

    filter: tree.Node | None
    reverse: bool = False
    stage = "COLLSCAN"

    def describe(self) -> Document:
        """Filter and direction."""
        direction = "backward" if self.reverse else "forward"
        return {**filter_field(self.filter), "direction": direction}

    def open(self, query: Query) -> Stage:
        """Make the scan."""
        query.collection.scans += 1
        return stages.CollectionScan(query.state, _selector(query), reverse=self.reverse)


@dataclass(frozen=True)
class IdLookup(Node):
    """One document by its `_id`."""

    key: bytes
    stage: str = "IDHACK"

    def describe(self) -> Document:
        """Show the index."""
        if self.stage == "IDHACK":
            return {}
        return {"keyPattern": "{ _id: 1 }", "indexName": "_id_"}

    def open(self, query: Query) -> Stage:
        """Make the look-up."""
        whole = isinstance(query.filter.tree, tree.Compare)
        return stages.IdLookup(query.state, self.key, _selector(query, needed=not whole))


@dataclass(frozen=True)
class IndexScan(Node):
    """Entries of an index within bounds."""

    index: Index
    fields: tuple[FieldBounds, ...]
    ranges: KeyRanges
    pattern: dict[str, Any]
    reverse: bool = False
    stage = "IXSCAN"

    def describe(self) -> Document:
        """Show the index and its bounds."""
        document = index_fields(self.index, self.pattern)
        document["direction"] = "backward" if self.reverse else "forward"
        document["indexBounds"] = bounds_document(self.pattern, self.fields, reverse=self.reverse)
        return document

    def open(self, query: Query) -> Stage:
        """Make the scan."""
        return stages.IndexScan(query.state, self.index, self.ranges, reverse=self.reverse)


def index_fields(index: Index, pattern: dict[str, Any]) -> Document:
    """Describe an index as `explain` does."""
    spec = index.spec
    document: Document = {"keyPattern": dict(pattern), "indexName": index.name}
    if "collation" in spec:
        document["collation"] = spec["collation"]
    known = index.multikey_paths
    document |= {
        "isMultiKey": index.multikey,
        "multiKeyPaths": {name: known.get(name, []) for name in pattern},
        "isUnique": index.unique,
        "isSparse": index.sparse,
        "isPartial": index.partial is not None,
        "indexVersion": spec.get("v", 2),
    }
    return document


def bounds_document(
    pattern: dict[str, Any], fields: tuple[FieldBounds, ...], *, reverse: bool
) -> Document:
    """Show the bounds of each field in the direction of the scan."""
    return {
        name: bounds_text(part, descending=is_descending(direction) != reverse)
        for (name, direction), part in zip(pattern.items(), fields, strict=True)
    }


@dataclass(frozen=True)
class GeoNear(Node):
    """Documents by their distance from a point, the nearest first."""

    index: Index
    filter: tree.Node | None
    start: Callable[[Query], Stage]
    stage: str = "GEO_NEAR_2DSPHERE"

    def describe(self) -> Document:
        """Show the index and what the documents have to match."""
        return {
            **filter_field(self.filter),
            "keyPattern": dict(self.index.key_pattern),
            "indexName": self.index.name,
            "indexVersion": self.index.spec.get("v", 2),
        }

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        return self.start(query)


@dataclass(frozen=True)
class Fetch(Node):
    """Records of index entries.

    `checked` is False where every entry belongs to a document that matches, as long as none of
    the indexes meets its first array.
    """

    child: Node
    filter: tree.Node | None
    indexes: tuple[Index, ...]
    checked: bool = True
    stage = "FETCH"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show what the index does not answer."""
        return filter_field(self.filter)

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        return stages.Fetch(
            self.child.open(query),
            query.state,
            _selector(query),
            () if self.checked else self.indexes,
        )


@dataclass(frozen=True)
class Covered(Node):
    """A projection that an index answers alone.

    The records are still taken, for the keys do not tell an int from a double; but no document
    is examined.
    """

    child: Node
    spec: Document
    stage = "PROJECTION_COVERED"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show the projection."""
        return {"transformBy": self.spec}

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        return stages.Covered(self.child.open(query), query.state)


@dataclass(frozen=True)
class Or(Node):
    """The union of several nodes."""

    parts: tuple[Node, ...]
    stage = "OR"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The branches."""
        return self.parts

    def open(self, query: Query) -> Stage:
        """Make the union."""
        return stages_combine.Union(*(part.open(query) for part in self.parts))


@dataclass(frozen=True)
class Subplan(Node):
    """A filter that is an `$or`, whose branches were planned one by one."""

    child: Node
    stage = "SUBPLAN"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def open(self, query: Query) -> Stage:
        """Make what stands below: this node does nothing itself."""
        return self.child.open(query)


@dataclass(frozen=True)
class SortMerge(Node):
    """Scans of one index, each with its leading fields fixed, merged into the sort's order."""

    scans: tuple[IndexScan, ...]
    descending: tuple[bool, ...]
    fixed: int
    sort: Document
    stage = "SORT_MERGE"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The scans."""
        return self.scans

    def describe(self) -> Document:
        """Show the order."""
        return {"sortPattern": self.sort}

    def open(self, query: Query) -> Stage:
        """Make the merge."""
        return stages_combine.MergeSorted(
            [scan.open(query) for scan in self.scans],
            self.descending,
            self.fixed,
            reverse=self.scans[0].reverse,
        )


@dataclass(frozen=True)
class Sort(Node):
    """All rows in order."""

    child: Node
    pattern: Document
    limit: int | None
    memory_bytes: int
    stage = "SORT"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Order and limits."""
        document: Document = {"sortPattern": self.pattern, "memLimit": self.memory_bytes}
        if self.limit is not None:
            document["limitAmount"] = self.limit
        return document | {"type": "simple"}

    def open(self, query: Query) -> Stage:
        """Make the sort."""
        assert query.sort is not None
        return stages_combine.Sort(
            self.child.open(query),
            query.state,
            query.sort,
            Selector(query.filter, query.env),
            query.env,
            self.limit,
            self.memory_bytes,
            bounded=query.bounds_memory,
        )


@dataclass(frozen=True)
class Skip(Node):
    """All but the first rows."""

    child: Node
    count: int
    stage = "SKIP"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show the count."""
        return {"skipAmount": self.count}

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        return stages_combine.Skip(self.child.open(query), self.count)


@dataclass(frozen=True)
class Limit(Node):
    """The first rows only."""

    child: Node
    count: int
    stage = "LIMIT"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show the count."""
        return {"limitAmount": self.count}

    def open(self, query: Query) -> Stage:
        """Make the stage."""
        needed = query.needed or self.count
        return stages_combine.Limit(self.child.open(query), self.count, needed)


@dataclass(frozen=True)
class Project(Node):
    """What becomes of each record; the caller does it, so the stage is the child's."""

    child: Node
    spec: Document
    stage: str = "PROJECTION_DEFAULT"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def describe(self) -> Document:
        """Show the projection."""
        return {"transformBy": self.spec}

    def open(self, query: Query) -> Stage:
        """Make the child's stage."""
        return self.child.open(query)


@dataclass(frozen=True)
class Count(Node):
    """The number of rows."""

    child: Node
    stage = "COUNT"

    @property
    def children(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The one child."""
        return (self.child,)

    def open(self, query: Query) -> Stage:
        """Make the child's stage, whose rows are counted."""
        return self.child.open(query)


@dataclass(frozen=True)
class FastCount(Node):
    """The number of all documents, which is known."""

    number: int
    stage = "RECORD_STORE_FAST_COUNT"

    def open(self, query: Query) -> Stage:  # noqa: ARG002
        """Make the empty stage."""
        return stages.Nothing()


@dataclass(frozen=True)
class CountScan(Node):
    """Entries within bounds, of which only the number is wanted."""

    index: Index
    bounds: IndexBounds
    ranges: KeyRanges
    stage = "COUNT_SCAN"

    def describe(self) -> Document:
        """Show the index and its bounds."""
        document = index_fields(self.index, self.index.key_pattern)
        document["indexBounds"] = bounds_document(
            self.index.key_pattern, self.bounds.fields, reverse=False
        )
        return document

    def open(self, query: Query) -> Stage:
        """Make the scan."""
        return stages_keys.CountKeys(query.state, self.index, self.ranges)


@dataclass(frozen=True)
class DistinctScan(Node):
    """One entry for each value of a component."""

    index: Index
    bounds: IndexBounds
    ranges: KeyRanges
    descending: tuple[bool, ...]
    stage = "DISTINCT_SCAN"

    def describe(self) -> Document:
        """Show the index and its bounds."""
        document = index_fields(self.index, self.index.key_pattern)
        document["direction"] = "forward"
        document["indexBounds"] = bounds_document(
            self.index.key_pattern, self.bounds.fields, reverse=False
        )
        return document

    def open(self, query: Query) -> Stage:
        """Make the scan."""
        return stages_keys.DistinctKeys(query.state, self.index, self.ranges, self.descending)
