"""Members come, go, lose their data and come back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pymongo import ReadPreference
from pymongo.errors import OperationFailure
from replication_kit import Replicas, until


def _change(replicas: Replicas, change: Any) -> None:
    admin = replicas.direct(replicas.primary()).admin
    config = admin.command("replSetGetConfig")["config"]
    config["version"] += 1
    change(config)
    admin.command("replSetReconfig", config)


def _votes(replicas: Replicas) -> int:
    status = replicas.direct(replicas.primary()).admin.command("replSetGetStatus")
    return int(status["votingMembersCount"])


def _count(replicas: Replicas, number: int) -> int:
    there = replicas.direct(number).t.get_collection("c", read_preference=ReadPreference.NEAREST)
    return there.count_documents({})


def test_a_set_grows_from_one_loses_a_folder_and_shrinks(tmp_path: Path) -> None:
    with Replicas(tmp_path, 3) as replicas:
        replicas.initiate(1)
        client = replicas.direct(0)
        client.t.c.insert_many([{"_id": number} for number in range(200)])
        for number in (1, 2):
            row = {"_id": number, "host": replicas.hosts[number]}
            _change(replicas, lambda config, row=row: config["members"].append(row))
            until(lambda number=number: _votes(replicas) == number + 1)  # type: ignore[misc]
        until(lambda: _count(replicas, 1) == _count(replicas, 2) == 200)

        replicas.members[2].kill()
        shutil.rmtree(replicas.members[2].dbpath)
        client.t.c.insert_one({"_id": 200})
        with pytest.raises(OperationFailure, match="not enough voting nodes responded") as refused:
            _change(replicas, lambda config: config["members"][1].update(votes=0, priority=0))
        assert refused.value.code == 74, "its two voters could not commit it"
        replicas.members[2].start()
        until(lambda: _count(replicas, 2) == 201)
        until(lambda: _votes(replicas) == 3)

        _change(replicas, lambda config: config["members"][2].update(priority=0, hidden=True))
        hosts = replicas.direct(0).admin.command("hello")
        assert hosts["hosts"] == replicas.hosts[:2]
        _change(replicas, lambda config: config["members"].pop())
        until(lambda: _votes(replicas) == 2)
        until(lambda: "isreplicaset" in replicas.direct(2).admin.command("hello"))
        with pytest.raises(OperationFailure) as caught:
            replicas.direct(2).admin.command("replSetGetStatus")
        assert caught.value.code == 93
        assert replicas.direct(0).admin.command("hello")["hosts"] == replicas.hosts[:2]


def test_what_founds_no_set(tmp_path: Path) -> None:
    with Replicas(tmp_path, 2) as replicas:
        admin = replicas.direct(0).admin
        with pytest.raises(OperationFailure) as caught:
            admin.command("replSetGetStatus")
        assert caught.value.code == 94
        config = replicas.configuration()
        arbiter = {**config["members"][1], "arbiterOnly": True}
        for bad, code in (
            ({**config, "_id": "other"}, 93),
            ({**config, "members": [config["members"][1]]}, 93),
            ({**config, "members": [config["members"][0], arbiter]}, 93),
            ({**config, "members": [*config["members"], {"_id": 2, "host": "127.0.0.1:1"}]}, 74),
        ):
            with pytest.raises(OperationFailure) as caught:
                admin.command("replSetInitiate", bad)
            assert caught.value.code == code, bad
        replicas.initiate()
