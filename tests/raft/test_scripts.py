"""Every script in `scripts/`; `PSDB_REWRITE=1` rewrites them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from raft.scripting import check

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_script(path: Path) -> None:
    check(path, rewrite=bool(os.environ.get("PSDB_REWRITE")))
