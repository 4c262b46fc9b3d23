"""`make soak` adds up, resumes, and tells what failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soak
from soak import Outcome, Part


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Replace the parts by two that only note what they were asked for."""
    seen: list[tuple[str, int, int]] = []

    def work(name: str, *failing: int) -> Part:
        def run(first: int, count: int) -> Outcome:
            seen.append((name, first, count))
            failures = [f"seed {n}" for n in range(first, first + count) if n in failing]
            return Outcome({"seeds": count, "steps": 10 * count}, failures)

        return Part("seeds", 5, 2, run)

    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "STATE", tmp_path / ".cache" / "soak.json")
    monkeypatch.setattr(soak, "REPORT", tmp_path / "reliability.md")
    monkeypatch.setattr(soak, "PARTS", {"a": work("a"), "b": work("b", 3)})
    soak.REPORT.write_text(f"before\n{soak.BEGIN}\n{soak.END}\nafter\n", encoding="utf-8")
    return seen


def totals() -> dict[str, dict[str, int]]:
    return soak.read_totals(soak.REPORT.read_text(encoding="utf-8"))


def test_a_soak_reaches_its_goals_in_chunks(calls: list[tuple[str, int, int]]) -> None:
    assert soak.main(["--only", "a"]) == 0
    assert calls == [("a", 0, 2), ("a", 2, 2), ("a", 4, 1)]
    assert totals() == {"a": {"failures": 0, "seeds": 5, "steps": 50}}


def test_failures_are_told_and_kept(
    calls: list[tuple[str, int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak.main(["--only", "b"]) == 1
    assert totals()["b"]["failures"] == 1
    assert "seed 3" in capsys.readouterr().out
    assert json.loads(soak.STATE.read_text(encoding="utf-8"))["failures"] == ["seed 3"]


def test_an_interrupted_soak_goes_on(
    calls: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = soak.PARTS["a"]

    def interrupted(first: int, count: int) -> Outcome:
        if first:
            raise KeyboardInterrupt
        return part.run(first, count)

    monkeypatch.setitem(soak.PARTS, "a", Part("seeds", 5, 2, interrupted))
    assert soak.main(["--only", "a"]) == 130
    monkeypatch.setitem(soak.PARTS, "a", part)
    assert soak.main(["--only", "a"]) == 0
    assert calls == [("a", 0, 2), ("a", 2, 2), ("a", 4, 1)]


def test_another_soak_takes_other_seeds(calls: list[tuple[str, int, int]]) -> None:
    assert soak.main(["--only", "a", "--count", "1"]) == 0
    assert soak.main(["--only", "a", "--count", "3"]) == 0
    assert calls == [("a", 0, 1), ("a", 1, 2), ("a", 3, 1)]


def test_no_time_means_no_chunk(calls: list[tuple[str, int, int]]) -> None:
    assert soak.main(["--minutes", "0"]) == 0
    assert calls == []


def test_the_text_around_the_table_stays(calls: list[tuple[str, int, int]]) -> None:
    soak.main(["--count", "1"])
    text = soak.REPORT.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{soak.BEGIN}\n| part |")
    assert text.endswith(f"{soak.END}\nafter\n")
    assert "| a | 1 seeds | 0 | 10 steps |" in text


def test_the_page_explains_every_part() -> None:
    text = soak.REPORT.read_text(encoding="utf-8")
    assert all(f"**{name}**" in text for name in soak.PARTS)
    assert soak.BEGIN in text
