"""Run seeds of the power-cut scenario by hand.

    PYTHONPATH=tests python -m sim.replay --seed 36 --log
    PYTHONPATH=tests python -m sim.replay --first 1000 --count 500

Prints a line a seed, and for one that fails what broke; with --log everything the machines logged
and every fault with its time. With --json the totals come as one line at the end.
"""

from __future__ import annotations

import sys

from sim import by_hand
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


def row(result: Result, seconds: float) -> str:
    """Format a run as a line of the table."""
    values = (
        result.seed, result.steps, round(result.virtual_seconds, 1), result.operations,
        result.unknown, result.retries, result.power_cuts, round(result.steps / seconds),
    )  # fmt: skip
    return " ".join(f"{value!s:>9}" for value in values) + f"  {result.trace}"


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    return by_hand.main(
        arguments, about=__doc__, make=Scenario, row=row, totals=totals_of,
        head=" ".join(f"{name:>9}" for name in COLUMNS),
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
