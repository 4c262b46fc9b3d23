"""The router's view of a replica set: what it believes of `hello` replies, and whom it selects."""

from __future__ import annotations

from typing import Any

import pytest
from bson.objectid import ObjectId

from router.selection import (
    Preference,
    allowed,
    may_send_again,
    parse_preference,
    preference_of,
)
from router.topology import ReplicaSet, described, unknown

HOSTS = ["a:1", "b:1", "c:1"]


def primary(election: int = 1, *, hosts: list[str] = HOSTS, **more: Any) -> dict[str, Any]:
    return {
        "ok": 1.0, "setName": "rs0", "isWritablePrimary": True, "secondary": False,
        "hosts": hosts, "setVersion": 1,
        "electionId": ObjectId(f"7fffffff{election:016x}"), **more,
    }


def secondary(*, hosts: list[str] = HOSTS, **more: Any) -> dict[str, Any]:
    return {"ok": 1.0, "setName": "rs0", "isWritablePrimary": False, "secondary": True,
            "hosts": hosts, "setVersion": 1, **more}


def after(*news: tuple[str, dict[str, Any] | None], seeds: list[str] = HOSTS) -> ReplicaSet:
    """Return the view after replies in this order; None is a failure."""
    view = ReplicaSet.seeded("rs0", seeds)
    for address, reply in news:
        if reply is None:
            view = view.updated(unknown(address, "gone"))
        else:
            view = view.updated(described(address, reply, now=1.0, round_trip=0.001))
    return view


def kinds(view: ReplicaSet) -> dict[str, str]:
    short = {"RSPrimary": "P", "RSSecondary": "S", "RSOther": "O", "RSGhost": "G", "Unknown": "-"}
    return {server.address: short[server.kind] for server in view.servers}


@pytest.mark.parametrize(("news", "expected"), [
    pytest.param([("a:1", primary())], {"a:1": "P", "b:1": "-", "c:1": "-"}, id="primary"),
    pytest.param([("a:1", secondary())], {"a:1": "S", "b:1": "-", "c:1": "-"}, id="secondary"),
    pytest.param([("a:1", primary()), ("b:1", secondary()), ("c:1", secondary())],
                 {"a:1": "P", "b:1": "S", "c:1": "S"}, id="all"),
    pytest.param([("a:1", primary(1)), ("b:1", primary(2))],
                 {"a:1": "-", "b:1": "P", "c:1": "-"}, id="newer primary"),
    pytest.param([("b:1", primary(2)), ("a:1", primary(1))],
                 {"a:1": "-", "b:1": "P", "c:1": "-"}, id="older primary is not believed"),
    pytest.param([("b:1", primary(2)), ("b:1", None), ("a:1", primary(1))],
                 {"a:1": "-", "b:1": "-", "c:1": "-"}, id="nor after the newer one is gone"),
    pytest.param([("b:1", primary(2)), ("b:1", None), ("a:1", primary(3))],
                 {"a:1": "P", "b:1": "-", "c:1": "-"}, id="failover"),
    pytest.param([("a:1", primary()), ("a:1", secondary())],
                 {"a:1": "S", "b:1": "-", "c:1": "-"}, id="step-down"),
    pytest.param([("a:1", primary(hosts=["a:1", "d:1"]))], {"a:1": "P", "d:1": "-"},
                 id="a primary's hosts are the members"),
    pytest.param([("a:1", secondary(hosts=["a:1", "d:1"]))],
                 {"a:1": "S", "b:1": "-", "c:1": "-", "d:1": "-"}, id="a secondary only adds"),
    pytest.param([("a:1", primary()), ("b:1", secondary(hosts=["a:1", "b:1", "d:1"]))],
                 {"a:1": "P", "b:1": "S", "c:1": "-"}, id="nor that when there is a primary"),
    pytest.param([("a:1", primary()), ("d:1", secondary())],
                 {"a:1": "P", "b:1": "-", "c:1": "-"}, id="strangers"),
    pytest.param([("a:1", primary(setName="other"))], {"b:1": "-", "c:1": "-"}, id="other set"),
    pytest.param([("a:1", secondary(me="d:1"))], {"b:1": "-", "c:1": "-"}, id="other name"),
    pytest.param([("a:1", {"ok": 1.0, "isWritablePrimary": True})],
                 {"a:1": "-", "b:1": "-", "c:1": "-"}, id="no member of a set"),
    pytest.param([("a:1", {"ok": 1.0, "isreplicaset": True})],
                 {"a:1": "G", "b:1": "-", "c:1": "-"}, id="not initiated"),
    pytest.param([("a:1", secondary(hidden=True))], {"a:1": "O", "b:1": "-", "c:1": "-"},
                 id="hidden"),
    pytest.param([("a:1", primary(hosts=["A:1"], passives=["b:1"], arbiters=["c:1"]))],
                 {"a:1": "P", "b:1": "-", "c:1": "-"}, id="passives, arbiters, upper case"),
])
def test_views(news: list[tuple[str, Any]], expected: dict[str, str]) -> None:
    assert kinds(after(*news)) == expected


def full() -> ReplicaSet:
    return after(
        ("a:1", primary(tags={"dc": "ny"}, lastWrite={"lastWriteDate": 100_000})),
        ("b:1", secondary(tags={"dc": "ny", "disk": "ssd"},
                          lastWrite={"lastWriteDate": 99_000})),
        ("c:1", secondary(tags={"dc": "sf"}, lastWrite={"lastWriteDate": 0})),
    )


@pytest.mark.parametrize(("preference", "expected"), [
    (Preference(), "a"),
    (Preference("primaryPreferred"), "a"),
    (Preference("secondary"), "bc"),
    (Preference("secondaryPreferred"), "bc"),
    (Preference("nearest"), "abc"),
    (Preference("secondary", ((("dc", "ny"),),)), "b"),
    (Preference("secondary", ((("dc", "la"),), (("dc", "sf"),))), "c"),
    (Preference("secondary", ((("dc", "la"),),)), ""),
    (Preference("secondary", ((("dc", "la"),), ())), "bc"),
    (Preference("secondaryPreferred", ((("dc", "la"),),)), "a"),
    (Preference("nearest", ((("dc", "ny"),),)), "ab"),
    (Preference("nearest", ((("dc", "ny"), ("disk", "ssd")),)), "b"),
    (Preference("secondary", (), 90.0), "b"),
    (Preference("nearest", (), 90.0), "ab"),
])
def test_selection(preference: Preference, expected: str) -> None:
    found = allowed(full(), preference, 2.0)
    assert "".join(server.address[0] for server in found) == expected


def test_selection_without_a_primary() -> None:
    view = full().updated(unknown("a:1", "gone"))

    def found(preference: Preference) -> str:
        return "".join(server.address[0] for server in allowed(view, preference, 2.0))

    assert found(Preference()) == ""
    assert found(Preference("primaryPreferred")) == "bc"
    assert found(Preference("secondaryPreferred")) == "bc"
    assert found(Preference("secondary", (), 90.0)) == "b"


def test_slow_members_are_left_out() -> None:
    view = full()
    slow = described("b:1", secondary(), now=1.0, round_trip=0.1)
    found = allowed(view.updated(slow), Preference("secondary"), 2.0)
    assert [server.address for server in found] == ["c:1"]


@pytest.mark.parametrize(("body", "mode"), [
    ({"find": "c"}, "primary"),
    ({"find": "c", "$readPreference": {"mode": "secondary"}}, "secondary"),
    ({"insert": "c", "$readPreference": {"mode": "secondary"}}, "primary"),
    ({"aggregate": "c", "pipeline": [], "$readPreference": {"mode": "nearest"}}, "nearest"),
    ({"aggregate": "c", "pipeline": [{"$out": "d"}], "$readPreference": {"mode": "nearest"}},
     "primary"),
    ({"find": "c", "$readPreference": {"mode": "nonsense"}}, "primary"),
])
def test_whom_a_command_prefers(body: dict[str, Any], mode: str) -> None:
    assert preference_of(body).mode == mode


def test_parsing_a_preference() -> None:
    assert parse_preference(
        {"mode": "nearest", "tags": [{"b": "1", "a": "2"}, {}], "maxStalenessSeconds": 120}
    ) == Preference("nearest", ((("a", "2"), ("b", "1")), ()), 120.0)


@pytest.mark.parametrize(("body", "again"), [
    ({"find": "c"}, True),
    ({"aggregate": "c", "pipeline": []}, True),
    ({"aggregate": "c", "pipeline": [{"$match": {}}, {"$merge": "d"}]}, False),
    ({"insert": "c"}, False),
    ({"insert": "c", "lsid": {}, "txnNumber": 1}, True),
    ({"insert": "c", "lsid": {}, "txnNumber": 1, "autocommit": False}, False),
    ({"drop": "c"}, False),
])
def test_what_may_be_sent_again(body: dict[str, Any], again: bool) -> None:
    assert may_send_again(body) is again
