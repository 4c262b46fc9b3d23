"""Messages between the members of a group, and their plain form for the wire.

Every message names its group, its sender, the member it is for, and the sender's term (that of a
PreVote is the term it would campaign in). Entries travel beside an `Append`: `payload` is the
driver's, never looked at here, and not part of the plain form.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages have.

    Attributes:
        group: Id of the replica set.
        sender, to: Member ids.
        term: The sender's term.

    """

    group: str
    sender: str
    to: str
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreVote(Message):
    """Would you vote for me in this term, which I have not begun? My log ends there."""

    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreVoteResponse(Message):
    """Answer; `term` is that of the request if granted, else the voter's own."""

    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Message):
    """RequestVote. `transfer`: the leader asked for this election."""

    last_index: int
    last_term: int
    transfer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteResponse(Message):
    """Answer; sent after the vote is durable."""

    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(Message):
    """AppendEntries: the entries after `previous_index` up to `last_index`, maybe none.

    Attributes:
        previous_index, previous_term: The position before the entries.
        last_index: Index of the last entry.
        runs: `(first index, term)` of each run of entries of one term, ascending, the first with
            `previous_index + 1`; empty without entries.
        configs: `(index, fields)` of the entries that are configurations.
        commit: The leader's commit index.
        size_bytes: Bytes of the lines, estimated; a driver may say it exactly.
        payload: The lines, for the receiver's storage order. The sending driver reads them from
            its journal: while core and message are of one term the leader's log only grows.

    """

    previous_index: int
    previous_term: int
    last_index: int
    runs: tuple[tuple[int, int], ...] = ()
    configs: tuple[tuple[int, dict[str, Any]], ...] = ()
    commit: int
    size_bytes: int = 0
    payload: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResponse(Message):
    """Answer to `Append` and `InstallSnapshot`, also sent when the applied index moves.

    Attributes:
        match: The sender's durable log equals the leader's up to here; of a rejection, the
            `previous_index` that did not fit.
        rejected: The sender has no entry at `previous_index` of that term (or a higher term).
        hint_index, hint_term: Of a rejection: the last position that may fit.
        applied: The sender applied its log up to here.

    """

    match: int
    rejected: bool = False
    hint_index: int = 0
    hint_term: int = 0
    applied: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Message):
    """The leader lives; the receiver's log is committed up to `commit`.

    Attributes:
        commit: Never above what the leader knows the receiver's log to match.
        round: Echoed; confirms office for reads. 0: only the commit index matters.
        wanted: Somebody waits until the receiver has applied its log up to here.

    """

    commit: int
    round: int
    wanted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatResponse(Message):
    """Answer to a heartbeat."""

    round: int
    applied: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshot(Message):
    """A snapshot has arrived, in chunks of which only the drivers know; given to `Raft.step`.

    Attributes:
        index, index_term: The last entry that the snapshot contains.
        config_index, config: The configuration in effect there.
        payload: The driver's, for the storage order.

    """

    index: int
    index_term: int
    config_index: int
    config: dict[str, Any]
    payload: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutNow(Message):
    """The leader hands over: campaign at once."""


KINDS: dict[str, type[Message]] = {
    "append": Append,
    "appendResponse": AppendResponse,
    "heartbeat": Heartbeat,
    "heartbeatResponse": HeartbeatResponse,
    "installSnapshot": InstallSnapshot,
    "preVote": PreVote,
    "preVoteResponse": PreVoteResponse,
    "timeoutNow": TimeoutNow,
    "vote": Vote,
    "voteResponse": VoteResponse,
}
_NAMES = {type_: name for name, type_ in KINDS.items()}
_FIELDS = {
    type_: [f.name for f in fields(type_) if f.name != "payload"] for type_ in KINDS.values()
}
_READ = {type_: attrgetter(*names) for type_, names in _FIELDS.items()}


def to_fields(message: Message) -> dict[str, Any]:
    """Return a message as plain values (numbers, strings, lists); `kind` names its type."""
    type_ = type(message)
    plain: dict[str, Any] = {"kind": _NAMES[type_]}
    plain.update(zip(_FIELDS[type_], _READ[type_](message), strict=True))
    if type_ is Append:
        for name in ("runs", "configs"):
            plain[name] = [list(pair) for pair in plain[name]]
    return plain


def from_fields(plain: dict[str, Any], payload: Any = None) -> Message:
    """Read what `to_fields` wrote; `payload` for the messages that carry one.

    Raises KeyError, TypeError or ValueError for what is no message.
    """
    type_ = KINDS[plain["kind"]]
    values = {name: plain[name] for name in _FIELDS[type_]}
    if type_ is Append:
        for name in ("runs", "configs"):
            values[name] = tuple((int(first), second) for first, second in values[name])
    if payload is not None:
        values["payload"] = payload
    return type_(**values)
