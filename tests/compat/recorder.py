"""A pytest plugin that writes every test's outcome as one JSON line, at once.

What ran before a file was ended at its time limit is kept that way, and the test that hung is
the one with a start and no end. Loaded with `-p` into the suite's own pytest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(os.environ["COMPAT_RECORD"])
_TEXT_MAX = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    # The suite's configuration names an option of a plugin that only its async half needs.
    parser.addini("asyncio_default_fixture_loop_scope", "not used by the sync tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asyncio: of the plugin that only the async half needs")


def _write(row: dict[str, Any]) -> None:
    with _PATH.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _text_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the last line of a failure, or a skip's reason."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return longrepr[2].removeprefix("Skipped: ")[:_TEXT_MAX]
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(longrepr)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return (lines[0] if lines else "").partition(", full error")[0][:_TEXT_MAX]


_reports: dict[str, list[pytest.TestReport]] = {}


def pytest_runtest_logstart(nodeid: str) -> None:
    _write({"id": nodeid, "event": "start"})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather the reports of one test: its setup, call, subtests, teardown."""
    _reports.setdefault(report.nodeid, []).append(report)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Write one outcome for all reports of a test: the worst of them."""
    reports = _reports.pop(nodeid, [])
    failed = [report for report in reports if report.failed]
    skipped = [report for report in reports if report.skipped]
    chosen = failed or ([] if any(r.when == "call" and r.passed for r in reports) else skipped)
    row = {
        "id": nodeid,
        "event": "end",
        "outcome": "failed" if failed else "skipped" if chosen else "passed",
        "seconds": round(sum(report.duration for report in reports), 2),
    }
    if chosen:
        row["text"] = _text_of(chosen[0])
    _write(row)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write({
            "id": report.nodeid, "event": "end", "outcome": "failed", "seconds": 0,
            "text": "not collected: " + _text_of(report),
        })
    elif report.skipped:
        _write({
            "id": report.nodeid, "event": "end", "outcome": "skipped", "seconds": 0,
            "text": _text_of(report),
        })
