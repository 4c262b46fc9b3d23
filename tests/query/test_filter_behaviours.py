"""Documented behaviours of query operators: what matches, and what is refused."""

from __future__ import annotations

from typing import Any

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex
from expression_kit import Err
from filter_kit import FilterCase, check_filter, table

CASES: list[FilterCase] = [
    ("query/all", [], {"a": {"$all": 5}}, Err(2, "$all needs an array")),
    ("query/all", [[], 1], {"a": {"$all": []}}, []),
    ("query/all", [[1, 2], [[1, 2], 3], [1]], {"a": {"$all": [[1, 2]]}}, [0, 1]),
    ("query/all", [[1, 2, 3], [1], {"$value": 1}], {"a": {"$all": [1, 2]}}, [0]),
    (
        "query/all",
        [[{"x": 1}, {"x": 2}], [{"x": 1}]],
        {"a": {"$all": [{"$elemMatch": {"x": 1}}, {"$elemMatch": {"x": 2}}]}},
        [0],
    ),
    ("query/all", ["ab", ["ab", "c"], "b"], {"a": {"$all": [Regex("^a")]}}, [0, 1]),
    ("query/and", [], {"$and": 5}, Err(2, "$and must be an array")),
    ("query/bitsAllClear", [2, 1], {"a": {"$bitsAllClear": [0]}}, [0]),
    (
        "query/bitsAllSet",
        [5, 7, 1, 5.0, 5.5, "x", Binary(b"\x05"), Int64(1099511627781)],
        {"a": {"$bitsAllSet": 5}},
        [0, 1, 3, 6, 7],
    ),
    ("query/bitsAllSet", [-1, Int64(-1), 1], {"a": {"$bitsAllSet": [63]}}, [0, 1]),
    ("query/bitsAnySet", [], {"a": {"$bitsAnySet": [-1]}}, Err(2)),
    ("query/comment", [1], {"$comment": "x", "a": 1}, [0]),
    ("query/elemMatch", [], {"a": {"$elemMatch": 5}}, Err(2, "$elemMatch needs an Object")),
    ("query/elemMatch", [[2], [0, 5], 2], {"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, [0]),
    ("query/elemMatch", [[{"b": 1}], {"b": 1}, [[{"b": 1}]]], {"a": {"$elemMatch": {"b": 1}}}, [0]),
    (
        "query/elemMatch",
        [[{"b": 1}], [{"c": 1}], [{"d": 1}]],
        {"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}},
        [0, 1],
    ),
    ("query/elemMatch", [[0], [5], []], {"a": {"$elemMatch": {"$not": {"$gt": 1}}}}, [0]),
    (
        "query/eq",
        [{"$value": 1, "b": 1}, {"$value": 1, "b": 1, "c": 1}],
        {"a": {"$eq": {"b": 1}}},
        [0],
    ),
    ("query/exists", [..., None, 1], {"a": {"$exists": False}}, [0]),
    ("query/expr", [1, 3], {"$expr": {"$gt": ["$a", 2]}}, [1]),
    ("query/operators", [], {"$foo": 1}, Err(2)),
    ("query/operators", [], {"a": {"$foo": 1}}, Err(2, "unknown operator: $foo")),
    (
        "query/geoIntersects",
        [
            {"a": {"type": "Point", "coordinates": [1, 1]}},
            {"a": {"type": "Point", "coordinates": [10, 10]}},
            {"a": {"type": "LineString", "coordinates": [[-5, 5], [5, 5]]}},
            {"a": {"type": "Polygon", "coordinates": [[[20, 20], [20, 21], [21, 21], [20, 20]]]}},
        ],
        {
            "a": {
                "$geoIntersects": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                    }
                }
            }
        },
        [0, 1, 2],
    ),
    ("query/geoIntersects", [], {"a": {"$geoIntersects": {"$box": [[0, 0], [1, 1]]}}}, Err(2)),
    (
        "query/geoIntersects",
        [
            {"a": {"type": "Point", "coordinates": [1, 1]}},
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"type": "Point", "coordinates": [20, 20]}},
        ],
        {
            "a": {
                "$geoIntersects": {
                    "$geometry": {
                        "type": "GeometryCollection",
                        "geometries": [
                            {"type": "Point", "coordinates": [1, 1]},
                            {
                                "type": "Polygon",
                                "coordinates": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                            },
                        ],
                    }
                }
            }
        },
        [0, 1],
    ),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [1, 1]}},
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"type": "Point", "coordinates": [20, 20]}},
            {"a": {"type": "Point", "coordinates": [0, 0]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [
                            [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]],
                            [[4, 4], [4, 6], [6, 6], [6, 4], [4, 4]],
                        ],
                    }
                }
            }
        },
        [0, 3],
    ),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [180, 0]}},
            {"a": {"type": "Point", "coordinates": [175, 5]}},
            {"a": {"type": "Point", "coordinates": [-175, 5]}},
            {"a": {"type": "Point", "coordinates": [0, 0]}},
            {"a": {"type": "Point", "coordinates": [160, 0]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [
                            [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
                        ],
                    }
                }
            }
        },
        [0, 1, 2],
    ),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [0, 90]}},
            {"a": {"type": "Point", "coordinates": [45, 85]}},
            {"a": {"type": "Point", "coordinates": [0, 70]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 80], [90, 80], [180, 80], [-90, 80], [0, 80]]],
                    }
                }
            }
        },
        [0, 1],
    ),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"type": "Point", "coordinates": [50, 50]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                        "crs": {
                            "type": "name",
                            "properties": {"name": "urn:x-mongodb:crs:strictwinding:EPSG:4326"},
                        },
                    }
                }
            }
        },
        [1],
    ),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"type": "Point", "coordinates": [50, 50]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]],
                        "crs": {
                            "type": "name",
                            "properties": {"name": "urn:x-mongodb:crs:strictwinding:EPSG:4326"},
                        },
                    }
                }
            }
        },
        [0],
    ),
    (
        "query/geoWithin",
        [{"a": {"type": "Point", "coordinates": [5, 5]}}],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                        "crs": {
                            "type": "name",
                            "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"},
                        },
                    }
                }
            }
        },
        [0],
    ),
    (
        "query/geoWithin",
        [{"a": {"type": "Point", "coordinates": [5, 5]}}],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                        "crs": {"type": "name", "properties": {"name": "foo"}},
                    }
                }
            }
        },
        Err(2),
    ),
    (
        "query/geoWithin",
        [
            {"a": [5, 5]},
            {"a": [10, 10]},
            {"a": [11, 1]},
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"x": 1, "y": 2}},
        ],
        {"a": {"$geoWithin": {"$box": [[0, 0], [10, 10]]}}},
        [0, 1, 3, 4],
    ),
    (
        "query/geoWithin",
        [{"a": [3, 3]}, {"a": [0, 6]}, {"a": [3, 6]}],
        {"a": {"$geoWithin": {"$polygon": [[0, 0], [3, 6], [6, 0]]}}},
        [0, 2],
    ),
    (
        "query/geoWithin",
        [{"a": [3, 4]}, {"a": [4, 4]}, {"a": [0, 5]}],
        {"a": {"$geoWithin": {"$center": [[0, 0], 5]}}},
        [0, 2],
    ),
    (
        "query/geoWithin",
        [{"a": [0.1, 0]}, {"a": [0.2, 0]}, {"a": {"type": "Point", "coordinates": [0.1, 0.05]}}],
        {"a": {"$geoWithin": {"$centerSphere": [[0, 0], 0.0025232135647961246]}}},
        [0, 2],
    ),
    (
        "query/geoWithin",
        [],
        {"a": {"$geoWithin": {"$geometry": {"type": "Point", "coordinates": [0, 0]}}}},
        Err(2),
    ),
    (
        "query/geoWithin",
        [],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {"type": "Polygon", "coordinates": [[[0, 0], [0, 10], [10, 10]]]}
                }
            }
        },
        Err(2),
    ),
    (
        "query/geoWithin",
        [],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [10, 10], [0, 10], [10, 0], [0, 0]]],
                    }
                }
            }
        },
        Err(2),
    ),
    (
        "query/geoWithin",
        [],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "Polygon",
                        "coordinates": [[[0, 0], [0, 200], [10, 10], [0, 0]]],
                    }
                }
            }
        },
        Err(2),
    ),
    (
        "query/geoWithin",
        [],
        {"a": {"$geoWithin": {"$geometry": {"type": "Foo", "coordinates": []}}}},
        Err(2),
    ),
    ("query/geoWithin", [], {"a": {"$geoWithin": 5}}, Err(2)),
    ("query/geoWithin", [], {"a": {"$geoWithin": {"$box": [[0, 0]]}}}, Err(2)),
    ("query/geoWithin", [], {"a": {"$geoWithin": {"$center": [[0, 0], -1]}}}, Err(2)),
    ("query/geoWithin", [], {"a": {"$geoWithin": {"$foo": 1}}}, Err(2)),
    (
        "query/geoWithin",
        [
            {"a": {"type": "Point", "coordinates": [5, 5]}},
            {"a": {"type": "Point", "coordinates": [25, 25]}},
            {"a": {"type": "Point", "coordinates": [15, 15]}},
        ],
        {
            "a": {
                "$geoWithin": {
                    "$geometry": {
                        "type": "MultiPolygon",
                        "coordinates": [
                            [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]],
                            [[[20, 20], [20, 30], [30, 30], [30, 20], [20, 20]]],
                        ],
                    }
                }
            }
        },
        [0, 1],
    ),
    ("query/gt", [None, 1, ...], {"a": {"$gt": None}}, []),
    (
        "query/gt",
        [],
        {"a": {"$gt": Regex("a")}},
        Err(2, "Can't have RegEx as arg to predicate over field 'a'."),
    ),
    ("query/gt", [], {"a": {"$gt": 5, "b": 1}}, Err(2, "unknown operator: b")),
    ("query/gte", [None, 1, ...], {"a": {"$gte": None}}, [0, 2]),
    ("query/in", [], {"a": {"$in": 5}}, Err(2, "$in needs an array")),
    ("query/in", [], {"a": {"$in": [{"$x": 1}]}}, Err(2, "cannot nest $ under $in")),
    (
        "query/in",
        ["ab", 5, None, ..., "b", [1, 5]],
        {"a": {"$in": [Regex("^a"), 5, None]}},
        [0, 1, 2, 3, 5],
    ),
    ("query/jsonSchema", [], {"$jsonSchema": 5}, Err(14)),
    ("query/lt", [[1], [1, 5], [3], 1], {"a": {"$lt": [2]}}, [0, 1]),
    (
        "query/mod",
        [0, 4, 5, 4.5, -4, "x", [8], Decimal128("8")],
        {"a": {"$mod": [4, 0]}},
        [0, 1, 3, 4, 6, 7],
    ),
    ("query/mod", [], {"a": {"$mod": [0, 1]}}, Err(2, "divisor cannot be 0")),
    ("query/mod", [], {"a": {"$mod": [1]}}, Err(2, "malformed mod, not enough elements")),
    ("query/mod", [], {"a": {"$mod": [1, 2, 3]}}, Err(2, "malformed mod, too many elements")),
    ("query/mod", [], {"a": {"$mod": []}}, Err(2, "malformed mod, not enough elements")),
    ("query/mod", [], {"a": {"$mod": 5}}, Err(2, "malformed mod, needs to be an array")),
    ("query/mod", [], {"a": {"$mod": ["x", 1]}}, Err(2, "malformed mod, divisor not a number")),
    ("query/mod", [], {"a": {"$mod": [1, "x"]}}, Err(2, "malformed mod, remainder not a number")),
    ("query/mod", [], {"a": {"$mod": [float("nan"), 1]}}, Err(2)),
    ("query/mod", [6, 11, 7], {"a": {"$mod": [5.9, 1.9]}}, [0, 1]),
    ("query/ne", [], {"a": {"$ne": Regex("a")}}, Err(2, "Can't have regex as arg to $ne.")),
    (
        "query/near",
        [],
        {
            "a": {
                "$near": {"$geometry": {"type": "Point", "coordinates": [0, 0]}, "$maxDistance": -1}
            }
        },
        Err(2),
    ),
    ("query/nin", [], {"a": {"$nin": 5}}, Err(2, "$nin needs an array")),
    ("query/not", [], {"a": {"$not": 5}}, Err(2, "$not needs a regex or a document")),
    ("query/not", [], {"a": {"$not": {}}}, Err(2, "$not cannot be empty")),
    ("query/not", ["ab", "b", 5, ...], {"a": {"$not": Regex("^a")}}, [1, 2, 3]),
    ("query/not", [], {"$not": {"a": 1}}, Err(2)),
    ("query/options", [], {"a": {"$options": "i"}}, Err(2, "$options needs a $regex")),
    ("query/or", [], {"$or": []}, Err(2, "$and/$or/$nor must be a nonempty array")),
    ("query/or", [], {"$or": [5]}, Err(2, "$or/$and/$nor entries need to be full objects")),
    ("query/query-documents", [..., None, 1, [None], []], {"a": None}, [0, 1, 3]),
    (
        "query/query-documents",
        [{"a": 1}, {"a": {"b": None}}, {"a": []}, {"a": [1]}, {"a": [{"c": 1}]}, {"a": {"b": 1}}],
        {"a.b": None},
        [0, 1, 4],
    ),
    ("query/query-documents", [[1, 2], [[1, 2]], [2, 1]], {"a": [1, 2]}, [0, 1]),
    (
        "query/query-documents",
        [{"$value": 1, "b": 1, "c": 2}, {"$value": 1, "c": 2, "b": 1}],
        {"a": {"b": 1, "c": 2}},
        [0],
    ),
    ("query/query-documents", [{"$value": 1, "b": 1}], {"a": {"b": 1, "$gt": 5}}, []),
    ("query/query-documents", [[1, 2], [2, 1], {"$value": 1, "0": 1}], {"a.0": 1}, [0, 2]),
    ("query/query-documents", [[{"b": 1}], [[{"b": 1}]]], {"a.0.b": 1}, [0, 1]),
    (
        "query/query-documents",
        [{"a": [{"b": 1}, {"b": 2}]}, {"a": {"b": [1]}}, {"a": [[{"b": 1}]]}],
        {"a.b": 1},
        [0, 1],
    ),
    ("query/regex", ["abc", "b"], {"a": {"$regex": "^A", "$options": "i"}}, [0]),
    ("query/regex", [], {"a": {"$regex": 5}}, Err(2, "$regex has to be a string")),
    (
        "query/regex",
        [],
        {"a": {"$regex": "a", "$options": 5}},
        Err(2, "$options has to be a string"),
    ),
    ("query/regex", [], {"a": {"$regex": "("}}, Err(51091)),
    ("query/regex", [], {"a": {"$regex": "a", "$options": "q"}}, Err(51108)),
    ("query/regex", ["a\nb"], {"a": {"$regex": "a.b", "$options": "s"}}, [0]),
    ("query/regex", ["a\nb"], {"a": {"$regex": "^b", "$options": "m"}}, [0]),
    ("query/regex", ["ab"], {"a": {"$regex": "a b # c", "$options": "x"}}, [0]),
    ("query/sampleRate", [], {"$sampleRate": 2}, Err(2)),
    ("query/size", [], {"a": {"$size": "x"}}, Err(2)),
    ("query/size", [], {"a": {"$size": 1.5}}, Err(2)),
    ("query/size", [], {"a": {"$size": -1}}, Err(2)),
    ("query/size", [[1, 2], [1], 2], {"a": {"$size": 2}}, [0]),
    (
        "query/type",
        [1, 1.5, Int64(1), Decimal128("1"), "x", [1]],
        {"a": {"$type": "number"}},
        [0, 1, 2, 3, 5],
    ),
    ("query/type", [[1], 1], {"a": {"$type": "array"}}, [0]),
    ("query/type", ["x", 1, 1.5], {"a": {"$type": ["string", 16]}}, [0, 1]),
    ("query/type", [], {"a": {"$type": "foo"}}, Err(2, "Unknown type name alias: foo")),
    ("query/type", [], {"a": {"$type": 99}}, Err(2, "Invalid numerical type code: 99")),
    ("query/type", [], {"a": {"$type": []}}, Err(9)),
    (
        "query/type",
        [],
        {"a": {"$type": True}},
        Err(14, "type must be represented as a number or a string"),
    ),
    ("query/where", [], {"$where": "this.a"}, Err(2)),
]


@table(CASES)
def test_filter(case: Any) -> None:
    check_filter(case)
