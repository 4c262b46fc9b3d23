"""Write concerns on a replica set: which members a write has to have reached.

Every acknowledged write has reached a majority's disks already; what is left are the concerns
that ask for more: a number of members, or a mode of `settings.getLastErrorModes` (manual: "Write
Concern").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdb_base.errors import Code, code_name
from psdb_base.values import Document
from psdb_server.fields import is_number
from shardsvr.replication.config import MemberConfig, ReplSetConfig

Reached = Callable[[MemberConfig], bool]


def is_more_than_majority(config: ReplSetConfig, w: Any) -> bool:
    """Tell whether a concern asks for more than what every acknowledged write has."""
    if is_number(w):
        return int(w) > config.majority
    return bool(w != "majority")


def unsatisfiable(config: ReplSetConfig, concern: Document) -> Document | None:
    """Return the `writeConcernError` of a concern that this set can never meet, None otherwise."""
    w = concern.get("w", 1)
    if is_number(w):
        if int(w) <= len(config.members):
            return None
        return failure(
            Code.UNSATISFIABLE_WRITE_CONCERN, "Not enough data-bearing nodes", concern
        )
    if w == "majority":
        return None
    mode = config.settings["getLastErrorModes"].get(w)
    if mode is None:
        return failure(
            Code.UNKNOWN_REPL_WRITE_CONCERN,
            f"No write concern mode named '{w}' found in replica set configuration", concern,
        )
    if not _mode_met(config, mode, lambda _: True):
        message = f'Not enough nodes match write concern mode "{w}"'
        return failure(Code.UNSATISFIABLE_WRITE_CONCERN, message, concern)
    return None


def is_met(config: ReplSetConfig, w: Any, reached: Reached) -> bool:
    """Tell whether the members reached are enough."""
    if is_number(w):
        return sum(1 for row in config.members if reached(row)) >= int(w)
    if w == "majority":
        return sum(1 for row in config.voters if reached(row)) >= config.majority
    mode = config.settings["getLastErrorModes"].get(w)
    return mode is not None and _mode_met(config, mode, reached)


def _mode_met(config: ReplSetConfig, mode: Document, reached: Reached) -> bool:
    for tag, least in mode.items():
        values = {row.tags[tag] for row in config.members if tag in row.tags and reached(row)}
        if len(values) < int(least):
            return False
    return True


def timed_out(concern: Document) -> Document:
    """Return the `writeConcernError` of a concern that was not met within its `wtimeout`."""
    error = failure(
        Code.WRITE_CONCERN_TIMEOUT, "waiting for replication timed out", concern
    )
    error["errInfo"] = {"wtimeout": True, **error["errInfo"]}
    return error


def failure(code: Code, message: str, concern: Document) -> Document:
    """Return a `writeConcernError`."""
    shown = {
        "w": concern.get("w", 1), "wtimeout": int(concern.get("wtimeout", 0)),
        "provenance": "clientSupplied",
    }
    return {
        "code": int(code), "codeName": code_name(code), "errmsg": message,
        "errInfo": {"writeConcern": shown},
    }
