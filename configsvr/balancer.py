"""The balancer: moves ranges so that shards hold about the same number of bytes.

A round looks at each collection: first what is on draining shards or outside its zone, then the
difference between the fullest and the emptiest shard. Above three times the chunk size a range
of at most one chunk's size moves; a chunk is cut only by moving a part of it. A shard takes part
in at most one migration of a round. Neighbours on a shard are merged again, but not before
`autoMergerIntervalSecs` (an hour) have passed: what somebody has cut stays cut for a while.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.timestamp import Timestamp

from configsvr import chunks, moving, store, zones
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member

ROUND_SECONDS: Final = 5.0
BUSY_SECONDS: Final = 0.2
_TOO_UNEVEN: Final = 3
Move = tuple[str, Document, str, str]
"""Collection, the chunk's document, from, to."""


class Placement:
    """A collection's chunks as a round looks at them.

    Attributes:
        age: Grows when any of it changes.
        found: The collection.
        chunks: All its chunks, by bounds.
        zones: Its zones.

    """

    def __init__(self, member: Member, found: chunks.Map, known: Placement | None = None) -> None:
        self.found = found
        self.zones = zones.Zones(member, found)
        self.age = (found.row["timestamp"], found.version)
        self.chunks: list[Document] = (
            known.chunks if known is not None and known.age == self.age else found.chunks
        )


class Balancer:
    """The balancer of one config server.

    Attributes:
        rounds: How many rounds there were.
        in_round: One is under way.
        wake: Set to begin a round at once.
        merged_at: When neighbours were last merged, by the monotonic clock.

    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self.rounds = 0
        self.in_round = False
        self.wake = asyncio.Event()
        self.merged_at = member.world.clock.monotonic()
        self._placed: dict[str, Placement] = {}

    async def run(self) -> None:
        """Balance for ever."""
        while True:
            self.wake.clear()
            moved = 0
            if self.member.is_primary and is_on(self.member):
                self.in_round = True
                try:
                    moved = await self.round()
                except MongoError as error:
                    self.member.world.log.write(
                        "W", "SHARDING", 21865, "Balancing failed", {"error": str(error)}
                    )
                finally:
                    self.in_round = False
            try:
                async with asyncio.timeout(BUSY_SECONDS if moved else ROUND_SECONDS):
                    await self.wake.wait()
            except TimeoutError:
                pass

    async def round(self) -> int:
        """Do one round; return how many ranges moved."""
        member = self.member
        shards = store.documents(member, "shards")
        collections = store.documents(member, "collections")
        if len(shards) < 2 or not collections:
            return 0
        self.rounds += 1
        sizes = await owned_sizes(member)
        planned: list[Move] = []
        busy: set[str] = set()
        collections = [
            row for row in collections if store.find(member, "collections", row["_id"]) is not None
        ]  # some may have been dropped meanwhile
        self._placed = {
            row["_id"]: self._placed[row["_id"]] for row in collections
            if row["_id"] in self._placed
        }
        for row in collections:
            if row.get("noBalance") or not chunks.may_migrate(row):
                continue
            placed = self._place(row)
            move = plan(placed, shards, sizes.get(row["_id"], {}), busy)
            if move is not None:
                busy |= {move[2], move[3]}
                planned.append(move)
        if not planned:
            await self._merge(collections)
            return 0
        results = await asyncio.gather(*(self._move(*move) for move in planned))
        return sum(results)

    def _place(self, row: Document) -> Placement:
        """Return a collection's chunks; they are read again only when one has changed."""
        ns = row["_id"]
        found = chunks.Map(self.member, row)
        placed = self._placed[ns] = Placement(self.member, found, self._placed.get(ns))
        return placed

    async def _move(self, ns: str, chunk: Document, donor: str, recipient: str) -> int:
        """Move a chunk, or as much of it as a chunk may hold; mark one that cannot move."""
        member = self.member
        found = chunks.map_of(member, ns)
        size = chunks.chunk_bytes(member, found.row)
        try:
            high = await moving.cut_end(member, found, donor, chunk["min"], chunk["max"], size)
            await moving.move(
                member, ns, {"min": chunk["min"], "max": high}, recipient, bytes_max=2 * size
            )
        except MongoError as error:
            member.world.log.write(
                "W", "SHARDING", 21872, "Migration failed",
                {"namespace": ns, "from": donor, "to": recipient, "error": str(error)},
            )
            if error.code == Code.CHUNK_TOO_BIG:
                await _mark_jumbo(member, ns, chunk)
            return 0
        return 1

    async def _merge(self, collections: list[Document]) -> None:
        """Merge what lies together, where that is on."""
        member = self.member
        now = member.world.clock.monotonic()
        if now - self.merged_at < member.parameters["autoMergerIntervalSecs"]:
            return
        self.merged_at = now
        setting = store.find(member, "settings", "automerge")
        if setting is not None and not setting.get("enabled", True):
            return
        for row in collections:
            ns = row["_id"]
            is_there = store.find(member, "collections", ns) is not None
            if row.get("enableAutoMerge") is False or not is_there:
                continue
            seen = self._place(row)
            for shard in sorted({chunk["shard"] for chunk in seen.chunks}):
                owned = [chunk for chunk in seen.chunks if chunk["shard"] == shard]
                if not moving.runs_of(owned, seen.zones):
                    continue  # as nearly always; what changes meanwhile the next round sees
                async with moving.locked(member, ns):
                    await store.ready(member, "chunks")
                    if store.find(member, "collections", ns) is None:
                        break
                    count = moving.merge_runs(member, ns, shard)
                if count:
                    await store.note(member, "autoMerge", ns, {"shard": shard, "merged": count})


async def _mark_jumbo(member: Member, ns: str, chunk: Document) -> None:
    async with moving.locked(member, ns):
        await store.ready(member, "chunks")
        current = store.find(member, "chunks", chunk["_id"])
        if current is not None:
            version = chunks.map_of(member, ns).version
            store.write(member, [("chunks", {
                **current, "jumbo": True, "lastmod": Timestamp(version.time, version.inc + 1),
            })])


async def owned_sizes(member: Member) -> dict[str, dict[str, int]]:
    """Return by collection and shard how many bytes of documents it owns."""
    sizes: dict[str, dict[str, int]] = {}
    for row in store.documents(member, "shards"):
        reply = await member.sharding.peer(row["host"]).command("admin", {"_shardsvrOrphans": 1})
        for part in reply["collections"]:
            sizes.setdefault(part["ns"], {})[row["_id"]] = int(part["ownedSizeBytes"])
    return sizes


def is_on(member: Member) -> bool:
    """Tell whether the balancer may work now: switched on, and within its window."""
    setting = store.find(member, "settings", "balancer") or {}
    if setting.get("stopped") or setting.get("mode", "full") == "off":
        return False
    window = setting.get("activeWindow")
    if not window:
        return True
    now = int(member.world.clock.now_ms() // 60_000 % 1440)
    start, stop = (_minutes(window.get(side, "0:00")) for side in ("start", "stop"))
    return start <= now < stop if start <= stop else now >= start or now < stop


def _minutes(text: str) -> int:
    hours, _, minutes = str(text).partition(":")
    return int(hours or 0) * 60 + int(minutes or 0)


def plan(
    placed: Placement, shards: list[Document], sizes: dict[str, int],
    busy: set[str],
) -> Move | None:
    """Choose the next move of a collection, None when it is balanced."""
    by_name = {row["_id"]: row for row in shards}
    return (
        _off_draining(placed, by_name, sizes, busy)
        or _into_zone(placed, by_name, sizes, busy)
        or _even_out(placed, by_name, sizes, busy)
    )


def _emptiest(
    names: list[str], sizes: dict[str, int], busy: set[str]
) -> str | None:
    free = [name for name in names if name not in busy]
    return min(free, key=lambda name: (sizes.get(name, 0), name), default=None)


def _may_hold(by_name: dict[str, Document], zone: str | None) -> list[str]:
    """Return the shards that may hold a chunk of a zone (None: of no zone)."""
    return [
        name for name, row in by_name.items()
        if not row.get("draining") and (zone is None or zone in row.get("tags", []))
    ]


def _off_draining(
    placed: Placement, by_name: dict[str, Document], sizes: dict[str, int],
    busy: set[str],
) -> Move | None:
    for chunk in placed.chunks:
        donor = chunk["shard"]
        if donor in busy or not by_name.get(donor, {}).get("draining"):
            continue
        names = _may_hold(by_name, placed.zones.of(chunk))
        target = _emptiest(names, sizes, busy)
        if target is not None:
            return placed.found.ns, chunk, donor, target
    return None


def _into_zone(
    placed: Placement, by_name: dict[str, Document], sizes: dict[str, int],
    busy: set[str],
) -> Move | None:
    if not placed.zones.rows:
        return None
    for chunk in placed.chunks:
        zone = placed.zones.of(chunk)
        donor = chunk["shard"]
        if zone is None or donor in busy or zone in by_name[donor].get("tags", []):
            continue
        target = _emptiest(_may_hold(by_name, zone), sizes, busy)
        if target is not None:
            return placed.found.ns, chunk, donor, target
    return None


def _even_out(
    placed: Placement, by_name: dict[str, Document], sizes: dict[str, int],
    busy: set[str],
) -> Move | None:
    """Move from the fullest shard to the emptiest, within each zone by itself."""
    limit = _TOO_UNEVEN * placed.found.chunk_bytes
    of_zone: dict[str | None, list[Document]] = {}
    for chunk in placed.chunks:
        of_zone.setdefault(placed.zones.of(chunk), []).append(chunk)
    for zone, parts in of_zone.items():
        names = _may_hold(by_name, zone)
        target = _emptiest(names, sizes, busy)
        donors = [
            name for name in names
            if name not in busy and any(
                chunk["shard"] == name and not chunk.get("jumbo") for chunk in parts
            )
        ]
        donor = max(donors, key=lambda name: (sizes.get(name, 0), name), default=None)
        if donor is None or target is None or donor == target:
            continue
        if sizes.get(donor, 0) - sizes.get(target, 0) < limit:
            continue
        for chunk in parts:
            if chunk["shard"] == donor and not chunk.get("jumbo"):
                return placed.found.ns, chunk, donor, target
    return None


# -- commands ----------------------------------------------------------------------------------


def _balancer(request: Request) -> Balancer:
    found: Any = request.node
    balancer: Balancer = found.balancer
    return balancer


async def _set(member: Member, change: Document) -> None:
    await store.ready(member, "settings")
    row = store.find(member, "settings", "balancer") or {"_id": "balancer"}
    store.write(member, [("settings", {**row, **change})])
    await store.settled(member)


async def start(request: Request) -> Reply:
    """`balancerStart`."""
    await _set(member_of(request), {"mode": "full", "stopped": False})
    _balancer(request).wake.set()
    return {}


async def stop(request: Request) -> Reply:
    """`balancerStop`: returns when the round under way has ended."""
    await _set(member_of(request), {"mode": "off", "stopped": True})
    balancer = _balancer(request)
    while balancer.in_round:
        await asyncio.sleep(0.02)
        request.op.check()
    return {}


async def status(request: Request) -> Reply:
    """`balancerStatus`."""
    balancer = _balancer(request)
    setting = store.find(member_of(request), "settings", "balancer") or {}
    off = setting.get("stopped") or setting.get("mode") == "off"
    return {
        "mode": "off" if off else "full", "inBalancerRound": balancer.in_round,
        "numBalancerRounds": Int64(balancer.rounds), "term": Int64(1),
    }


async def collection_status(request: Request) -> Reply:
    """`balancerCollectionStatus`."""
    member, ns = member_of(request), str(request.target)
    split_namespace(ns)
    found = chunks.map_of(member, ns)
    size = found.chunk_bytes
    by_name = {row["_id"]: row for row in store.documents(member, "shards")}
    sizes = (await owned_sizes(member)).get(ns, {})
    placed = Placement(member, chunks.map_of(member, ns))
    reply: Document = {"chunkSize": size / 2**20, "balancerCompliant": True}
    for name, rule in (
        ("draining", _off_draining), ("zoneViolation", _into_zone),
        ("chunksImbalance", _even_out),
    ):
        if rule(placed, by_name, sizes, set()) is not None:
            reply |= {
                "balancerCompliant": False, "firstComplianceViolation": name, "details": {},
            }
            break
    return reply


async def configure(request: Request) -> Reply:
    """`configureCollectionBalancing`."""
    member, args, ns = member_of(request), request.args, str(request.target)
    split_namespace(ns)
    if args.get("defragmentCollection"):
        raise MongoError(
            Code.NOT_IMPLEMENTED, "defragmentCollection is not supported by PSDB yet"
        )
    size = args.get("chunkSize")
    if size is not None and not 0 <= size <= 1024:
        raise MongoError(Code.INVALID_OPTIONS, "invalid value for chunkSize: it must be between "
                         "1 and 1024 (megabytes)")
    await store.ready(member, "collections")
    row = store.find(member, "collections", ns)
    if row is None:
        raise MongoError(Code.NAMESPACE_NOT_SHARDED, f"Namespace {ns} is not sharded")
    changed = dict(row)
    if size == 0:
        changed.pop("maxChunkSizeBytes", None)
    elif size is not None:
        changed["maxChunkSizeBytes"] = Int64(int(size * 2**20))
    if "enableAutoMerger" in args:
        changed["enableAutoMerge"] = args["enableAutoMerger"]
    if "enableBalancing" in args:
        changed["noBalance"] = not args["enableBalancing"]
    changed["lastmod"] = DatetimeMS(member.world.clock.now_ms())
    store.write(member, [("collections", changed)])
    return {}


async def allow_migrations(request: Request) -> Reply:
    """`setAllowMigrations`: whether chunks of a collection may change hands at all."""
    member, ns = member_of(request), str(request.target)
    split_namespace(ns)
    await store.ready(member, "collections")
    row = store.find(member, "collections", ns)
    if row is None:
        raise MongoError(Code.NAMESPACE_NOT_SHARDED, f"Namespace {ns} is not sharded")
    changed = {name: value for name, value in row.items() if name != chunks.PERMITTED}
    if not request.args["allowMigrations"]:
        changed[chunks.PERMITTED] = False
    store.write(member, [("collections", changed)])
    return {}


COMMANDS = (
    Command(
        "balancerCollectionStatus", collection_status, target="string", admin_only=True,
        help="Whether a collection is balanced.",
    ),
    Command(
        "balancerStart", start, (Field("maxTimeMS", "any"),), target="any", admin_only=True,
        writes=True, write_concern=True, help="Switch the balancer on.",
    ),
    Command("balancerStatus", status, target="any", admin_only=True, help="What it does."),
    Command(
        "balancerStop", stop, (Field("maxTimeMS", "any"),), target="any", admin_only=True,
        writes=True, write_concern=True, help="Switch the balancer off.",
    ),
    Command(
        "configureCollectionBalancing", configure,
        (
            Field("chunkSize", "number"), Field("defragmentCollection", "bool"),
            Field("enableAutoMerger", "bool"), Field("enableBalancing", "bool"),
        ),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Settings of the balancer for a collection.",
    ),
    Command(
        "setAllowMigrations", allow_migrations, (Field("allowMigrations", "bool", required=True),),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Whether chunks of a collection may move.",
    ),
)
