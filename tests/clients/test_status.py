"""`psdb status`: what it shows of a cluster, and of one whose parts are down."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from servers import Server

from psdb.addresses import addresses_of
from psdb.status import render


def psdb_status(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psdb", "status", *arguments], capture_output=True, text=True,
        check=False, timeout=60,
    )


def test_the_default_cluster(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    done = psdb_status(address, "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["kind"] == "router"
    (shard,) = [one for one in status["sets"] if one["role"] == "shard"]
    assert (shard["name"], [member["role"] for member in shard["members"]]) == (
        "shard0", ["PRIMARY"]
    )
    (config,) = [one for one in status["sets"] if one["role"] == "config servers"]
    assert config["members"] == [{"address": "in-process:0", "role": "PRIMARY"}]
    shown = psdb_status(address).stdout
    assert "router at" in shown
    assert "shard0" in shown


def test_what_psdb_up_prints_is_an_address(server: Server) -> None:
    """The first server that answers is asked."""
    uri = f"mongodb://127.0.0.1:1,127.0.0.1:{server.port}/shop?replicaSet=rs0"
    done = psdb_status(uri, "--json")
    assert json.loads(done.stdout)["address"] == f"127.0.0.1:{server.port}"
    asked = subprocess.run(
        [sys.executable, "-m", "psdb", "ping", uri], capture_output=True, text=True, check=True,
    )
    assert asked.stdout == f"127.0.0.1:{server.port} answers\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("h", ["h:27017"]),
        ("h:1", ["h:1"]),
        ("[::1]", ["[::1]:27017"]),
        ("[::1]:5,h", ["[::1]:5", "h:27017"]),
        ("mongodb://me:secret@a:1,b:2/db?replicaSet=rs0", ["a:1", "b:2"]),
    ],
)
def test_addresses(text: str, found: list[str]) -> None:
    assert addresses_of(text) == found


@pytest.mark.parametrize("text", ["", "h:port", ":1", "h:65536", "a,,b", "mongodb+srv://h/"])
def test_what_is_no_address(text: str) -> None:
    done = psdb_status(text)
    assert done.returncode == 2
    assert "bad address" in done.stderr


def test_a_server_that_is_away() -> None:
    done = psdb_status("127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr


def test_what_is_shown() -> None:
    text = render({
        "address": "h:1", "version": "1", "kind": "router",
        "sets": [
            {"name": "a", "shard": "a", "role": "shard", "term": 3, "draining": True, "members": [
                {"address": "h:2", "role": "PRIMARY", "lagSeconds": 0.0, "uptimeSeconds": 7300},
                {"address": "h:3", "role": "SECONDARY", "lagSeconds": 1.5, "uptimeSeconds": 100},
                {"address": "h:4", "role": "unreachable", "reason": "refused"},
            ]},
            {"name": "b", "shard": "b", "role": "shard", "term": None, "members": []},
        ],
        "routers": [{"address": "h:1", "up": 600}],
        "chunks": {"db.c": {"a": 2}, "db.longer": {"a": 1, "b": 12}},
    })
    assert text == """\
PSDB 1, router at h:1

a (shard)  term 3  draining
  h:2                      PRIMARY      up 2 h
  h:3                      SECONDARY   lag 1.5 s  up 100 s
  h:4                      unreachable refused

b (shard)

routers
  h:1                      up 10 min

chunks            a       b
db.c              2       0
db.longer         1      12"""
