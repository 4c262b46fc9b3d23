"""Which indexes may serve a query, and as what: fields, hints, sparse, partial, collation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_query import bounds
from psdb_query.bounds import FieldBounds, Interval
from psdb_query.bounds_index import IndexBounds, IndexField, Predicates, index_bounds
from psdb_query.bounds_ranges import Column, KeyRanges, key_ranges
from psdb_query.context import Collation
from psdb_store.collection import Collection
from psdb_store.index import Index
from psdb_store.index_keys import component, is_descending
from shardsvr.planning import nodes
from shardsvr.planning.implication import implies
from shardsvr.planning.query import Query

PLANNER: Final = "error processing query: planner returned error :: caused by :: "
"""How the planner's errors begin."""
SERVING: Final = frozenset(("2d", "2dsphere", "btree", "hashed"))
"""Kinds of index whose keys are the components of the pattern's fields."""
PLACES: Final = frozenset(("2d", "2dsphere"))
"""Kinds of index that hold only documents with a geometry, by the cells it is in."""


@dataclass(frozen=True, slots=True)
class Access:
    """One way to use one index for a query.

    Args:
        index: The index.
        bounds: What the filter says of it.
        ranges: The same as ranges of keys.
        columns: Its fields as ranges see them.
        exact: Every entry within the bounds belongs to a document that matches.
        same_collation: It orders strings as the query does.
        pattern: Its fields as `explain` shows them; those of a wildcard index name the path.

    """

    index: Index
    bounds: IndexBounds
    ranges: KeyRanges
    columns: tuple[Column, ...]
    exact: bool
    same_collation: bool
    pattern: dict[str, Any]

    @property
    def is_useful(self) -> bool:
        """The leading field is bounded, or the index leaves out what cannot match."""
        return self.bounds.is_useful or (self.index.sparse and self.bounds.present)

    @property
    def is_one(self) -> bool:
        """It leads to one document at most."""
        return (
            self.index.unique
            and self.index.partial is None
            and len(self.ranges.ranges) == 1
            and self.ranges.points == len(self.columns)
        )

    def scan(
        self,
        *,
        reverse: bool = False,
        ranges: KeyRanges | None = None,
        fields: tuple[FieldBounds, ...] | None = None,
    ) -> nodes.IndexScan:
        """Return the scan of the whole, or of the part that `ranges` and `fields` describe."""
        return nodes.IndexScan(
            self.index,
            self.bounds.fields if fields is None else fields,
            self.ranges if ranges is None else ranges,
            self.pattern,
            reverse=reverse,
        )


def ready_indexes(collection: Collection) -> Iterator[Index]:
    """Yield the indexes that plans may use without being told to."""
    for index in collection.indexes.values():
        if not index.hidden and index.ready:
            yield index


def usable_indexes(query: Query) -> Iterator[Index]:
    """Yield the indexes that plans of a query may use: an index filter may leave some out."""
    allowed = query.allowed
    for index in ready_indexes(query.collection):
        if allowed is None or index.name in allowed:
            yield index


def access_of(
    query: Query, index: Index, predicates: Predicates, *, forced: bool = False
) -> Access | None:
    """Bound an index by a query; None when it might miss documents that match.

    Args:
        query: The query.
        index: The index.
        predicates: Those of its filter (or of one branch of it).
        forced: By a hint: a sparse or partial index is used whatever it misses.

    """
    if index.kind not in SERVING:
        return None
    same = same_collation(index.collation, query.collation)
    if index.partial is not None and not forced:
        if not same or not implies(predicates, index.partial.tree, query.collation):
            return None
    fields = fields_of(index)
    found = index_bounds(predicates, fields, index.collation)
    if not same:
        found = _without_texts(found)
    if not forced and (index.sparse or index.kind in PLACES) and not _reaches_all(fields, found):
        return None
    columns = shape_of(index).columns
    exact = len(found.answered) == len(predicates.conjuncts)
    ranges = key_ranges(found.fields, columns)
    return Access(index, found, ranges, columns, exact, same, index.key_pattern)


def _reaches_all(fields: Sequence[IndexField], found: IndexBounds) -> bool:
    """Tell whether every document that matches has an entry in an index that leaves some out."""
    places = [part for field, part in zip(fields, found.fields, strict=True) if field.places]
    return any(part.present for part in places) if places else found.present


def same_collation(left: Collation | None, right: Collation | None) -> bool:
    """Tell whether two compiled collations order alike."""
    return left is right or (left is not None and left == right)


_TEXTS: Final = (
    Interval(
        (order.bracket(order.RANK_STRING)[0], 0),
        (order.bracket(order.RANK_ARRAY)[1], 0),
        None,
        None,
    ),
)
"""Everything that strings may be part of: strings, objects, arrays."""


def _without_texts(found: IndexBounds) -> IndexBounds:
    """Drop bounds that compare strings by an order the index does not have."""
    parts = tuple(
        bounds.UNBOUNDED if bounds.intersect(part.intervals, _TEXTS) else part
        for part in found.fields
    )
    return IndexBounds(parts, frozenset(), found.present)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an index is, as long as it exists: worked out once.

    Args:
        fields: Its fields as bounds see them, while no document has an array there.
        columns: Its fields as key ranges see them.
        leading: Its first path.

    """

    fields: tuple[IndexField, ...]
    columns: tuple[Column, ...]
    leading: str


_SHAPES: Final[WeakKeyDictionary[Index, Shape]] = WeakKeyDictionary()


def shape_of(index: Index) -> Shape:
    """Return the shape of an index."""
    shape = _SHAPES.get(index)
    if shape is None:
        pattern = index.key_pattern.items()
        fields = tuple(_field(index, name, direction) for name, direction in pattern)
        columns = tuple(_column(direction, index) for _, direction in pattern)
        shape = _SHAPES[index] = Shape(fields, columns, fields[0].path)
    return shape


def fields_of(index: Index) -> tuple[IndexField, ...]:
    """Return the fields of an index as bounds see them."""
    fields = shape_of(index).fields
    if not index.multikey:
        return fields
    masks = masks_of(index)
    return tuple(
        replace(field, mask=mask) for field, mask in zip(fields, masks, strict=True)
    )


def _field(index: Index, name: str, direction: Any) -> IndexField:
    if direction == "2dsphere":
        from psdb_query.bounds_geo import sphere_bounds

        return IndexField(name, places=sphere_bounds)
    if direction == "2d":
        from psdb_query.bounds_geo import flat_bounds
        from psdb_store.index_geo import grid_of

        return IndexField(name, places=partial(flat_bounds, grid_of(index.spec)))
    return IndexField(name, points_only=direction == "hashed")


def masks_of(index: Index) -> tuple[int, ...]:
    """Return for each field the bits of the path components that are arrays somewhere."""
    masks = []
    for paths in index.multikey_paths.values():
        mask = 0
        for path in paths:
            mask |= 1 << path.count(".")
        masks.append(mask)
    return tuple(masks)


def _column(direction: Any, index: Index) -> Column:
    if direction == "hashed":
        collation = index.collation
        return Column(point_key=lambda value: component(value, "hashed", collation))
    return Column(descending=is_descending(direction))


def full_ranges(columns: Sequence[Column]) -> KeyRanges:
    """Return the range of a whole index."""
    return key_ranges([FieldBounds(bounds.ALL)] * len(columns), columns)


# Hints.


def hinted_index(collection: Collection, hint: Any) -> Index:
    """Return the index that a hint names or describes; 2 BadValue when there is none."""
    if collection.is_clustered and hint == collection.options["clusteredIndex"].get("name"):
        hint = {"_id": 1}  # the clustered index has a name of its own
    for index in ready_indexes(collection):
        if is_meant(index, hint):
            return index
    raise MongoError(
        Code.BAD_VALUE, PLANNER + "hint provided does not correspond to an existing index"
    )


def is_meant(index: Index, wanted: Any) -> bool:
    """Tell whether an index is the one of a name or of a key pattern."""
    if type(wanted) is str:
        return bool(index.name == wanted)
    return same_pattern(index.key_pattern, wanted)


def is_whole(query: Query, index: Index, predicates: Predicates) -> bool:
    """Tell whether an index has every document that may match."""
    return index.partial is None or implies(predicates, index.partial.tree, query.collation)


def same_pattern(left: dict[str, Any], right: Any) -> bool:
    """Tell whether two key patterns have the same fields and directions in the same order."""
    return (
        type(right) is dict
        and list(left) == list(right)
        and all(order.equal(left[name], right[name]) for name in left)
    )


def natural_direction(hint: Any) -> int | None:
    """Return 1 or -1 for `{$natural: …}`, None for other hints."""
    if type(hint) is dict and next(iter(hint), "") == "$natural":
        return -1 if is_descending(hint["$natural"]) else 1
    return None
