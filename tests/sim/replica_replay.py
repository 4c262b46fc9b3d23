"""Run seeds of the replica-set scenario by hand.

    PYTHONPATH=tests python -m sim.replica_replay --seed 25 --log
    PYTHONPATH=tests python -m sim.replica_replay --first 1000 --count 100

Prints a line a seed, and for one that fails what broke; with --json the totals as one line.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback

from sim.loop import START_SECONDS
from sim.replay import split
from sim.replica_scenario import SECONDS, ReplicaScenario, Result


def one(seed: int, seconds: float, *, logs: bool) -> Result | str:
    """Run one seed; return what it was, or what broke."""
    scenario = ReplicaScenario(seed, seconds=seconds, keep_log=logs)
    failure = ""
    try:
        result = scenario.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if logs:
            traceback.print_exc(file=sys.stdout)
    if logs:
        lines = [line for node in scenario.nodes for line in node.machine.log.lines]
        for moment, line in sorted([*scenario.happened, *[split(line) for line in lines]]):
            print(f"{moment - START_SECONDS:12.6f} {line}")
    return failure or result


def totals_of(results: list[Result]) -> dict[str, int]:
    """Add up what the runs did; seconds are whole virtual seconds."""
    return {
        "elections": sum(result.elections for result in results),
        "entries committed": sum(result.committed for result in results),
        "faults": sum(sum(result.faults.values()) for result in results),
        "operations": sum(result.operations for result in results),
        "requests without an answer": sum(result.unknown for result in results),
        "seeds": len(results),
        "virtual seconds": round(sum(result.virtual_seconds for result in results)),
    }


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--first", type=int, default=0, help="first of the seeds to run")
    parser.add_argument("--count", type=int, default=20, help="how many seeds to run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="virtual seconds of faults")
    parser.add_argument("--log", action="store_true", help="print what the machines logged")
    parser.add_argument("--json", action="store_true", help="print totals as JSON, nothing else")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.count)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    results: list[Result] = []
    failures: dict[str, str] = {}
    for seed in seeds:
        outcome = one(seed, options.seconds, logs=options.log)
        if isinstance(outcome, str):
            failures[str(seed)] = outcome
            text = f"FAILED {outcome}"
        else:
            results.append(outcome)
            text = (
                f"{outcome.operations} operations, {outcome.unknown} unknown, "
                f"{outcome.elections} elections, {outcome.committed} entries, {outcome.trace}"
            )
        if not options.json:
            print(f"{seed:>6} {text}", flush=True)
    report = {"failures": failures, "totals": totals_of(results)}
    print(json.dumps(report if options.json else report["totals"]))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
