"""The leader: replication, commitment, quorum checks, reads, hand-over, changes of membership."""

from __future__ import annotations

from typing import Any

from psdb_raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    TimeoutNow,
)
from psdb_raft.progress import Flow, Progress
from psdb_raft.state import State
from psdb_raft.values import Cause, Config, Member, ReadState, Resignation, Role, SendSnapshot

_TAKEOVER_PATIENCE = 8
"""After a hand-over that failed, the next try comes so much later."""

# -- office ----------------------------------------------------------------------------------------


def begin(state: State) -> None:
    """Take office: the election is won."""
    assert state.role is Role.CANDIDATE, "only a candidate becomes leader"
    assert state.saved.term == state.term, "its own vote is durable"
    state.leave_roles()
    state.role = Role.LEADER
    state.leader = state.id
    state.matched = 0
    state.elapsed = state.stalled = 0
    state.takeover_wait = 0
    _watch_members(state)
    want_round(state)


def step_down(state: State, cause: str) -> None:
    """Give up office within the term."""
    assert state.is_leader
    state.resigned = Resignation(cause)
    state.become_follower(state.term, None)


def displaced(state: State, sender: str) -> None:
    """Take note that a member brings a higher term, which ends this office."""
    assert state.is_leader
    if state.transfer_sent and sender == state.transferee:
        state.resigned = Resignation(Cause.HANDED_OVER, sender)
    else:
        state.resigned = Resignation(Cause.HIGHER_TERM, sender)


def _watch_members(state: State) -> None:
    """Have a progress for every other member of the configuration in effect, and no more."""
    known = state.progress
    state.progress = {
        member.id: known.get(member.id) or Progress(next=state.log.last_index + 1)
        for member in state.config.members
        if member.id != state.id
    }


def tick(state: State) -> None:
    """Let time pass: heartbeats, and the checks that take office away."""
    for progress in state.progress.values():
        progress.silent_ticks += 1
    if _disk_hangs(state):
        step_down(state, Cause.DISK_HANGS)
        return
    if not _hears_quorum(state):
        step_down(state, Cause.NO_QUORUM)
        return
    _tick_transfer(state)
    state.heartbeat_elapsed += 1
    if state.heartbeat_elapsed >= state.settings.heartbeat_ticks:
        state.heartbeat_elapsed = 0
        want_round(state)


def _disk_hangs(state: State) -> bool:
    """Tell whether the log made no way to the disk for too long, or office was never taken up."""
    idle = state.log.last_term == state.term and state.durable >= state.log.last_index
    state.stalled = 0 if idle else state.stalled + 1
    return state.stalled >= state.settings.disk_ticks


def _hears_quorum(state: State) -> bool:
    """Tell whether a majority was heard from within the election timeout (check-quorum)."""
    limit = state.settings.election_ticks
    return state.quorum_value(1, lambda progress: int(progress.silent_ticks < limit)) == 1


# -- sending ---------------------------------------------------------------------------------------


def flush(state: State) -> None:
    """Send what the peers may have now: entries, the commit index, heartbeats."""
    wanted, state.round_wanted = state.round_wanted, False
    if wanted:
        state.round += 1
    last = state.log.last_index
    for id_, progress in state.progress.items():
        # Mostly a peer has been sent everything: that is seen without a call.
        if progress.flow is not Flow.REPLICATE or progress.next <= last:
            while _send_entries(state, id_, progress):
                pass
        commit = min(progress.match, state.commit)
        if wanted or commit > progress.commit_told:
            progress.commit_told = max(progress.commit_told, commit)
            state.send(
                Heartbeat(
                    group=state.group, sender=state.id, to=id_, term=state.term,
                    commit=commit, round=state.round if wanted else 0,
                    wanted=state.wanted if state.wanted > progress.applied else 0,
                )
            )  # fmt: skip
    if wanted:
        _confirm_reads(state)


def want_round(state: State) -> None:
    """Have a round of heartbeats go out with what is sent next."""
    state.round_wanted = True


def _send_entries(state: State, to: str, progress: Progress) -> bool:
    """Send one AppendEntries if the flow allows it; tell whether more may follow."""
    limits = state.settings
    full = progress.is_full(limits.window_messages, limits.window_bytes)
    nothing_new = progress.flow is Flow.REPLICATE and progress.next > state.log.last_index
    if full or nothing_new:
        return False
    previous = progress.next - 1
    if state.log.term_at(previous) is None:
        progress.want_snapshot(state.log.before.index)
        state.snapshots.append(SendSnapshot(to, state.term))
        return False
    last = previous
    if progress.flow is Flow.REPLICATE:
        last = state.log.fit(previous, limits.append_entries, limits.append_bytes)
    message = _append(state, to, previous, last)
    progress.sent(last, message.size_bytes)
    progress.commit_told = max(progress.commit_told, min(last, state.commit))
    state.send(message)
    return progress.flow is Flow.REPLICATE and last < state.log.last_index


def _append(state: State, to: str, previous: int, last: int) -> Append:
    term = state.log.term_at(previous)
    assert term is not None
    return Append(
        group=state.group, sender=state.id, to=to, term=state.term,
        previous_index=previous, previous_term=term, last_index=last,
        runs=state.log.runs(previous + 1, last),
        configs=tuple(
            (index, config.to_fields())
            for index, config in state.configs if previous < index <= last
        ),
        commit=state.commit,
        size_bytes=state.log.bytes_between(previous, last),
    )  # fmt: skip


# -- answers ---------------------------------------------------------------------------------------


def handle_append_response(state: State, message: AppendResponse) -> None:
    """Take in how far a peer's log goes with the own one, or that it does not fit."""
    progress = state.progress.get(message.sender)
    if progress is None:
        return
    progress.heard()
    _note_applied(state, progress, message.applied)
    if message.rejected:
        _handle_rejection(state, message, progress)
        return
    assert message.match <= state.log.last_index, "a peer acknowledges what was never sent"
    if progress.acknowledge(message.match):
        state.progressed = True
        advance_commit(state)
    if progress.flow is Flow.SNAPSHOT:
        if progress.match >= progress.snapshot_index:
            progress.probe()
    elif progress.flow is Flow.PROBE and message.match >= progress.next - 1:
        progress.replicate()
    _try_transfer(state)


def _handle_rejection(state: State, message: AppendResponse, progress: Progress) -> None:
    """Go back to where the logs may match; a stale answer says nothing."""
    if progress.flow is Flow.SNAPSHOT:
        return
    if progress.flow is Flow.REPLICATE:
        stale = message.match <= progress.match or message.match >= progress.next
    else:
        stale = message.match != progress.next - 1
    if stale:
        return
    known = state.log.last_within(message.hint_index, message.hint_term)
    progress.probe(min(message.match, known.index + 1))


def handle_heartbeat_response(state: State, message: HeartbeatResponse) -> None:
    """Note that a peer is there; send again what it may have missed."""
    progress = state.progress.get(message.sender)
    if progress is None:
        return
    progress.heard()
    _note_applied(state, progress, message.applied)
    progress.round = max(progress.round, message.round)
    _confirm_reads(state)
    previous = progress.next - 1
    if progress.flow is Flow.PROBE:
        progress.waiting = False
    elif progress.match < previous and state.log.term_at(previous) is None:
        progress.probe()
    elif progress.match < previous:
        # Nothing new may be coming: an empty message shows the peer a gap, if there is one.
        state.send(_append(state, message.sender, previous, previous))


def _note_applied(state: State, progress: Progress, applied: int) -> None:
    if applied > progress.applied:
        progress.applied = applied
        state.progressed = True


def unreachable(state: State, peer: str) -> None:
    """Ask a peer where it stands: what was under way is lost."""
    progress = state.progress.get(peer)
    if progress is not None and progress.flow is Flow.REPLICATE:
        progress.probe()


def gone(state: State, peer: str) -> None:
    """Hand office to somebody else, if this one was to have it."""
    progress = state.progress.get(peer)
    if progress is not None:
        progress.gone = True
    if state.transferee == peer:
        state.transferee = None


def snapshot_finished(state: State, peer: str, index: int | None) -> None:
    """Probe after a snapshot, whose index is given or None: it failed, and is asked for again."""
    progress = state.progress.get(peer)
    if progress is not None and progress.flow is Flow.SNAPSHOT:
        progress.probe(min(index, state.log.last_index) + 1 if index is not None else None)


# -- commitment ------------------------------------------------------------------------------------


def appended(state: State, index: int, term: int, config: Config | None, size: int) -> None:
    """Take in an entry that the driver appended to its own log."""
    assert state.is_leader, "only a leader appends"
    assert term == state.term, f"an entry of term {term} in term {state.term}"
    assert index == state.log.last_index + 1, f"entry {index} after {state.log.last_index}"
    if config is not None:
        refusal = check_config(state, config)
        assert refusal is None, refusal
    state.log.append(term, size)
    state.transfer_sent = False  # the heir needs this entry as well before it campaigns
    if config is not None:
        state.add_config(index, config)
        _watch_members(state)


def advance_commit(state: State) -> None:
    """Commit by counting: entries of the leader's own term only (§5.4.2)."""
    index = state.quorum_value(state.durable, lambda progress: progress.match)
    if index <= state.commit or state.log.term_at(index) != state.term:
        return
    state.commit_to(index)
    early, state.reads_early = state.reads_early, []
    for context in early:
        read_index(state, context)
    if state.config_index <= state.commit and state.id not in state.config.voters:
        state.leaving = True


# -- reads -----------------------------------------------------------------------------------------


def read_index(state: State, context: Any) -> None:
    """Confirm office by a round of heartbeats after the question (§6.4 of the thesis)."""
    if not state.in_office:
        state.reads_early.append(context)
        return
    state.reads.append((state.round + 1, state.commit, context))
    want_round(state)


def _confirm_reads(state: State) -> None:
    confirmed = state.quorum_value(state.round, lambda progress: progress.round)
    while state.reads and state.reads[0][0] <= confirmed:
        _, index, context = state.reads.pop(0)
        state.read_states.append(ReadState(context, index))


# -- hand-over -------------------------------------------------------------------------------------


def can_take_over(state: State, member: Member) -> bool:
    """Tell whether a member may get office by a hand-over."""
    progress = state.progress.get(member.id)
    return (
        progress is not None
        and member.voter
        and member.priority > 0
        and member.id not in state.unwilling
        and progress.silent_ticks < state.settings.election_ticks
        and not progress.gone
    )


def begin_transfer(state: State, to: str) -> None:
    """Let a member catch up, then have it campaign."""
    state.transferee, state.transfer_ticks, state.transfer_sent = to, 0, False
    _try_transfer(state)


def _try_transfer(state: State) -> None:
    to = state.transferee
    if to is None or state.transfer_sent or to not in state.progress:
        return
    if state.progress[to].match == state.log.last_index:
        state.transfer_sent = True
        state.send(TimeoutNow(group=state.group, sender=state.id, to=to, term=state.term))


def _tick_transfer(state: State) -> None:
    if state.transferee is not None:
        state.transfer_ticks += 1
        gone = state.transferee not in state.progress
        if gone or state.transfer_ticks >= state.settings.election_ticks:
            state.transferee = None
            state.takeover_wait = -_TAKEOVER_PATIENCE * state.settings.takeover_ticks
        return
    state.takeover_wait += 1
    caretaker = state.priority == 0
    if caretaker or state.takeover_wait >= state.settings.takeover_ticks:
        state.takeover_wait = 0
        heir = _heir(state)
        if heir is not None:
            begin_transfer(state, heir)


def _heir(state: State) -> str | None:
    """Return a member of higher priority than the leader's own that is up-to-date."""
    best: Member | None = None
    for member in state.config.members:
        better = member.priority > (best.priority if best is not None else state.priority)
        if better and can_take_over(state, member):
            if state.progress[member.id].match >= state.commit:
                best = member
    return None if best is None else best.id


# -- membership ------------------------------------------------------------------------------------


def check_config(state: State, new: Config) -> str | None:
    """Tell why a configuration cannot be appended now, None when it can."""
    if not state.is_leader:
        return "not the leader"
    if not state.in_office:
        return "no entry of this term is committed yet"
    if state.config_index > state.commit:
        return "another change of the configuration is not committed yet"
    ids = [member.id for member in new.members]
    if len(set(ids)) != len(ids):
        return "a member occurs twice"
    if not new.voters:
        return "there is no voter"
    old = state.config.voters
    added = [id_ for id_ in new.voters if id_ not in old]
    removed = [id_ for id_ in old if id_ not in new.voters]
    if len(added) + len(removed) > 1:
        return "more than one voter changes"
    if added and state.config.find(added[0]) is None:
        return "a member has to be a learner before it votes"
    return None

