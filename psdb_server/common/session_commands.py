"""Commands about logical sessions."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, Reply, Request
from psdb_server.generic import parse_lsid


def _sessions(request: Request) -> list[bytes]:
    values = request.target
    if len(values) > 10_000:
        raise MongoError(Code.BAD_VALUE, "Cannot take more than 10000 sessions at a time")
    return [parse_lsid(value, f"{request.command.name}.{index}") for index, value in
            enumerate(values)]


async def start_session(request: Request) -> Reply:
    """Make a session id."""
    from bson.binary import Binary

    identifier = request.node.world.random.uuid()
    request.node.sessions.touch(identifier)
    return {"id": {"id": Binary(identifier, 4)}, "timeoutMinutes": 30}


async def end_sessions(request: Request) -> Reply:
    """End sessions and kill what they have open."""
    for lsid in _sessions(request):
        await request.node.end_session(lsid)
    return {}


async def refresh_sessions(request: Request) -> Reply:
    """Note that sessions are in use."""
    for lsid in _sessions(request):
        request.node.sessions.touch(lsid)
    return {}


async def kill_sessions(request: Request) -> Reply:
    """Kill the operations and cursors of sessions; an empty list means all of them."""
    node = request.node
    targets = _sessions(request) or list(node.sessions.last_use)
    for lsid in targets:
        if lsid != request.generic.lsid:
            node.operations.kill_session(lsid)
        await node.cursors.kill_matching(lsid=lsid)
    return {}


COMMANDS = (
    Command("endSessions", end_sessions, target="array", api_v1=True, help="End sessions."),
    Command("killSessions", kill_sessions, target="array", help="Kill sessions' operations."),
    Command(
        "refreshSessions", refresh_sessions, target="array", api_v1=True,
        help="Note that sessions are in use.",
    ),
    Command("startSession", start_session, help="Make a session id."),
)
