"""Geospatial and text queries over the wire: cases of the manual's pages and their edges."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import GEO2D, GEOSPHERE, TEXT, MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

Db = Database[dict[str, Any]]

PLACES = [
    {"_id": 1, "name": "Central Park", "category": "Parks",
     "location": {"type": "Point", "coordinates": [-73.97, 40.77]}},
    {"_id": 2, "name": "Sara D. Roosevelt Park", "category": "Parks",
     "location": {"type": "Point", "coordinates": [-73.9928, 40.7193]}},
    {"_id": 3, "name": "Polo Grounds", "category": "Stadiums",
     "location": {"type": "Point", "coordinates": [-73.9375, 40.8303]}},
    {"_id": 4, "name": "nowhere"},
]  # fmt: skip
HERE = {"type": "Point", "coordinates": [-73.9667, 40.78]}


def code_of(call: Any) -> int:
    with pytest.raises(OperationFailure) as caught:
        call()
    return int(caught.value.code or 0)


@pytest.fixture
def places(db: Db) -> Any:
    db.places.insert_many(PLACES)
    db.places.create_index([("location", GEOSPHERE)])
    return db.places


NEAR = [
    ({"$near": {"$geometry": HERE}}, [1, 3, 2]),
    ({"$nearSphere": {"$geometry": HERE, "$maxDistance": 5000}}, [1]),
    ({"$near": {"$geometry": HERE, "$minDistance": 1000, "$maxDistance": 5000}}, [1]),
    ({"$near": {"$geometry": HERE, "$minDistance": 5000}}, [3, 2]),
    ({"$nearSphere": [-73.9667, 40.78], "$maxDistance": 0.0005}, [1]),
    ({"$nearSphere": HERE, "$maxDistance": 7000}, [1, 3]),
]


@pytest.mark.parametrize(("condition", "ids"), NEAR)
def test_near(places: Any, condition: Any, ids: list[int]) -> None:
    assert [d["_id"] for d in places.find({"location": condition})] == ids
    parks = places.find({"location": condition, "category": "Parks"})
    assert [d["_id"] for d in parks] == [i for i in ids if i != 3]
    assert [d["_id"] for d in places.find({"location": condition}).limit(1)] == ids[:1]


def test_geo_near_stage(places: Any) -> None:
    stage = {"near": HERE, "distanceField": "dist.calculated", "maxDistance": 5000,
             "query": {"category": "Parks"}, "includeLocs": "dist.location",
             "spherical": True}  # fmt: skip
    found = list(places.aggregate([{"$geoNear": stage}]))
    assert [d["_id"] for d in found] == [1]
    assert found[0]["dist"]["location"] == PLACES[0]["location"]
    assert found[0]["dist"]["calculated"] == pytest.approx(1147.422, abs=0.01)
    scaled = {"near": HERE, "distanceField": "d", "distanceMultiplier": 0.001, "key": "location"}
    kilometres = [d["d"] for d in places.aggregate([{"$geoNear": scaled}])]
    assert kilometres == sorted(kilometres)
    assert len(kilometres) == 3
    limited = list(places.aggregate([{"$geoNear": scaled}, {"$limit": 1}, {"$project": {"d": 1}}]))
    assert [d["_id"] for d in limited] == [1]
    meta = list(places.aggregate([
        {"$geoNear": scaled}, {"$project": {"m": {"$meta": "geoNearDistance"}, "d": 1}}]))
    assert [d["m"] for d in meta] == kilometres
    plan = places.database.command(
        "explain", {"aggregate": "places", "pipeline": [{"$geoNear": scaled}], "cursor": {}})
    assert "GEO_NEAR_2DSPHERE" in str(plan)


BAD_NEAR = [
    ({"distanceField": "d"}, 5860400),
    ({"near": HERE}, 16606),
    ({"near": HERE, "distanceField": "d", "limit": 3}, 50858),
    ({"near": HERE, "distanceField": "d", "key": "other"}, 27),
    ({"near": HERE, "distanceField": "d", "minDistance": -1}, 2),
    ({"near": 5, "distanceField": "d"}, 5860401),
]


@pytest.mark.parametrize(("stage", "code"), BAD_NEAR)
def test_geo_near_errors(places: Any, stage: Any, code: int) -> None:
    assert code_of(lambda: list(places.aggregate([{"$geoNear": stage}]))) == code


def test_which_index_geo_near_takes(db: Db) -> None:
    db.c.insert_one({"_id": 1, "a": [1, 2], "b": [3, 4]})
    stage = {"near": [0, 0], "distanceField": "d"}

    def near(**more: Any) -> list[Any]:
        return list(db.c.aggregate([{"$geoNear": {**stage, **more}}]))

    assert code_of(near) == 27
    db.c.create_index([("a", GEOSPHERE)])
    assert near()[0]["d"] == pytest.approx(0.03902, abs=1e-4)
    db.c.create_index([("b", GEO2D)])
    assert near()[0]["d"] == 5.0
    assert near(key="a")[0]["d"] < 1
    db.c.create_index([("a", GEO2D)])
    assert code_of(near) == 27
    assert near(key="b")[0]["d"] == 5.0


def test_distances_and_points_in_a_projection(places: Any) -> None:
    near = {"location": {"$near": {"$geometry": HERE}}}
    told = {"d": {"$meta": "geoNearDistance"}, "at": {"$meta": "geoNearPoint"}, "location": 1}
    rows = list(places.find(near, told))
    assert [row["_id"] for row in rows] == [1, 3, 2]
    assert [row["d"] for row in rows] == sorted(row["d"] for row in rows)
    assert rows[0]["d"] > 100
    assert all(row["at"] == row["location"] for row in rows)
    assert code_of(lambda: list(places.find({}, told))) == 40218


def test_writes_by_place(places: Any) -> None:
    near = {"location": {"$near": {"$geometry": HERE}}}
    assert places.find_one_and_update(near, {"$set": {"seen": 1}})["_id"] == 1
    circle = {"location": {"$geoWithin": {"$centerSphere": [[-73.9667, 40.78], 4 / 3963.2]}}}
    assert places.update_many(circle, {"$set": {"near": 1}}).modified_count == 2
    assert places.count_documents({"near": 1}) == 2
    assert places.delete_one(near).deleted_count == 1
    assert sorted(places.distinct("_id", circle)) == [3]
    bad = {"location": {"type": "Point", "coordinates": [1000, 0]}}
    assert code_of(lambda: places.insert_one({**bad})) == 16755
    assert code_of(lambda: places.update_one({"_id": 2}, {"$set": bad})) == 16755


def test_2d(db: Db) -> None:
    db.grid.create_index([("loc", GEO2D), ("kind", 1)], min=0, max=100, bits=20)
    assert db.grid.index_information()["loc_2d_kind_1"]["bits"] == 20
    db.grid.insert_many([{"_id": x, "loc": [x, 50], "kind": x % 2} for x in range(0, 100, 10)])
    box = {"loc": {"$geoWithin": {"$box": [[15, 40], [45, 60]]}}}
    assert sorted(d["_id"] for d in db.grid.find(box)) == [20, 30, 40]
    near = {"loc": {"$near": [52, 50], "$maxDistance": 15}}
    assert [d["_id"] for d in db.grid.find(near)] == [50, 60, 40]
    stage = {"near": [52, 50], "distanceField": "d", "maxDistance": 9}
    assert [(d["_id"], d["d"]) for d in db.grid.aggregate([{"$geoNear": stage}])] == [
        (50, 2.0), (60, 8.0)]  # fmt: skip
    assert code_of(lambda: db.grid.insert_one({"loc": [500, 0]})) == 13027


def test_an_index_over_bad_places_is_not_built(db: Db) -> None:
    db.wrong.insert_many([{"loc": {"type": "Point", "coordinates": [1, 2]}}, {"loc": "x"}])
    assert code_of(lambda: db.wrong.create_index([("loc", GEOSPHERE)])) == 16755
    assert list(db.wrong.index_information()) == ["_id_"]


ARTICLES = ["coffee", "Coffee Shopping", "Baking a cake", "baking", "Café Con Leche", "Сырники",
            "coffee and cream", "Cafe con Leche"]  # fmt: skip


@pytest.fixture
def articles(db: Db) -> Any:
    db.articles.create_index([("subject", TEXT)])
    db.articles.insert_many([
        {"_id": at, "subject": text, "views": at * 10} for at, text in enumerate(ARTICLES, 1)])
    return db.articles


SEARCHES = [
    ({"$search": "coffee"}, [1, 2, 7]),
    ({"$search": "bake coffee cake"}, [1, 2, 3, 4, 7]),
    ({"$search": '"coffee shop"'}, [2]),
    ({"$search": "'coffee shop'"}, [2, 1, 7]),
    ({"$search": "coffee -shop"}, [1, 7]),
    ({"$search": "leche", "$language": "es"}, [5, 8]),
    ({"$search": "Coffee", "$caseSensitive": True}, [2]),
    ({"$search": '"Café Con Leche"', "$caseSensitive": True}, [5]),
    ({"$search": "Coffee -shop", "$caseSensitive": True}, [2]),
    ({"$search": "CAFÉ"}, [5, 8]),
    ({"$search": "CAFÉ", "$diacriticSensitive": True}, [5]),
    ({"$search": "leches -cafés", "$diacriticSensitive": True}, [8]),
    ({"$search": "сырники"}, [6]),
    ({"$search": "the a an"}, []),
    ({"$search": ""}, []),
    ({"$search": "-coffee"}, []),
    ({"$search": '"coffee" "cream"'}, [7]),
    ({"$search": 'coffee -"and cream"'}, [1, 2]),
    ({"$search": "Baking", "$language": "none"}, []),
]


@pytest.mark.parametrize(("search", "ids"), SEARCHES)
def test_text(articles: Any, search: Any, ids: list[int]) -> None:
    assert sorted(d["_id"] for d in articles.find({"$text": search})) == sorted(ids)
    assert articles.count_documents({"$text": search}) == len(ids)


def test_text_scores(articles: Any) -> None:
    score = {"score": {"$meta": "textScore"}}
    found = list(articles.find({"$text": {"$search": "coffee"}}, score).sort(list(score.items())))
    assert [(d["_id"], d["score"]) for d in found] == [(1, 1.0), (2, 0.75), (7, 0.75)]
    two = list(articles.find({"$text": {"$search": "cake bake"}}, score).sort(
        [("score", {"$meta": "textScore"})]).limit(1))
    assert [(d["_id"], d["score"]) for d in two] == [(3, 1.5)]
    scripted = {"$text": {"$search": "coffee"}, "$where": "this._id < 7"}
    found = list(articles.find(scripted, score).sort(list(score.items())))
    assert [(d["_id"], d["score"]) for d in found] == [(1, 1.0), (2, 0.75)]
    grouped = list(articles.aggregate([
        {"$match": {"$text": {"$search": "cake coffee"}}},
        {"$sort": {"score": {"$meta": "textScore"}, "_id": 1}},
        {"$project": {"score": {"$meta": "textScore"}}}]))
    assert [d["_id"] for d in grouped] == [1, 2, 3, 7]
    high = [{"$match": {"$text": {"$search": "cake bake"}}}, {"$addFields": score},
            {"$match": {"score": {"$gt": 1.0}}}]  # fmt: skip
    assert [d["_id"] for d in articles.aggregate(high)] == [3]
    assert code_of(lambda: list(articles.find({}, score))) == 40218


def test_text_writes_and_or(articles: Any) -> None:
    assert articles.update_many({"$text": {"$search": "coffee"}}, {"$set": {"c": 1}}
                                ).modified_count == 3
    either = {"$or": [{"$text": {"$search": "cake"}}, {"_id": 6}]}
    assert sorted(d["_id"] for d in articles.find(either)) == [3, 6]
    neither = {"$or": [{"$text": {"$search": "cake"}}, {"views": 60}]}
    assert code_of(lambda: list(articles.find(neither))) == 291
    assert articles.delete_many({"$text": {"$search": "baking"}}).deleted_count == 2
    assert articles.count_documents({}) == 6
    articles.update_one({"_id": 1}, {"$set": {"subject": "tea"}})
    assert articles.count_documents({"$text": {"$search": "tea"}}) == 1
    hinted = {"find": "articles", "filter": {"$text": {"$search": "tea"}}, "hint": "subject_text"}
    assert code_of(lambda: articles.database.command(hinted)) == 2
    strange = {"$text": {"$search": "tea", "$language": "klingon"}}
    assert code_of(lambda: list(articles.find(strange))) == 2


def test_text_weights_and_languages(db: Db) -> None:
    db.blog.create_index([("content", TEXT), ("keywords", TEXT), ("about", TEXT)], weights={
        "content": 10, "keywords": 5}, name="TextIndex", default_language="english")
    info = db.blog.index_information()["TextIndex"]
    assert dict(info["weights"]) == {"about": 1, "content": 10, "keywords": 5}
    assert info["key"] == [("_fts", "text"), ("_ftsx", 1)]
    assert info["textIndexVersion"] == 3
    db.blog.insert_many([
        {"_id": 1, "content": "This morning I had a cup of coffee.", "about": "beverage",
         "keywords": ["coffee"]},
        {"_id": 2, "content": "Who likes chocolate ice cream for dessert?", "about": "food",
         "keywords": ["poll"]},
        {"_id": 3, "content": "El café de la mañana", "language": "spanish"}])
    score = {"score": {"$meta": "textScore"}}
    found = list(db.blog.find({"$text": {"$search": "coffee"}}, score))
    # content: 10 * (0.5 / 3 + 0.5), keywords: 5.
    assert [d["_id"] for d in found] == [1]
    assert found[0]["score"] == pytest.approx(10 * (0.5 / 3 + 0.5) + 5)
    spanish = {"$text": {"$search": "la mañanas", "$language": "spanish"}}
    assert [d["_id"] for d in db.blog.find(spanish)] == [3]
    assert code_of(lambda: db.blog.insert_one({"content": "x", "language": "elvish"})) == 17262
    assert code_of(lambda: db.blog.create_index([("other", TEXT)])) == 85


def test_every_option_that_a_driver_has_at_once(db: Db) -> None:
    options = {
        "expireAfterSeconds": 10, "sparse": False, "unique": False, "v": 1, "textIndexVersion": 1,
        "default_language": "english", "language_override": "english", "weights": {}, "bits": 2,
        "2dsphereIndexVersion": 1, "min": 1, "max": 10, "partialFilterExpression": {},
        "storageEngine": {"wiredTiger": {"configString": "block_compressor=zlib"}},
    }
    db.all.create_index([("foo", TEXT)], **options)
    db.all.insert_one({"foo": "Jumping élans"})
    found = [db.all.count_documents({"$text": {"$search": word}}) for word in ("jump", "elan")]
    assert found == [1, 0], "marks count in an index of version 1"


def test_compound_and_wildcard_text(db: Db) -> None:
    db.stock.create_index([("dept", 1), ("description", TEXT), ("price", -1)])
    db.stock.insert_many([
        {"_id": 1, "dept": "tech", "description": "lime green computer", "price": 5},
        {"_id": 2, "dept": "tech", "description": "wireless red mouse", "price": 6},
        {"_id": 3, "dept": "kitchen", "description": "green placemat", "price": 7},
        {"_id": 4, "dept": "tech"}])
    green = {"$text": {"$search": "green"}}
    assert [d["_id"] for d in db.stock.find({"dept": "kitchen", **green})] == [3]
    explained = db.stock.find({"dept": "kitchen", **green}).explain()
    assert explained["executionStats"]["totalKeysExamined"] == 1
    assert code_of(lambda: list(db.stock.find(green))) == 291
    assert code_of(lambda: list(db.stock.find({"dept": {"$gt": "a"}, **green}))) == 291
    db.all.create_index([("$**", TEXT)])
    db.all.insert_many([{"_id": 1, "a": {"b": [{"c": "deep sea"}]}}, {"_id": 2, "x": "shallow sea"},
                        {"_id": 3, "n": 5}])
    assert sorted(d["_id"] for d in db.all.find({"$text": {"$search": "sea"}})) == [1, 2]
    assert sorted(d["_id"] for d in db.all.find({"$text": {"$search": "deep"}})) == [1]


BAD_TEXT = [
    ([("a", TEXT), ("b", 1), ("c", TEXT)], {}, 67),
    ([("a", TEXT)], {"default_language": "elvish"}, 67),
    ([("a", TEXT)], {"language_override": "a.b"}, 67),
    ([("a", TEXT)], {"weights": {"a": 0}}, 67),
    ([("a", TEXT)], {"weights": {"a": "x"}}, 67),
    ([("a", TEXT)], {"textIndexVersion": 4}, 67),
    ([("a", TEXT)], {"collation": {"locale": "fr"}}, 67),
    ([("a", TEXT), ("b", GEOSPHERE)], {}, 67),
]


@pytest.mark.parametrize(("keys", "options", "code"), BAD_TEXT)
def test_wrong_text_indexes(db: Db, keys: Any, options: Any, code: int) -> None:
    assert code_of(lambda: db.wrong.create_index(keys, **options)) == code


def test_partial_text_indexes_and_negations(db: Db) -> None:
    db.c.create_index([("t", TEXT)], partialFilterExpression={"n": {"$gt": 5}})
    db.c.insert_many([{"_id": 1, "t": "red fox", "n": 9}, {"_id": 2, "t": "red hen", "n": 1}])
    red = {"$text": {"$search": "red"}}
    assert [d["_id"] for d in db.c.find({**red, "n": {"$gt": 7}})] == [1]
    assert code_of(lambda: list(db.c.find(red))) == 291
    assert code_of(lambda: list(db.c.find({"$nor": [red]}))) == 2


def test_text_needs_its_index(db: Db) -> None:
    db.none.insert_one({"a": "b"})
    assert code_of(lambda: list(db.none.find({"$text": {"$search": "b"}}))) == 27


def test_all_survive_a_restart(fresh_server: Any) -> None:
    with MongoClient(fresh_server.uri) as client:
        db = client.kept
        db.c.create_index([("p", GEOSPHERE)])
        db.c.create_index([("t", TEXT)])
        db.g.create_index([("p", GEO2D)])
        db.c.insert_one({"p": [1, 2], "t": "running water"})
        db.g.insert_one({"p": [1, 2]})
    fresh_server.stop()
    fresh_server.start()
    with MongoClient(fresh_server.uri) as client:
        db = client.kept
        assert db.c.count_documents({"$text": {"$search": "run"}}) == 1
        assert len(list(db.c.find({"p": {"$nearSphere": [1, 2]}}))) == 1
        assert len(list(db.g.find({"p": {"$near": [1, 2]}}))) == 1
