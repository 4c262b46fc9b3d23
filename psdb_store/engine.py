"""The storage engine of one dbpath: log, records, indexes, checkpoints, behind one object.

The leader executes a write on this state at once (`unit`), the log makes it durable and the
commit index follows (`committed`). While the member is its group's only voter (`alone`), durable
is committed; otherwise whoever drives Raft calls `receive`, `advance_commit`, `truncate_to`,
`begin_term` and `leave_office`.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.extjson import document_line
from psdb_base.hlc import HybridClock
from psdb_base.values import Document
from psdb_base.world import World
from psdb_store import changes, figures, index_build, replay
from psdb_store.catalogue import Catalogue, attach_index, make_collection
from psdb_store.checkpoint import Checkpointer
from psdb_store.cold import Cold
from psdb_store.collection import Collection
from psdb_store.document_json import read_document
from psdb_store.entry import LogEntry, SessionPart, entry_fields, membership_in
from psdb_store.failures import disk_failure
from psdb_store.file_writer import remove_orphans
from psdb_store.files import make_durable_dirs
from psdb_store.index import Index
from psdb_store.index_build import Progress
from psdb_store.index_kinds import make_index
from psdb_store.journal import Journal
from psdb_store.lines import line_hash
from psdb_store.loading import load_collection, warm_up
from psdb_store.manifest import files_of, membership_of, position_of, read_manifest
from psdb_store.member import Member
from psdb_store.options import StoreOptions
from psdb_store.received import Received
from psdb_store.record import CACHE_BYTES as HOT_BYTES
from psdb_store.record import HOT
from psdb_store.recovery import Opened, open_journal, recovered_terms
from psdb_store.segments import Position, entry_term, is_membership
from psdb_store.session_file import SessionFile, load_sessions, session_record
from psdb_store.sessions import SessionTable
from psdb_store.unit import WriteUnit
from psdb_store.versions import Applied, TailEntry, Versions, View

__all__ = ["Engine", "LogEntry", "StoreOptions", "View", "WriteUnit"]

LOCK_NAME: Final = "psdb.lock"
_UNSAVED_BYTES_MIN: Final = 4 * 1024 * 1024
_PROGRESS_DOCUMENTS: Final = 100_000
"""Loading a collection of so many documents is worth a line in the log."""


class Engine:
    """One store. Made by `Engine.open`.

    Attributes:
        world, dbpath, options: As given.
        clock: The hybrid clock that stamps entries.
        sessions: Retryable-write records by session id.
        catalogue: All collections.
        journal: The log.
        received: What of the log is applied, and the rest.
        versions: Undo and views.
        commit_index: Everything up to it is committed and will not be undone.
        term: Term of the entries appended now.
        last_timestamp: Cluster time of the last entry.
        undone: How many entries were undone since the start.
        failure: The final error after the disk failed; writes are refused.
        is_closed: It was closed, or is being.
        refusal: Why writes are refused now (not in office, or `failure`); None when they are not.
        memberships: Log index and document of the replica set's configurations in the log, oldest
            first; the first is the one in effect at the commit index.
        on_append: Called while an entry is being appended, with its index and its line's bytes:
            for the next turn of the loop.
        manifest_terms: Tells `(first index, term)` of each run of entries of one term, oldest
            first, up to an index; the manifest keeps them, so that `log_terms` knows them again.
        on_durable: Called after more of the log became durable.
        on_failed: Called once when the disk failed.

    """

    def __init__(
        self, world: World, dbpath: str, clock: HybridClock, options: StoreOptions, member: Member
    ) -> None:
        self.world = world
        self.dbpath = dbpath
        self.clock = clock
        self.options = options
        self.member = member
        self.sessions = SessionTable()
        self.catalogue = Catalogue(self.sessions)
        self.versions = Versions(self.sessions, options.history_ms, options.history_bytes)
        self.commit_index = 0
        self.term = member.term
        self.last_timestamp = Timestamp(0, 0)
        self.last_wall = 0
        self.undone = 0
        self.failure: MongoError | None = None
        self.refusal: MongoError | None = None
        self.memberships: list[tuple[int, Document]] = []
        self.on_append: Callable[[int, int], None] | None = None
        self.on_durable: Callable[[], None] = _nothing
        self.on_failed: Callable[[], None] = _nothing
        self.manifest_terms: Callable[[int], list[tuple[int, int]]] = no_terms
        self._terms_before: tuple[int, int] = (0, 0)
        self._terms: list[tuple[int, int]] = []
        self.log_bytes_unsaved = 0
        self.cold = Cold(world.disk, dbpath, options.cache_bytes)
        # The records between two checkpoints stay in memory whatever the bound.
        self._checkpoint_log_bytes = min(
            options.checkpoint_log_bytes, max(options.cache_bytes // 2, _UNSAVED_BYTES_MIN)
        )
        HOT.limit(min(HOT_BYTES, options.cache_bytes // 8))
        self.journal: Journal
        self.received: Received
        self._session_file = SessionFile()
        self._checkpointer: Checkpointer
        self._changes = changes.Changes(self)
        self._release_lock: Callable[[], None] = _nothing
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._unit_open = False
        self._catalogue_index = 0
        self._pins: dict[int, int] = {}
        self._pin_number = 0
        self._background: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._warming: asyncio.Task[None] | None = None
        self.is_closed = False

    # -- life ------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        world: World,
        dbpath: str,
        *,
        clock: HybridClock | None = None,
        options: StoreOptions | None = None,
    ) -> Engine:
        """Lock a dbpath, recover what is there, and be ready to read and write.

        Args:
            world: The ports.
            dbpath: An absolute path; created when it is not there.
            clock: The node's hybrid clock; None makes one.
            options: Settings; None takes the defaults.

        Raises:
            MongoError: 98 DBPathInUse, 12 for a newer format.
            StorageDamagedError: Something durable is damaged (301), with file and line.

        """
        disk = world.disk
        make_durable_dirs(disk, dbpath)
        try:
            release = disk.lock(f"{dbpath}/{LOCK_NAME}")
        except BlockingIOError as error:
            raise MongoError(
                Code.DB_PATH_IN_USE,
                f"Unable to lock the lock file: {dbpath}/{LOCK_NAME} ({error.strerror}). "
                f"Another instance is already running on the {dbpath} directory",
            ) from error
        collecting = gc.isenabled()
        gc.disable()
        try:
            member = await Member.open(world, dbpath)
            settings = options or StoreOptions()
            engine = cls(world, dbpath, clock or HybridClock(world.clock), settings, member)
            engine._release_lock = release
            await engine._recover()
        except BaseException:
            release()
            raise
        finally:
            if collecting:
                gc.enable()
        return engine

    async def _recover(self) -> None:
        started = self.world.clock.monotonic()
        manifest = read_manifest(self.world.disk, self.dbpath)
        await self._load(manifest)
        base = position_of(manifest)
        opened = await open_journal(self.world, f"{self.dbpath}/journal", self.options, base)
        self.journal = opened.journal
        self.journal.on_durable = self._on_durable
        self.journal.on_failure = self._fail
        self.journal.commit = lambda: self.commit_index
        await self._replay(opened)
        remove_orphans(self.world.disk, self.dbpath, files_of(manifest))
        self._checkpointer = Checkpointer(self, base, manifest["nextFile"], self._session_file)
        self._report(opened, started)
        if self.options.freeze_gc:
            gc.freeze()
        if self.options.alone:
            await self.take_office(self.term + 1)
        if self.options.background:
            self._arm_timer()
            warming = warm_up(self.world, self.cold, self.catalogue, self.options.slice_documents)
            self._warming = asyncio.get_running_loop().create_task(warming)

    async def _load(self, manifest: dict[str, Any]) -> None:
        """Make the collections of the manifest and read their files."""
        at = manifest["index"]
        wall_ms = self.world.clock.now_ms()
        for fields in manifest["collections"]:
            db, _, name = fields["ns"].partition(".")
            options = read_document(fields["options"])[1]
            c = make_collection(db, name, bytes.fromhex(fields["uuid"]), options)
            for spec in fields["indexes"]:
                attach_index(c, make_index(c, read_document(spec)[1], wall_ms))
            if fields["files"]:
                await load_collection(self.world, self.cold, c, fields, self.options, at)
                if c.count >= _PROGRESS_DOCUMENTS:
                    self.world.log.write(
                        "I", "RECOVERY", 7100005, "Loaded a collection",
                        {"ns": c.ns, "documents": c.count, "bytes": c.storage_size_bytes},
                    )  # fmt: skip
            c.next_rid = max(c.next_rid, fields["nextRid"])
            c.saved_rid = c.next_rid - 1
            self.catalogue.add(c)
        for row in manifest["sessions"]:
            if "path" in row:
                self._session_file = await load_sessions(
                    self.world.disk, self.cold, row, self.options, self.sessions
                )
            else:  # format 1
                self.sessions.put(bytes.fromhex(row["lsid"]), session_record(row))
        stamp = manifest["time"]["$timestamp"]
        self._note_time(Timestamp(stamp["t"], stamp["i"]))
        self.last_wall = stamp["t"] * 1000
        membership = membership_of(manifest)
        if membership is not None:
            self.memberships.append(membership)
        self.commit_index = at
        self._terms = [(first, term) for first, term in manifest.get("terms", ())]

    async def _replay(self, opened: Opened) -> None:
        """Apply the log after the manifest."""
        applier = replay.Replay(self.catalogue, self.sessions)
        countdown = self.options.slice_documents
        sure = self.journal.end.index if self.options.alone else opened.commit
        lines = opened.lines[: max(0, sure - opened.base.index)]
        for line in lines:
            body = applier.apply(line)
            stamp = body["time"]["$timestamp"]
            self._note_time(Timestamp(stamp["t"], stamp["i"]))
            self.log_bytes_unsaved += len(line)
            countdown -= 1 + len(body["effects"])
            if countdown <= 0:
                countdown = self.options.slice_documents
                await asyncio.sleep(0)
        applied = opened.base
        if lines:
            self.last_wall = body["wall"]
            applied = Position(body["index"], body["term"], line_hash(lines[-1]))
        self.received = Received(self.catalogue, self.sessions, applied)
        for line in opened.lines[len(lines) :]:
            self.received.add(line)
        self._terms_before, self._terms = recovered_terms(opened, self._terms)
        for line in opened.lines:
            self._note_membership(line)
        self.commit_index = self.versions.commit_index = self.versions.horizon = applied.index
        self.versions.committed_time, self.versions.committed_wall = (
            self.last_timestamp, self.last_wall,
        )
        if self.journal.end.term > self.member.term:
            await self.member.advance(self.journal.end.term)
        self.term = self.member.term

    def log_terms(self) -> tuple[tuple[int, int], list[tuple[int, int]]]:
        """Return, as recovered, the position before the log and the runs of terms in it."""
        return self._terms_before, self._terms

    def membership_at(self, index: int) -> tuple[int, Document] | None:
        """Return the configuration in effect at a position not before the committed one."""
        known = [membership for membership in self.memberships if membership[0] <= index]
        return known[-1] if known else None

    def _note_membership(self, line: bytes) -> None:
        """Note the configuration that an entry holds, if it holds one."""
        if is_membership(line):
            self.memberships.append(membership_in(line))

    def _note_time(self, time: Timestamp) -> None:
        if time > self.last_timestamp:
            self.last_timestamp = time
            self.clock.restore(time)

    def _report(self, opened: Opened, started: float) -> None:
        if opened.cut is not None:
            path, line, reason = opened.cut
            self.world.log.write(
                "W", "RECOVERY", 7100001, "Cut the journal at an incomplete write",
                {"file": path, "line": line, "reason": reason},
            )  # fmt: skip
        self.world.log.write(
            "I", "RECOVERY", 7100002, "Data files and journal are loaded",
            {
                "collections": len(self.catalogue.by_uuid),
                "documents": sum(c.count for c in self.catalogue.all()),
                "entriesReplayed": len(opened.lines),
                "lastIndex": self.journal.end.index,
                "seconds": round(self.world.clock.monotonic() - started, 3),
            },
        )  # fmt: skip

    async def close(self, *, save: bool = True) -> None:
        """Save everything (or not), note the durable index, release the lock."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._warming is not None:
            self._warming.cancel()
        if self._background is not None:
            await asyncio.gather(self._background, return_exceptions=True)
        try:
            if save and self.failure is None:
                await self.checkpoint()
        finally:
            await self.journal.close()
            self.cold.close()
            self._release_lock()

    # -- catalogue -------------------------------------------------------------------------------

    def databases(self) -> list[str]:
        """Names of the databases that hold a collection or view, sorted."""
        return sorted(self.catalogue.by_name)

    def collections(self, db: str) -> list[Collection]:
        """Return the collections and views of a database, sorted by name."""
        return [c for _, c in sorted(self.catalogue.by_name.get(db, {}).items())]

    def collection(self, db: str, name: str) -> Collection | None:
        """Return a collection or view, None when there is none."""
        of_db = self.catalogue.by_name.get(db)  # on the way of every command, several times
        return None if of_db is None else of_db.get(name)

    def collection_by_uuid(self, uuid: bytes) -> Collection | None:
        """Return a collection by the sixteen bytes of its uuid."""
        return self.catalogue.by_uuid.get(bytes(uuid))

    async def create_collection(
        self, db: str, name: str, options: Document, uuid: bytes | None = None
    ) -> Collection:
        """Create a collection with its `_id_` index, or a view; 48 when the name is taken."""
        return await self._changes.create(db, name, options, uuid)

    async def drop_collection(self, c: Collection) -> None:
        """Drop a collection or view."""
        await self._changes.drop(c)

    async def drop_database(self, db: str, known: Sequence[Collection] | None = None) -> None:
        """Drop all of a database's collections in one entry, or those of them that are given."""
        await self._changes.drop_database(db, known)

    async def rename_collection(
        self, c: Collection, to_db: str, to_name: str, drop_target: bool = False
    ) -> None:
        """Rename a collection; 48 when the target exists and `drop_target` is not set."""
        await self._changes.rename(c, to_db, to_name, drop_target)

    async def set_options(self, c: Collection, options: Document) -> None:
        """Replace a collection's options (`collMod`)."""
        await self._changes.set_options(c, options)

    async def create_index(
        self, c: Collection, spec: Document, progress: Progress = None,
        waiting: changes.Waiting = nullcontext,
    ) -> Index:
        """Build an index over a live collection; see `changes.Changes.create_index`."""
        return await self._changes.create_index(c, spec, progress, waiting)

    async def drop_index(self, c: Collection, name: str) -> None:
        """Drop an index by name; one that is being built is given up, and its builder told 276."""
        if name in c.building and name not in c.indexes:
            await index_build.stop(c.building[name])
            if name not in c.indexes:  # it was not finished just now
                return
        await self._changes.drop_index(c, name)

    async def set_index_options(self, c: Collection, name: str, changed: Mapping[str, Any]) -> None:
        """Change options of an index (`collMod`)."""
        await self._changes.set_index_options(c, name, changed)

    async def forget_sessions(self, lsids: list[bytes]) -> None:
        """Drop retryable-write records of expired sessions, on all members."""
        await self._changes.forget_sessions(lsids)

    # -- writing ---------------------------------------------------------------------------------

    @property
    def log_end(self) -> int:
        """Index of the last entry appended; replies wait for it to be committed."""
        return self.journal.end.index

    async def room(self) -> None:
        """Wait while too many bytes of the log are not committed; call before a large write."""
        while self.versions.tail_bytes > self.options.uncommitted_bytes:
            await self.committed(self.versions.tail[0].index)

    def unit(self) -> WriteUnit:
        """Begin a write unit. No `await` may come before its `commit` or `abort`.

        Raises the final error after the disk failed, 10107 while not in office.
        """
        if self.refusal is not None:
            raise self.refusal
        assert not self._unit_open, "another write unit is open: was there an await within it?"
        self._unit_open = True
        return WriteUnit(self, self.journal.end.index + 1)

    def unit_closed(self) -> None:
        """Note that the open unit ended."""
        self._unit_open = False

    def append_write(
        self,
        at: int,
        effects: list[bytes],
        applied: list[Applied],
        session: SessionPart | None,
        wall_ms: int | None,
    ) -> int:
        """Append the entry of a write unit whose effects are in memory."""
        assert at == self.journal.end.index + 1, "the log moved while a write unit was open"
        if wall_ms is None:
            wall_ms = self.world.clock.now_ms()
        entry = self._append("write", effects, session, wall_ms)
        entry.applied = applied
        if session is not None:
            before = self.sessions.note(
                session.lsid, session.txn_number, session.runs, wall_ms
            )
            entry.session = (session.lsid, before)
        return at

    def append_catalogue(
        self,
        effects: list[bytes],
        wall_ms: int,
        on_commit: Callable[[], None],
        on_undo: Callable[[], None],
    ) -> int:
        """Append a catalogue entry, which takes effect when it is committed."""
        if self.refusal is not None:
            raise self.refusal
        entry = self._append("catalogue", effects, None, wall_ms)
        entry.on_commit, entry.on_undo = on_commit, on_undo
        self._catalogue_index = entry.index
        return entry.index

    def append_noop(self) -> int:
        """Append an entry without effect (a new term, a cluster time to move to)."""
        if self.failure is not None:
            raise self.failure
        return self._append("noop", [], None, self.world.clock.now_ms()).index

    def append_membership(self, membership: Document) -> int:
        """Append a configuration of the replica set."""
        if self.failure is not None:
            raise self.failure
        change: Document = {"membership": membership}
        line = document_line(encode(change), change)
        effect = b'{"op":"c","ns":"local.system.replset","ui":"%b","o":%b}' % (b"00" * 16, line)
        wall_ms = self.world.clock.now_ms()
        entry = self._append("config", [effect], None, wall_ms)
        entry.on_commit = lambda: self.catalogue.apply("", bytes(16), change, wall_ms)
        self._catalogue_index = entry.index
        self.memberships.append((entry.index, membership))
        return entry.index

    def _append(
        self, kind: str, effects: list[bytes], session: SessionPart | None, wall_ms: int
    ) -> TailEntry:
        assert not self.is_closed, "a store that is closed takes no entries"
        before = self.journal.end
        index = before.index + 1
        time = self.clock.tick()
        fields = entry_fields(
            index, self.term, time, wall_ms, self.commit_index, kind, effects, session
        )
        line = self.journal.append(self.term, fields)
        self.last_timestamp, self.last_wall = time, wall_ms
        self.received.applied = self.journal.end
        entry = TailEntry(index, before, line, time, wall_ms)
        self.versions.push(entry)
        self.log_bytes_unsaved += len(line)
        if self.on_append is not None:
            self.on_append(index, len(line))
        if self.log_bytes_unsaved >= self._checkpoint_log_bytes:
            self._start_background()
        return entry

    # -- commit ----------------------------------------------------------------------------------

    async def committed(self, index: int, *, lone: bool = False) -> None:
        """Return when the log is committed up to `index`.

        Args:
            index: Log index.
            lone: Nobody else is writing, so there is nothing to wait for and write together:
                a member that is `alone` may then sync on the loop's own thread (decision 0006).

        Raises the final error when the log failed first, 189 when the entry was undone.
        """
        if index <= self.commit_index:
            return
        if lone and self.options.alone and self.failure is None:
            self.journal.flush_here()
            if index <= self.commit_index:
                return
        if self.failure is not None:
            raise self.failure
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((index, waiter))
        await waiter

    def _on_durable(self) -> None:
        if self.options.alone:
            self.advance_commit(self.journal.durable.index)
        else:
            self.on_durable()

    def advance_commit(self, index: int) -> None:
        """Everything up to `index` is committed: it takes effect, and who waits is told."""
        index = min(index, self.journal.end.index)
        if index > self.commit_index:
            try:
                self._apply_received(index)
                self._settle(index)
            except Exception as error:
                # A committed change without effect: memory is no longer what the log says.
                self._fail(MongoError(Code.INTERNAL_ERROR, f"a committed entry failed: {error!r}"))
                raise

    def _settle(self, index: int) -> None:
        """Commit the applied entries up to `index`: changes take effect, waiters go on."""
        if index <= self.commit_index:
            return
        self.commit_index = index
        self.versions.committed(index)
        while len(self.memberships) > 1 and self.memberships[1][0] <= index:
            del self.memberships[0]
        waiting, self._waiters = self._waiters, []
        for waiter in waiting:
            if waiter[0] > index:
                self._waiters.append(waiter)
            elif not waiter[1].done():
                waiter[1].set_result(None)

    def receive(self, lines: list[bytes]) -> None:
        """Append entries that another member made, as they are; they are applied when committed.

        Raises MongoError 96 for a line that is damaged or does not continue this log.
        """
        for line in lines:
            self.journal.receive(line)
            self.received.add(line)
            self._note_membership(line)
            self.log_bytes_unsaved += len(line)
        if self.log_bytes_unsaved >= self._checkpoint_log_bytes:
            self._start_background()

    def _apply_received(self, index: int) -> None:
        if not self.received:
            return
        for entry in self.received.apply_to(index, self._settle):
            self.versions.push(entry)
            if entry.on_commit is not None:
                self._catalogue_index = entry.index
            self.last_wall = entry.wall
        self._note_time(self.received.last_time)

    async def take_office(self, term: int) -> None:
        """Begin a term as a group's only voter: persist it, commit a no-op of the term."""
        await self.member.advance(term)
        await self.committed(self.begin_term(term))

    def begin_term(self, term: int) -> int:
        """Apply the log's rest and append a no-op of a term that was won; return its index.

        The term is durable already. The caller ends `refusal` when the no-op is committed.
        """
        self.term = term
        self._apply_received(self.journal.end.index)
        return self.append_noop()

    def committed_term(self) -> int:
        """Term of the last committed entry; that of the last applied one until one is committed."""
        line = self.versions.committed_line
        return entry_term(line) if line else self.received.applied.term

    def found(self, term: int, membership: Document) -> int:
        """Append a new group's first configuration behind all that the log has; return its index.

        The term is durable already.
        """
        self.term = term
        self._apply_received(self.journal.end.index)
        return self.append_membership(membership)

    def leave_office(self, refusal: MongoError, interruption: MongoError) -> None:
        """Undo what is not committed: it stays in the log, and another leader may commit it.

        Args:
            refusal: What writes are answered from now on.
            interruption: What those are told who wait for a commit.

        """
        if self.failure is None:
            self.refusal = refusal
        self._take_back(self.commit_index)
        self.last_timestamp = self.versions.committed_time
        self.last_wall = self.versions.committed_wall
        self._catalogue_index = min(self._catalogue_index, self.commit_index)
        self._interrupt(self.commit_index, interruption)

    async def truncate_to(self, index: int) -> None:
        """Undo and cut what is above `index`: another leader's log holds something else there."""
        assert index >= self.commit_index, "what is committed is never undone"
        self._take_back(index)
        position = self.received.drop_above(index)
        while self.memberships and self.memberships[-1][0] > index:
            self.memberships.pop()
        self._catalogue_index = min(self._catalogue_index, index)
        error = MongoError(Code.PRIMARY_STEPPED_DOWN, "the write was undone: office was lost")
        self._interrupt(index, error)
        if position != self.journal.end:
            await self.journal.cut(position)

    def _take_back(self, index: int) -> None:
        """Undo in memory what is applied above `index`."""
        undone = self.versions.undo_to(index)
        self.received.take_back(undone)
        self.undone += len(undone)

    def _interrupt(self, index: int, error: MongoError) -> None:
        """Tell those who wait for entries above `index` that these will not be committed here."""
        waiting, self._waiters = self._waiters, []
        for waiter in waiting:
            if waiter[0] <= index:
                self._waiters.append(waiter)
            elif not waiter[1].done():
                waiter[1].set_exception(error)

    def fail_disk(self, error: BaseException, what: str) -> None:
        """Take note that something the member relies on could not be written."""
        self._fail(disk_failure(error, what))

    def _fail(self, error: MongoError) -> None:
        """Refuse writes from now on and tell everybody who waits: the disk failed for good."""
        if self.failure is not None:
            return
        self.failure = self.refusal = error
        self.world.log.write(
            "E", "STORAGE", 7100003, "The disk failed, writes are refused from now on",
            {"error": error.message},
        )  # fmt: skip
        for entry in self.versions.tail:
            if entry.on_undo is not None:
                entry.on_undo()
        # A member of a set tells them something else: others may commit what they wait for.
        self.on_failed()
        self._interrupt(-1, error)

    # -- reading the log and the past --------------------------------------------------------------

    async def read_log(self, after_index: int, limit: int) -> list[LogEntry]:
        """Return up to `limit` committed entries above `after_index`, oldest first.

        Raises 136 CappedPositionLost when they are no longer in the log.
        """
        if after_index + 1 < self.journal.first_index:
            raise MongoError(
                Code.CAPPED_POSITION_LOST,
                f"the log begins at entry {self.journal.first_index}, "
                f"entry {after_index + 1} is gone",
            )
        unpin = self.pin_log(after_index)
        try:
            lines = await self.journal.read(after_index, limit, self.commit_index)
        finally:
            unpin()
        return [LogEntry.parse(line) for line in lines]

    def pin_log(self, after_index: int) -> Callable[[], None]:
        """Keep the entries above `after_index` until the returned function is called."""
        self._pin_number += 1
        number = self._pin_number
        self._pins[number] = after_index
        return lambda: void(self._pins.pop(number, None))

    async def trim_log(self) -> None:
        """Remove segments that nobody needs (after a checkpoint)."""
        needed = min(self._pins.values(), default=self.journal.end.index)
        await self.journal.trim(self._checkpointer.position.index, needed)

    def keep_log(self, size_bytes: int | None, retention_ms: int | None) -> None:
        """Change how much of the log is kept for readers; None leaves a setting as it is."""
        options = self.options
        self.options = replace(
            options,
            oplog_bytes=options.oplog_bytes if size_bytes is None else size_bytes,
            oplog_retention_ms=options.oplog_retention_ms if retention_ms is None else retention_ms,
        )
        self.journal.options = self.options

    def keep_history(self, history_ms: int) -> None:
        """Change for how long what is superseded from now on is kept for views at a past time."""
        self.options = replace(self.options, history_ms=history_ms)
        self.versions.history_ms = history_ms
        self.versions.collect()

    def view(self, at: int | None = None) -> View:
        """Open a view of the state at a log index, None for the latest; close it after use."""
        return self.versions.open_view(self.journal.end.index if at is None else at)

    # -- checkpoints -----------------------------------------------------------------------------

    async def catalogue_settled(self) -> None:
        """Wait until no catalogue entry is appended but not in effect."""
        while self._catalogue_index > self.commit_index:
            await self.committed(self._catalogue_index)

    async def checkpoint(self) -> None:
        """Save everything up to the log's end in the data files."""
        try:
            await self._checkpointer.run()
        except OSError as error:
            failure = disk_failure(error, "a checkpoint")
            self._fail(failure)
            raise failure from error

    def _start_background(self) -> None:
        if self.options.background and self._background is None and not self.is_closed:
            self._background = asyncio.get_running_loop().create_task(self._run_background())

    async def _run_background(self) -> None:
        try:
            await self.checkpoint()
        except MongoError as error:
            # One that office was lost under is nothing: the next one saves what has come of it.
            self.world.log.write(
                "I" if self.failure is None else "E", "STORAGE", 7100004, "A checkpoint failed",
                {"error": error.message},
            )
        finally:
            self._background = None

    def _arm_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.options.checkpoint_seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._arm_timer()
        if self.failure is None and self.log_bytes_unsaved:
            self._start_background()

    def stats(self) -> Document:
        """Figures for `serverStatus` and tests; sizes in bytes."""
        return {
            **figures.sizes(self.catalogue, self.cold),
            "log": figures.log(self.journal, self.versions, self.commit_index, self.term),
            "checkpoint": {
                "index": Int64(self._checkpointer.position.index),
                "count": Int64(self._checkpointer.count),
                "unsavedLogBytes": Int64(self.log_bytes_unsaved),
            },
            "sessions": len(self.sessions),
            "views": self.versions.view_count,
        }


def no_terms(_: int) -> list[tuple[int, int]]:
    """Stand in for `Engine.manifest_terms` where nobody asks for the terms."""
    return []


def void(_: object) -> None:
    """Drop a value."""


def _nothing() -> None:
    """Stand in for a callback not yet set."""
