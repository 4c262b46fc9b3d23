"""TTL indexes: expired documents go, others stay."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from pymongo import MongoClient
from servers import Server


@pytest.mark.slow
def test_expired_documents_are_deleted(tmp_path: Path) -> None:
    flags = ("--setParameter", "ttlMonitorSleepSecs=1")
    with Server.up(tmp_path / "data", *flags) as server, MongoClient(server.uri) as client:
        now = datetime.datetime.now(datetime.UTC)
        collection = client.ttl.c
        collection.create_index("at", expireAfterSeconds=60)
        collection.insert_many([
            {"_id": "old", "at": now - datetime.timedelta(seconds=120)},
            {"_id": "array", "at": [now, now - datetime.timedelta(seconds=120)]},
            {"_id": "new", "at": now},
            {"_id": "none"},
            {"_id": "text", "at": "yesterday"},
        ])
        deadline = time.monotonic() + 20
        while collection.count_documents({}) != 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sorted(d["_id"] for d in collection.find({})) == ["new", "none", "text"]
