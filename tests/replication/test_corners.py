"""Large entries, missing members, priorities, config servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import OperationFailure, WriteConcernError
from replication_kit import Replicas, until


def test_large_documents_time_limits_and_priorities(tmp_path: Path) -> None:
    with Replicas(tmp_path, 3) as replicas:
        document = replicas.configuration()
        document["members"][1]["priority"] = 5
        document["settings"] = {
            "getLastErrorModes": {"both": {"place": 2}}, "electionTimeoutMillis": 1500,
        }
        for number, place in enumerate(("here", "there", "there")):
            document["members"][number]["tags"] = {"place": place}
        replicas.direct(0).admin.command("replSetInitiate", document)
        until(lambda: replicas.primary() == 1)

        client = replicas.client()
        large = {"_id": 1, "text": "x" * 9_000_000}
        all_three = client.t.get_collection("c", write_concern=WriteConcern(3))
        all_three.insert_one(large)
        for number in range(3):
            there = replicas.direct(number).t.get_collection(
                "c", read_preference=ReadPreference.NEAREST
            )
            assert there.find_one() == large

        tagged = client.t.get_collection("c", write_concern=WriteConcern("both"))
        tagged.insert_one({"_id": 2})
        replicas.members[0].kill()
        for w in (3, "both"):
            with pytest.raises(WriteConcernError) as caught:
                client.t.get_collection(
                    "c", write_concern=WriteConcern(w, wtimeout=300)
                ).insert_one({"w": w})
            assert caught.value.code == 64
            assert caught.value.details["errInfo"]["wtimeout"] is True  # type: ignore[index]
        assert client.t.c.count_documents({}) == 4

        replicas.members[2].kill()
        until(lambda: not replicas.direct(1).admin.command("hello")["isWritablePrimary"])
        there = replicas.direct(1).t.get_collection("c", read_preference=ReadPreference.NEAREST)
        assert there.count_documents({}) == 4


def test_config_servers_are_members_like_any(tmp_path: Path) -> None:
    with Replicas(tmp_path, 1, role="configsvr") as replicas:
        replicas.initiate()
        version = replicas.client().config.version.find_one()
        assert version is not None
        assert "clusterId" in version


def test_a_standalone_becomes_a_set_and_stays_one(tmp_path: Path) -> None:
    replicas = Replicas(tmp_path, 2)
    member = replicas.members[0]
    arguments = member.arguments
    member.arguments = [one for one in arguments if one not in ("--replSet", "rs0")]
    with member:
        client = replicas.direct(0)
        client.t.c.insert_many([{"_id": number} for number in range(50)])
        client.t.c.create_index("x")
        with pytest.raises(OperationFailure) as caught:
            client.admin.command("replSetInitiate")
        assert caught.value.code == 76
    alone, member.arguments = member.arguments, arguments
    with replicas:
        replicas.direct(0).admin.command("replSetInitiate")
        assert replicas.primary() == 0
        reply = replicas.direct(0).admin.command("hello")
        assert reply["hosts"] == [replicas.hosts[0]] == [reply["me"]]
        admin = replicas.direct(0).admin
        config = admin.command("replSetGetConfig")["config"]
        config["members"].append({"_id": 1, "host": replicas.hosts[1], "votes": 0, "priority": 0})
        admin.command("replSetReconfig", {**config, "version": config["version"] + 1})
        there = replicas.direct(1).t.get_collection("c", read_preference=ReadPreference.NEAREST)
        until(lambda: there.count_documents({}) == 50)
        assert list(there.index_information()) == ["_id_", "x_1"]
        status = admin.command("replSetGetStatus")
        assert status["votingMembersCount"] == 1
    member.arguments = alone
    with pytest.raises(AssertionError, match="belongs to the replica set rs0"):
        member.start()
