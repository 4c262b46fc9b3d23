"""Run seeds of the power-cut scenario by hand.

    PYTHONPATH=tests python -m sim.replay --seed 36 --log
    PYTHONPATH=tests python -m sim.replay --first 1000 --count 500

Prints a line a seed, and for one that fails what broke; with --log everything the machines logged
and every fault with its time. With --json the totals come as one line at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from typing import Any

from sim.loop import START_SECONDS
from sim.scenario import Result, Scenario

COLUMNS = ("seed", "steps", "virtual s", "ops", "unknown", "retries", "cuts", "steps/s")


def totals_of(results: list[Result]) -> dict[str, int]:
    """Add up what the runs did; seconds are whole virtual seconds."""
    return {
        "operations": sum(result.operations for result in results),
        "power cuts": sum(result.power_cuts for result in results),
        "requests without an answer": sum(result.unknown for result in results),
        "retries": sum(result.retries for result in results),
        "seeds": len(results),
        "steps": sum(result.steps for result in results),
        "virtual seconds": round(sum(result.virtual_seconds for result in results)),
    }


def one(seed: int, *, logs: bool) -> Result | str:
    """Run one seed; return what it was, or what broke."""
    scenario = Scenario(seed, keep_log=logs)
    failure = ""
    try:
        result = scenario.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if logs:
            traceback.print_exc(file=sys.stdout)
    if logs:
        print(f"{scenario.plan}")
        lines = [line for node in scenario.cluster.nodes for line in node.machine.log.lines]
        for moment, line in sorted([*scenario.happened, *[split(line) for line in lines]]):
            print(f"{moment - START_SECONDS:12.6f} {line}")
    return failure or result


def split(line: str) -> tuple[float, str]:
    """Part a log line into its time and the rest."""
    moment, _, rest = line.partition(" ")
    return float(moment), rest


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--first", type=int, default=0, help="first of the seeds to run")
    parser.add_argument("--count", type=int, default=20, help="how many seeds to run")
    parser.add_argument("--log", action="store_true", help="print what the machines logged")
    parser.add_argument("--json", action="store_true", help="print totals as JSON, nothing else")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.count)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    results: list[Result] = []
    failures: dict[str, str] = {}
    if not options.json:
        print(" ".join(f"{name:>9}" for name in COLUMNS))
    for seed in seeds:
        started = time.perf_counter()
        outcome = one(seed, logs=options.log)
        seconds = time.perf_counter() - started
        if isinstance(outcome, str):
            failures[str(seed)] = outcome
            if not options.json:
                print(f"{seed:>9} FAILED {outcome}", flush=True)
        else:
            results.append(outcome)
            if not options.json:
                print(row(outcome, seconds), flush=True)
    report: dict[str, Any] = {"failures": failures, "totals": totals_of(results)}
    print(json.dumps(report if options.json else report["totals"]))
    return 1 if failures else 0


def row(result: Result, seconds: float) -> str:
    """Format a run as a line of the table."""
    values = (
        result.seed, result.steps, round(result.virtual_seconds, 1), result.operations,
        result.unknown, result.retries, result.power_cuts, round(result.steps / seconds),
    )  # fmt: skip
    return " ".join(f"{value!s:>9}" for value in values) + f"  {result.trace}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
