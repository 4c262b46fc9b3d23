"""`profile`, `top`: what operations do, and how much each collection is used."""

from __future__ import annotations

from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field, sample_rate
from shardsvr.collections import create_quietly, member_of
from shardsvr.profiler import PROFILE, SIZE_BYTES, Level


async def profile(request: Request) -> Reply:
    """Set a database's profiling level (-1: only tell it); return what was set before."""
    member, args = member_of(request), request.args
    level: int = CHECKS["int"](request.target, "profile.profile")
    was = member.profiler.level(request.db)
    reply: Document = {
        "was": was.level, "slowms": member.slow_ms, "sampleRate": member.sample_rate,
    }
    if was.filter_spec is not None:
        reply["filter"] = was.filter_spec
        reply["note"] = (
            "When a filter expression is set, slowms and sampleRate are not used for profiling "
            "and slow-query log lines."
        )
    if not -1 <= level <= 2:
        raise MongoError(Code.BAD_VALUE, f"Profiling level has to be in the range 0..2: {level}")
    rate = sample_rate(args.get("sampleRate"))
    chosen = _filter(request, args.get("filter"), was)
    missing = member.engine.collection(request.db, PROFILE) is None
    if level > 0 and missing and member.is_primary:
        options: Document = {"capped": True, "size": SIZE_BYTES}
        async with member.gate.passage(request.op):
            await create_quietly(member, request.db, PROFILE, options)
    if "slowms" in args:
        member.slow_ms = args["slowms"]
    if rate is not None:
        member.sample_rate = rate
    chosen.level = was.level if level == -1 else level
    member.profiler.set(request.db, chosen)
    return reply


def _filter(request: Request, spec: Any, was: Level) -> Level:
    """Return the filter to be: a new one, none after "unset", else the one there was."""
    if spec is None:
        return Level(was.level, was.filter_spec, was.filter)
    if spec == "unset":
        return Level(was.level)
    if type(spec) is not dict:
        raise MongoError(
            Code.BAD_VALUE, 'Expected an object, or the string "unset" for the field \'filter\''
        )
    from psdb_query.filters import compile_filter

    compiled = compile_filter(spec, member_of(request).context())
    return Level(was.level, spec, compiled)


async def top(request: Request) -> Reply:
    """Return how often and how long each collection was used, in microseconds."""
    member = member_of(request)
    totals: Document = {"note": "all times in microseconds"}
    for ns, usage in sorted(member.usage.items()):
        db, _, name = ns.partition(".")
        if member.engine.collection(db, name) is not None:
            totals[ns] = usage.top()
    return {"totals": totals}


COMMANDS = (
    Command(
        "profile", profile,
        (
            Field("slowms", "int"),
            Field("sampleRate", "number"),
            Field("filter", "any"),
        ),
        help="Set a database's profiling level.",
    ),
    Command("top", top, admin_only=True, help="How much each collection is used."),
)
