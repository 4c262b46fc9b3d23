"""Fixtures shared by the tests: real servers as processes."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from servers import Server

# A busy machine makes an example slow, and drawing one; neither says anything of the code. The same
# examples each time: what `make test` says of a change is about the change. The soak draws others.
settings.register_profile(
    "psdb", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize="PSDB_RANDOM" not in os.environ,
)
settings.load_profile("psdb")


LONG_FOLDERS = ("compat", "sim", "cluster", "replication", "faults", "clients", "spec", "docs")
"""Where files take long; most of them wait for other processes more than they work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first: one that begins last keeps its worker busy when all others are done."""
    ranks = {name: rank for rank, name in enumerate(LONG_FOLDERS)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without the garbage collector, and keep them out of its sight later.

    Some hundred thousand objects stay until the end: looking through them again and again takes a
    third of the collection's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give the default cluster (`psdb up`), started once for all tests of a run."""
    with Server.up(tmp_path_factory.mktemp("psdb")) as running:
        yield running


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """Give a default cluster of the test's own."""
    with Server.up(tmp_path / "data") as running:
        yield running
