"""`mapReduce` (manual: "mapReduce", "Map-Reduce"): functions in JavaScript over a collection."""

from __future__ import annotations

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.map_reduce import (
    FIELDS,
    Job,
    Output,
    parse_output,
    pipeline_of,
    write_results,
)
from psdb_server.namespaces import check_collection_name
from shardsvr.collections import member_of, not_on_view
from shardsvr.commands.aggregate import Aggregation


async def map_reduce(request: Request) -> Reply:
    """Run the functions and return or write the results."""
    args, member = request.args, member_of(request)
    name = check_collection_name(request.db, request.target)
    output = parse_output(args["out"], request.db)
    scripts = member.scripts()
    if scripts is None:
        raise MongoError(
            31264, "Cannot run server-side javascript without the javascript engine enabled"
        )
    request.node.operations.count("command")
    collection = member.engine.collection(request.db, name)
    if collection is not None and collection.is_view:
        raise not_on_view(collection)
    options: Document = {
        name: args[name] for name in ("bypassDocumentValidation", "collation") if args.get(name)
    }
    source = Aggregation(request, name, pipeline_of(args), options)
    collation = source.pipeline.context.expressions.collation
    job = Job(scripts, request.op, args, collation)
    if output.kind == "inline":
        await job.take_all(source.run())
        return {"results": [one async for batch in job.results() for one in batch]}
    member.check_writable()
    return await member.write_through(request, lambda: _write(source, job, output))


async def _write(source: Aggregation, job: Job, output: Output) -> Reply:
    """Run the functions, write what comes out, and tell where it went."""
    await job.take_all(source.run())
    return await write_results(job, output, source.ports, source.env)


COMMANDS = (
    Command(
        "mapReduce", map_reduce, FIELDS, read_concern=True, write_concern=True,
        help="Run map and reduce functions in JavaScript.",
    ),
)
