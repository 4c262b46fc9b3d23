"""TTL indexes: expired documents go, others stay."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

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


def test_another_pause_holds_at_once(member_client: Any, member_db: Any) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    member_db.c.create_index("at", expireAfterSeconds=0)
    member_db.c.insert_one({"at": past})
    admin = member_client.admin
    # The monitor is in the middle of its pause of a minute.
    assert admin.command("setParameter", 1, ttlMonitorSleepSecs=1)["was"] == 60
    try:
        deadline = time.monotonic() + 30
        while member_db.c.count_documents({}):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        admin.command("setParameter", 1, ttlMonitorSleepSecs=60)
