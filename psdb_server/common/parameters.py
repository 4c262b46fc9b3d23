"""`getParameter` and `setParameter`."""

from __future__ import annotations

from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.generic import GENERIC_FIELDS
from psdb_server.parameters import PARAMETERS, Parameter


def _shown(row: Parameter, value: Any, *, details: bool) -> Any:
    if not details:
        return value
    return {
        "value": value,
        "settableAtRuntime": row.at_runtime,
        "settableAtStartup": row.at_startup,
    }


async def get_parameter(request: Request) -> Reply:
    """Return all parameters (`"*"`) or those named as further fields."""
    target = request.target
    options = target if type(target) is dict else {}
    details = bool(options.get("showDetails"))
    everything = target == "*" or bool(options.get("allParameters"))
    reply: Document = {}
    for name, row in PARAMETERS.items():
        if everything or name in request.body:
            reply[name] = _shown(row, request.node.parameters[name], details=details)
    if not reply:
        raise MongoError(Code.INVALID_OPTIONS, "no option found to get")
    return reply


async def set_parameter(request: Request) -> Reply:
    """Change one parameter at run time; returns `was`."""
    names = [
        name for name in request.body
        if name != "setParameter" and name not in GENERIC_FIELDS
    ]
    if len(names) != 1:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "no option found to set, use help:true to see options " if not names
            else "setParameter takes one parameter at a time",
        )
    was = request.node.parameters.set(names[0], request.body[names[0]])
    request.node.parameter_changed(names[0])
    return {"was": was}


COMMANDS = (
    Command(
        "getParameter", get_parameter, admin_only=True, strict=False,
        help="Return server parameters.",
    ),
    Command(
        "setParameter", set_parameter, admin_only=True, strict=False,
        help="Change a server parameter.",
    ),
)
