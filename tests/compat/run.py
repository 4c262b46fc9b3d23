"""`make compat`: the drivers' own suite against PSDBs of its own, file by file.

    python -m compat.run [--resume] [--strict] [--topology NAME] [file …]

Without `--topology` all of them follow each other. Writes `docs/compatibility-suites.md` from the
records of all topologies when every file has run. Ends with 1 when a known failure
passes; with `--strict` also when a test fails that is not listed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.up import Cluster
from compat import suite
from compat.known import KnownFailures, Verdict
from servers import Server

FILE_SECONDS_MAX: Final = 420.0
RECORDS: Final = suite.CACHE / "records"
REPORT: Final = suite.ROOT / "docs" / "compatibility-suites.md"
_INTRODUCTION: Final = f"""\
The sync tests of PyMongo {suite.VERSION}, out of its source distribution, run by `make compat`
against PSDB. *Not eligible* are tests that ask for another topology, version or feature.
Each failure has its reason in `tests/compat/known_failures.txt`."""
_TESTS: Final = ("--setParameter", "enableTestCommands=1")
TOPOLOGIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "default": ("`psdb up`", ()),
    "replica-set": (
        "the members of `psdb up --replset rs0 --replicas 3`, with `enableTestCommands`",
        ("--replset", "rs0", "--replicas", "3", *_TESTS),
    ),
    "sharded": (
        "`psdb up --shards 2 --replicas 2 --routers 2`, with `enableTestCommands`",
        ("--shards", "2", "--replicas", "2", "--routers", "2", *_TESTS),
    ),
}
"""By name: what is run, and the flags of `psdb up`."""
RESULTS: Final = ("passed", "failed", "skipped", "not eligible")


def record_of(topology: str, name: str) -> Path:
    """Return where the outcomes of a file are kept."""
    return RECORDS / topology / f"{name}.jsonl"


def run_all(topology: str, files: list[str], *, resume: bool) -> list[suite.FileRun]:
    """Run files one after the other; each sees a server that answers."""
    runs: list[suite.FileRun] = []
    with tempfile.TemporaryDirectory(prefix="psdb-compat-") as folder:
        with _start(topology, Path(folder) / "data") as port:
            for name in files:
                record = record_of(topology, name)
                if resume and record.with_suffix(".done").exists():
                    runs += suite.read_record([name], record)
                    continue
                record.with_suffix(".done").unlink(missing_ok=True)
                done = suite.run_files([name], port(), record, FILE_SECONDS_MAX)
                record.with_suffix(".done").touch()
                runs += done
                _show(done[0])
        logs = suite.CACHE / "logs" / topology
        logs.mkdir(parents=True, exist_ok=True)
        for log in Path(folder).rglob("*.log"):
            shutil.copy(log, logs / log.name)
    return runs


@contextmanager
def _start(topology: str, dbpath: Path) -> Iterator[Callable[[], int]]:
    """Start what a topology is; give the port, after a look whether it still runs."""
    flags = TOPOLOGIES[topology][1]
    if flags:
        with Cluster(dbpath, *flags) as cluster:
            yield lambda: int(cluster.processes()[0]["port"])
        return
    with Server.up(dbpath) as server:

        def port() -> int:
            if server.process is None or server.process.poll() is not None:
                print("the server had ended; starting it again", flush=True)
                server.start()
            return server.port

        yield port


def _show(run: suite.FileRun) -> None:
    counts = ", ".join(f"{run.count(result)} {result}" for result in RESULTS)
    print(f"{run.file}: {counts}{'; ' + run.ended_early if run.ended_early else ''}", flush=True)


def report_text(runs: dict[str, list[suite.FileRun]]) -> str:
    """Return the report as Markdown, a chapter for each topology that has run."""
    lines = ["# What the drivers' own suites say", "", _INTRODUCTION, ""]
    for topology, found in runs.items():
        lines += _chapter(topology, found, KnownFailures.load(topology))
    return "\n".join(lines) + "\n"


def _chapter(topology: str, runs: list[suite.FileRun], known: KnownFailures) -> list[str]:
    rows = [run for run in runs if run.outcomes or run.ended_early]
    totals = [sum(run.count(result) for run in rows) for result in RESULTS]
    ran = totals[0] + totals[1]
    share = 100 * totals[0] / max(ran, 1)
    later = sum(
        is_later(known.reason(outcome.id) or "")
        for run in rows for outcome in run.outcomes if outcome.result == "failed"
    )
    without = 100 * totals[0] / max(ran - later, 1)
    summary = (
        f"**{totals[0]} of {ran} tests that ran passed ({share:.1f} %; {without:.1f} % without "
        f"those of transactions, change streams and snapshot reads)**; {totals[2]} skipped, "
        f"{totals[3]} not eligible."
    )
    lines = [
        f"## Against {TOPOLOGIES[topology][0]}",
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
    return [*lines, *_reasons(rows, known), ""]


def is_later(reason: str) -> bool:
    """Tell whether a failure is of a feature that PSDB does not have at all yet."""
    return reason.startswith(("change streams", "transactions", "snapshot reads"))


def _reasons(runs: list[suite.FileRun], known: KnownFailures) -> list[str]:
    """Count the failures by their listed reason."""
    counts: dict[str, int] = {}
    for run in runs:
        for outcome in run.outcomes:
            if outcome.result == "failed":
                reason = known.reason(outcome.id) or "not listed yet"
                counts[reason] = counts.get(reason, 0) + 1
    lines = ["### Failures by reason", "", "| failures | reason |", "|--:|---|"]
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
    parser.add_argument("--topology", choices=TOPOLOGIES, help="one of them; all without it")
    parser.add_argument("--strict", action="store_true", help="fail on failures not listed")
    options = parser.parse_args()
    try:
        files = suite.sync_files()
    except suite.SuiteUnavailableError as error:
        print(f"PyMongo's source distribution cannot be fetched: {error}")
        return 1
    unknown = sorted(set(options.files) - set(files))
    if unknown:
        parser.error(f"the suite has no {', '.join(unknown)}")
    chosen = [options.topology] if options.topology else list(TOPOLOGIES)
    failed = False
    for topology in chosen:
        print(f"== {topology}", flush=True)
        runs = run_all(topology, options.files or files, resume=options.resume)
        verdict = KnownFailures.load(topology).judge(runs)
        show_verdict(verdict)
        failed = failed or bool(verdict.fixed or (options.strict and verdict.new))
    if not options.files:
        REPORT.write_text(report_text(_recorded(files)), encoding="utf-8")
    return int(failed)


def _recorded(files: list[str]) -> dict[str, list[suite.FileRun]]:
    """Return the latest runs of every topology that has run as a whole."""
    found = {}
    for topology in TOPOLOGIES:
        records = {name: record_of(topology, name) for name in files}
        if all(record.with_suffix(".done").exists() for record in records.values()):
            found[topology] = [
                run for name, record in records.items()
                for run in suite.read_record([name], record)
            ]
    return found


if __name__ == "__main__":
    sys.exit(main())
