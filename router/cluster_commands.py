"""Commands about the whole cluster: databases of all shards, operations, shards, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext, make_env
from psdb_query.filters import compile_filter
from psdb_server import replies
from psdb_server.command import Command, Reply, Request
from psdb_server.common.operation_commands import filtered, operation_rows, stage_options
from psdb_server.common.session_commands import end_sessions as end_here
from psdb_server.common.session_commands import kill_sessions as kill_here
from psdb_server.fields import CHECKS, Field
from psdb_wire.frames import Message, build_op_msg

if TYPE_CHECKING:
    from router.server import Router


def router_of(request: Request) -> Router:
    """Return the request's node as the router it is."""
    return request.node  # type: ignore[return-value]


async def list_databases(request: Request) -> Reply:
    """List the databases of all shards and of the config server."""
    router = router_of(request)
    chosen = compile_filter(request.args.get("filter", {}), CompileContext())
    env = make_env(DatetimeMS(router.world.clock.now_ms()))
    rows: dict[str, Document] = {}
    command: Document = {"listDatabases": 1}
    parts = await router.on_all_shards("admin", command)
    preferred: Document = {**command, "$readPreference": {"mode": "primaryPreferred"}}
    parts.append(("config", await router.routing.config.command("admin", preferred)))
    for shard, reply in parts:
        for row in reply["databases"]:
            if (row["name"] in ("admin", "config", "local")) != (shard == "config"):
                continue
            merged = rows.setdefault(
                row["name"],
                {"name": row["name"], "sizeOnDisk": Int64(0), "empty": True, "shards": {}},
            )
            merged["sizeOnDisk"] = Int64(merged["sizeOnDisk"] + row["sizeOnDisk"])
            merged["empty"] = merged["empty"] and row["empty"]
            merged["shards"][shard] = row["sizeOnDisk"]
    found = [row for _, row in sorted(rows.items()) if chosen.matches(row, env)]
    if request.args.get("nameOnly"):
        return {"databases": [{"name": row["name"]} for row in found]}
    total = sum(row["sizeOnDisk"] for row in found)
    return {
        "databases": found, "totalSize": Int64(total), "totalSizeMb": Int64(total // 2**20),
    }


async def list_shards(request: Request) -> Reply:
    """Return the rows of `config.shards`."""
    return {"shards": await router_of(request).routing.shard_rows()}


async def is_dbgrid(request: Request) -> Reply:
    """Tell that this is a router."""
    return {"isdbgrid": 1, "hostname": request.node.host}


async def replica_set_status(_request: Request) -> Reply:
    """Refuse `replSetGetStatus` in the words by which clients tell a router."""
    raise MongoError(
        Code.COMMAND_FAILED, "replSetGetStatus is not supported through mongos",
        extra={"info": "mongos"},
    )


async def end_sessions(request: Request) -> Reply:
    """End sessions here and on the shards."""
    await end_here(request)
    await _sessions_on_shards(request)
    return {}


async def kill_sessions(request: Request) -> Reply:
    """Kill sessions' operations and cursors here and on the shards."""
    await kill_here(request)
    await _sessions_on_shards(request)
    return {}


async def _sessions_on_shards(request: Request) -> None:
    for _name, channel in await router_of(request).routing.shards():
        await channel.command("admin", {request.command.name: request.target})


async def current_op(request: Request) -> Reply:
    """List the operations of the router and of every shard."""
    router = router_of(request)
    rows = await _operations(router, stage_options(request.body))
    reply: Document = {"inprog": filtered(request, rows)}
    return reply


async def _operations(router: Router, options: Document) -> list[Document]:
    """Return all operations; a shard's are numbered `shard:opid`. `localOps`: the router's own."""
    rows = operation_rows(router, options)
    if options.get("localOps"):
        return rows
    passed = {name: value for name, value in options.items() if name != "targetAllNodes"}
    command: Document = {
        "aggregate": 1, "pipeline": [{"$currentOp": passed}], "cursor": {"batchSize": 100_000},
    }
    for name, reply in await router.on_all_shards("admin", command):
        for row in reply["cursor"]["firstBatch"]:
            shown: Document = {"shard": name, **row}
            if "opid" in row:
                shown["opid"] = f"{name}:{row['opid']}"
            if "client" in row:
                shown["client_s"] = shown.pop("client")
            rows.append(shown)
    return rows


async def kill_op(request: Request) -> Reply:
    """Kill an operation by the number `currentOp` shows: `shard:opid`, or the router's own."""
    op = request.args["op"]
    if type(op) is str:
        name, _, number = op.rpartition(":")
        for shard, channel in await router_of(request).routing.shards():
            if shard == name and number.isdigit():
                await channel.command("admin", {"killOp": 1, "op": int(number)})
                return {"shard": name, "shardid": int(number)}
        raise MongoError(Code.BAD_VALUE, f"The op argument to killOp must be of the format "
                         f'shardid:opid but found "{op}"')
    if type(op) not in (int, Int64, float):
        raise MongoError(Code.TYPE_MISMATCH, 'Expected field "op" to be a number or a string')
    request.node.operations.kill(CHECKS["int"](op, "killOp.op"))
    return {"info": "attempting to kill op"}


async def aggregate_on_shards(
    router: Router, message: Message, body: Document, db: str
) -> bytes:
    """Run a pipeline whose first stage tells of the servers themselves, on all of them."""
    from psdb_query.stages.pipeline import compile_pipeline
    from router.merging import run_over_rows

    pipeline = body["pipeline"]
    name = next(iter(pipeline[0]))
    if name == "$shardedDataDistribution":
        from router.sharding_commands import data_distribution

        rows = await data_distribution(router)
    elif name == "$querySettings":
        command = {"aggregate": 1, "pipeline": [pipeline[0]], "cursor": {"batchSize": 10_000}}
        rows = (await router.routing.config.command("admin", command))["cursor"]["firstBatch"]
    elif name == "$currentOp":
        rows = await _operations(router, pipeline[0][name])
    else:
        rows = [
            row
            for _shard, reply in await router.on_all_shards(
                db, {"aggregate": 1, "pipeline": [pipeline[0]], "cursor": {}}
            )
            for row in reply["cursor"]["firstBatch"]
        ]
    rest: Any = compile_pipeline(
        pipeline[1:], CompileContext(), database=db, collection="operations"
    )
    env = make_env(DatetimeMS(router.world.clock.now_ms()))
    result = await run_over_rows(router, rest, rows, env)
    raws = [bson_codec.encode(row) for row in result]
    elements = replies.cursor_elements(0, f"{db}.$cmd.aggregate", raws, b"firstBatch")
    raw = replies.close_body(elements + replies.OK_ELEMENT + router.reply_times())
    return build_op_msg(message.request_id, message.request_id, raw)


COMMANDS = (
    Command(
        "currentOp", current_op, admin_only=True, strict=False, help="List running operations.",
    ),
    Command("endSessions", end_sessions, target="array", api_v1=True, help="End sessions."),
    Command("isdbgrid", is_dbgrid, help="Tell that this is a router."),
    Command(
        "killOp", kill_op, (Field("op", "any", required=True),), admin_only=True,
        help="Ask an operation to stop.",
    ),
    Command(
        "killSessions", kill_sessions, target="array", help="Kill sessions' operations.",
    ),
    Command(
        "listDatabases", list_databases,
        (
            Field("filter", "object"),
            Field("nameOnly", "safe bool"),
            Field("authorizedDatabases", "safe bool"),
        ),
        admin_only=True, api_v1=True, help="List the databases of all shards.",
    ),
    Command("listShards", list_shards, admin_only=True, help="List the shards."),
    Command(
        "replSetGetStatus", replica_set_status, admin_only=True, strict=False,
        help="Of members only.",
    ),
)
