"""Counting the steps of loops inside an evaluation, so that none goes on for ever unseen.

Whoever runs an operation puts its counter into `CHECK` (a context variable: each connection's
task has its own); loops over arrays call `spend` or walk over `paced`. The counter may raise,
and so ends the evaluation: at a deadline, when the operation was killed, or after too many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from psdb_base.errors import Code, MongoError

CHECK: Final[ContextVar[Callable[[int], None] | None]] = ContextVar("CHECK", default=None)
CHUNK: Final = 1024
CHECK_STEPS: Final = 20_000
WEIGHT_MAX: Final = 12_500_000
"""Parts of a value that one loop may build up: about MongoDB's 100 MB of eight bytes each."""

_pending = [0]


def spend(steps: int) -> None:
    """Count steps; every now and then hand them to the running operation."""
    _pending[0] += steps
    if _pending[0] >= CHECK_STEPS:
        steps, _pending[0] = _pending[0], 0
        check = CHECK.get()
        if check is not None:
            check(steps)


class TooLongError(Exception):
    """What `limited` raises; no error of the query language."""


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Raise TooLongError when what runs inside takes more steps."""
    before, taken = CHECK.get(), [0]

    def check(steps: int) -> None:
        taken[0] += steps
        if taken[0] > most:
            raise TooLongError
        if before is not None:
            before(steps)

    token = CHECK.set(check)
    try:
        yield
    finally:
        CHECK.reset(token)


def paced(array: list[Any]) -> Iterable[Any]:
    """Return something that gives the elements and counts them."""
    if len(array) <= CHUNK:
        spend(len(array))
        return array
    return _pace(array)


def _pace(array: list[Any]) -> Iterator[Any]:
    for start in range(0, len(array), CHUNK):
        spend(CHUNK)
        yield from array[start : start + CHUNK]


def weight(value: Any) -> int:
    """Estimate how many parts of eight bytes a value has, from its first elements."""
    kind = value.__class__
    if kind is list:
        return 1 + len(value) * weight(value[0]) if value else 1
    if kind is dict:
        return 2 + len(value) * weight(next(iter(value.values()))) if value else 2
    return 1 + len(value) // 8 if kind is str or kind is bytes else 1


def check_weight(held: int, operator: str) -> None:
    """Raise 146 when a loop has built up too much."""
    if held > WEIGHT_MAX:
        raise MongoError(
            Code.EXCEEDED_MEMORY_LIMIT,
            f"{operator} would use too much memory ({held * 8} bytes) and cannot spill to disk. "
            f"Memory limit: {WEIGHT_MAX * 8} bytes",
        )
