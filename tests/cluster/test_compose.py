"""compose.yaml: each service's own command in its own network namespace, under a client's work."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster.namespaces import ROOT, Network, Service, read_compose, why_not
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from psdb import options

COMPOSE = ROOT / "compose.yaml"
THIRD = ROOT / "compose.third-shard.yaml"
WAIT_SECONDS = 60
NOT_HERE = why_not()


def until(what: str, ask: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Ask until the answer is true; errors of the driver count as no."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = ask()
            if last:
                return last
        except PyMongoError as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s, last {last!r}")


def test_every_service_has_a_command_that_the_program_takes() -> None:
    services = read_compose(COMPOSE, THIRD)
    for name, service in services.items():
        program, *arguments = service["command"]
        assert program == "psdb"
        options.parse(arguments)
        if str(service["restart"]) == "no":
            continue
        assert service["healthcheck"]["test"][:3] == ["CMD", "psdb", "ping"], name
        if "--dbpath" in arguments:
            assert service["volumes"] == [f"{name}:/data/db"]
            assert arguments[arguments.index("--dbpath") + 1] == "/data/db"
    assert sorted(services) == [
        "a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3", "config1", "config2", "config3",
        "init", "init-c", "router1", "router2",
    ]  # fmt: skip


def test_the_image_holds_every_package_and_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text()
    packages = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
    assert sorted(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE)) == packages
    assert text.index("USER psdb") < text.index("CMD [")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if NOT_HERE is not None:
        pytest.skip(NOT_HERE)
    with Network(tmp_path_factory.mktemp("compose"), read_compose(COMPOSE)) as made:
        for service in made.daemons():
            service.start()
        for service in made.daemons():
            service.wait_healthy()
        made["init"].run()
        yield made


@pytest.fixture
def client(network: Network) -> Iterator[MongoClient[Any]]:
    hosts = [f"{network[name].address}:27017" for name in ("router1", "router2")]
    with MongoClient(hosts, serverSelectionTimeoutMS=20_000) as made:
        yield made


def primary_of(network: Network, *names: str) -> Service:
    """Return the service that is the primary of a set, once there is one."""

    def look() -> Service | None:
        for name in names:
            address = network[name].address
            with MongoClient(address, directConnection=True, serverSelectionTimeoutMS=500,
                             port=27018) as direct:
                try:
                    if direct.admin.command("hello").get("isWritablePrimary"):
                        return network[name]
                except PyMongoError:
                    continue
        return None

    found: Service = until(f"a primary of {names}", look)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_of_services(network: Network, client: MongoClient[Any]) -> None:
    # Initialisation is idempotent.
    network["init"].run()
    assert [row["_id"] for row in client.admin.command("listShards")["shards"]] == ["a", "b"]

    client.admin.command("shardCollection", "shop.orders", key={"_id": "hashed"})
    orders = client.shop.orders
    orders.insert_many({"_id": n, "v": n} for n in range(300))
    shards = [row["shard"] for row in client.config.chunks.find({}, {"shard": 1})]
    assert sorted(set(shards)) == ["a", "b"]
    assert orders.count_documents({}) == 300

    # A primary dies: the driver's retries hide it. It comes back by itself.
    victim = primary_of(network, "a1", "a2", "a3")
    victim.kill()
    for n in range(300, 330):
        orders.insert_one({"_id": n, "v": n})
    assert orders.count_documents({}) == 330
    victim.start()
    victim.wait_healthy()

    # One is cut off: writes go on, and what it knows is right again afterwards.
    cut = primary_of(network, "b1", "b2", "b3")
    cut.cut_off()
    try:
        for n in range(330, 360):
            until(f"insert {n}", lambda n=n: orders.update_one(
                {"_id": n}, {"$set": {"v": n}}, upsert=True).acknowledged)
    finally:
        cut.plug_in()
    assert orders.count_documents({}) == 360
    cut.wait_healthy()

    # A router and a config server stop cleanly and start again.
    for name in ("router1", "config1"):
        assert network[name].stop() == 0
        assert orders.find_one({"_id": 7}) == {"_id": 7, "v": 7}
        network[name].start()
        network[name].wait_healthy()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_third_shard_joins(network: Network, client: MongoClient[Any]) -> None:
    added = [
        network.declare(name, spec) for name, spec in read_compose(THIRD).items()
    ]
    for service in added:
        service.connect()
    network.write_hosts()
    for service in added:
        if str(service.spec["restart"]) != "no":
            service.start()
    network["init-c"].run()
    assert [row["_id"] for row in client.admin.command("listShards")["shards"]] == ["a", "b", "c"]
    client.admin.command("shardCollection", "shop.third", key={"_id": "hashed"})
    client.shop.third.insert_many({"_id": n} for n in range(200))
    assert client.shop.third.count_documents({}) == 200


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_mongosh_sees_the_shards(network: Network) -> None:
    import subprocess

    mongosh = ROOT / "node_modules/.bin/mongosh"
    if not mongosh.exists():
        pytest.skip("mongosh is not installed (see tests/tools.sh)")
    uri = f"mongodb://{network['router2'].address}:27017/shop"
    run = subprocess.run(
        [str(mongosh), uri, "--quiet", "--eval", "sh.status()"], capture_output=True, text=True,
        timeout=90,
    )
    assert run.returncode == 0, run.stderr
    for text in ("shardingVersion", "a/a1:27018,a2:27018,a3:27018", "shop.orders"):
        assert text in run.stdout
