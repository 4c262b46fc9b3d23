"""Run seeds of the sharded scenario by hand.

    PYTHONPATH=tests python -m sim.sharded_replay --seed 25 --log
    PYTHONPATH=tests python -m sim.sharded_replay --first 1000 --count 100

Prints a line a seed, and for one that fails what broke; with --json the totals as one line.
"""

from __future__ import annotations

import sys

from sim import by_hand
from sim.sharded import SECONDS, Result, ShardedScenario


def totals_of(results: list[Result]) -> dict[str, int]:
    """Add up what the runs did; seconds are whole virtual seconds."""
    return {
        "chunks moved": sum(result.changes.get("moveChunk", 0) for result in results),
        "databases moved": sum(result.changes.get("movePrimary", 0) for result in results),
        "faults": sum(sum(result.faults.values()) for result in results),
        "operations": sum(result.operations for result in results),
        "requests without an answer": sum(result.unknown for result in results),
        "scans": sum(result.scans for result in results),
        "seeds": len(results),
        "virtual seconds": round(sum(result.virtual_seconds for result in results)),
    }


def row(result: Result, seconds: float) -> str:
    """Format a run as a line."""
    changes = ", ".join(f"{count} {name}" for name, count in sorted(result.changes.items()))
    return (
        f"{result.seed:>9} {seconds:5.1f} s, {result.operations} operations, "
        f"{result.unknown} unknown, {result.scans} scans, {changes}, {result.trace}"
    )


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    return by_hand.main(
        arguments, about=__doc__, make=ShardedScenario, row=row, totals=totals_of,
        seconds=SECONDS,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
