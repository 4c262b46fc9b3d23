"""A seeded storm over the laboratory: any message lost, late, twice or out of order, any crash.

The referee watches every step (safety). Then the storm ends, and the group has to elect, commit
and come to equal states within a bounded time (liveness).
"""

from __future__ import annotations

import random
from collections import Counter

from raft.lab import ENTRY_BYTES, Lab, Node

from psdb_raft.messages import Message
from psdb_raft.values import Config, Member, Settings

CALM_TICKS = 400


class NoProgress(AssertionError):
    """The storm is over, and the group does not work."""


class Storm:
    """One run.

    Attributes:
        lab: The members.
        seen: How often each thing happened.

    """

    def __init__(self, seed: int, steps: int = 400) -> None:
        rng = self.rng = random.Random(f"storm {seed}")
        self.lab = Lab(rng.getrandbits(32), quiet=True)
        self.steps = steps
        self.seen: Counter[str] = Counter()
        self.names = [f"m{n}" for n in range(rng.choice([1, 2, 3, 3, 3, 4, 5, 5]))]
        self.settings = Settings(
            election_ticks=10, heartbeat_ticks=2, disk_ticks=30, takeover_ticks=20,
            append_entries=rng.choice([1, 3, 100]), append_bytes=rng.choice([150, 1000, 1 << 20]),
            window_messages=rng.choice([1, 2, 16]), window_bytes=rng.choice([ENTRY_BYTES, 1 << 20]),
        )  # fmt: skip
        config = Config(tuple(
            Member(name, priority=rng.choice([0, 1, 1, 1, 2]) if n else 1)
            for n, name in enumerate(self.names)
        ))
        for name in self.names:
            self.lab.add(name, config, [1], self.settings)
        self.wiped = 0
        self.loss = rng.choice([0.0, 0.05, 0.3])
        self.again = rng.choice([0.0, 0.1])
        self.disorder = rng.choice([0.0, 0.3])
        self.actions = {
            self.deliver: 60, self.tick: 25, self.propose: 15, self.sync: 12, self.hold: 2,
            self.crash: rng.choice([0, 1, 3]), self.restart: 3, self.cut: rng.choice([0, 1, 2]),
            self.heal: 1, self.compact: 1, self.snapshots: 4, self.transfer: 1, self.config: 1,
            self.read: 2, self.hurry: rng.choice([0, 1]), self.unreachable: 1, self.step_down: 0.3,
            self.wipe: rng.choice([0, 0, 0.3]), self.timeout: 1,
        }  # fmt: skip

    def run(self) -> None:
        """Storm, then calm."""
        actions = list(self.actions)
        weights = list(self.actions.values())
        for _ in range(self.steps):
            action = self.rng.choices(actions, weights)[0]
            self.seen[action.__name__] += 1
            action()
            self.work()
        self.calm()

    def work(self) -> None:
        for node in self.lab.nodes.values():
            while node.up and node.work():
                pass

    def up(self) -> list[Node]:
        return [node for node in self.lab.nodes.values() if node.up]

    def leader(self) -> Node | None:
        leaders = [node for node in self.up() if node.core.is_leader]
        return self.rng.choice(leaders) if leaders else None

    # -- what happens ------------------------------------------------------------------------------

    def deliver(self) -> None:
        links = [link for link in self.lab.links.values() if link]
        for link in self.rng.sample(links, min(len(links), 3)):
            if self.rng.random() < self.disorder:
                link.rotate(self.rng.randrange(len(link)))
            message: Message = link.popleft()
            if self.rng.random() < self.loss:
                continue
            if self.rng.random() < self.again:
                link.append(message)
            self.lab.deliver(message)

    def tick(self) -> None:
        count = self.rng.choice([1, 1, 1, 3])
        for node in self.up():
            if self.rng.random() < 0.9:
                for _ in range(count):
                    node.core.tick()
                    while node.work():
                        pass

    def timeout(self) -> None:
        node = self.rng.choice(list(self.lab.nodes.values()))
        if node.up and not node.core.is_leader:
            node.core.elapsed = node.core.timeout

    def propose(self) -> None:
        leader = self.leader()
        if leader is not None:
            for _ in range(self.rng.choice([1, 1, 5])):
                leader.propose("x")

    def hold(self) -> None:
        self.rng.choice(list(self.lab.nodes.values())).auto = False

    def sync(self) -> None:
        for node in self.up():
            if node.queue and self.rng.random() < 0.5:
                node.sync(self.rng.choice([1, 1, 2, None]))
            elif self.rng.random() < 0.3:
                node.auto = True

    def crash(self) -> None:
        node = self.rng.choice(list(self.lab.nodes.values()))
        if node.up:
            for _ in range(self.rng.randrange(2)):
                node.sync(1)
            node.crash()

    def restart(self) -> None:
        for node in self.lab.nodes.values():
            if not node.up and self.rng.random() < 0.5:
                node.boot()

    def cut(self) -> None:
        names = list(self.lab.nodes)
        if self.rng.random() < 0.3:
            side = [name for name in names if self.rng.random() < 0.5]
            for one in side:
                for other in names:
                    if other not in side:
                        self.lab.cut[one, other] = self.lab.cut[other, one] = True
        elif len(names) > 1:
            one, other = self.rng.sample(names, 2)
            self.lab.cut[one, other] = True

    def heal(self) -> None:
        self.lab.cut.clear()

    def compact(self) -> None:
        node = self.rng.choice(list(self.lab.nodes.values()))
        at = min(node.core.applied, node.disk.last) if node.up else 0
        if at > node.image.base.index and not node.queue:
            node.compact(self.rng.randint(node.image.base.index + 1, at))

    def snapshots(self) -> None:
        wanted, self.lab.snapshots = self.lab.snapshots, []
        for source, target in wanted:
            sender = self.lab.nodes[source]
            if not sender.up or not sender.core.is_leader:
                continue
            if sender.image.base_config is None and not sender.core.applied:
                continue
            index = sender.core.applied
            if self.rng.random() < 0.2:
                sender.core.snapshot_finished(target, None)
                continue
            self.lab.send_snapshot(source, target)
            sender.core.snapshot_finished(target, index)

    def transfer(self) -> None:
        leader = self.leader()
        if leader is not None:
            leader.core.transfer(self.rng.choice([None, *self.lab.nodes]))

    def config(self) -> None:
        """Ask for a change of the membership; most are refused."""
        leader = self.leader()
        if leader is None:
            return
        rng, members = self.rng, list(leader.core.config.members)
        absent = [name for name in self.lab.nodes if leader.core.config.find(name) is None]
        roll = rng.random()
        if roll < 0.4 and absent:
            members.append(Member(rng.choice(absent), voter=False))
        elif roll < 0.8:
            at = rng.randrange(len(members))
            old = members[at]
            members[at] = Member(old.id, rng.random() < 0.8, rng.choice([0, 1, 1, 2]))
        else:
            members.pop(rng.randrange(len(members)))
        config = Config(tuple(members))
        if len(config.voters) < min(2, len(leader.core.config.voters)):
            return
        if not any(m.voter and m.priority and m.id in self.lab.nodes for m in members):
            return
        if leader.core.check_config(config) is None:
            self.seen["config changed"] += 1
            leader.propose("config", config)

    def read(self) -> None:
        leader = self.leader()
        if leader is not None:
            leader.core.read_index((len(self.lab.referee.committed), self.lab.referee.top))

    def hurry(self) -> None:
        self.rng.choice(list(self.lab.nodes.values())).core.campaign_now()

    def unreachable(self) -> None:
        leader = self.leader()
        if leader is not None:
            leader.core.unreachable(self.rng.choice(list(self.lab.nodes)))

    def step_down(self) -> None:
        leader = self.leader()
        if leader is not None:
            leader.core.step_down(self.rng.choice([0, 5]))

    def wipe(self) -> None:
        """Replace a member by an empty one, which has another id; at most one a run."""
        if self.wiped or len(self.names) < 4:
            return
        self.wiped += 1
        name = self.rng.choice(self.names)
        gone = self.lab.nodes.pop(name)
        gone.crash()
        self.lab.gone[name] = gone
        self.lab.add(f"{name}x", None, [], self.settings)
        self.lab.cut = {pair: True for pair in self.lab.cut if name not in pair}

    # -- the end -----------------------------------------------------------------------------------

    def calm(self) -> None:
        """End all faults; the group has to work again."""
        self.loss = self.again = self.disorder = 0.0
        self.lab.cut.clear()
        for node in self.lab.nodes.values():
            node.auto = True
            if not node.up:
                node.boot()
            node.sync()
            node.core.freeze(0)
        goal = term = None
        for _ in range(CALM_TICKS):
            for node in self.lab.nodes.values():
                node.core.tick()
            self.work()
            for _ in range(4):
                self.lab.deliver_all()
                self.work()
            self.snapshots()
            leader = self.lab.leader()
            if leader is not None and leader.core.in_office and term != leader.core.term:
                leader.propose("last")
                goal, term = leader.image.last, leader.core.term
            if goal is not None and self._done(goal):
                self._check_reads()
                return
        raise NoProgress(f"after {CALM_TICKS} calm ticks: goal {goal}")

    def _done(self, goal: int) -> bool:
        """Tell whether the last entry is committed, and all members know it."""
        leader = self.lab.leader()
        if leader is None or self.lab.referee.top < goal:
            return False
        members = [
            self.lab.nodes[member.id] for member in leader.core.config.members
            if member.id in self.lab.nodes
        ]
        top = leader.core.commit
        return all(len(node.state) == top for node in members)

    def _check_reads(self) -> None:
        for node in self.lab.nodes.values():
            for (_, top), index in node.reads:
                if index is not None and index < top:
                    raise AssertionError(f"a read saw {index} after {top} was committed")
