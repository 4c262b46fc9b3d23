"""Specification tests that a sharded cluster may run, on two replicated shards and two routers.

A slice of them, drawn evenly; all with PSDB_SPEC_SHARDED=all, as a soak has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from spec import cases as spec_cases
from spec.cases import Case
from spec.deployments import Deployments
from spec.report import Report

if spec_cases.tests_folder() is None:
    pytest.skip(spec_cases.HOW_TO_GET_THEM, allow_module_level=True)

FOLDERS = ("crud", "retryable-reads", "retryable-writes", "sessions")
EACH = 1 if os.environ.get("PSDB_SPEC_SHARDED") == "all" else 12
REPORT = Report()


def may_be_sharded(case: Case) -> bool:
    """Tell whether a case names a sharded topology, or none."""
    return all(
        any(
            "topologies" not in one or {"sharded", "sharded-replicaset"} & {*one["topologies"]}
            for one in alternatives
        )
        for alternatives in case.requirements
    )


CASES = [case for folder in FOLDERS for case in spec_cases.cases(folder) if may_be_sharded(case)]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployments]:
    """Give the cluster, and no other deployment."""
    found = Deployments(tmp_path_factory.mktemp("sharded-spec"))
    found.kinds = ("replicated shards",)
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[::EACH], ids=[case.name for case in CASES[::EACH]])
def test_on_a_sharded_cluster(case: Case, sharded: Deployments) -> None:
    REPORT.run(case, sharded)
