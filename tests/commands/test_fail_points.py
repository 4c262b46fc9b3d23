"""Fail points on a router and on a member: faults that a test orders."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Int64
from pymongo import MongoClient, monitoring
from pymongo.errors import AutoReconnect, CursorNotFound, OperationFailure
from servers import RawClient, Server

Client = MongoClient[dict[str, Any]]
LSID = {"id": Binary(b"0123456789abcdef", 4)}


@pytest.fixture(scope="module", params=["router", "member"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
           ) -> Iterator[Client]:
    path = tmp_path_factory.mktemp(request.param) / "data"
    command = "up" if request.param == "router" else "shardsvr"
    flags = ["--setParameter", "enableTestCommands=1"]
    with Server([command, "--dbpath", str(path), *flags], path) as server:
        options: dict[str, Any] = {"directConnection": True, "appname": "fail points"}
        with MongoClient(server.uri, retryWrites=False, retryReads=False, **options) as found:
            yield found


@pytest.fixture(autouse=True)
def _all_off(client: Client) -> Iterator[None]:
    client.test.c.drop()
    yield
    for name in ("failCommand", "failGetMoreAfterCursorCheckout", "onPrimaryTransactionalWrite"):
        client.admin.command("configureFailPoint", name, mode="off")


def fail(client: Client, mode: Any = "alwaysOn", **data: Any) -> int:
    reply = client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
    return int(reply["count"])


def raw_of(client: Client) -> RawClient:
    assert client.address is not None
    return RawClient(client.address)


def test_without_test_commands_there_is_no_such_command(server: Server) -> None:
    with MongoClient(server.uri) as client:
        with pytest.raises(OperationFailure, match="no such command: 'configureFailPoint'") as info:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
        assert info.value.code == 59
        assert client.admin.command("getParameter", enableTestCommands=1)["ok"] == 1
        assert "configureFailPoint" not in client.admin.command("listCommands")["commands"]


def test_a_command_outside_the_stable_api(client: Client) -> None:
    assert client.admin.command("testVersion2")["ok"] == 1
    with pytest.raises(OperationFailure, match="testVersion2 is not in API Version 1") as info:
        client.admin.command("testVersion2", apiVersion="1", apiStrict=True)
    assert info.value.code == 323


@pytest.mark.parametrize(("name", "mode", "data", "code"), [
    ("nonsense", "off", None, 266),
    ("failCommand", None, None, 20),
    ("failCommand", "nonsense", None, 2),
    ("failCommand", 1, None, 14),
    ("failCommand", {}, None, 2),
    ("failCommand", {"times": -1}, None, 2),
    ("failCommand", {"skip": 2**31}, None, 2),
    ("failCommand", {"times": "1"}, None, 14),
    ("failCommand", {"activationProbability": 2}, None, 2),
    ("failCommand", {"activationProbability": "x"}, None, 14),
    ("failCommand", "alwaysOn", 1, 14),
])
def test_bad_configurations(client: Client, name: str, mode: Any, data: Any, code: int) -> None:
    with pytest.raises(OperationFailure) as info:
        client.admin.command({"configureFailPoint": name, "mode": mode, "data": data})
    assert info.value.code == code
    client.admin.command("ping")


def test_error_code_and_names(client: Client) -> None:
    before = fail(client, failCommands=["ping", "isMaster"], errorCode=2)
    for _ in range(2):
        with pytest.raises(OperationFailure, match="Failing command via 'failCommand' failpoint"
                           ) as info:
            client.admin.command("ping")
        assert info.value.code == 2
        assert info.value.details is not None
        assert info.value.details["codeName"] == "BadValue"
        assert "errorLabels" not in info.value.details
    for name in ("hello", "buildInfo"):
        client.admin.command(name)
    for name in ("isMaster", "ismaster"):
        assert raw_of(client).command({name: 1, "$db": "admin"})["code"] == 2
    assert fail(client, "off") == before + 4
    client.admin.command("ping")


def test_modes(client: Client) -> None:
    def outcomes(count: int = 4) -> list[int]:
        raw = raw_of(client)
        return [int(raw.command({"ping": 1, "$db": "admin"})["ok"]) for _ in range(count)]

    ping = {"failCommands": ["ping"], "errorCode": 2}
    fail(client, {"times": 2}, **ping)
    raw_of(client).command({"buildInfo": 1, "$db": "admin"})  # does not count
    assert outcomes() == [0, 0, 1, 1]
    fail(client, {"skip": 2}, **ping)
    assert outcomes() == [1, 1, 0, 0]
    fail(client, {"activationProbability": 0.5}, **ping)
    assert 10 < sum(outcomes(100)) < 90
    fail(client, {"activationProbability": 1}, **ping)
    assert outcomes() == [0, 0, 0, 0]
    fail(client, {"times": 0}, **ping)
    assert outcomes() == [1, 1, 1, 1]


def test_conditions(client: Client) -> None:
    fail(client, failCommands=["find"], errorCode=2, namespace="test.other")
    client.test.c.find_one()
    with pytest.raises(OperationFailure):
        client.test.other.find_one()
    fail(client, failCommands=["ping"], errorCode=2, appName="another")
    client.admin.command("ping")
    fail(client, failCommands=["ping"], errorCode=2, appName="fail points")
    with pytest.raises(OperationFailure):
        client.admin.command("ping")
    assert raw_of(client).command({"ping": 1, "$db": "admin"})["ok"] == 1
    fail(client, failCommands=["ping"], errorCode=2, threadName="conn999999")
    client.admin.command("ping")
    number = client.admin.command("hello")["connectionId"]
    fail(client, failCommands=["ping"], errorCode=2, threadName=f"conn{number}")
    with pytest.raises(OperationFailure):
        client.admin.command("ping")


def test_all_commands_but_the_one_that_ends_it(client: Client) -> None:
    raw = raw_of(client)
    fail(client, failAllCommands=True, errorCode=2)
    assert raw.command({"buildInfo": 1, "$db": "admin"})["code"] == 2
    # The driver's own hellos fail as well: it may have given the server up already.
    off = {"configureFailPoint": "failCommand", "mode": "off", "$db": "admin"}
    assert raw.command(off)["ok"] == 1


def test_commands_of_other_nodes_fail_only_when_asked(client: Client) -> None:
    raw = raw_of(client)
    raw.command({"hello": 1, "internalClient": {"minWireVersion": 0, "maxWireVersion": 25},
                 "$db": "admin"})
    fail(client, failCommands=["ping"], errorCode=2)
    assert raw.command({"ping": 1, "$db": "admin"})["ok"] == 1
    fail(client, failCommands=["ping"], errorCode=2, failInternalCommands=True)
    assert raw.command({"ping": 1, "$db": "admin"})["ok"] == 0


@pytest.mark.parametrize(("data", "labels"), [
    ({"errorCode": 91}, ["RetryableWriteError"]),
    ({"errorCode": 2}, None),
    ({"errorCode": 91, "errorLabels": []}, None),
    ({"errorCode": 2, "errorLabels": ["A", "B"]}, ["A", "B"]),
])
def test_labels(client: Client, data: dict[str, Any], labels: list[str] | None) -> None:
    fail(client, failCommands=["insert"], **data)
    reply = raw_of(client).command({
        "insert": "c", "documents": [{"_id": 1}], "lsid": LSID, "txnNumber": Int64(1),
        "$db": "test",
    })
    assert reply["code"] == data["errorCode"]
    assert reply.get("errorLabels") == labels


def test_write_concern_errors_come_with_the_write_done(client: Client) -> None:
    failure = {"code": 64, "errmsg": "waiting for replication timed out"}
    fail(client, {"times": 1}, failCommands=["insert"], writeConcernError=failure,
         errorLabels=["RetryableWriteError"])
    raw = raw_of(client)
    insert = {"insert": "c", "documents": [{"_id": 1}], "$db": "test"}
    reply = raw.command(insert)
    assert (reply["ok"], reply["n"]) == (1.0, 1)
    assert reply["writeConcernError"] == failure
    assert reply["errorLabels"] == ["RetryableWriteError"]
    assert client.test.c.count_documents({}) == 1
    assert "writeConcernError" not in raw.command(insert)


def test_closing_the_connection(client: Client) -> None:
    fail(client, {"times": 1}, failCommands=["insert"], closeConnection=True)
    with pytest.raises(AutoReconnect):
        client.test.c.insert_one({})
    assert client.test.c.count_documents({}) == 0
    client.test.c.insert_one({})


def test_blocking_goes_on_afterwards(client: Client) -> None:
    fail(client, {"times": 1}, failCommands=["insert"], blockConnection=True, blockTimeMS=150)
    start = time.monotonic()
    client.test.c.insert_one({})
    assert time.monotonic() - start >= 0.15
    fail(client, {"times": 1}, failCommands=["insert"], blockConnection=True)
    with pytest.raises(OperationFailure, match="blockTimeMS"):
        client.test.c.insert_one({})


def test_time_limits_that_are_always_over(client: Client) -> None:
    point = {"configureFailPoint": "maxTimeAlwaysTimeOut", "mode": "alwaysOn"}
    client.admin.command(point)
    raw = raw_of(client)
    assert raw.command({"count": "c", "maxTimeMS": 60_000, "$db": "test"})["code"] == 50
    assert raw.command({"count": "c", "$db": "test"})["ok"] == 1
    client.admin.command({**point, "mode": "off"})
    assert raw.command({"count": "c", "maxTimeMS": 60_000, "$db": "test"})["ok"] == 1

    client.test.c.insert_many([{} for _ in range(5)])
    find = {"find": "c", "batchSize": 2, "maxTimeMS": 60_000, "$db": "test"}
    cursor = raw.command(find)["cursor"]["id"]
    if client.admin.command("hello").get("msg") != "isdbgrid":  # there the shard keeps the time
        client.admin.command(point)
        more = raw.command({"getMore": Int64(cursor), "collection": "c", "$db": "test"})
        client.admin.command({**point, "mode": "off"})
        assert more["code"] == 50


def test_a_client_is_known_by_the_hello_that_fails(client: Client) -> None:
    fail(client, failCommands=["hello"], errorCode=91, appName="unlucky")
    metadata = {"driver": {"name": "d", "version": "1"}, "os": {"type": "o"}}
    for name, code in (("unlucky", 91), ("lucky", None)):
        hello = {"hello": 1, "client": {**metadata, "application": {"name": name}}}
        assert raw_of(client).command({**hello, "$db": "admin"}).get("code") == code


def test_an_ordered_error_says_nothing_of_the_topology(client: Client) -> None:
    fail(client, failCommands=["ping"], errorCode=10107)
    assert "topologyVersion" not in raw_of(client).command({"ping": 1, "$db": "admin"})


def test_failing_get_more_loses_the_cursor(client: Client) -> None:
    client.test.c.insert_many([{} for _ in range(5)])
    client.admin.command(
        "configureFailPoint", "failGetMoreAfterCursorCheckout", mode={"times": 1},
        data={"errorCode": 43},
    )
    raw = raw_of(client)
    cursor = raw.command({"find": "c", "batchSize": 2, "$db": "test"})["cursor"]["id"]
    get_more = {"getMore": Int64(cursor), "collection": "c", "$db": "test"}
    assert "failGetMoreAfterCursorCheckout" in raw.command(get_more)["errmsg"]
    assert raw.command(get_more)["code"] == CursorNotFound("", 43).code


def test_waiting_for_a_fail_point(client: Client) -> None:
    count = fail(client, {"times": 1}, failCommands=["ping"], errorCode=2)
    wanted: dict[str, Any] = {
        "waitForFailPoint": "failCommand", "timesEntered": count + 1, "$db": "admin",
    }
    raw = raw_of(client)
    assert raw.command({**wanted, "maxTimeMS": 1})["code"] == 50
    assert raw.command(wanted)["code"] == 40414
    replies: list[Any] = []
    waiter = threading.Thread(target=lambda: replies.append(raw.command(
        {**wanted, "maxTimeMS": 20_000})))
    waiter.start()
    raw_of(client).command({"ping": 1, "$db": "admin"})
    waiter.join()
    assert replies[0]["timesEntered"] == count + 1


@pytest.mark.parametrize("client", ["member"], indirect=True)
def test_a_retryable_write_that_loses_its_answer(client: Client) -> None:
    insert = {"insert": "c", "documents": [{"_id": 1}], "lsid": LSID, "txnNumber": Int64(7),
              "$db": "test"}
    point = {"configureFailPoint": "onPrimaryTransactionalWrite", "mode": {"times": 1}}
    client.admin.command(point)
    with pytest.raises((AssertionError, ConnectionError)):
        raw_of(client).command(insert)
    assert client.test.c.count_documents({}) == 1
    assert raw_of(client).command(insert)["n"] == 1

    insert |= {"documents": [{"_id": 2}], "txnNumber": Int64(8)}
    client.admin.command({**point, "data": {"failBeforeCommitExceptionCode": 1,
                                            "closeConnection": False}})
    assert raw_of(client).command(insert)["code"] == 1
    assert client.test.c.count_documents({"_id": 2}) == 0
    assert raw_of(client).command(insert)["n"] == 1
    assert client.test.c.count_documents({}) == 2


def test_they_are_gone_after_a_restart(tmp_path: Path) -> None:
    flags = ("--setParameter", "enableTestCommands=1")
    server = Server.up(tmp_path / "data", *flags)
    with server, MongoClient(server.uri) as client:
        fail(client, failCommands=["find"], errorCode=2)
    with server, MongoClient(server.uri) as client:
        client.test.c.find_one()


def test_a_streaming_hello_fails_as_well(client: Client) -> None:
    failures = threading.Event()

    class Listener(monitoring.ServerHeartbeatListener):
        def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
            pass

        def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
            streaming.set() if event.awaited else None
            recovered.set() if failures.is_set() else None

        def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
            failures.set()

    streaming = threading.Event()
    recovered = threading.Event()
    host, port = client.address or ("", 0)
    with MongoClient(
        host, port, heartbeatFrequencyMS=500, appname="streamed", event_listeners=[Listener()]
    ) as other:
        other.admin.command("ping")
        assert streaming.wait(20)
        fail(client, failCommands=["hello"], errorCode=91, appName="streamed")
        assert failures.wait(20)
        fail(client, "off")
        # The listener hears of the failure before the client draws its conclusions from it.
        assert recovered.wait(20)
        other.admin.command("ping")
