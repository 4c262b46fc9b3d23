"""The state of one member and the transitions that every role shares.

The roles' own behaviour is in `follower`, `candidate` and `leader`: functions that take this state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdb_raft.log import LogTable
from psdb_raft.messages import AppendResponse, Message, VoteResponse
from psdb_raft.progress import Progress
from psdb_raft.values import (
    Config,
    HardState,
    Position,
    ReadState,
    Resignation,
    Role,
    SendSnapshot,
    Settings,
    StorageOrder,
    Truncate,
)

_PATIENCE = 3
"""So many election timeouts without a leader let a member of priority 0 campaign."""


class State:
    """Everything a member knows. Read by drivers, changed by the core only.

    Attributes:
        id, group: This member, and the replica set.
        settings: Times and limits.
        term, vote: Promises made; `saved` says which of them are durable.
        role, leader: The present role; the leader of this term, None while unknown.
        log: Terms of the log, including what is ordered but not yet durable.
        generation: Goes up whenever entries are taken away; see `Raft.durable`.
        durable: The log is on this member's disk up to here.
        matched: As a follower: the log equals that of this term's leader up to here.
        commit: Everything up to here is committed.
        applied: The driver applied the log up to here.
        wanted: Somebody waits until this much is applied: here, or, as a leader, by its peers.
        configs: `(index, configuration)` of those in the log, oldest first; the first one may be
            older than the log. The last is in effect.
        progress: As a leader: the peers, by id, in the order of the configuration.
        transferee: As a leader: whom office is being handed to.
        resigned: Why office was left last, until the driver is told.
        unwilling: Members that said they do not stand for election; set by the driver. Handing
            office to them is not tried.

    """

    def __init__(
        self, id_: str, group: str, settings: Settings, below: Callable[[int], int]
    ) -> None:
        self.id = id_
        self.group = group
        self.settings = settings
        self.below = below
        self.term = 0
        self.vote: str | None = None
        self.saved = HardState(0)
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.log = LogTable()
        self.generation = 0
        self.durable = 0
        self.commit = 0
        self.applied = 0
        self.wanted = 0
        self.configs: list[tuple[int, Config]] = []
        # follower
        self.matched = 0
        self.acked = 0
        self.installing = 0
        # candidate
        self.votes: dict[str, bool] = {}
        # leader
        self.progress: dict[str, Progress] = {}
        self.transferee: str | None = None
        self.unwilling: tuple[str, ...] = ()
        self.transfer_ticks = 0
        self.transfer_sent = False
        self.round = 0
        self.round_wanted = False
        self.reads: list[tuple[int, int, Any]] = []
        self.reads_early: list[Any] = []
        self.leaving = False
        self.takeover_wait = 0
        self.resigned: Resignation | None = None
        # time
        self.elapsed = 0
        self.timeout = 0
        self.leaderless = 0
        self.heartbeat_elapsed = 0
        self.frozen = 0
        self.stalled = 0
        # what the next bundle will say
        self.outbox: list[Message] = []
        self.storage: list[StorageOrder] = []
        self.read_states: list[ReadState] = []
        self.snapshots: list[SendSnapshot] = []
        self.progressed = False
        self.draw_timeout()

    # -- questions ---------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration in effect; empty before the first."""
        return self.configs[-1][1] if self.configs else Config(())

    @property
    def config_index(self) -> int:
        """Index of the entry that brought the configuration in effect; 0 when there is none."""
        return self.configs[-1][0] if self.configs else 0

    @property
    def is_leader(self) -> bool:
        """Tell whether this member leads (it may not serve yet)."""
        return self.role is Role.LEADER

    @property
    def in_office(self) -> bool:
        """Tell whether it may serve: it leads, and an entry of its term is committed.

        A member of priority 0 never serves; see `is_caretaker`.
        """
        return (
            self.is_leader and self.log.term_at(self.commit) == self.term and self.priority > 0
        )

    @property
    def priority(self) -> float:
        """This member's priority in the configuration in effect."""
        member = self.config.find(self.id)
        return 0 if member is None else member.priority

    @property
    def is_caretaker(self) -> bool:
        """Tell whether it may campaign only to bring somebody else into office.

        A member of priority 0 can have the longest log; if nobody was elected for long, it leads
        until a member that may lead has that log, and serves nobody meanwhile.
        """
        return self.priority == 0 and self.leaderless >= _PATIENCE

    @property
    def is_transferring(self) -> bool:
        """Tell whether office is being handed over; new entries would only delay it."""
        return self.transferee is not None

    @property
    def hears_leader(self) -> bool:
        """Tell whether a leader is known and was heard from within the election timeout."""
        return self.leader is not None and self.elapsed < self.settings.election_ticks

    @property
    def is_electable(self) -> bool:
        """Tell whether this member may campaign."""
        member = self.config.find(self.id)
        return (
            member is not None
            and member.voter
            and (member.priority > 0 or self.is_caretaker)
            and not self.frozen
            and not self.installing
            and self.stalled < self.settings.disk_ticks
        )

    def quorum_value(self, own: int, of: Callable[[Progress], int]) -> int:
        """Return the highest value that a majority of the voters has reached.

        Args:
            own: This member's value.
            of: Reads a peer's.

        """
        voters = self.config.voters
        if not voters:
            return 0
        values = sorted(
            (own if id_ == self.id else of(self.progress[id_]) for id_ in voters), reverse=True
        )
        return values[len(voters) // 2]

    # -- sending -----------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Put a message into the outbox; it leaves once what it promises is durable."""
        assert message.to != self.id, "a message to myself"
        self.outbox.append(message)

    def acknowledge(self, *, always: bool = False) -> None:
        """Tell the leader how much of its log is durable here; only what is new, or `always`."""
        match = min(self.durable, self.matched)
        if self.leader is None or self.leader == self.id or not (always or match > self.acked):
            return
        self.acked = match
        self.send(
            AppendResponse(
                group=self.group, sender=self.id, to=self.leader, term=self.term,
                match=match, applied=self.applied,
            )
        )  # fmt: skip

    def take_sendable(self) -> list[Message]:
        """Take out of the outbox what relies on nothing that is not durable.

        Nothing of a term leaves before the term is durable, no granted vote before the vote is;
        a vote of an earlier term is dropped, it would not be heard.
        """
        if not self.outbox:
            return []
        outbox, self.outbox = self.outbox, []
        ready: list[Message] = []
        for message in outbox:
            granted = type(message) is VoteResponse and message.granted
            if granted and message.term < self.term:
                continue
            waits = message.term > self.saved.term and message.term <= self.term
            if granted and self.saved != HardState(message.term, message.to):
                waits = True
            (self.outbox if waits else ready).append(message)
        return ready

    # -- time --------------------------------------------------------------------------------------

    def draw_timeout(self) -> None:
        """Begin a new election timeout of random length."""
        self.elapsed = 0
        ticks = self.settings.election_ticks
        self.timeout = ticks + self.below(max(1, ticks // 2))

    # -- roles and terms ---------------------------------------------------------------------------

    def become_follower(self, term: int, leader: str | None) -> None:
        """Follow, in this or a later term; whatever an office held is given up."""
        assert term >= self.term, "a term never goes back"
        if term > self.term:
            self.begin_term(term)
        self.role = Role.FOLLOWER
        self.leader = leader
        self.leave_roles()
        self.draw_timeout()

    def begin_term(self, term: int, vote: str | None = None) -> None:
        """Move to a later term: nobody is voted for, nothing matched with its leader."""
        assert term > self.term, "a term begins once"
        self.term, self.vote = term, vote
        self.leader = None
        self.matched = self.acked = 0

    def leave_roles(self) -> None:
        """Forget what a candidate or a leader keeps."""
        self.votes = {}
        self.progress = {}
        self.transferee = None
        self.transfer_sent = False
        self.leaving = False
        self.snapshots = []
        contexts = [context for _, _, context in self.reads] + self.reads_early
        self.read_states += [ReadState(context, None) for context in contexts]
        self.reads, self.reads_early = [], []
        self.round_wanted = False
        self.heartbeat_elapsed = 0

    # -- log ---------------------------------------------------------------------------------------

    def truncate_to(self, index: int) -> None:
        """Take away the entries above `index`: they conflict with the leader's."""
        assert index >= self.commit, "what is committed is never taken away"
        assert not self.is_leader, "a leader takes nothing out of its log (Leader Append-Only)"
        self.log.truncate_to(index)
        self.generation += 1
        self.durable = min(self.durable, index)
        while self.configs and self.configs[-1][0] > index:
            self.configs.pop()
        self.storage.append(Truncate(index, self.generation))

    def restore_log(self, position: Position, config_index: int, config: Config) -> None:
        """Let the log begin after a snapshot."""
        self.log.restore(position)
        self.generation += 1
        self.durable = 0
        self.commit = max(self.commit, position.index)
        self.configs = [(config_index, config)]

    def commit_to(self, index: int) -> None:
        """Raise the commit index, which never falls."""
        assert index <= self.log.last_index, (
            f"commit {index} is beyond the log's end {self.log.last_index}: was the log lost?"
        )
        self.commit = max(self.commit, index)

    def add_config(self, index: int, config: Config) -> None:
        """Put a configuration into effect: that of an entry just appended."""
        assert index > self.config_index or not self.configs
        self.configs.append((index, config))
