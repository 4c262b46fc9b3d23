"""mongosh, unchanged, against `psdb up`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from servers import Server

MONGOSH = Path(__file__).resolve().parents[2] / "node_modules/.bin/mongosh"

pytestmark = [
    pytest.mark.skipif(
        not MONGOSH.exists(), reason="mongosh is not there: Node is missing, or run tests/tools.sh"
    ),
    pytest.mark.slow,
]


def mongosh(server: Server, script: str, db: str = "shell") -> str:
    """Run a script and return what it prints."""
    done = subprocess.run(
        [str(MONGOSH), f"mongodb://127.0.0.1:{server.port}/{db}", "--quiet", "--norc",
         "--eval", script],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def value(server: Server, script: str) -> object:
    """Evaluate an expression and return it through JSON."""
    return json.loads(mongosh(server, f"print(JSON.stringify({script}))").strip().splitlines()[-1])


def test_crud(server: Server) -> None:
    script = """
    db.dropDatabase();
    db.things.insertOne({_id: 1, n: 1});
    db.things.insertMany([...Array(300).keys()].map(i => ({_id: i + 2, n: i, kind: i % 2})));
    const r = {};
    r.count = db.things.countDocuments();
    r.found = db.things.find({n: {$gte: 290}}, {_id: 0, n: 1}).sort({n: -1}).limit(2).toArray();
    r.all = db.things.find().toArray().length;
    r.update = db.things.updateOne({_id: 1}, {$set: {x: 1}}).modifiedCount;
    r.replace = db.things.replaceOne({_id: 1}, {y: 1}).modifiedCount;
    r.upsert = db.things.updateOne({_id: 'u'}, {$set: {x: 1}}, {upsert: true}).insertedId;
    r.deleted = db.things.deleteMany({kind: 1}).deletedCount;
    r.fam = db.things.findOneAndUpdate({_id: 1}, {$inc: {y: 1}}, {returnDocument: 'after'}).y;
    r.distinct = db.things.distinct('kind');
    r.agg = db.things.aggregate([{$group: {_id: '$kind', n: {$sum: 1}}}, {$sort: {_id: 1}}])
      .toArray();
    r.index = db.things.createIndex({n: 1});
    r.indexes = db.things.getIndexes().map(i => i.name);
    print(JSON.stringify(r));
    """
    result = json.loads(mongosh(server, script).strip().splitlines()[-1])
    assert result == {
        "count": 301, "found": [{"n": 299}, {"n": 298}], "all": 301, "update": 1, "replace": 1,
        "upsert": "u", "deleted": 150, "fam": 2, "distinct": [0],
        "agg": [{"_id": None, "n": 2}, {"_id": 0, "n": 150}],
        "index": "n_1", "indexes": ["_id_", "n_1"],
    }


def test_shell_helpers(server: Server) -> None:
    mongosh(server, "db.dropDatabase(); db.shown.insertOne({a: 1})", db="helpers")
    assert "helpers" in mongosh(server, "show dbs", db="helpers")
    assert mongosh(server, "show collections", db="helpers").strip() == "shown"
    stats = mongosh(server, "db.stats()", db="helpers")
    assert "objects" in stats
    plan = mongosh(server, "db.shown.explain().find({a: 1})", db="helpers")
    assert "SINGLE_SHARD" in plan
    assert "COLLSCAN" in plan
    assert "count" in mongosh(server, "db.shown.stats()", db="helpers")
    assert "PSDB" in mongosh(server, "db.version() + ' PSDB'", db="helpers")
    assert "ok" in mongosh(server, "db.hello()", db="helpers")
    assert "uptime" in mongosh(server, "db.serverStatus()", db="helpers")
    assert "isdbgrid" in mongosh(server, "db.hello().msg", db="helpers")
    assert "inprog" in mongosh(server, "db.currentOp()", db="helpers")
    assert mongosh(server, "db.adminCommand('listShards').shards.length").strip() == "1"


def test_interactive_start(server: Server) -> None:
    """The interactive shell probes the server on five connections and tolerates no crash."""
    done = subprocess.run(
        [str(MONGOSH), f"mongodb://127.0.0.1:{server.port}/shell", "--norc"],
        input="db.runCommand({ping: 1}).ok\nexit\n", capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mongos" in done.stdout
    assert "8.0.0" in done.stdout


def test_errors_reach_the_shell(server: Server) -> None:
    script = """
    db.dup.drop(); db.dup.insertOne({_id: 1});
    try { db.dup.insertOne({_id: 1}) } catch (e) { print(e.code) }
    try { db.runCommand({nonsense: 1}) } catch (e) { print(e.code) }
    """
    assert mongosh(server, script).split() == ["11000", "59"]
