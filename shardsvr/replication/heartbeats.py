"""What members tell each other of themselves, every two seconds.

It serves `replSetGetStatus`, and tells which dbpath stands behind an address.

Raft's own heartbeats keep office and carry the commit index; these carry what people want to read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.errors import MongoError
from psdb_base.values import Document

if TYPE_CHECKING:
    from shardsvr.replication.replica_set import ReplicaSet


@dataclass(slots=True)
class PeerView:
    """What a member last said of itself.

    Attributes:
        member_id: The id of the dbpath behind the address.
        healthy: Its last answer came.
        state: By MongoDB's numbers.
        applied, durable: Its log positions: `{ts, t}`.
        applied_wall, durable_wall: Their wall times, ms.
        last_sent, last_received: Wall times of the last answer from it and request of it, ms.
        ping_ms: Time that an answer took, averaged.
        up_since: Wall time since when it answers, ms.
        frozen: It does not stand for election for now.
        error: Why it does not answer.

    """

    member_id: str = ""
    healthy: bool = False
    state: int = 6
    applied: Document | None = None
    durable: Document | None = None
    applied_wall: int = 0
    durable_wall: int = 0
    last_sent: int = 0
    last_received: int = 0
    ping_ms: float = 0.0
    up_since: int = 0
    config_version: int = -1
    config_term: int = -1
    election_time: Timestamp = Timestamp(0, 0)  # noqa: RUF009 -- immutable
    election_wall: int = 0
    sync_source: str = ""
    has_data: bool = False
    frozen: bool = False
    set_name: str = ""
    set_id: str = ""
    error: str = ""


def op_time(time: Timestamp, term: int) -> Document:
    """Return a log position as MongoDB shows it."""
    return {"ts": time, "t": Int64(term)}


class Heartbeats:
    """Asks all other members of the configuration how they are.

    Attributes:
        views: By address.

    """

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self.views: dict[str, PeerView] = {}
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._asking: dict[str, asyncio.Task[PeerView]] = {}

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
        for task in self._asking.values():
            task.cancel()

    def hurry(self) -> None:
        """Ask at once: something changed here."""
        self._hurry.set()

    def view(self, host: str) -> PeerView:
        """Return what is known of an address."""
        return self.views.setdefault(host, PeerView())

    async def _run(self) -> None:
        while True:
            config = self._set.config
            seconds = 2.0
            if config is not None:
                seconds = config.settings["heartbeatIntervalMillis"] / 1000
                for row in config.members:
                    if row.member_id != self._set.member.engine.member.id:
                        self._ask(row.host)
            self._hurry.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(0.02)  # several reasons at once are one

    def _ask(self, host: str) -> None:
        if host not in self._asking:
            task = asyncio.get_running_loop().create_task(self.ask(host))
            self._asking[host] = task
            task.add_done_callback(lambda _: self._asking.pop(host, None))

    async def ask(self, host: str) -> PeerView:
        """Ask one member; the view tells whether it answered."""
        member, view = self._set.member, self.view(host)
        config = self._set.config
        seconds = 10.0 if config is None else float(config.settings["heartbeatTimeoutSecs"])
        started = member.world.clock.monotonic()
        try:
            reply = await self._set.peers.request(
                host, {"_replSetHeartbeat": 1, **describe(self._set)}, min(seconds, 10.0)
            )
        except MongoError as error:
            if view.healthy or not view.error:
                member.world.log.write(
                    "I", "REPL_HB", 23974, "Heartbeat failed",
                    {"target": host, "error": str(error)},
                )
            view.healthy, view.error, view.state = False, error.message, 8
            return view
        elapsed_ms = (member.world.clock.monotonic() - started) * 1000
        now = member.world.clock.now_ms()
        if not view.healthy:
            view.up_since = now
            view.ping_ms = elapsed_ms
        view.ping_ms += (elapsed_ms - view.ping_ms) * 0.2
        view.healthy, view.error, view.last_sent = True, "", now
        self.take(view, reply)
        if reply.get("removed"):
            self._set.was_removed()
        await self._set.look_at(host, view)
        return view

    def take(self, view: PeerView, said: Document) -> None:
        """Take in what a member said of itself."""
        view.member_id = str(said.get("memberId", ""))
        view.state = int(said.get("state", 6))
        view.applied, view.durable = said.get("applied"), said.get("durable")
        view.applied_wall = int(said.get("appliedWall", 0))
        view.durable_wall = int(said.get("durableWall", 0))
        view.config_version = int(said.get("configVersion", -1))
        view.config_term = int(said.get("configTerm", -1))
        view.election_time = said.get("electionTime") or Timestamp(0, 0)
        view.election_wall = int(said.get("electionWall", 0))
        view.sync_source = str(said.get("syncSource", ""))
        view.has_data = bool(said.get("hasData", False))
        view.frozen = bool(said.get("frozen", False))
        view.set_name = str(said.get("set", ""))
        view.set_id = str(said.get("setId", ""))
        time: Any = said.get("time")
        if type(time) is Timestamp:
            self._set.member.clock.observe(time)
        self._note_unwilling()

    def _note_unwilling(self) -> None:
        """Tell the core which members do not stand for election."""
        config, driver = self._set.config, self._set.driver
        if config is None or driver is None:
            return
        driver.core.unwilling = tuple(
            row.member_id for row in config.members
            if row.host in self.views and self.views[row.host].frozen
        )

    def received(self, said: Document) -> None:
        """Take in another member's question, which tells of it as an answer does."""
        host = str(said.get("host", ""))
        config = self._set.config
        if config is not None and config.by_host(host) is not None:
            view = self.view(host)
            view.last_received = self._set.member.world.clock.now_ms()
            self.take(view, said)


def describe(replica_set: ReplicaSet) -> Document:
    """Return what a member says of itself."""
    member, config = replica_set.member, replica_set.config
    engine = member.engine
    leader = replica_set.leader
    driver = replica_set.driver
    return {
        "set": replica_set.name,
        "setId": "" if driver is None else driver.core.group,
        "host": replica_set.own_host,
        "memberId": engine.member.id,
        "state": replica_set.state,
        "term": Int64(replica_set.term),
        "hasData": engine.log_end > 0,
        "applied": op_time(engine.last_timestamp, engine.received.applied.term),
        "appliedWall": DatetimeMS(engine.last_wall),
        "durable": op_time(engine.last_timestamp, engine.received.applied.term),
        "durableWall": DatetimeMS(engine.last_wall),
        "configVersion": -1 if config is None else config.version,
        "configTerm": Int64(-1 if config is None else config.term),
        "electionTime": replica_set.election_time,
        "electionWall": Int64(replica_set.election_wall),
        "syncSource": "" if replica_set.is_primary or leader is None else leader.host,
        "frozen": driver is not None and driver.core.frozen > 0,
        "time": member.clock.now,
    }
