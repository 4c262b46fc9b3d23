"""Each planted fault is noticed; here a few, others every day, and all of them in the soak."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from planted.hook import patched
from planted.known_bugs import SHOWN_BY
from planted.run import find_apart
from planted.table import FAULTS

A_DAY = 3
_TODAY = datetime.date.today().toordinal()
QUICK = [fault.name for fault in FAULTS if "sim" not in fault.finders]
TODAYS = [QUICK[(_TODAY * A_DAY + number) % len(QUICK)] for number in range(A_DAY)]


def test_every_patch_fits_the_sources() -> None:
    for fault in FAULTS:
        for module in dict.fromkeys(module for module, _, _ in fault.patches):
            ours = [(old, new) for name, old, new in fault.patches if name == module]
            compile(patched(module, ours), module, "exec")


def test_names_are_unique() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 30


def test_each_known_bug_is_shown_by_something() -> None:
    planted = {fault.name for fault in FAULTS}
    for bug, shown_by in SHOWN_BY.items():
        assert shown_by, bug
        for one in shown_by:
            file, _, test = one.partition("::")
            if test:
                text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
                assert f"def {test}(" in text, one
            else:
                assert one in planted, one


@pytest.mark.slow
@pytest.mark.parametrize("name", TODAYS)
def test_a_planted_fault_is_noticed(name: str) -> None:
    code, text = find_apart(name)
    assert code == 0, text


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_all_planted_faults_are_noticed(name: str) -> None:
    code, text = find_apart(name, 3000.0)
    assert code == 0, text
