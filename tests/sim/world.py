"""A machine's simulated world: clock, randomness, disk, network, log."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

from sim.loop import OWNER, WORLD_OUTSIDE, SimLoop, SimulationError
from sim.network import Fabric
from simdisk import SimDisk

from psdb_base.world import Random, World

EPOCH_MS = 1_700_000_000_000
LINES_KEPT = 1024


@dataclass
class SimClock:
    """Wall time with an error of its own, and the loop's time.

    Attributes:
        skew_ms: How far the wall clock is wrong; may be changed at any time.
        drift: Seconds by which it goes wrong in one second.

    """

    loop: SimLoop
    skew_ms: int = 0
    drift: float = 0.0

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.loop.time() * (1 + self.drift) * 1000) + self.skew_ms

    def monotonic(self) -> float:
        return self.loop.time()


class UnexpectedLogLine(SimulationError):
    """A machine logged an error that no injected fault explains."""


class SimLog:
    """Keeps the last lines in memory; an error line fails the run unless it is expected.

    Args:
        loop: Told of an unexpected error.
        name: The machine's.

    Attributes:
        expected: Ids of lines of severity `E` or `F` that the injected faults explain.

    """

    def __init__(self, loop: SimLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self.expected: frozenset[int] = frozenset()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._warnings: deque[str] = deque(maxlen=LINES_KEPT)

    def write(
        self, severity: str, component: str, id_: int, message: str, attr: dict[str, Any]
    ) -> None:
        line = f"{self._loop.time():.6f} {self._name} {severity} {component} {id_} {message} {attr}"
        self.lines.append(line)
        if severity == "W":
            self._warnings.append(line)
        if severity in {"E", "F"} and id_ not in self.expected and not _is_dead():
            self._loop.fail(UnexpectedLogLine(line))

    def recent(self) -> list[str]:
        return list(self.lines)

    def warnings(self) -> list[str]:
        return list(self._warnings)


def _is_dead() -> bool:
    owner = OWNER.get()
    return owner is not WORLD_OUTSIDE and owner.dead


class SimMachine:
    """What outlives a machine's power: its name, its disk, its clock's error, its log.

    Attributes:
        disk: What the next start finds.
        starts: How often it was switched on.

    """

    def __init__(self, loop: SimLoop, fabric: Fabric, name: str, seed: int) -> None:
        self.loop = loop
        self.fabric = fabric
        self.name = name
        self.random = random.Random(f"machine {name} {seed}")
        self.clock = SimClock(loop)
        self.log = SimLog(loop, name)
        self.disk = SimDisk(self.random.getrandbits(32))
        self.starts = 0

    def world(self) -> World:
        """Return the world of the machine's next life: other random numbers, the same disk."""
        self.starts += 1
        numbers = Random(self.random.getrandbits(64), self.clock)
        network = self.fabric.network(self.name)
        return World(self.clock, numbers, self.disk, network, self.log)
