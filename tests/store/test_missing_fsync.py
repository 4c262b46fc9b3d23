"""Every fsync counts: with any one of them left out, the power-cut test must fail.

The syncs are found by running the workload: each place in `psdb_store` that calls `fdatasync` or
`fsync_dir`, told apart by what kind of file it syncs. Leaving one out means that the disk does
nothing there and reports success.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from simdisk import SimDisk
from store_workload import recover, workload

RUNS_MAX = int(os.environ.get("PSDB_FSYNC_RUNS", "3000"))
POINTS_PER_RUN = 60

# RARE needs a kill between two operations and a power cut some operations later.
OFTEN = (
    "file_writer._secure fdatasync data",
    "file_writer._secure fdatasync sessions",
    "file_writer._secure fsync_dir /1",
    "file_writer._secure fsync_dir data/2",
    "file_writer._secure fsync_dir data/3",
    "file_writer._secure fsync_dir data/4",
    "file_writer._secure fsync_dir sessions/2",
    "files.make_durable_dirs fsync_dir /1",
    "files.replace_file fdatasync manifest.json.tmp",
    "files.replace_file fdatasync member.json.tmp",
    "files.replace_file fsync_dir /1",
    "journal.work fdatasync journal",
    "journal.work fsync_dir journal/2",
    "recovery.refresh fdatasync journal",
    "recovery.secure fsync_dir journal/2",
)
RARE = ("recovery.secure fdatasync journal", "recovery.secure fsync_dir /1")


def site(operation: str, path: str) -> str:
    """Name the call: file and function in the store, and what is synced."""
    frame = sys._getframe(1)
    while "psdb_store" not in frame.f_code.co_filename:
        assert frame.f_back is not None
        frame = frame.f_back
    name = Path(frame.f_code.co_filename).stem
    parts = path.strip("/").split("/")
    depth = parts[1] if len(parts) > 1 else ""
    what = f"{depth}/{len(parts)}" if operation == "fsync_dir" else depth
    return f"{name}.{frame.f_code.co_name} {operation} {what}"


def all_sites() -> list[str]:
    """Run some workloads and collect every place that syncs."""
    found: dict[str, None] = {}

    def note(operation: str, path: str) -> bool:
        found[site(operation, path)] = None
        return False

    for seed in range(12):
        disk = SimDisk(seed)
        disk.lies = note
        workload(seed, disk, 0)
    return sorted(found)


def failures(left_out: str) -> Iterator[int]:
    """Yield the seeds whose power cuts fail while one sync is left out."""
    for seed in range(RUNS_MAX):
        disk = SimDisk(seed)
        disk.lies = lambda operation, path: site(operation, path) == left_out
        try:
            points = workload(seed, disk, POINTS_PER_RUN)
            for number, point in enumerate(points):
                recover(point, number)
        except Exception:
            yield seed


def test_the_sites_are_the_known_ones() -> None:
    assert all_sites() == sorted([*OFTEN, *RARE])


@pytest.mark.parametrize("left_out", OFTEN)
def test_a_missing_sync_is_found(left_out: str) -> None:
    assert next(failures(left_out), None) is not None, f"{RUNS_MAX} runs did not miss {left_out}"


@pytest.mark.soak
@pytest.mark.skipif("PSDB_SOAK" not in os.environ, reason="soak")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("left_out", RARE)
def test_a_rarely_missed_sync_is_found(left_out: str) -> None:
    assert next(failures(left_out), None) is not None, f"{RUNS_MAX} runs did not miss {left_out}"
