"""What an accumulator is: a compiled argument and a column of states, one state a group.

A `$group` gives every group a number (its slot) and hands each accumulator whole batches: the
slots of the documents and, computed from the batch at once, their values. So the common ones run
in one tight loop a batch. A column can also hand out a state as a BSON value (`partial`) and
take such a value in (`merge`): that is how groups spill to disk and how shards' halves meet.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.limits import SORT_MEMORY_BYTES_MAX
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.table import ACCUMULATORS
from psdb_query.context import CompileContext, Env, Evaluate
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.sorting import column_of

Values: TypeAlias = Callable[[list[Document], Env], list[Any]]
"""`(batch, environment) -> a value for each document`, MISSING where there is none."""


class Column(ABC):
    """The states of one accumulator, by slot.

    `open` is called with the ids of new groups before any of their values arrive; slots count
    from 0 in the order of opening.
    """

    __slots__ = ()
    bytes_per_slot: ClassVar[int] = 64
    """What an empty state costs, roughly."""

    @abstractmethod
    def open(self, ids: Sequence[Any]) -> None:
        """Make states for further groups, given by their ids."""

    @abstractmethod
    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Add a batch; `slots[i]` is the group of document `i`."""

    @abstractmethod
    def finish(self, slot: int) -> Any:
        """Return the result of a group."""

    @abstractmethod
    def partial(self, slot: int) -> Any:
        """Return the state of a group as a BSON value."""

    @abstractmethod
    def merge(self, slot: int, partial: Any) -> None:
        """Add a state that `partial` gave, here or on another member."""

    def bytes_kept(self) -> int:
        """Estimate of what the states hold beyond `bytes_per_slot`."""
        return 0


@dataclass(frozen=True, slots=True)
class Accumulator:
    """A compiled accumulator.

    Args:
        name: Its name, with `$`.
        argument: Its specification, as it was given.
        new_column: Makes the states of one execution.
        new_state: Makes a single state, for windows.
        operands: The expressions it evaluates on each document.
        ordered: The result depends on the order of the documents.

    """

    name: str
    argument: Any
    new_column: Callable[[], Column]
    new_state: Callable[[], State]
    operands: tuple[Expr, ...]
    ordered: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """Paths it reads."""
        return frozenset(path for operand in self.operands for path in operand.paths)


class State(ABC):
    """One state of an accumulator: what a window, or a `StateColumn`, works with."""

    __slots__ = ()

    @abstractmethod
    def add(self, value: Any) -> None:
        """Add the value of one document (of the shape that `Accumulator` evaluates)."""

    @abstractmethod
    def finish(self) -> Any:
        """Return the result so far."""

    @abstractmethod
    def partial(self) -> Any:
        """Return the state as a BSON value."""

    @abstractmethod
    def merge(self, partial: Any) -> None:
        """Add a state that `partial` gave."""

    @property
    def size_bytes(self) -> int:
        """Estimate of what the state holds."""
        return 0


class StateColumn(Column):
    """A column for accumulators that have no faster one: a list of `State`."""

    __slots__ = ("_new", "_states", "_values")
    bytes_per_slot = 160

    def __init__(self, new: Callable[[Any], State], values: Values) -> None:
        self._new = new
        self._values = values
        self._states: list[State] = []

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._states.extend(map(self._new, ids))

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Add value by value."""
        states = self._states
        for slot, value in zip(slots, self._values(batch, env), strict=True):
            states[slot].add(value)

    def finish(self, slot: int) -> Any:
        """Return the result of a state."""
        return self._states[slot].finish()

    def partial(self, slot: int) -> Any:
        """Return the state as a BSON value."""
        return self._states[slot].partial()

    def merge(self, slot: int, partial: Any) -> None:
        """Add another state."""
        self._states[slot].merge(partial)

    def bytes_kept(self) -> int:
        """Sum of the states' estimates."""
        return sum(state.size_bytes for state in self._states)


class ColumnState(State):
    """One state that is a column with one slot, where the column is the accumulator's best."""

    __slots__ = ("_column", "_values")
    _SLOT: Final = (0,)

    def __init__(self, new_column: Callable[[Values], Column]) -> None:
        self._values: list[Any] = []
        self._column = new_column(lambda _batch, _env: self._values)
        self._column.open([None])

    def add(self, value: Any) -> None:
        """Add one value."""
        self._values = [value]
        self._column.take(self._SLOT, [{}], {})

    def finish(self) -> Any:
        """Return the result so far."""
        return self._column.finish(0)

    def partial(self) -> Any:
        """Return the state as a BSON value."""
        return self._column.partial(0)

    def merge(self, partial: Any) -> None:
        """Add another state."""
        self._column.merge(0, partial)


COLUMNS: Final = "\0columns"
"""Name in an environment under which columns of one batch are shared.

Whoever evaluates several operands over one batch puts a pair there: that batch, and an empty
dict that is filled with its columns by path. A part of the batch has columns of its own.
"""


def _shared_column(batch: list[Document], path: str, env: Env) -> list[Any]:
    shared = env.get(COLUMNS)
    if shared is None or shared[0] is not batch:
        return column_of(batch, path)
    found = shared[1].get(path)
    if found is None:
        found = shared[1][path] = column_of(batch, path)
    column: list[Any] = found
    return column


def values_of(expr: Expr) -> Values:
    """Return the fastest way to evaluate an expression over a batch."""
    if expr.is_constant:
        value = expr.value
        return lambda batch, _env: [value] * len(batch)
    path = expr.path
    if path is not None and "." not in path:
        return lambda batch, env: _shared_column(batch, path, env)
    evaluate = expr.evaluate
    if path is not None and path.count(".") == 1:
        first, _, second = path.partition(".")
        return _nested_column(first, second, evaluate)
    return lambda batch, env: [evaluate(doc, env) for doc in batch]


def _nested_column(first: str, second: str, evaluate: Evaluate) -> Values:
    """Return the reader of a field of documents that are fields."""

    def values(batch: list[Document], env: Env) -> list[Any]:
        outer = _shared_column(batch, first, env)
        if set(map(type, outer)) == {dict}:
            return column_of(outer, second)
        return [evaluate(doc, env) for doc in batch]

    return values


def simple(
    name: str,
    argument: Any,
    operand: Expr,
    new_column: Callable[[Values], Column],
    *,
    ordered: bool = False,
) -> Accumulator:
    """Return an accumulator over one expression whose column takes the values of a batch."""
    values = values_of(operand)
    return Accumulator(
        name,
        argument,
        lambda: new_column(values),
        lambda: ColumnState(new_column),
        (operand,),
        ordered,
    )


def unary_argument(name: str, argument: Any, ctx: CompileContext) -> Expr:
    """Compile the argument of an accumulator that takes one expression.

    Raises 40237 for an array of more or fewer than one element.
    """
    if type(argument) is list:
        if len(argument) != 1:
            raise MongoError(40237, f"The {name} accumulator is a unary operator")
        argument = argument[0]
    return compile_expression(argument, ctx)


def compile_accumulator(
    field: str, spec: Any, ctx: CompileContext, *, what: str = "group operator"
) -> Accumulator:
    """Compile `{"$sum": "$x"}`, the accumulator of the output field `field`.

    Raises MongoError 40234 (no object), 40235, 40236 (bad field names), 40238 (not one
    accumulator), 15952 (unknown), and those of the accumulator.
    """
    if "." in field:
        raise MongoError(40235, f"The field name '{field}' cannot contain '.'")
    if field.startswith("$"):
        raise MongoError(40236, f"The field name '{field}' cannot be an operator name")
    if type(spec) is not dict or not spec:
        raise MongoError(40234, f"The field '{field}' must be an accumulator object")
    if len(spec) != 1:
        raise MongoError(40238, f"The field '{field}' must specify one accumulator")
    ((name, argument),) = spec.items()
    if name not in ACCUMULATORS:
        raise MongoError(15952, f"unknown {what} '{name}'")
    return compile_named_accumulator(name, argument, ctx)


def compile_named_accumulator(name: str, argument: Any, ctx: CompileContext) -> Accumulator:
    """Compile an accumulator whose name is known to stand in the table."""
    module_name = ACCUMULATORS[name]
    if module_name is None:
        raise MongoError(Code.NOT_IMPLEMENTED, f"The accumulator '{name}' is not supported")
    module = importlib.import_module(f"psdb_query.accumulators.{module_name}")
    compiled: Accumulator = module.ACCUMULATORS[name](argument, ctx)
    return compiled


def null_if_missing(value: Any) -> Any:
    """Return null for a value that is not there."""
    return None if value is MISSING else value


def check_memory(name: str, used_bytes: int, limit_bytes: int = SORT_MEMORY_BYTES_MAX) -> None:
    """Raise 146 when the state of one group has grown beyond the limit."""
    if used_bytes > limit_bytes:
        raise MongoError(
            Code.EXCEEDED_MEMORY_LIMIT,
            f"{name} used too much memory and cannot spill to disk. Used: {used_bytes} bytes. "
            f"Memory limit: {limit_bytes} bytes",
        )
