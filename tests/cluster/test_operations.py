"""Commands for whoever runs a server, on the members of a replica set."""

from __future__ import annotations

from typing import Any

import pytest
from cluster.up import Cluster, wait_until
from pymongo import WriteConcern
from pymongo.errors import NotPrimaryError, OperationFailure, WTimeoutError


def digests(cluster: Cluster, database: str) -> list[dict[str, Any]]:
    found = []
    for address in cluster.addresses("rs0"):
        with cluster.direct(address) as client:
            reply = client[database].command("dbHash")
            found.append({name: reply[name] for name in ("md5", "collections", "uuids", "capped")})
    return found


def _are_equal(found: list[dict[str, Any]]) -> bool:
    return all(one == found[0] for one in found)


@pytest.mark.slow
def test_members_have_equal_digests(replica_set: Cluster) -> None:
    with replica_set.client(w=3) as client:
        db = client.digests
        db.a.insert_many({"_id": n % 7 * 100 + n, "n": n} for n in range(300))
        db.a.update_many({"n": {"$lt": 50}}, {"$set": {"text": "x" * 200}})
        db.a.delete_many({"n": {"$gte": 250}})
        db.create_collection("ring", capped=True, size=4096)
        db.ring.insert_many({"_id": n} for n in range(300))
        db.create_collection("series", timeseries={"timeField": "t", "metaField": "m"})
        now = client.admin.command("hello")["localTime"]
        db.series.insert_many({"_id": 1, "t": now, "m": n % 3} for n in range(30))
        db.series.update_many({"m": 1}, {"$set": {"m": 9}})
        db.command("create", "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
        db.clustered.insert_many({"_id": -n} for n in range(30))
        wait_until("equal digests", lambda: _are_equal(digests(replica_set, "digests")))
        first, second, third = digests(replica_set, "digests")
        assert first == second == third
        assert set(first["collections"]) == {"a", "clustered", "ring", "series"}
        client.drop_database("digests")


@pytest.mark.slow
def test_default_write_concern_and_profiling_on_members(replica_set: Cluster) -> None:
    addresses = replica_set.addresses("rs0")
    primary = replica_set.primary(addresses)
    secondary = next(address for address in addresses if address != primary)
    with replica_set.client() as client, replica_set.direct(secondary) as direct:
        concern = {"w": 5, "wtimeout": 300}
        client.admin.command("setDefaultRWConcern", defaultWriteConcern={"w": "majority"})
        assert direct.admin.command("getDefaultRWConcern")["defaultWriteConcern"]["w"] == "majority"
        with pytest.raises(NotPrimaryError):
            direct.admin.command("setDefaultRWConcern", defaultReadConcern={"level": "local"})
        with pytest.raises((WTimeoutError, OperationFailure)):
            client.ops.get_collection("c", write_concern=WriteConcern(**concern)).insert_one({})
        client.ops.command("profile", 2)
        client.ops.c.find_one({"n": 1})
        assert client.ops["system.profile"].count_documents({"op": "query"}) == 1
        client.ops.command("profile", 0)
        assert direct.ops.command("profile", 2)["was"] == 0
        direct.ops.c.find_one({"n": 1})
        direct.ops.command("profile", 0)
        with pytest.raises(OperationFailure) as caught:
            client.ops.command("reIndex", "c")
        assert caught.value.code == 20
        client.drop_database("ops")
