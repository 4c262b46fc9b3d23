"""Tailable cursors: a find on a capped collection that stays open at its end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.filters import Filter
from psdb_query.projection import Projection
from psdb_server.operations import Operation
from psdb_store.collection import Collection, Record
from psdb_store.committed import State
from shardsvr.member import Member

AWAIT_MS_DEFAULT: Final = 1000
_SLICE_SECONDS: Final = 0.5
"""A waiting getMore looks this often whether it was killed or lost its client."""
_NATURAL: Final = {"$natural": 1}


def check_tailable(args: Document, collection: Collection | None) -> bool:
    """Tell whether a find opens a tailable cursor, and raise when it may not.

    Raises:
        MongoError: 2 or 9 for options that do not go with `tailable`.

    """
    if not args.get("tailable"):
        if args.get("awaitData"):
            raise MongoError(
                Code.FAILED_TO_PARSE, "Cannot set 'awaitData' without also setting 'tailable'"
            )
        return False
    if args.get("singleBatch"):
        raise MongoError(
            Code.FAILED_TO_PARSE, "Cannot set both 'tailable' and 'singleBatch'"
        )
    for name in ("sort", "hint"):
        if args.get(name) and args[name] != _NATURAL:
            raise MongoError(
                Code.BAD_VALUE,
                f"cannot use tailable option with a {name} other than {{$natural: 1}}",
            )
    for name in ("max", "min"):
        if args.get(name):
            raise MongoError(Code.BAD_VALUE, f"cannot use tailable option with '{name}'")
    if collection is not None and not collection.is_capped:
        raise MongoError(
            Code.BAD_VALUE,
            f"error processing query: ns={collection.ns} planner returned error :: caused by :: "
            "tailable cursor requested on non capped collection",
        )
    return True


class TailSource:
    """A cursor's source that follows a capped collection in natural order.

    Attributes:
        state: What it sees of the collection: the latest state, or the committed one.
        exhausted: It gives nothing more.

    """

    def __init__(
        self, member: Member, op: Operation, collection: Collection, chosen: Filter, env: Env,
        projection: Projection | None, args: Document,
    ) -> None:
        self._member = member
        self._collection = collection
        self.state: State = member.committed_of(op, collection) or collection
        self._filter = chosen
        self._env = env
        self._projection = projection
        self._skip: int = args.get("skip", 0)
        self._left: int | None = args.get("limit") or None
        self._show_record_id: bool = args.get("showRecordId", False)
        self._after: int | None = None
        self.exhausted = False

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents that came since; none when there are none yet.

        Raises:
            MongoError: 136 when the last document given was overwritten since.

        """
        found: list[bytes] = []
        self._check_position()
        wanted = count or YIELD_DOCUMENTS
        if self._left is not None:
            wanted = min(wanted, self._left)
        while len(found) < wanted and not self.exhausted:
            records = self.state.scan(self._after, YIELD_DOCUMENTS)
            if not records:
                break
            for record in records:
                self._after = record.rid
                if self._takes(record):
                    found.append(self._shown(record))
                    if len(found) == wanted:
                        break
            await op.checkpoint(YIELD_DOCUMENTS)
            self._check_position()
        if self._left is not None:
            self._left -= len(found)
            self.exhausted = self.exhausted or self._left == 0
        return found

    def _check_position(self) -> None:
        if self._collection.dropped:
            self.exhausted = True
        elif self._after is not None and self.state.get(self._after) is None:
            raise MongoError(
                Code.CAPPED_POSITION_LOST,
                "CollectionScan died due to position in capped collection being deleted. "
                f"Last seen record id: RecordId({self._after})",
            )

    def _takes(self, record: Record) -> bool:
        if not self._filter.is_trivial and not self._filter.matches(record.document(), self._env):
            return False
        if self._skip:
            self._skip -= 1
            return False
        return True

    def _shown(self, record: Record) -> bytes:
        if self._projection is None and not self._show_record_id:
            return record.raw
        document: Any = record.document()
        if self._projection is not None:
            document = self._projection.apply(document, self._env)
        if self._show_record_id:
            from bson.int64 import Int64

            document = {**document, "$recordId": Int64(record.rid)}
        return bson_codec.encode(document)

    async def wait(self, op: Operation, milliseconds: int) -> bool:
        """Return True when something was written, False after the time or at the cursor's end."""
        engine, clock = self._member.engine, self._member.world.clock
        deadline = clock.monotonic() + milliseconds / 1000
        seen = self.state.next_rid
        while not self.exhausted:
            left = deadline - clock.monotonic()
            if self.state.next_rid != seen or left <= 0:
                return self.state.next_rid != seen
            try:
                async with asyncio.timeout(min(left, _SLICE_SECONDS)):
                    await engine.committed(engine.commit_index + 1)
            except TimeoutError:
                pass
            except MongoError:  # office was lost, which is nothing to a reader
                if engine.failure is not None:
                    raise
            op.check()
            self._check_position()
        return False

    async def close(self) -> None:
        """Give nothing more."""
        self.exhausted = True
