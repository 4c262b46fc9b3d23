"""The write commands on the router: passed through where one shard is concerned, else split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_server.cursors import BatchSource, batch_size_of
from psdb_server.namespaces import split_namespace
from psdb_server.replies import cursor_elements, document_elements, error_document
from psdb_wire.frames import Message
from router import reads, targeting
from router.chunk_map import ChunkMap
from router.keyless_writes import ATTEMPTS_MAX, Look
from router.requests import BODY_AT, is_error, without_times
from router.requests import command as run_command
from router.routing import STALE_CODES, Target
from router.sharded_writes import (
    ARRAYS,
    Result,
    Write,
    WriteRun,
    reply_of,
    run_writes,
)

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router



_AGAIN_CODES: Final = STALE_CODES | {int(Code.WOULD_CHANGE_OWNING_SHARD)}
"""Errors of statements that have done nothing and go out once more."""


def _raws(message: Message, body: Document, field: str) -> list[bytes] | None:
    """Return the raw documents of a write, None when it is malformed."""
    for name, documents in message.sequences:
        if name == field:
            return list(documents)
    if type(body.get(field)) is not list:
        return None
    for name, _kind, array in bson_codec.fields(message.body):
        if name == field:
            parts = list(bson_codec.fields(array))
            return [value for _n, _k, value in parts] if all(k == 3 for _, k, _ in parts) else None
    return None


async def write(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a write on an unsharded collection; go on by statements if it is sharded meanwhile."""
    kind = next(iter(body))
    name = body[kind]
    found = router.routing.known(db, name) if type(name) is str else None
    if found is None:
        found = await router.routing.find(
            db, name if type(name) is str else "", create=kind != "delete"
        )
    if isinstance(found, ChunkMap):
        return NotImplemented
    reply = await router.forward(found.channel, connection, message, found.routed)
    return await _resumed(router, connection, message, body, reply)


async def _resumed(
    router: Router, connection: Connection, message: Message, body: Document, reply: bytes | None
) -> bytes | None:
    """Return a reply, or go on by statements after one some of which met a stale routing."""
    if reply is None or b"\x04writeErrors\x00" not in reply:
        return reply
    first = bson_codec.decode(reply[BODY_AT:])
    if not any(row.get("code") in _AGAIN_CODES for row in first.get("writeErrors", ())):
        return reply
    kind = next(iter(body))
    writes = _writes(kind, message, body)
    assert writes is not None
    run = WriteRun(router, connection, body["$db"], body[kind], _options(kind, body))
    left, _error = run.take(writes, first)
    return reads.answer(router, message, reply_of(kind, await run.all(left)))


def _writes(kind: str, message: Message, body: Document) -> list[Write] | None:
    raws = _raws(message, body, ARRAYS[kind])
    if raws is None:
        return None
    return [
        Write(index, kind, bson_codec.decode(raw), raw) for index, raw in enumerate(raws)
    ]


def _options(kind: str, body: Document) -> Document:
    return {
        name: value for name, value in body.items()
        if name not in (kind, ARRAYS[kind], "$db", "$readPreference")
    }


async def write_sharded(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> Any:
    """Run an insert, update or delete on a sharded collection."""
    kind = next(iter(body))
    writes = _writes(kind, message, body)
    shard = None if writes is None else _only_shard(found, writes, body)
    if writes is None or not writes or shard is not None:
        shard = shard or found.owners[0]  # a malformed one is refused there
        reply = await router.forward_to(shard, found.routed(shard), connection, message)
        if writes is None:
            return reply
        return await _resumed(router, connection, message, body, reply)
    if kind == "insert" and "_id" in found.pattern.names:
        for one in writes:
            if "_id" not in one.document:
                one.document = {"_id": router.world.random.object_id(), **one.document}
                one.raw = bson_codec.encode(one.document)
    result = await run_writes(
        router, connection, body["$db"], body[kind], writes, _options(kind, body)
    )
    return reads.answer(router, message, reply_of(kind, result))


def _only_shard(found: ChunkMap, writes: list[Write], body: Document) -> str | None:
    """Return the shard that all statements are for by their keys, None when there is no one."""
    pattern = found.pattern
    shards: set[str] = set()
    for one in writes:
        if one.kind == "insert":
            if "_id" not in one.document and "_id" in pattern.names:
                return None
            try:
                key: bytes | None = pattern.key(one.document)
            except MongoError:
                return None
        elif one.multi:
            return None
        else:
            spec = one.document.get("q")
            collation = one.document.get("collation")
            key = (
                targeting.exact_key(pattern, spec, collation or body.get("collation"))
                if type(spec) is dict else None
            )
        if key is None:
            return None
        shards.add(found.shard_of(key))
        if len(shards) > 1:
            return None
    return shards.pop() if shards else None


async def find_and_modify(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> Any:
    """Run a findAndModify: on the shard of its key, on one that has a match, or to insert."""
    spec = body.get("query", {})
    shards = reads.shards_for(router, found, spec, body)
    upsert = bool(body.get("upsert")) and "update" in body and not body.get("remove")
    named = not upsert or len(found.owners) == 1 or (
        targeting.exact_key(found.pattern, spec, body.get("collation")) is not None
    )
    if len(shards) == 1 and named:
        reply = await router.forward_to(shards[0], found.routed(shards[0]), connection, message)
        if not upsert or reply is None or not is_error(reply[BODY_AT:]):
            return reply
        if bson_codec.decode(reply[BODY_AT:]).get("code") != Code.WOULD_CHANGE_OWNING_SHARD:
            return reply
    done = await _find_and_modify_one(
        router, connection, body, found, found.owners if upsert else shards, upsert=upsert
    )
    return reads.answer(router, message, without_times(done))


async def _find_and_modify_one(
    router: Router, connection: Connection, body: Document, found: ChunkMap, shards: list[str],
    *, upsert: bool,
) -> Document:
    """Find one document on several shards, and run the command about it."""
    spec = body.get("query", {})
    session: Document = {name: body[name] for name in ("lsid", "txnNumber") if name in body}
    for _ in range(ATTEMPTS_MAX):
        look = Look(
            router, connection, body["$db"], next(iter(body.values())), found,
            {"filter": spec, **{
                name: body.get(name) for name in ("sort", "collation", "hint", "let")
            }},
            session if "txnNumber" in session else {},
        )
        chosen = await look.one(shards)
        command = body
        if chosen is not None:
            shard, about = chosen
            routed = look.routed(shard)
            if about is not None:
                command = {**body, "query": {"$and": [about, spec]}}
        elif upsert:
            shard, routed = look.upsert({
                "u": body["update"], "arrayFilters": body.get("arrayFilters"),
            })
        else:  # An empty filter's answer in the command's own shape.
            shard, routed = found.owners[0], look.routed(found.owners[0])
            command = {**body, "query": {"$alwaysFalse": 1}}
        try:
            reply: Document = await run_command(
                await router.routing.shard(shard), connection, body["$db"], command, routed
            )
        except MongoError as error:
            if error.code != Code.WRITE_CONFLICT:
                raise
            continue
        done = reply.get("lastErrorObject", {}).get("n") or command is body or chosen is None
        if done or reply.get("value") is not None:
            return reply
    raise MongoError(Code.WRITE_CONFLICT, "the document to be written changes all the time")


# -- bulkWrite -------------------------------------------------------------------------------------


async def bulk_write(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Run a bulkWrite: as it came on one shard, else operation by operation."""
    body = dict(body)
    _take_in(body, message, "nsInfo")
    rows = body.get("nsInfo")
    if db != "admin" or type(rows) is not list:
        return await _as_it_is(router, connection, message, [])
    spaces: list[tuple[str, str]] = []
    found: list[ChunkMap | Target] = []
    for row in rows:
        ns = row.get("ns") if type(row) is dict else None
        if type(ns) is str:
            space = split_namespace(ns)
            spaces.append(space)
            found.append(await router.routing.find(*space, create=True))
    targets = [one for one in found if isinstance(one, Target)]
    if len(targets) == len(found) and len({one.shard for one in targets}) <= 1:
        sources = [
            {"ns": f"{space[0]}.{space[1]}", **one.routed.document}
            for space, one in zip(spaces, targets, strict=True) if one.routed is not None
        ]
        reply = await _as_it_is(router, connection, message, targets, sources)
        if reply is None or not _has_stale_rows(reply):
            return reply
        for space in spaces:
            router.routing.forget(space[0])
        # Only statements of a session may go out again: those that are done are known as such.
        code = Code.STALE_CONFIG if "txnNumber" in body else Code.QUERY_PLAN_KILLED
        raise MongoError(code, "a collection of the bulkWrite was sharded or moved meanwhile")
    _take_in(body, message, "ops")
    operations = body.get("ops")
    if type(operations) is not list or len(spaces) != len(rows) or not operations:
        return await _as_it_is(router, connection, message, targets)
    return await _by_operation(router, connection, message, body, spaces)


def _take_in(body: Document, message: Message, name: str) -> None:
    """Decode a document sequence into the body."""
    for other, documents in message.sequences:
        if other == name:
            body.setdefault(name, [bson_codec.decode(raw) for raw in documents])


def _has_stale_rows(reply: bytes) -> bool:
    if b"StaleConfig" not in reply and b"version mismatch" not in reply:
        return False
    cursor = bson_codec.decode(reply[BODY_AT:]).get("cursor", {})
    return any(row.get("code") in STALE_CODES for row in cursor.get("firstBatch", ()))


async def _as_it_is(
    router: Router, connection: Connection, message: Message, targets: list[Target],
    sources: list[Any] | None = None,
) -> bytes | None:
    target = targets[0] if targets else await router.routing.primary_target("test", create=False)
    return await router.forward(
        target.channel, connection, message, Routed(sources=sources) if sources else None,
        opens_cursor=True,
    )


_KINDS: Final = ("insert", "update", "delete")


async def _by_operation(
    router: Router, connection: Connection, message: Message, body: Document,
    spaces: list[tuple[str, str]],
) -> bytes:
    """Run runs of operations of one kind on one collection, and make the rows of results."""
    ordered = bool(body.get("ordered", True))
    rows: list[Document] = []
    counts = dict.fromkeys(
        ("nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"), 0
    )
    operations = body["ops"]
    at = 0
    while at < len(operations):
        kind, space, end = _run_of(operations, at, len(spaces))
        writes = [_write(kind, number, operations[number]) for number in range(at, end)]
        options = {
            name: value for name, value in body.items()
            if name not in ("bulkWrite", "ops", "nsInfo", "$db", "cursor", "errorsOnly",
                            "$readPreference", "stmtIds")
        }
        result = await run_writes(router, connection, *spaces[space], writes, options)
        made = _rows(kind, writes, result, counts)
        rows += [row for row in made if not body.get("errorsOnly") or row["ok"] == 0.0]
        if ordered and result.errors:
            break
        at = end
    return await _reply(router, connection, message, body, rows, counts)


def _run_of(operations: list[Any], at: int, spaces: int) -> tuple[str, int, int]:
    """Return kind and namespace of an operation, and where those like it end.

    Inserts go together; an update or delete by itself, as its row tells its own counts.
    """
    first = operations[at]
    kind = next(iter(first), "") if type(first) is dict else ""
    if kind not in _KINDS:
        raise MongoError(40415, f"BSON field 'bulkWrite.ops.{kind}' is an unknown field.")
    space = first[kind]
    if type(space) not in (int, Int64) or not 0 <= space < spaces:
        raise MongoError(
            Code.BAD_VALUE,
            f"BulkWrite ops entry has an invalid nsInfo index {space}. Expected a value between "
            f"0 and {spaces - 1}.",
        )
    end = at + 1
    while kind == "insert" and end < len(operations) and end - at < 1000:
        other = operations[end]
        if type(other) is not dict or next(iter(other), "") != kind or other[kind] != space:
            break
        end += 1
    return kind, int(space), end


def _write(kind: str, index: int, operation: Document) -> Write:
    """Make a statement of an operation."""
    if kind == "insert":
        document = operation.get("document")
        if type(document) is not dict:
            raise MongoError(40414, "BSON field 'bulkWrite.ops.document' is missing but a required "
                             "field")
        return Write(index, kind, document, bson_codec.encode(document))
    statement: Document = {"q": operation.get("filter", {})}
    if kind == "update":
        statement["u"] = operation.get("updateMods", {})
        names = {"constants": "c"} | {n: n for n in (
            "multi", "upsert", "upsertSupplied", "arrayFilters", "hint", "collation", "sort",
        )}
    else:
        statement["limit"] = 0 if operation.get("multi") else 1
        names = {n: n for n in ("hint", "collation")}
    return Write(index, kind, statement | {
        names[name]: value for name, value in operation.items() if name in names
    })


def _rows(
    kind: str, writes: list[Write], result: Result, counts: dict[str, int]
) -> list[Document]:
    """Make the rows of results of some operations, and count."""
    errors = dict(result.errors)
    upserted = {row["index"]: row["_id"] for row in result.upserted}
    rows: list[Document] = []
    for one in writes:
        error = errors.get(one.index)
        if error is not None:
            document = error_document(error)
            del document["codeName"], document["ok"]
            counts["nErrors"] += 1
            rows.append({"ok": 0.0, "idx": one.index, "n": 0, **document})
        elif kind == "insert":
            if one.index in result.done:
                rows.append({"ok": 1.0, "idx": one.index, "n": 1})
        elif kind == "delete":
            rows.append({"ok": 1.0, "idx": one.index, "n": result.deleted})
        else:
            row: Document = {
                "ok": 1.0, "idx": one.index, "n": result.matched, "nModified": result.modified,
            }
            if one.index in upserted:
                row |= {"n": 1, "upserted": {"_id": upserted[one.index]}}
            rows.append(row)
    counts["nInserted"] += result.inserted
    counts["nMatched"] += result.matched
    counts["nModified"] += result.modified
    counts["nUpserted"] += len(upserted)
    counts["nDeleted"] += result.deleted
    return rows


async def _reply(
    router: Router, connection: Connection, message: Message, body: Document,
    rows: list[Document], counts: dict[str, int],
) -> bytes:
    from psdb_server.cursors import Cursor

    ns = "admin.$cmd.bulkWrite"
    raws = [bson_codec.encode(row) for row in rows]

    async def once() -> Any:
        if raws:
            yield raws

    source = BatchSource(once())
    size = batch_size_of(body.get("cursor", {}), max(1, len(raws)))
    op = router.operations.begin(connection, "bulkWrite", "admin")
    lsid = body.get("lsid")
    session = bytes(lsid["id"]) if type(lsid) is dict and "id" in lsid else None
    cursor = Cursor(0, ns, source, session)
    try:
        batch = await cursor.batch(op, size) if raws else []
    finally:
        router.operations.end(op)
    cursor_id = 0
    if len(batch) < len(raws):
        opened = router.cursors.register(ns, source, session)
        opened.pending = cursor.pending
        cursor_id = opened.id
    elements = cursor_elements(cursor_id, ns, batch, b"firstBatch")
    return reads.finish(router, message, elements + document_elements(dict(counts)))
