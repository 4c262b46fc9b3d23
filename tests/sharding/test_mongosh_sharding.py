"""mongosh's `sh.*` helpers, unchanged, on a cluster of three shards."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

MONGOSH = Path(__file__).resolve().parents[2] / "node_modules/.bin/mongosh"
SCRIPT = """
const ns = NAME + ".orders", orders = db.getSiblingDB(NAME).orders, r = {};
sh.enableSharding(NAME);
r.sharded = sh.shardCollection(ns, {k: 1}).collectionsharded;
r.inserted = orders.insertMany([...Array(300).keys()].map(k => ({k})))
  .acknowledged;
r.split = sh.splitAt(ns, {k: 100}).ok + sh.splitFind(ns, {k: 250}).ok;
r.move = sh.moveChunk(ns, {k: 50}, "shard1").ok;
r.range = sh.moveRange(ns, "shard2", {k: 100}, {k: 150}).ok;
r.zones = sh.addShardTag("shard1", "EU").ok + sh.updateZoneKeyRange(ns, {k: 0}, {k: 50}, "EU").ok
  + sh.removeRangeFromZone(ns, {k: 0}, {k: 50}).ok + sh.removeShardTag("shard1", "EU").ok;
r.balancer = [sh.startBalancer().ok, sh.getBalancerState(), sh.stopBalancer().ok,
  sh.getBalancerState()];
r.noBalance = [sh.disableBalancing(ns).modifiedCount, sh.enableBalancing(ns).modifiedCount];
r.compliant = sh.balancerCollectionStatus(ns).balancerCompliant;
r.shards = sh.listShards().length;
r.distribution = Object.keys(orders.getShardDistribution().value);
r.stats = [orders.stats().sharded, orders.stats().count];
r.data = sh.getShardedDataDistribution().toArray().filter(row => row.ns === ns)[0]
  .shards.map(row => Number(row.numOwnedDocuments)).reduce((a, b) => a + b);
r.consistent = sh.checkMetadataConsistency().toArray();
r.version = typeof orders.getShardVersion().version;
const status = sh.status();
const shown = status.value.databases.filter(row => row.database._id === NAME)[0];
r.status = [status.value.shards.length, shown.collections[ns].chunkMetadata
  .map(row => row.nChunks).reduce((a, b) => a + b) >= 3];
r.found = orders.find({k: {$gte: 95, $lt: 105}}).sort({k: 1}).toArray().map(d => d.k);
print(JSON.stringify(r));
"""
REST = """
const ns = NAME + ".orders", r = {};
const code = run => {
  try {
    run();
    return 0;
  } catch (error) {
    return error.codeName;
  }
};
sh.enableSharding(NAME);
sh.shardCollection(ns, {k: 1});
sh.splitAt(ns, {k: 100});
r.migrations = [sh.disableMigrations(ns).ok, code(() => sh.moveChunk(ns, {k: 1}, "shard1")),
  code(() => sh.moveChunk(ns, {k: 1}, "shard2")), sh.enableMigrations(ns).ok];
r.merger = [sh.disableAutoMerger(ns).modifiedCount,
  db.getSiblingDB("config").collections.findOne({_id: ns}).enableAutoMerge,
  sh.enableAutoMerger(ns).modifiedCount, sh.stopAutoMerger().acknowledged,
  sh.isAutoMergerEnabled(), sh.startAutoMerger().acknowledged, sh.isAutoMergerEnabled()];
r.balancer = [sh.setBalancerState(true).ok, sh.isBalancerRunning().mode,
  sh.setBalancerState(false).ok, sh.isBalancerRunning().mode];
r.zone = [sh.addShardToZone("shard1", "Z").ok, sh.addTagRange(ns, {k: 0}, {k: 5}, "Z").ok,
  sh.removeTagRange(ns, {k: 0}, {k: 5}).ok, sh.removeShardFromZone("shard1", "Z").ok];
r.config = sh.isConfigShardEnabled();
r.distributed = code(() => sh.shardAndDistributeCollection(NAME + ".spread", {k: "hashed"}));
r.spread = sh.getShardedDataDistribution().toArray().filter(row => row.ns === NAME + ".spread")
  .map(row => row.shards.length);
r.refused = [
  code(() => sh.reshardCollection(ns, {k: "hashed"})), code(() => sh.abortReshardCollection(ns)),
  code(() => sh.commitReshardCollection(ns)), code(() => sh.moveCollection(ns, "shard1")),
  code(() => sh.abortMoveCollection(ns)), code(() => sh.unshardCollection(ns, "shard1")),
  code(() => sh.abortUnshardCollection(ns)), code(() => sh.shardDrainingStatus()),
  code(() => sh.getTransitionToDedicatedConfigServerStatus()), code(() => sh.listShards({})),
  code(() => sh.addShard("nowhere:1"))];
r.printed = typeof db.printShardingStatus().value;
r.all = Object.getOwnPropertyNames(Object.getPrototypeOf(sh)).filter(name => /^[a-z]/.test(name));
print(JSON.stringify(r));
"""


NO_HELPERS = ("constructor", "disableAutoSplit", "enableAutoSplit", "help", "toString")
"""What every object of the shell has, and two helpers that do nothing since 6.0.3."""
needs_mongosh = pytest.mark.skipif(
    not MONGOSH.exists(), reason="mongosh is not there: run tests/tools.sh"
)


def evaluate(sharded: Any, script: str) -> Any:
    done = subprocess.run(
        [str(MONGOSH), f"mongodb://127.0.0.1:{sharded.ports[0]}/", "--quiet", "--norc", "--eval",
         script],
        capture_output=True, text=True, timeout=90, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"')))


@pytest.mark.slow
@needs_mongosh
def test_all_other_sh_helpers(sharded: Any, db: Any) -> None:
    found = evaluate(sharded, REST.replace("NAME", json.dumps(db.name)))
    called = re.findall(r"\bsh\.(\w+)\(", SCRIPT + REST)
    assert set(found.pop("all")) - {*called, *NO_HELPERS} == set()
    assert found == {
        "migrations": [1, "ConflictingOperationInProgress", "ConflictingOperationInProgress", 1],
        "merger": [1, False, 1, True, False, True, True],
        "balancer": [1, "full", 1, "off"], "zone": [1, 1, 1, 1], "config": {"enabled": False},
        # Resharding is not there yet; what comes before it is done.
        "distributed": "NotImplemented", "spread": [3],
        # Of the last four MongoDB 8.0 has none either, but for a shard that is there.
        "refused": [*["NotImplemented"] * 7, *["CommandNotFound"] * 2, "Location40415",
                    "OperationFailed"],
        "printed": "object",
    }


@pytest.mark.slow
@needs_mongosh
def test_sh_helpers(sharded: Any, db: Any) -> None:
    found = evaluate(sharded, SCRIPT.replace("NAME", json.dumps(db.name)))
    assert found == {
        "sharded": f"{db.name}.orders", "inserted": True, "split": 2, "move": 1, "range": 1,
        "zones": 4, "balancer": [1, True, 1, False], "noBalance": [1, 1], "compliant": True,
        "shards": 3,
        "distribution": [
            *(f"Shard shard{n} at shard{n}/in-process:0" for n in range(3)), "Totals",
        ],
        "stats": [True, 300], "data": 300, "consistent": [], "version": "object",
        "status": [3, True], "found": list(range(95, 105)),
    }
