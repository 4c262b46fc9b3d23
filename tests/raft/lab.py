"""A laboratory for the consensus core: members with a small log and disk, links that hold messages.

Each member carries out its core's orders on a list of entries; what was not synced is lost when it
crashes. The referee looks at every step: Election Safety, Log Matching, Leader Completeness, State
Machine Safety, one vote a term, and that what is committed is on the disks of a majority.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from psdb_raft import messages as m
from psdb_raft.core import Raft
from psdb_raft.log import LogTable
from psdb_raft.messages import Message, from_fields, to_fields
from psdb_raft.values import (
    START,
    Config,
    HardState,
    Install,
    Member,
    Position,
    Ready,
    Resignation,
    Role,
    Settings,
    StorageOrder,
    Store,
    Truncate,
)

GROUP = "rs"
ENTRY_BYTES = 100


class SafetyViolation(AssertionError):
    """A property of the Raft paper does not hold."""


@dataclass(frozen=True)
class Entry:
    """One entry; `chain` is the hash of everything up to it."""

    term: int
    data: str
    config: Config | None
    chain: int


@dataclass
class Image:
    """What a disk holds."""

    promise: HardState = field(default_factory=lambda: HardState(0))
    base: Position = START
    base_config: tuple[int, Config] | None = None
    base_chain: int = 0
    base_state: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    generation: int = 0

    @property
    def last(self) -> int:
        return self.base.index + len(self.entries)

    def at(self, index: int) -> Entry | None:
        offset = index - self.base.index - 1
        return self.entries[offset] if 0 <= offset < len(self.entries) else None

    def chain_at(self, index: int) -> int:
        entry = self.at(index)
        return self.base_chain if entry is None else entry.chain

    def copy(self) -> Image:
        return replace(self, entries=list(self.entries), base_state=list(self.base_state))


class Referee:
    """Sees every member's steps; raises SafetyViolation."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[int, str], str] = {}
        self.chains: dict[tuple[int, int], int] = {}
        self.committed: dict[int, Entry] = {}
        self.top = 0

    def entry(self, index: int, entry: Entry) -> None:
        known = self.chains.setdefault((index, entry.term), entry.chain)
        if known != entry.chain:
            raise SafetyViolation(f"log matching: two histories at {index}@{entry.term}")

    def leader(self, node: Node) -> None:
        core = node.core
        known = self.leaders.setdefault(core.term, node.name)
        if known != node.name:
            raise SafetyViolation(f"two leaders in term {core.term}: {known}, {node.name}")
        for index, entry in self.committed.items():
            own = node.image.at(index)
            if index > node.image.base.index and own != entry:
                raise SafetyViolation(f"leader {node.name} lacks committed entry {index}")

    def vote(self, message: m.VoteResponse) -> None:
        known = self.votes.setdefault((message.term, message.sender), message.to)
        if known != message.to:
            raise SafetyViolation(f"{message.sender} votes twice in term {message.term}")

    def applied(self, node: Node, index: int, entry: Entry) -> None:
        known = self.committed.setdefault(index, entry)
        self.top = max(self.top, index)
        if known != entry:
            raise SafetyViolation(f"{node.name} applies another entry at {index}")


class Node:
    """A member: the core, its log in memory, its disk, and a disk queue.

    Attributes:
        image: The log in memory, as ordered.
        disk: What a crash leaves.
        queue: Storage work under way.
        auto: The disk works at once.
        resigned: Why it left its offices.

    """

    def __init__(self, lab: Lab, name: str, settings: Settings) -> None:
        self.lab = lab
        self.name = name
        self.settings = settings
        self.disk = Image()
        self.image = Image()
        self.queue: deque[Any] = deque()
        self.auto = True
        self.up = True
        self.noop = True
        self.number = 0
        self.looked_at = (0, 0)
        self.state: list[str] = []
        self.core: Raft
        self.reads: list[tuple[Any, int | None]] = []
        self.resigned: list[Resignation] = []

    def boot(self) -> None:
        """Start on what the disk holds."""
        self.up = True
        self.queue.clear()
        self.disk.generation = 0
        self.image = self.disk.copy()
        table = LogTable(self.image.base)
        configs = [self.image.base_config] if self.image.base_config else []
        for index, entry in enumerate(self.image.entries, self.image.base.index + 1):
            table.append(entry.term, ENTRY_BYTES)
            if entry.config is not None:
                configs.append((index, entry.config))
        self.state = list(self.image.base_state)
        self.core = Raft(
            self.name, GROUP, below=self.lab.below, hard_state=self.image.promise, log=table,
            configs=configs, commit=self.image.base.index, settings=self.settings,
        )

    # -- the driver ------------------------------------------------------------------------------

    def work(self) -> bool:
        """Carry out what the core wants; tell whether there was anything."""
        self._look_at_commit()
        ready = self.core.ready()
        if not ready:
            if self.auto and self.queue:
                self.sync()
                return True
            return False
        lab = self.lab
        if ready.hard_state is not None:
            lab.say(f"{self.name}: term {ready.hard_state.term} vote {ready.hard_state.vote}", 2)
            self.queue.append(ready.hard_state)
        for order in ready.storage:
            self._order(order)
        self._role(ready)
        for message in ready.messages:
            self._send(message)
        if ready.committed is not None:
            self._apply(ready.committed)
        if ready.config is not None:
            lab.say(f"{self.name}: config {show_config(ready.config.config)}", 1)
        for read in ready.reads:
            lab.say(f"{self.name}: read {read.context} at {read.index}", 0)
            self.reads.append((read.context, read.index))
        for snapshot in ready.snapshots:
            lab.say(f"{self.name}: {snapshot.to} needs a snapshot", 1)
            lab.snapshots.append((self.name, snapshot.to))
        if self.auto:
            self.sync()
        return True

    def _look_at_commit(self) -> None:
        """Check what this leader committed; what it knew before it led was another's."""
        core = self.core
        if core.is_leader and self.looked_at != (core.term, core.commit):
            if self.looked_at[0] == core.term:
                self.lab.check_majority(self, core.commit)
            self.looked_at = core.term, core.commit

    def _role(self, ready: Ready) -> None:
        role = ready.role
        if role is None:
            return
        if role.resigned is not None:
            self.resigned.append(role.resigned)
        text = f"{self.name}: {role.role.value} of term {role.term}"
        self.lab.say(text if role.role is not Role.FOLLOWER else f"{text}, leader {role.leader}", 1)
        if role.role is Role.LEADER:
            self.lab.referee.leader(self)
            if self.noop and self.core.log.last_term != role.term:
                self.propose("noop")

    def propose(self, data: str, config: Config | None = None) -> None:
        """Append an entry as leader."""
        assert self.core.is_leader, f"{self.name} does not lead"
        self.number += 1
        entry = self._entry(self.core.term, f"{data}.{self.name}{self.number}", config)
        self.core.appended(
            self.image.last, entry.term, size_bytes=ENTRY_BYTES, config=config
        )
        self.queue.append(("append", self.image.last, [entry], self.core.generation))

    def _entry(self, term: int, data: str, config: Config | None) -> Entry:
        index = self.image.last + 1
        chain = hash((self.image.chain_at(index - 1), term, data)) & 0xFFFF_FFFF
        entry = Entry(term, data, config, chain)
        self.image.entries.append(entry)
        self.lab.referee.entry(index, entry)
        return entry

    def _order(self, order: StorageOrder) -> None:
        image = self.image
        if isinstance(order, Truncate):
            self.lab.say(f"{self.name}: truncates to {order.to_index}", 1)
            del image.entries[order.to_index - image.base.index :]
            self.queue.append(order)
        elif isinstance(order, Store):
            self.lab.say(f"{self.name}: stores {order.first}..{order.last}", 2)
            lines = order.message.payload[order.skip :]
            assert len(lines) == order.last - order.first + 1
            assert order.first == image.last + 1
            image.entries += lines
            for index, entry in enumerate(lines, order.first):
                self.lab.referee.entry(index, entry)
            self.queue.append(("append", order.last, lines, order.generation))
        else:
            self.lab.say(f"{self.name}: installs snapshot {order.message.index}", 1)
            install(image, order)
            self.queue.append(order)

    def _send(self, message: Message) -> None:
        if isinstance(message, m.VoteResponse) and message.granted:
            self.lab.referee.vote(message)
        if isinstance(message, m.Append):
            base = self.image.base.index
            lines = self.image.entries[message.previous_index - base : message.last_index - base]
            message = replace(message, payload=lines)
        self.lab.say(show(message), 2)
        self.lab.links.setdefault((self.name, message.to), deque()).append(message)

    def _apply(self, index: int) -> None:
        first = len(self.state) + 1
        for at in range(first, index + 1):
            entry = self.image.at(at)
            assert entry is not None
            if self.disk.at(at) != entry:
                raise SafetyViolation(f"{self.name} applies {at}, which is not on its disk")
            self.lab.referee.applied(self, at, entry)
            self.state.append(entry.data)
        if index >= first:
            self.lab.say(f"{self.name}: commit {index}", 1)
        self.core.applied_to(index)

    # -- the disk ----------------------------------------------------------------------------------

    def sync(self, count: int | None = None) -> None:
        """Let the disk do its next works (all), and report each."""
        left = len(self.queue) if count is None else count
        while left and self.queue:
            left -= 1
            work = self.queue.popleft()
            disk = self.disk
            if isinstance(work, HardState):
                disk.promise = work
                self.core.saved_hard_state(work)
                continue
            if isinstance(work, Truncate):
                del disk.entries[max(0, work.to_index - disk.base.index) :]
                disk.generation = work.generation
            elif isinstance(work, Install):
                install(disk, work)
                disk.generation = work.generation
                self.state = list(disk.base_state)
            else:
                disk.entries += work[2]
            self.core.durable_to(disk.last, disk.generation)

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.up = False
        self.queue.clear()

    def compact(self, index: int) -> None:
        """Remove entries up to an applied index, from memory and disk."""
        config = [pair for pair in self.core.configs if pair[0] <= index]
        term = self.core.log.term_at(index)
        assert term is not None
        self.core.compacted(index)
        for image in (self.disk, self.image):
            chain = image.chain_at(index)
            del image.entries[: index - image.base.index]
            image.base, image.base_chain = Position(index, term), chain
            image.base_config = config[-1] if config else None
            image.base_state = self.state[:index]

    def snapshot(self) -> Image:
        """Make a snapshot at the applied index, as a message's payload."""
        index = self.core.applied
        configs = [pair for pair in self.core.configs if pair[0] <= index]
        term = self.core.log.term_at(index)
        assert term is not None
        return Image(
            base=Position(index, term), base_config=configs[-1] if configs else None,
            base_chain=self.image.chain_at(index), base_state=self.state[:index],
        )


def install(image: Image, order: Install) -> None:
    taken: Image = order.message.payload
    image.base, image.base_config = taken.base, taken.base_config
    image.base_chain, image.base_state = taken.base_chain, list(taken.base_state)
    image.entries = []


class Lab:
    """Members, links, and what was seen.

    Attributes:
        gone: Members that were wiped, as they were.
        links: Messages under way, by (from, to), oldest first.
        cut: Links that lose everything.
        snapshots: (from, to) of snapshots asked for.
        trace: Lines said since the last look.

    """

    def __init__(self, seed: int = 0, *, quiet: bool = False) -> None:
        self.random = random.Random(seed)
        self.nodes: dict[str, Node] = {}
        self.gone: dict[str, Node] = {}
        self.links: dict[tuple[str, str], deque[Message]] = {}
        self.cut: dict[tuple[str, str], bool] = {}
        self.snapshots: list[tuple[str, str]] = []
        self.referee = Referee()
        self.trace: list[str] = []
        self.loudness = 0 if quiet else 2
        self.quiet = quiet

    def below(self, stop: int) -> int:
        return self.random.randrange(stop)

    def say(self, text: str, level: int) -> None:
        if level <= self.loudness and not self.quiet:
            self.trace.append(text)

    def add(
        self, name: str, config: Config | None, terms: list[int], settings: Settings,
        promise: HardState | None = None,
    ) -> Node:
        """Make a member whose log has these terms; the first entry is the configuration."""
        node = self.nodes[name] = Node(self, name, settings)
        for index, term in enumerate(terms, 1):
            chain = hash((node.disk.chain_at(index - 1), term, f"old{index}")) & 0xFFFF_FFFF
            entry = Entry(term, f"old{index}", config if index == 1 else None, chain)
            node.disk.entries.append(entry)
            self.referee.entry(index, entry)
        node.disk.promise = promise or HardState(max(terms, default=0))
        node.boot()
        return node

    def check_majority(self, node: Node, index: int) -> None:
        """What a leader takes as committed is on the disks of a majority."""
        entry = node.image.at(index)
        if entry is None:
            return
        known = {**self.gone, **self.nodes}
        for _, config in node.core.configs[-2:]:  # the last one may have come a moment after
            disks = [(id_, known[id_].disk) for id_ in config.voters if id_ in known]
            having = [
                id_ for id_, disk in disks
                if disk.at(index) == entry or disk.base.index >= index
            ]
            if 2 * len(having) > len(config.voters):
                return
        raise SafetyViolation(f"{node.name} commits {index}, which is on {having} only")

    # -- running -----------------------------------------------------------------------------------

    def work(self, names: list[str] | None = None) -> None:
        """Let the members carry out their orders until none has any."""
        busy = True
        while busy:
            busy = False
            for node in self.nodes.values():
                while node.up and (names is None or node.name in names) and node.work():
                    busy = True

    def deliver(self, message: Message) -> None:
        """Hand a message over, through its plain form."""
        node = self.nodes.get(message.to)
        if node is None or not node.up or self.cut.get((message.sender, message.to)):
            return
        node.core.step(from_fields(to_fields(message), getattr(message, "payload", None)))

    def deliver_all(self, names: list[str] | None = None) -> bool:
        """Deliver what is under way now; tell whether there was anything."""
        batch: list[Message] = []
        for (source, target), link in self.links.items():
            if names is None or (source in names and target in names):
                batch += link
                link.clear()
        for message in batch:
            self.deliver(message)
        return bool(batch)

    def stabilize(self, names: list[str] | None = None, limit: int = 200) -> None:
        """Deliver and work until nothing happens any more."""
        self.work()
        while self.deliver_all(names):
            self.work()
            limit -= 1
            assert limit, "the members never come to rest"

    def send_snapshot(self, source: str, target: str) -> None:
        """Carry a snapshot over."""
        sender = self.nodes[source]
        taken = sender.snapshot()
        assert taken.base_config is not None
        index, config = taken.base_config
        message = m.InstallSnapshot(
            group=GROUP, sender=source, to=target, term=sender.core.term,
            index=taken.base.index, index_term=taken.base.term,
            config_index=index, config=config.to_fields(), payload=taken,
        )
        self.say(show(message), 2)
        self.links.setdefault((source, target), deque()).append(message)

    def leader(self) -> Node | None:
        """Return the leader of the highest term."""
        found = [node for node in self.nodes.values() if node.up and node.core.is_leader]
        return max(found, key=lambda node: node.core.term, default=None)


# -- rendering -------------------------------------------------------------------------------------


def show_config(config: Config) -> str:
    return " ".join(
        f"{member.id}{'' if member.voter else '?'}"
        f"{'' if member.priority == 1 else f':{member.priority:g}'}"
        for member in config.members
    )


def show(message: Message) -> str:
    """Write a message on one line."""
    return f"{message.sender}->{message.to} {_SHOW[type(message)](message)}"


def _append(x: m.Append) -> str:
    entries = ""
    if x.last_index > x.previous_index:
        terms = ",".join(f"{first}@{term}" for first, term in x.runs)
        entries = f" entries {terms}..{x.last_index}"
    return f"Append t{x.term} after {x.previous_index}@{x.previous_term}{entries} commit {x.commit}"


def _append_response(x: m.AppendResponse) -> str:
    if x.rejected:
        return f"AppendNo t{x.term} at {x.match} hint {x.hint_index}@{x.hint_term}"
    return f"AppendOk t{x.term} match {x.match} applied {x.applied}"


_SHOW: dict[type[Message], Any] = {
    m.Append: _append,
    m.AppendResponse: _append_response,
    m.Heartbeat: lambda x: f"Heartbeat t{x.term} commit {x.commit} round {x.round}",
    m.HeartbeatResponse: lambda x: f"HeartbeatOk t{x.term} round {x.round} applied {x.applied}",
    m.InstallSnapshot: lambda x: f"Snapshot t{x.term} {x.index}@{x.index_term}",
    m.PreVote: lambda x: f"PreVote t{x.term} log {x.last_index}@{x.last_term}",
    m.PreVoteResponse: lambda x: f"PreVote{'Yes' if x.granted else 'No'} t{x.term}",
    m.TimeoutNow: lambda x: f"TimeoutNow t{x.term}",
    m.Vote: lambda x: (
        f"Vote t{x.term} log {x.last_index}@{x.last_term}{' transfer' if x.transfer else ''}"
    ),
    m.VoteResponse: lambda x: f"Vote{'Yes' if x.granted else 'No'} t{x.term}",
}


def parse_config(words: list[str]) -> Config:
    """Read `a b? c:0`."""
    members = []
    for word in words:
        name, _, priority = word.partition(":")
        voter = not name.endswith("?")
        members.append(Member(name.rstrip("?"), voter, float(priority or 1)))
    return Config(tuple(members))
