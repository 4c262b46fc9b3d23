"""`make compat`: the drivers' own suite against a PSDB of its own, file by file.

    python -m compat.run [--resume] [--strict] [file …]

Writes `docs/compatibility-suites.md` when every file has run. Ends with 1 when a known failure
passes; with `--strict` also when a test fails that is not listed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from compat import suite
from compat.known import KnownFailures, Verdict
from servers import Server

FILE_SECONDS_MAX: Final = 420.0
RECORDS: Final = suite.CACHE / "records"
REPORT: Final = suite.ROOT / "docs" / "compatibility-suites.md"
_INTRODUCTION: Final = f"""\
The sync tests of PyMongo {suite.VERSION}, out of its source distribution, run by `make compat`
against `psdb up`. *Not eligible* are tests that ask for another topology, version or feature.
Each failure has its reason in `tests/compat/known_failures.txt`."""
RESULTS: Final = ("passed", "failed", "skipped", "not eligible")


def run_all(files: list[str], *, resume: bool) -> list[suite.FileRun]:
    """Run files one after the other; each sees a server that answers."""
    runs: list[suite.FileRun] = []
    with tempfile.TemporaryDirectory(prefix="psdb-compat-") as folder:
        server = Server.up(Path(folder) / "data")
        server.start()
        try:
            for name in files:
                record = RECORDS / f"{name}.jsonl"
                if resume and record.with_suffix(".done").exists():
                    runs += suite.read_record([name], record)
                    continue
                _keep_alive(server)
                record.with_suffix(".done").unlink(missing_ok=True)
                done = suite.run_files([name], server.port, record, FILE_SECONDS_MAX)
                record.with_suffix(".done").touch()
                runs += done
                _show(done[0])
        finally:
            shutil.copy(server.log_path, suite.CACHE / "server.log")
            if server.process is not None and server.process.poll() is None:
                server.stop()
    return runs


def _keep_alive(server: Server) -> None:
    """Start the server again when a test has ended it."""
    if server.process is None or server.process.poll() is not None:
        print("the server had ended; starting it again", flush=True)
        server.start()


def _show(run: suite.FileRun) -> None:
    counts = ", ".join(f"{run.count(result)} {result}" for result in RESULTS)
    print(f"{run.file}: {counts}{'; ' + run.ended_early if run.ended_early else ''}", flush=True)


def report_text(runs: Iterable[suite.FileRun], known: KnownFailures) -> str:
    """Return the report as Markdown."""
    rows = [run for run in runs if run.outcomes or run.ended_early]
    totals = [sum(run.count(result) for run in rows) for result in RESULTS]
    ran = totals[0] + totals[1]
    share = 100 * totals[0] / max(ran, 1)
    summary = (
        f"**{totals[0]} of {ran} tests that ran passed ({share:.1f} %)**; {totals[2]} skipped, "
        f"{totals[3]} not eligible."
    )
    lines = [
        "# What the drivers' own suites say",
        "",
        _INTRODUCTION,
        "",
        summary,
        "",
        "| file | passed | failed | skipped | not eligible | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for run in rows:
        counts = " | ".join(str(run.count(result)) for result in RESULTS)
        lines.append(f"| {run.file} | {counts} | {run.ended_early} |")
    lines += ["| **all** | " + " | ".join(f"**{total}**" for total in totals) + " | |", ""]
    lines += _reasons(rows, known)
    return "\n".join(lines) + "\n"


def _reasons(runs: list[suite.FileRun], known: KnownFailures) -> list[str]:
    """Count the failures by their listed reason."""
    counts: dict[str, int] = {}
    for run in runs:
        for outcome in run.outcomes:
            if outcome.result == "failed":
                reason = known.reason(outcome.id) or "not listed yet"
                counts[reason] = counts.get(reason, 0) + 1
    lines = ["## Failures by reason", "", "| failures | reason |", "|--:|---|"]
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"| {count} | {reason} |")
    return lines


def show_verdict(verdict: Verdict) -> None:
    """Print what differs from the list."""
    for title, items in (
        ("Failures that are not listed", verdict.new),
        ("Listed failures that pass: take them off the list", verdict.fixed),
        ("Listed, but not found in the suite", verdict.unused),
    ):
        if items:
            print(f"\n{title} ({len(items)}):")
            for item in items:
                print(f"  {item}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="test files; all of them when none is named")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    parser.add_argument("--strict", action="store_true", help="fail on failures not listed")
    options = parser.parse_args()
    known = KnownFailures.load()
    try:
        files = suite.sync_files()
    except suite.SuiteUnavailableError as error:
        print(f"PyMongo's source distribution cannot be fetched: {error}")
        return 1
    unknown = sorted(set(options.files) - set(files))
    if unknown:
        parser.error(f"the suite has no {', '.join(unknown)}")
    runs = run_all(options.files or files, resume=options.resume)
    verdict = known.judge(runs)
    show_verdict(verdict)
    if not options.files:
        REPORT.write_text(report_text(runs, known), encoding="utf-8")
    return 1 if verdict.fixed or (options.strict and verdict.new) else 0


if __name__ == "__main__":
    sys.exit(main())
