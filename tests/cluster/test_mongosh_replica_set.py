"""mongosh's `rs.*` helpers, unchanged, against a replica set."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cluster.up import Cluster, wait_until
from servers import Server

MONGOSH = Path(__file__).resolve().parents[2] / "node_modules/.bin/mongosh"

pytestmark = [
    pytest.mark.skipif(
        not MONGOSH.exists(), reason="mongosh is not there: Node is missing, or run tests/tools.sh"
    ),
    pytest.mark.slow,
]


def mongosh(uri: str, script: str) -> str:
    """Run a script and return what it prints."""
    done = subprocess.run(
        [str(MONGOSH), uri, "--quiet", "--norc", "--eval", script],
        capture_output=True, text=True, timeout=100, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def last_json(text: str) -> Any:
    return json.loads(text.strip().splitlines()[-1])


def test_rs_helpers_that_look(replica_set: Cluster) -> None:
    found = last_json(mongosh(replica_set.uri, """
    const r = {};
    db.getSiblingDB('test').c.insertOne({x: 1});
    const status = rs.status();
    r.set = status.set;
    r.states = status.members.map(m => m.stateStr).sort();
    const conf = rs.conf();
    r.conf = [conf._id, conf.members.length, conf.members.map(m => m.priority)];
    r.hello = [rs.hello().setName, db.hello().isWritablePrimary];
    r.oplog = db.getSiblingDB('local').oplog.rs.find({ns: 'test.c'}).toArray()
      .map(e => [e.op, e.o.x]);
    r.info = Object.keys(db.getReplicationInfo()).includes('timeDiff');
    print(JSON.stringify(r));
    """))
    assert found["set"] == "rs0"
    assert found["states"] == ["PRIMARY", "SECONDARY", "SECONDARY"]
    assert found["conf"] == ["rs0", 3, [1, 1, 1]]
    assert found["hello"] == ["rs0", True]
    assert ["i", 1] in found["oplog"]
    assert found["info"] is True


def test_rs_helpers_that_print(replica_set: Cluster) -> None:
    text = mongosh(replica_set.uri, "print(rs.printReplicationInfo()); "
                   "print(rs.printSecondaryReplicationInfo()); print(rs.help())")
    assert "oplog first event time" in text
    assert "source: 127.0.0.1:" in text


def test_step_down_and_freeze(replica_set: Cluster) -> None:
    members = replica_set.addresses("rs0")
    wait_until("all serve", lambda: replica_set.all_serve(members))
    before = replica_set.primary(members)
    mongosh(f"mongodb://{before}/?directConnection=true", "rs.stepDown(5, 2)")
    after = wait_until("a primary", lambda: replica_set.primary(members))
    assert after != before
    other = next(one for one in members if one not in (before, after))
    assert last_json(mongosh(
        f"mongodb://{other}/?directConnection=true",
        "print(JSON.stringify([rs.freeze(1).ok, rs.freeze(0).ok, "
        "rs.secondaryOk ? 1 : 0]))",
    ))[:2] == [1, 1]
    wait_until("all serve", lambda: replica_set.all_serve(members))


def test_add_and_remove(replica_set: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "fourth"
    arguments = ["shardsvr", "--replSet", "rs0", "--dbpath", str(path)]
    with Server(arguments, path) as server:
        host = f"127.0.0.1:{server.port}"
        added = last_json(mongosh(replica_set.uri, f"""
        const ok = rs.add({{host: '{host}', priority: 0}}).ok;
        print(JSON.stringify([ok, rs.conf().members.length, rs.conf().version]));
        """))
        assert added[:2] == [1, 4]
        wait_until("it is a secondary", lambda: any(
            member["name"] == host and member["stateStr"] == "SECONDARY"
            for member in replica_set.client().admin.command("replSetGetStatus")["members"]
        ))
        with replica_set.direct(host) as direct:
            assert direct.admin.command("hello")["secondary"]
        removed = last_json(mongosh(replica_set.uri, f"""
        const ok = rs.remove('{host}').ok;
        print(JSON.stringify([ok, rs.conf().members.length]));
        """))
        assert removed == [1, 3]


def test_initiate_and_reconfigure_from_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with Server(["shardsvr", "--replSet", "shell", "--dbpath", str(path)], path) as server:
        uri = f"mongodb://127.0.0.1:{server.port}/?directConnection=true"
        found = last_json(mongosh(uri, f"""
        const r = [rs.initiate({{_id: 'shell', members: [
          {{_id: 0, host: '127.0.0.1:{server.port}'}}]}}).ok];
        while (!db.hello().isWritablePrimary) sleep(50);
        const c = rs.conf(); c.members[0].tags = {{dc: 'east'}};
        r.push(rs.reconfig(c).ok, rs.conf().members[0].tags.dc, rs.status().myState);
        print(JSON.stringify(r));
        """))
        assert found == [1, 1, "east", 1]
