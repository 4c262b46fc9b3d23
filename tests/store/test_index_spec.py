"""Index specifications: MongoDB's refusals, what is the same, what conflicts."""

from __future__ import annotations

from typing import Any

import pytest
from bson.decimal128 import Decimal128

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_store.index_spec import check, same_or_conflict

REFUSED: list[tuple[Document, int, str]] = [
    ({"name": "x"}, 9, "The 'key' field is a required property of an index specification"),
    ({"key": {"a": 1}}, 9, "The 'name' field is a required property"),
    ({"key": "a", "name": "x"}, 14, "The field 'key' must be an object, but got string"),
    ({"key": {}, "name": "x"}, 67, "Index keys cannot be empty."),
    ({"key": {"a": 0}, "name": "x"}, 67, "Values in the index key pattern cannot be 0."),
    ({"key": {"a": float("nan")}, "name": "x"}, 67, "cannot be NaN"),
    ({"key": {"a": Decimal128("0")}, "name": "x"}, 67, "cannot be 0"),
    ({"key": {"a": True}, "name": "x"}, 67, "cannot be of type bool. Only numbers > 0"),
    ({"key": {"a": {}}, "name": "x"}, 67, "cannot be of type object"),
    ({"key": {"a": "bad"}, "name": "x"}, 67, "Unknown index plugin 'bad'"),
    ({"key": {"": 1}, "name": "x"}, 67, "Index keys cannot be an empty field."),
    ({"key": {"a..b": 1}, "name": "x"}, 67, "Index keys cannot contain an empty field."),
    ({"key": {"a.": 1}, "name": "x"}, 67, "Index keys cannot contain an empty field."),
    ({"key": {"$a": 1}, "name": "x"}, 67, "field name starts with '$'"),
    ({"key": {"a.$b": 1}, "name": "x"}, 67, "field name starts with '$'"),
    ({"key": {f"f{n}": 1 for n in range(33)}, "name": "x"}, 13103, "too many fields"),
    ({"key": {"a": 1}, "name": ""}, 67, "index name cannot be empty"),
    ({"key": {"a": 1}, "name": "*"}, 2, "The index name '*' is not valid."),
    ({"key": {"a": 1}, "name": 5}, 14, "The field 'name' must be a string, but got int"),
    ({"key": {"a": 1}, "name": "x", "bad": 1}, 197, "The field 'bad' is not valid for an index"),
    ({"key": {"a": 1}, "name": "x", "unique": "yes"}, 14, "not convertible to bool"),
    ({"key": {"a": 1}, "name": "x", "v": 3}, 67, "cannot create an index with v=3"),
    (
        {"key": {"_id": 1}, "name": "_id_", "unique": True}, 197,
        'Specification: { key: { _id: 1 }, name: "_id_", unique: true, v: 2 }',
    ),
    ({"key": {"_id": 1}, "name": "_id_", "sparse": True}, 197, "'sparse' is not valid for an _id"),
    (
        {"key": {"_id": 1}, "name": "_id_", "partialFilterExpression": {}}, 197,
        "'partialFilterExpression' is not valid for an _id index",
    ),
    ({"key": {"_id": 1}, "name": "_id_", "hidden": True}, 197, "not valid for an _id index"),
    ({"key": {"_id": -1}, "name": "_id_"}, 2, "must be {_id: 1}, but got { _id: -1 }"),
    (
        {"key": {"a": 1}, "name": "x", "sparse": True, "partialFilterExpression": {"b": 1}}, 67,
        'cannot mix "partialFilterExpression" and "sparse" options',
    ),
    ({"key": {"a": "hashed"}, "name": "x", "unique": True}, 16764, "cannot guarantee uniqueness"),
    ({"key": {"a": "hashed", "b": "hashed"}, "name": "x"}, 31303, "but found 2"),
    ({"key": {"a": 1, "b": 1}, "name": "x", "expireAfterSeconds": 1}, 67, "TTL indexes are single"),
    ({"key": {"a": 1}, "name": "x", "expireAfterSeconds": -1}, 67, "cannot be less than 0"),
    ({"key": {"a": 1}, "name": "x", "expireAfterSeconds": 2**31}, 67, "an acceptable range"),
    ({"key": {"a": 1}, "name": "x", "expireAfterSeconds": "1"}, 14, "must be a number"),
    ({"key": {"$**": 1}, "name": "x", "unique": True}, 67, "does not support the unique option"),
    ({"key": {"$**": 1}, "name": "x", "wildcardProjection": {}}, 9, "can't be an empty object"),
    ({"key": {"a": 1}, "name": "x", "wildcardProjection": {"a": 1}}, 2, "is only allowed when"),
    ({"key": {"a.$**": 1}, "name": "x", "wildcardProjection": {"a": 1}}, 9, "contains '$**'"),
    ({"key": {"$**": 1, "a.$**": 1}, "name": "x"}, 67, "more than one wildcard field"),
    *(
        ({"key": {"$**": 1}, "name": "x", "wildcardProjection": projection}, code, text)
        for projection, code, text in [
            ({"a": 1, "b": 0}, 31254, "caused by :: Cannot do exclusion on field b in inclusion"),
            ({"a": 0, "b": 1}, 31253, "caused by :: Cannot do inclusion on field b in exclusion"),
            ({"a": 1, "a.b": 1}, 31249, "Path collision"),
            ({"a": "$b"}, 51271, "computed"),
            ({"a": {"$add": [1, 2]}}, 51271, "computed"),
        ]
    ),
    ({"key": {"b.c": 1, "b.$**": 1}, "name": "x"}, 7246204, "'b.c' is overlapping"),
    ({"key": {"b.$**": 1, "b": 1}, "name": "x"}, 7246204, "'b' is overlapping"),
    ({"key": {"a": 1, "$**": 1}, "name": "x"}, 67, "must also specify 'wildcardProjection'"),
    *(
        (
            {"key": {"c.d": 1, "$**": 1, "a": 1}, "name": "x", "wildcardProjection": projection},
            code, text,
        )
        for projection, code, text in [
            ({"c": 1}, 7246208, "'c.d' index field is overlapping with 'c'"),
            ({"e": 1, "a": 1}, 7246208, "'a' index field"),
            ({"c": 0}, 7246210, "'a' is not excluded"),
            ({"a": 0, "c.d.e": 0}, 7246210, "'c.d' is not excluded"),
        ]
    ),
    ({"key": {"a": 1}, "name": "x", "collation": {"locale": "tlh"}}, 2, "tlh"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "code", "words"), REFUSED)
def test_refused(spec: Document, code: int, words: str) -> None:
    with pytest.raises(MongoError) as refused:
        check(spec)
    assert refused.value.code == code, refused.value
    assert words in refused.value.message


KEPT: list[tuple[Document, Document]] = [
    ({"name": "a_1", "key": {"a": 1}}, {"v": 2, "key": {"a": 1}, "name": "a_1"}),
    (
        {"key": {"a": 1}, "name": "x", "unique": 1, "sparse": False, "background": True},
        {"v": 2, "key": {"a": 1}, "name": "x", "unique": True, "background": True},
    ),
    (
        {"key": {"a": -1.5}, "name": "x", "expireAfterSeconds": 60, "ns": "d.c"},
        {"v": 2, "key": {"a": -1.5}, "name": "x", "expireAfterSeconds": 60},
    ),
    ({"key": {"_id": 1}, "name": "mine"}, {"v": 2, "key": {"_id": 1}, "name": "_id_"}),
    (
        {"key": {"a": 1}, "name": "x", "collation": {"locale": "simple"}},
        {"v": 2, "key": {"a": 1}, "name": "x"},
    ),
    ({"key": {"a.$id": 1}, "name": "x"}, {"v": 2, "key": {"a.$id": 1}, "name": "x"}),
]


@pytest.mark.parametrize(("spec", "kept"), KEPT)
def test_kept(spec: Document, kept: Document) -> None:
    assert check(spec) == kept
    assert list(check(spec)) == list(kept)
    assert check(check(spec)) == kept


def test_unknown_options_may_be_left_out() -> None:
    spec = {"key": {"a": 1}, "name": "x", "bad": 1}
    assert check(spec, ignore_unknown=True) == {"v": 2, "key": {"a": 1}, "name": "x"}


def test_the_collections_collation_is_taken_over() -> None:
    spec = {"key": {"a": 1}, "name": "x"}
    taken = check(spec, {"locale": "fr"})
    assert taken["collation"]["locale"] == "fr"
    assert "collation" not in check({**spec, "collation": {"locale": "simple"}}, {"locale": "fr"})


def spec(name: str, key: Document, **options: Any) -> Document:
    return check({"key": key, "name": name, **options})


SAME_OR_NOT: list[tuple[Document, Document, Any]] = [
    (spec("a_1", {"a": 1}), spec("a_1", {"a": 1}), "a_1"),
    (spec("a_1", {"a": 1}), spec("a_1", {"a": 1.0}), "a_1"),
    (spec("a_1", {"a": 1}), spec("b_1", {"b": 1}), None),
    (spec("a_1", {"a": 1}), spec("x", {"a": -1}), None),
    (spec("ab", {"a": 1, "b": 1}), spec("ba", {"b": 1, "a": 1}), None),
    (spec("a_1", {"a": 1}), spec("x", {"a": 1}), (85, "already exists with a different name: a_1")),
    (spec("x", {"a": 1}), spec("x", {"b": 1}), (86, "same name as the requested index")),
    (spec("x", {"a": 1}), spec("x", {"a": 1}, unique=True), (86, "same name as the requested")),
    (spec("x", {"a": 1}), spec("y", {"a": 1}, unique=True), None),
    (spec("x", {"a": 1}), spec("y", {"a": 1}, sparse=True), None),
    (spec("x", {"a": 1}), spec("y", {"a": 1}, collation={"locale": "fr"}), None),
    (spec("x", {"a": 1}), spec("y", {"a": 1}, partialFilterExpression={"b": 1}), None),
    (spec("x", {"a": 1}), spec("x", {"a": 1}, hidden=True), "x"),
    (
        spec("x", {"a": 1}), spec("x", {"a": 1}, expireAfterSeconds=5),
        (85, "same name but different options"),
    ),
    (
        spec("x", {"a": 1}), spec("y", {"a": 1}, expireAfterSeconds=5),
        (85, "different name and options"),
    ),
    (spec("_id_", {"_id": 1}), spec("other", {"_id": 1}), "_id_"),
]  # fmt: skip


@pytest.mark.parametrize(("existing", "asked", "expected"), SAME_OR_NOT)
def test_same_or_conflict(existing: Document, asked: Document, expected: Any) -> None:
    if type(expected) is tuple:
        with pytest.raises(MongoError) as conflict:
            same_or_conflict([existing], asked)
        assert conflict.value.code == expected[0]
        assert expected[1] in conflict.value.message
    else:
        assert same_or_conflict([existing], asked) == expected


def test_sixty_four_indexes() -> None:
    present = [spec(f"f{n}", {f"f{n}": 1}) for n in range(64)]
    assert same_or_conflict(present[:63], spec("x", {"x": 1})) is None
    with pytest.raises(MongoError, match="too many indexes") as refused:
        same_or_conflict(present, spec("x", {"x": 1}))
    assert refused.value.code == 67


@pytest.mark.parametrize("projection", [
    {"e": 1, "c.d.l": 1, "a.b": 1}, {"a": 0, "c": 0}, {"_id": 1, "a": 0, "c.d": 0},
    {"_id": 0, "e": {"f": 1}},
])  # fmt: skip
def test_a_wildcard_beside_regular_fields(projection: Document) -> None:
    spec = {"key": {"c.d": 1, "$**": 1, "a": 1}, "name": "x", "wildcardProjection": projection}
    assert check(spec)["wildcardProjection"] == projection
    assert check({"key": {"a": 1, "b.$**": 1, "bc": 1}, "name": "x"})["v"] == 2
