"""`$push`, `$addToSet`, `$mergeObjects`, `$concatArrays`, `$setUnion`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import (
    Accumulator,
    Column,
    State,
    StateColumn,
    Values,
    check_memory,
    simple,
    unary_argument,
    values_of,
)
from psdb_query.accumulators.keys import keys_of
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import is_nullish
from psdb_query.sizes import size_of, sizes_of


class PushColumn(Column):
    """States of `$push`: lists of what is there; the largest one is bounded (146)."""

    __slots__ = ("_bytes", "_lists", "_values")
    bytes_per_slot = 120

    def __init__(self, values: Values) -> None:
        self._values = values
        self._lists: list[list[Any]] = []
        self._bytes = 0

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._lists += [[] for _ in ids]

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Append a batch."""
        values = self._values(batch, env)
        lists = self._lists
        for slot, value in zip(slots, values, strict=True):
            if value is not MISSING:
                lists[slot].append(value)
        self._bytes += sizes_of(values)
        if len(lists) == 1:
            check_memory("$push", self._bytes)

    def finish(self, slot: int) -> Any:
        """Return the list."""
        return self._lists[slot]

    def partial(self, slot: int) -> Any:
        """Return the list."""
        return self._lists[slot]

    def merge(self, slot: int, partial: Any) -> None:
        """Append another list."""
        self._lists[slot] += partial
        self._bytes += size_of(partial)

    def bytes_kept(self) -> int:
        """Estimate of all lists."""
        return self._bytes


class SetColumn(Column):
    """States of `$addToSet`: values by key, the first of equal ones stays, in order of arrival."""

    __slots__ = ("_bytes", "_collation", "_sets", "_values")
    bytes_per_slot = 130

    def __init__(self, values: Values, collation: Collation | None) -> None:
        self._values = values
        self._collation = collation
        self._sets: list[dict[Any, Any]] = []
        self._bytes = 0

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._sets += [{} for _ in ids]

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Add a batch."""
        self.add(slots, self._values(batch, env))

    def add(self, slots: Sequence[int], values: list[Any]) -> None:
        """Add values."""
        sets = self._sets
        before = self._bytes
        for slot, value, key in zip(slots, values, keys_of(values, self._collation), strict=True):
            if value is not MISSING and key not in sets[slot]:
                sets[slot][key] = value
                self._bytes += size_of(value)
        if len(sets) == 1 and self._bytes != before:
            check_memory("$addToSet", self._bytes)

    def finish(self, slot: int) -> Any:
        """Return the values."""
        return list(self._sets[slot].values())

    def partial(self, slot: int) -> Any:
        """Return the values."""
        return list(self._sets[slot].values())

    def merge(self, slot: int, partial: Any) -> None:
        """Add others."""
        self.add([slot] * len(partial), partial)

    def bytes_kept(self) -> int:
        """Estimate of all sets."""
        return self._bytes


class Merged(State):
    """State of `$mergeObjects`."""

    __slots__ = ("_merged",)

    def __init__(self, _group: Any = None) -> None:
        self._merged: Document = {}

    def add(self, value: Any) -> None:
        """Lay an object over the others; null and missing do nothing, else 40400."""
        if type(value) is dict:
            self._merged.update(value)
        elif not is_nullish(value):
            raise MongoError(
                40400,
                f"$mergeObjects requires object inputs, but input is of type {type_name(value)}",
            )

    def finish(self) -> Any:
        """Return the object."""
        return dict(self._merged)

    def partial(self) -> Any:
        """Return the object."""
        return self._merged

    def merge(self, partial: Any) -> None:
        """Lay another over it."""
        self._merged.update(partial)

    @property
    def size_bytes(self) -> int:
        """Estimate of the object."""
        return 100 * len(self._merged)


def _arrays_of(name: str, values: Values) -> Values:
    """Check that values are arrays; missing ones count as empty."""

    def checked(batch: list[Document], env: Env) -> list[Any]:
        found = []
        for value in values(batch, env):
            if type(value) is list:
                found.append(value)
            elif value is MISSING:
                found.append([])
            else:
                raise MongoError(
                    14, f"{name} requires array inputs, but input is of type {type_name(value)}"
                )
        return found

    return checked


class ConcatColumn(PushColumn):
    """States of `$concatArrays`."""

    __slots__ = ()

    def __init__(self, values: Values) -> None:
        super().__init__(_arrays_of("$concatArrays", values))

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Append the elements of a batch."""
        values = self._values(batch, env)
        for slot, array in zip(slots, values, strict=True):
            self._lists[slot] += array
        self._bytes += sizes_of(values)


class UnionColumn(SetColumn):
    """States of `$setUnion`."""

    __slots__ = ()

    def __init__(self, values: Values, collation: Collation | None) -> None:
        super().__init__(_arrays_of("$setUnion", values), collation)

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Add the elements of a batch."""
        for slot, array in zip(slots, self._values(batch, env), strict=True):
            self.add([slot] * len(array), array)


def _unary(
    name: str, column: Callable[[Values, Collation | None], Column], *, ordered: bool
) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_unary(argument: Any, ctx: CompileContext) -> Accumulator:
        operand = unary_argument(name, argument, ctx)
        return simple(
            name, argument, operand, lambda values: column(values, ctx.collation), ordered=ordered
        )

    return compile_unary


def _compile_merge_objects(argument: Any, ctx: CompileContext) -> Accumulator:
    operand = unary_argument("$mergeObjects", argument, ctx)
    values = values_of(operand)
    return Accumulator(
        "$mergeObjects",
        argument,
        lambda: StateColumn(Merged, values),
        Merged,
        (operand,),
        ordered=True,
    )


ACCUMULATORS: Final = {
    "$addToSet": _unary("$addToSet", SetColumn, ordered=False),
    "$concatArrays": _unary(
        "$concatArrays", lambda values, _collation: ConcatColumn(values), ordered=True
    ),
    "$mergeObjects": _compile_merge_objects,
    "$push": _unary("$push", lambda values, _collation: PushColumn(values), ordered=True),
    "$setUnion": _unary("$setUnion", UnionColumn, ordered=False),
}
