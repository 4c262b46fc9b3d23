"""What the list of databases shows."""

from __future__ import annotations

from typing import Any


def test_admin_and_config_are_there_from_the_start(client: Any, db: Any) -> None:
    db.c.insert_one({})
    names = client.list_database_names()
    assert {"admin", "config", db.name} <= set(names)
    filtered = client.admin.command("listDatabases", filter={"name": "admin"})["databases"]
    assert [row["name"] for row in filtered] == ["admin"]


def test_compatibility_version_is_kept(client: Any) -> None:
    document = client.admin["system.version"].find_one({"_id": "featureCompatibilityVersion"})
    assert document == {"_id": "featureCompatibilityVersion", "version": "8.0"}
