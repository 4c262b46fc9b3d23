"""Settings of the cluster: default concerns, parameters, write block, compatibility version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ExecutionTimeout, OperationFailure, WriteConcernError
from servers import RawClient, Server


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[Any]]:
    """Give a cluster whose settings may be changed."""
    server = Server.up(tmp_path_factory.mktemp("settings") / "data")
    with server, MongoClient(server.uri) as client:
        yield client


def refused(client: Any, command: dict[str, Any], code: int) -> None:
    with pytest.raises(OperationFailure) as caught:
        client.admin.command(command)
    assert caught.value.code == code


def test_default_concerns_are_told_and_checked(own: Any) -> None:
    reply = own.admin.command("getDefaultRWConcern")
    assert reply["defaultReadConcern"] == {"level": "local"}
    assert reply["defaultWriteConcern"] == {"w": "majority", "wtimeout": 0}
    assert reply["defaultWriteConcernSource"] == "implicit"
    refused(own, {"setDefaultRWConcern": 1}, 2)
    for level in ("linearizable", "snapshot", "strong"):
        refused(own, {"setDefaultRWConcern": 1, "defaultReadConcern": {"level": level}}, 2)
    refused(own, {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 0}}, 2)
    refused(own, {"setDefaultRWConcern": 1, "defaultWriteConcern": {"z": 1}}, 9)


def test_a_default_write_concern_is_honoured(own: Any) -> None:
    admin = own.admin
    admin.command("setDefaultRWConcern", defaultWriteConcern={"w": 3})
    try:
        reply = admin.command("getDefaultRWConcern")
        assert reply["defaultWriteConcernSource"] == "global"
        assert reply["defaultWriteConcern"]["w"] == 3
        with pytest.raises(WriteConcernError) as caught:
            own.test.c.insert_one({})
        assert caught.value.code == 100
        own.test.command("insert", "c", documents=[{}], writeConcern={"w": 1})
        refused(own, {"setDefaultRWConcern": 1, "defaultWriteConcern": {}}, 20)
    finally:
        admin.command("setDefaultRWConcern", defaultWriteConcern={"w": 1})
    own.test.c.insert_one({})


def test_a_default_read_concern_is_set_and_taken_back(own: Any) -> None:
    admin = own.admin
    admin.command("setDefaultRWConcern", defaultReadConcern={"level": "majority"})
    assert admin.command("getDefaultRWConcern")["defaultReadConcern"] == {"level": "majority"}
    own.test.c.find_one({})
    admin.command("setDefaultRWConcern", defaultReadConcern={})
    assert admin.command("getDefaultRWConcern")["defaultReadConcernSource"] == "implicit"


def test_cluster_parameters(own: Any) -> None:
    admin = own.admin
    (row,) = admin.command("getClusterParameter", "defaultMaxTimeMS")["clusterParameters"]
    assert row == {"_id": "defaultMaxTimeMS", "readOperations": 0}
    names = [r["_id"] for r in admin.command("getClusterParameter", "*")["clusterParameters"]]
    assert names == ["changeStreamOptions", "defaultMaxTimeMS"]
    refused(own, {"getClusterParameter": "nonsense"}, 4)
    refused(own, {"setClusterParameter": {"nonsense": {}}}, 4)
    refused(own, {"setClusterParameter": {"defaultMaxTimeMS": {"readOperations": -1}}}, 2)
    images = {"preAndPostImages": {"expireAfterSeconds": 100}}
    admin.command("setClusterParameter", {"changeStreamOptions": images})
    (row,) = admin.command("getClusterParameter", ["changeStreamOptions"])["clusterParameters"]
    assert row["preAndPostImages"] == images["preAndPostImages"]
    assert "clusterParameterTime" in row


def test_the_default_time_limit_of_reads_is_honoured(own: Any) -> None:
    own.test.many.insert_many({"_id": n, "text": f"{n:050}"} for n in range(20_000))
    slow = {"text": {"$regex": "9.*8.*7.*x"}}
    limit = {"defaultMaxTimeMS": {"readOperations": 1}}
    own.admin.command("setClusterParameter", limit)
    try:
        with pytest.raises(ExecutionTimeout):
            list(own.test.many.find(slow))
        assert list(own.test.many.find(slow, max_time_ms=100_000)) == []
        own.test.many.update_many(slow, {"$set": {"a": 1}})
    finally:
        limit["defaultMaxTimeMS"]["readOperations"] = 0
        own.admin.command("setClusterParameter", limit)
    assert list(own.test.many.find(slow)) == []


def test_the_user_write_block(own: Any) -> None:
    own.test.blocked.insert_one({"_id": 1})
    own.admin.command("setUserWriteBlockMode", 1, **{"global": True})
    try:
        for command in (
            {"insert": "blocked", "documents": [{}]}, {"drop": "blocked"}, {"create": "x"},
            {"aggregate": "blocked", "pipeline": [{"$out": "x"}], "cursor": {}},
            {"mapReduce": "blocked", "map": "function() { emit(1, 1); }",
             "reduce": "function() { return 1; }", "out": "x"},
        ):
            with pytest.raises(OperationFailure) as caught:
                own.test.command(command)
            assert caught.value.code == 373
        assert own.test.blocked.find_one({}) == {"_id": 1}
        reason = "DiskUseThresholdExceeded"
        refused(own, {"setUserWriteBlockMode": 1, "global": True, "reason": reason}, 20)
    finally:
        own.admin.command("setUserWriteBlockMode", 1, **{"global": False})
    own.test.blocked.insert_one({"_id": 2})


def test_the_compatibility_version(own: Any) -> None:
    refused(own, {"setFeatureCompatibilityVersion": "8.0"}, 7369100)
    own.admin.command("setFeatureCompatibilityVersion", "8.0", confirm=True)
    refused(own, {"setFeatureCompatibilityVersion": "4.4", "confirm": True}, 2)


def test_settings_reach_shards_that_join_later_and_survive(tmp_path: Path) -> None:
    def role(name: str, *flags: str) -> Server:
        return Server([name, *flags], tmp_path / name)

    config = role("configsvr", "--dbpath", str(tmp_path / "c"))
    shard = role("shardsvr", "--dbpath", str(tmp_path / "s"))
    with config, shard:
        router = role("router", "--configdb", f"127.0.0.1:{config.port}")
        with router, MongoClient(router.uri) as client:
            client.admin.command("setDefaultRWConcern", defaultWriteConcern={"w": 2})
            client.admin.command("addShard", f"127.0.0.1:{shard.port}")
            with pytest.raises(WriteConcernError):
                client.test.c.insert_one({})
            hosts = client.admin.command("connPoolStats")["hosts"]
            assert set(hosts) == {f"127.0.0.1:{config.port}", f"127.0.0.1:{shard.port}"}
            assert hosts[f"127.0.0.1:{shard.port}"]["created"] >= 1
            client.admin.command("dropConnections", hostAndPort=[f"127.0.0.1:{shard.port}"])
            hosts = client.admin.command("connPoolStats")["hosts"]
            assert hosts[f"127.0.0.1:{shard.port}"]["available"] == 0
        shard.stop()
        shard.start()
        reply = RawClient(("127.0.0.1", shard.port)).command(
            {"insert": "c", "documents": [{}], "$db": "test"}
        )
        assert reply["writeConcernError"]["code"] == 100


def test_the_window_of_history_is_set_on_a_running_member(member_client: Any) -> None:
    admin = member_client.admin
    name = "minSnapshotHistoryWindowInSeconds"
    assert admin.command("getParameter", 1, **{name: 1})[name] == 0
    assert admin.command("setParameter", 1, **{name: 5})["was"] == 0
    assert admin.command("getParameter", 1, **{name: 1})[name] == 5
    for bad, code in ((-1, 2), ("x", 14)):
        with pytest.raises(OperationFailure) as caught:
            admin.command("setParameter", 1, **{name: bad})
        assert caught.value.code == code
    assert admin.command("setParameter", 1, **{name: 0})["was"] == 5
