"""`mapReduce` of what is on several shards: gathered, mapped and reduced by the router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.fields import FieldSet
from psdb_server.generic import GENERIC_FIELDS
from psdb_server.map_reduce import FIELDS, Job, Output, parse_output, pipeline_of, write_results
from psdb_wire.frames import Message
from router import reads
from router.aggregation import RouterPorts, run_pipeline
from router.chunk_map import ChunkMap
from router.requests import generic_of

if TYPE_CHECKING:
    from psdb_server.operations import Operation
    from psdb_wire.connection import Connection
    from router.routing import Target
    from router.server import Router

_FIELDS: Final = FieldSet("mapReduce", FIELDS)
_OTHERS: Final = GENERIC_FIELDS | {"mapReduce"}


async def map_reduce(
    router: Router, connection: Connection, message: Message, body: Document,
    found: ChunkMap | Target,
) -> bytes:
    """Run the functions and return or write the results."""
    db, name = body["$db"], body["mapReduce"]
    args = _FIELDS.parse(body, _OTHERS)
    output = parse_output(args["out"], db)
    source: Document = {
        "aggregate": name, "pipeline": pipeline_of(args), "$db": db, **generic_of(body),
    } | {
        option: args[option] for option in ("bypassDocumentValidation", "collation")
        if args.get(option)
    }
    if isinstance(found, ChunkMap) and "defaultCollation" in found.row:
        source.setdefault("collation", found.row["defaultCollation"])
    op = router.operations.begin(connection, "mapReduce", db)
    op.ns, op.command = f"{db}.{name}", body
    try:
        reads.limit_op(op, body)
        reply = await _run(RouterPorts(router, connection, source, op), source, args, output, op)
    finally:
        router.operations.end(op)
    return reads.answer(router, message, reply)


async def _run(
    ports: RouterPorts, source: Document, args: Document, output: Output, op: Operation
) -> Document:
    scripts = ports.router.scripts()
    if scripts is None:
        raise MongoError(
            31264, "Cannot run server-side javascript without the javascript engine enabled"
        )
    context, env = reads.context_of(ports.router, source)
    job = Job(scripts, op, args, context.collation)
    await job.take_all(run_pipeline(ports, source))
    if output.kind == "inline":
        return {"results": [one async for batch in job.results() for one in batch]}
    return await write_results(job, output, ports, env)
