"""Writers on a sharded cluster of replica sets while it is balanced and its processes are killed.

Each writer counts up documents of its own, by their shard key and without it, inserts documents
and moves some to other keys of the same chunk; all are retried by the driver. Half of the
writers go through either router. In the end every acknowledged write must be there, once.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.up import Client, Cluster, wait_until
from pymongo.errors import PyMongoError

WRITERS = 8
NS = "balanced.items"
PAD = "x" * 900


@dataclass
class Known:
    """What one writer knows: its documents with their counts, and those it cannot be sure of."""

    counts: dict[int, int] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)


class Writers:
    """Eight clients of two routers.

    Attributes:
        known: What each may expect.
        errors: What the driver could not hide.

    """

    def __init__(self, cluster: Cluster, documents: int) -> None:
        self.cluster = cluster
        self.documents = documents
        self.known = [Known() for _ in range(WRITERS)]
        self.errors: list[str] = []
        self.scans = 0
        self._ending = threading.Event()
        routers = cluster.uri.removeprefix("mongodb://").partition("/")[0].split(",")
        self.routers: list[Client] = [
            cluster.direct(address) for address in routers
        ]
        self._threads = [
            *(threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)),
            threading.Thread(target=self._scan),
        ]

    def load(self) -> None:
        """Insert what is there from the beginning: `k` of writer w is w modulo the writers."""
        items = self.routers[0].get_database("balanced").items
        items.insert_many([
            {"_id": k, "k": k, "n": 0, "pad": PAD} for k in range(self.documents)
        ])
        for k in range(self.documents):
            self.known[k % WRITERS].counts[k] = 0

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let each finish what it does."""
        self._ending.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a writer hangs"

    def _write(self, number: int) -> None:
        chance, mine = random.Random(number), self.known[number]
        items = self.routers[number % len(self.routers)].balanced.items
        fresh = itertools.count(self.documents + number, WRITERS)
        keys = list(mine.counts)
        while not self._ending.is_set():
            kind = chance.random()
            k = chance.choice(keys)
            try:
                if kind < 0.3:
                    k = next(fresh)
                    mine.counts[k] = 0
                    items.insert_one({"_id": k, "k": k % self.documents + 0.5, "n": 0, "pad": PAD})
                    continue
                query = {"k": k} if kind < 0.9 else {"_id": k}
                if kind < 0.6:
                    done = items.update_one(query, {"$inc": {"n": 1}}).matched_count
                else:
                    done = items.find_one_and_update(query, {"$inc": {"n": 1}}) is not None
                mine.counts[k] += 1
                if not done:
                    self.errors.append(f"{query} was not found")
                    return
            except PyMongoError as error:
                mine.unsure.add(k)
                self.errors.append(f"{kind:.1f} {k}: {error!r}")
            time.sleep(0.005)

    def _scan(self) -> None:
        """See that what was there from the beginning is seen once by every scan."""
        items = self.routers[-1].balanced.items
        while not self._ending.is_set():
            try:
                seen = [row["_id"] for row in items.find(
                    {"_id": {"$lt": self.documents}}, {"_id": 1}, batch_size=500
                )]
            except PyMongoError:
                continue  # a cursor does not survive its member
            self.scans += 1
            if sorted(seen) != list(range(self.documents)):
                twice = len(seen) - len(set(seen))
                missing = sorted(set(range(self.documents)) - set(seen))[:10]
                self.errors.append(f"a scan shows {twice} twice and misses {missing}")
                return
            time.sleep(0.2)

    def check(self) -> None:
        """Hold what the cluster has against what was acknowledged."""
        for router in self.routers:
            rows = list(router.balanced.items.find({}, {"n": 1}))
            found = {row["_id"]: row["n"] for row in rows}
            assert len(found) == len(rows), "documents are there twice"
            assert router.balanced.items.count_documents({}) == len(rows)
            for mine in self.known:
                wrong = {
                    k: (found.get(k), n) for k, n in mine.counts.items()
                    if found.get(k) != n and k not in mine.unsure
                }
                assert not wrong, f"(found, acknowledged): {list(wrong.items())[:10]}"
            assert set(found) <= {k for mine in self.known for k in mine.counts}


def migration_after(client: Client, count: int) -> dict[str, Any] | None:
    """Return the newest migration when more than `count` have begun."""
    begun = client.config.changelog.count_documents({"what": "moveChunk.start"})
    if begun <= count:
        return None
    newest = client.config.changelog.find({"what": "moveChunk.start"}).sort("time", -1).limit(1)
    found: dict[str, Any] = next(iter(newest))["details"]
    return found


def kill(cluster: Cluster, client: Client, role: str, pause: float) -> None:
    """`kill -9` the primary of the next migration's donor (`from`), recipient or config servers.

    Args:
        cluster: Where.
        client: A router's.
        role: `from`, `to` or `config`.
        pause: Seconds between the migration's beginning and the signal.

    """
    begun = client.config.changelog.count_documents({"what": "moveChunk.start"})
    details = wait_until("a migration", lambda: migration_after(client, begun), 90)
    members = cluster.addresses("config" if role == "config" else details[role])
    address = wait_until("a primary", lambda: cluster.primary(members))
    time.sleep(pause)
    cluster.signal(address, signal.SIGKILL)


def is_balanced(client: Client, shards: int) -> bool:
    """Tell whether the balancer has nothing to do and each shard has a part."""
    if not client.admin.command("balancerCollectionStatus", NS)["balancerCompliant"]:
        return False
    uuid = client.config.collections.find_one({"_id": NS})
    assert uuid is not None
    return len(client.config.chunks.distinct("shard", {"uuid": uuid["uuid"]})) == shards


def check_rest(cluster: Cluster, client: Client, shards: list[str]) -> None:
    """See that every document is on one shard, the same on its members, and the catalogue whole."""
    total = client.balanced.items.count_documents({})

    def tidy() -> bool:
        held = 0
        for shard in shards:
            primary = cluster.primary(cluster.addresses(shard))
            if primary is None:
                return False
            held += cluster.direct(primary).balanced.items.count_documents({})
        return held == total

    wait_until("orphans are gone", tidy, 60)
    for shard in shards:
        addresses = cluster.addresses(shard)
        wait_until("equal data", lambda a=addresses: cluster.same_data(a, "balanced"))
    reply = client.admin.command("checkMetadataConsistency")
    assert reply["cursor"]["firstBatch"] == []


def play(cluster: Cluster, documents: int, rounds: list[tuple[str, float]]) -> Writers:
    """Balance from one shard to all under writers, with a kill in each round; check at the end."""
    shards = sorted({
        row["replica_set"] for row in cluster.processes() if row["role"] == "shardsvr"
    })
    writers = Writers(cluster, documents)
    client = writers.routers[0]
    client.admin.command("balancerStop")
    client.config.settings.update_one(
        {"_id": "chunksize"}, {"$set": {"value": 1}}, upsert=True
    )
    client.admin.command("shardCollection", NS, key={"k": 1})
    writers.load()
    writers.start()
    try:
        client.admin.command("balancerStart")
        for role, pause in rounds:
            kill(cluster, client, role, pause)
        wait_until("balanced", lambda: is_balanced(client, len(shards)), 120)
    finally:
        writers.end()
    writers.check()
    check_rest(cluster, client, shards)
    assert not writers.errors, writers.errors[:5]
    assert writers.scans
    return writers


# -- changes of the catalogue over failovers ----------------------------------------------------


class Adders:
    """Two clients that add one to documents of a collection while it changes hands."""

    def __init__(self, collections: list[Any], documents: int) -> None:
        self.counts = dict.fromkeys(range(documents), 0)
        self.unsure: set[int] = set()
        self.errors: list[str] = []
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._add, args=(number, collection))
            for number, collection in enumerate(collections)
        ]
        for thread in self._threads:
            thread.start()

    def _add(self, number: int, collection: Any) -> None:
        chance = random.Random(number)
        while not self._ending.is_set():
            k = chance.randrange(number, len(self.counts), len(self._threads))
            try:
                done = collection.update_one({"k": k}, {"$inc": {"n": 1}})
            except PyMongoError as error:
                self.unsure.add(k)
                self.errors.append(f"{k}: {error!r}")
                continue
            self.counts[k] += 1
            if done.matched_count != 1:
                self.errors.append(f"{k} was not found")
                return
            time.sleep(0.002)

    def end(self) -> None:
        """Let each finish what it does."""
        self._ending.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a writer hangs"

    def check(self, collection: Any) -> None:
        """Hold what is there against what was acknowledged."""
        rows = list(collection.find({}, {"k": 1, "n": 1}))
        assert sorted(row["k"] for row in rows) == sorted(self.counts)
        found = {row["k"]: row["n"] for row in rows}
        wrong = {
            k: (found[k], n) for k, n in self.counts.items()
            if found[k] != n and k not in self.unsure
        }
        assert not wrong, f"(found, acknowledged): {list(wrong.items())[:10]}"
        assert not self.errors, self.errors[:3]


def change_over_failover(
    cluster: Cluster, name: str, change: str, victim: str, pause: float, *, gently: bool,
    documents: int = 2000,
) -> None:
    """Change a collection of a new database, and have a primary fail meanwhile.

    Args:
        cluster: Two shards or more.
        name: The database's.
        change: `movePrimary`, `shardCollection` or `moveChunk`.
        victim: Whose primary: `from` (the database's shard), `to` (another) or `config`.
        pause: Seconds between the command and the failure.
        gently: `replSetStepDown` instead of `kill -9`.
        documents: How many the collection has.

    """
    routers = [
        cluster.direct(address)
        for address in cluster.uri.removeprefix("mongodb://").partition("/")[0].split(",")
    ]
    client = routers[0]
    client[name].items.insert_many([
        {"_id": k, "k": k, "n": 0, "pad": PAD} for k in range(documents)
    ])
    client[name].items.create_index("k")
    client[name].other.insert_many([{"_id": k} for k in range(100)])
    ns = f"{name}.items"
    row = client.config.databases.find_one({"_id": name})
    assert row is not None
    source = row["primary"]
    target = next(
        one["_id"] for one in client.config.shards.find().sort("_id", 1) if one["_id"] != source
    )
    if change == "moveChunk":
        client.admin.command("shardCollection", ns, key={"k": 1})
    command: dict[str, Any] = {
        "movePrimary": {"movePrimary": name, "to": target},
        "shardCollection": {"shardCollection": ns, "key": {"k": 1}},
        "moveChunk": {"moveChunk": ns, "find": {"k": 1}, "to": target},
    }[change]
    members = cluster.addresses({"from": source, "to": target, "config": "config"}[victim])
    address = wait_until("a primary", lambda: cluster.primary(members))
    adders = Adders([router[name].items for router in routers], documents)

    def fail() -> None:
        time.sleep(pause)
        if gently:
            with contextlib.suppress(PyMongoError):
                cluster.direct(address).admin.command("replSetStepDown", 5)
        else:
            cluster.signal(address, signal.SIGKILL)

    failing = threading.Thread(target=fail)
    failing.start()
    try:
        # Whoever carries it out may fail, with an error; then it can be asked for again.
        with contextlib.suppress(PyMongoError):
            client.admin.command(command)
        failing.join()
        wait_until("it can be done", lambda: client.admin.command(command)["ok"], 60)
        wait_until("all serve", lambda: cluster.all_serve(members), 60)
    finally:
        adders.end()
    for router in routers:
        adders.check(router[name].items)
        assert router[name].other.count_documents({}) == 100
    if change == "movePrimary":
        primary = wait_until("a primary", lambda: cluster.primary(cluster.addresses(source)))
        left = cluster.direct(primary)[name].list_collection_names()
        assert left == [], f"{source} still has {left}"
    client.drop_database(name)
