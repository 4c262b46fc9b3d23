"""mongosh's `sh.*` helpers, unchanged, on a cluster of three shards."""

from __future__ import annotations

import json
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


@pytest.mark.slow
@pytest.mark.skipif(not MONGOSH.exists(), reason="mongosh is not there: run tests/tools.sh")
def test_sh_helpers(sharded: Any, db: Any) -> None:
    done = subprocess.run(
        [str(MONGOSH), f"mongodb://127.0.0.1:{sharded.ports[0]}/", "--quiet", "--norc", "--eval",
         SCRIPT.replace("NAME", json.dumps(db.name))],
        capture_output=True, text=True, timeout=90, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith('{"sharded"'))
    assert json.loads(line) == {
        "sharded": f"{db.name}.orders", "inserted": True, "split": 2, "move": 1, "range": 1,
        "zones": 4, "balancer": [1, True, 1, False], "noBalance": [1, 1], "compliant": True,
        "shards": 3,
        "distribution": [
            *(f"Shard shard{n} at shard{n}/in-process:0" for n in range(3)), "Totals",
        ],
        "stats": [True, 300], "data": 300, "consistent": [], "version": "object",
        "status": [3, True], "found": list(range(95, 105)),
    }
