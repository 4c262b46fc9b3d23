"""Time-series collections: what they take, how they are read, changed, shown and emptied."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, CollectionInvalid, OperationFailure
from servers import Server

START = datetime.datetime(2026, 1, 1)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def weather(db: Any) -> Any:
    series = db.create_collection("weather", timeseries={"timeField": "t", "metaField": "m"})
    series.insert_many(
        {"_id": n, "t": START + n * HOUR, "m": {"sensor": n % 3}, "c": n / 2} for n in range(48)
    )
    return series


def code_of(call: Any, *args: Any, **options: Any) -> int | None:
    with pytest.raises(OperationFailure) as caught:
        call(*args, **options)
    return caught.value.code


def test_listed_as_time_series(db: Any, weather: Any) -> None:
    rows = {row["name"]: row for row in db.list_collections()}
    assert rows["weather"]["type"] == "timeseries"
    assert rows["weather"]["options"]["timeseries"] == {
        "timeField": "t", "metaField": "m", "granularity": "seconds", "bucketMaxSpanSeconds": 3600,
    }
    assert rows["system.buckets.weather"]["type"] == "collection"
    assert weather.index_information() == {"m_1_t_1": {"v": 2, "key": [("m", 1), ("t", 1)]}}
    assert code_of(db["system.buckets.weather"].find_one) == 115


def test_finding_by_time_and_metadata(weather: Any) -> None:
    day = {"$gte": START + 24 * HOUR, "$lt": START + 30 * HOUR}
    assert [d["_id"] for d in weather.find({"t": day}).sort("t", 1)] == list(range(24, 30))
    assert weather.count_documents({"m.sensor": 1}) == 16
    assert weather.find_one({"_id": 7})["c"] == 3.5
    plan = weather.find({"m": {"sensor": 2}, "t": day}).explain()["queryPlanner"]
    assert "m_1_t_1" in str(plan["winningPlan"])
    rows = list(weather.aggregate([
        {"$match": {"t": {"$lt": START + 3 * HOUR}}},
        {"$group": {"_id": {"$dateTrunc": {"date": "$t", "unit": "day"}}, "c": {"$avg": "$c"}}},
    ]))
    assert rows == [{"_id": START, "c": 0.5}]


def test_a_measurement_needs_a_date_and_no_fresh_id(weather: Any) -> None:
    weather.insert_many([{"_id": 1, "t": START, "c": 0}, {"_id": 1, "t": START, "c": 1}])
    assert weather.count_documents({"_id": 1}) == 3
    for bad in ({}, {"t": 1}, {"t": None}):
        with pytest.raises(OperationFailure) as caught:
            weather.insert_one(bad)
        assert caught.value.code == 2
    with pytest.raises(BulkWriteError) as several:
        weather.insert_many([{"t": START}, {"t": 0}, {"t": START}], ordered=False)
    assert several.value.details["nInserted"] == 2


def test_updates_touch_metadata_only(weather: Any) -> None:
    done = weather.update_many({"m.sensor": 1}, {"$set": {"m.place": "roof"}})
    assert done.modified_count == 16
    assert weather.count_documents({"m.place": "roof"}) == 16
    refused = [
        (weather.update_one, {"m.sensor": 1}, {"$set": {"m.x": 1}}),
        (weather.update_many, {"c": 1}, {"$set": {"m.x": 1}}),
        (weather.update_many, {"m.sensor": 1}, {"$set": {"c": 1}}),
        (weather.update_many, {"m.sensor": 1}, [{"$set": {"m.x": 1}}]),
        (weather.replace_one, {"m.sensor": 1}, {"t": START}),
        (weather.find_one_and_update, {"m.sensor": 1}, {"$set": {"m.x": 1}}),
    ]
    for call, query, change in refused:
        assert code_of(call, query, change) == 72
    assert code_of(weather.update_many, {"m": 9}, {"$set": {"m.x": 1}}, upsert=True) == 72


def test_deletes_of_any_kind(weather: Any) -> None:
    assert weather.delete_many({"m.sensor": 0}).deleted_count == 16
    assert weather.delete_one({"c": 0.5}).deleted_count == 1
    assert weather.delete_many({"t": {"$gte": START + 24 * HOUR}}).deleted_count == 16
    assert weather.count_documents({}) == 15


def test_options_are_checked(db: Any) -> None:
    bad: list[tuple[dict[str, Any], int]] = [
        ({"timeseries": {"metaField": "m"}}, 40414),
        ({"timeseries": {"timeField": "_id"}}, 72),
        ({"timeseries": {"timeField": "a.b"}}, 72),
        ({"timeseries": {"timeField": "t", "metaField": "t"}}, 72),
        ({"timeseries": {"timeField": "t", "metaField": "_id"}}, 72),
        ({"timeseries": {"timeField": "t", "granularity": "days"}}, 2),
        ({"timeseries": {"timeField": "t", "bucketMaxSpanSeconds": 10}}, 72),
        ({"timeseries": {"timeField": "t", "x": 1}}, 40415),
        ({"timeseries": {"timeField": "t"}, "capped": True, "size": 10}, 72),
        ({"timeseries": {"timeField": "t"}, "validator": {"a": 1}}, 72),
        ({"expireAfterSeconds": 10}, 72),
    ]
    for options, code in bad:
        assert code_of(db.command, {"create": "bad", **options}) == code
    span = {"timeField": "t", "bucketMaxSpanSeconds": 60, "bucketRoundingSeconds": 60}
    db.create_collection("spans", timeseries=span)
    assert db.spans.options()["timeseries"] == span
    with pytest.raises(CollectionInvalid):
        db.create_collection("spans")


def test_coll_mod(db: Any, weather: Any) -> None:
    db.command("collMod", "weather", timeseries={"granularity": "hours"}, expireAfterSeconds=100)
    options = weather.options()
    assert options["timeseries"]["bucketMaxSpanSeconds"] == 2_592_000
    assert options["expireAfterSeconds"] == 100
    finer = {"granularity": "minutes"}
    assert code_of(db.command, "collMod", "weather", timeseries=finer) == 72
    assert code_of(db.command, "collMod", "weather", validator={"a": 1}) == 72
    db.command("collMod", "weather", expireAfterSeconds="off")
    assert "expireAfterSeconds" not in weather.options()


def test_indexes(weather: Any) -> None:
    weather.create_index([("m.sensor", 1), ("t", -1)])
    weather.create_index("t", expireAfterSeconds=10**9)
    assert code_of(weather.create_index, "c", unique=True) == 72
    assert code_of(weather.create_index, [("c", "text")]) == 72
    assert weather.count_documents({"m.sensor": 1}, hint=[("m.sensor", 1), ("t", -1)]) == 16


def test_sizes_and_what_is_refused(db: Any, weather: Any) -> None:
    stats = db.command("collStats", "weather")
    assert stats["timeseries"]["bucketsNs"] == f"{db.name}.system.buckets.weather"
    assert code_of(weather.rename, "other") == 20
    assert code_of(db.command, "convertToCapped", "weather", size=1000) == 20
    merge = [{"$merge": {"into": "weather"}}]
    db.plain.insert_one({"t": START})
    assert code_of(db.plain.aggregate, merge) == 167
    assert db.command("validate", "weather")["valid"]


def test_out_to_a_time_series_collection(db: Any, weather: Any) -> None:
    spec = {"db": db.name, "coll": "copy", "timeseries": {"timeField": "t", "metaField": "m"}}
    weather.aggregate([{"$match": {"m.sensor": 1}}, {"$out": spec}])
    assert db.copy.count_documents({}) == 16
    assert db.copy.options()["timeseries"]["timeField"] == "t"
    weather.aggregate([{"$limit": 2}, {"$out": spec}])
    assert db.copy.count_documents({}) == 2
    assert code_of(weather.aggregate, [{"$project": {"t": 1, "x": "$m"}}, {"$unset": "t"},
                                       {"$out": spec}]) == 2
    assert db.copy.count_documents({}) == 2
    assert code_of(
        weather.aggregate, [{"$out": {**spec, "timeseries": {"timeField": "other"}}}]
    ) == 7406103


def test_old_documents_expire(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ["--dbpath", str(data), "--setParameter", "ttlMonitorSleepSecs=1"]
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    with Server(["shardsvr", *flags], data) as server, MongoClient(server.uri) as client:
        series = {"timeseries": {"timeField": "t"}}
        clustered = {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}
        for name, options in (("series", series), ("clustered", clustered)):
            client.db.command({"create": name, **options, "expireAfterSeconds": 100})
            times = [now - datetime.timedelta(seconds=age) for age in (0, 50, 150, 500)]
            client.db[name].insert_many({"_id": at, "t": at} for at in times)
        for name in ("series", "clustered"):
            deadline = time.monotonic() + 20
            while client.db[name].count_documents({}) != 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            ages = [round((now - found["t"]).total_seconds()) for found in client.db[name].find()]
            assert sorted(ages) == [0, 50]


def test_measurements_survive_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(["shardsvr", "--dbpath", str(data)], data)
    with server, MongoClient(server.uri) as client:
        client.db.create_collection("s", timeseries={"timeField": "t"})
        client.db.s.insert_many([{"_id": 1, "t": START, "n": n} for n in range(3)])
        client.admin.command("fsync")
        client.db.s.insert_many([{"_id": 1, "t": START, "n": n} for n in range(3, 6)])
        client.db.s.delete_one({"n": 4})
        server.kill()
        server.start()
    with server, MongoClient(server.uri) as client:
        assert sorted(d["n"] for d in client.db.s.find()) == [0, 1, 2, 3, 5]
        assert client.db.command("validate", "s", full=True)["valid"]
