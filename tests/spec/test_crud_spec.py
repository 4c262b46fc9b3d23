"""The drivers' CRUD specification tests against the default cluster, one test per case."""

from __future__ import annotations

import pytest
from spec import cases as spec_cases
from spec.cases import Case
from spec.deployments import Deployments
from spec.report import NEEDS_FAIL_POINTS, REPORT

if spec_cases.tests_folder() is None:
    pytest.skip(spec_cases.HOW_TO_GET_THEM, allow_module_level=True)

PASSED_SHARE_MIN = 0.7
CASES = list(spec_cases.cases("crud"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_crud(case: Case, deployments: Deployments) -> None:
    REPORT.run(case, deployments)


def test_most_cases_pass() -> None:
    """At least 70 % of all cases that need no fail point pass, skipped ones counted as not."""
    results = REPORT.by_folder().get("crud", [])
    if len(results) < len(CASES):
        pytest.skip("only some of the cases were run")
    counted = [result for result in results if result != NEEDS_FAIL_POINTS]
    assert counted.count("passed") >= PASSED_SHARE_MIN * len(counted)
