"""What a running PSDB is asked, where no table of the code says whether a name is supported.

A probe is a function of a database that raises `OperationFailure` when the server refuses. The
page says what the server said, so it cannot promise what a user will not get.
"""

# ruff: noqa: INP001 -- a folder of pages, no package

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import bson
from bson.code import Code
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import (
    Nearest,
    Primary,
    PrimaryPreferred,
    Secondary,
    SecondaryPreferred,
)
from pymongo.write_concern import WriteConcern

Probe = Callable[[Database[Any]], object]

POINT: Final = {"type": "Point", "coordinates": [1.0, 2.0]}
SQUARE: Final = {"type": "Polygon", "coordinates": [[[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]]}
IDENTITY: Final = "function(x) { return x; }"
TWO: Final = "function(a, b) { return a + b; }"


def prepare(db: Database[Any]) -> None:
    """Give the probes something to look at."""
    db.client.drop_database(db.name)
    db.things.insert_many([
        {"_id": 1, "a": [1, 2, 3], "at": POINT, "xy": [1, 2], "s": "one two", "n": 1,
         "o": {"p": 1}},
        {"_id": 2, "a": [4], "s": "three", "n": 2},
    ])
    db.things.create_index([("at", "2dsphere")])
    db.things.create_index([("s", "text")])


def find(query: dict[str, Any], projection: Any = None) -> Probe:
    """Probe a query, with or without a projection."""
    return lambda db: list(db.things.find(query, projection))


def pipeline(*stages: dict[str, Any]) -> Probe:
    """Probe a pipeline."""
    return lambda db: list(db.things.aggregate(list(stages)))


def on_admin(*stages: dict[str, Any]) -> Probe:
    """Probe a pipeline without a collection."""
    return lambda db: list(db.client.admin.aggregate(list(stages)))


def update(spec: Any, **options: Any) -> Probe:
    """Probe an update of one document."""
    query = options.pop("query", {"_id": 1})
    return lambda db: db.things.update_one(query, spec, **options)


def index(*keys: tuple[str, Any], **options: Any) -> Probe:
    """Probe an index on a collection of its own."""
    def probe(db: Database[Any]) -> None:
        db.drop_collection("indexed")
        db.indexed.create_indexes([IndexModel(list(keys), **options)])

    return probe


def create(**options: Any) -> Probe:
    """Probe an option of a new collection."""
    def probe(db: Database[Any]) -> None:
        db.drop_collection("created")
        db.command({"create": "created", **options})

    return probe


def value(kind: int, encoded: bytes) -> Probe:
    """Probe a BSON value: stored, it must come back bit for bit."""
    element = bytes([kind]) + b"v\0" + encoded
    body = b"\x10_id\0\x09\0\0\0" + element + b"\0"
    raw = (len(body) + 4).to_bytes(4, "little") + body

    def probe(db: Database[Any]) -> None:
        options = db.codec_options.with_options(document_class=RawBSONDocument)
        stored = db.get_collection("values", codec_options=options)
        stored.delete_many({"_id": 9})
        stored.insert_one(RawBSONDocument(raw))
        found = stored.find_one({"_id": 9})
        assert found is not None
        if found.raw != raw:
            raise OperationFailure("it comes back changed")

    return probe


def binary(subtype: int, data: bytes) -> Probe:
    """Probe a binary value of a subtype."""
    return value(5, len(data).to_bytes(4, "little") + bytes([subtype]) + data)


def read_at(level: str | None, **more: Any) -> Probe:
    """Probe a read concern; further fields are functions of the client."""
    def probe(db: Database[Any]) -> None:
        fields = {name: made(db) for name, made in more.items()}
        concern = ({"level": level} if level else {}) | fields
        db.command({"find": "things", "readConcern": concern})

    return probe


def write_with(**concern: Any) -> Probe:
    """Probe a write concern; an error after the write counts too."""
    return lambda db: db.get_collection(
        "written", write_concern=WriteConcern(**concern)
    ).insert_one({})


def reading(mode: Any) -> Probe:
    """Probe a read preference."""
    return lambda db: db.get_collection("things", read_preference=mode).find_one()


def _expect(met: object, complaint: str) -> None:
    if not met:
        raise OperationFailure(complaint)


def _order(db: Database[Any]) -> None:
    mixed = [None, 1, "a", {}, [0], b"", bson.ObjectId(), True, bson.Regex("a")]
    db.mixed.drop()
    db.mixed.insert_many({"_id": i, "v": v} for i, v in reversed(list(enumerate(mixed))))
    found = [row["_id"] for row in db.mixed.find().sort("v", 1)]
    # An array sorts by its least element, so [0] comes before 1.
    _expect(found == [0, 4, 1, 2, 3, 5, 6, 7, 8], f"sorted as {found}")


def _equality(db: Database[Any]) -> None:
    db.mixed.drop()
    numbers = [1, 1.0, bson.Int64(1), bson.Decimal128("1")]
    db.mixed.insert_many({"v": v} for v in numbers)
    _expect(db.mixed.count_documents({"v": 1}) == len(numbers), "they are not equal")


def _generated(db: Database[Any]) -> None:
    db.mixed.drop()
    db.command({"insert": "mixed", "documents": [{"a": 1}, {"a": 2, "_id": 3}]})
    rows = list(db.mixed.find())
    _expect([next(iter(row)) for row in rows] == ["_id", "_id"], "_id is not first")
    _expect(type(rows[0]["_id"]) is bson.ObjectId, "no ObjectId was made")


def _filled(db: Database[Any]) -> None:
    db.mixed.drop()
    db.mixed.insert_one({"t": bson.Timestamp(0, 0)})
    row = db.mixed.find_one()
    _expect(row is not None and row["t"].time > 0, "it is not filled")


def _now(db: Database[Any]) -> Any:
    return db.command("ping")["operationTime"]


def _transaction(db: Database[Any]) -> None:
    with db.client.start_session() as session, session.start_transaction():
        db.things.insert_one({}, session=session)


def _causal(db: Database[Any]) -> None:
    with db.client.start_session(causal_consistency=True) as session:
        db.things.insert_one({"_id": "causal"}, session=session)
        majority = db.get_collection("things", read_concern=ReadConcern("majority"))
        if majority.find_one({"_id": "causal"}, session=session) is None:
            raise OperationFailure("the own write is not seen")
        db.things.delete_one({"_id": "causal"}, session=session)


def _snapshot(db: Database[Any]) -> None:
    with db.client.start_session(snapshot=True) as session:
        db.things.find_one({}, session=session)


def _retried(db: Database[Any]) -> None:
    with db.client.start_session() as session:
        number = {"lsid": session.session_id, "txnNumber": bson.Int64(7)}
        command = {"insert": "written", "documents": [{"_id": "retried"}], **number}
        session._materialize()  # noqa: SLF001 -- an explicit number is what is asked about
        db.command(command, codec_options=db.codec_options)
        if db.command(command)["n"] != 1:
            raise OperationFailure("the retry is not answered as the first time")


def _watch(target: Callable[[Database[Any]], Any]) -> Probe:
    def probe(db: Database[Any]) -> None:
        with target(db).watch(max_await_time_ms=1):
            pass

    return probe


def _bulk_bypass(db: Database[Any]) -> None:
    db.drop_collection("validated")
    db.create_collection("validated", validator={"n": {"$type": "int"}})
    db.validated.insert_one({"n": "x"}, bypass_document_validation=True)


def _prepare_unique(db: Database[Any]) -> None:
    index(("n", 1))(db)
    db.command({"collMod": "indexed", "index": {"name": "n_1", "prepareUnique": True}})


def _clustered(db: Database[Any]) -> None:
    create(clusteredIndex={"key": {"_id": 1}, "unique": True})(db)


PROBES: Final[dict[str, dict[str, Probe]]] = {
    "accumulators": {
        "$accumulator": pipeline({"$group": {"_id": None, "x": {"$accumulator": {
            "init": "function() { return 0; }", "accumulate": TWO, "accumulateArgs": ["$n"],
            "merge": TWO, "lang": "js",
        }}}}),
    },
    "bson_types": {
        "double": value(1, bytes(8)),
        "string": value(2, b"\x02\0\0\0x\0"),
        "object": value(3, b"\x05\0\0\0\0"),
        "array": value(4, b"\x05\0\0\0\0"),
        "binData": binary(0, b"x"),
        "objectId": value(7, bytes(12)),
        "bool": value(8, b"\1"),
        "date": value(9, b"\xff" * 8),
        "null": value(10, b""),
        "regex": value(11, b"a\0i\0"),
        "int": value(16, bytes(4)),
        "long": value(18, bytes(8)),
        "decimal": value(19, bytes(14) + b"\x40\x30"),
        "timestamp": value(17, b"\1" * 8),
        "minKey": value(255, b""),
        "maxKey": value(127, b""),
        "javascript": value(13, b"\x02\0\0\0x\0"),
        "javascriptWithScope": value(15, b"\x0f\0\0\0\x02\0\0\0x\0\x05\0\0\0\0"),
        "symbol": value(14, b"\x02\0\0\0x\0"),
        "undefined": value(6, b""),
        "dbPointer": value(12, b"\x02\0\0\0x\0" + bytes(12)),
        "binData 0 generic": binary(0, b"x"),
        "binData 4 UUID": binary(4, bytes(16)),
        "binData 3 old UUID": binary(3, bytes(16)),
        "binData 5 MD5": binary(5, bytes(16)),
        "binData 7 compressed column": binary(7, b"x"),
        "binData 8 sensitive": binary(8, b"x"),
        "binData 9 vector": binary(9, b"\x03\0x"),
        "binData 128 user-defined": binary(128, b"x"),
        "DBRef": value(3, bson.encode({"$ref": "things", "$id": 1, "$db": "other"})),
        "comparison order across types": _order,
        "numeric equality across types": _equality,
        "_id first and generated": _generated,
        "Timestamp(0,0) filled by the server": _filled,
    },
    "change_streams": {
        "collection": _watch(lambda db: db.things),
        "database": _watch(lambda db: db),
        "cluster": _watch(lambda db: db.client),
    },
    "collection_options": {
        "capped": create(capped=True, size=4096),
        "size": create(capped=True, size=4096),
        "max": create(capped=True, size=4096, max=10),
        "validator": create(validator={"n": {"$gt": 1}}),
        "validationLevel": create(validator={"n": 1}, validationLevel="moderate"),
        "validationAction": create(validator={"n": 1}, validationAction="warn"),
        "collation": create(collation={"locale": "en", "strength": 2}),
        "viewOn": create(viewOn="things"),
        "pipeline": create(viewOn="things", pipeline=[{"$match": {"n": 1}}]),
        "timeseries": create(timeseries={"timeField": "t"}),
        "expireAfterSeconds": create(
            timeseries={"timeField": "t"}, expireAfterSeconds=60
        ),
        "clusteredIndex": _clustered,
        "changeStreamPreAndPostImages": create(changeStreamPreAndPostImages={"enabled": True}),
        "storageEngine": create(storageEngine={"wiredTiger": {"configString": "prefix=1"}}),
        "indexOptionDefaults": create(indexOptionDefaults={"storageEngine": {}}),
        "idIndex": create(idIndex={"key": {"_id": 1}, "name": "_id_", "v": 2}),
        "encryptedFields": create(encryptedFields={"fields": []}),
        "bypassDocumentValidation": _bulk_bypass,
    },
    "expressions": {
        "$function": pipeline({"$project": {"x": {"$function": {
            "body": IDENTITY, "args": ["$n"], "lang": "js",
        }}}}),
        "$$USER_ROLES": pipeline({"$project": {"x": "$$USER_ROLES"}}),
        "$$DESCEND": pipeline({"$redact": "$$DESCEND"}),
        "$$PRUNE": pipeline({"$redact": "$$PRUNE"}),
        "$$KEEP": pipeline({"$redact": "$$KEEP"}),
    },
    "index_kinds": {
        "single": index(("n", 1)),
        "descending": index(("n", -1)),
        "compound": index(("n", 1), ("m", -1)),
        "multikey": index(("a", 1)),
        "dotted": index(("o.p", 1)),
        "_id": index(("_id", 1)),
        "hashed": index(("n", "hashed")),
        "compound-hashed": index(("n", "hashed"), ("m", 1)),
        "text": index(("s", "text")),
        "2dsphere": index(("at", "2dsphere")),
        "2d": index(("xy", "2d")),
        "wildcard": index(("$**", 1)),
        "wildcard-path": index(("o.$**", 1)),
        "compound-wildcard": index(("n", 1), ("o.$**", 1)),
        "clustered": _clustered,
        "TTL": index(("t", 1), expireAfterSeconds=60),
    },
    "index_options": {
        "name": index(("n", 1), name="given"),
        "unique": index(("n", 1), unique=True),
        "sparse": index(("n", 1), sparse=True),
        "expireAfterSeconds": index(("t", 1), expireAfterSeconds=60),
        "partialFilterExpression": index(("n", 1), partialFilterExpression={"n": {"$gt": 1}}),
        "collation": index(("n", 1), collation={"locale": "en", "strength": 2}),
        "hidden": index(("n", 1), hidden=True),
        "background": index(("n", 1), background=True),
        "storageEngine": index(("n", 1), storageEngine={"wiredTiger": {"configString": "x=1"}}),
        "v": index(("n", 1), v=2),
        "commitQuorum": lambda db: db.command({
            "createIndexes": "things", "indexes": [{"key": {"q": 1}, "name": "q"}],
            "commitQuorum": "majority",
        }),
        "prepareUnique": _prepare_unique,
        "weights": index(("s", "text"), weights={"s": 2}),
        "default_language": index(("s", "text"), default_language="french"),
        "language_override": index(("s", "text"), language_override="lang"),
        "textIndexVersion": index(("s", "text"), textIndexVersion=3),
        "2dsphereIndexVersion": index(("at", "2dsphere"), **{"2dsphereIndexVersion": 3}),
        "bits": index(("xy", "2d"), bits=20),
        "min": index(("xy", "2d"), min=-90),
        "max": index(("xy", "2d"), max=90),
        "wildcardProjection": index(("$**", 1), wildcardProjection={"n": 1}),
    },
    "projection": {
        "inclusion": find({}, {"n": 1}),
        "exclusion": find({}, {"n": 0}),
        "_id exclusion": find({}, {"_id": 0}),
        "dotted path": find({}, {"o.p": 1}),
        "$": find({"a": 2}, {"a.$": 1}),
        "$elemMatch": find({}, {"a": {"$elemMatch": {"$gt": 1}}}),
        "$slice": find({}, {"a": {"$slice": [1, 1]}}),
        "$meta": find({}, {"x": {"$meta": "recordId"}}),
        "aggregation expressions": find({}, {"x": {"$add": ["$n", 1]}}),
        "nested document form": find({}, {"o": {"p": 1}}),
    },
    "query_operators": {
        "$near": find({"at": {"$near": {"$geometry": POINT}}}),
        "$nearSphere": find({"at": {"$nearSphere": {"$geometry": POINT}}}),
        "$geometry": find({"at": {"$geoWithin": {"$geometry": SQUARE}}}),
        "$centerSphere": find({"at": {"$geoWithin": {"$centerSphere": [[1, 2], 0.1]}}}),
        "$maxDistance": find({"at": {"$near": {"$geometry": POINT, "$maxDistance": 9}}}),
        "$minDistance": find({"at": {"$near": {"$geometry": POINT, "$minDistance": 9}}}),
        "$box": find({"xy": {"$geoWithin": {"$box": [[0, 0], [9, 9]]}}}),
        "$center": find({"xy": {"$geoWithin": {"$center": [[0, 0], 9]}}}),
        "$polygon": find({"xy": {"$geoWithin": {"$polygon": [[0, 0], [0, 9], [9, 9]]}}}),
        "$uniqueDocs": find({"xy": {"$geoWithin": {"$box": [[0, 0], [9, 9]], "$uniqueDocs": 1}}}),
        "$text": find({"$text": {"$search": "one"}}),
        "$where": find({"$where": Code("return true;")}),
    },
    "read_concerns": {
        "local": read_at("local"),
        "available": read_at("available"),
        "majority": read_at("majority"),
        "linearizable": read_at("linearizable"),
        "snapshot": read_at("snapshot"),
        "afterClusterTime": read_at("local", afterClusterTime=_now),
        "atClusterTime": read_at("snapshot", atClusterTime=_now),
        "default set by setDefaultRWConcern": lambda db: db.client.admin.command(
            "setDefaultRWConcern", defaultReadConcern={"level": "majority"}
        ),
    },
    "read_preferences": {
        "primary": reading(Primary()),
        "primaryPreferred": reading(PrimaryPreferred()),
        "secondary": reading(Secondary()),
        "secondaryPreferred": reading(SecondaryPreferred()),
        "nearest": reading(Nearest()),
        "tag sets": reading(SecondaryPreferred([{"dc": "a"}, {}])),
        "maxStalenessSeconds": reading(SecondaryPreferred(max_staleness=120)),
        "hedged reads": lambda db: db.command({
            "find": "things", "$readPreference": {"mode": "nearest", "hedge": {"enabled": True}},
        }),
    },
    "sessions_transactions": {
        "logical sessions (lsid)": lambda db: db.client.start_session().end_session(),
        "implicit sessions": find({}),
        "causal consistency": _causal,
        "operationTime and $clusterTime": lambda db: db.command("ping")["$clusterTime"],
        "snapshot sessions": _snapshot,
        "retryable writes": _retried,
        "single-shard transactions": _transaction,
    },
    "stages": {
        "$changeStream": pipeline({"$changeStream": {}}),
        "$changeStreamSplitLargeEvent": pipeline(
            {"$changeStream": {}}, {"$changeStreamSplitLargeEvent": {}}
        ),
        "$collStats": pipeline({"$collStats": {"count": {}, "storageStats": {}}}),
        "$currentOp": on_admin({"$currentOp": {}}),
        "$geoNear": pipeline({"$geoNear": {"near": POINT, "distanceField": "d", "key": "at"}}),
        "$indexStats": pipeline({"$indexStats": {}}),
        "$listLocalSessions": on_admin({"$listLocalSessions": {}}),
        "$listSampledQueries": on_admin({"$listSampledQueries": {}}),
        "$listSessions": lambda db: list(
            db.client.config["system.sessions"].aggregate([{"$listSessions": {}}])
        ),
        "$planCacheStats": pipeline({"$planCacheStats": {}}),
        "$querySettings": on_admin({"$querySettings": {}}),
        "$queryStats": on_admin({"$queryStats": {}}),
        "$shardedDataDistribution": on_admin({"$shardedDataDistribution": {}}),
    },
    "update_operators": {
        "$each": update({"$push": {"a": {"$each": [1, 2]}}}),
        "$position": update({"$push": {"a": {"$each": [1], "$position": 0}}}),
        "$slice": update({"$push": {"a": {"$each": [1], "$slice": 3}}}),
        "$sort": update({"$push": {"a": {"$each": [1], "$sort": -1}}}),
        "$": update({"$inc": {"a.$": 1}}, query={"_id": 1, "a": 1}),
        "$[]": update({"$inc": {"a.$[]": 1}}),
        "$[identifier]": update({"$inc": {"a.$[i]": 1}}, array_filters=[{"i": {"$gt": 1}}]),
        "replacement document": lambda db: db.things.replace_one({"_id": 2}, {"n": 2}),
        "aggregation pipeline": update([{"$set": {"x": {"$add": ["$n", 1]}}}]),
        "upsert": update({"$set": {"n": 3}}, query={"_id": 3}, upsert=True),
        "multi": lambda db: db.things.update_many({}, {"$set": {"y": 1}}),
        "arrayFilters": update({"$set": {"a.$[i]": 1}}, array_filters=[{"i": 2}]),
        "hint": update({"$set": {"x": 1}}, hint="_id_"),
        "collation": update(
            {"$set": {"x": 1}}, query={"s": "THREE"}, collation={"locale": "en", "strength": 2}
        ),
        "let": lambda db: db.things.update_one(
            {"$expr": {"$eq": ["$n", "$$one"]}}, {"$set": {"x": 2}}, let={"one": 1}
        ),
        "sort on updateOne/replaceOne": update({"$set": {"x": 3}}, query={}, sort={"n": -1}),
    },
    "window_operators": {
        "documents bounds": pipeline({"$setWindowFields": {"sortBy": {"n": 1}, "output": {
            "x": {"$sum": "$n", "window": {"documents": [-1, "current"]}},
        }}}),
        "range bounds": pipeline({"$setWindowFields": {"sortBy": {"n": 1}, "output": {
            "x": {"$sum": "$n", "window": {"range": [-1, 1]}},
        }}}),
        "range with a time unit": pipeline(
            {"$set": {"t": {"$toDate": {"$toLong": "$n"}}}},
            {"$setWindowFields": {"sortBy": {"t": 1}, "output": {
                "x": {"$sum": "$n", "window": {"range": [-1, 1], "unit": "day"}},
            }}},
        ),
        "partitionBy": pipeline({"$setWindowFields": {
            "partitionBy": "$s", "sortBy": {"n": 1}, "output": {"x": {"$rank": {}}},
        }}),
    },
    "write_concerns": {
        "w:1": write_with(w=1),
        "w:majority": write_with(w="majority"),
        "w:0": write_with(w=0),
        "w:<n>": write_with(w=2, wtimeout=100),
        "w:<tag>": write_with(w="dc", wtimeout=100),
        "j": write_with(w=1, j=True),
        "wtimeout": write_with(w="majority", wtimeout=1000),
        "implicit default majority": lambda db: db.written.insert_one({}),
    },
}
"""By section and name of the catalogue."""


def ask(db: Database[Any]) -> dict[str, dict[str, str | None]]:
    """Run all probes; return None for a name that works, else the server's own words."""
    prepare(db)
    answers: dict[str, dict[str, str | None]] = {}
    for section, probes in PROBES.items():
        answers[section] = {}
        for name, probe in probes.items():
            try:
                probe(db)
            except OperationFailure as error:
                details = error.details or {}
                text = details.get("errmsg", str(error).partition(", full error")[0])
                code = "" if error.code is None else f" ({error.code})"
                answers[section][name] = f"{text}{code}"
            else:
                answers[section][name] = None
    db.client.drop_database(db.name)
    return answers
