"""What the server says of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bson.datetime_ms import DatetimeMS

from psdb_server import process_info


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds to cores")
def test_the_cores_that_a_process_is_bound_to_are_those_it_has() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        system = process_info.host_info(DatetimeMS(0), "h")["system"]
    finally:
        os.sched_setaffinity(0, allowed)
    assert system["numCoresAvailableToProcess"] == 1
    assert system["numCores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", 8), ("50000 100000\n", 1), ("350000 100000\n", 3), ("1600000 100000\n", 8)],
)
def test_a_container_has_the_cores_of_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int
) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(process_info, "CPU_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert process_info.cores_available() == cores
