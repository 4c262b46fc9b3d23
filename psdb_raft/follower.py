"""The follower: takes in the leader's log and acknowledges what is durable."""

from __future__ import annotations

from psdb_raft import candidate
from psdb_raft.messages import Append, AppendResponse, Heartbeat, HeartbeatResponse, InstallSnapshot
from psdb_raft.state import State
from psdb_raft.values import Config, Install, Position, Role, Store


def tick(state: State) -> None:
    """Let time pass; without a leader, campaign in the end."""
    behind = state.durable < state.log.last_index
    state.stalled = state.stalled + 1 if behind else 0
    state.elapsed += 1
    if state.elapsed >= state.timeout:
        state.leader = None
        state.leaderless += 1
        state.draw_timeout()
        candidate.campaign(state)


def follow(state: State, leader: str) -> None:
    """Note that the leader of this term was heard from."""
    assert not state.is_leader, f"two leaders in term {state.term}: {state.id} and {leader}"
    assert state.leader in {None, leader}, f"two leaders in term {state.term}"
    if state.role is not Role.FOLLOWER:
        state.become_follower(state.term, leader)
    state.leader = leader
    state.elapsed = state.leaderless = 0


def handle_append(state: State, message: Append) -> None:
    """Check that the logs match before the entries, repair, append (§5.3)."""
    follow(state, message.sender)
    if message.last_index > state.commit or message.previous_index > state.commit:
        if not _fits(state, message):
            _reject(state, message)
            return
        _take_entries(state, message)
    state.matched = max(state.matched, message.last_index, state.commit)
    state.commit_to(min(message.commit, message.last_index))
    complete = state.durable >= message.last_index
    state.acknowledge(always=complete or message.last_index == message.previous_index)


def _fits(state: State, message: Append) -> bool:
    """Tell whether the entry before the new ones is in this log; committed ones are."""
    if message.previous_index <= state.commit:
        return True
    return state.log.term_at(message.previous_index) == message.previous_term


def _reject(state: State, message: Append) -> None:
    hint = state.log.last_within(message.previous_index, message.previous_term)
    assert state.leader is not None
    state.send(
        AppendResponse(
            group=state.group, sender=state.id, to=state.leader, term=state.term,
            match=message.previous_index, rejected=True,
            hint_index=hint.index, hint_term=hint.term, applied=state.applied,
        )
    )  # fmt: skip


def _take_entries(state: State, message: Append) -> None:
    """Append what is new, after removing what conflicts."""
    runs = _runs_after(message.runs, max(state.commit, message.previous_index))
    first = state.log.first_difference(message.last_index, runs)
    if first is None:
        return
    assert first > state.commit, "a committed entry conflicts with the leader's log"
    if first <= state.log.last_index:
        state.truncate_to(first - 1)
    size = message.size_bytes * (message.last_index - first + 1)
    size //= max(1, message.last_index - message.previous_index)
    state.log.extend(message.last_index, _runs_after(message.runs, first - 1), size)
    for index, fields in message.configs:
        if index >= first:
            state.add_config(index, Config.from_fields(fields))
    skip = first - message.previous_index - 1
    state.storage.append(Store(first, message.last_index, skip, message, state.generation))


def _runs_after(runs: tuple[tuple[int, int], ...], index: int) -> tuple[tuple[int, int], ...]:
    """Return the runs of the entries above `index`."""
    found: list[tuple[int, int]] = []
    for first, term in runs:
        if first <= index + 1:
            found = [(index + 1, term)]
        else:
            found.append((first, term))
    return tuple(found)


def handle_heartbeat(state: State, message: Heartbeat) -> None:
    """Follow; learn the commit index."""
    follow(state, message.sender)
    state.commit_to(message.commit)
    state.wanted = max(state.wanted, message.wanted)
    if message.round:
        state.send(
            HeartbeatResponse(
                group=state.group, sender=state.id, to=message.sender, term=state.term,
                round=message.round, applied=state.applied,
            )
        )  # fmt: skip


def handle_snapshot(state: State, message: InstallSnapshot) -> None:
    """Take over a snapshot, unless the log holds all of it already (§7)."""
    follow(state, message.sender)
    position = Position(message.index, message.index_term)
    if position.index > state.commit:
        if state.log.term_at(position.index) == position.term:
            state.commit_to(position.index)
        else:
            config = Config.from_fields(message.config)
            state.restore_log(position, message.config_index, config)
            state.installing = position.index
            state.storage.append(Install(message, state.generation))
    state.matched = max(state.matched, state.commit)
    state.acknowledge(always=not state.installing)
