"""Known failures: one file, one line a test or a group of tests, each with its reason.

A line is `pattern | reason`. A pattern without `*` names one test, and that test passing is news
that must be acted on. A pattern with `*` names a group of which some may pass; so does one that
begins with `~`, for a single test whose outcome depends on the machine.

A line that begins with `@topology ` holds for that topology alone. The others are about the
default one: elsewhere such a test may fail as well, and its passing is no news.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from compat.suite import FileRun

KNOWN_PATH: Final = Path(__file__).with_name("known_failures.txt")


@dataclass(slots=True)
class Verdict:
    """What a run says beside the known failures.

    Attributes:
        new: Failures that are not listed, as `id: first line`.
        fixed: Listed tests that pass.
        unused: Patterns that no test of the files run has matched.

    """

    new: list[str] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


class KnownFailures:
    """The list, ready to judge runs by."""

    def __init__(self, text: str, topology: str = "default") -> None:
        self.single: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            pattern, bar, reason = (part.strip() for part in line.partition("|"))
            if not bar or not reason:
                raise ValueError(f"known_failures.txt:{number}: no reason is given")
            scope = "default"
            if pattern.startswith("@"):
                scope, _, pattern = pattern.removeprefix("@").partition(" ")
                if scope != topology:
                    continue
            grouped = "*" in pattern or pattern.startswith("~") or scope != topology
            (self.groups if grouped else self.single)[pattern.removeprefix("~")] = reason

    @classmethod
    def load(cls, topology: str = "default") -> KnownFailures:
        """Read the list that is kept beside this file."""
        return cls(KNOWN_PATH.read_text(encoding="utf-8"), topology)

    def reason(self, test: str) -> str | None:
        """Return why a test is expected to fail, None when it is not."""
        found = self.single.get(test)
        if found is not None:
            return found
        for pattern, reason in self.groups.items():
            # A parametrised test's brackets are letters here, not a set of letters.
            if fnmatchcase(test, pattern.replace("[", "[[]")):
                return reason
        return None

    def judge(self, runs: Iterable[FileRun]) -> Verdict:
        """Hold runs against the list."""
        verdict = Verdict()
        files, seen = set(), set()
        for run in runs:
            files.add(run.file)
            if run.ended_early and self.reason(f"{run.file}::ended early") is None:
                verdict.new.append(f"{run.file}::ended early: {run.ended_early}")
            for outcome in run.outcomes:
                seen.add(outcome.id)
                if outcome.result == "failed" and self.reason(outcome.id) is None:
                    verdict.new.append(f"{outcome.id}: {outcome.text}")
                elif outcome.result == "passed" and outcome.id in self.single:
                    verdict.fixed.append(outcome.id)
        verdict.unused = [
            test for test in self.single
            if test.partition("::")[0] in files and test not in seen
        ]
        return verdict
