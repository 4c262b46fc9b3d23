"""Server parameters: one table of what `getParameter` shows and `setParameter` changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.fields import CHECKS


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row: default, kind of its values (a row of `CHECKS`), when it may be set."""

    default: Any
    kind: str
    at_startup: bool = True
    at_runtime: bool = True
    least: float | None = None


PARAMETERS: Final[dict[str, Parameter]] = {
    "allowDiskUseByDefault": Parameter(True, "safe bool"),
    "authenticationMechanisms": Parameter(
        ["SCRAM-SHA-1", "SCRAM-SHA-256"], "array", at_startup=False, at_runtime=False
    ),
    "autoMergerIntervalSecs": Parameter(3600, "int", least=1),
    "enableTestCommands": Parameter(False, "safe bool", at_runtime=False),
    "featureCompatibilityVersion": Parameter(
        {"version": "8.0"}, "object", at_startup=False, at_runtime=False
    ),
    "internalQueryMaxBlockingSortMemoryUsageBytes": Parameter(100 * 1024 * 1024, "int", least=0),
    "localLogicalSessionTimeoutMinutes": Parameter(30, "int", at_startup=False, at_runtime=False),
    "logicalSessionRefreshMillis": Parameter(
        300_000, "int", at_startup=False, at_runtime=False, least=1
    ),
    "maxTimeMSForHedgedReads": Parameter(150, "int", at_startup=False, at_runtime=False),
    "minSnapshotHistoryWindowInSeconds": Parameter(0, "int", least=0),
    "requireApiVersion": Parameter(False, "safe bool", at_startup=False, at_runtime=False),
    "slowMS": Parameter(100, "int", at_startup=False, at_runtime=False, least=0),
    "transactionLifetimeLimitSeconds": Parameter(
        60, "int", at_startup=False, at_runtime=False, least=1
    ),
    "ttlMonitorEnabled": Parameter(True, "safe bool"),
    "ttlMonitorSleepSecs": Parameter(60, "int", least=1),
}
"""Sorted by name. A parameter that PSDB does not honour is not settable, or not here at all."""

_SCHEDULE: Final[dict[str, Callable[[Parameter], bool]]] = {
    "startup": lambda row: row.at_startup,
    "runtime": lambda row: row.at_runtime,
}


class Parameters:
    """The parameters of one node.

    Args:
        initial: Values of `--setParameter`, strings or parsed.

    Raises:
        MongoError: 2 BadValue for an unknown parameter or a bad value.

    """

    def __init__(self, initial: Document) -> None:
        self.values: Document = {name: row.default for name, row in PARAMETERS.items()}
        for name, value in initial.items():
            self._set(name, _from_text(name, value), "startup")

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def slow_ms(self) -> int:
        """Operations that take at least this many milliseconds are logged."""
        slow_ms: int = self.values["slowMS"]
        return slow_ms

    def set(self, name: str, value: Any) -> Any:
        """Change a parameter at run time and return its old value."""
        return self._set(name, value, "runtime")

    def _set(self, name: str, value: Any, schedule: str) -> Any:
        row = PARAMETERS.get(name)
        if row is None:
            raise MongoError(
                Code.INVALID_OPTIONS, f"attempted to set unrecognized parameter [{name}], use "
                "help:true to see options "
            )
        if not _SCHEDULE[schedule](row):
            raise MongoError(
                Code.ILLEGAL_OPERATION, f"not allowed to change [{name}] at {schedule}"
            )
        checked = CHECKS[row.kind](value, name)
        if row.least is not None and checked < row.least:
            raise MongoError(
                Code.BAD_VALUE,
                f"Invalid value for parameter {name}: {checked} is not greater than or equal to "
                f"{row.least:g}",
            )
        old = self.values[name]
        self.values[name] = checked
        return old


def _from_text(name: str, value: Any) -> Any:
    """Read a command line's text as the parameter's kind."""
    row = PARAMETERS.get(name)
    if row is None or type(value) is not str:
        return value
    if row.kind == "safe bool":
        lowered = value.lower()
        if lowered not in ("0", "1", "false", "true"):
            raise MongoError(Code.BAD_VALUE, f"Bad value for parameter {name}: {value}")
        return lowered in ("1", "true")
    if row.kind == "int":
        try:
            return int(value)
        except ValueError:
            raise MongoError(
                Code.BAD_VALUE, f"Bad value for parameter {name}: {value}"
            ) from None
    return value
