"""Run seeds of the replica-set scenario by hand.

    PYTHONPATH=tests python -m sim.replica_replay --seed 25 --log
    PYTHONPATH=tests python -m sim.replica_replay --first 1000 --count 100

Prints a line a seed, and for one that fails what broke; with --json the totals as one line.
"""

from __future__ import annotations

import sys

from sim import by_hand
from sim.replica_scenario import SECONDS, ReplicaScenario, Result


def totals_of(results: list[Result]) -> dict[str, int]:
    """Add up what the runs did; seconds are whole virtual seconds."""
    return {
        "elections": sum(result.elections for result in results),
        "entries committed": sum(result.committed for result in results),
        "faults": sum(sum(result.faults.values()) for result in results),
        "operations": sum(result.operations for result in results),
        "requests without an answer": sum(result.unknown for result in results),
        "seeds": len(results),
        "snapshots installed": sum(result.snapshots for result in results),
        "virtual seconds": round(sum(result.virtual_seconds for result in results)),
    }


def row(result: Result, _seconds: float) -> str:
    """Format a run as a line."""
    return (
        f"{result.seed:>9} {result.operations} operations, {result.unknown} unknown, "
        f"{result.elections} elections, {result.committed} entries, "
        f"{result.snapshots} snapshots, {result.trace}"
    )


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    return by_hand.main(
        arguments, about=__doc__, make=ReplicaScenario, row=row, totals=totals_of,
        seconds=SECONDS,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
