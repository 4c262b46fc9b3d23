"""Further specification tests of the drivers, one test per case."""

from __future__ import annotations

import pytest
from spec import cases as spec_cases
from spec.cases import Case
from spec.deployments import Deployments
from spec.report import REPORT

if spec_cases.tests_folder() is None:
    pytest.skip(spec_cases.HOW_TO_GET_THEM, allow_module_level=True)

FOLDERS = (
    "causal-consistency", "collection-management", "index-management", "read-write-concern",
    "retryable-reads", "retryable-writes", "run-command", "sessions",
)
NOT_YET = ("change-streams", "transactions", "transactions-convenient-api")
CASES = [case for folder in FOLDERS for case in spec_cases.cases(folder)]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_specification(case: Case, deployments: Deployments) -> None:
    REPORT.run(case, deployments)


@pytest.mark.parametrize("folder", NOT_YET)
def test_not_supported_yet(folder: str) -> None:
    count = sum(1 for _ in spec_cases.cases(folder))
    pytest.skip(f"{count} cases: not supported by PSDB yet")


def test_every_known_difference_is_a_case() -> None:
    names = {case.name for case in [*CASES, *spec_cases.cases("crud")]}
    assert sorted(set(REPORT.known) - names) == []
