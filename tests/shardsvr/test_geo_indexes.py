"""Geospatial indexes against looking at every document."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planner_kit import Kit, stages_of

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.geo import sphere
from psdb_query.geo.cells import CELL_RADII, ancestor_of, centre_of, leaf_of, number_of, span_of
from psdb_query.geo.cover import cover_cap, cover_geometry
from psdb_query.geo.geojson import parse_geometry
from psdb_query.geo.regions import Cap
from psdb_store import index_spec


def geo_kit(documents: list[Document], key: Document, **options: Any) -> Kit:
    kit = Kit()
    kit.add_index(index_spec.check({"key": key, "name": "geo", **options}))
    for document in documents:
        kit.insert(document)
    return kit


# Places that are hard: poles, the antimeridian, corners of the cube.
SPECIAL = [(0, 0), (180, 0), (-180, 10), (0, 90), (30, -90), (45, 35.264389682754654), (90, 45),
           (179.9, -5), (-179.9, 5), (0, 45)]  # fmt: skip
LONGITUDES = st.floats(-180, 180, allow_nan=False).map(lambda x: round(x, 3))
LATITUDES = st.floats(-90, 90, allow_nan=False).map(lambda x: round(x, 3))
SPOTS = st.one_of(st.tuples(LONGITUDES, LATITUDES), st.sampled_from(SPECIAL))


def around(spot: tuple[float, float], offset: tuple[float, float]) -> list[float]:
    """Move a spot, staying on the map."""
    x, y = spot[0] + offset[0], max(-90.0, min(90.0, spot[1] + offset[1]))
    return [(x + 180) % 360 - 180 if abs(x) > 180 else x, y]


@st.composite
def rings(draw: st.DrawFn, size: float) -> list[list[float]]:
    """Draw a closed ring around a spot: corners of a random polygon seen from its middle."""
    x, y = draw(SPOTS)
    y = max(-80.0, min(80.0, y))
    count = draw(st.integers(3, 6))
    reach = draw(st.floats(size / 20, size))
    ring = []
    for number in range(count):
        angle = 2 * math.pi * (number + draw(st.floats(0, 0.5))) / count
        ring.append(around((x, y), (reach * math.cos(angle), reach / 2 * math.sin(angle))))
    return [*ring, ring[0]]


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """Draw what a document may hold."""
    kind = draw(st.integers(0, 7))
    if kind <= 1:
        return {"type": "Point", "coordinates": list(draw(SPOTS))}
    if kind == 2:
        return list(draw(SPOTS))
    spot = draw(SPOTS)
    offsets = st.tuples(st.floats(-8, 8), st.floats(-8, 8))
    line = [list(spot), *(around(spot, offset) for offset in draw(st.lists(
        offsets, min_size=1, max_size=3)))]  # fmt: skip
    if kind == 3:
        return {"type": "LineString", "coordinates": line}
    if kind == 4:
        return {"type": "MultiPoint", "coordinates": line}
    if kind == 5:
        return {"type": "MultiPolygon", "coordinates": [[draw(rings(9))], [draw(rings(2))]]}
    if kind == 6:
        return {"type": "GeometryCollection", "geometries": [
            {"type": "Point", "coordinates": list(draw(SPOTS))},
            {"type": "Polygon", "coordinates": [draw(rings(5))]}]}  # fmt: skip
    return {"type": "Polygon", "coordinates": [draw(rings(20))]}


@st.composite
def conditions(draw: st.DrawFn) -> Document:
    """Draw a condition that a 2dsphere index may answer."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        cap = [list(draw(SPOTS)), draw(st.sampled_from([0.0, 0.01, 0.2, 1.0, 2.5]))]
        return {draw(st.sampled_from(["$geoWithin", "$geoWithin"])): {"$centerSphere": cap}}
    if kind == 1:
        return {"$geoIntersects": {"$geometry": draw(shapes().filter(lambda s: type(s) is dict))}}
    polygon = {"type": "Polygon", "coordinates": [draw(rings(60))]}
    if kind == 2:
        polygon["crs"] = {"type": "name", "properties": {
            "name": "urn:x-mongodb:crs:strictwinding:EPSG:4326"}}  # fmt: skip
    return {draw(st.sampled_from(["$geoWithin", "$geoIntersects"])): {"$geometry": polygon}}


def took(kit: Kit, document: Document) -> bool:
    """Insert a document, whose drawn shape may be malformed."""
    try:
        kit.insert(document)
    except MongoError as error:
        if error.code != 16755:
            raise
        return False
    return True


def answers(kit: Kit, query: Document, **options: Any) -> Any:
    try:
        return sorted(kit.ids(query, **options))
    except MongoError as error:
        return error.code


PLACED = st.one_of(shapes(), shapes(), st.lists(shapes(), min_size=1, max_size=3))
"""What a field may hold: a shape, or several."""

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(st.lists(PLACED, max_size=12), conditions(), st.booleans())
def test_a_2dsphere_index_finds_what_a_scan_finds(
    stored: list[Any], condition: Document, compound: bool
) -> None:
    plain, documents = Kit(), []
    for number, shape in enumerate(stored):
        documents.append({"_id": number, "a": {"loc": shape}, "b": number % 3})
    key = {"b": 1, "a.loc": "2dsphere"} if compound else {"a.loc": "2dsphere", "b": -1}
    kit = geo_kit([], key)
    for document in documents:
        if took(kit, document):
            plain.insert(document)
    query: Document = {"a.loc": condition, "b": {"$in": [0, 2]}}
    assert answers(kit, query) == answers(plain, query)
    if answers(plain, query) != 2:
        assert "IXSCAN" in stages_of(kit.winning(query))


@SETTINGS
@given(st.lists(PLACED, max_size=14), SPOTS, st.sampled_from([None, 0.0, 1e5, 3e6]),
       st.sampled_from([None, 0.0, 1e5, 5e6, 2e7]), st.integers(1, 5))  # fmt: skip
def test_near_gives_the_order_of_distances(
    stored: list[Any], spot: tuple[float, float], least: float | None, most: float | None,
    limit: int,
) -> None:
    kit = geo_kit([], {"loc": "2dsphere"})
    near: Document = {"$geometry": {"type": "Point", "coordinates": list(spot)}}
    near |= {} if least is None else {"$minDistance": least}
    near |= {} if most is None else {"$maxDistance": most}
    query = {"loc": {"$near": near}}
    distance = kit.plan(query).query.filter.near.distance  # type: ignore[union-attr]
    expected = []
    for number, shape in enumerate(stored):
        document = {"_id": number, "loc": shape}
        if not took(kit, document):
            continue
        found = distance(document)
        if found is not None:
            expected.append(found)
    expected.sort()
    assert [distance(document) for document in kit.find(query)] == expected
    assert [distance(document) for document in kit.find(query, limit=limit)] == expected[:limit]


FLAT = st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(lambda p: [round(v, 2) for v in p])
FLAT_CONDITIONS = st.one_of(
    st.tuples(FLAT, FLAT).map(lambda p: {"$geoWithin": {"$box": list(p)}}),
    st.tuples(FLAT, st.floats(0, 40)).map(lambda p: {"$geoWithin": {"$center": list(p)}}),
    st.lists(FLAT, min_size=3, max_size=6).map(lambda p: {"$geoWithin": {"$polygon": p}}),
    st.tuples(FLAT, st.floats(0, 1)).map(lambda p: {"$geoWithin": {"$centerSphere": list(p)}}),
)


@SETTINGS
@given(st.lists(FLAT | st.lists(FLAT, min_size=1, max_size=3), max_size=14), FLAT_CONDITIONS,
       st.sampled_from([1, 5, 26, 32]))  # fmt: skip
def test_a_2d_index_finds_what_a_scan_finds(
    stored: list[Any], condition: Document, bits: int
) -> None:
    documents = [{"_id": number, "loc": point} for number, point in enumerate(stored)]
    kit = geo_kit(documents, {"loc": "2d"}, bits=bits)
    query = {"loc": condition}
    assert answers(kit, query) == answers(Kit(documents), query)
    assert "IXSCAN" in stages_of(kit.winning(query))


@SETTINGS
@given(st.lists(FLAT, max_size=14), FLAT, st.booleans(), st.floats(0, 80))
def test_near_in_the_plane_gives_the_order_of_distances(
    stored: list[Any], spot: Any, spherical: bool, most: float
) -> None:
    documents = [{"_id": number, "loc": point} for number, point in enumerate(stored)]
    kit = geo_kit(documents, {"loc": "2d"}, min=-50, max=50)
    name = "$nearSphere" if spherical else "$near"
    query = {"loc": {name: spot, "$maxDistance": math.radians(most) if spherical else most}}
    distance = kit.plan(query).query.filter.near.distance  # type: ignore[union-attr]
    expected = sorted(d for doc in documents if (d := distance(doc)) is not None)
    assert [distance(document) for document in kit.find(query)] == expected
    assert kit.winning(query)["stage"] == "GEO_NEAR_2D"


def random_point(chance: random.Random) -> sphere.Vector:
    latitude = math.degrees(math.asin(chance.uniform(-1, 1)))
    return sphere.from_degrees(chance.uniform(-180, 180), latitude)


def test_cells_enclose_their_points_and_numbers_nest() -> None:
    chance = random.Random(11)
    for _ in range(500):
        point = random_point(chance)
        leaf = leaf_of(point)
        for level in range(31):
            cell = ancestor_of(leaf, level)
            assert sphere.angle(centre_of(cell), point) <= CELL_RADII[level]
            low, high = span_of(cell)
            assert low <= number_of(leaf) <= high
            assert low <= number_of(cell) <= high


@pytest.mark.parametrize("radius", [1e-7, 1e-3, 0.3, 1.5, 3.2])
def test_a_covering_leaves_nothing_out_and_is_not_much_larger(radius: float) -> None:
    chance = random.Random(5)
    for _ in range(20):
        cap = Cap(random_point(chance), radius)
        spans = [span_of(cell) for cell in cover_cap(cap)]
        assert len(spans) <= 24
        for _ in range(50):
            near = sphere.unit(sphere.blend(
                cap.centre, 1, random_point(chance), chance.uniform(-1, 1) * radius))  # fmt: skip
            if sphere.angle(cap.centre, near) <= radius:
                number = number_of(leaf_of(near))
                assert any(low <= number <= high for low, high in spans)
        area = sum((high - low) / 2**61 * 4 * math.pi / 6 for low, high in spans)
        assert area < 3 * 2 * math.pi * (1 - math.cos(min(radius, math.pi))) + 1e-10


def test_a_large_polygon_has_a_small_covering() -> None:
    ring = [[10 * math.cos(i * math.pi / 40), 10 * math.sin(i * math.pi / 40)] for i in range(80)]
    shape = parse_geometry({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    assert len(cover_geometry(shape)) <= 24


def test_near_looks_at_few_documents() -> None:
    chance = random.Random(3)
    documents = [
        {"_id": n, "loc": [chance.uniform(-5, 5), chance.uniform(40, 50)]} for n in range(3000)
    ]
    for key in ("2dsphere", "2d"):
        kit = geo_kit(documents, {"loc": key})
        explained = kit.explain({"loc": {"$nearSphere": [1, 45]}}, limit=5)
        assert explained["executionStats"]["nReturned"] == 5
        assert explained["executionStats"]["totalDocsExamined"] < 100


REFUSED = [
    ({"loc": "2dsphere"}, {"type": "Point", "coordinates": [200, 10]}, 16755),
    ({"loc": "2dsphere"}, {"type": "Pint", "coordinates": [20, 10]}, 16755),
    ({"loc": "2dsphere"}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, 16755),
    ({"loc": "2dsphere"}, "here", 16755),
    ({"loc": "2dsphere"}, [500, 3], 16755),
    ({"loc": "2d"}, [500, 3], 13027),
    ({"loc": "2d"}, [5], 13068),
    ({"loc": "2d"}, [5, "x"], 13026),
    ({"loc": "2d"}, {"type": "Point", "coordinates": [20, 10]}, 16804),
]


@pytest.mark.parametrize(("key", "value", "code"), REFUSED)
def test_what_is_no_place_is_refused(key: Document, value: Any, code: int) -> None:
    kit = geo_kit([], key)
    with pytest.raises(MongoError) as caught:
        kit.insert({"loc": value})
    assert caught.value.code == code


@pytest.mark.parametrize("key", ["2d", "2dsphere"])
def test_documents_without_a_place_have_no_entry(key: str) -> None:
    kit = geo_kit([{}, {"loc": None}, {"loc": []}], {"loc": key})
    assert kit.collection.indexes["geo"].entry_count == 0
    assert len(kit.find({"loc": None})) == 2


NO_INDEX = [
    ([], {"loc": {"$near": [1, 2]}}),
    ([{"loc": "2dsphere"}], {"loc": {"$near": [1, 2]}}),
    ([{"loc": "2d"}], {"loc": {"$near": {"$geometry": {"type": "Point", "coordinates": [1, 2]}}}}),
    ([{"b": 1, "loc": "2dsphere"}], {"loc": {"$nearSphere": [1, 2]}}),
    ([{"there": "2dsphere"}], {"loc": {"$nearSphere": [1, 2]}}),
]


@pytest.mark.parametrize(("keys", "query"), NO_INDEX)
def test_near_without_its_index_is_refused(keys: list[Document], query: Document) -> None:
    kit = Kit()
    for number, key in enumerate(keys):
        kit.add_index(index_spec.check({"key": key, "name": str(number)}))
    with pytest.raises(MongoError) as caught:
        kit.find(query)
    assert caught.value.code == 291


BAD_SPECS = [
    ({"a": "2d", "b": "2d"}, {}, 16800),
    ({"a": 1, "b": "2d"}, {}, 16801),
    ({"a": "2d"}, {"bits": 33}, 72),
    ({"a": "2d"}, {"bits": 0}, 72),
    ({"a": "2d"}, {"min": 5, "max": 5}, 72),
    ({"a": "2dsphere"}, {"2dsphereIndexVersion": 7}, 67),
    ({"a": "2dsphere", "b": "hashed"}, {}, 67),
    ({"a": "2d"}, {"collation": {"locale": "de"}}, 67),
    ({"$**": "2dsphere"}, {}, 67),
    ({"$**": 1, "b": "hashed"}, {}, 67),
    ({"$**": "text", "_fts": -1}, {}, 67),
    ({"_fts": "text"}, {}, 67),
]


@pytest.mark.parametrize(("key", "options", "code"), BAD_SPECS)
def test_wrong_specifications(key: Document, options: Document, code: int) -> None:
    with pytest.raises(MongoError) as caught:
        index_spec.check({"key": key, "name": "x", **options})
    assert caught.value.code == code


NUMBERS_OF_OTHER_KINDS = [
    ({"a": Decimal128("-5"), "loc": "2dsphere"}, {}),
    ({"a": Decimal128("5"), "t": "text", "b": Int64(-1)}, {}),
    ({"a": 1}, {"expireAfterSeconds": Decimal128("5")}),
    ({"a.$**": Decimal128("-1")}, {}),
]


@pytest.mark.parametrize(("key", "options"), NUMBERS_OF_OTHER_KINDS)
def test_numbers_of_every_kind_in_specifications(key: Document, options: Document) -> None:
    kit = geo_kit([{"a": 1, "loc": [1, 2], "t": "hello"}], key, **options)
    assert kit.collection.indexes["geo"].entry_count == 1


def test_a_flat_region_is_not_for_a_2dsphere_index() -> None:
    kit = geo_kit([{"loc": [1, 1]}], {"loc": "2dsphere"})
    plan = kit.winning({"loc": {"$geoWithin": {"$box": [[0, 0], [2, 2]]}}})
    assert stages_of(plan) == ["COLLSCAN"]


def test_a_changed_document_keeps_its_place_or_goes() -> None:
    kit = geo_kit([], {"loc": "2dsphere"})
    records = [kit.insert({"_id": n, "loc": [n, 0]}) for n in range(60)]
    execution = kit.plan({"loc": {"$nearSphere": [0, 0], "$maxDistance": 1.0}}).open()
    first = execution.next_batch(2)
    kit.update(records[2], {"loc": [2, 0], "new": 1})
    kit.update(records[3], {"loc": [120, 0]})
    kit.delete(records[4])
    rest = []
    while not execution.done:
        rest += execution.next_batch(2)
    ids = [record.document()["_id"] for record in [*first, *rest]]
    assert ids[:4] == [0, 1, 2, 5]


def test_many_documents_at_one_place_are_taken_in_turns() -> None:
    documents = [{"_id": n, "loc": [1, 2]} for n in range(3000)]
    for key in ("2dsphere", "2d"):
        kit = geo_kit(documents, {"loc": key})
        execution = kit.plan({"loc": {"$nearSphere": [1, 2]}}).open()
        found = list(execution.next_batch(10))
        assert execution.root.docs_examined < 3000
        while not execution.done:
            found += execution.next_batch(500)
        assert sorted(record.rid for record in found) == sorted(kit.collection.records)
