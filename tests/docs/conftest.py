"""One cluster with the real data in it, loaded by the example as the README says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Server

SCRIPT = Path(__file__).resolve().parents[2] / "examples/load_real_data.py"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a cluster in a folder where the README's relative paths are right."""
    with Server.up(tmp_path_factory.mktemp("readme") / "psdb-data") as server:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--uri", server.uri], capture_output=True, text=True,
            timeout=60, check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield server
