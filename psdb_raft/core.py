"""The consensus core of one member: `Raft`.

Theory of operation
-------------------
The core is a state machine without clock, randomness, storage or network. Inputs are method calls
(a message, a tick, a report of the driver's storage, an entry that the leader appended); outputs
gather until the driver takes them as one `Ready`. It holds no entries: it knows the terms of the
log's indexes, and orders ranges to be stored, removed and sent. The driver's journal holds lines
that the leader made once; members store them verbatim, and a hash chain in the lines proves what
this core believes: equal (index, term) means equal history (Log Matching).

Names are those of the Raft paper (Ongaro, Ousterhout 2014) and thesis. What must hold:

- *Election Safety*: at most one leader a term. A member votes once a term; term and vote are
  durable before the answer leaves, and a candidate counts its own vote only when it is durable.
- *Leader Append-Only*: a leader takes nothing out of its log.
- *Log Matching*: a follower takes entries only behind a position that it shares with the leader,
  and removes what conflicts.
- *Leader Completeness*: a voter refuses a candidate whose log is less up-to-date than its own; a
  leader commits by counting only entries of its own term, and counts only what is durable, its
  own disk included.
- *State Machine Safety*: the commit index never falls, and nothing at or below it is removed.
- *Membership*: one voter at a time; a configuration takes effect when it is appended and stops
  doing so when it is removed; the next one waits until it is committed, the first one of a term
  until an entry of that term is. A configuration is never asked who may vote for whom: members
  answer anybody of their group.
- *Reads*: office is confirmed by a majority after the question was asked, and only once an entry
  of the leader's term is committed. There are no leases for reads: clocks are not trusted.

Liveness: a pre-vote keeps a member that cannot win from raising the term; a leader that hears no
majority for an election timeout steps down, so does one whose disk hangs; a member that hears a
leader refuses elections, unless the leader itself asked for one (transfer).

A message that leaves relies on nothing that is not durable: the core keeps it back until the
driver reported `saved` or `durable`. So the driver sends what it is given at once. Reports name the
object or the generation that they are about; a report about what was taken away meanwhile is
ignored. An illegal transition is an assertion: the driver or a peer is broken, and going on would
risk the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdb_raft import candidate, follower, leader
from psdb_raft.log import LogTable
from psdb_raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    PreVote,
    PreVoteResponse,
    TimeoutNow,
    Vote,
    VoteResponse,
)
from psdb_raft.state import State
from psdb_raft.values import (
    Cause,
    Config,
    ConfigChange,
    HardState,
    Position,
    ReadState,
    Ready,
    Role,
    RoleChange,
    Settings,
)


class Raft(State):
    """One member's core; see `State` for what may be read.

    Args:
        id_: This member's random id.
        group: Id of the replica set; messages of another are dropped.
        hard_state: As persisted, `HardState(0)` at first.
        log: Terms of the log on disk (all of it durable).
        configs: `(index, configuration)` of the log's configuration entries in order, before them
            the one that the snapshot or manifest holds; empty for a member of no group yet.
        commit: An index known to be committed (0 if unknown); applied already.
        settings: Times and limits.
        below: Random integer in [0, n).

    """

    def __init__(
        self,
        id_: str,
        group: str,
        *,
        below: Callable[[int], int],
        hard_state: HardState = HardState(0),  # noqa: B008 -- immutable
        log: LogTable | None = None,
        configs: list[tuple[int, Config]] | None = None,
        commit: int = 0,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(id_, group, settings or Settings(), below)
        self.log = log or LogTable()
        self.term, self.vote, self.saved = hard_state.term, hard_state.vote, hard_state
        if self.log.last_term > self.term:  # the file is older than the log: no vote is known
            self.term, self.vote = self.log.last_term, None
        assert commit <= self.log.last_index, "the log ends before what is committed"
        self.durable = self.log.last_index
        self.commit = self.applied = max(commit, self.log.before.index)
        self.configs = list(configs or [])
        assert self.config_index <= self.log.last_index, "a configuration beyond the log's end"
        self._told_committed = self.commit
        self._told_role = RoleChange(Role.FOLLOWER, self.term, None)
        self._told_config: tuple[int, Config] | None = None
        self._asked = self.saved

    # -- inputs: time and messages -----------------------------------------------------------------

    def tick(self) -> None:
        """Let one tick of time pass."""
        if self.frozen:
            self.frozen -= 1
        if self.is_leader:
            leader.tick(self)
        else:
            follower.tick(self)

    def step(self, message: Message) -> None:
        """Take in a message; one of another group or for another member is dropped.

        An `InstallSnapshot` is stepped by the driver that has received and verified the whole
        snapshot; an `Append` with its lines as `payload`.
        """
        if message.group != self.group or message.to != self.id or message.sender == self.id:
            return
        if message.term > self.term:
            if not self._see_higher_term(message):
                return
        elif message.term < self.term:
            self._answer_old_term(message)
            return
        _HANDLERS[type(message)](self, message)

    def _see_higher_term(self, message: Message) -> bool:
        """Move to a higher term where the message calls for it; tell whether to go on with it."""
        if isinstance(message, PreVote):
            return True
        if isinstance(message, PreVoteResponse) and message.granted:
            return True
        if isinstance(message, Vote) and not message.transfer and self.hears_leader:
            return False
        if self.is_leader:
            leader.displaced(self, message.sender)
        from_leader = isinstance(message, Append | Heartbeat | InstallSnapshot)
        self.become_follower(message.term, message.sender if from_leader else None)
        return True

    def _answer_old_term(self, message: Message) -> None:
        """Tell a sender of an earlier term about the present one."""
        if isinstance(message, Append | Heartbeat | InstallSnapshot):
            answer: Message = AppendResponse(
                group=self.group, sender=self.id, to=message.sender, term=self.term,
                match=0, rejected=True,
            )  # fmt: skip
        elif isinstance(message, PreVote):
            answer = PreVoteResponse(
                group=self.group, sender=self.id, to=message.sender, term=self.term, granted=False
            )
        elif isinstance(message, Vote):
            answer = VoteResponse(
                group=self.group, sender=self.id, to=message.sender, term=self.term, granted=False
            )
        else:
            return
        self.send(answer)

    def _handle_append_response(self, message: AppendResponse) -> None:
        if self.is_leader:
            leader.handle_append_response(self, message)

    def _handle_heartbeat_response(self, message: HeartbeatResponse) -> None:
        if self.is_leader:
            leader.handle_heartbeat_response(self, message)

    def _handle_timeout_now(self, message: TimeoutNow) -> None:
        if self.leader == message.sender and not self.is_leader:
            candidate.campaign(self, transfer=True)

    # -- inputs: the driver's reports --------------------------------------------------------------

    def saved_hard_state(self, hard_state: HardState) -> None:
        """Report that `Ready.hard_state` is durable."""
        assert hard_state.term >= self.saved.term, "promises are persisted in order"
        self.saved = hard_state
        candidate.vote_saved(self)

    def durable_to(self, index: int, generation: int) -> None:
        """Report that the log is durable up to `index`.

        Args:
            index: Last durable entry.
            generation: That of the last `Truncate` or `Install` carried out when the report was
                made (0 at first): reports of an earlier one say nothing. Report after each
                `Truncate` and `Install` as well.

        """
        if generation != self.generation:
            return
        assert index <= self.log.last_index, "more is durable than there is"
        if index <= self.durable:
            return
        self.durable = index
        self.stalled = 0
        if self.installing and index >= self.installing:
            self.installing = 0
        if self.is_leader:
            leader.advance_commit(self)
        else:
            self.acknowledge()

    def applied_to(self, index: int) -> None:
        """Report that the driver applied the log up to `index`; the leader is told."""
        assert index <= self.commit, "applied before it was committed"
        if index > self.applied:
            self.applied = index
            if not self.is_leader:
                self.acknowledge(always=True)

    def want_applied(self, index: int) -> None:
        """Have the peers tell as soon as they have applied the log up to `index`."""
        if self.is_leader and index > self.wanted:
            self.wanted = index
            leader.want_round(self)

    def compacted(self, index: int) -> None:
        """Report that the driver removed entries up to `index` (applied ones)."""
        assert index <= self.applied, "an entry not applied was removed"
        self.log.compact_to(index)
        while len(self.configs) > 1 and self.configs[1][0] <= index:
            self.configs.pop(0)

    def unreachable(self, peer: str) -> None:
        """Report that messages to a peer were lost (its connection broke)."""
        if self.is_leader:
            leader.unreachable(self, peer)

    def gone(self, peer: str) -> None:
        """Report that a peer's process refuses connections: it takes no office until it speaks."""
        if self.is_leader:
            leader.gone(self, peer)

    def snapshot_finished(self, peer: str, index: int | None) -> None:
        """Report the end of `Ready.snapshots`' transfer: the snapshot's index, None if it failed.

        After a failure wait a while before reporting: another order follows at once.
        """
        if self.is_leader:
            leader.snapshot_finished(self, peer, index)

    # -- inputs: the leader's driver ---------------------------------------------------------------

    def appended(
        self, index: int, term: int, *, size_bytes: int = 0, config: Config | None = None
    ) -> None:
        """Tell of an entry that the leader's driver appended to its own journal.

        The first one after taking office is a no-op. No `await` may come between the check that
        this member leads in `term` and the append.

        Args:
            index: One more than the log's last.
            term: The present term.
            size_bytes: Of the line, for flow control.
            config: What a configuration entry holds; `check_config` allowed it.

        """
        leader.appended(self, index, term, config, size_bytes)

    def check_config(self, config: Config) -> str | None:
        """Tell why a configuration may not be appended now, None when it may."""
        return leader.check_config(self, config)

    def bootstrap(self, config: Config) -> Position:
        """Found a group: return the position at which to append its first configuration.

        Only for a member of no group; exactly one member of the new group does this. The driver
        appends the entry with this index and term, reports it durable, and may campaign.
        """
        assert not self.configs, "the group has been founded"
        assert self.role is Role.FOLLOWER
        assert config.find(self.id) is not None
        term = max(self.term, self.log.last_term) + 1
        self.begin_term(term)
        self.log.append(term)
        self.add_config(self.log.last_index, config)
        return self.log.last

    def read_index(self, context: Any) -> None:
        """Ask for a linearizable read; the answer comes in `Ready.reads` with this context.

        Ask after the state to be served has been fixed, or serve state at or after the answer's
        index. A member that does not lead answers at once with None.
        """
        if self.is_leader:
            leader.read_index(self, context)
        else:
            self.read_states.append(ReadState(context, None))

    def transfer(self, to: str | None = None) -> str | None:
        """Hand office over, to a member or to the best one; tell why not, None if it began.

        The driver takes no writes while `is_transferring`; that ends with a `Ready.role`, or after
        an election timeout without success.
        """
        if not self.is_leader:
            return "not the leader"
        if self.is_transferring:
            return "office is being handed over already"
        heirs = [m for m in self.config.members if leader.can_take_over(self, m)]
        if to is not None:
            heirs = [member for member in heirs if member.id == to]
        if not heirs:
            return "no electable member is in reach"
        best = max(heirs, key=lambda m: (self.progress[m.id].match, m.priority))
        leader.begin_transfer(self, best.id)
        return None

    def step_down(self, freeze_ticks: int = 0, cause: str = "stepped down") -> None:
        """Give up office at once, and do not campaign for a while; say why."""
        self.freeze(freeze_ticks)
        if self.is_leader:
            leader.step_down(self, cause)

    def freeze(self, ticks: int) -> None:
        """Do not campaign for so many ticks; 0 ends that."""
        self.frozen = ticks

    def campaign_now(self) -> None:
        """Begin a pre-vote very soon: the leader's connection closed and cannot be reopened.

        The leader is forgotten, so that this member may also grant the others' pre-votes.
        """
        if not self.is_leader:
            if self.role is Role.FOLLOWER:
                self.leader = None
            soon = self.elapsed + 1 + self.below(self.settings.hurry_ticks)
            self.timeout = min(self.timeout, soon)

    # -- outputs -----------------------------------------------------------------------------------

    def ready(self) -> Ready:
        """Take what is to be done; false when there is nothing.

        Call it after one or several inputs. The driver then, in any order but for these rules:
        sends `messages` at once, to one peer in order (an `Append` with the lines of its range,
        unless this member has left the message's term meanwhile); persists `hard_state`;
        carries out `storage` one after the other, across bundles; applies up to `committed`
        (synchronously, then `applied_to`). On `role`: a new leader finishes earlier storage
        orders, applies the rest of its log, appends a no-op and reports it; it serves when
        `in_office`. One that lost office takes back what it applied beyond `commit`, but its log
        keeps the entries: only a `Truncate` removes any.
        """
        if self.is_leader:
            leader.flush(self)
            if self.leaving:
                leader.step_down(self, Cause.NO_VOTER)
        result = Ready(
            self.take_sendable(), storage=self.storage, reads=self.read_states,
            snapshots=self.snapshots, progressed=self.progressed,
        )  # fmt: skip
        self.storage, self.read_states, self.snapshots, self.progressed = [], [], [], False
        asked, told = self._asked, self._told_role
        if self.term != asked.term or self.vote != asked.vote:
            self._asked = result.hard_state = HardState(self.term, self.vote)
        committed = min(self.commit, self.durable)
        if committed > self._told_committed:
            self._told_committed = result.committed = committed
        if self.role is not told.role or self.term != told.term or self.leader != told.leader:
            self._told_role = result.role = RoleChange(
                self.role, self.term, self.leader, self.resigned
            )
            self.resigned = None
        if self.configs and self.configs[-1] is not self._told_config:
            if self.configs[-1] != self._told_config:
                result.config = ConfigChange(*self.configs[-1])
            self._told_config = self.configs[-1]
        return result


_HANDLERS: dict[type[Message], Callable[[Any, Any], None]] = {
    Append: follower.handle_append,
    AppendResponse: Raft._handle_append_response,  # noqa: SLF001 -- the class's own table
    Heartbeat: follower.handle_heartbeat,
    HeartbeatResponse: Raft._handle_heartbeat_response,  # noqa: SLF001
    InstallSnapshot: follower.handle_snapshot,
    PreVote: candidate.answer_pre_vote,
    PreVoteResponse: candidate.handle_pre_vote_response,
    TimeoutNow: Raft._handle_timeout_now,  # noqa: SLF001
    Vote: candidate.answer_vote,
    VoteResponse: candidate.handle_vote_response,
}
