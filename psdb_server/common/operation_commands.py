"""`currentOp`, `killOp`."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_query.context import CompileContext, make_env
from psdb_query.filters import compile_filter
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.generic import GENERIC_FIELDS

_OWN_FIELDS = frozenset({"currentOp", "$all", "$ownOps"})


async def current_op(request: Request) -> Reply:
    """List running operations; further fields are a filter over the rows."""
    rows = request.node.operations.describe(request.node.host)
    spec = {
        name: value for name, value in request.body.items()
        if name not in _OWN_FIELDS and name not in GENERIC_FIELDS
    }
    if spec:
        from bson.datetime_ms import DatetimeMS

        chosen = compile_filter(spec, CompileContext())
        env = make_env(DatetimeMS(request.node.world.clock.now_ms()))
        rows = [row for row in rows if chosen.matches(row, env)]
    return {"inprog": rows}


async def kill_op(request: Request) -> Reply:
    """Ask an operation to stop; succeeds also when it has ended already."""
    opid = request.args["op"]
    if opid == request.op.opid:
        raise MongoError(Code.ILLEGAL_OPERATION, "an operation cannot kill itself")
    request.node.operations.kill(opid)
    return {"info": "attempting to kill op"}


COMMANDS = (
    Command(
        "currentOp", current_op, admin_only=True, strict=False, help="List running operations.",
    ),
    Command(
        "killOp", kill_op, (Field("op", "int", required=True),), admin_only=True,
        help="Ask an operation to stop.",
    ),
)
