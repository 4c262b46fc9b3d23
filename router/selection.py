"""Server selection: which members of a set a read preference allows (drivers' specification)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psdb_base.values import Document
from router.topology import PRIMARY, SECONDARY, ReplicaSet, Server

LATENCY_WINDOW_SECONDS: Final = 0.015
"""Of the members allowed, those this near to the fastest are taken in turn."""
MODES: Final = ("nearest", "primary", "primaryPreferred", "secondary", "secondaryPreferred")


@dataclass(frozen=True, slots=True)
class Preference:
    """A read preference: mode, tag sets in their order, largest staleness in seconds (0: any)."""

    mode: str = "primary"
    tag_sets: tuple[tuple[tuple[str, str], ...], ...] = ()
    staleness_max: float = 0.0

    def describe(self) -> str:
        """Return it as MongoDB's messages show it."""
        return f'{{ mode: "{self.mode}" }}'


PRIMARY_ONLY: Final = Preference()


def parse_preference(document: Any) -> Preference:
    """Read a `$readPreference`; whatever is wrong with it, its command's parser will say."""
    if type(document) is not dict or document.get("mode") not in MODES:
        return PRIMARY_ONLY
    tags: Any = document.get("tags")
    tag_sets = tuple(
        tuple(sorted((name, str(value)) for name, value in tag_set.items()))
        for tag_set in (tags if type(tags) is list else []) if type(tag_set) is dict
    )
    staleness: Any = document.get("maxStalenessSeconds", 0)
    seconds = float(staleness) if isinstance(staleness, int | float) else 0.0
    return Preference(document["mode"], tag_sets, max(seconds, 0.0))


def allowed(view: ReplicaSet, preference: Preference, heartbeat_seconds: float) -> list[Server]:
    """Return the members a read may go to, all equally good; none when none will do.

    Args:
        view: The set.
        preference: What the client wants.
        heartbeat_seconds: How often members are looked at; staleness cannot be known finer.

    """
    primary = view.primary
    mode = preference.mode
    if mode == "primary" or (mode == "primaryPreferred" and primary is not None):
        return [] if primary is None else [primary]
    secondaries = _tagged(
        _fresh(view, [one for one in view.servers if one.kind == SECONDARY], preference,
               heartbeat_seconds),
        preference,
    )
    if mode == "secondaryPreferred" and not secondaries:
        return [] if primary is None else [primary]
    if mode == "nearest":
        everyone = [one for one in view.servers if one.kind in (PRIMARY, SECONDARY)]
        return _near(_tagged(_fresh(view, everyone, preference, heartbeat_seconds), preference))
    return _near(secondaries)


def _fresh(
    view: ReplicaSet, servers: list[Server], preference: Preference, heartbeat_seconds: float
) -> list[Server]:
    """Leave out members whose last write lies too far behind."""
    if not preference.staleness_max:
        return servers
    primary = view.primary
    newest = max((one.last_write_ms or 0 for one in servers), default=0)

    def staleness(server: Server) -> float:
        if server.kind == PRIMARY:
            return 0.0
        write = (server.last_write_ms or 0) / 1000
        if primary is None:
            return newest / 1000 - write + heartbeat_seconds
        latest = (primary.last_write_ms or 0) / 1000
        return (server.updated - write) - (primary.updated - latest) + heartbeat_seconds

    return [one for one in servers if staleness(one) <= preference.staleness_max]


def _tagged(servers: list[Server], preference: Preference) -> list[Server]:
    """Return those that match the first tag set that any of them matches."""
    if not preference.tag_sets:
        return servers
    for tag_set in preference.tag_sets:
        found = [one for one in servers if all(tag in one.tags for tag in tag_set)]
        if found:
            return found
    return []


def _near(servers: list[Server]) -> list[Server]:
    fastest = min((one.round_trip for one in servers), default=0.0)
    return [one for one in servers if one.round_trip <= fastest + LATENCY_WINDOW_SECONDS]


_READS: Final = frozenset({
    "_configsvrGetShards", "_configsvrReadRouting", "aggregate", "collStats", "count", "dataSize",
    "dbStats", "distinct", "explain", "find", "listCollections", "listDatabases", "listIndexes",
})
"""Commands that a read preference moves; all others go to the primary."""


def preference_of(body: Document) -> Preference:
    """Return the read preference by which a command's member is chosen."""
    wanted = body.get("$readPreference")
    if wanted is None:
        return PRIMARY_ONLY
    name = next(iter(body), "")
    if name not in _READS or _writes(body):
        return PRIMARY_ONLY
    return parse_preference(wanted)


def _writes(body: Document) -> bool:
    """Tell whether a pipeline ends with `$out` or `$merge`: such go to the primary."""
    pipeline: Any = body.get("pipeline")
    if type(pipeline) is not list or not pipeline or type(pipeline[-1]) is not dict:
        return False
    return next(iter(pipeline[-1]), "") in ("$merge", "$out")


def may_send_again(body: Document) -> bool:
    """Tell whether a command may be carried out twice: a read, or a retryable write."""
    if "txnNumber" in body:
        return "autocommit" not in body
    name = next(iter(body), "")
    return name in _AGAIN and not _writes(body)


_AGAIN: Final = _READS | {"hello", "ping"}

_TWICE: Final = frozenset({
    "addShard", "addShardToZone", "balancerCollectionStatus", "balancerStart", "balancerStatus",
    "balancerStop", "clearJumboFlag", "configureCollectionBalancing", "enableSharding",
    "mergeAllChunksOnShard", "mergeChunks", "moveChunk", "movePrimary", "moveRange",
    "refineCollectionShardKey", "removeShard", "removeShardFromZone", "setAllowMigrations",
    "shardCollection",
    "updateZoneKeyRange",
})
_ONCE: Final = frozenset({"_shardsvrMoveRange"})
"""Its sender looks how it ended before it asks again."""


def is_idempotent(command: Document) -> bool:
    """Tell whether a command of the cluster's own may be carried out twice, one after the other."""
    name = next(iter(command), "")
    return name in _TWICE or (
        name.startswith(("_configsvr", "_shardsvr")) and name not in _ONCE
    )
