"""What scenarios share: guarded tasks, faults by weight, machines that come back, last answers.

A scenario draws everything from `rng`, in an order that its seeds depend on: whoever changes what
is drawn here changes every run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from sim.cluster import SimNode
from sim.loop import PowerLost, SimLoop
from sim.network import Fabric
from sim.workload import Violation

SETTLE_SECONDS_MAX = 60.0


class Trial(ABC):
    """One run of a scenario.

    Attributes:
        happened: What was done to the machines, with its time.
        counts: How often each fault was injected.

    """

    LOOK_SECONDS: ClassVar[float]
    """Between two looks at something that is waited for."""
    AWAY_SECONDS_MAX: ClassVar[float]
    """How long a machine stays without power at most."""
    AGAIN: ClassVar[float]
    """Chance of a machine to lose its power again while it starts."""
    FIRST_FAULT: ClassVar[str] = ""
    """The fault without which no run ends."""

    def __init__(self, rng: random.Random, plan: Any, loop: SimLoop, fabric: Fabric) -> None:
        self.rng = rng
        self.plan = plan
        self.loop = loop
        self.fabric = fabric
        self.happened: list[tuple[float, str]] = []
        self.counts = dict.fromkeys(self.faults, 0)
        self._background: list[asyncio.Task[None]] = []

    @abstractmethod
    def run(self) -> Any:
        """Run it; raises what broke."""

    @property
    @abstractmethod
    def nodes(self) -> Sequence[SimNode]:
        """The machines."""

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """Whether the clients stop."""

    @property
    @abstractmethod
    def faults(self) -> Mapping[str, Callable[[Any], Coroutine[Any, Any, None]]]:
        """What may be injected, by name; `plan.faults` has the weights."""

    def note(self, text: str) -> None:
        """Remember what was done."""
        self.happened.append((self.loop.time(), f"*** {text}"))

    def guarded(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task whose failure is the run's."""

        async def guard() -> None:
            try:
                await work
            except Exception as error:
                self.loop.fail(error)

        return self.loop.create_task(guard())

    async def chaos(self) -> None:
        """Inject faults until the clients stop."""
        rng, plan = self.rng, self.plan
        names = list(self.faults)
        weights = [plan.faults[name] for name in names]
        first = self.FIRST_FAULT
        while not self.stopping or first:
            await asyncio.sleep(rng.expovariate(1 / plan.pause_seconds))
            name = first or rng.choices(names, weights)[0]
            first = ""
            self.counts[name] += 1
            self.note(name)
            await self.faults[name](self)

    async def supervise(self, node: SimNode) -> None:
        """Bring a machine back whenever it lost its power; it may lose it again meanwhile."""
        while not self.stopping:
            await asyncio.sleep(self.LOOK_SECONDS)
            if node.is_on:
                continue
            await asyncio.sleep(self.rng.random() ** 3 * self.AWAY_SECONDS_MAX)
            with contextlib.suppress(PowerLost):
                starting = self.loop.create_task(node.start())
                if self.rng.random() < self.AGAIN:
                    node.cut_power_at(self.rng.randint(1, 25))
                await starting

    async def restart(self, node: SimNode) -> None:
        """Shut a server down in order and start it again."""
        with contextlib.suppress(PowerLost):
            await node.stop()
            if not node.is_on:
                await node.start()

    async def drop_connections(self) -> None:
        """Break some connections."""
        self.fabric.drop(self.rng.choice([1, 3, 10]))

    async def set_clock(self) -> None:
        """Set a machine's wall clock, also back."""
        node = self.rng.choice(self.nodes)
        node.machine.clock.skew_ms += self.rng.choice([-60_000, -1000, 1000, 60_000])

    async def answers(
        self, workers: Sequence[Any], tasks: Sequence[asyncio.Task[None]], began: float
    ) -> None:
        """Wait until every request is answered; with all faults over that may not take long."""
        while not all(task.done() for task in tasks):
            await asyncio.sleep(self.LOOK_SECONDS)
            if self.loop.time() > began + SETTLE_SECONDS_MAX:
                late = [w.name for w, task in zip(workers, tasks, strict=True) if not task.done()]
                raise Violation(f"no answer in {SETTLE_SECONDS_MAX} s for {late}")
