"""Running seeds of a scenario from the command line: a line a seed, what broke, the totals."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from sim.loop import START_SECONDS
from sim.trial import Trial


def run_one(trial: Trial, *, logs: bool) -> Any:
    """Run a trial; return its result, or a text that says what broke."""
    failure = ""
    try:
        result = trial.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if logs:
            traceback.print_exc(file=sys.stdout)
    if logs:
        print(f"{trial.plan}")
        lines = [line for node in trial.nodes for line in node.machine.log.lines]
        for moment, line in sorted([*trial.happened, *[split(line) for line in lines]]):
            print(f"{moment - START_SECONDS:12.6f} {line}")
    return failure or result


def split(line: str) -> tuple[float, str]:
    """Part a log line into its time and the rest."""
    moment, _, rest = line.partition(" ")
    return float(moment), rest


def main(
    arguments: list[str],
    *,
    about: str | None,
    make: Callable[..., Trial],
    row: Callable[[Any, float], str],
    totals: Callable[[list[Any]], dict[str, int]],
    head: str = "",
    seconds: float | None = None,
) -> int:
    """Run what the command line asks for; 1 when a seed failed.

    Args:
        arguments: The command line.
        about: The program's docstring.
        make: Makes the trial of a seed; takes `keep_log`, and `seconds` if there is a default.
        row: Tells of a result and the real seconds it took in a line.
        totals: Adds results up.
        head: Printed above the lines.
        seconds: Virtual seconds of faults unless said otherwise; None when they are drawn.

    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0] if about else "")
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--first", type=int, default=0, help="first of the seeds to run")
    parser.add_argument("--count", type=int, default=20, help="how many seeds to run")
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help="virtual seconds of faults"
        )
    parser.add_argument("--log", action="store_true", help="print what the machines logged")
    parser.add_argument("--json", action="store_true", help="print totals as JSON, nothing else")
    options = parser.parse_args(arguments)
    chosen = {} if seconds is None else {"seconds": options.seconds}
    seeds = range(options.first, options.first + options.count)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    results: list[Any] = []
    failures: dict[str, str] = {}
    if head and not options.json:
        print(head)
    for seed in seeds:
        started = time.perf_counter()
        outcome = run_one(make(seed, keep_log=options.log, **chosen), logs=options.log)
        if isinstance(outcome, str):
            failures[str(seed)] = outcome
            text = f"{seed:>9} FAILED {outcome}"
        else:
            results.append(outcome)
            text = row(outcome, time.perf_counter() - started)
        if not options.json:
            print(text, flush=True)
    report = {"failures": failures, "totals": totals(results)}
    print(json.dumps(report if options.json else report["totals"]))
    return 1 if failures else 0
