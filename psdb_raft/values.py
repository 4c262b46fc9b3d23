"""Values of the consensus core: positions, configurations, settings, and the bundle of orders."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from psdb_raft.messages import Append, InstallSnapshot, Message


class Role(enum.Enum):
    """What a member is in its term."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log: an entry's index and its term. `(0, 0)` is before the first."""

    index: int
    term: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class HardState:
    """What a member promised and must not forget.

    Attributes:
        term: The latest term seen.
        vote: Id of the member voted for in this term, None for nobody.

    """

    term: int
    vote: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A member in a configuration.

    Attributes:
        id: The random id of its dbpath.
        voter: It counts for elections and commits; a member without a vote is a learner.
        priority: 0 never campaigns; of several that could lead, the highest takes over.

    """

    id: str
    voter: bool = True
    priority: float = 1


@dataclass(frozen=True, slots=True)
class Config:
    """Who belongs to the group.

    Attributes:
        members: All members; the order means nothing.
        voters: Ids of the members that vote.
        data: Anything the driver wants to find again with this configuration (plain values that
            its messages can carry); the core never looks at it.

    """

    members: tuple[Member, ...]
    data: Any = field(default=None, compare=False)
    voters: list[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        voters = [member.id for member in self.members if member.voter]
        object.__setattr__(self, "voters", voters)

    def find(self, id_: str) -> Member | None:
        """Return a member by id, None when it is not in this configuration."""
        return next((member for member in self.members if member.id == id_), None)

    def to_fields(self) -> dict[str, Any]:
        """Return plain values, for a message, a manifest or an entry."""
        rows = [[member.id, member.voter, member.priority] for member in self.members]
        return {"members": rows, "data": self.data}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Config:
        """Read what `to_fields` wrote."""
        members = tuple(Member(id_, bool(voter), p) for id_, voter, p in fields["members"])
        return cls(members, fields.get("data"))


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in ticks (the driver's tick is 50 ms), limits of what is under way.

    Attributes:
        election_ticks: A follower that hears nothing campaigns after this many ticks and up to half
            as many more, at random; a leader that hears no majority for so long steps down.
        heartbeat_ticks: Between two heartbeats.
        disk_ticks: A leader whose log does not get durable for so long steps down.
        takeover_ticks: How often a leader looks for a member of higher priority to hand over to.
        hurry_ticks: `campaign_now` waits less than this many ticks, at random, so that two members
            that lose their leader together do not split the vote.
        append_entries, append_bytes: Limits of one AppendEntries (one entry may be larger).
        window_messages, window_bytes: Limits of what is sent to a peer and not acknowledged.

    """

    election_ticks: int = 20
    heartbeat_ticks: int = 3
    disk_ticks: int = 60
    takeover_ticks: int = 40
    hurry_ticks: int = 3
    append_entries: int = 4096
    append_bytes: int = 4 << 20
    window_messages: int = 64
    window_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class Truncate:
    """Storage order: remove every entry above `to_index` (never a committed one)."""

    to_index: int
    generation: int


@dataclass(frozen=True, slots=True)
class Store:
    """Storage order: append entries `first` to `last` of a received AppendEntries.

    Attributes:
        first, last: Indexes, both included.
        skip: How many entries at the message's beginning the log holds already; the entries to
            append are those after them.
        message: The message, with the driver's `payload`.
        generation: See `Raft.durable`.

    """

    first: int
    last: int
    skip: int
    message: Append
    generation: int


@dataclass(frozen=True, slots=True)
class Install:
    """Storage order: replace state and log by the received snapshot, atomically.

    Durable when done: report `durable(message.index, generation)` then.
    """

    message: InstallSnapshot
    generation: int


StorageOrder: TypeAlias = Truncate | Store | Install


class Cause:
    """Why a leader left office by itself, in words for people; a driver may have others."""

    DISK_HANGS: Final = "the disk hangs"
    HANDED_OVER: Final = "handed over"
    HIGHER_TERM: Final = "a higher term was seen"
    NO_QUORUM: Final = "no majority was heard from"
    NO_VOTER: Final = "removed from the voters"


@dataclass(frozen=True, slots=True)
class Resignation:
    """Why office was left, and because of which member (its id)."""

    cause: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What the member is now. A leader of a new term has lost its earlier office meanwhile.

    Attributes:
        role, term, leader: As they are now.
        resigned: Why the office held before was left, None where there was none.

    """

    role: Role
    term: int
    leader: str | None
    resigned: Resignation | None = None


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The configuration in effect now, and the index of its entry (0: none in the log)."""

    index: int
    config: Config


@dataclass(frozen=True, slots=True)
class ReadState:
    """Answer to `Raft.read_index`.

    Attributes:
        context: As given.
        index: Office was held after the question: a read of the state at or after this index is
            linearizable. None: office was lost or never held.

    """

    context: Any
    index: int | None


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """A peer needs entries that the log no longer has: send it a snapshot.

    The driver sends it in chunks and reports `Raft.snapshot_finished`.
    """

    to: str
    term: int


@dataclass(slots=True)
class Ready:
    """Everything the driver has to do now; see `Raft.ready` for the order.

    Attributes:
        messages: To send now; whatever they rely on is durable already. To one peer in this order.
        hard_state: To persist; then report `Raft.saved` with this object.
        storage: Orders to the log, to be carried out in order, also over several bundles.
        committed: Apply up to this index: committed, and durable in this member's own log.
        role: Set when role, term or leader changed.
        config: Set when another configuration is in effect.
        reads: Answers to `read_index`.
        snapshots: Peers that need a snapshot.
        progressed: A peer's match or applied index moved (a leader's waiters may go on).

    """

    messages: list[Message] = field(default_factory=list)
    hard_state: HardState | None = None
    storage: list[StorageOrder] = field(default_factory=list)
    committed: int | None = None
    role: RoleChange | None = None
    config: ConfigChange | None = None
    reads: list[ReadState] = field(default_factory=list)
    snapshots: list[SendSnapshot] = field(default_factory=list)
    progressed: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.messages or self.hard_state or self.storage or self.committed is not None
            or self.role or self.config or self.reads or self.snapshots or self.progressed
        )  # fmt: skip
