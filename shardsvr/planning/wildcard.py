"""Wildcard indexes: which predicates they serve, and as what fields.

An entry's key holds the path (without array positions) and then the value there, so a predicate
on a covered path is served as by an index over `{$_path: 1, <path>: 1}`. Only what has a key
at the very path can be found: not missing fields, and not objects, which have their keys at the
paths of their fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from psdb_base import order
from psdb_query import bounds
from psdb_query.bounds import FieldBounds, Interval
from psdb_query.bounds_index import IndexBounds, IndexField, Predicates, index_bounds
from psdb_query.bounds_ranges import Column, key_ranges
from psdb_query.filters.traverse import array_position
from psdb_store.index import Index
from psdb_store.index_keys import is_descending
from psdb_store.index_spec_wildcard import projected_paths
from shardsvr.planning.indexes import Access, same_collation
from shardsvr.planning.query import Query

PATH: Final = "$_path"
"""What `explain` calls the part of a key that is the path."""

_OBJECTS: Final = (
    Interval((order.key({}), 1), (order.bracket(order.RANK_OBJECT)[1], 0), None, None),
)
"""All objects but the empty one."""


def accesses(query: Query, index: Index, predicates: Predicates) -> Iterator[Access]:
    """Yield the ways to use a wildcard index, one for each path of the query that it covers."""
    if index.partial is not None or not same_collation(index.collation, query.collation):
        return
    names = list(index.key_pattern)
    at = next(n for n, name in enumerate(names) if name == "$**" or name.endswith(".$**"))
    for path in predicates.by_path:
        if path not in names and covers(index.spec, names[at], path):
            found = _access(index, predicates, names, at, path)
            if found is not None:
                yield found


def _access(
    index: Index, predicates: Predicates, names: list[str], at: int, path: str
) -> Access | None:
    everywhere = -1 if index.multikey else 0
    fields = [
        IndexField(path if n == at else name, everywhere & ((1 << (name.count(".") + 1)) - 1))
        for n, name in enumerate(names)
    ]
    if index.multikey:
        fields[at] = IndexField(path, (1 << (path.count(".") + 1)) - 1)
    found = index_bounds(predicates, fields, index.collation)
    value = found.fields[at]
    if value.is_full or bounds.intersect(value.intervals, _OBJECTS):
        return None
    if bounds.contains(value.intervals, bounds.NULL_KEY) and not value.present:
        return None
    here = FieldBounds((bounds.point(path),))
    parts = (*found.fields[:at], here, *found.fields[at:])
    shown = IndexBounds(parts, found.answered, present=True)
    columns = tuple(Column(descending=is_descending(index.key_pattern[name])) for name in names)
    columns = (*columns[:at], Column(), *columns[at:])
    exact = not index.multikey and len(found.answered) == len(predicates.conjuncts)
    pattern: dict[str, Any] = {}
    for n, name in enumerate(names):
        if n == at:
            pattern[PATH] = 1
            pattern[path] = index.key_pattern[name]
        else:
            pattern[name] = index.key_pattern[name]
    return Access(
        index, shown, key_ranges(parts, columns), columns, exact, same_collation=False,
        pattern=pattern,
    )  # fmt: skip


def covers(spec: dict[str, Any], wildcard: str, path: str) -> bool:
    """Tell whether an index has the values at a path."""
    if any(array_position(part) is not None for part in path.split(".")):
        return False
    if wildcard != "$**":
        root = wildcard[: -len(".$**")]
        return path == root or path.startswith(root + ".")
    paths = projected_paths(spec.get("wildcardProjection") or {})
    with_id = paths.pop("_id", False)
    if path == "_id" or path.startswith("_id."):
        return with_id
    if not paths:
        return not with_id  # `{_id: true}` alone is an inclusion of nothing else
    within = any(path == name or path.startswith(name + ".") for name in paths)
    return within == any(paths.values())
