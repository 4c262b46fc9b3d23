"""Fixtures shared by the tests: real servers as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Server


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
