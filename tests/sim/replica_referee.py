"""Watches every step of simulated replica sets: the properties of the Raft paper, on real members.

It sees each entry go into a log and out of it, each commit, each election, each vote that is sent.
What is compared are the hashes of the log's chain: equal hashes are equal histories.
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

from psdb_raft.messages import Message, VoteResponse
from psdb_raft.values import Role, RoleChange
from psdb_store.engine import Engine
from psdb_store.journal import Journal
from psdb_store.lines import is_sound, line_hash
from psdb_store.segments import Position, entry_index, entry_term
from psdb_store.snapshot import Incoming
from shardsvr.replication.driver import Driver
from shardsvr.replication.replica_set import ReplicaSet

Entry = tuple[int, str]


class Referee:
    """What all members did, by their machines' names.

    Attributes:
        logs: What each member's log holds: index to (term, hash).
        committed: Index to (term, hash), as the first member that committed it has it.
        leaders: Term to member id.
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
            around(Incoming, "install", before=referee._installs),
            mock.patch.object(ReplicaSet, "_send", referee._sender(ReplicaSet._send)),
        ):
            yield

    # -- logs --------------------------------------------------------------------------------------

    def _log(self) -> dict[int, Entry]:
        return self.logs.setdefault(OWNER.get().name, {})

    def _enter(self, index: int, term: int, hash_: str) -> None:
        known = self.histories.setdefault((index, term), hash_)
        if known != hash_:
            raise Violation(f"log matching: two histories end at entry {index} of term {term}")
        self._log()[index] = (term, hash_)

    def _took_in(self, journal: Journal, index: int, term: int, *_: Any) -> None:
        self._enter(index, term, journal.end.hash)

    def _cuts(self, journal: Journal, end: Position) -> None:
        log = self._log()
        for index in range(end.index + 1, journal.end.index + 1):
            entry = log.pop(index, None)
            if entry is not None and self.committed.get(index) == entry:
                raise Violation(f"{OWNER.get().name} cuts entry {index}, which is committed")
            self.undone += 1

    def _started(self, driver: Driver, *_: Any) -> None:
        """Read what a member found on its disk, at its start or after a snapshot."""
        name = OWNER.get().name
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
                raise Violation(f"{name} restarts with another history at {index}")
        if end.index and self.histories.setdefault((end.index, end.term), end.hash) != end.hash:
            raise Violation(f"{name} restarts with another history up to {end.index}")
        kept = end.index >= driver.engine.journal.first_index
        if kept and log.get(end.index) != (end.term, end.hash):
            raise Violation(f"{name} restarts with a log that is not what its disk says")

    def _commits(self, engine: Engine, index: int) -> None:
        log = self._log()
        for at in range(engine.commit_index + 1, index + 1):
            entry = log.get(at)
            if entry is None:
                raise Violation(f"{OWNER.get().name} commits entry {at}, which it does not have")
            known = self.committed.setdefault(at, entry)
            if known != entry:
                raise Violation(f"{OWNER.get().name} commits another entry at {at}")

    def _installs(self, _incoming: Incoming) -> None:
        self.snapshots += 1

    # -- elections ---------------------------------------------------------------------------------

    def _changed_role(self, driver: Driver, change: RoleChange) -> None:
        if change.role is not Role.LEADER:
            return
        self.elections += 1
        id_ = driver.core.id
        if self.leaders.setdefault(change.term, id_) != id_:
            raise Violation(f"two leaders in term {change.term}")
        log = self._log()
        first = min(log, default=driver.engine.log_end + 1)
        for index, entry in self.committed.items():
            if index >= first and log.get(index) != entry:
                raise Violation(f"leader completeness: {OWNER.get().name} lacks entry {index}")

    def _sender(self, real: Any) -> Any:
        """Look at messages; lose some, send some twice, some late."""
        referee, rng = self, self._rng

        def _send(replica_set: ReplicaSet, message: Message, lines: list[bytes]) -> None:
            if type(message) is VoteResponse and message.granted:
                key = (message.term, message.sender)
                if referee.votes.setdefault(key, message.to) != message.to:
                    raise Violation(f"{message.sender} votes twice in term {message.term}")
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
