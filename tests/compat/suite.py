"""The drivers' own test suite: fetched from the package registry, run file by file.

The tests of the installed pymongo come in its source distribution. They are unpacked into
`.cache/`, never into the project, and run by pytest against the package that is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymongo

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".cache" / "compat"
VERSION: Final = pymongo.version
FOLDER: Final = CACHE / f"pymongo-{VERSION}"
FETCH_SECONDS_MAX: Final = 180
TEST_SECONDS_MAX: Final = 45

SAMPLE: Final = (
    "test_bulk.py",
    "test_client.py",
    "test_collection.py",
    "test_cursor.py",
    "test_database.py",
    "test_grid_file.py",
    "test_gridfs.py",
    "test_gridfs_bucket.py",
)

NOT_ELIGIBLE: Final = re.compile(
    r"runonrequirements|fail ?point|failcommand|test commands|not enough secondaries"
    r"|not connected to|must be connected to|must be able to connect|must have multiple"
    r"|authentication is not enabled|server version|server wire version|requires a tls"
    r"|supports retryable writes|fips|encrypt|pymongocrypt|ipv6|auth mechanism",
    re.IGNORECASE,
)
"""Reasons of skips that ask for another topology, server version or server feature."""


class SuiteUnavailableError(Exception):
    """The source distribution cannot be fetched (most often: no network)."""


def fetch() -> Path:
    """Return the folder with the suite's `test/`, fetched when it is not there.

    Raises:
        SuiteUnavailableError: The registry cannot be reached or the archive is not the locked one.

    """
    if (FOLDER / "test" / "__init__.py").exists():
        return FOLDER
    downloads = CACHE / "downloads"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--retries", "2", "--timeout", "20", "--no-deps", "--no-binary", "pymongo",
        "--dest", str(downloads), f"pymongo=={VERSION}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=FETCH_SECONDS_MAX)
    except subprocess.TimeoutExpired as error:
        raise SuiteUnavailableError(f"no answer within {FETCH_SECONDS_MAX} s") from error
    archive = downloads / f"pymongo-{VERSION}.tar.gz"
    if not archive.exists():
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise SuiteUnavailableError(lines[-1] if lines else "pip gave no archive")
    _check(archive)
    _unpack(archive)
    return FOLDER


def _check(archive: Path) -> None:
    """Hold the archive to the hashes of the lock file."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest not in (ROOT / "requirements.lock").read_text(encoding="utf-8"):
        archive.unlink()
        raise SuiteUnavailableError(f"{archive.name} is not the one in requirements.lock")


def _unpack(archive: Path) -> None:
    """Unpack the tests alone: beside the package's source they would import that instead."""
    unfinished = FOLDER.with_suffix(".unpacking")
    prefix = f"pymongo-{VERSION}/"
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            name = member.name.removeprefix(prefix)
            if name.startswith("test/") or name == "pyproject.toml":
                member.name = name
                tar.extract(member, unfinished, filter="data")
    unfinished.rename(FOLDER)


def sync_files() -> list[str]:
    """Return the names of the suite's sync test files, sorted."""
    return sorted(path.name for path in (fetch() / "test").glob("test_*.py"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended.

    Attributes:
        id: `test_x.py::Class::name`.
        result: `passed`, `failed`, `skipped` or `not eligible`.
        text: First line of the failure, or the reason of the skip.
        seconds: How long it took.

    """

    id: str
    result: str
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FileRun:
    """How one file's run ended.

    Attributes:
        file: Its name.
        outcomes: Its tests in the order they ran.
        ended_early: Why not all of them ran, empty when they did.

    """

    file: str
    outcomes: list[Outcome]
    ended_early: str

    def count(self, result: str) -> int:
        """Return how many tests ended so."""
        return sum(outcome.result == result for outcome in self.outcomes)


def run_files(names: Sequence[str], port: int, record: Path, seconds_max: float) -> list[FileRun]:
    """Run files of the suite against a server, in one process.

    Args:
        names: As in `sync_files`.
        port: Of the server on 127.0.0.1.
        record: Where the outcomes are written line by line; replaced.
        seconds_max: The run is ended after this time.

    """
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("", encoding="utf-8")
    command = [
        sys.executable, "-m", "pytest", *(f"test/{name}" for name in names), "-o", "addopts=",
        "-m", "default", "-p", "recorder", "-p", "no:cacheprovider", "-q", "--tb=line",
        "--no-header", f"--timeout={TEST_SECONDS_MAX}", "--timeout-method=signal",
    ]
    env = os.environ | {
        "DB_IP": "127.0.0.1",
        "DB_PORT": str(port),
        "COMPAT_RECORD": str(record),
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with record.with_suffix(".out").open("wb") as out:
        process = subprocess.Popen(
            command, cwd=fetch(), env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )
        ended_early = ""
        try:
            code = process.wait(seconds_max)
            if code not in _PYTEST_ENDINGS:
                ended_early = f"pytest ended with {code}"
        except subprocess.TimeoutExpired:
            ended_early = f"ended at its limit of {seconds_max:.0f} s"
        finally:
            _end(process)
    if ended_early:
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": "ended early", "text": ended_early}) + "\n")
    return read_record(names, record)


_PYTEST_ENDINGS: Final = (0, 1, 5)
"""All passed, some failed, none were found for the marker: the run came to its end."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End pytest and whatever its tests have started (they are one process group)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_record(names: Sequence[str], record: Path) -> list[FileRun]:
    """Read what a run has written, by file."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    ended_early, open_id = "", ""
    for line in record.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["event"] == "start":
            open_id = row["id"]
        elif row["event"] == "ended early":
            ended_early = row["text"]
        else:
            open_id = ""
            outcome = _outcome(row)
            outcomes[outcome.id.partition("::")[0]].append(outcome)
    if open_id:
        hung = Outcome(_short(open_id), "failed", f"did not end: {ended_early}", 0.0)
        outcomes[hung.id.partition("::")[0]].append(hung)
    return [FileRun(name, found, ended_early) for name, found in outcomes.items()]


def _short(nodeid: str) -> str:
    return nodeid.removeprefix("test/")


def _outcome(row: dict[str, object]) -> Outcome:
    result, text = str(row["outcome"]), str(row.get("text", ""))
    if result == "skipped" and NOT_ELIGIBLE.search(text):
        result = "not eligible"
    return Outcome(_short(str(row["id"])), result, text, float(str(row["seconds"])))
