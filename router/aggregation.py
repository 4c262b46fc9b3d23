"""Pipelines over several shards, and pipelines that touch collections of other shards.

The shards run the beginning, each on what it owns; the router merges and runs the rest, with
other collections read and written through the router's own routes. Shards never route.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import MONGODB_VERSION, YIELD_DOCUMENTS
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_query.collation import Collation as Compiled
from psdb_query.context import Collation, Env
from psdb_query.pipeline_split import SplitPipeline, merge_streams, split_pipeline
from psdb_query.query_shapes import WHOLE_SHAPE, hash_of, shape_of_command
from psdb_query.stages.meta import with_scores
from psdb_query.stages.model import Run
from psdb_query.stages.output import check_level
from psdb_query.stages.pipeline import Pipeline, compile_pipeline
from psdb_query.stages.ports import Batch, ForeignSource, SpillFile
from psdb_query.stages.table import STAGES
from psdb_query.stages.touched import foreign_names
from psdb_server.cursors import BatchSource, batch_size_of
from psdb_server.operations import Operation
from psdb_server.scripting import Scripts
from psdb_wire.frames import Message
from router import reads
from router.chunk_map import ChunkMap
from router.merged_cursors import Stream, open_streams
from router.merging import RowPorts
from router.requests import generic_of
from router.routing import Target
from router.shards import Shard

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router

T = TypeVar("T")

_BATCH_DOCUMENTS: Final = 1000
_ATTEMPTS_MAX: Final = 10


async def needs_router(router: Router, db: str, pipeline: Any) -> bool:
    """Tell whether a pipeline over an unsharded collection touches what is not on its shard."""
    names = foreign_names(pipeline, db)
    if not names:
        return False
    home = await router.routing.find(db, "", create=False)
    for other_db, name in names:
        if f"{other_db}.{name}" in router.routing.spread_views:
            return True
        target = await router.routing.find(other_db, name)
        if isinstance(target, ChunkMap) or (
            isinstance(home, Target) and target.exists and target.shard != home.shard
        ):
            return True
    return False


class RouterPorts(RowPorts):
    """What a pipeline over shards may use besides: other collections, scripts, spill files.

    Attributes:
        op: The operation that runs the pipeline now: the aggregate, then each getMore.

    """

    def __init__(
        self, router: Router, connection: Connection, body: Document, op: Operation
    ) -> None:
        super().__init__(router)
        self.connection = connection
        self.body = body
        self.op = op
        self.scripts: Scripts | None = None
        self._indexed: dict[str, list[Document]] = {}

    async def checkpoint(self, documents: int) -> None:
        """Count work; see `Operation.checkpoint`."""
        await self.op.checkpoint(documents)

    async def apply(self, work: Callable[[], T]) -> T:
        """Do work that calls scripts on the script thread."""
        if self.scripts is None:
            return work()
        return await self.scripts.run(self.op, work)

    def spill(self) -> SpillFile:
        """Open temporary storage."""
        from psdb_server.spill import Spill

        disk = self.router.world.disk
        return Spill(disk, disk.open_nameless())

    def foreign(self, database: str, collection: str) -> ForeignSource:
        """Open another collection or view."""
        return RouterForeign(self, database, collection)

    def matching(
        self, database: str, collection: str, spec: Document, env: Env,  # noqa: ARG002
    ) -> AsyncIterator[Batch]:
        """Read what a filter matches of a collection."""
        return read_all(self, database, collection, spec)

    async def indexes_of(self, db: str, name: str) -> list[Document]:
        """Return the indexes of a collection, asked for once; none of a view's or a missing one's.

        All shards have the same.
        """
        ns = f"{db}.{name}"
        if ns not in self._indexed:
            found = await self.router.routing.find(db, name)
            shard = found.owners[0] if isinstance(found, ChunkMap) else found.shard
            self._indexed[ns] = await list_indexes(await self.router.routing.shard(shard), db, name)
        return self._indexed[ns]

    async def out(self, target: Any, batches: AsyncIterator[Batch]) -> None:
        """Replace a collection."""
        from router import pipeline_writes

        await pipeline_writes.out(self, target, batches)

    async def merge(self, target: Any, batch: Batch, env: Env) -> None:
        """Write a batch into a collection."""
        from router import pipeline_writes

        await pipeline_writes.merge(self, target, batch, env)


class RouterForeign:
    """Another collection, as `$lookup` on the router reads it: over the shards."""

    def __init__(self, ports: RouterPorts, db: str, name: str) -> None:
        self._ports = ports
        self._db = db
        self._name = name

    async def run(self, pipeline: Pipeline, env: Env) -> AsyncIterator[Batch]:
        """Run a pipeline over it; a leading match without variables is left to the shards."""
        leading = pipeline.leading()
        spec: Document = {}
        if leading.match is not None and not _has_variables(leading.match.spec):
            spec = leading.match.spec
        source = read_all(self._ports, self._db, self._name, spec)
        async for batch in pipeline.run(source, Run(self._ports, env)):
            yield batch

    async def lookup(
        self, path: str, values: list[Any], collation: Collation | None
    ) -> Batch | None:
        """Fetch by equality on the shards; None where they have no index for it."""
        specs = await self._ports.indexes_of(self._db, self._name)
        if not any(_serves(spec, path, collation) for spec in specs):
            return None
        found: Batch = []
        async for batch in read_all(self._ports, self._db, self._name, {path: {"$in": values}}):
            found += batch
        return found


async def list_indexes(channel: Shard, db: str, name: str) -> list[Document]:
    """Return the specifications of a collection's indexes on one shard, none where there is none.

    There are fewer than a reply holds.
    """
    try:
        reply = await channel.command(db, {"listIndexes": name})
    except MongoError as error:
        if error.code in (Code.NAMESPACE_NOT_FOUND, Code.COMMAND_NOT_SUPPORTED_ON_VIEW):
            return []
        raise
    found: list[Document] = reply["cursor"]["firstBatch"]
    return found


def _serves(spec: Document, path: str, collation: Collation | None) -> bool:
    """Tell whether an index finds all documents by equality of a path."""
    first = next(iter(spec["key"].items()))
    if first[0] != path or first[1] not in (1, -1):
        return False
    if any(spec.get(name) for name in ("hidden", "partialFilterExpression", "sparse")):
        return False
    own = spec.get("collation")
    return (Compiled.parse(own) if own else None) == collation


def _has_variables(spec: Any) -> bool:
    return "$$" in repr(spec)


async def read_all(
    ports: RouterPorts, db: str, name: str, spec: Document
) -> AsyncIterator[Batch]:
    """Read what a filter matches of a collection, wherever it is."""
    command: Document = {"find": name, "filter": spec, **generic_of(ports.body)}
    # The pipeline's own, whatever the collection's default is.
    command["collation"] = ports.body.get("collation", {"locale": "simple"})
    try:
        streams = await ports.op.wait(
            open_anywhere(ports.router, ports.connection, db, name, command, spec)
        )
    except MongoError as error:
        if "resolvedView" not in error.extra:
            raise
        async for batch in _read_view(ports, db, name, error.extra["resolvedView"], spec):
            yield batch
        return
    for stream in streams:
        try:
            async for batch in documents_of(stream, ports):
                yield batch
        finally:
            await stream.close()


async def open_anywhere(
    router: Router, connection: Connection, db: str, name: str, command: Document, spec: Document
) -> list[Stream]:
    """Open a read on all shards that have to do with it; again when the routing was stale."""
    for attempt in range(_ATTEMPTS_MAX):
        found = await router.routing.find(db, name)
        targets: list[tuple[Shard, Routed | None]]
        if isinstance(found, ChunkMap):
            shards = reads.shards_for(router, found, spec, {**command, "$db": db})
            targets = await reads.targets_for(router, found, shards)
        else:
            targets = [(found.channel, found.routed)]
        try:
            return (await open_streams(connection, db, command, targets))[0]
        except MongoError as error:
            if attempt + 1 == _ATTEMPTS_MAX or not router.routing.learn(error, f"{db}.{name}"):
                raise
    raise AssertionError("unreachable")


async def _read_view(
    ports: RouterPorts, db: str, name: str, view: Document, spec: Document
) -> AsyncIterator[Batch]:
    """Read what a filter matches of a view over sharded collections: run its pipeline here."""
    given, own = ports.body.get("collation"), view.get("collation")
    if (Compiled.parse(given) if given else None) != (Compiled.parse(own) if own else None):
        raise MongoError(
            Code.OPTION_NOT_SUPPORTED_ON_VIEW,
            f"Cannot override a view's default collation: {db}.{name}",
        )
    base = view["ns"].partition(".")[2]
    body: Document = {
        "aggregate": base, "pipeline": [*view["pipeline"], {"$match": spec}], "$db": db,
        **generic_of(ports.body),
    } | {option: ports.body[option] for option in ("allowDiskUse", "collation")
         if option in ports.body}
    async for batch in run_pipeline(ports, body):
        yield batch


async def run_pipeline(ports: RouterPorts, body: Document) -> AsyncIterator[Batch]:
    """Run the pipeline of an aggregate over whatever shards it takes."""
    router, db, name = ports.router, body["$db"], body["aggregate"]
    context, env = reads.context_of(router, body)
    compiled = compile_pipeline(body["pipeline"], context, database=db, collection=name)
    for attempt in range(_ATTEMPTS_MAX):
        found = await router.routing.find(db, name)
        shards = _shards(router, found, compiled, body)
        try:
            batches = await _run(ports, body, found, shards, split_pipeline(compiled), env)
            break
        except MongoError as error:
            if attempt + 1 == _ATTEMPTS_MAX or not router.routing.learn(error, f"{db}.{name}"):
                raise
    async for batch in batches:
        yield batch


async def documents_of(stream: Stream, ports: RouterPorts) -> AsyncIterator[Batch]:
    """Give a stream's documents in batches."""
    while True:
        if not stream.batch and not stream.at_end:
            await ports.op.wait(stream.fill())
        if not stream.batch:
            return
        batch = with_scores([bson_codec.decode(raw) for raw in stream.batch])
        stream.batch.clear()
        stream.ask()
        yield batch


# -- the command ---------------------------------------------------------------------------------


async def aggregate(
    router: Router, connection: Connection, message: Message, body: Document,
    found: ChunkMap | Target,
) -> bytes | None:
    """Run a pipeline over a sharded collection, or one that touches other shards."""
    op = router.operations.begin(connection, "aggregate", body["$db"])
    try:
        return await _aggregate(router, connection, message, body, found, op)
    finally:
        router.operations.end(op)


async def _aggregate(
    router: Router, connection: Connection, message: Message, body: Document,
    found: ChunkMap | Target, op: Operation,
) -> bytes | None:
    pipeline = body["pipeline"]
    context, env = reads.context_of(router, body)
    name = body["aggregate"]
    op.ns = ns = f"{body['$db']}.{name if type(name) is str else '$cmd.aggregate'}"
    op.command = body
    compiled = compile_pipeline(
        pipeline, context, database=body["$db"], collection=name if type(name) is str else None
    )
    shards = _shards(router, found, compiled, body)
    if isinstance(found, ChunkMap) and len(shards) == 1 and not foreign_names(pipeline, ""):
        return await router.forward_to(
            shards[0], found.routed(shards[0]), connection, message, opens_cursor=True
        )
    if body.get("explain"):
        return await explain(router, connection, message, body, found, "queryPlanner")
    if "cursor" not in body:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "The 'cursor' option is required, except for aggregate with the explain argument",
        )
    size = batch_size_of(body["cursor"])
    reads.limit_op(op, body)
    ports = RouterPorts(router, connection, body, op)
    split = split_pipeline(compiled)
    scripts = context.javascript
    if isinstance(scripts, Scripts) and scripts.used and _calls_scripts(split.merger.spec):
        ports.scripts = scripts
    batches = await _run(ports, body, found, shards, split, env)
    source = RoutedSource(ports, batches)
    if compiled.writes is not None:
        check_level(body.get("readConcern", {}).get("level"), compiled.writes.name)
        size = max(size, 1)
    return await reads.first_batch(router, message, body, source, ns, size, op)


def _calls_scripts(spec: Any) -> bool:
    """Tell whether stages may call JavaScript, beside those that the shards run."""
    text = repr(spec)
    return any(name in text for name in ("$accumulator", "$function", "$where"))


class RoutedSource(BatchSource):
    """A cursor's source over a pipeline on the router; its work is that of who fetches."""

    def __init__(self, ports: RouterPorts, batches: AsyncIterator[Batch]) -> None:
        super().__init__(_encoded(ports, batches))
        self._ports = ports

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents."""
        self._ports.op = op
        return await super().fetch(op, count)


def _shards(
    router: Router, found: ChunkMap | Target, compiled: Pipeline, body: Document
) -> list[str]:
    if isinstance(found, Target):
        return [found.shard]
    source = compiled.source_stage
    if source is not None:
        return found.owners if STAGES[source.name].on_every_shard else found.owners[:1]
    match = compiled.leading().match
    return reads.shards_for(router, found, match.spec if match is not None else {}, body)


async def _run(
    ports: RouterPorts, body: Document, found: ChunkMap | Target, shards: list[str],
    split: SplitPipeline, env: Env,
) -> AsyncIterator[Batch]:
    """Open the shards' part and put the router's part behind it."""
    run = Run(
        ports, env, allow_disk_use=bool(body.get("allowDiskUse", True)),
        memory_bytes=ports.router.parameters["internalQueryMaxBlockingSortMemoryUsageBytes"],
        scripted=ports.scripts is not None,
    )
    if type(body["aggregate"]) is not str:
        return split.merger.run(_nothing(), run)  # such as $documents
    command: Document = {
        "aggregate": body["aggregate"], "pipeline": split.shard_pipeline,
        "cursor": {"batchSize": _BATCH_DOCUMENTS}, "fromRouter": True,
        WHOLE_SHAPE: hash_of(shape_of_command(body, body["$db"])), **generic_of(body),
    } | {name: body[name] for name in ("collation", "let", "hint", "allowDiskUse") if name in body}
    targets: list[tuple[Shard, Routed | None]]
    if isinstance(found, ChunkMap):
        targets = await reads.targets_for(ports.router, found, shards)
    else:
        targets = [(found.channel, found.routed)]
    streams, _missing = await ports.op.wait(
        open_streams(ports.connection, body["$db"], command, targets)
    )
    merged = merge_streams([documents_of(stream, ports) for stream in streams], split.sort, env)
    return split.merger.run(_closing(merged, streams), run)


async def _closing(merged: AsyncIterator[Batch], streams: list[Stream]) -> AsyncIterator[Batch]:
    try:
        async for batch in merged:
            yield batch
    finally:
        for stream in streams:
            await stream.close()


async def _nothing() -> AsyncIterator[Batch]:
    batches: tuple[Batch, ...] = ()
    for batch in batches:
        yield batch


async def _encoded(ports: RouterPorts, batches: AsyncIterator[Batch]) -> AsyncIterator[list[bytes]]:
    async for batch in batches:
        for at in range(0, len(batch), YIELD_DOCUMENTS):
            yield [bson_codec.encode(document) for document in batch[at : at + YIELD_DOCUMENTS]]
            await ports.checkpoint(YIELD_DOCUMENTS)


async def explain(
    router: Router, connection: Connection, message: Message, body: Document,
    found: ChunkMap | Target, verbosity: str,
) -> bytes:
    """Explain a pipeline over several shards: each shard's plan, and who runs what."""
    from router.requests import command as run_command
    from router.requests import without_times

    context, _env = reads.context_of(router, body)
    compiled = compile_pipeline(
        body["pipeline"], context, database=body["$db"], collection=body["aggregate"]
    )
    split = split_pipeline(compiled)
    shards = _shards(router, found, compiled, body)
    inner: Document = {
        "aggregate": body["aggregate"], "pipeline": split.shard_pipeline, "cursor": {},
        "fromRouter": True, WHOLE_SHAPE: hash_of(shape_of_command(body, body["$db"])),
    } | {name: body[name] for name in ("collation", "let", "hint") if name in body}
    parts: Document = {}
    for shard in shards:
        routed = found.routed(shard) if isinstance(found, ChunkMap) else found.routed
        reply = await run_command(
            await router.routing.shard(shard), connection, body["$db"],
            {"explain": inner, "verbosity": verbosity}, routed,
        )
        parts[shard] = {"host": router.routing.host_of(shard), **without_times(reply)}
    return reads.answer(router, message, {
        "mergeType": "router", "splitPipeline": split.explain(), "shards": parts,
        "serverInfo": {"host": router.host.rpartition(":")[0], "version": MONGODB_VERSION},
        "command": {name: value for name, value in body.items() if name != "lsid"},
    })
