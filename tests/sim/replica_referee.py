"""Watches every step of simulated replica sets: the properties of the Raft paper, on real members.

It sees each entry go into a log and out of it, each commit, each election, each message that goes.
What is compared are the hashes of the log's chain: equal hashes are equal histories. Of the member
around the core it knows three things more: what it sent rests on promises that a restart still
knows, it serves when all that earlier leaders committed is committed here, and what is undone
leaves the records of statements as the rest of the log has them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from sim.loop import OWNER
from sim.workload import Violation
from simdisk import SimDisk

from psdb_raft.messages import Message, PreVote, PreVoteResponse, VoteResponse
from psdb_raft.values import Role, RoleChange
from psdb_store.engine import Engine
from psdb_store.entry import LogEntry
from psdb_store.journal import Journal
from psdb_store.lines import is_sound, line_hash
from psdb_store.segments import Position, entry_index, entry_term
from psdb_store.snapshot import Incoming
from shardsvr.member import Member
from shardsvr.replication.driver import Driver
from shardsvr.replication.replica_set import ReplicaSet

Entry = tuple[int, str]


class Referee:
    """What all members did, by their machines' names.

    Attributes:
        logs: What each member's log holds: index to (term, hash).
        committed: Index to (term, hash), as the first member that committed it has it.
        leaders: Term to member id.
        violations: What it found; a task of a member may have swallowed it.
        promised: Member id to the highest term that it spoke in.
        statements: Session to entry to transaction number and statements.
        elections: How many offices began.
        snapshots: How many were installed.
        loss, again, late: How likely a message between members is lost, comes twice, or later.

    """

    def __init__(self, rng: random.Random, disk_of: Callable[[str], SimDisk]) -> None:
        self._rng = rng
        self._disk_of = disk_of
        self.logs: dict[str, dict[int, Entry]] = {}
        self.committed: dict[int, Entry] = {}
        self.histories: dict[tuple[int, int], str] = {}
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[int, str], str] = {}
        self.promised: dict[str, int] = {}
        self.statements: dict[bytes, dict[tuple[int, Entry], tuple[int, frozenset[int]]]] = {}
        self._undoing: dict[bytes, None] = {}
        self.violations: list[Violation] = []
        self.elections = 0
        self.undone = self.snapshots = 0
        self.loss = self.again = self.late = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch everything that happens within."""
        referee = self

        def around(
            owner: type[Any], name: str, after: Callable[..., None] | None = None,
            before: Callable[..., None] | None = None,
        ) -> Any:
            real = getattr(owner, name)

            def wrapped(this: Any, *args: Any, **kwargs: Any) -> Any:
                if before is not None:
                    before(this, *args, **kwargs)
                result = real(this, *args, **kwargs)
                if after is not None:
                    after(this, *args, **kwargs)
                return result

            wrapped.__qualname__ = real.__qualname__
            return mock.patch.object(owner, name, wrapped)

        with (
            around(Journal, "_take_in", referee._took_in),
            around(Journal, "cut", before=referee._cuts),
            around(Engine, "_settle", before=referee._commits),
            around(Driver, "_bind", referee._started),
            around(Driver, "_change_role", referee._changed_role),
            around(Engine, "_take_back", before=referee._undoes, after=referee._undid),
            around(Member, "take_up_office", before=referee._serves),
            around(Incoming, "install", before=referee._installs),
            mock.patch.object(ReplicaSet, "_send", referee._sender(ReplicaSet._send)),
        ):
            yield

    def violation(self, text: str) -> Violation:
        """Note a violation; the caller raises it."""
        self.violations.append(Violation(text))
        return self.violations[-1]

    # -- logs --------------------------------------------------------------------------------------

    def _log(self) -> dict[int, Entry]:
        return self.logs.setdefault(OWNER.get().name, {})

    def _enter(self, index: int, term: int, hash_: str) -> None:
        known = self.histories.setdefault((index, term), hash_)
        if known != hash_:
            raise self.violation(f"log matching: two histories end at entry {index} of term {term}")
        self._log()[index] = (term, hash_)

    def _took_in(
        self, journal: Journal, index: int, term: int, _line: bytes, bare: bytes
    ) -> None:
        self._enter(index, term, journal.end.hash)
        if b',"lsid":"' in bare:
            self._note_statements(bare, (index, (term, journal.end.hash)))

    # -- statements --------------------------------------------------------------------------------

    def _note_statements(self, bare: bytes, place: tuple[int, Entry]) -> None:
        entry = LogEntry.parse(bare)
        lsid, number = entry.lsid, entry.txn_number
        if lsid is not None and number is not None:
            of_session = self.statements.setdefault(lsid, {})
            of_session[place] = (number, frozenset(entry.statements))

    def _undoes(self, engine: Engine, index: int) -> None:
        tail = engine.versions.tail
        self._undoing = {
            entry.session[0]: None
            for entry in tail if entry.index > index and entry.session is not None
        }  # fmt: skip

    def _undid(self, engine: Engine, index: int) -> None:
        """Compare the records of statements with what is left of the log."""
        log = self._log()
        for lsid in self._undoing:
            left = [
                executed
                for (at, entry), executed in self.statements[lsid].items()
                if at <= index and entry in (log.get(at), self.committed.get(at))
            ]
            record = engine.sessions.get(lsid)
            known = None if record is None else (record.txn_number, frozenset(record.statements))
            number = max((number for number, _ in left), default=0)
            ids = frozenset[int]().union(*(ids for one, ids in left if one == number))
            if known != ((number, ids) if left else None):
                raise self.violation(
                    f"{OWNER.get().name} undid up to {index} and knows statements {known}, "
                    f"not {number, ids}"
                )

    def _cuts(self, journal: Journal, end: Position) -> None:
        log = self._log()
        for index in range(end.index + 1, journal.end.index + 1):
            entry = log.pop(index, None)
            if entry is not None and self.committed.get(index) == entry:
                raise self.violation(f"{OWNER.get().name} cuts entry {index}, which is committed")
            self.undone += 1

    def _started(self, driver: Driver, *_: Any) -> None:
        """Read what a member found on its disk, at its start or after a snapshot."""
        name = OWNER.get().name
        self._check_promises(name, driver)
        log = self.logs[name] = {}
        end = driver.engine.journal.end
        files = self._disk_of(name).files()
        for path in sorted(files):
            if "/journal/" not in path:
                continue
            for line in files[path].split(b"\n"):
                index = entry_index(line) if is_sound(line) else 0
                if 0 < index <= end.index:
                    log[index] = (entry_term(line), line_hash(line))
        for index, (term, hash_) in log.items():
            if self.histories.setdefault((index, term), hash_) != hash_:
                raise self.violation(f"{name} restarts with another history at {index}")
        if end.index and self.histories.setdefault((end.index, end.term), end.hash) != end.hash:
            raise self.violation(f"{name} restarts with another history up to {end.index}")
        kept = end.index >= driver.engine.journal.first_index
        if kept and log.get(end.index) != (end.term, end.hash):
            raise self.violation(f"{name} restarts with a log that is not what its disk says")

    def _commits(self, engine: Engine, index: int) -> None:
        log = self._log()
        for at in range(engine.commit_index + 1, index + 1):
            entry = log.get(at)
            if entry is None:
                raise self.violation(f"{OWNER.get().name} commits entry {at}, which it has not")
            known = self.committed.setdefault(at, entry)
            if known != entry:
                raise self.violation(f"{OWNER.get().name} commits another entry at {at}")

    def _installs(self, _incoming: Incoming) -> None:
        self.snapshots += 1

    def _check_promises(self, name: str, driver: Driver) -> None:
        """Compare what a member remembers with what it has said."""
        core = driver.core
        if core.term < self.promised.get(core.id, 0):
            said = self.promised[core.id]
            raise self.violation(f"{name} spoke in term {said}, knows {core.term}")
        vote = self.votes.get((core.term, core.id))
        if vote is not None and core.vote != vote:
            raise self.violation(f"{name} voted in term {core.term} for {vote}, not {core.vote}")

    # -- elections ---------------------------------------------------------------------------------

    def _changed_role(self, driver: Driver, change: RoleChange) -> None:
        if change.role is not Role.LEADER:
            return
        self.elections += 1
        id_ = driver.core.id
        if self.leaders.setdefault(change.term, id_) != id_:
            raise self.violation(f"two leaders in term {change.term}")
        log = self._log()
        first = min(log, default=driver.engine.log_end + 1)
        for index, entry in self.committed.items():
            if index >= first and log.get(index) != entry:
                raise self.violation(f"leader completeness: {OWNER.get().name} lacks entry {index}")

    def _serves(self, member: Member) -> None:
        """Compare what a member that begins to serve knows to be committed with what is."""
        replica_set = member.replica_set
        if replica_set is None or replica_set.driver is None:
            return
        term, known = replica_set.driver.core.term, member.engine.commit_index
        before = max((at for at, (of, _) in self.committed.items() if of < term), default=0)
        if known < before:
            raise self.violation(
                f"{OWNER.get().name} serves in term {term}, committed {known}, not {before}"
            )

    def _sender(self, real: Any) -> Any:
        """Look at messages; lose some, send some twice, some late."""
        referee, rng = self, self._rng

        def _send(replica_set: ReplicaSet, message: Message, lines: list[bytes]) -> None:
            if type(message) not in (PreVote, PreVoteResponse):  # they are of the next term
                referee.promised[message.sender] = max(
                    message.term, referee.promised.get(message.sender, 0)
                )
            if type(message) is VoteResponse and message.granted:
                key = (message.term, message.sender)
                if referee.votes.setdefault(key, message.to) != message.to:
                    raise referee.violation(f"{message.sender} votes twice in term {message.term}")
            if rng.random() < referee.loss:
                return
            if rng.random() < referee.again:
                real(replica_set, message, lines)
            if rng.random() < referee.late:
                loop: Any = replica_set.member.world.clock.loop  # type: ignore[attr-defined]
                loop.call_later(rng.random() ** 3, real, replica_set, message, lines)
                return
            real(replica_set, message, lines)

        return _send
