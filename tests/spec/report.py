"""What became of each case of this run."""

from __future__ import annotations

from typing import Final

import pytest
from spec.cases import Case
from spec.deployments import KINDS, Deployments
from spec.known import known_differences
from spec.unified import SkipError, run_case

NEEDS_FAIL_POINTS: Final = "skipped: needs fail points"


class Report:
    """Results by case: passed, failed, known, or `skipped: ` with the reason."""

    def __init__(self) -> None:
        self.results: dict[str, str] = {}
        self.known = known_differences()

    def by_folder(self) -> dict[str, list[str]]:
        """Return all results of each folder."""
        folders: dict[str, list[str]] = {}
        for name, result in self.results.items():
            folders.setdefault(name.split("/")[0], []).append(result)
        return folders

    def run(self, case: Case, deployments: Deployments) -> None:
        """Run a case and hold its result against the list of known differences."""
        name, reason = case.name, self.known.get(case.name)
        try:
            run_case(case, deployments)
        except SkipError as skip:
            self.results[name] = f"skipped: {skip}"
            if reason is not None and deployments.kinds == KINDS:
                pytest.fail(f"listed as a known difference, but skipped: {skip}")
            pytest.skip(str(skip))
        except Exception:
            self.results[name] = "failed" if reason is None else "known"
            if reason is not None:
                pytest.xfail(reason)
            raise
        self.results[name] = "passed" if reason is None else "failed"
        assert reason is None, f"listed as a known difference, but passes: {reason}"


REPORT: Final = Report()
