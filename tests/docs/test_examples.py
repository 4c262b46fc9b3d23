"""The example that loads real data, and questions to it answered by PSDB and by plain Python."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from servers import Server

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples/load_real_data.py"

_spec = importlib.util.spec_from_file_location("load_real_data", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(example)

ZIPS = example.zip_documents()
COUNTRIES = example.country_documents() or []
BY_CODE = {country["_id"]: country for country in COUNTRIES}

needs_countries = pytest.mark.skipif(
    not COUNTRIES, reason="the npm package world-countries is not there: run tests/tools.sh"
)


@pytest.fixture(scope="module")
def db(world: Server) -> Iterator[Any]:
    with MongoClient(world.uri) as client:
        yield client.world


def test_every_record_is_there_with_its_types(db: Any) -> None:
    stored = {document["_id"]: document for document in db.zips.find()}
    assert len(ZIPS) > 40_000
    assert stored == {document["_id"]: document for document in ZIPS}
    assert stored["90210"]["location"] == {
        "type": "Point", "coordinates": [-118.4065, 34.0901],
    }
    assert stored["90210"]["area_codes"][0] == 213
    assert list(db.countries.find()) == COUNTRIES


def test_the_indexes_are_there(db: Any) -> None:
    assert {"state_1_city_1", "time_zone_1", "area_codes_1"} < set(db.zips.index_information())


def test_states_with_most_zip_codes(db: Any) -> None:
    rows = list(db.zips.aggregate([
        {"$group": {"_id": "$state", "zips": {"$sum": 1}}},
        {"$sort": {"zips": -1, "_id": 1}},
        {"$limit": 10},
    ]))
    counted = Counter(z["state"] for z in ZIPS)
    expected = sorted(counted.items(), key=lambda row: (-row[1], row[0]))[:10]
    assert [(row["_id"], row["zips"]) for row in rows] == expected


def test_cities_with_most_zip_codes(db: Any) -> None:
    rows = list(db.zips.aggregate([
        {"$match": {"type": {"$ne": "MILITARY"}}},
        {"$group": {"_id": {"city": "$city", "state": "$state"}, "zips": {"$sum": 1}}},
        {"$sort": {"zips": -1, "_id.city": 1, "_id.state": 1}},
        {"$limit": 20},
    ]))
    counted = Counter((z["city"], z["state"]) for z in ZIPS if z["type"] != "MILITARY")
    expected = sorted(counted.items(), key=lambda row: (-row[1], row[0]))[:20]
    assert [((r["_id"]["city"], r["_id"]["state"]), r["zips"]) for r in rows] == expected


def test_zip_codes_in_a_box(db: Any) -> None:
    west, south, east, north = -74.05, 40.68, -73.90, 40.88
    box = {"$geoWithin": {"$box": [[west, south], [east, north]]}}
    found = sorted(z["_id"] for z in db.zips.find({"location": box}, {"_id": 1}))
    assert found == sorted(
        z["_id"] for z in ZIPS
        if west <= z["location"]["coordinates"][0] <= east
        and south <= z["location"]["coordinates"][1] <= north
    )
    assert found


@pytest.mark.parametrize("zone", ["America/Denver", "Pacific/Guam"])
def test_zip_codes_in_a_time_zone(db: Any, zone: str) -> None:
    expected = sum(z.get("time_zone") == zone for z in ZIPS)
    assert db.zips.count_documents({"time_zone": zone}) == expected > 0


def test_missing_fields(db: Any) -> None:
    expected = sum("time_zone" not in z for z in ZIPS)
    assert db.zips.count_documents({"time_zone": {"$exists": False}}) == expected > 0
    assert db.zips.count_documents({"time_zone": None}) == expected


def test_distinct(db: Any) -> None:
    assert db.zips.distinct("state") == sorted({z["state"] for z in ZIPS})
    codes = {code for z in ZIPS for code in z["area_codes"]}
    assert db.zips.distinct("area_codes") == sorted(codes)


@pytest.mark.parametrize(
    ("pattern", "options"),
    [("^Truth", ""), ("springs$", "i"), ("^(new|old) ", "i"), (r"^San\b.*o$", "")],
)
def test_cities_by_regular_expression(db: Any, pattern: str, options: str) -> None:
    query = {"city": {"$regex": pattern, "$options": options}}
    found = [z["_id"] for z in db.zips.find(query, {"_id": 1})]
    compiled = re.compile(pattern, re.IGNORECASE if options else 0)
    assert sorted(found) == sorted(z["_id"] for z in ZIPS if compiled.search(z["city"]))
    assert found


def test_an_index_is_used_and_says_the_same(db: Any) -> None:
    query = {"state": "NM", "city": {"$gte": "T", "$lt": "U"}}
    plan = db.zips.find(query).explain()["queryPlanner"]["winningPlan"]
    assert "'indexName': 'state_1_city_1'" in str(plan)
    found = sorted(z["_id"] for z in db.zips.find(query))
    assert found == sorted(
        z["_id"] for z in ZIPS if z["state"] == "NM" and "T" <= z["city"] < "U"
    )
    assert sorted(z["_id"] for z in db.zips.find(query).hint({"$natural": 1})) == found


def test_area_codes_through_an_array_index(db: Any) -> None:
    query = {"area_codes": {"$all": [212, 646]}}
    expected = [z["_id"] for z in ZIPS if {212, 646} <= set(z["area_codes"])]
    assert sorted(z["_id"] for z in db.zips.find(query)) == sorted(expected)


@needs_countries
def test_countries_by_region_and_area(db: Any) -> None:
    rows = list(db.countries.find({"region": "Europe"}, {"name.common": 1, "area": 1})
                .sort("area", -1).limit(5))
    europe = [c for c in COUNTRIES if c["region"] == "Europe" and "area" in c]
    largest = sorted(europe, key=lambda c: -c["area"])[:5]
    assert rows == [
        {"_id": c["_id"], "name": {"common": c["name"]["common"]}, "area": c["area"]}
        for c in largest
    ]
    regions = {
        row["_id"]: row for row in db.countries.aggregate([
            {"$group": {"_id": "$region", "countries": {"$sum": 1}, "area": {"$sum": "$area"},
                        "largest": {"$max": "$area"}}},
        ])
    }
    areas: dict[str, list[float]] = defaultdict(list)
    for country in COUNTRIES:
        areas[country["region"]].append(country.get("area", 0.0))
    assert set(regions) == set(areas)
    for region, values in areas.items():
        assert regions[region]["countries"] == len(values)
        assert regions[region]["area"] == pytest.approx(sum(values))
        assert regions[region]["largest"] == max(values)


@needs_countries
def test_neighbours_by_lookup(db: Any) -> None:
    rows = list(db.countries.aggregate([
        {"$match": {"_id": "FRA"}},
        {"$lookup": {"from": "countries", "localField": "borders", "foreignField": "_id",
                     "as": "neighbour"}},
        {"$unwind": "$neighbour"},
        {"$sort": {"neighbour.area": -1}},
        {"$project": {"_id": 0, "name": "$neighbour.name.common"}},
    ]))
    neighbours = sorted((BY_CODE[code] for code in BY_CODE["FRA"]["borders"]),
                        key=lambda c: -c["area"])
    assert [row["name"] for row in rows] == [c["name"]["common"] for c in neighbours]


@needs_countries
def test_how_far_one_can_walk(db: Any) -> None:
    row, = db.countries.aggregate([
        {"$match": {"_id": "PRT"}},
        {"$graphLookup": {"from": "countries", "startWith": "$borders",
                          "connectFromField": "borders", "connectToField": "_id",
                          "as": "reached", "depthField": "borders_between"}},
        {"$project": {"reached._id": 1, "reached.borders_between": 1}},
    ])
    depths: dict[str, int] = {}
    front, depth = list(BY_CODE["PRT"]["borders"]), 0
    while front:
        fresh = [code for code in dict.fromkeys(front) if code not in depths]
        depths |= dict.fromkeys(fresh, depth)
        front = [code for name in fresh for code in BY_CODE[name]["borders"]]
        depth += 1
    assert {c["_id"]: c["borders_between"] for c in row["reached"]} == depths


@needs_countries
def test_languages_through_objects(db: Any) -> None:
    rows = list(db.countries.aggregate([
        {"$project": {"language": {"$objectToArray": "$languages"}}},
        {"$unwind": "$language"},
        {"$sortByCount": "$language.v"},
    ]))
    counted = Counter(name for c in COUNTRIES for name in c["languages"].values())
    assert {row["_id"]: row["count"] for row in rows} == counted
    counts = [row["count"] for row in rows]
    assert counts == sorted(counts, reverse=True)


@needs_countries
def test_zip_codes_abroad_by_country(db: Any) -> None:
    rows = list(db.zips.aggregate([
        {"$match": {"country": {"$exists": True, "$ne": "US"}}},
        {"$lookup": {"from": "countries", "localField": "country", "foreignField": "cca2",
                     "as": "place"}},
        {"$unwind": "$place"},
        {"$group": {"_id": "$place.name.common", "zips": {"$sum": 1}}},
    ]))
    names = {c["cca2"]: c["name"]["common"] for c in COUNTRIES}
    counted = Counter(
        names[z["country"]] for z in ZIPS if z.get("country", "US") != "US"
        and z["country"] in names
    )
    assert {row["_id"]: row["zips"] for row in rows} == counted


def test_a_second_run_changes_nothing_and_missing_countries_are_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "COUNTRIES_FILE", Path("nowhere.json"))
    monkeypatch.setattr(example, "zip_documents", lambda: ZIPS[:10])
    with MongoClient(server.uri) as client:
        indexes = []
        for _ in range(2):
            assert example.main(["--uri", server.uri, "--db", "example_short"]) == 0
            assert "no countries are loaded" in capsys.readouterr().out
            assert list(client.example_short.zips.find()) == ZIPS[:10]
            assert client.example_short.list_collection_names() == ["zips"]
            indexes.append(client.example_short.zips.index_information())
        assert indexes[0] == indexes[1]
        client.drop_database("example_short")
