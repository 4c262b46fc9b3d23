"""The array modifiers: `$push`, `$addToSet`, `$pull`, `$pullAll`, `$pop`.

Each `make_*` function reads one field of the modifier's document and returns its leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Symbol
from psdb_query import numeric
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.filters import compile_filter
from psdb_query.filters.operands import is_regex, parse_long
from psdb_query.updates.build import Build
from psdb_query.updates.fields import same
from psdb_query.updates.nodes import Leaf, Path
from psdb_query.updates.state import State, dotted

Sorter: TypeAlias = Callable[[list[Any]], list[Any]]
Test: TypeAlias = Callable[[Any, Env], bool]


class Push(Leaf):
    """`$push`: insert values, then sort, then cut."""

    __slots__ = ("position", "slice", "sort", "values")

    def __init__(
        self, values: list[Any], position: int | None, sort: Sorter | None, slice_: int | None
    ) -> None:
        self.values = values
        self.position = position
        self.sort = sort
        self.slice = slice_

    def change(self, old: Any, state: State, path: Path) -> Any:
        """Return the longer, sorted, cut array."""
        if old.__class__ is not list:
            raise MongoError(
                Code.BAD_VALUE,
                f"The field '{dotted(path)}' must be an array but is of type {type_name(old)} "
                f"in document {{{state.id_text}}}",
            )
        new = self._put(old)
        if self.sort is None and self.slice is None:
            return new if self.values else old
        return old if len(old) == len(new) and all(map(same, old, new)) else new

    def create(self, _state: State, _path: Path) -> Any:
        """Begin with an empty array."""
        return self._put([])

    def _put(self, old: list[Any]) -> list[Any]:
        at = self.position
        if at is None or at >= len(old):
            new = old + self.values
        else:
            start = max(len(old) + at, 0) if at < 0 else at
            new = old[:start] + self.values + old[start:]
        if self.sort is not None:
            new = self.sort(new)
        if self.slice is None:
            return new
        return new[: self.slice] if self.slice >= 0 else new[self.slice :]


class AddToSet(Leaf):
    """`$addToSet`: append the values that no element equals."""

    __slots__ = ("collation", "keys", "values")

    def __init__(self, values: list[Any], collation: Collation | None) -> None:
        keyed: dict[bytes, Any] = {}
        for value in values:
            keyed.setdefault(order.key(value, collation), value)
        self.keys = list(keyed)
        self.values = list(keyed.values())
        self.collation = collation

    def change(self, old: Any, _state: State, path: Path) -> Any:
        """Append what is not there."""
        if old.__class__ is not list:
            raise MongoError(
                Code.BAD_VALUE,
                "Cannot apply $addToSet to a non-array field. "
                f"Field named '{path[-1]}' has a non-array type {type_name(old)}",
            )
        values = self.values
        if len(values) == 1 and values[0].__class__ is str and self.collation is None:
            if values[0] in old:
                return old
            if Symbol not in map(type, old):
                return old + values
        collation = self.collation
        present = {order.key(element, collation) for element in old}
        pairs = zip(self.keys, values, strict=True)
        fresh = [value for key, value in pairs if key not in present]
        return old + fresh if fresh else old

    def create(self, _state: State, _path: Path) -> Any:
        """Begin with the values, each once."""
        return self.values


class Pull(Leaf):
    """`$pull` and `$pullAll`: remove the elements that a test picks."""

    __slots__ = ("test",)
    creates = False

    def __init__(self, test: Test) -> None:
        self.test = test

    def change(self, old: Any, state: State, _path: Path) -> Any:
        """Keep the elements that the test does not pick."""
        if old.__class__ is not list:
            raise MongoError(Code.BAD_VALUE, "Cannot apply $pull to a non-array value")
        test, env = self.test, state.env
        new = [element for element in old if not test(element, env)]
        return old if len(new) == len(old) else new


class Pop(Leaf):
    """`$pop`: remove the last element, or the first."""

    __slots__ = ("last",)
    creates = False

    def __init__(self, *, last: bool) -> None:
        self.last = last

    def change(self, old: Any, _state: State, path: Path) -> Any:
        """Drop one element, if there is one."""
        if old.__class__ is not list:
            raise MongoError(
                Code.TYPE_MISMATCH,
                f"Path '{dotted(path)}' contains an element of non-array type '{type_name(old)}'",
            )
        if not old:
            return old
        return old[:-1] if self.last else old[1:]


# Reading the operands.


def make_push(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$push`: a value, or `{$each, $position, $slice, $sort}`."""
    if operand.__class__ is not dict or "$each" not in operand:
        return Push([operand], None, None, None)
    for clause in operand:
        if clause not in ("$each", "$position", "$slice", "$sort"):
            raise MongoError(Code.BAD_VALUE, f"Unrecognized clause in $push: {clause}")
    values = operand["$each"]
    if values.__class__ is not list:
        raise MongoError(
            Code.BAD_VALUE,
            "The argument to $each in $push must be an array but it was of type: "
            f"{type_name(values)}",
        )
    sort = operand.get("$sort", MISSING)
    return Push(
        values,
        _whole_number(
            operand, "$position", "The value for $position must be an integer value, not of type: "
        ),
        None if sort is MISSING else make_sorter(sort, build.ctx.collation),
        _whole_number(
            operand, "$slice", "The value for $slice must be an integer value but was given type: "
        ),
    )


def _whole_number(operand: dict[str, Any], clause: str, complaint: str) -> int | None:
    value = operand.get(clause, MISSING)
    if value is MISSING:
        return None
    found = numeric.as_integer(value)
    if found is None or not numeric.fits_long(found):
        raise MongoError(Code.BAD_VALUE, complaint + type_name(value))
    return found


_SORT_FORM: Final = (
    "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} "
    "to sort embedded fields"
)


def make_sorter(spec: Any, collation: Collation | None) -> Sorter:
    """Read `$sort`: 1 or -1 for whole elements, or `{path: ±1, …}`; raises 2 BadValue."""
    if type(spec) in numeric.RANKS:
        descending = _is_descending(spec)

        def sort_elements(array: list[Any]) -> list[Any]:
            return sorted(array, key=lambda v: order.key(v, collation), reverse=descending)

        return sort_elements
    if spec.__class__ is not dict:
        raise MongoError(Code.BAD_VALUE, _SORT_FORM)
    if not spec:
        raise MongoError(
            Code.BAD_VALUE, "The $sort pattern is empty when it should be a set of fields."
        )
    keys = [(_sort_path(name), _is_descending(value)) for name, value in spec.items()]

    def sort_by_fields(array: list[Any]) -> list[Any]:
        for path, reverse in reversed(keys):
            array = sorted(
                array, key=lambda v: order.key(_field(v, path), collation), reverse=reverse
            )
        return array

    return sort_by_fields


def _is_descending(direction: Any) -> bool:
    number = numeric.to_double(direction) if type(direction) in numeric.RANKS else 0
    if number not in (1, -1):
        raise MongoError(Code.BAD_VALUE, "The $sort element value must be either 1 or -1")
    return number == -1


def _sort_path(name: str) -> Path:
    if not name:
        raise MongoError(Code.BAD_VALUE, "The $sort field cannot be empty")
    path = tuple(name.split("."))
    if "" in path:
        raise MongoError(
            Code.BAD_VALUE, f"The $sort field is a dotted field but has an empty part: {name}"
        )
    return path


def _field(value: Any, path: Path) -> Any:
    """Follow a path through documents only; what is not there sorts as null."""
    for name in path:
        if value.__class__ is not dict:
            return None
        value = value.get(name)
    return value


def make_add_to_set(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$addToSet`: a value, or `{$each: […]}`."""
    collation = build.ctx.collation
    if operand.__class__ is not dict or next(iter(operand), "") != "$each":
        return AddToSet([operand], collation)
    values = operand["$each"]
    if values.__class__ is not list:
        raise MongoError(
            Code.TYPE_MISMATCH,
            "The argument to $each in $addToSet must be an array but it was of type "
            f"{type_name(values)}",
        )
    if len(operand) > 1:
        raise MongoError(
            Code.BAD_VALUE,
            f"Found unexpected fields after $each in $addToSet: {text_of(operand)}",
        )
    return AddToSet(values, collation)


_PATHLESS: Final = frozenset(("$and", "$comment", "$expr", "$jsonSchema", "$nor", "$or", "$where"))
"""Operators that make an operand of `$pull` a filter over elements that are objects."""


def make_pull(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$pull`: a value, a condition on elements, or a filter of objects."""
    if operand.__class__ is dict:
        first = next(iter(operand), "")
        if not first.startswith("$") or first in _PATHLESS:
            return Pull(_object_test(operand, build.ctx))
        return Pull(_value_test(operand, build.ctx))
    if is_regex(operand):
        return Pull(_value_test(operand, build.ctx))
    return Pull(_equality_test([operand], build.ctx.collation))


def _object_test(spec: dict[str, Any], ctx: CompileContext) -> Test:
    matches = compile_filter(spec, ctx).matches
    return lambda element, env: element.__class__ is dict and matches(element, env)


def _value_test(condition: Any, ctx: CompileContext) -> Test:
    matches = compile_filter({"v": condition}, ctx).matches
    return lambda element, env: matches({"v": element}, env)


def _equality_test(values: list[Any], collation: Collation | None) -> Test:
    keys = {order.key(value, collation) for value in values}
    return lambda element, _env: order.key(element, collation) in keys


def make_pull_all(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$pullAll`: an array of values."""
    if operand.__class__ is not list:
        raise MongoError(
            Code.BAD_VALUE,
            f"$pullAll requires an array argument but was given a {type_name(operand)}",
        )
    return Pull(_equality_test(operand, build.ctx.collation))


def make_pop(name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$pop`: 1 for the last element, -1 for the first."""
    number = parse_long(name, operand)
    if number not in (1, -1):
        raise MongoError(Code.FAILED_TO_PARSE, f"$pop expects 1 or -1, found: {number}")
    return Pop(last=number == 1)
