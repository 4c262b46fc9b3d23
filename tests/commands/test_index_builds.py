"""Indexes that several clients ask for at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any


def test_one_index_asked_for_by_many_at_once(db: Any) -> None:
    db.c.insert_many({"n": i} for i in range(3000))

    def create(_: int) -> dict[str, Any]:
        return db.command("createIndexes", "c", indexes=[{"key": {"n": 1}, "name": "n_1"}])

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(create, range(8)))
    assert {reply["numIndexesAfter"] for reply in replies} == {2}
    assert sorted(db.c.index_information()) == ["_id_", "n_1"]
    assert db.command("validate", "c")["valid"]
