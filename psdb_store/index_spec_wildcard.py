"""Specifications of wildcard indexes: which fields and projections go together.

In a compound index no regular field may lie under the wildcard, or the projection has to leave
it out (manual: "Wildcard Index Restrictions"); the codes are MongoDB's.
"""

from __future__ import annotations

from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import DEFAULT_CONTEXT

_FIELD_UNDER_WILDCARD: Final = 7246204
_FIELD_INCLUDED: Final = 7246208
_FIELD_NOT_EXCLUDED: Final = 7246210
_COMPUTED: Final = 51271
_PLAIN: Final = (bool, int, float, Int64, Decimal128)


def check_wildcard(key: Document, projection: Document | None) -> None:
    """Check the key pattern of a wildcard index and its `wildcardProjection`.

    Raises:
        MongoError: 9, 67, 31249, 31253, 31254, 51271, 7246204, 7246208, 7246210.

    """
    wild = [name for name in key if name == "$**" or name.endswith(".$**")]
    if len(wild) > 1:
        raise MongoError(
            Code.CANNOT_CREATE_INDEX, "wildcard indexes do not allow more than one wildcard field"
        )
    regular = [name for name in key if name != wild[0]]
    if projection is None:
        _check_regular(regular, wild[0])
        return
    if wild[0] != "$**":
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "The field 'wildcardProjection' is only allowed when 'key' contains '$**'",
        )
    if not projection:
        raise MongoError(
            Code.FAILED_TO_PARSE, "The 'wildcardProjection' field can't be an empty object"
        )
    _check_projection(projection)
    _check_left_out(regular, projected_paths(projection))


def projected_paths(projection: Document) -> dict[str, bool]:
    """Return the paths of a `wildcardProjection`, nested ones dotted, and whether they are in."""
    paths: dict[str, bool] = {}
    for name, value in projection.items():
        if type(value) is dict:
            inner = projected_paths(value)
            paths |= {f"{name}.{path}": included for path, included in inner.items()}
        else:
            paths[name] = bool(value)
    return paths


def _check_regular(regular: list[str], wild: str) -> None:
    if wild == "$**":
        if regular:
            raise MongoError(
                Code.CANNOT_CREATE_INDEX,
                "Compound wildcard indexes on all fields must also specify 'wildcardProjection' "
                "option",
            )
        return
    root = wild.removesuffix(".$**")
    for name in regular:
        if _is_within(name, root):
            raise MongoError(
                _FIELD_UNDER_WILDCARD,
                "A wildcard index field should not overlap with and index key fields if wildcard "
                f"projection is empty, however '{name}' is overlapping with the wildcard index "
                "field.",
            )


def _check_projection(projection: Document) -> None:
    from psdb_query.projection import compile_projection

    try:
        _check_values(projection)
        compile_projection(projection, DEFAULT_CONTEXT)
    except MongoError as error:
        raise MongoError(
            error.code,
            f"Failed to parse projection: wildcardProjection :: caused by :: {error.message}",
        ) from None


def _check_values(projection: Document) -> None:
    for name, value in projection.items():
        if type(value) is dict and value and not next(iter(value)).startswith("$"):
            _check_values(value)
        elif type(value) not in _PLAIN:
            raise MongoError(
                _COMPUTED,
                "Bad projection specification, cannot use computed fields when parsing a spec in "
                f"inclusion mode: field '{name}'",
            )


def _check_left_out(regular: list[str], paths: dict[str, bool]) -> None:
    """Raise when a regular field of a compound index is under the wildcard all the same."""
    included = [path for path, is_in in paths.items() if is_in]
    excluded = [path for path, is_in in paths.items() if not is_in]
    for name in regular:
        for path in included:
            if _is_within(name, path):
                raise MongoError(
                    _FIELD_INCLUDED,
                    "Index Key and Wildcard Projection cannot contain overlapping fields, however "
                    f"'{name}' index field is overlapping with '{path}' wildcardProjection path.",
                )
        if excluded and excluded != ["_id"] and not any(_is_within(name, p) for p in excluded):
            raise MongoError(
                _FIELD_NOT_EXCLUDED,
                "wildcardProjection paths must exclude all regular index fields, however "
                f"'{name}' is not excluded.",
            )


def _is_within(path: str, root: Any) -> bool:
    return path == root or path.startswith(f"{root}.")
