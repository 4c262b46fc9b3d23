"""`dbHash`: a digest of every collection's documents at one commit point.

Members with equal data have equal digests: documents go in by `_id`, those of a capped
collection in natural order, and both are the same on all of them, while record numbers of
other collections need not be compared. The digest is MD5 as in MongoDB; it proves nothing
against malice (manual: "dbHash").
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_BYTES, YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.operations import Operation
from psdb_store.collection import Collection
from psdb_store.engine import View
from shardsvr.collections import member_of
from shardsvr.profiler import PROFILE

_OF_ONE_MEMBER: Final = (PROFILE,)
"""Collections that each member has for itself; they are no part of the replicated data."""


def _new_digest() -> Any:
    return hashlib.md5(usedforsecurity=False)


async def _digest_of(op: Operation, view: View, c: Collection) -> str:
    """Digest a collection's documents as the view sees them."""
    found: list[tuple[bytes, bytes]] = []
    after: int | None = None
    while records := view.scan(c, after, YIELD_DOCUMENTS):
        after = records[-1].rid
        if c.is_capped:
            found += [(b"", record.raw) for record in records]
        else:
            found += [(c.id_key_of(record), record.raw) for record in records]
        await op.checkpoint(len(records))
    if not c.is_capped:
        found.sort(key=_first)
    digest, size = _new_digest(), 0
    for _key, raw in found:
        digest.update(raw)
        size += len(raw)
        if size > YIELD_BYTES:
            await op.checkpoint(YIELD_DOCUMENTS)
            size = 0
    return str(digest.hexdigest())


def _first(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


def _chosen(request: Request) -> list[Collection]:
    """Return the collections to digest, in order of name."""
    wanted = request.args.get("collections")
    for at, name in enumerate(wanted or ()):
        if type(name) is not str:
            raise MongoError(
                Code.BAD_VALUE, f"collections entries have to be strings; entry {at} is not"
            )
    return [
        c for c in member_of(request).engine.collections(request.db)
        if not c.is_view and c.name not in _OF_ONE_MEMBER and (not wanted or c.name in wanted)
    ]


async def db_hash(request: Request) -> Reply:
    """Digest a database's collections, or those that `collections` names."""
    if request.target not in (1, 1.0):
        raise MongoError(Code.INVALID_OPTIONS, "dbHash has to be 1")
    member = member_of(request)
    chosen = _chosen(request)
    whole, digests = _new_digest(), {}
    with member.engine.view(member.engine.commit_index) as view:
        for c in chosen:
            digest = await _digest_of(request.op, view, c)
            digests[c.name] = digest
            whole.update(digest.encode())
    reply: Document = {
        "host": member.host,
        "collections": digests,
        "capped": [c.name for c in chosen if c.is_capped],
        "uuids": {c.name: c.uuid for c in chosen},
        "md5": whole.hexdigest(),
        "timeMillis": request.op.elapsed_ms(),
    }
    return reply


COMMANDS = (
    Command(
        "dbHash", db_hash, (Field("collections", "array"),), read_concern=True,
        help="Digest a database's collections.",
    ),
)
