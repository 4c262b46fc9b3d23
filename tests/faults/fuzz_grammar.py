"""Commands that are nearly right: the grammar behind the message fuzz.

Each command has its fields with a maker of plausible values; a maker is now and then replaced by
any value at all, and a field that the command does not know is added.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary

Maker = Callable[[random.Random], Any]

NAMES = ("a", "b", "c", "_id", "a.b", "a.0", "x", "x.y.z", "v", "tags")
QUERY = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$not", "$exists", "$type", "$all",
    "$elemMatch", "$size", "$mod", "$regex", "$options", "$bitsAllSet", "$bitsAnyClear", "$near",
    "$geoWithin", "$geoIntersects", "$nonsense",
)
LOGIC = (
    "$and", "$or", "$nor", "$expr", "$jsonSchema", "$where", "$text", "$comment", "$sampleRate",
)
UPDATE = (
    "$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$push", "$addToSet", "$pull",
    "$pullAll", "$pop", "$bit", "$currentDate", "$setOnInsert", "$nonsense",
)
EXPRESSIONS = (
    "$add", "$subtract", "$multiply", "$divide", "$mod", "$concat", "$cond", "$ifNull", "$switch",
    "$map", "$filter", "$reduce", "$zip", "$range", "$slice", "$size", "$arrayElemAt", "$in",
    "$dateToString", "$dateFromString", "$dateAdd", "$dateTrunc", "$convert", "$toInt", "$toDate",
    "$substrBytes", "$split", "$regexMatch", "$let", "$literal", "$mergeObjects", "$setField",
    "$objectToArray", "$setUnion", "$sortArray", "$sum", "$avg", "$round", "$pow", "$log", "$gt",
    "$cmp", "$and", "$type", "$getField", "$nonsense", "$bsonSize", "$strLenCP", "$trim",
)
STAGES = (
    "$match", "$project", "$addFields", "$group", "$sort", "$limit", "$skip", "$unwind", "$count",
    "$facet", "$lookup", "$graphLookup", "$bucket", "$bucketAuto", "$sortByCount", "$sample",
    "$replaceRoot", "$redact", "$unionWith", "$setWindowFields", "$densify", "$fill", "$out",
    "$merge", "$collStats", "$indexStats", "$currentOp", "$documents", "$geoNear", "$nonsense",
)
SCALARS: tuple[Maker, ...] = (
    lambda r: r.choice((0, 1, -1, 2**31 - 1, -(2**31), 7)),
    lambda r: Int64(r.choice((0, 2**63 - 1, -(2**63), 5))),
    lambda r: r.choice((0.0, -0.0, 1.5, float("nan"), float("inf"), -1e308, 5e-324)),
    lambda r: Decimal128(r.choice(("0", "NaN", "Infinity", "1E6111", "1.10", "-0"))),
    lambda r: r.choice(("", "a", "$a", "$$ROOT", "a.b", "é" * 40, "x" * 300, ".", "$", "$$x")),
    lambda r: r.choice((None, True, False)),
    lambda r: ObjectId(),
    lambda r: Timestamp(r.getrandbits(32), r.getrandbits(32)),
    lambda r: Regex(r.choice(("a", "(a+)+$", "[", "(?P<", "^$"))),
    lambda r: Binary(r.randbytes(r.randrange(20)), r.choice((0, 2, 3, 4, 5, 9, 128))),
    lambda r: r.choice((MinKey(), MaxKey(), Code("x"), Code("x", {"a": 1}))),
)


def anything(r: random.Random, depth: int = 0) -> Any:
    """Make any BSON value."""
    roll = r.random()
    if depth < 5 and roll < 0.25:
        names = r.choice((NAMES, QUERY, EXPRESSIONS, STAGES))
        return {r.choice(names): anything(r, depth + 1) for _ in range(r.randrange(4))}
    if depth < 5 and roll < 0.45:
        return [anything(r, depth + 1) for _ in range(r.randrange(4))]
    return r.choice(SCALARS)(r)


def query(r: random.Random, depth: int = 0) -> Any:
    """Make a filter."""
    result: dict[str, Any] = {}
    for _ in range(r.randrange(3)):
        roll = r.random()
        if depth < 3 and roll < 0.2:
            result[r.choice(LOGIC)] = r.choice((
                [query(r, depth + 1) for _ in range(r.randrange(3))], expression(r, depth + 1),
            ))
        elif roll < 0.6:
            result[r.choice(NAMES)] = {r.choice(QUERY): anything(r, 3)}
        else:
            result[r.choice(NAMES)] = anything(r, 3)
    return result


def expression(r: random.Random, depth: int = 0) -> Any:
    """Make an expression."""
    if depth > 3 or r.random() < 0.4:
        return r.choice(("$a", "$b.c", "$$ROOT", 1, 2.5, "text", None, "$tags", "$$NOW"))
    arguments = [expression(r, depth + 1) for _ in range(r.randrange(4))]
    return {r.choice(EXPRESSIONS): r.choice((arguments, expression(r, depth + 1), anything(r, 3)))}


def update(r: random.Random) -> Any:
    """Make an update."""
    if r.random() < 0.2:
        return [{r.choice(("$set", "$unset", "$project")): {r.choice(NAMES): expression(r)}}]
    if r.random() < 0.2:
        return document(r)
    return {
        r.choice(UPDATE): {
            r.choice((*NAMES, "tags.$", "tags.$[]", "tags.$[i]")): anything(r, 3)
            for _ in range(r.randrange(1, 3))
        }
        for _ in range(r.randrange(1, 3))
    }


def pipeline(r: random.Random) -> Any:
    """Make a pipeline."""
    makers: dict[str, Maker] = {
        "$match": query,
        "$project": lambda r: {r.choice(NAMES): r.choice((1, 0, expression(r)))},
        "$addFields": lambda r: {r.choice(NAMES): expression(r)},
        "$group": lambda r: {"_id": expression(r), "n": {r.choice(("$sum", "$push", "$max",
                             "$topN", "$median")): expression(r)}},
        "$sort": sort,
        "$limit": number,
        "$skip": number,
        "$unwind": lambda r: r.choice(("$tags", "$a.b", {"path": "$tags"})),
        "$lookup": lambda r: {"from": "c", "localField": "a", "foreignField": "b", "as": "z"},
        "$facet": lambda r: {"one": [{"$match": query(r)}], "two": [{"$count": "n"}]},
        "$sample": lambda r: {"size": number(r)},
        "$out": lambda r: "outs",
        "$merge": lambda r: {"into": "merged"},
    }
    result = []
    for _ in range(r.randrange(4)):
        name = r.choice(STAGES)
        maker = makers.get(name, anything)
        result.append({name: maker(r) if r.random() < 0.9 else anything(r)})
    return result


def sort(r: random.Random) -> Any:
    """Make a sort."""
    return {r.choice(NAMES): r.choice((1, -1)) for _ in range(r.randrange(1, 3))}


def number(r: random.Random) -> Any:
    """Make a small number."""
    return r.choice((0, 1, 2, 5, 100, 1.0, Int64(3)))


def document(r: random.Random) -> Any:
    """Make a document."""
    return {r.choice(NAMES[:4]): anything(r, 2) for _ in range(r.randrange(4))}


def flag(r: random.Random) -> Any:
    """Make a boolean."""
    return r.random() < 0.5


def some(*values: Any) -> Maker:
    """Make one of these values."""
    return lambda r: r.choice(values)


def lists(maker: Maker) -> Maker:
    """Make a short list."""
    return lambda r: [maker(r) for _ in range(r.randrange(1, 4))]


def statement(**makers: Maker) -> Maker:
    """Make an object with most of these fields."""
    return lambda r: {name: maker(r) for name, maker in makers.items() if r.random() < 0.85}


COLLATION = statement(locale=some("en", "simple", "xx"), strength=number)
INDEX = statement(
    key=lambda r: {r.choice(NAMES): r.choice((1, -1, "hashed", "text", "2dsphere", 0, "x"))},
    name=some("one", "two", "a_1"), unique=flag, sparse=flag, expireAfterSeconds=number,
)
COMMANDS: dict[str, dict[str, Maker]] = {
    "aggregate": {"pipeline": pipeline, "cursor": statement(batchSize=number), "let": document},
    "bulkWrite": {
        "ops": lists(statement(insert=some(0, 1), document=document)),
        "nsInfo": some([{"ns": "fuzz.c"}], [{"ns": "fuzz.d"}, {"ns": "x"}]),
    },
    "collMod": {"validator": query, "index": statement(name=some("one"), hidden=flag)},
    "collStats": {"scale": number},
    "count": {"query": query, "limit": number, "skip": number, "hint": some("_id_", "one")},
    "create": {"validator": query, "viewOn": some("c", "d"), "pipeline": pipeline,
               "collation": COLLATION, "capped": flag, "size": number},
    "createIndexes": {"indexes": lists(INDEX)},
    "currentOp": {}, "buildInfo": {}, "dbStats": {"scale": number},
    "delete": {"deletes": lists(statement(q=query, limit=some(0, 1), hint=some("_id_"))),
               "ordered": flag},
    "distinct": {"key": some(*NAMES), "query": query},
    "drop": {}, "dropDatabase": {},
    "dropIndexes": {"index": some("*", "one", {"a": 1}, ["one", "two"])},
    "endSessions": {},
    "explain": {"verbosity": some("queryPlanner", "executionStats", "allPlansExecution", "x")},
    "find": {
        "filter": query, "projection": lambda r: {r.choice(NAMES): r.choice((0, 1, expression(r)))},
        "sort": sort, "skip": number, "limit": number, "batchSize": number, "hint": some("_id_"),
        "collation": COLLATION, "singleBatch": flag, "let": document, "min": document,
        "max": document, "returnKey": flag, "showRecordId": flag,
    },
    "findAndModify": {"query": query, "update": update, "new": flag, "upsert": flag, "sort": sort,
                      "remove": flag, "fields": lambda r: {r.choice(NAMES): 1},
                      "arrayFilters": lists(query)},
    "getMore": {"collection": some("c"), "batchSize": number},
    "getParameter": {"featureCompatibilityVersion": some(1)},
    "hello": {"topologyVersion": anything, "client": anything, "compression": anything},
    "insert": {"documents": lists(document), "ordered": flag},
    "killCursors": {"cursors": lists(some(Int64(5), 1, "x"))},
    "killOp": {"op": some(99_999_999, "shard0:99999999", "x")},
    "listCollections": {"filter": query, "nameOnly": flag, "cursor": statement(batchSize=number)},
    "listDatabases": {"filter": query, "nameOnly": flag},
    "listIndexes": {"cursor": statement(batchSize=number)},
    "ping": {}, "getLog": {}, "hostInfo": {}, "listCommands": {}, "startSession": {},
    "refreshSessions": {}, "killSessions": {}, "serverStatus": {}, "connectionStatus": {},
    "renameCollection": {"to": some("fuzz.c", "fuzz.d", "x"), "dropTarget": flag},
    "saslStart": {"mechanism": anything, "payload": anything},
    "update": {
        "updates": lists(statement(q=query, u=update, multi=flag, upsert=flag,
                                   arrayFilters=lists(query), collation=COLLATION)),
        "ordered": flag,
    },
    "validate": {"full": flag}, "whatsmyuri": {}, "nonsense": {},
}
ADMIN = frozenset({
    "bulkWrite", "currentOp", "getLog", "getParameter", "killOp", "listDatabases",
    "renameCollection",
})
TARGETS: dict[str, Maker] = {
    "explain": lambda r: {"find": "c", "filter": query(r)},
    "getMore": some(Int64(1), Int64(2**62), 5),
    "renameCollection": some("fuzz.c", "fuzz.e", "x"),
    "getParameter": some("*", 1, {"showDetails": True}),
    "endSessions": some([], [{"id": Binary(b"x" * 16, 4)}]),
    "refreshSessions": some([], [{"id": Binary(b"x" * 16, 4)}]),
    "killSessions": some([], [{"id": Binary(b"x" * 16, 4)}]),
    "getLog": some("global", "*", "x"),
    "aggregate": some("c", "c", "c", 1),
}
GENERIC: dict[str, Maker] = {
    "comment": anything, "lsid": some({"id": Binary(b"y" * 16, 4)}, {"id": 1}),
    "maxTimeMS": some(0, 1000, 100_000, "x"), "readConcern": some({"level": "majority"}, {"x": 1}),
    "writeConcern": some({"w": 1}, {"w": "majority"}, {"w": 3}, {"w": -1}, {"x": 1}),
    "$readPreference": some({"mode": "primary"}, {"mode": "x"}), "txnNumber": some(Int64(1), 1),
    "apiVersion": some("1", "2"), "$clusterTime": anything,
}


def command(r: random.Random) -> dict[str, Any]:
    """Make a command that is nearly one."""
    name = r.choice(tuple(COMMANDS))
    target = TARGETS.get(name, some("c", "c", "c", "d", ""))(r)
    result: dict[str, Any] = {name: target if r.random() < 0.95 else anything(r)}
    for field, maker in COMMANDS[name].items():
        if r.random() < 0.75:
            result[field] = maker(r) if r.random() < 0.95 else anything(r)
    for field, maker in GENERIC.items():
        if r.random() < 0.03:
            result[field] = maker(r)
    if r.random() < 0.05:
        result[r.choice(("nonsense", "filter", "limit"))] = anything(r)
    result["$db"] = "admin" if name in ADMIN else "fuzz"
    if r.random() < 0.02:
        result["$db"] = r.choice(("a b", "", "config", 5))
    return result
