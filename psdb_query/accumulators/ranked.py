"""`$top`, `$topN`, `$bottom`, `$bottomN`: by a sort order of their own.

Among equals `$top` prefers documents that come earlier, `$bottom` those that come later, as if
the group were sorted (stably) and cut.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.accumulators.core import Accumulator, State, StateColumn, null_if_missing
from psdb_query.accumulators.counted import n_of_group
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.sorting import Sorter, compile_sort

_KEY: Final = itemgetter(0)


class Ranked(State):
    """The first (or last) `n` by sort key; values are pairs of key and output."""

    __slots__ = ("_found", "_last", "_n", "_single")

    def __init__(self, n: int, *, last: bool, single: bool) -> None:
        self._n = n
        self._last = last
        self._single = single
        self._found: list[list[Any]] = []

    def add(self, value: Any) -> None:
        """Keep it for now."""
        found = self._found
        if self._n == 1 and found:
            key = value[0]
            if key >= found[0][0] if self._last else key < found[0][0]:
                found[0] = value
            return
        found.append(value)
        if len(found) > 2 * self._n + 64:
            self._cut()

    def _cut(self) -> None:
        self._found.sort(key=_KEY)
        if self._last:
            del self._found[: -self._n]
        else:
            del self._found[self._n :]

    def finish(self) -> Any:
        """Return the outputs in order, or the only one (null if there is none)."""
        self._cut()
        outputs = [output for _, output in self._found]
        if self._single:
            return outputs[0] if outputs else None
        return outputs

    def partial(self) -> Any:
        """Return pairs of key and output."""
        self._cut()
        return [list(pair) for pair in self._found]

    def merge(self, partial: Any) -> None:
        """Add others."""
        self._found += [[bytes(key), output] for key, output in partial]
        self._cut()

    @property
    def size_bytes(self) -> int:
        """Estimate."""
        return 200 * len(self._found)


def _parse(name: str, argument: Any, *, counted: bool) -> dict[str, Any]:
    if type(argument) is not dict:
        raise MongoError(
            5788001, f"specification must be an object; found {name}: {text_of(argument)}"
        )
    allowed = ("n", "output", "sortBy") if counted else ("output", "sortBy")
    for field in argument:
        if field not in allowed:
            raise MongoError(5788002, f"Unknown argument to {name} '{field}'")
    for code, field in ((5788003, "n"), (5788004, "output"), (5788005, "sortBy")):
        if field in allowed and field not in argument:
            raise MongoError(code, f"Missing value for '{field}'")
    if type(argument["sortBy"]) is not dict:
        raise MongoError(
            5788604,
            f"expected 'sortBy' to already be an object in the arguments to {name}; found "
            f"sortBy: {text_of(argument['sortBy'])}",
        )
    return argument


def _values(sorter: Sorter, output: Expr) -> Callable[[list[Document], Env], list[Any]]:
    key, evaluate = sorter.key, output.evaluate

    def values(batch: list[Document], env: Env) -> list[Any]:
        return [[key(doc, env), null_if_missing(evaluate(doc, env))] for doc in batch]

    return values


def _ranked(
    name: str, *, last: bool, counted: bool
) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_ranked(argument: Any, ctx: CompileContext) -> Accumulator:
        spec = _parse(name, argument, counted=counted)
        count = n_of_group(compile_expression(spec["n"], ctx)) if counted else lambda _group: 1
        sorter = compile_sort(spec["sortBy"], ctx)
        output = compile_expression(spec["output"], ctx)

        def new(group: Any = None) -> State:
            return Ranked(count(group), last=last, single=not counted)

        keys = Expr(
            lambda doc, env: [sorter.key(doc, env), null_if_missing(output.evaluate(doc, env))],
            paths=sorter.paths | output.paths,
        )
        values = _values(sorter, output)
        return Accumulator(name, argument, lambda: StateColumn(new, values), new, (keys,))

    return compile_ranked


ACCUMULATORS: Final = {
    "$bottom": _ranked("$bottom", last=True, counted=False),
    "$bottomN": _ranked("$bottomN", last=True, counted=True),
    "$top": _ranked("$top", last=False, counted=False),
    "$topN": _ranked("$topN", last=False, counted=True),
}
