"""Rebuilding indexes, and telling documents that keep BSON's finer rules from those that do not."""

from __future__ import annotations

import bson
from planner_kit import Kit

from psdb_store.replay import check_index
from shardsvr.commands.rebuild import rebuild_indexes
from shardsvr.commands.validate import conforms


def test_a_damaged_index_is_whole_after_a_rebuild() -> None:
    kit = Kit([{"a": n % 5, "tags": [n, n + 1]} for n in range(50)],
              [{"key": {"a": 1}}, {"key": {"tags": -1}}])
    collection = kit.collection
    for index in (collection.indexes["a_1"], collection.indexes["tags_-1"]):
        key, rid = index.scan(b"", b"", limit=1)[0]
        index.discard([key], rid)
        index.add([key + b"\x01"], rid)
        assert check_index(collection, index)
    list(collection.indexes["_id_"].scan(b"", b"", limit=1))
    rebuild_indexes(collection)
    for index in collection.indexes.values():
        assert check_index(collection, index) == []
    assert collection.indexes["a_1"].entry_count == 50
    assert collection.indexes["tags_-1"].multikey


def test_conformance() -> None:
    assert conforms(bson.encode({"a": [1, {"b": [[]]}], "c": {"d": 1}}))
    misnumbered = bson.encode({"a": [1, 2]}).replace(b"\x101\x00", b"\x102\x00")
    assert not conforms(misnumbered)
    twice = bson.encode({"x": {"a": 1, "b": 1}}).replace(b"\x10b\x00", b"\x10a\x00")
    assert not conforms(twice)
