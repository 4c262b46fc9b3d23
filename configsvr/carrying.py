"""Changes of several steps that go on when whoever asked for them goes away.

A client, or the router it uses, may be lost at any step. What is half done keeps sections closed
on shards until these find out by themselves; so the change is carried through, as in MongoDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from psdb_server.command import Request
from shardsvr.collections import member_of

Handler = Callable[[Request], Awaitable[Any]]


def to_the_end(handler: Handler) -> Handler:
    """Return the handler of a command whose work outlives its sender, `maxTimeMS` and `killOp`."""

    @wraps(handler)
    async def carried(request: Request) -> Any:
        async def work() -> Any:
            return await handler(request)

        task = member_of(request).keep(work())
        task.add_done_callback(_heed)
        return await request.op.watch(task)

    return carried


def _heed(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody may be waiting for."""
    if not task.cancelled():
        task.exception()
