"""Plans over a clustered collection: its documents lie in the order of their `_id`.

Here records lie in the order of their insertion, whatever the collection, and the tree of `_id`s
gives the other order. So a plan of an ordinary collection becomes one of a clustered one: a scan
of all documents goes along that tree, and so does a scan of the `_id_` index (`CLUSTERED_IXSCAN`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from psdb_base.values import Document
from psdb_query.bounds import FieldBounds
from psdb_query.bounds_ranges import KeyRanges
from psdb_query.filters import tree
from psdb_store.index import IdIndex
from shardsvr.planning import nodes, stages
from shardsvr.planning.access import Candidate
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Selector, Stage

_ALL: Final = KeyRanges(((b"\x00", b"\xff"),), None, 0)


@dataclass(frozen=True)
class ClusteredScan(Node):
    """Documents in the order of their `_id`, those within bounds."""

    index: IdIndex
    filter: tree.Node | None
    ranges: KeyRanges
    bounds: FieldBounds | None
    reverse: bool

    @property
    def stage(self) -> str:  # type: ignore[override]
        """Tell a scan of everything from one within bounds."""
        return "COLLSCAN" if self.bounds is None else "CLUSTERED_IXSCAN"

    def describe(self) -> Document:
        """Show filter, direction and the ends of the scan."""
        document = nodes.filter_field(self.filter)
        document["direction"] = "backward" if self.reverse else "forward"
        if self.bounds is not None and self.bounds.intervals:
            document["minRecord"] = self.bounds.intervals[0].low_value
            document["maxRecord"] = self.bounds.intervals[-1].high_value
        return document

    def open(self, query: Query) -> Stage:
        """Make the stages."""
        if self.bounds is None:
            query.collection.scans += 1
        scan = stages.IndexScan(
            query.state, self.index, self.ranges, reverse=self.reverse
        )
        chosen = None if query.filter.is_trivial else Selector(query.filter, query.env)
        return stages.Fetch(scan, query.state, chosen)


def adapted(query: Query, candidate: Candidate) -> Candidate:
    """Return a candidate as a clustered collection runs it."""
    index = query.collection.id_index
    node = candidate.node
    if index is None:
        return candidate
    if isinstance(node, nodes.CollectionScan):
        scan = ClusteredScan(index, node.filter, _ALL, None, node.reverse)
        return replace(candidate, node=scan)
    if isinstance(node, nodes.Fetch) and isinstance(node.child, nodes.IndexScan):
        inner = node.child
        if inner.index is index:
            scan = ClusteredScan(
                index, node.filter, inner.ranges, inner.fields[0], inner.reverse
            )
            return replace(candidate, node=scan, access=None)
    return candidate
