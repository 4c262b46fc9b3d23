"""A sample of the drivers' own suite: the files about what applications do most.

`make compat` runs the whole of it. Here any failure that is not listed fails, and so does any
listed one that passes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from compat import suite
from compat.known import KnownFailures
from compat.suite import FileRun, Outcome
from servers import Server

SAMPLE = (
    "test_bulk.py",
    "test_client.py",
    "test_collection.py",
    "test_cursor.py",
    "test_database.py",
    "test_grid_file.py",
    "test_gridfs.py",
    "test_gridfs_bucket.py",
)
SECONDS_MAX = 120

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileRun]:
    """Run the sample's files in one process: its start alone takes the suite five seconds."""
    try:
        suite.fetch()
    except suite.SuiteUnavailableError as error:
        pytest.skip(f"PyMongo's source distribution cannot be fetched: {error}")
    folder = tmp_path_factory.mktemp("compat")
    with Server.up(folder / "data") as server:
        done = suite.run_files(SAMPLE, server.port, folder / "sample.jsonl", SECONDS_MAX)
    return {run.file: run for run in done}


@pytest.mark.timeout(SECONDS_MAX + suite.FETCH_SECONDS_MAX + 60)
@pytest.mark.parametrize("name", SAMPLE)
def test_sample(runs: dict[str, FileRun], name: str) -> None:
    run = runs[name]
    verdict = KnownFailures.load().judge([run])
    assert verdict.new == []
    assert verdict.fixed == []
    assert run.count("passed") >= 20


KNOWN = """
# a comment
test_a.py::T::one | reason 1
test_a.py::T::param[x-*] | reason 2
~test_a.py::T::moody | reason 3
test_b.py::* | reason 4
"""


def outcome(name: str, result: str) -> Outcome:
    return Outcome(name, result, "text", 0.0)


def test_list_judges_a_run() -> None:
    known = KnownFailures(KNOWN)
    a = FileRun("test_a.py", [
        outcome("test_a.py::T::one", "passed"),
        outcome("test_a.py::T::two", "failed"),
        outcome("test_a.py::T::param[x-1]", "failed"),
        outcome("test_a.py::T::moody", "passed"),
    ], "")
    b = FileRun("test_b.py", [outcome("test_b.py::T::any", "failed")], "ended at its limit")
    verdict = known.judge([a, b])
    assert verdict.fixed == ["test_a.py::T::one"]
    assert verdict.new == ["test_a.py::T::two: text"]
    assert known.judge([FileRun("test_a.py", [], "hung")]).new == ["test_a.py::ended early: hung"]
    assert known.judge([FileRun("test_a.py", [], "")]).unused == ["test_a.py::T::one"]
    with pytest.raises(ValueError, match="no reason"):
        KnownFailures("test_a.py::T::one")


def test_record_of_a_run_that_hung(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text(
        '{"id": "test/test_a.py::T::one", "event": "start"}\n'
        '{"id": "test/test_a.py::T::one", "event": "end", "outcome": "skipped", "seconds": 1, '
        '"text": "Must be connected to a replica set"}\n'
        '{"id": "test/test_a.py::T::two", "event": "start"}\n'
        '{"event": "ended early", "text": "ended at its limit of 7 s"}\n'
    )
    (run,) = suite.read_record(["test_a.py"], record)
    assert [(found.id, found.result) for found in run.outcomes] == [
        ("test_a.py::T::one", "not eligible"), ("test_a.py::T::two", "failed"),
    ]
    assert run.ended_early == "ended at its limit of 7 s"
