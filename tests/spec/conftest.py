"""Fixtures and the summary of the drivers' specification tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from spec.deployments import Deployments
from spec.report import REPORT


@pytest.fixture(scope="session")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployments]:
    """Give the deployments that cases run on, each started when it is first asked for."""
    found = Deployments(tmp_path_factory.mktemp("spec"))
    yield found
    found.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of the cases, by folder."""
    for folder, results in sorted(REPORT.by_folder().items()):
        counts = Counter(results)
        skipped = sum(n for kind, n in counts.items() if kind.startswith("skipped: "))
        terminalreporter.write_line(
            f"specification {folder}: {counts['passed']} passed, {counts['failed']} failed, "
            f"{counts['known']} known differences, {skipped} skipped"
        )
        for kind, count in sorted(counts.items()):
            if kind.startswith("skipped: "):
                terminalreporter.write_line(f"    {count:4} {kind}")
