"""Three members as processes: founding, reading, failing over, as drivers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import CursorType, ReadPreference, WriteConcern
from pymongo.errors import (
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from replication_kit import Replicas, until


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    flags = ("--setParameter", "enableTestCommands=1")
    with Replicas(tmp_path_factory.mktemp("rs"), 3, *flags) as started:
        started.initiate()
        yield started


def _secondary(replicas: Replicas) -> int:
    primary = replicas.primary()
    return next(number for number in range(3) if number != primary)


def test_hello_tells_the_set(replicas: Replicas) -> None:
    primary = replicas.primary()
    reply = replicas.direct(primary).admin.command("hello")
    assert reply["setName"] == "rs0"
    assert reply["hosts"] == replicas.hosts
    assert reply["me"] == reply["primary"] == replicas.hosts[primary]
    assert reply["isWritablePrimary"] is True
    assert reply["secondary"] is False
    assert type(reply["electionId"]) is ObjectId
    assert type(reply["lastWrite"]["majorityOpTime"]["ts"]) is Timestamp
    other = replicas.direct(_secondary(replicas)).admin.command("isMaster")
    assert other["ismaster"] is False
    assert other["secondary"] is True
    assert other["primary"] == replicas.hosts[primary]
    assert "electionId" not in other


def test_every_member_has_what_was_written_with_all(replicas: Replicas) -> None:
    client = replicas.client(w=3)
    client.t.all.insert_many([{"_id": number} for number in range(500)])
    client.t.all.create_index("x")
    client.t.all.insert_one({"_id": 500})
    until(replicas.settled)
    for number in range(3):
        there = replicas.direct(number).t.get_collection(
            "all", read_preference=ReadPreference.NEAREST
        )
        assert there.count_documents({}) == 501
        assert list(there.index_information()) == ["_id_", "x_1"]


def test_a_secondary_reads_when_asked_to_and_never_writes(replicas: Replicas) -> None:
    replicas.client(w=3).t.reads.insert_one({"_id": 1})
    connection = replicas.direct(_secondary(replicas))
    find = {"find": "reads", "filter": {}}
    with pytest.raises(NotPrimaryError) as caught:
        connection.t.command({**find, "$readPreference": {"mode": "primary"}})
    assert caught.value.details["code"] == 13435  # type: ignore[index]
    for command in ({"listCollections": 1}, {"dbStats": 1}, {"listIndexes": "reads"}):
        with pytest.raises(NotPrimaryError):
            connection.t.command({**command, "$readPreference": {"mode": "primary"}})
        connection.t.command({**command, "$readPreference": {"mode": "secondaryPreferred"}})
    assert "topologyVersion" in caught.value.details  # type: ignore[operator]
    preferred = connection.t.get_collection("reads", read_preference=ReadPreference.SECONDARY)
    until(lambda: preferred.find_one() == {"_id": 1})
    with pytest.raises(NotPrimaryError) as caught:
        connection.t.reads.insert_one({"_id": 2})
    assert caught.value.details["code"] == 10107  # type: ignore[index]


def test_write_concerns(replicas: Replicas) -> None:
    collection = replicas.client().t.concerns
    for w in (1, 2, 3, "majority"):
        collection.with_options(write_concern=WriteConcern(w)).insert_one({"w": w})
    for bad, code in ((4, 100), ("nowhere", 79)):
        with pytest.raises(WriteConcernError) as caught:
            collection.with_options(write_concern=WriteConcern(bad)).insert_one({})
        assert caught.value.code == code


def test_status_lists_the_members(replicas: Replicas) -> None:
    status = replicas.direct(replicas.primary()).admin.command("replSetGetStatus")
    assert status["set"] == "rs0"
    assert status["myState"] == 1
    assert [row["name"] for row in status["members"]] == replicas.hosts
    until(lambda: _states(replicas) == ["PRIMARY", "SECONDARY", "SECONDARY"])
    for row in status["members"]:
        assert row["health"] == 1.0
        assert row["optime"]["ts"] > Timestamp(0, 0)


def _states(replicas: Replicas) -> list[str]:
    status = replicas.direct(replicas.primary()).admin.command("replSetGetStatus")
    return sorted(row["stateStr"] for row in status["members"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 1}, 103),
        ({"_id": "other"}, 103),
        ({"members": []}, 93),
        ({"settings": {"chainingAllowed": "x"}}, 93),
        ({"nonsense": 1}, 93),
    ],
)
def test_bad_configurations_are_refused(
    replicas: Replicas, change: dict[str, Any], code: int
) -> None:
    admin = replicas.direct(replicas.primary()).admin
    config = admin.command("replSetGetConfig")["config"]
    config["version"] += 1
    with pytest.raises(OperationFailure) as caught:
        admin.command("replSetReconfig", {**config, **change})
    assert caught.value.code == code
    with pytest.raises(OperationFailure) as caught:
        admin.command("replSetInitiate", replicas.configuration())
    assert caught.value.code == 23


def test_stepping_down_gives_office_to_another(replicas: Replicas) -> None:
    before = replicas.primary()
    client = replicas.client()
    client.t.steps.insert_one({"_id": "before"})
    client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4)
    client.t.steps.insert_one({"_id": "after"})
    assert replicas.primary() != before
    assert client.t.steps.count_documents({}) == 2


def test_a_killed_primary_costs_a_moment_and_no_write(replicas: Replicas) -> None:
    client = replicas.client()
    collection = client.t.kills
    for round_ in range(2):
        primary = replicas.primary()
        collection.insert_one({"_id": f"{round_} before"})
        replicas.members[primary].kill()
        collection.insert_one({"_id": f"{round_} after"})
        replicas.members[primary].start()
        until(lambda: len(_states(replicas)) == 3 and "DOWN" not in str(_states(replicas)))
    assert collection.count_documents({}) == 4
    until(replicas.settled)


def test_a_restart_of_all_keeps_everything(tmp_path: Path) -> None:
    with Replicas(tmp_path, 3) as replicas:
        replicas.initiate()
        client = replicas.client()
        client.t.c.insert_many([{"_id": number} for number in range(100)])
        for member in replicas.members:
            member.kill()
        for member in replicas.members:
            member.start()
        replicas.primary()
        assert client.t.c.count_documents({}) == 100
        client.t.c.insert_one({"_id": 100})


def test_a_session_reads_its_own_writes_on_secondaries(replicas: Replicas) -> None:
    client = replicas.client(readPreference="secondary")
    with client.start_session(causal_consistency=True) as session:
        for number in range(50):
            client.t.causal.insert_one({"_id": number}, session=session)
            assert client.t.causal.find_one({"_id": number}, session=session) is not None
        session.advance_operation_time(_ahead(session.operation_time))
        session.advance_cluster_time({
            "clusterTime": _ahead(session.operation_time),
            "signature": {"hash": b"\0" * 20, "keyId": 0},
        })
        assert client.t.causal.count_documents({}, session=session) == 50


def _ahead(time: Timestamp | None) -> Timestamp:
    """Return a time that no write has reached: the primary has to move its log there."""
    assert time is not None
    return Timestamp(time.time, time.inc + 1000)


def test_reads_at_majority_and_linearizable(replicas: Replicas) -> None:
    collection = replicas.client().t.levels
    collection.insert_many([{"_id": number} for number in range(300)])
    for level in ("available", "local", "majority", "linearizable"):
        found = collection.with_options(read_concern=ReadConcern(level)).find({}, batch_size=100)
        assert len(list(found)) == 300
    with pytest.raises(NotPrimaryError) as caught:
        replicas.direct(_secondary(replicas)).t.command(
            {"find": "levels", "filter": {}, "readConcern": {"level": "linearizable"},
             "$readPreference": {"mode": "secondary"}}
        )
    assert caught.value.details["code"] == 10107  # type: ignore[index]


def test_what_is_not_replicated_is_not_acknowledged_and_not_read(replicas: Replicas) -> None:
    """With entries held back a write runs out of time, and `majority` answers what it knows."""
    primary = replicas.primary()
    others = [replicas.direct(number) for number in range(3) if number != primary]
    collection = replicas.client().t.held
    everywhere = collection.with_options(write_concern=WriteConcern(3))
    everywhere.insert_one({"_id": "before"})

    def hold(name: str, mode: str) -> None:
        for other in others:
            other.admin.command("configureFailPoint", name, mode=mode)

    hold("stopReplProducer", "alwaysOn")
    try:
        for w in (2, 3, "majority"):
            with pytest.raises(WTimeoutError) as caught:
                collection.with_options(
                    write_concern=WriteConcern(w, wtimeout=100)
                ).insert_one({"w": w})
            assert caught.value.code == 64
        for other in others:
            found = other.t.command(
                {"find": "held", "readConcern": {"level": "majority"}, "maxTimeMS": 5000,
                 "$readPreference": {"mode": "secondary"}}
            )
            assert [row["_id"] for row in found["cursor"]["firstBatch"]] == ["before"]
    finally:
        hold("stopReplProducer", "off")
    everywhere.insert_one({"_id": "after"})

    hold("rsSyncApplyStop", "alwaysOn")
    try:
        collection.insert_one({"_id": "committed"})
        with pytest.raises(WTimeoutError):
            collection.with_options(
                write_concern=WriteConcern(3, wtimeout=100)
            ).insert_one({"_id": "not applied"})
    finally:
        hold("rsSyncApplyStop", "off")
    everywhere.insert_one({"_id": "last"})
    assert {row["_id"] for row in collection.find()} >= {"committed", "not applied", "last"}


def test_a_primary_reads_at_majority_from_its_commit_point_at_once(replicas: Replicas) -> None:
    """While nothing can be replicated: `local` shows what was written, `majority` what is safe."""
    primary = replicas.primary()
    others = [replicas.direct(number) for number in range(3) if number != primary]
    db = replicas.direct(primary).point
    replicas.client(w=3).point.rows.insert_many(
        [{"_id": number, "v": 1, "n": number} for number in range(8)]
    )
    db.rows.create_index([("v", 1), ("n", 1)])
    replicas.client().point.create_collection("capped", capped=True, size=10_000)
    db.capped.insert_one({"_id": 0})

    def read(command: dict[str, Any], level: str, **more: Any) -> dict[str, Any]:
        concern = {"level": level, **more}
        return db.command({**command, "readConcern": concern, "maxTimeMS": 5000})

    cursor = read({"find": "rows", "sort": {"v": 1, "n": 1}, "batchSize": 2}, "majority")["cursor"]
    lookup = [
        {"$match": {"_id": 0}},
        {"$lookup": {"from": "rows", "localField": "v", "foreignField": "v", "as": "r"}},
        {"$project": {"size": {"$size": "$r"}}},
    ]
    reads: list[tuple[dict[str, Any], Callable[[dict[str, Any]], Any], Any, Any]] = [
        ({"find": "rows", "filter": {"_id": 8}}, _batch, [], [{"_id": 8, "v": 1, "n": 8}]),
        ({"find": "rows", "filter": {"_id": 1}}, _batch, [{"_id": 1, "v": 1, "n": 1}], []),
        ({"find": "rows", "filter": {"n": -2}}, _batch, [], [{"_id": 2, "v": 7, "n": -2}]),
        ({"count": "rows"}, lambda reply: reply["n"], 8, 8),
        ({"count": "rows", "query": {"v": 1}}, lambda reply: reply["n"], 8, 7),
        ({"distinct": "rows", "key": "v"}, lambda reply: reply["values"], [1], [1, 7]),
        ({"aggregate": "rows", "pipeline": lookup, "cursor": {}}, _batch,
         [{"_id": 0, "size": 8}], [{"_id": 0, "size": 7}]),
        ({"find": "capped", "tailable": True, "batchSize": 9}, _batch,
         [{"_id": 0}], [{"_id": 0}, {"_id": 1}]),
    ]  # fmt: skip
    for other in others:
        other.admin.command("configureFailPoint", "stopReplProducer", mode="alwaysOn")
    try:
        for collection, name, change in (
            (db.rows, "insert_one", ({"_id": 8, "v": 1, "n": 8},)),
            (db.rows, "delete_one", ({"_id": 1},)),
            (db.rows, "update_one", ({"_id": 2}, {"$set": {"v": 7, "n": -2}})),
            (db.capped, "insert_one", ({"_id": 1},)),
        ):
            held: Any = collection.with_options(write_concern=WriteConcern("majority", wtimeout=50))
            with pytest.raises(WTimeoutError):
                getattr(held, name)(*change)
        for command, value, safe, latest in reads:
            assert value(read(command, "local")) == latest, command
            assert value(read(command, "majority")) == safe, command
        rest = db.command({"getMore": cursor["id"], "collection": "rows"})
        assert [row["_id"] for row in rest["cursor"]["nextBatch"]] == list(range(2, 8))
        written = read({"ping": 1}, "local")["operationTime"]
        assert rest["operationTime"] < written
        with pytest.raises(ExecutionTimeout):
            db.command({
                "find": "rows", "maxTimeMS": 50,
                "readConcern": {"level": "majority", "afterClusterTime": written},
            })
    finally:
        for other in others:
            other.admin.command("configureFailPoint", "stopReplProducer", mode="off")
    for command, value, _, latest in reads:
        assert value(read(command, "majority", afterClusterTime=written)) == latest, command


def _batch(reply: dict[str, Any]) -> list[Any]:
    rows: list[Any] = reply["cursor"]["firstBatch"]
    return rows


def test_the_oplog_can_be_read_and_tailed_on_every_member(replicas: Replicas) -> None:
    collection = replicas.client(w=3).t.logged
    collection.insert_one({"_id": 1, "text": "x" * 200, "n": 1})
    collection.update_one({"_id": 1}, {"$set": {"n": 2}})
    collection.delete_one({"_id": 1})
    for number in range(3):
        client = replicas.direct(number)
        until(replicas.settled)
        oplog = client.local.get_collection(
            "oplog.rs", read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        insert, update, delete = oplog.find({"ns": "t.logged", "op": {"$in": ["i", "u", "d"]}})
        assert insert["o"] == {"_id": 1, "text": "x" * 200, "n": 1}
        assert update["o"] == {"$v": 2, "diff": {"u": {"n": 2}}}
        assert update["o2"] == delete["o"] == {"_id": 1}
        assert insert["ts"] < update["ts"] < delete["ts"]
        assert insert["v"] == 2
        tail = oplog.find({"ns": "t.tailed"}, cursor_type=CursorType.TAILABLE_AWAIT)
        replicas.client(w=3).t.tailed.insert_one({"_id": number})
        seen: list[Any] = []
        until(lambda: seen.extend(tail) or any(row["o"] == {"_id": number} for row in seen))  # noqa: B023
        with pytest.raises((OperationFailure, NotPrimaryError)):
            client.local["oplog.rs"].insert_one({})


def test_retryable_statements_have_their_effect_once(replicas: Replicas) -> None:
    client = replicas.client()
    client.t.counters.insert_one({"_id": 1, "n": 0})
    command = {
        "update": "counters", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}],
        "txnNumber": Int64(1000),
    }
    with client.start_session() as session:
        first = client.t.command(command, session=session)
        client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4)
        replicas.primary()
        client.t.counters.find_one()
        again = client.t.command(command, session=session)
    assert first["nModified"] == again["nModified"] == 1
    assert client.t.counters.find_one() == {"_id": 1, "n": 1}


def test_hello_waits_for_a_change(replicas: Replicas) -> None:
    primary = replicas.primary()
    admin = replicas.direct(primary).admin
    known = admin.command("hello")["topologyVersion"]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            admin.command, "hello", topologyVersion=known, maxAwaitTimeMS=20_000
        )
        replicas.direct(primary).admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4)
        reply = waiting.result(15)
    assert reply["topologyVersion"]["counter"] > known["counter"]
    assert reply["isWritablePrimary"] is False


def test_every_member_knows_the_shard_it_belongs_to(replicas: Replicas) -> None:
    admins = [replicas.direct(number).admin for number in range(3)]

    def names() -> list[Any]:
        return [admin.command("shardingState").get("shardName") for admin in admins]

    primary = admins[replicas.primary()]
    assert names() == [None] * 3
    primary.command("_shardsvrSetIdentity", shardName="a", configsvrConnectionString="c/h:1")
    until(lambda: names() == ["a"] * 3)
    primary.command("_shardsvrClearIdentity")
    until(lambda: names() == [None] * 3)
