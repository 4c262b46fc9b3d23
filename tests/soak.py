"""The long counts: everything random that `make test` runs a slice of, in chunks, resumable.

    make soak                                          all parts, up to their goals
    .venv/bin/python tests/soak.py --only power-cut --count 500
    .venv/bin/python tests/soak.py --minutes 30

What is left of the goals stands in `.cache/soak.json`, so an interrupted soak goes on where it
was. The totals stand in `docs/reliability.md` and only ever grow; no chunk repeats an earlier one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".cache" / "soak.json"
REPORT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
_TOTALS = re.compile(r"<!-- soak-totals (.*?) -->", re.DOTALL)
POINTS_PER_RUN = 25


@dataclass
class Outcome:
    """What one chunk did: counts to add up, and what failed."""

    counts: dict[str, int]
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """One kind of long count.

    Attributes:
        unit: What is counted, as the report names it.
        goal: How many a full soak does.
        chunk: How many at once, between two savings of the state.
        run: Does `count` of them, beginning with number `first`.

    """

    unit: str
    goal: int
    chunk: int
    run: Callable[[int, int], Outcome]


def python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project with more of an environment."""
    paths = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths, "PSDB_RANDOM": "1", **env},
    )


def pytest(unit: str, count: int, *arguments: str, **env: str) -> Outcome:
    """Run tests; the whole chunk counts, and a failing one is one failure."""
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, **env)
    if done.returncode == 0:
        return Outcome({unit: count})
    setting = " ".join(f"{name}={value}" for name, value in env.items())
    tail = "\n".join(done.stdout.splitlines()[-15:])
    return Outcome({unit: count}, [f"{setting} pytest {' '.join(arguments)}\n{tail}"])


def replayed(module: str, first: int, count: int) -> Outcome:
    """Run seeds of a simulated scenario by its own program."""
    done = python("-m", module, "--first", str(first), "--count", str(count), "--json")
    if done.returncode not in {0, 1}:
        return Outcome({}, [f"{module} --first {first}: {done.stderr[-2000:]}"])
    report = json.loads(done.stdout.splitlines()[-1])
    failures = [
        f"python -m {module} --seed {seed} --log\n{text}"
        for seed, text in report["failures"].items()
    ]
    counts: dict[str, int] = report["totals"]
    counts["seeds"] += len(failures)
    return Outcome(counts, failures)


def power_cut(first: int, count: int) -> Outcome:
    """Run seeds of the simulated cluster."""
    return replayed("sim.replay", first, count)


def crash_points(first: int, count: int) -> Outcome:
    """Cut the power of a store at random points of random workloads."""
    return pytest(
        "crash points", count, "tests/store/test_crash.py",
        PSDB_CRASH_POINTS=str(count), PSDB_CRASH_FIRST=str(-(-first // POINTS_PER_RUN)),
    )


def kill_rounds(first: int, count: int) -> Outcome:
    """Kill a server's process during a stream of acknowledged inserts."""
    return pytest(
        "rounds", count, "tests/faults/test_kill.py",
        PSDB_KILL_ROUNDS=str(count), PSDB_SEED=str(first),
    )


def failovers(first: int, count: int) -> Outcome:
    """Kill, freeze and depose primaries of a replica set of processes under writers."""
    return pytest(
        "rounds", count, "tests/cluster/test_replica_set_faults.py",
        PSDB_FAILOVER_ROUNDS=str(count), PSDB_FAILOVER_FIRST=str(first),
        PSDB_FAILOVER_RECORD=str(ROOT / "docs" / "failovers.jsonl"),
    )


def fuzz_messages(first: int, count: int) -> Outcome:
    """Send random and mutated messages to a server."""
    return pytest(
        "messages", count, "tests/faults/test_fuzz.py",
        PSDB_FUZZ_MESSAGES=str(count), PSDB_FUZZ_SEED=str(first),
    )


def pipelines(first: int, count: int) -> Outcome:
    """Run random pipelines on clusters of one and of three shards, against plain `psdb_query`."""
    return pytest(
        "pipelines", count, "tests/aggregation/test_agg_clusters.py", "-k", "random",
        f"--hypothesis-seed={first}", "--timeout=3600", PSDB_PIPELINES=str(count),
    )


def replica_sets(first: int, count: int) -> Outcome:
    """Run seeds of the simulated replica sets."""
    return replayed("sim.replica_replay", first, count)


def storms(first: int, count: int) -> Outcome:
    """Run storms over the consensus core."""
    return pytest(
        "storms", count, "tests/raft/test_storm.py",
        PSDB_STORMS=str(count), PSDB_STORMS_FIRST=str(first),
    )


def sharded(first: int, count: int) -> Outcome:
    """Run seeds of the simulated cluster of shards."""
    return replayed("sim.sharded_replay", first, count)


def balanced(first: int, count: int) -> Outcome:
    """Balance clusters of processes from one shard to three under writers and kills."""
    return pytest(
        "runs", count, "tests/cluster/test_sharded_faults.py", "-m", "soak",
        PSDB_BALANCE_ROUNDS=str(count), PSDB_BALANCE_FIRST=str(first),
    )


def statements(first: int, count: int) -> Outcome:
    """Try statements about every operator of the query language."""
    return pytest(
        "statements", count, "tests/query/test_language_fuzz.py", "--timeout=3600",
        PSDB_QUERY_FUZZ=str(count), PSDB_QUERY_FUZZ_FIRST=str(first),
    )


def query_laws(_first: int, count: int) -> Outcome:
    """Run the laws of the query language, 50,000 examples each."""
    return pytest("examples", count, "-m", "soak", "--timeout=7200", "tests/query", PSDB_SOAK="1")


def sharded_spec(_first: int, count: int) -> Outcome:
    """Run all specification tests that a sharded cluster may run."""
    return pytest("runs", count, "tests/spec/test_sharded_spec.py", PSDB_SPEC_SHARDED="all")


def marked(_first: int, count: int) -> Outcome:
    """Run the tests that only a soak runs: planted faults, laws over many examples."""
    return pytest(
        "runs", count, "-m", "soak", "--timeout=3600", "tests", "--ignore=tests/query",
        PSDB_SOAK="1",
    )


PARTS: dict[str, Part] = {
    "balanced": Part("runs", 10, 2, balanced),
    "crash-points": Part("crash points", 10_000, 2500, crash_points),
    "failovers": Part("rounds", 20, 4, failovers),
    "fuzz-messages": Part("messages", 200_000, 20_000, fuzz_messages),
    "kill-rounds": Part("rounds", 100, 20, kill_rounds),
    "pipelines": Part("pipelines", 20_000, 2000, pipelines),
    "power-cut": Part("seeds", 2000, 50, power_cut),
    "query-language": Part("statements", 200_000, 25_000, statements),
    "query-laws": Part("examples", 150_000, 150_000, query_laws),
    "replica-sets": Part("seeds", 2000, 10, replica_sets),
    "sharded": Part("seeds", 500, 10, sharded),
    "sharded-spec": Part("runs", 1, 1, sharded_spec),
    "soak-tests": Part("runs", 1, 1, marked),
    "storms": Part("storms", 20_000, 1000, storms),
}


# -- totals and report --------------------------------------------------------------------------


def read_totals(text: str) -> dict[str, dict[str, int]]:
    """Read the totals that a report carries, by part and name."""
    found = _TOTALS.search(text)
    return {} if found is None else json.loads(found[1])


def add(totals: dict[str, dict[str, int]], part: str, outcome: Outcome) -> None:
    """Add what a chunk did."""
    of_part = totals.setdefault(part, {})
    for name, value in outcome.counts.items():
        of_part[name] = of_part.get(name, 0) + value
    of_part["failures"] = of_part.get("failures", 0) + len(outcome.failures)


def table(totals: dict[str, dict[str, int]]) -> str:
    """Make the report's table, with the totals themselves in a comment behind it."""
    lines = ["| part | done | failures | in them |", "|---|---:|---:|---|"]
    for name, part in PARTS.items():
        counts = totals.get(name, {})
        done, failures = counts.get(part.unit, 0), counts.get("failures", 0)
        more = [
            f"{value:,} {what}" for what, value in sorted(counts.items())
            if what not in {part.unit, "failures"}
        ]
        lines.append(f"| {name} | {done:,} {part.unit} | {failures:,} | {', '.join(more)} |")
    lines.append(f"\n<!-- soak-totals {json.dumps(totals, sort_keys=True)} -->")
    return "\n".join(lines)


def with_table(text: str, totals: dict[str, dict[str, int]]) -> str:
    """Put the table between the markers of a report."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(totals)}\n{END}{tail}"


# -- running ------------------------------------------------------------------------------------


def read_state() -> dict[str, Any]:
    """Return what is left to do by part, and what failed so far."""
    if STATE.exists():
        state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
        return state
    return {"failures": [], "left": {}}


def save(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def soak(names: list[str], state: dict[str, Any], end: float) -> list[str]:
    """Run chunks of these parts in turn until all is done or the time is over."""
    failed: list[str] = []
    left: dict[str, int] = state["left"]
    while (open_parts := [name for name in names if left[name] > 0]) and time.monotonic() < end:
        for name in open_parts:
            if time.monotonic() >= end:
                break
            part = PARTS[name]
            count = min(part.chunk, left[name])
            totals = read_totals(REPORT.read_text(encoding="utf-8"))
            first = totals.get(name, {}).get(part.unit, 0)
            started = time.monotonic()
            outcome = part.run(first, count)
            add(totals, name, outcome)
            left[name] -= count
            failed += outcome.failures
            state["failures"] += outcome.failures
            save(REPORT, with_table(REPORT.read_text(encoding="utf-8"), totals))
            save(STATE, json.dumps(state, indent=1))
            print(
                f"{name}: {first:,} to {first + count:,} {part.unit}, {left[name]:,} left, "
                f"{len(outcome.failures)} failures, {time.monotonic() - started:.0f} s", flush=True,
            )
            for failure in outcome.failures:
                print(f"  {failure}", flush=True)
    return failed


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="this part alone")
    parser.add_argument("--count", type=int, help="so many of each part, whatever was left")
    parser.add_argument("--minutes", type=float, help="begin nothing more after this time")
    options = parser.parse_args(arguments)
    names = options.only or list(PARTS)
    state = read_state()
    for name in names:
        if options.count is not None:
            state["left"][name] = options.count
        elif state["left"].get(name, 0) <= 0:
            state["left"][name] = PARTS[name].goal
    end = float("inf") if options.minutes is None else time.monotonic() + options.minutes * 60
    try:
        failed = soak(names, state, end)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here")
        return 130
    print(f"{len(failed)} failures; totals are in {REPORT.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
