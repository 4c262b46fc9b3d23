"""The README's first session on ZIP codes that three shards hold: the same answers."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pymongo
import pytest
from sharding.conftest import Sharded

from docs import test_readme

LOADER = Path(__file__).resolve().parents[2] / "examples/load_real_data.py"
STATES = ("KS", "NY")
HOW = ("hashed", "ranged")


def shard(client: pymongo.MongoClient, how: str) -> None:
    """Shard the collection while it is empty, with a third of it on each shard."""
    ns = "world.zips"
    if how == "hashed":
        client.admin.command("shardCollection", ns, key={"_id": "hashed"})
        return
    client.admin.command("shardCollection", ns, key={"state": 1, "city": 1})
    for number, state in enumerate(STATES, 1):
        bound = {"state": state, "city": "A"}
        client.admin.command("split", ns, middle=bound)
        client.admin.command("moveChunk", ns, find=bound, to=f"shard{number}")


def first_session(client: pymongo.MongoClient, port: int, how: str) -> None:
    """Load the data through one router and type the README's session at another's port."""
    loader = runpy.run_path(str(LOADER))
    client.drop_database("world")
    shard(client, how)
    zips: Any = client.world.zips
    zips.insert_many(loader["zip_documents"](), ordered=False)
    zips.create_indexes(loader["ZIP_INDEXES"])
    countries = loader["country_documents"]()
    if countries is not None:
        loader["load"](client.world.countries, countries, loader["COUNTRY_INDEXES"])
    counts = [
        part["count"] for part in client.world.command("collStats", "zips")["shards"].values()
    ]
    assert len(counts) == 3
    assert min(counts) > 42_789 // 5
    names: dict[str, object] = {}
    try:
        for block in test_readme.blocks("python", "First session: pymongo"):
            if countries is None and "db.countries" in block:
                continue
            lines = [line for line in block.splitlines() if "plan" not in line]
            text = "\n".join(line for line in lines if line != "'state_1_city_1'") + "\n"
            test_readme.run_python(text, {test_readme.DEFAULT_PORT: port}, names)
    finally:
        for value in list(names.values()):
            if isinstance(value, pymongo.database.Database):
                value.client.close()
        client.drop_database("world")


# `make test` does this on shards of their own processes (tests/cluster/test_up.py).
@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", HOW)
def test_the_first_session(sharded: Sharded, how: str) -> None:
    first_session(sharded.client, sharded.ports[1], how)
