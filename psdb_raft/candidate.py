"""Elections: pre-vote, vote, and the answers to both."""

from __future__ import annotations

from psdb_raft import leader
from psdb_raft.messages import PreVote, PreVoteResponse, Vote, VoteResponse
from psdb_raft.state import State
from psdb_raft.values import HardState, Role


def campaign(state: State, *, transfer: bool = False) -> None:
    """Begin an election: with a pre-vote, or at once when the leader hands over."""
    assert not state.is_leader, "a leader has no reason to campaign"
    if not state.is_electable:
        return
    if transfer:
        _stand(state, transfer=True)
        return
    state.leave_roles()
    state.role = Role.PRE_CANDIDATE
    state.leader = None
    state.draw_timeout()
    state.votes = {state.id: True}
    if _has_won(state):
        _stand(state, transfer=False)
        return
    for id_ in _others(state):
        state.send(
            PreVote(
                group=state.group, sender=state.id, to=id_, term=state.term + 1,
                last_index=state.log.last_index, last_term=state.log.last_term,
            )
        )  # fmt: skip


def _stand(state: State, *, transfer: bool) -> None:
    """Begin a term and ask for votes; the own one counts when it is durable."""
    state.leave_roles()
    state.role = Role.CANDIDATE
    state.begin_term(state.term + 1, vote=state.id)
    state.draw_timeout()
    for id_ in _others(state):
        state.send(
            Vote(
                group=state.group, sender=state.id, to=id_, term=state.term, transfer=transfer,
                last_index=state.log.last_index, last_term=state.log.last_term,
            )
        )  # fmt: skip


def _others(state: State) -> list[str]:
    return [id_ for id_ in state.config.voters if id_ != state.id]


def _has_won(state: State) -> bool:
    voters = state.config.voters
    return 2 * sum(state.votes.get(id_, False) for id_ in voters) > len(voters)


def _has_lost(state: State) -> bool:
    voters = state.config.voters
    return 2 * sum(not state.votes.get(id_, True) for id_ in voters) >= len(voters)


def vote_saved(state: State) -> None:
    """Count the own vote: it is durable now."""
    if state.role is Role.CANDIDATE and state.saved == HardState(state.term, state.id):
        _count(state, state.id, granted=True)


def handle_pre_vote_response(state: State, message: PreVoteResponse) -> None:
    """Count an answer to the pre-vote for the coming term."""
    if state.role is Role.PRE_CANDIDATE and (
        not message.granted or message.term == state.term + 1
    ):
        _count(state, message.sender, granted=message.granted)


def handle_vote_response(state: State, message: VoteResponse) -> None:
    """Count a vote."""
    if state.role is Role.CANDIDATE:
        _count(state, message.sender, granted=message.granted)


def _count(state: State, voter: str, *, granted: bool) -> None:
    """Take in a vote of this election; the first answer of a voter counts."""
    state.votes.setdefault(voter, granted)
    if _has_won(state):
        if state.role is Role.PRE_CANDIDATE:
            _stand(state, transfer=False)
        elif state.saved == HardState(state.term, state.id):
            leader.begin(state)
    elif _has_lost(state):
        state.become_follower(state.term, None)


# -- the voter's side ------------------------------------------------------------------------------


def answer_pre_vote(state: State, message: PreVote) -> None:
    """Say whether this member would vote so; it promises nothing.

    Refused while a leader is heard from: who cannot hear it shall not disturb the others.
    """
    granted = (
        message.term > state.term
        and not state.hears_leader
        and state.log.is_behind(message.last_index, message.last_term)
    )
    state.send(
        PreVoteResponse(
            group=state.group, sender=state.id, to=message.sender,
            term=message.term if granted else state.term, granted=granted,
        )
    )  # fmt: skip


def answer_vote(state: State, message: Vote) -> None:
    """Vote, once a term, for a log that is at least as up-to-date (§5.2, §5.4.1)."""
    assert message.term == state.term
    granted = (
        state.vote in {None, message.sender}
        and (state.leader is None or state.leader == message.sender)
        and state.log.is_behind(message.last_index, message.last_term)
    )
    if granted:
        assert not state.is_leader
        state.vote = message.sender
        state.draw_timeout()
    state.send(
        VoteResponse(
            group=state.group, sender=state.id, to=message.sender, term=state.term,
            granted=granted,
        )
    )  # fmt: skip

