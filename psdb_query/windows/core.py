"""What a window function is: columns of a sorted partition in, a result a document out.

A partition is never seen as documents here, only as columns: the values of the function's
argument, the values and keys of the sort. So partitions that do not fit into memory keep their
documents on disk while the functions work on what they need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_query.accumulators.core import Values
from psdb_query.context import CompileContext
from psdb_query.expressions.core import Expr
from psdb_query.sorting import Sorter
from psdb_query.windows.bounds import WHOLE, Bounds, Window, failed, parse_bounds
from psdb_query.windows.table import FUNCTIONS

_UNKNOWN: Final = "Window function found an unknown argument: {field}"


@dataclass(slots=True)
class Partition:
    """The columns that all functions of a partition share.

    Args:
        count: Number of documents.
        sort_values: The value of the (first) sort path of each, if a function wants it.
        sort_keys: The sort key of each, if a function wants it.

    """

    count: int = 0
    sort_values: list[Any] = field(default_factory=list)
    sort_keys: list[bytes] = field(default_factory=list)

    def windows(self, bounds: Bounds) -> Iterator[Window]:
        """Give the window of each document."""
        return bounds.windows(self.count, self.sort_values)


Compute: TypeAlias = Callable[[list[Any], Partition], Iterator[Any]]
"""`(values of the argument, partition) -> a result for each document`; MISSING sets nothing."""


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A compiled window function.

    Args:
        values: Evaluates its argument over a batch; None if it has none.
        compute: Makes the results of one partition.
        reads: Paths of its argument.
        wants_sort_values: `Partition.sort_values` must be filled.
        wants_sort_keys: `Partition.sort_keys` must be filled.

    """

    values: Values | None
    compute: Compute
    reads: frozenset[str]
    wants_sort_values: bool = False
    wants_sort_keys: bool = False


@dataclass(frozen=True, slots=True)
class WindowContext:
    """What a function's parser is given besides its argument.

    Args:
        name: The function, with `$`.
        others: All other fields of its object, `window` included.
        sorter: The stage's `sortBy`, or None.
        sort_path: The expression of its first path, or None.
        expressions: Context of expressions.

    """

    name: str
    others: dict[str, Any]
    sorter: Sorter | None
    sort_path: Expr | None
    expressions: CompileContext

    def bounds(self, unexpected: str = _UNKNOWN) -> Bounds:
        """Return the window; raise 9 for any other field."""
        self.check_no_others(unexpected, allowed=("window",))
        if "window" not in self.others:
            return WHOLE
        return parse_bounds(self.others["window"], self.sorter, self.expressions)

    def check_no_others(self, unexpected: str, allowed: tuple[str, ...] = ()) -> None:
        """Raise 9 for fields beside the function."""
        for name in self.others:
            if name in allowed:
                continue
            if name in FUNCTIONS:
                raise failed("Cannot specify two functions in window function spec")
            raise failed(unexpected.format(name=self.name, field=name))

    def check_no_window(self) -> None:
        """Raise 9 for a `window` where there can be none, and for other fields."""
        self.check_no_others(_UNKNOWN, allowed=("window",))
        if "window" in self.others:
            raise failed(f"'window' field is not allowed in {self.name}")


def compile_window_function(
    spec: Any, sorter: Sorter | None, sort_path: Expr | None, ctx: CompileContext, name: str
) -> WindowFunction:
    """Compile `{"$sum": "$x", "window": {…}}`, the value of the output field `name`.

    Raises MongoError 9 FailedToParse for what is malformed, and those of the function.
    """
    if type(spec) is not dict:
        raise failed(f"The field '{name}' must be a window function object")
    for function in spec:
        if not function.startswith("$"):
            continue
        if function not in FUNCTIONS:
            raise failed(f"Unrecognized window function, {function}")
        module_name = FUNCTIONS[function]
        if module_name is None:
            raise MongoError(
                Code.NOT_IMPLEMENTED, f"The window function '{function}' is not supported"
            )
        module = importlib.import_module(f"psdb_query.windows.{module_name}")
        others = {key: value for key, value in spec.items() if key != function}
        context = WindowContext(function, others, sorter, sort_path, ctx)
        compiled: WindowFunction = module.FUNCTIONS[function](spec[function], context)
        return compiled
    first = next(iter(spec), "")
    raise failed(f"Expected a $-prefixed window function{', ' + first if first else ''}")
