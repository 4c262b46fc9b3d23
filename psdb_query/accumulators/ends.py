"""`$first`, `$last`, `$firstN`, `$lastN`: by the order in which documents come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import (
    Accumulator,
    Column,
    State,
    Values,
    null_if_missing,
    simple,
    unary_argument,
)
from psdb_query.accumulators.counted import compile_counted
from psdb_query.context import CompileContext, Env


class FirstColumn(Column):
    """States of `$first`: only documents that open a group are evaluated."""

    __slots__ = ("_found", "_seen", "_values")

    def __init__(self, values: Values) -> None:
        self._values = values
        self._found: list[Any] = []
        self._seen = 0

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._found += [MISSING] * len(ids)

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Keep the values of documents whose group is new."""
        found, seen = self._found, self._seen
        if len(found) == seen:
            return
        fresh: dict[int, Document] = {}
        for slot, doc in zip(slots, batch, strict=True):
            if slot >= seen:
                fresh.setdefault(slot, doc)
        values = self._values(list(fresh.values()), env)
        for slot, value in zip(fresh, values, strict=True):
            found[slot] = null_if_missing(value)
        while self._seen < len(found) and found[self._seen] is not MISSING:
            self._seen += 1

    def finish(self, slot: int) -> Any:
        """Return the first value, null if it was not there."""
        return null_if_missing(self._found[slot])

    def partial(self, slot: int) -> Any:
        """Return nothing, or the value, in an array."""
        value = self._found[slot]
        return [] if value is MISSING else [value]

    def merge(self, slot: int, partial: Any) -> None:
        """Keep what is there."""
        if partial and self._found[slot] is MISSING:
            self._found[slot] = partial[0]
            while self._seen < len(self._found) and self._found[self._seen] is not MISSING:
                self._seen += 1


class LastColumn(Column):
    """States of `$last`."""

    __slots__ = ("_found", "_values")

    def __init__(self, values: Values) -> None:
        self._values = values
        self._found: list[Any] = []

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._found += [MISSING] * len(ids)

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Keep the values of each group's last document in the batch."""
        final = dict(zip(slots, batch, strict=True))
        values = self._values(list(final.values()), env)
        found = self._found
        for slot, value in zip(final, values, strict=True):
            found[slot] = null_if_missing(value)

    def finish(self, slot: int) -> Any:
        """Return the last value, null if it was not there."""
        return null_if_missing(self._found[slot])

    def partial(self, slot: int) -> Any:
        """Return nothing, or the value, in an array."""
        value = self._found[slot]
        return [] if value is MISSING else [value]

    def merge(self, slot: int, partial: Any) -> None:
        """Take the later one."""
        if partial:
            self._found[slot] = partial[0]


class FirstN(State):
    """The first `n` values; missing ones count as null."""

    __slots__ = ("_found", "_n")

    def __init__(self, n: int) -> None:
        self._n = n
        self._found: list[Any] = []

    def add(self, value: Any) -> None:
        """Keep it if there is room."""
        if len(self._found) < self._n:
            self._found.append(null_if_missing(value))

    def finish(self) -> Any:
        """Return the values kept."""
        return list(self._found)

    def partial(self) -> Any:
        """Return the values kept."""
        return self._found

    def merge(self, partial: Any) -> None:
        """Fill up."""
        self._found += partial[: self._n - len(self._found)]


class LastN(FirstN):
    """The last `n` values; missing ones count as null."""

    __slots__ = ()

    def add(self, value: Any) -> None:
        """Keep it, drop the oldest."""
        self._found.append(null_if_missing(value))
        if len(self._found) > 2 * self._n:
            del self._found[: -self._n]

    def finish(self) -> Any:
        """Return the values kept."""
        return self._found[-self._n :]

    def partial(self) -> Any:
        """Return the values kept."""
        return self._found[-self._n :]

    def merge(self, partial: Any) -> None:
        """Add later ones."""
        self._found += partial


def _compile_first(argument: Any, ctx: CompileContext) -> Accumulator:
    operand = unary_argument("$first", argument, ctx)
    return simple("$first", argument, operand, FirstColumn, ordered=True)


def _compile_last(argument: Any, ctx: CompileContext) -> Accumulator:
    operand = unary_argument("$last", argument, ctx)
    return simple("$last", argument, operand, LastColumn, ordered=True)


def _compile_first_n(argument: Any, ctx: CompileContext) -> Accumulator:
    return compile_counted("$firstN", argument, ctx, FirstN, ordered=True)


def _compile_last_n(argument: Any, ctx: CompileContext) -> Accumulator:
    return compile_counted("$lastN", argument, ctx, LastN, ordered=True)


ACCUMULATORS: Final = {
    "$first": _compile_first,
    "$firstN": _compile_first_n,
    "$last": _compile_last,
    "$lastN": _compile_last_n,
}
