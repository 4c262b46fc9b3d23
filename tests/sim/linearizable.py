"""Is a history of a register linearizable? The search of Wing and Gong, with Lowe's memory.

Operations of one key: reads, writes and compare-and-sets, each with the times of its question and
its answer. One that was never answered may take effect at any time after its question, or never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

INFINITE: Final = float("inf")
STATES_MAX: Final = 2_000_000


@dataclass(slots=True)
class Operation:
    """One operation of a client.

    Attributes:
        kind: `read`, `write` or `cas`.
        value: Read, written, or put in the place of `old`.
        old: Of a `cas` that found it.
        begin, end: Times; `end` is infinite when there was no answer.

    """

    kind: str
    value: Any
    old: Any = None
    begin: float = 0.0
    end: float = INFINITE


class Undecided(Exception):
    """The search took too long."""


def is_linearizable(history: list[Operation], first: Any = None) -> bool:
    """Tell whether some order that respects the times explains every answer.

    An unanswered write whose value was never seen is left out: without it the order is as good.
    A compare-and-set that did not find its value is not to be given.
    """
    seen = {op.value for op in history if op.kind == "read" and op.end != INFINITE}
    seen |= {op.old for op in history if op.kind == "cas"}
    ops = [op for op in history if op.end != INFINITE or op.value in seen]
    ops = [op for op in ops if not (op.kind == "read" and op.end == INFINITE)]
    ops.sort(key=lambda op: op.begin)
    must = sum(1 << number for number, op in enumerate(ops) if op.end != INFINITE)
    stack = [(0, first)]
    known = {(0, first)}
    while stack:
        done, value = stack.pop()
        if done & must == must:
            return True
        for number in _candidates(ops, done):
            op = ops[number]
            if op.kind == "read":
                if op.value != value:
                    continue
                after = value
            elif op.kind == "cas" and op.old != value:
                continue
            else:
                after = op.value
            state = (done | 1 << number, after)
            if state not in known:
                known.add(state)
                stack.append(state)
        if len(known) > STATES_MAX:
            raise Undecided(f"{len(ops)} operations")
    return False


def _candidates(ops: list[Operation], done: int) -> list[int]:
    """Return what may come next: whatever began before the first answer still to be explained."""
    number = (~done & (done + 1)).bit_length() - 1
    found = []
    limit = INFINITE
    while number < len(ops):
        op = ops[number]
        if op.begin > limit:
            break
        if not done >> number & 1:
            found.append(number)
            limit = min(limit, op.end)
        number += 1
    return [number for number in found if ops[number].begin <= limit]
