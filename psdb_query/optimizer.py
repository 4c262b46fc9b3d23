"""Optimisation of pipelines: local rewrites of neighbouring stages until none applies.

Each rule looks at two neighbours and returns what stands in their place, or None. What comes
out of the pipeline is the same with and without; only errors of documents that are no longer
looked at may stay away. Rules in the order in which they are tried:

- `$match` + `$match` → one `$match`; an empty one goes;
- X + `$match` → `$match` + X, for the conjuncts that do not depend on what X does (through
  renames, group keys and partitions as well);
- `$lookup` + `$unwind` of its result → one stage;
- `$sort` + `$limit` → top-k; `$skip` + `$limit` → `$limit` + `$skip`; neighbours of one kind
  merge; X + `$limit` → `$limit` + X where X is one to one;
- `$addFields` + `$addFields` → one, if the second does not see what the first does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.filters import tree
from psdb_query.filters.filter import compile_filter, walk
from psdb_query.numeric import fits_long
from psdb_query.projection import compile_add_fields
from psdb_query.stages.group import GroupStage
from psdb_query.stages.lookup import LookupStage
from psdb_query.stages.match import MatchStage, make_match
from psdb_query.stages.model import Modified, Stage, StageContext
from psdb_query.stages.pipeline import needed_paths
from psdb_query.stages.set_window_fields import SetWindowFieldsStage
from psdb_query.stages.shape import ShapeStage
from psdb_query.stages.slicing import LimitStage, SkipStage
from psdb_query.stages.sort import SortStage
from psdb_query.stages.union_with import UnionWithStage
from psdb_query.stages.unwind import UnwindStage

Rule: TypeAlias = Callable[[Any, Any, StageContext], "list[Stage] | None"]

_ROUNDS_PER_STAGE: Final = 64


def optimize(stages: list[Stage], context: StageContext) -> list[Stage]:
    """Return stages that give the same documents in the same order, faster."""
    result = [stage for stage in stages if not _is_trivial(stage)]
    at = 0
    budget = _ROUNDS_PER_STAGE * (len(result) + 1) ** 2
    while at + 1 < len(result) and budget:
        budget -= 1
        replaced = _rewrite(result[at], result[at + 1], context)
        if replaced is None:
            at += 1
        else:
            result[at : at + 2] = replaced
            at = max(0, at - 1)
    return _narrowed(result)


def _narrowed(stages: list[Stage]) -> list[Stage]:
    """Tell each `$unwind` and `$lookup` what the stages behind look at, if not everything.

    Fields come out in another order then, so only where a `$group` ends what is passed on.
    """
    result = list(stages)
    for at, stage in enumerate(stages):
        end = next((one for one in stages[at + 1 :] if one.closed), None)
        if isinstance(stage, (LookupStage, UnwindStage)) and isinstance(end, GroupStage):
            paths = needed_paths(stages[at + 1 :])
            if paths is not None:
                roots = sorted({path.partition(".")[0] for path in paths})
                result[at] = stage.with_needed(tuple(roots))
    return result


def _is_trivial(stage: Stage) -> bool:
    return isinstance(stage, MatchStage) and stage.filter.is_trivial


def _rewrite(first: Stage, second: Stage, context: StageContext) -> list[Stage] | None:
    for kinds, rule in _RULES:
        if isinstance(first, kinds[0]) and isinstance(second, kinds[1]):
            replaced = rule(first, second, context)
            if replaced is not None:
                return replaced
    return None


# $match forward


def _merge_matches(
    first: MatchStage, second: MatchStage, context: StageContext
) -> list[Stage] | None:
    return [make_match({"$and": [first.spec, second.spec]}, context)]


def _match_forward(first: Stage, match: MatchStage, context: StageContext) -> list[Stage] | None:
    """Move the conjuncts that `first` leaves alone to before it."""
    if not _may_be_crossed(first):
        return None
    moved: list[Document] = []
    stay: list[Document] = []
    for conjunct in conjuncts(match.spec):
        earlier = _before(first, conjunct, context)
        if earlier is None:
            stay.append(conjunct)
        else:
            moved.append(earlier)
    if not moved:
        return None
    behind = [make_match(_joined(stay), context)] if stay else []
    return [make_match(_joined(moved), context), first, *behind]


def _may_be_crossed(stage: Stage) -> bool:
    if isinstance(stage, SortStage):
        return stage.limit is None and not stage.sorter.needs_meta
    return stage.name in _CROSSED


_CROSSED: Final = frozenset(
    (
        "$addFields", "$graphLookup", "$group", "$lookup", "$project", "$set", "$setWindowFields",
        "$sort", "$unset", "$unwind",
    )
)  # fmt: skip
"""Stages that a `$match` may pass, as far as its paths are not theirs."""


def conjuncts(spec: Document) -> list[Document]:
    """Return what must all hold for a filter to match, nested `$and`s flattened."""
    found: list[Document] = []
    for name, value in spec.items():
        if name == "$and" and type(value) is list:
            for part in value:
                found += conjuncts(part)
        elif name != "$comment":
            found.append({name: value})
    return found


def _joined(parts: list[Document]) -> Document:
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _before(stage: Stage, conjunct: Document, context: StageContext) -> Document | None:
    """Return the conjunct as it has to be written before the stage; None if it cannot be."""
    filter_ = compile_filter(conjunct, context.expressions)
    nodes = list(walk(filter_.tree))
    if not all(_is_movable(node) for node in nodes) or "" in filter_.paths:
        return None
    modified = stage.modified()
    if isinstance(stage, GroupStage):
        if stage.partial or stage.merging or not _tells_groups_apart(nodes, context):
            return None
    elif isinstance(stage, SetWindowFieldsStage):
        if not _is_of_partition(stage, filter_.paths) or not _tells_groups_apart(nodes, context):
            return None
    renames: dict[str, str] = {}
    for path in filter_.paths:
        old = _path_before(path, modified)
        if old is None:
            return None
        if old != path:
            renames[path] = old
    return _renamed(conjunct, renames) if renames else conjunct


def _path_before(path: str, modified: Modified) -> str | None:
    """Return what a path was called before a stage, None if it was not there or not the same."""
    for new, old in modified.renames.items():
        if path == new or path.startswith(new + "."):
            return old + path[len(new) :]
    if modified.everything:
        kept = any(path == one or path.startswith(one + ".") for one in modified.kept)
        return path if kept and not _touches(path, modified.paths) else None
    return None if _touches(path, modified.paths) else path


def _touches(path: str, others: Iterable[str]) -> bool:
    return any(
        path == other or path.startswith(other + ".") or other.startswith(path + ".")
        for other in others
    )


def _is_movable(node: tree.Node) -> bool:
    """Tell whether a node gives the same on the same fields, wherever and how often it runs."""
    if isinstance(node, tree.ExprNode):
        return not _mentions_chance(node.spec)
    return not isinstance(node, _FIXED)


_FIXED: Final = (
    tree.Guard, tree.JsonSchema, tree.Near, tree.SampleRate, tree.Text, tree.Where,
)


def _mentions_chance(spec: Any) -> bool:
    if type(spec) is dict:
        return any(
            name in ("$rand", "$function") or _mentions_chance(value)
            for name, value in spec.items()
        )
    return type(spec) is list and any(map(_mentions_chance, spec))


_GROUP_SAFE: Final = (tree.And, tree.Compare, tree.In, tree.Nor, tree.Not, tree.Or)


def _tells_groups_apart(nodes: list[tree.Node], context: StageContext) -> bool:
    """Tell whether a filter gives the same for all documents of one group.

    A group joins missing with null, and numbers of different types: comparisons with plain
    values treat them alike, tests of existence or type do not.
    """
    for node in nodes:
        if not isinstance(node, _GROUP_SAFE):
            return False
        values = [node.value] if isinstance(node, tree.Compare) else []
        if isinstance(node, tree.In):
            if node.regexes and context.expressions.collation is not None:
                return False
            values = list(node.values)
        if not all(type(value) in _PLAIN for value in values):
            return False
    return True


_PLAIN: Final = frozenset(
    (bool, float, int, str, type(None), DatetimeMS, Decimal128, Int64, ObjectId, Timestamp)
)


def _is_of_partition(stage: SetWindowFieldsStage, paths: frozenset[str]) -> bool:
    partition = stage.partition_by
    return (
        partition is not None
        and partition.path is not None
        and "." not in partition.path
        and paths == frozenset((partition.path,))
        and not _touches(partition.path, stage.output)
    )


def _renamed(spec: Document, renames: Mapping[str, str]) -> Document | None:
    """Rewrite the paths of a filter; None where a path hides in an expression."""
    result: Document = {}
    for name, value in spec.items():
        if name in ("$and", "$nor", "$or"):
            parts = [_renamed(part, renames) for part in value]
            if any(part is None for part in parts):
                return None
            result[name] = parts
        elif name.startswith("$"):
            return None
        else:
            result[renames.get(name, name)] = value
    return result if len(result) == len(spec) else None


def _match_into_union(
    union: UnionWithStage, match: MatchStage, context: StageContext
) -> list[Stage] | None:
    """Filter both sides of a `$unionWith`."""
    if not all(_is_movable(node) for node in walk(match.filter.tree)):
        return None
    pipeline = context.compile(
        [*union.pipeline.spec, {"$match": match.spec}],
        context.expressions,
        database=union.database,
        collection=union.collection,
        place="$unionWith",
        depth=context.depth + 1,
    )
    spec: Document = {"coll": union.collection} if union.collection else {}
    spec["pipeline"] = list(pipeline.spec)
    return [match, UnionWithStage(spec, union.database, union.collection, pipeline)]


# Joins


def _unwind_in_lookup(
    lookup: LookupStage, unwind: UnwindStage, _context: StageContext
) -> list[Stage] | None:
    if lookup.unwind is not None or unwind.path != lookup.as_path:
        return None
    index = unwind.index
    if index is not None and _touches(index, (lookup.as_path,)):
        return None
    return [lookup.with_unwind(unwind)]


# Sorting and slicing


def _limit_in_sort(
    sort: SortStage, limit: LimitStage, _context: StageContext
) -> list[Stage] | None:
    return None if sort.implied else [sort.with_limit(limit.count)]


def _limit_before_skip(
    skip: SkipStage, limit: LimitStage, _context: StageContext
) -> list[Stage] | None:
    total = skip.count + limit.count
    return [LimitStage(total), skip] if fits_long(total) else None


def _merge_limits(
    first: LimitStage, second: LimitStage, _context: StageContext
) -> list[Stage] | None:
    return [first if first.count <= second.count else second]


def _merge_skips(first: SkipStage, second: SkipStage, _context: StageContext) -> list[Stage] | None:
    total = first.count + second.count
    return [SkipStage(total)] if fits_long(total) else None


def _slice_forward(first: Stage, second: Stage, _context: StageContext) -> list[Stage] | None:
    return [second, first] if first.one_to_one else None


# $addFields


def _merge_additions(
    first: ShapeStage, second: ShapeStage, context: StageContext
) -> list[Stage] | None:
    names = ("$addFields", "$set")
    if first.name not in names or second.name not in names:
        return None
    changed = first.modified().paths
    if "" in second.reads or any(_touches(path, changed) for path in second.reads):
        return None
    roots = [{path.partition(".")[0] for path in stage.spec} for stage in (first, second)]
    if roots[0] & roots[1]:
        return None
    spec = {**first.spec, **second.spec}
    try:
        projection = compile_add_fields(spec, context.expressions, first.name)
    except MongoError:
        return None
    return [ShapeStage(first.name, spec, projection)]


_RULES: Final[tuple[tuple[tuple[Any, Any], Rule], ...]] = (
    ((MatchStage, MatchStage), _merge_matches),
    ((UnionWithStage, MatchStage), _match_into_union),
    ((Stage, MatchStage), _match_forward),
    ((LookupStage, UnwindStage), _unwind_in_lookup),
    ((SortStage, LimitStage), _limit_in_sort),
    ((SkipStage, LimitStage), _limit_before_skip),
    ((LimitStage, LimitStage), _merge_limits),
    ((SkipStage, SkipStage), _merge_skips),
    ((Stage, (LimitStage, SkipStage)), _slice_forward),
    ((ShapeStage, ShapeStage), _merge_additions),
)
"""Pairs of kinds and the rule for them, in the order in which they are tried."""
