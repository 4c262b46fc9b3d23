"""What a compilation is given (`CompileContext`) and what an evaluation is given (`Env`).

Both are plain values: the query language has no clock, randomness or I/O of its own. Whoever
runs an operation makes one context per command and one environment per execution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

Env: TypeAlias = dict[str, Any]
"""Runtime variables by name, without `$$`.

System variables are in capitals: `NOW`, `CLUSTER_TIME` (absent on a standalone), `USER_ROLES`,
and `ROOT` only where `$$CURRENT` was bound to something else. User variables (`let` options,
`$let`, `$map`, …) begin with a small letter, so the two never meet.
"""

Evaluate: TypeAlias = Callable[[Any, Env], Any]
"""A compiled expression's code: `(current document, environment) -> value or MISSING`."""


SCRIPT: Final = "$script"
"""Stands among an expression's `variables` when it calls JavaScript or loops over arrays, so that
one document may take long (no variable is named so)."""


class Collation(Protocol):
    """A string order other than the binary one."""

    def sort_key(self, text: str) -> bytes:
        """Return bytes that compare as the texts do; equal bytes mean equal texts."""
        ...


class ScriptEngine(Protocol):
    """Compiles JavaScript; what it returns raises 139 for what a script throws.

    Attributes:
        used: What was compiled in its context should be evaluated away from the event loop:
            it calls scripts, or loops over arrays.

    """

    used: bool

    def compile_where(
        self, source: str, scope: dict[str, Any] | None
    ) -> Callable[[Any, Env], bool]:
        """Compile `$where`: `(document, environment) -> whether it matches`."""
        ...

    def compile_function(self, source: str) -> Callable[[list[Any]], Any]:
        """Compile a function of a list of arguments."""
        ...


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What the meaning of a query depends on, besides its text.

    Args:
        collation: Order of strings; None is the simple binary comparison.
        variables: User variables in scope (without `$$`).
        random: Returns a float in [0, 1) for `$rand` and `$sampleRate`; None refuses them.
        javascript: The script engine for `$function` and `$where`; None means scripting is off.
        api_strict: Refuse operators outside the Stable API (`apiStrict: true`).
        fold: Evaluate constant subtrees at compile time (off only to test that it is the same).
        current_rebound: `$$CURRENT` may differ from `$$ROOT`, which then stands in the Env.

    """

    collation: Collation | None = None
    variables: frozenset[str] = frozenset()
    random: Callable[[], float] | None = None
    javascript: ScriptEngine | None = None
    api_strict: bool = False
    fold: bool = True
    current_rebound: bool = False

    def binding(self, *names: str) -> CompileContext:
        """Return this context with further variables in scope."""
        return replace(self, variables=self.variables.union(names))

    def rebinding_current(self, *names: str) -> CompileContext:
        """Return the context for a scope where `$$CURRENT` is bound; the Env must hold `ROOT`."""
        return replace(self, variables=self.variables.union(names), current_rebound=True)


DEFAULT_CONTEXT: Final = CompileContext()
"""No collation, no variables, neither randomness nor scripting."""


def make_env(
    now: DatetimeMS,
    cluster_time: Timestamp | None = None,
    let: Mapping[str, Any] | None = None,
    user_roles: list[Any] | None = None,
) -> Env:
    """Make the environment of one execution; `let` holds evaluated values by variable name."""
    env: Env = dict(let or {})
    env["NOW"] = now
    if cluster_time is not None:
        env["CLUSTER_TIME"] = cluster_time
    env["USER_ROLES"] = [] if user_roles is None else user_roles
    return env
