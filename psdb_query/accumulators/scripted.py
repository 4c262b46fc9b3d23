"""`$accumulator`: state, accumulation and merging in JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.code import Code as JavaScript

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.accumulators.core import Accumulator, State, StateColumn, values_of
from psdb_query.context import CompileContext
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import compile_expression, constant
from psdb_query.sizes import size_of

_FUNCTIONS: Final = ("accumulate", "finalize", "init", "merge")
_REQUIRED: Final = (
    (4544707, "init"),
    (4544708, "accumulate"),
    (4544709, "merge"),
    (4544710, "accumulateArgs"),
)

_Call = Callable[[list[Any]], Any]


class Scripted(State):
    """A state that the script keeps."""

    __slots__ = ("_functions", "_state")

    def __init__(self, functions: dict[str, _Call], arguments: Any) -> None:
        if type(arguments) is not list:
            raise MongoError(
                4544711, f"$accumulator initArgs must evaluate to an array: {text_of(arguments)}"
            )
        self._functions = functions
        self._state = functions["init"](arguments)

    def add(self, value: Any) -> None:
        """Call `accumulate`."""
        if type(value) is not list:
            raise MongoError(
                4544712, f"$accumulator accumulateArgs must evaluate to an array: {text_of(value)}"
            )
        self._state = self._functions["accumulate"]([self._state, *value])

    def finish(self) -> Any:
        """Call `finalize`, if there is one."""
        if "finalize" not in self._functions:
            return self._state
        return self._functions["finalize"]([self._state])

    def partial(self) -> Any:
        """Return the state."""
        return self._state

    def merge(self, partial: Any) -> None:
        """Call `merge`."""
        self._state = self._functions["merge"]([self._state, partial])

    @property
    def size_bytes(self) -> int:
        """Estimate of the state."""
        return size_of(self._state)


def _source(field: str, spec: Any, ctx: CompileContext) -> str:
    expr = compile_expression(spec, ctx)
    if not expr.is_constant:
        raise MongoError(4544701, f"$accumulator '{field}' must be a constant expression")
    if type(expr.value) not in (str, JavaScript):
        raise MongoError(4544702, f"$accumulator '{field}' must be a String or Code")
    return str(expr.value)


def _check_lang(value: Any) -> None:
    if type(value) is not str:
        raise MongoError(4544704, f"$accumulator lang must be a string; found: {type_name(value)}")
    if value != "js":
        raise MongoError(4544705, "$accumulator only supports lang: 'js'")


def _parse(argument: Any, ctx: CompileContext) -> dict[str, str]:
    """Check the specification; return the sources of its functions."""
    if type(argument) is not dict:
        raise MongoError(
            4544703,
            f"$accumulator expects an object as an argument; found: {type_name(argument)}",
        )
    sources: dict[str, str] = {}
    for field, value in argument.items():
        if field in _FUNCTIONS:
            sources[field] = _source(field, value, ctx)
        elif field == "lang":
            _check_lang(value)
        elif field not in ("accumulateArgs", "initArgs"):
            raise MongoError(4544706, f"$accumulator got an unexpected field: {field}")
    for code, field in _REQUIRED:
        if field not in argument:
            raise MongoError(code, f"$accumulator missing required argument '{field}'")
    return sources


def _compile(argument: Any, ctx: CompileContext) -> Accumulator:
    sources = _parse(argument, ctx)
    if ctx.javascript is None:
        raise MongoError(
            31264, "Cannot run server-side javascript without the javascript engine enabled"
        )
    functions = {name: ctx.javascript.compile_function(one) for name, one in sources.items()}
    given = argument.get("initArgs", MISSING)
    initial = constant([]) if given is MISSING else compile_expression(given, ctx)
    operand = compile_expression(argument["accumulateArgs"], ctx)
    values = values_of(operand)

    def new(group: Any = None) -> State:
        document = group if type(group) is dict else {}
        return Scripted(functions, initial.evaluate(document, {}))

    return Accumulator(
        "$accumulator", argument, lambda: StateColumn(new, values), new, (operand,), ordered=True
    )


ACCUMULATORS: Final = {"$accumulator": _compile}
