"""`$min`, `$max`, `$minN`, `$maxN`: null, undefined and missing values do not count."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import order
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
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.expressions.core import is_nullish
from psdb_query.sorting import may_hold_nan

_NUMBERS: Final = {int, Int64, float}


def _plain_kind(values: list[Any], collation: Collation | None) -> str:
    """Name the kind of a column that Python compares as MongoDB does, else ''."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return "text" if collation is None else ""
    if kinds <= _NUMBERS:
        return "" if float in kinds and may_hold_nan(values) else "number"
    return ""


class ExtremeColumn(Column):
    """States of `$min` (`sign` 1) and `$max` (`sign` -1)."""

    __slots__ = ("_best", "_collation", "_kind", "_sign", "_values")

    def __init__(self, values: Values, sign: int, collation: Collation | None) -> None:
        self._values = values
        self._sign = sign
        self._collation = collation
        self._best: list[Any] = []
        self._kind: str | None = None

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._best += [MISSING] * len(ids)

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Compare a batch: plainly as long as all values so far are of one plain kind."""
        values = self._values(batch, env)
        kind = _plain_kind(values, self._collation)
        if self._kind is None:
            self._kind = kind
        if not kind or kind != self._kind:
            self._kind = ""
            for slot, value in zip(slots, values, strict=True):
                self._offer(slot, value)
        elif self._sign > 0:
            self._take_least(slots, values)
        else:
            self._take_greatest(slots, values)

    def _take_least(self, slots: Sequence[int], values: list[Any]) -> None:
        best = self._best
        if len(best) == 1 and values:
            least = min(values)
            if best[0] is MISSING or least < best[0]:
                best[0] = least
            return
        for slot, value in zip(slots, values, strict=True):
            found = best[slot]
            if found is MISSING or value < found:
                best[slot] = value

    def _take_greatest(self, slots: Sequence[int], values: list[Any]) -> None:
        best = self._best
        if len(best) == 1 and values:
            greatest = max(values)
            if best[0] is MISSING or greatest > best[0]:
                best[0] = greatest
            return
        for slot, value in zip(slots, values, strict=True):
            found = best[slot]
            if found is MISSING or value > found:
                best[slot] = value

    def _offer(self, slot: int, value: Any) -> None:
        if is_nullish(value):
            return
        found = self._best[slot]
        if found is MISSING or order.compare(value, found, self._collation) * self._sign < 0:
            self._best[slot] = value

    def finish(self, slot: int) -> Any:
        """Return the extreme, null of nothing."""
        return null_if_missing(self._best[slot])

    def partial(self, slot: int) -> Any:
        """Return the extreme, null of nothing."""
        return null_if_missing(self._best[slot])

    def merge(self, slot: int, partial: Any) -> None:
        """Offer another extreme."""
        self._kind = ""
        self._offer(slot, partial)


class ExtremeN(State):
    """The `n` least or greatest values, in order."""

    __slots__ = ("_found", "_key", "_n", "_sign")

    def __init__(self, n: int, sign: int, collation: Collation | None) -> None:
        self._n = n
        self._sign = sign
        self._found: list[Any] = []

        def compare(a: Any, b: Any) -> int:
            return order.compare(a, b, collation) * sign

        self._key = functools.cmp_to_key(compare)

    def add(self, value: Any) -> None:
        """Keep it for now."""
        if is_nullish(value):
            return
        self._found.append(value)
        if len(self._found) > 2 * self._n + 64:
            self._cut()

    def _cut(self) -> None:
        self._found.sort(key=self._key)
        del self._found[self._n :]

    def finish(self) -> Any:
        """Return the best, the most extreme first."""
        self._cut()
        return list(self._found)

    def partial(self) -> Any:
        """Return the best."""
        return self.finish()

    def merge(self, partial: Any) -> None:
        """Add others."""
        self._found += partial
        self._cut()


def _extreme(name: str, sign: int) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_extreme(argument: Any, ctx: CompileContext) -> Accumulator:
        operand = unary_argument(name, argument, ctx)
        return simple(
            name, argument, operand, lambda values: ExtremeColumn(values, sign, ctx.collation)
        )

    return compile_extreme


def _extreme_n(name: str, sign: int) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_extreme_n(argument: Any, ctx: CompileContext) -> Accumulator:
        return compile_counted(name, argument, ctx, lambda n: ExtremeN(n, sign, ctx.collation))

    return compile_extreme_n


ACCUMULATORS: Final = {
    "$max": _extreme("$max", -1),
    "$maxN": _extreme_n("$maxN", -1),
    "$min": _extreme("$min", 1),
    "$minN": _extreme_n("$minN", 1),
}
