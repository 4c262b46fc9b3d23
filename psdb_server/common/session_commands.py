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
    await kill_sessions_of(request, _sessions(request) or list(node.sessions.last_use))
    return {}


async def kill_all_sessions(request: Request) -> Reply:
    """Kill the operations and cursors of users' sessions; without users these are everybody's."""
    for at, user in enumerate(request.target):
        if type(user) is not dict or set(user) != {"user", "db"}:
            raise MongoError(
                40414 if type(user) is dict else Code.TYPE_MISMATCH,
                f"'killAllSessions.{at}' has to be a document with user and db",
            )
    if not request.target:
        await kill_sessions_of(request, list(request.node.sessions.last_use))
    return {}


async def kill_all_sessions_by_pattern(request: Request) -> Reply:
    """Kill the sessions that one of the patterns matches; no pattern matches all."""
    known = list(request.node.sessions.last_use)
    chosen: list[bytes] = [] if request.target else known
    for at, pattern in enumerate(request.target):
        where = f"killAllSessionsByPattern.{at}"
        if type(pattern) is not dict:
            raise MongoError(Code.TYPE_MISMATCH, f"'{where}' has to be a document")
        for name in pattern:
            if name not in ("lsid", "roles", "uid", "users"):
                raise MongoError(40415, f"BSON field '{where}.{name}' is an unknown field.")
        if "lsid" in pattern:
            lsid = parse_lsid(pattern["lsid"], f"{where}.lsid")
            chosen += [one for one in known if one == lsid]
        elif not pattern.get("uid") and not pattern.get("users"):
            chosen += known
    await kill_sessions_of(request, chosen)
    return {}


async def kill_sessions_of(request: Request, lsids: list[bytes]) -> None:
    """Kill the operations, but for this one, and the cursors of sessions."""
    for lsid in lsids:
        if lsid != request.generic.lsid:
            request.node.operations.kill_session(lsid)
        await request.node.cursors.kill_session(lsid)


COMMANDS = (
    Command("endSessions", end_sessions, target="array", api_v1=True, help="End sessions."),
    Command(
        "killAllSessions", kill_all_sessions, target="array", help="Kill users' sessions.",
    ),
    Command(
        "killAllSessionsByPattern", kill_all_sessions_by_pattern, target="array",
        help="Kill the sessions that patterns match.",
    ),
    Command("killSessions", kill_sessions, target="array", help="Kill sessions' operations."),
    Command(
        "refreshSessions", refresh_sessions, target="array", api_v1=True,
        help="Note that sessions are in use.",
    ),
    Command("startSession", start_session, help="Make a session id."),
)
