"""Rounds of faults on a replica set under writers, and what must hold afterwards.

Each writer inserts documents with ids of its own, and counts its turns in one document, with
retryable writes and a socket timeout. An acknowledged insert must be there; a counter must stand
where its acknowledged increments put it: lower is a lost write, higher a write that happened twice.
A write that failed may have happened or not; only the restart of all members excuses one.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cluster.up import Cluster, wait_until
from pymongo.errors import AutoReconnect, PyMongoError

WRITERS = 8
SOCKET_MS = 2000
STOP_SECONDS = 10.0
PROBE_MS = 500
DATABASE = "failover"


@dataclass
class Round:
    """One fault and how long fresh operations found no server, in seconds."""

    kind: str
    unavailable: float
    client_errors: list[str] = field(default_factory=list)


@dataclass
class Written:
    """What one writer knows of its writes."""

    inserted: list[int] = field(default_factory=list)
    unsure_inserts: list[int] = field(default_factory=list)
    counted: int = 0
    unsure_counts: int = 0


class Workload:
    """Writers and a prober on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.written = [Written() for _ in range(WRITERS)]
        self.errors: list[str] = []
        self.probes: list[float] = []
        self._ending = threading.Event()
        self._threads = [
            *(threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)),
            threading.Thread(target=self._probe),
        ]

    def start(self) -> None:
        """Let the writers begin."""
        client = self.cluster.client()
        client[DATABASE].counters.insert_many([{"_id": n, "n": 0} for n in range(WRITERS)])
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let each finish what it does."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a writer hangs"

    def _write(self, number: int) -> None:
        mine = self.written[number]
        client = self.cluster.client(socketTimeoutMS=SOCKET_MS, serverSelectionTimeoutMS=20_000)
        database = client[DATABASE]
        turn = 0
        while not self._ending.is_set():
            turn += 1
            try:
                database.inserts.insert_one({"_id": number * 10_000_000 + turn})
                mine.inserted.append(turn)
            except PyMongoError as error:
                mine.unsure_inserts.append(turn)
                self.errors.append(f"insert: {error!r}")
            try:
                database.counters.update_one({"_id": number}, {"$inc": {"n": 1}})
                mine.counted += 1
            except PyMongoError as error:
                mine.unsure_counts += 1
                self.errors.append(f"count: {error!r}")
            time.sleep(0.01)

    def _probe(self) -> None:
        """Note when each of a stream of short operations succeeded."""
        client = self.cluster.client(socketTimeoutMS=PROBE_MS, serverSelectionTimeoutMS=20_000)
        while not self._ending.is_set():
            try:
                client[DATABASE].probes.insert_one({})
            except AutoReconnect:
                continue
            self.probes.append(time.monotonic())
            time.sleep(0.01)

    def longest_gap(self, start: float, end: float) -> float:
        """Return the longest time without a successful probe between two moments."""
        moments = [start, *(one for one in self.probes if start < one < end), end]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def check(self) -> None:
        """Hold what the set has against what was acknowledged."""
        database = self.cluster.client()[DATABASE]
        stored = {row["_id"] for row in database.inserts.find({}, {"_id": 1})}
        for number, mine in enumerate(self.written):
            base = number * 10_000_000
            lost = [turn for turn in mine.inserted if base + turn not in stored]
            assert not lost, f"writer {number}: acknowledged inserts are gone: {lost[:10]}"
            counter = database.counters.find_one({"_id": number})
            assert counter is not None
            least, most = mine.counted, mine.counted + mine.unsure_counts
            assert least <= counter["n"] <= most, (
                f"writer {number}: the counter is at {counter['n']}, not in [{least}, {most}]"
            )
        known = {
            number * 10_000_000 + turn
            for number, mine in enumerate(self.written)
            for turn in (*mine.inserted, *mine.unsure_inserts)
        }
        assert stored <= known


def kill_primary(cluster: Cluster, members: list[str]) -> None:
    """End the primary's process at once."""
    cluster.signal(_primary(cluster, members), signal.SIGKILL)


def stop_primary(cluster: Cluster, members: list[str]) -> None:
    """Freeze the primary's process for some time."""
    address = _primary(cluster, members)
    cluster.signal(address, signal.SIGSTOP)
    threading.Timer(
        STOP_SECONDS, lambda: cluster.signal(address, signal.SIGCONT)
    ).start()


def step_down(cluster: Cluster, members: list[str]) -> None:
    """Order the primary to hand office over."""
    cluster.direct(_primary(cluster, members)).admin.command("replSetStepDown", 10)


def restart_all(cluster: Cluster, members: list[str]) -> None:
    """End all members' processes at once; the supervisor starts them again."""
    for address in members:
        cluster.signal(address, signal.SIGKILL)


def _primary(cluster: Cluster, members: list[str]) -> str:
    found: str = wait_until("a primary", lambda: cluster.primary(members))
    return found


FAULTS: dict[str, Callable[[Cluster, list[str]], None]] = {
    "kill -9 of the primary": kill_primary,
    "SIGSTOP of the primary": stop_primary,
    "replSetStepDown": step_down,
    "kill -9 of all members": restart_all,
}
EXCUSED = "kill -9 of all members"


def play(cluster: Cluster, members: list[str], kinds: list[str]) -> list[Round]:
    """Run rounds of faults under the workload; check everything at the end."""
    work = Workload(cluster)
    work.start()
    rounds = []
    try:
        for kind in kinds:
            wait_until("all members serve", lambda: cluster.all_serve(members), 60)
            _settle(work)
            wait_until("no news of the topology", lambda: _is_quiet(cluster, members))
            before = len(work.errors)
            start = time.monotonic()
            FAULTS[kind](cluster, members)
            if kind == "SIGSTOP of the primary":
                time.sleep(STOP_SECONDS + 1)
            wait_until("all members serve again", lambda: cluster.all_serve(members), 60)
            _settle(work)
            rounds.append(Round(
                kind, work.longest_gap(start, time.monotonic()), work.errors[before:]
            ))
    finally:
        work.end()
    work.check()
    wait_until("equal data", lambda: cluster.same_data(members, DATABASE))
    for one in rounds:
        if one.kind != EXCUSED:
            assert not one.client_errors, f"{one.kind}: {one.client_errors[:3]}"
    return rounds


def _settle(work: Workload) -> None:
    """Wait for some successful probes in a row."""
    count = len(work.probes)
    wait_until("probes succeed", lambda: len(work.probes) >= count + 10, 60)


def _is_quiet(cluster: Cluster, members: list[str]) -> bool:
    """Tell whether no member had news for its clients for a moment.

    News that a primary sent before its death may be read after its death was noticed: the driver
    takes it for the primary again then, and its one retry finds nobody there.
    """
    before = _counters(cluster, members)
    time.sleep(0.3)
    return _counters(cluster, members) == before


def _counters(cluster: Cluster, members: list[str]) -> list[int]:
    found = []
    for address in members:
        with cluster.direct(address) as client:
            found.append(client.admin.command("hello")["topologyVersion"]["counter"])
    return found


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Return median and longest unavailability, and all of them by kind."""
    times = sorted(one.unavailable for one in rounds if one.kind != EXCUSED)
    return {
        "median": times[len(times) // 2],
        "longest": times[-1],
        "by kind": {
            kind: [round(one.unavailable, 3) for one in rounds if one.kind == kind]
            for kind in FAULTS
        },
    }
