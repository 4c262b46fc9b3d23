"""What drivers' tests want: fail points, and a command that is not in the Stable API.

There only with `enableTestCommands`.
"""

from __future__ import annotations

import asyncio

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field


async def configure_fail_point(request: Request) -> Reply:
    """Switch a fail point on or off; return how often it fired so far."""
    node, args = request.node, request.args
    data = args.get("data")
    count = node.fail_points.configure(request.target, args.get("mode"), data)
    node.world.log.write(
        "W", "CONTROL", 23829, "Set failpoint",
        {"failPointName": request.target, "mode": str(args["mode"])},
    )
    return {"count": count}


async def wait_for_fail_point(request: Request) -> Reply:
    """Answer when a fail point has fired `timesEntered` times; 50 after `maxTimeMS`."""
    wanted = CHECKS["count"](request.args["timesEntered"], "waitForFailPoint.timesEntered")
    if not request.generic.max_time_ms:
        raise MongoError(
            40414, "BSON field 'waitForFailPoint.maxTimeMS' is missing but a required field"
        )
    point = request.node.fail_points.point(request.target)
    while point.entered < wanted:
        try:
            async with asyncio.timeout(request.op.remaining_seconds()):
                await point.changed.wait()
        except TimeoutError:
            request.op.check()
            raise MongoError(
                Code.MAX_TIME_MS_EXPIRED, "operation exceeded time limit"
            ) from None
    return {"timesEntered": Int64(point.entered)}


async def test_version_2(request: Request) -> Reply:  # noqa: ARG001
    """Answer; no version of the Stable API that is published has this command."""
    return {}


COMMANDS = (
    Command(
        "configureFailPoint", configure_fail_point, (Field("mode"), Field("data")),
        target="string", admin_only=True, test_only=True, write_concern=True,
        help="Order a fault (tests only).",
    ),
    Command(
        "waitForFailPoint", wait_for_fail_point, (Field("timesEntered", required=True),),
        target="string", admin_only=True, test_only=True,
        help="Wait for a fault to happen (tests only).",
    ),
    Command(
        "testVersion2", test_version_2, test_only=True,
        help="Be refused with apiStrict (tests only).",
    ),
)
