"""What error 11000 says of the key that is taken."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError
from servers import Server

CASES: list[tuple[list[tuple[str, int]], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ([("a", 1)], {"a": 5}, {"a": 5}, {"a": 5}),
    ([("a", 1)], {"a": [1, 2]}, {"a": [2, 3]}, {"a": 2}),
    ([("a", -1)], {"a": [1, 2]}, {"a": [2, 3]}, {"a": 2}),
    ([("a", 1), ("b", -1)], {"a": 1, "b": ["x", "y"]}, {"a": 1, "b": ["z", "y"]},
     {"a": 1, "b": "y"}),
    ([("a.b", 1)], {"a": [{"b": 1}]}, {"a": [{"b": 7}, {"b": 1}]}, {"a.b": 1}),
    ([("a", 1)], {"x": 1}, {"x": 2}, {"a": None}),
]


@pytest.mark.parametrize(("keys", "first", "second", "taken"), CASES)
def test_the_taken_key_is_named(
    server: Server, keys: Any, first: Any, second: Any, taken: Any
) -> None:
    with MongoClient(server.uri) as client:
        collection = client.duplicates.c
        collection.drop()
        collection.create_index(keys, unique=True)
        collection.insert_one(dict(first))
        with pytest.raises(DuplicateKeyError) as error:
            collection.insert_one(dict(second))
        assert error.value.details["keyValue"] == taken
        assert error.value.details["keyPattern"] == dict(keys)
        other = collection.insert_one({"a": "other", "b": "other"}).inserted_id
        with pytest.raises(DuplicateKeyError) as error:
            collection.update_one({"_id": other}, [{"$replaceWith": {"$literal": second}}])
        assert error.value.details["keyValue"] == taken
