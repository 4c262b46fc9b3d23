"""The manual's ZIP code tutorial on real ZIP records, against plain Python.

The records have no population: the tests take a number made of the code itself in its place.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import zipcodes
from agg_kit import Case, cut, run_case, run_split

Doc = dict[str, Any]


@pytest.fixture(scope="module")
def zips() -> list[Doc]:
    records: dict[str, Doc] = {}
    for one in zipcodes.list_all():
        code = one["zip_code"]
        records.setdefault(code, {
            "_id": code,
            "city": one["city"].upper(),
            "loc": [float(one["long"] or 0), float(one["lat"] or 0)],
            "pop": int(code) * 7919 % 50_021,
            "state": one["state"],
        })  # fmt: skip
    return list(records.values())


def both(zips: list[Doc], pipeline: list[Doc]) -> list[Doc]:
    """Run a pipeline whole and over three shards; both must agree."""
    one = Case("zip", zips, pipeline, [])
    whole = run_case(one, batch=256)
    assert run_split(one, cut(zips, 3)) == whole
    return whole


def test_states_with_populations_above_ten_million(zips: list[Doc]) -> None:
    pipeline = [
        {"$group": {"_id": "$state", "totalPop": {"$sum": "$pop"}}},
        {"$match": {"totalPop": {"$gte": 10_000_000}}},
    ]
    expected: dict[str, int] = defaultdict(int)
    for one in zips:
        expected[one["state"]] += one["pop"]
    found = {doc["_id"]: doc["totalPop"] for doc in both(zips, pipeline)}
    assert found == {state: pop for state, pop in expected.items() if pop >= 10_000_000}
    assert len(found) > 5


def test_average_city_population_by_state(zips: list[Doc]) -> None:
    pipeline = [
        {"$group": {"_id": {"state": "$state", "city": "$city"}, "pop": {"$sum": "$pop"}}},
        {"$group": {"_id": "$_id.state", "avgCityPop": {"$avg": "$pop"}}},
    ]
    cities: dict[tuple[str, str], int] = defaultdict(int)
    for one in zips:
        cities[one["state"], one["city"]] += one["pop"]
    states: dict[str, list[int]] = defaultdict(list)
    for (state, _), pop in cities.items():
        states[state].append(pop)
    found = {doc["_id"]: doc["avgCityPop"] for doc in both(zips, pipeline)}
    assert found == {state: sum(pops) / len(pops) for state, pops in states.items()}


def test_largest_and_smallest_cities_by_state(zips: list[Doc]) -> None:
    pipeline = [
        {"$group": {"_id": {"state": "$state", "city": "$city"}, "pop": {"$sum": "$pop"}}},
        {"$sort": {"pop": 1, "_id": 1}},
        {"$group": {
            "_id": "$_id.state",
            "biggestCity": {"$last": "$_id.city"}, "biggestPop": {"$last": "$pop"},
            "smallestCity": {"$first": "$_id.city"}, "smallestPop": {"$first": "$pop"}}},
        {"$project": {
            "_id": 0, "state": "$_id",
            "biggestCity": {"name": "$biggestCity", "pop": "$biggestPop"},
            "smallestCity": {"name": "$smallestCity", "pop": "$smallestPop"}}},
    ]  # fmt: skip
    cities: dict[tuple[str, str], int] = defaultdict(int)
    for one in zips:
        cities[one["state"], one["city"]] += one["pop"]
    ordered = sorted(cities.items(), key=lambda item: (item[1], item[0]))
    least, most = {}, {}
    for (state, city), pop in ordered:
        least.setdefault(state, {"name": city, "pop": pop})
        most[state] = {"name": city, "pop": pop}
    found = both(zips, pipeline)
    assert {doc["state"]: doc["biggestCity"] for doc in found} == most
    assert {doc["state"]: doc["smallestCity"] for doc in found} == least


def test_cities_with_most_codes(zips: list[Doc]) -> None:
    pipeline = [
        {"$match": {"state": {"$in": ["NY", "CA", "TX"]}}},
        {"$sortByCount": {"$concat": ["$city", ", ", "$state"]}},
        {"$match": {"count": {"$gt": 40}}},
        {"$sort": {"count": -1, "_id": 1}},
    ]
    counts: dict[str, int] = defaultdict(int)
    for one in zips:
        if one["state"] in ("NY", "CA", "TX"):
            counts[f"{one['city']}, {one['state']}"] += 1
    expected = sorted(((-n, city) for city, n in counts.items() if n > 40))
    assert [(-doc["count"], doc["_id"]) for doc in both(zips, pipeline)] == expected


def test_latitudes_in_buckets(zips: list[Doc]) -> None:
    lat = {"$arrayElemAt": ["$loc", 1]}
    pipeline = [{"$bucket": {"groupBy": lat, "boundaries": [0, 30, 40, 50], "default": "other"}}]
    counts: dict[Any, int] = defaultdict(int)
    for one in zips:
        north = one["loc"][1]
        edge: Any = next((low for low in (40, 30, 0) if low <= north < 50), "other")
        counts[edge] += 1
    assert {doc["_id"]: doc["count"] for doc in both(zips, pipeline)} == counts


def test_running_totals_and_ranks(zips: list[Doc]) -> None:
    pipeline = [
        {"$match": {"state": "VT"}},
        {"$setWindowFields": {
            "sortBy": {"_id": 1},
            "output": {
                "total": {"$sum": "$pop", "window": {"documents": ["unbounded", "current"]}},
                "near": {"$avg": "$pop", "window": {"documents": [-2, 2]}}}}},
        {"$project": {"total": 1, "near": 1}},
    ]  # fmt: skip
    vermont = sorted((one for one in zips if one["state"] == "VT"), key=lambda one: one["_id"])
    pops = [one["pop"] for one in vermont]
    found = both(zips, pipeline)
    assert [doc["total"] for doc in found] == [sum(pops[: n + 1]) for n in range(len(pops))]
    near = [pops[max(0, n - 2) : n + 3] for n in range(len(pops))]
    assert [doc["near"] for doc in found] == [sum(some) / len(some) for some in near]


def test_join_with_states(zips: list[Doc]) -> None:
    names = [{"_id": "VT", "name": "Vermont"}, {"_id": "RI", "name": "Rhode Island"}]
    pipeline = [
        {"$match": {"state": {"$in": ["VT", "RI"]}}},
        {"$lookup": {"from": "states", "localField": "state", "foreignField": "_id", "as": "s"}},
        {"$unwind": "$s"},
        {"$group": {"_id": "$s.name", "n": {"$sum": 1}, "max": {"$max": "$pop"}}},
        {"$sort": {"_id": 1}},
    ]
    found = run_case(Case("zip", zips, pipeline, [], {"states": names}), batch=256)
    for doc, state in zip(found, ("RI", "VT"), strict=True):
        pops = [one["pop"] for one in zips if one["state"] == state]
        assert (doc["n"], doc["max"]) == (len(pops), max(pops))
