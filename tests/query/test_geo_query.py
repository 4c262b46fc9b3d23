"""Geospatial conditions: (manual page, values of `a`, filter, ids that match)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from expression_kit import Err
from filter_kit import CTX, FilterCase, agrees, check_filter, find, table

from psdb_query.filters import compile_filter

Shape = dict[str, Any]


def point(x: float, y: float) -> Shape:
    return {"$value": 1, "type": "Point", "coordinates": [x, y]}


def stored(kind: str, coordinates: Any, **more: Any) -> Shape:
    return {"$value": 1, "type": kind, "coordinates": coordinates, **more}


def geometry(kind: str, coordinates: Any, **more: Any) -> Shape:
    return {"$geometry": {"type": kind, "coordinates": coordinates, **more}}


def within(shape: Shape) -> Shape:
    return {"a": {"$geoWithin": shape}}


def intersects(shape: Shape) -> Shape:
    return {"a": {"$geoIntersects": shape}}


def polygon(*rings: Any, **more: Any) -> Shape:
    return geometry("Polygon", list(rings), **more)


def crs(name: str) -> Shape:
    return {"crs": {"type": "name", "properties": {"name": name}}}


STRICT = crs("urn:x-mongodb:crs:strictwinding:EPSG:4326")
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[3, 3], [6, 3], [6, 6], [3, 6], [3, 3]]
HOLE2 = [[7, 7], [9, 7], [9, 9], [7, 9], [7, 7]]
FAR = [[50, 50], [60, 50], [60, 60], [50, 60], [50, 50]]
PACIFIC = [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
ARCTIC = [[0, 60], [90, 60], [180, 60], [-90, 60], [0, 60]]
ANTARCTIC = [[0, -70], [-120, -70], [120, -70], [0, -70]]
TRIANGLE = [[0, 0], [3, 6], [6, 1], [0, 0]]
BAND = [
    [-170, -5],
    [-60, -5],
    [60, -5],
    [170, -5],
    [170, 5],
    [60, 5],
    [-60, 5],
    [-170, 5],
    [-170, -5],
]

POINTS = [
    point(5, 5),  # 0: in the middle
    point(11, 5),  # 1: beside
    point(0, 0),  # 2: a corner
    point(5, 0),  # 3: on the equator edge
    point(0, 5),  # 4: on a meridian edge
    point(5, 10.02),  # 5: the upper edge bulges to the north
    point(5, 10.05),  # 6: but not so far
    point(4, 4),  # 7: in the hole
    point(3, 3),  # 8: a corner of the hole
    point(-5, 5),  # 9
    [5, 5],  # 10: legacy pair
    {"$value": 1, "lng": 5, "lat": 5},  # 11: legacy object
    [[50, 50], [4.5, 4.5]],  # 12: several legacy pairs
    "text",  # 13
    ...,  # 14
    [200, 5],  # 15: off the sphere
    [Int64(5), Decimal128("5")],  # 16
    {"$value": 1, "type": "Point", "coordinates": [5, 5, 100]},  # 17: with a height
    {"$value": 1, "type": "Nothing", "coordinates": [5, 5]},  # 18
    {"$value": 1, "type": "Point"},  # 19
]
LINES = [
    stored("LineString", [[1, 1], [9, 9]]),  # 0: inside, through the hole
    stored("LineString", [[1, 1], [2, 2]]),  # 1: inside
    stored("LineString", [[-5, 5], [15, 5]]),  # 2: across
    stored("LineString", [[-5, -5], [15, -5]]),  # 3: beside
    stored("LineString", [[0, 0], [10, 0]]),  # 4: along an edge
    stored("LineString", [[-5, 0], [5, 0]]),  # 5: along and beyond
    stored("LineString", [[10, 10], [20, 20]]),  # 6: from a corner outwards
    stored("LineString", [[1, 1]]),  # 7: malformed
    stored("LineString", [[1, 1], [1, 1]]),  # 8: malformed
]
POLYGONS = [
    stored("Polygon", [HOLE]),  # 0
    stored("Polygon", [SQUARE]),  # 1
    stored("Polygon", [SQUARE, HOLE]),  # 2
    stored("Polygon", [FAR]),  # 3
    stored("Polygon", [[[-20, -20], [30, -20], [30, 30], [-20, 30], [-20, -20]]]),  # 4: around
    stored("Polygon", [[[5, 5], [15, 5], [15, 15], [5, 15], [5, 5]]]),  # 5: overlapping
    stored("Polygon", [[[10, 0], [20, 0], [20, 10], [10, 10], [10, 0]]]),  # 6: sharing an edge
    stored("Polygon", [HOLE2]),  # 7
    stored("Polygon", [SQUARE], **STRICT),  # 8: never matches
    stored("Polygon", [[[0, 0], [1, 1]]]),  # 9: malformed
    stored("MultiPolygon", [[HOLE], [FAR]]),  # 10
    stored("MultiPolygon", [[HOLE], [HOLE2]]),  # 11
    stored("MultiPoint", [[1, 1], [50, 50]]),  # 12
    stored("MultiPoint", [[1, 1], [2, 2]]),  # 13
    stored("MultiLineString", [[[1, 1], [2, 2]], [[20, 20], [30, 30]]]),  # 14
    {
        "$value": 1,
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Point", "coordinates": [1, 1]},
            {"type": "Polygon", "coordinates": [HOLE]},
        ],
    },  # 15
]
FLAT = [[0, 0], [1, 1], [3, 3], [0.5, 2], [-1, 0], [3, 0], [2, 4], point(1, 1), [200, 300], "x"]

W = "$geoWithin"
I = "$geoIntersects"  # noqa: E741
CASES: list[FilterCase] = [
    (W, POINTS, within(polygon(SQUARE)), [0, 2, 3, 4, 5, 7, 8, 10, 11, 12, 16, 17]),
    (W, POINTS, within(polygon(SQUARE[::-1])), [0, 2, 3, 4, 5, 7, 8, 10, 11, 12, 16, 17]),
    (W, POINTS, within(polygon(SQUARE, HOLE)), [2, 3, 4, 5, 8]),
    (W, POINTS, within(polygon(SQUARE, HOLE[::-1], HOLE2)), [2, 3, 4, 5, 8]),
    (W, POINTS, within(geometry("MultiPolygon", [[FAR], [HOLE]])), [0, 7, 8, 10, 11, 12, 16, 17]),
    (W, POINTS, {"a": {"$within": polygon(FAR)}}, [12]),
    (W, POINTS, {"a": {"$not": {"$geoWithin": polygon(SQUARE)}}}, [1, 6, 9, 13, 14, 15, 18, 19]),
    (
        W,
        POINTS,
        within(polygon(SQUARE, **crs("EPSG:4326"))),
        [0, 2, 3, 4, 5, 7, 8, 10, 11, 12, 16, 17],
    ),
    (W, LINES, within(polygon(SQUARE)), [0, 1, 4]),
    (W, LINES, within(polygon(SQUARE, HOLE)), [1, 4]),
    (W, POLYGONS, within(polygon(SQUARE)), [0, 1, 2, 7, 11, 13, 15]),
    (W, POLYGONS, within(polygon(SQUARE, HOLE)), [2, 7, 13]),
    (W, POLYGONS, within(polygon(FAR)), [3]),
    (W, POLYGONS, within(geometry("MultiPolygon", [[HOLE], [FAR], [HOLE2]])), [0, 3, 7, 10, 11]),
    (I, POINTS, intersects(polygon(SQUARE)), [0, 2, 3, 4, 5, 7, 8, 10, 11, 12, 16, 17]),
    (I, POINTS, intersects(geometry("Point", [5, 5])), [0, 10, 11, 16, 17]),
    (I, POINTS, intersects(geometry("LineString", [[-5, 0], [20, 0]])), [2, 3]),
    (I, POINTS, intersects(geometry("MultiPoint", [[5, 5], [11, 5]])), [0, 1, 10, 11, 16, 17]),
    (I, LINES, intersects(polygon(SQUARE)), [0, 1, 2, 4, 5, 6]),
    (I, LINES, intersects(polygon(SQUARE, HOLE)), [0, 1, 2, 4, 5, 6]),
    (I, LINES, intersects(geometry("LineString", [[0, 9], [9, 0]])), [0, 2, 4]),
    (I, LINES, intersects(geometry("LineString", [[2, 2], [2, 20]])), [0, 1, 2]),
    (I, POLYGONS, intersects(polygon(SQUARE)), [0, 1, 2, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15]),
    (I, POLYGONS, intersects(polygon(FAR)), [3, 10, 12]),
    (I, POLYGONS, intersects(geometry("Point", [4, 4])), [0, 1, 4, 10, 11, 15]),
    (
        I,
        POLYGONS,
        intersects(geometry("LineString", [[-30, 4], [40, 4]])),
        [0, 1, 2, 4, 6, 10, 11, 15],
    ),
    (
        I,
        POLYGONS,
        {
            "a": {
                "$geoIntersects": {
                    "$geometry": {
                        "type": "GeometryCollection",
                        "geometries": [
                            {"type": "Point", "coordinates": [55, 55]},
                            {"type": "Polygon", "coordinates": [HOLE2]},
                        ],
                    }
                }
            }
        },
        [1, 2, 3, 4, 5, 7, 10, 11],
    ),
    # Across the antimeridian
    (
        W,
        [point(180, 0), point(-180, 0), point(175, 5), point(-171, 1), point(0, 0), point(165, 0)],
        within(polygon(PACIFIC)),
        [0, 1, 2, 3],
    ),
    (
        W,
        [stored("LineString", [[175, 0], [-175, 0]]), stored("LineString", [[165, 0], [175, 0]])],
        within(polygon(PACIFIC)),
        [0],
    ),
    (
        I,
        [
            stored("LineString", [[179, -1], [-179, 1]]),
            stored("LineString", [[179, 20], [-179, 21]]),
        ],
        intersects(geometry("LineString", [[-179, -1], [179, 1]])),
        [0],
    ),
    (I, [point(180, 7)], intersects(geometry("Point", [-180, 7])), [0]),
    # Over the poles
    (
        W,
        [
            point(0, 90),
            point(123, 90),
            point(45, 70),
            point(45, 61),
            point(-45, 72),
            point(0, 0),
            point(0, -90),
        ],
        within(polygon(ARCTIC)),
        [0, 1, 2, 4],
    ),
    (
        W,
        [point(0, -90), point(77, -90), point(10, -85), point(0, 90), point(0, -40)],
        within(polygon(ANTARCTIC)),
        [0, 1, 2],
    ),
    (I, [point(33, 90), point(0, 89)], intersects(geometry("Point", [99, 90])), [0]),
    (I, [stored("LineString", [[0, 80], [180, 70]])], intersects(geometry("Point", [12, 90])), [0]),
    # Larger than a hemisphere
    (W, [point(5, 5), point(50, 50)], within(polygon(SQUARE, **STRICT)), [0]),
    (
        W,
        [point(5, 5), point(50, 50), point(-100, -50), point(0, 90), point(0, 0)],
        within(polygon(SQUARE[::-1], **STRICT)),
        [1, 2, 3, 4],
    ),
    (
        I,
        [stored("LineString", [[1, 1], [2, 2]]), stored("LineString", [[1, 1], [20, 20]])],
        intersects(polygon(SQUARE[::-1], **STRICT)),
        [1],
    ),
    (W, POLYGONS, within(polygon(SQUARE[::-1], **STRICT)), [3, 6]),
    (
        W,
        [point(0, 0), point(100, 0), point(-100, 3), point(0, 30), point(180, 0)],
        within(polygon(BAND)),
        [0, 1, 2],
    ),
    # $centerSphere
    (
        W,
        [
            point(5, 0),
            point(6, 0),
            stored("Polygon", [[[0, 0], [1, 0], [1, 1], [0, 0]]]),
            stored("Polygon", [SQUARE]),
        ],
        within({"$centerSphere": [[0, 0], 0.1]}),
        [0, 2],
    ),
    (
        W,
        [point(179, 0), point(-179, 0), point(177, 0), [180, 1]],
        within({"$centerSphere": [[180, 0], 0.04]}),
        [0, 1, 3],
    ),
    (
        W,
        [point(10, 88), point(-170, 88), point(0, 80)],
        within({"$centerSphere": [[0, 90], 0.04]}),
        [0, 1],
    ),
    (
        W,
        [point(10, 10), point(-170, -10), stored("Polygon", [SQUARE])],
        within({"$centerSphere": [[0, 0], 4]}),
        [0, 1, 2],
    ),
    (
        W,
        [stored("LineString", [[-5, 0], [5, 0]]), stored("LineString", [[-5, 0], [9, 0]])],
        within({"$centerSphere": [[0, 0], 0.1]}),
        [0],
    ),
    (W, [point(0, 0), point(0, 1)], within({"$centerSphere": [[0, 0], 0]}), [0]),
    # The plane
    ("$box", FLAT, within({"$box": [[0, 0], [1, 1]]}), [0, 1, 7]),
    ("$box", FLAT, within({"$box": [[1, 1], [0, 0]]}), [0, 1, 7]),
    ("$box", FLAT, within({"$box": [[100, 100], [400, 400]]}), [8]),
    ("$box", FLAT, within({"$box": {"low": [0, 0], "high": {"x": 1, "y": 1}}}), [0, 1, 7]),
    ("$polygon", FLAT, within({"$polygon": [[0, 0], [3, 6], [6, 0]]}), [0, 1, 2, 5, 6, 7]),
    ("$polygon", FLAT, within({"$polygon": [[0, 0], [0, 3], [3, 3], [3, 0]]}), [0, 1, 2, 3, 5, 7]),
    (
        "$polygon",
        FLAT,
        within({"$polygon": {"a": [0, 0], "b": [0, 3], "c": [3, 3]}}),
        [0, 1, 2, 3, 7],
    ),
    ("$center", FLAT, within({"$center": [[0, 0], 1]}), [0, 4]),
    ("$center", FLAT, within({"$center": [[0, 0], 0]}), [0]),
    ("$center", FLAT, within({"$center": [[0, 0], float("inf")]}), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ("$box", POLYGONS, within({"$box": [[-100, -80], [100, 80]]}), []),
    ("$uniqueDocs", FLAT, within({"$box": [[0, 0], [1, 1]], "$uniqueDocs": True}), [0, 1, 7]),
    # Under a path
    (
        W,
        [{"x": [{"g": [5, 5]}, {"g": [50, 50]}]}, {"x": {"g": [50, 50]}}],
        {"x.g": {"$geoWithin": {"$box": [[0, 0], [10, 10]]}}},
        [0],
    ),
    (
        W,
        [{"x": [{"g": {"type": "Point", "coordinates": [5, 5]}}]}],
        {"x.g": {"$geoWithin": polygon(SQUARE)}},
        [0],
    ),
    (
        W,
        [
            {
                "a": [
                    {"type": "Point", "coordinates": [50, 5]},
                    {"type": "Point", "coordinates": [5, 5]},
                ]
            }
        ],
        within(polygon(SQUARE)),
        [0],
    ),
    # $near as a filter: within its limits
    (
        "$near",
        POINTS,
        {"a": {"$near": {**geometry("Point", [5, 5]), "$maxDistance": 10}}},
        [0, 10, 11, 16, 17],
    ),
    (
        "$near",
        POINTS,
        {"a": {"$near": {**geometry("Point", [5, 5]), "$minDistance": 1, "$maxDistance": 200000}}},
        [7, 12],
    ),
    (
        "$nearSphere",
        POINTS,
        {"a": {"$nearSphere": [5, 5], "$maxDistance": 0.001}},
        [0, 10, 11, 16, 17],
    ),
    (
        "$nearSphere",
        POINTS,
        {"a": {"$nearSphere": geometry("Point", [5, 5])}},
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17],
    ),
    ("$near", FLAT, {"a": {"$near": [0, 0], "$maxDistance": 1.5}}, [0, 1, 4, 7]),
    ("$near", FLAT, {"a": {"$near": [0, 0, 1.5]}}, [0, 1, 4, 7]),
    (
        "$near",
        FLAT,
        {"a": {"$near": {"x": 0, "y": 0}, "$maxDistance": 1.5, "$minDistance": 1}},
        [1, 4, 7],
    ),
    (
        "$near",
        FLAT,
        {"a": {"$near": {"type": "Point", "coordinates": [1, 1]}, "$maxDistance": 5}},
        [1, 7],
    ),
]


@table(CASES)
def test_geometry(case: FilterCase) -> None:
    check_filter(case)


P = geometry("Point", [1, 1])
ERRORS: list[tuple[str, Shape, int, str | None]] = [
    (W, within(P), 2, None),
    (W, within(geometry("LineString", [[0, 0], [1, 1]])), 2, None),
    (W, within({}), 2, "geo query doesn't have any geometry"),
    (W, within({"$foo": [1]}), 2, None),
    (W, {"a": {"$geoWithin": 1}}, 2, "geometry must be an object"),
    (W, within({"$geometry": 1}), 2, None),
    (W, within({"$box": [[0, 0], [1, 1]], "$center": [[0, 0], 1]}), 2, None),
    (W, within({"$geometry": {"type": "Blob", "coordinates": []}}), 2, None),
    (W, within({"$geometry": {"coordinates": []}}), 2, None),
    (W, within(polygon([[0, 0], [1, 1], [2, 2]])), 2, None),
    (W, within(polygon([[0, 0], [1, 1], [0, 0]])), 2, None),
    (W, within(polygon([])), 2, "Loop has no vertices: []"),
    (W, within(polygon()), 2, "Polygon has no loops."),
    (W, within(geometry("Polygon", 1)), 2, "Polygon coordinates must be an array"),
    (W, within(polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]])), 2, None),
    (W, within(polygon([[0, 0], [5, 0], [5, 5], [5, 0], [0, 0]])), 2, None),
    (W, within(polygon(SQUARE, FAR)), 2, None),
    (W, within(polygon(SQUARE, HOLE, HOLE)), 2, None),
    (W, within(polygon(SQUARE, HOLE, [[4, 4], [5, 4], [5, 5], [4, 4]])), 2, None),
    (
        W,
        within(polygon([[0, 0], [1, 200], [2, 2], [0, 0]])),
        2,
        "Longitude/latitude is out of bounds, lng: 1 lat: 200",
    ),
    (
        W,
        within(polygon([[0, 0], ["x", 2], [2, 2], [0, 0]])),
        2,
        "Point must only contain numeric elements",
    ),
    (
        W,
        within(polygon([[0, 0], [float("nan"), 2], [2, 2], [0, 0]])),
        2,
        "Point coordinates must be finite numbers",
    ),
    (W, within(polygon([[0, 0], [180, 0], [90, 45], [0, 0]])), 2, None),
    (W, within(polygon(SQUARE, HOLE, **STRICT)), 2, None),
    (W, within(polygon(SQUARE, **crs("EPSG:9999"))), 2, "Unknown CRS name: EPSG:9999"),
    (W, within(polygon(SQUARE, crs=1)), 2, "GeoJSON CRS must be an object"),
    (
        W,
        within(polygon(SQUARE, crs={"type": "link"})),
        2,
        'GeoJSON CRS must have field "type": "name"',
    ),
    (W, within(polygon(SQUARE, crs={"type": "name"})), 2, None),
    (W, within(polygon(SQUARE, crs={"type": "name", "properties": {"name": 1}})), 2, None),
    (
        W,
        within(geometry("MultiPolygon", [[SQUARE]], **STRICT)),
        2,
        "Strict winding order is only supported by polygon",
    ),
    (
        W,
        within(geometry("MultiPolygon", [])),
        2,
        "MultiPolygon coordinates must have at least 1 element",
    ),
    (W, within({"$center": [[0, 0], -1]}), 2, "radius must be a non-negative number"),
    (W, within({"$center": [[0, 0]]}), 2, "radius must be a non-negative number"),
    (W, within({"$center": [[0, 0], 1, 2]}), 2, "Only 2 fields allowed for circular region"),
    (
        W,
        within({"$centerSphere": [[0, 100], 1]}),
        2,
        "Longitude/latitude is out of bounds, lng: 0 lat: 100",
    ),
    (W, within({"$box": [[0, 0]]}), 2, "Point must be an array or object"),
    (W, within({"$box": [[0, 0], [1, 1, 1]]}), 2, "Point must only contain two numeric elements"),
    (W, within({"$polygon": [[0, 0], [1, 1]]}), 2, "Polygon must have at least 3 points"),
    (W, {"a": {"$geoWithin": polygon(SQUARE), "$maxDistance": 1}}, 2, None),
    (I, intersects({"$box": [[0, 0], [1, 1]]}), 2, None),
    (
        I,
        intersects(geometry("Point", [1, 200])),
        2,
        "Longitude/latitude is out of bounds, lng: 1 lat: 200",
    ),
    (I, intersects(geometry("LineString", [[1, 1]])), 2, None),
    (I, intersects(geometry("LineString", [[0, 0], [180, 0]])), 2, None),
    (
        I,
        intersects(geometry("MultiPoint", [])),
        2,
        "MultiPoint coordinates must have at least 1 element",
    ),
    (
        I,
        intersects({"$geometry": {"type": "GeometryCollection", "geometries": []}}),
        2,
        "GeometryCollection geometries must have at least 1 element",
    ),
    (
        I,
        intersects({"$geometry": {"type": "GeometryCollection", "geometries": [1]}}),
        2,
        'Element 0 of "geometries" is not an object',
    ),
    (
        I,
        intersects(
            {
                "$geometry": {
                    "type": "GeometryCollection",
                    "geometries": [{"type": "GeometryCollection", "geometries": []}],
                }
            }
        ),
        2,
        None,
    ),
    (
        I,
        intersects({"$geometry": {"type": "GeometryCollection", "geometries": [{"type": "Blob"}]}}),
        2,
        None,
    ),
    ("$near", {"a": {"$near": {}}}, 2, "$geometry is required for geo near query"),
    ("$near", {"a": {"$near": 1}}, 2, None),
    (
        "$near",
        {"a": {"$near": {"$geometry": {"type": "Point", "coordinates": [1000, 1000]}}}},
        2,
        (
            'invalid point in geo near query $geometry argument: { type: "Point", '
            "coordinates: [ 1000, 1000 ] }  Longitude/latitude is out of bounds, lng: 1000 "
            "lat: 1000"
        ),
    ),
    (
        "$near",
        {"a": {"$near": {"$geometry": [1, 1]}}},
        2,
        "$near requires geojson point, given [ 1, 1 ]",
    ),
    ("$near", {"a": {"$near": {**P, "$maxDistance": -1}}}, 2, "$maxDistance must be non-negative"),
    ("$near", {"a": {"$near": {**P, "$minDistance": "x"}}}, 2, "$minDistance must be a number"),
    ("$near", {"a": {"$near": {**P, "$minDistance": None}}}, 2, "$minDistance must be a number"),
    ("$near", {"a": {"$near": {**P, "$foo": 1}}}, 2, "invalid argument in geo near query: $foo"),
    (
        "$near",
        {"a": {"$near": P, "$maxDistance": 5}},
        2,
        (
            "geo near accepts just one argument when querying for a GeoJSON point. Extra "
            "field found: $maxDistance: 5"
        ),
    ),
    (
        "$near",
        {"a": {"$near": [0, 0], "$maxDistance": -1}},
        16896,
        "$maxDistance must be non-negative",
    ),
    (
        "$near",
        {"a": {"$near": [0, 0], "$maxDistance": "x"}},
        16895,
        "$maxDistance must be a number",
    ),
    (
        "$near",
        {"a": {"$near": [0, 0], "$minDistance": -1}},
        16894,
        "$minDistance must be non-negative",
    ),
    (
        "$near",
        {"a": {"$near": [0, 0], "$minDistance": "x"}},
        16893,
        "$minDistance must be a number",
    ),
    ("$near", {"a": {"$near": [0, 0], "$gt": 1}}, 34413, "invalid argument in geo near query: $gt"),
    ("$near", {"a": {"$near": [0, 0, -1]}}, 18522, "max distance must be non-negative"),
    (
        "$nearSphere",
        {"a": {"$nearSphere": [200, 0]}},
        2,
        "Legacy point is out of bounds for spherical query",
    ),
]


@table(ERRORS)
def test_refused(case: tuple[str, Shape, int, str | None]) -> None:
    page, spec, code, message = case
    agrees(page, find([[0, 0]], spec), Err(code, message))


DISTANCES: list[tuple[Shape, Any, float | None]] = [
    ({"$near": geometry("Point", [0, 0])}, {"type": "Point", "coordinates": [1, 0]}, 111_318.845),
    ({"$near": geometry("Point", [0, 0])}, {"type": "Point", "coordinates": [0, -1]}, 111_318.845),
    ({"$near": geometry("Point", [0, 0])}, [180, 0], 20_037_392.1),
    ({"$near": geometry("Point", [179.5, 0])}, [-179.5, 0], 111_318.845),
    ({"$near": geometry("Point", [0, 89])}, [180, 89], 222_637.69),
    ({"$near": {**geometry("Point", [0, 0]), "$maxDistance": 1000}}, [1, 0], None),
    ({"$near": {**geometry("Point", [0, 0]), "$minDistance": 200000}}, [1, 0], None),
    ({"$near": geometry("Point", [5, 5])}, {"type": "Polygon", "coordinates": [SQUARE]}, 0.0),
    (
        {"$near": geometry("Point", [5, 5])},
        {"type": "Polygon", "coordinates": [SQUARE, HOLE]},
        110_897.0,
    ),
    (
        {"$near": geometry("Point", [5, -1])},
        {"type": "Polygon", "coordinates": [SQUARE]},
        111_318.845,
    ),
    (
        {"$near": geometry("Point", [5, -1])},
        {"type": "LineString", "coordinates": [[0, 0], [10, 0]]},
        111_318.845,
    ),
    ({"$near": geometry("Point", [0, 0])}, [[1, 0], [2, 0]], 111_318.845),
    ({"$near": geometry("Point", [0, 0])}, "text", None),
    ({"$near": geometry("Point", [0, 0])}, [1000, 0], None),
    ({"$nearSphere": [0, 0]}, [1, 0], 0.017453292519943295),
    ({"$nearSphere": [0, 0], "$maxDistance": 0.01}, [1, 0], None),
    ({"$near": [0, 0]}, [3, 4], 5.0),
    ({"$near": [0, 0]}, {"type": "Point", "coordinates": [3, 4]}, 5.0),
    ({"$near": [0, 0]}, [[3, 4], [1, 0]], 1.0),
    ({"$near": [0, 0]}, {"type": "LineString", "coordinates": [[1, 1], [2, 2]]}, None),
]


@pytest.mark.parametrize("case", DISTANCES, ids=lambda case: str(case[:2])[:80])
def test_distance(case: tuple[Shape, Any, float | None]) -> None:
    condition, value, expected = case
    near = compile_filter({"a": condition}, CTX).near
    assert near is not None
    found = near.distance({"a": value})
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-4)


def test_what_an_executor_reads_of_near() -> None:
    near = compile_filter(
        {"x": 1, "a.b": {"$near": [0, 0], "$minDistance": 1, "$maxDistance": 9}}, CTX
    ).near
    assert near is not None
    assert (near.path, near.min_distance, near.max_distance, near.spherical) == ("a.b", 1, 9, False)
    assert near.distance({"a": [{"b": [3, 4]}, {"b": [0, 2]}, {"b": [0, 0]}]}) == 2.0
