"""The candidates: every sensible plan of a query, to be tried against each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

from psdb_query.bounds import FieldBounds, looseness
from psdb_query.bounds_index import Predicates
from psdb_query.bounds_ranges import KeyRanges
from psdb_query.filters import tree
from psdb_query.sorting import Sorter
from psdb_store.index import Index
from psdb_store.index_keys import is_descending
from shardsvr.planning import nodes, wildcard
from shardsvr.planning.indexes import (
    PLACES,
    SERVING,
    Access,
    access_of,
    fields_of,
    shape_of,
    usable_indexes,
)
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query

MERGED_SCANS_MAX: Final = 200
"""An order is merged from no more scans than this."""
OR_BRANCHES_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan for finding the documents, before sort, skip, limit and projection.

    Args:
        node: What gives the records.
        sorted: They come in the order of the query.
        access: The one index used, if it is one.

    """

    node: Node
    sorted: bool = False
    access: Access | None = None


def residual_of(predicates: Predicates, answered: frozenset[int]) -> tree.Node | None:
    """Return the conjunction of what an index does not answer."""
    return joined(
        [node for number, node in enumerate(predicates.conjuncts) if number not in answered]
    )


def joined(conjuncts: list[tree.Node]) -> tree.Node | None:
    """Return the conjunction of nodes, None for none."""
    if not conjuncts:
        return None
    return conjuncts[0] if len(conjuncts) == 1 else tree.And(tuple(conjuncts))


def candidates(query: Query, predicates: Predicates) -> list[Candidate]:
    """Return the plans worth trying that use indexes; empty when none does."""
    known = predicates.by_path
    ordered = query.sort.paths if query.sort is not None else ()
    found: list[Candidate] = []
    for index in usable_indexes(query):
        if index.kind == "wildcard":
            found += wildcard_candidates(query, index, predicates)
        if index.kind not in SERVING:
            continue
        if shape_of(index).leading in known or any(path in index.key_pattern for path in ordered):
            plain = access_of(query, index, predicates)
            if plain is not None:
                found += from_access(query, plain, predicates)
    union = or_candidate(query, predicates)
    if union is not None:
        found.append(union)
    return found


def wildcard_candidates(query: Query, index: Index, predicates: Predicates) -> list[Candidate]:
    """Return the plans that a wildcard index makes possible, one for each path."""
    return [
        _candidate(access, access.scan(), predicates, is_sorted=False)
        for access in wildcard.accesses(query, index, predicates)
    ]


def from_access(query: Query, access: Access, predicates: Predicates) -> list[Candidate]:
    """Return the plans that one index makes possible: by its bounds, or by its order."""
    direction = order_given(query.sort, access) if query.sort is not None else None
    if direction is None and access.is_useful and query.sort is not None:
        merged = merged_order(query.sort, access)
        if merged is not None:
            # It meets the same entries as the scan below, so a sort has nothing to win.
            return [_candidate(access, merged, predicates, is_sorted=True)]
    if access.is_useful or direction is not None:
        scan = access.scan(reverse=direction == "backward")
        return [_candidate(access, scan, predicates, is_sorted=direction is not None)]
    return []


def _candidate(access: Access, scan: Node, predicates: Predicates, *, is_sorted: bool) -> Candidate:
    return Candidate(fetched(access, scan, predicates), is_sorted, access)


def fetched(access: Access, scan: Node, predicates: Predicates) -> Node:
    """Put the fetch above a scan."""
    if access.exact:
        return nodes.Fetch(scan, None, (access.index,), checked=access.index.multikey)
    residual = residual_of(predicates, access.bounds.answered)
    return nodes.Fetch(scan, residual, (access.index,))


def may_skip(query: Query, predicates: Predicates) -> bool:
    """Tell whether some index has its leading field open and a later one bounded."""
    known = predicates.by_path
    return any(
        index.kind in SERVING
        and shape_of(index).leading not in known
        and any(path in known for path in index.key_pattern)
        for index in usable_indexes(query)
    )


def skipping(query: Query, predicates: Predicates) -> list[Candidate]:
    """Return plans that skip through an index whose leading field is open but a later is not."""
    found = []
    for index in usable_indexes(query):
        if not any(path in predicates.by_path for path in index.key_pattern):
            continue
        access = access_of(query, index, predicates)
        if access is None or access.is_useful or access.ranges.check is None:
            continue
        scan = access.scan()
        found.append(_candidate(access, scan, predicates, is_sorted=False))
    return found


# Unions.


def or_candidate(query: Query, predicates: Predicates) -> Candidate | None:
    """Return the plan that answers an `$or` branch by branch; None without an index for each."""
    for number, conjunct in enumerate(predicates.conjuncts):
        if not isinstance(conjunct, tree.Or) or len(conjunct.children) > OR_BRANCHES_MAX:
            continue
        rest = [node for at, node in enumerate(predicates.conjuncts) if at != number]
        branches = [_branch(query, child, rest) for child in conjunct.children]
        if all(branch is not None for branch in branches):
            known = [branch for branch in branches if branch is not None]
            return Candidate(_union(known, predicates, rooted=not rest))
    return None


def _branch(query: Query, child: tree.Node, rest: list[tree.Node]) -> Access | None:
    """Return the best index for one branch, which has to bound it by the branch's own terms."""
    own = Predicates(child, query.env)
    both = Predicates(tree.And((child, *rest)), query.env) if rest else own
    best: tuple[tuple[float, ...], Access] | None = None
    for index in usable_indexes(query):
        if next(iter(index.key_pattern)) not in own.by_path:
            continue
        access = access_of(query, index, both)
        if access is None or not access.is_useful:
            continue
        rank = tightness(access)
        if best is None or rank < best[0]:
            best = (rank, access)
    return None if best is None else best[1]


def tightness(access: Access) -> tuple[float, ...]:
    """Rank an access by how little it is likely to let through, the tightest first."""
    ranks = [looseness(part) for part in access.bounds.fields]
    return (0.0 if access.is_one else 1.0, *(float(kind) for kind, _ in ranks))


def _union(branches: list[Access], predicates: Predicates, *, rooted: bool) -> Node:
    scans = tuple(one.scan() for one in branches)
    indexes = tuple(one.index for one in branches)
    exact = all(one.exact for one in branches)
    residual = None if exact else residual_of(predicates, frozenset())
    checked = not exact or any(index.multikey for index in indexes)
    union: Node = nodes.Fetch(nodes.Or(scans), residual, indexes, checked=checked)
    return nodes.Subplan(union) if rooted else union


# Orders.


def order_given(sort: Sorter, access: Access) -> str | None:
    """Tell in which direction a scan of the index gives the sort's order, if in any."""
    wanted = _wanted(sort)
    if wanted is None or not access.same_collation or not _plain(access):
        return None
    fixed = _fixed_fields(access, points_max=1)
    return _direction(wanted, access, fixed)


def _wanted(sort: Sorter) -> list[tuple[str, bool]] | None:
    if sort.needs_meta or not sort.parts:
        return None
    return [(part.path, part.ascending) for part in sort.parts]


def _plain(access: Access) -> bool:
    if access.index.kind in PLACES:
        return False
    return all(column.point_key is None for column in access.columns)


def _fixed_fields(access: Access, *, points_max: int) -> int:
    """Count the leading fields that are bounded to single values, `points_max` of each."""
    count = 0
    for part in access.bounds.fields:
        if not part.is_points or not 1 <= len(part.intervals) <= points_max:
            break
        count += 1
    return count


def _direction(wanted: list[tuple[str, bool]], access: Access, fixed: int) -> str | None:
    """Match sort keys with the index's fields, of which the first `fixed` have one value each."""
    pattern = [(name, not is_descending(value)) for name, value in access.index.key_pattern.items()]
    fields = fields_of(access.index)
    constant = {field.path for field in fields[:fixed] if not field.mask}
    at = 0
    direction: str | None = None
    used: list[int] = []
    for path, ascending in wanted:
        while at < len(pattern) and at < fixed and pattern[at][0] != path:
            at += 1
        if at < len(pattern) and pattern[at][0] == path:
            if at >= fixed:
                this = "forward" if pattern[at][1] == ascending else "backward"
                if direction is not None and direction != this:
                    return None
                direction = this
            used.append(at)
            at += 1
        elif path not in constant:
            return None
    if not _arrays_keep_order(access, used, fixed):
        return None
    return direction or "forward"


def _arrays_keep_order(access: Access, used: list[int], fixed: int) -> bool:
    """Tell whether the first entry of every record is the one that its sort key is.

    A record behind arrays sorts by its least (or greatest) entry. That is the first one met
    only if no bounds keep it out and no other field fixed before chooses among its elements.
    """
    if not access.index.multikey:
        return True
    fields = fields_of(access.index)
    behind = [at for at in used if fields[at].mask]
    if any(at < fixed for at in behind):
        return False
    if not behind:
        return True
    if any(not access.bounds.fields[at].is_full for at in range(fixed, len(fields))):
        return False
    return not any(fields[at].mask for at in range(fixed))


def merged_order(sort: Sorter, access: Access) -> nodes.SortMerge | None:
    """Return the merge of scans, one for each combination of fixed values, in the sort's order."""
    wanted = _wanted(sort)
    if wanted is None or not access.same_collation or not _plain(access):
        return None
    fixed = min(_fixed_fields(access, points_max=MERGED_SCANS_MAX), access.ranges.points)
    single = _fixed_fields(access, points_max=1)
    count = len(access.ranges.ranges)
    names = list(access.index.key_pattern)
    if fixed <= single or not 1 < count <= MERGED_SCANS_MAX:
        return None
    if any(path in names[:fixed] for path, _ in wanted):
        return None
    direction = _direction(wanted, access, fixed)
    length = fixed + len(wanted)
    if direction is None or names[fixed:length] != [path for path, _ in wanted]:
        return None
    if fixed < len(names) and len(access.bounds.fields[fixed].intervals) != 1:
        return None
    descending = tuple(column.descending for column in access.columns[:length])
    scans = _part_scans(access, fixed, reverse=direction == "backward")
    return nodes.SortMerge(scans, descending, fixed, sort.spec)


def _part_scans(access: Access, fixed: int, *, reverse: bool) -> tuple[nodes.IndexScan, ...]:
    """Return a scan for each combination of the values of the fields that are fixed."""
    values = [
        part.intervals[::-1] if column.descending else part.intervals
        for part, column in zip(access.bounds.fields[:fixed], access.columns, strict=False)
    ]
    rest = access.bounds.fields[fixed:]
    check, points = access.ranges.check, access.ranges.points
    return tuple(
        access.scan(
            reverse=reverse,
            ranges=KeyRanges((one,), check, points),
            fields=(*(FieldBounds((interval,)) for interval in combination), *rest),
        )
        for combination, one in zip(product(*values), access.ranges.ranges, strict=True)
    )
