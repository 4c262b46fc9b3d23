"""Fail points: faults that a test orders, as mongod's with `enableTestCommands`.

A fail point is configured by name with a mode and data. `active` is false as long as none is on,
so that a server without them pays for one attribute. A fail point with conditions in its data is
evaluated only where they hold: only then `times` and `skip` count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.fields import is_number

if TYPE_CHECKING:
    from psdb_base.world import Random
    from psdb_wire.connection import Connection

NAMES: Final = (
    "failCommand",
    "failGetMoreAfterCursorCheckout",
    "maxTimeAlwaysTimeOut",
    "onPrimaryTransactionalWrite",
    "rsSyncApplyStop",
    "stopReplProducer",
)
"""Sorted. A name that is not here is refused, so that no test runs without its fault."""
ENDS: Final = "ended by a fail point"
"""In a connection's `state`: it is closed instead of the answer to the command in work."""
_COUNT_MAX: Final = 2**31 - 1


def _always(_data: Document) -> bool:
    return True


class FailPoint:
    """One fail point: whether it is on, how often it still fires, how often it fired."""

    __slots__ = ("changed", "count", "data", "entered", "mode", "probability")

    def __init__(self) -> None:
        self.mode = "off"
        self.count = 0
        self.probability = 0.0
        self.data: Document = {}
        self.entered = 0
        self.changed = asyncio.Event()

    def fire(self, source: Random) -> bool:
        """Count one evaluation; tell whether the fault happens."""
        if self.mode == "off":
            return False
        if self.mode == "skip" and self.count > 0:
            self.count -= 1
            return False
        if self.mode == "activationProbability" and source.random() >= self.probability:
            return False
        if self.mode == "times":
            self.count -= 1
            if not self.count:
                self.mode = "off"
        self.entered += 1
        event, self.changed = self.changed, asyncio.Event()
        event.set()
        return True


class FailPoints:
    """The fail points of one node.

    Attributes:
        active: Whether any is on.

    """

    def __init__(self, random: Random) -> None:
        self.active = False
        self._random = random
        self._points = {name: FailPoint() for name in NAMES}

    def point(self, name: str) -> FailPoint:
        """Return a fail point; 266 for an unknown name."""
        point = self._points.get(name)
        if point is None:
            raise MongoError(Code.FAIL_POINT_SET_FAILED, f"{name} not found")
        return point

    def configure(self, name: str, mode: Any, data: Any) -> int:
        """Set a fail point; return how often it fired before.

        Args:
            name: One of `NAMES`.
            mode: "off", "alwaysOn", `{times: n}`, `{skip: n}` or `{activationProbability: p}`.
            data: What the fault is and when; depends on the fail point.

        """
        point = self.point(name)
        kind, count, probability = _parse_mode(mode)
        if data is not None and type(data) is not dict:
            raise MongoError(Code.TYPE_MISMATCH, "the 'data' option must be a JSON object")
        if kind == "times" and not count:
            kind = "off"
        before = point.entered
        point.mode, point.count, point.probability = kind, count, probability
        point.data = data or {}
        self._look()
        return before

    def _look(self) -> None:
        """See whether any is on."""
        self.active = any(point.mode != "off" for point in self._points.values())

    def fire(
        self, name: str, condition: Callable[[Document], bool] = _always
    ) -> Document | None:
        """Return a fail point's data when it happens here and now, None when not."""
        point = self._points[name]
        if point.mode == "off" or not condition(point.data):
            return None
        if not point.fire(self._random):
            return None
        self._look()
        return point.data

    def on_get_more(
        self, connection: Connection, ns: str, *, has_time_limit: bool = False
    ) -> None:
        """Let a getMore fail whose cursor was found (`failGetMoreAfterCursorCheckout`).

        Args:
            connection: The client's.
            ns: The cursor's namespace.
            has_time_limit: Its command has left it a time limit (`maxTimeAlwaysTimeOut`).

        Raises:
            MongoError: `errorCode` of the data, or InternalError.

        """
        if has_time_limit and self.fire("maxTimeAlwaysTimeOut") is not None:
            raise MongoError(Code.MAX_TIME_MS_EXPIRED, "operation exceeded time limit")
        data = self.fire(
            "failGetMoreAfterCursorCheckout", lambda data: concerns(data, connection, ns)
        )
        if data is None:
            return
        if data.get("closeConnection"):
            connection.close()
        labels = data.get("errorLabels", ())
        raise MongoError(
            int(data.get("errorCode", Code.INTERNAL_ERROR)),
            "Hit the 'failGetMoreAfterCursorCheckout' failpoint", labels=tuple(labels),
        )

    def on_time_limit(self, body: Document) -> None:
        """Let a command with a time limit have run out of it (`maxTimeAlwaysTimeOut`)."""
        if body.get("maxTimeMS") and self.fire("maxTimeAlwaysTimeOut") is not None:
            raise MongoError(Code.MAX_TIME_MS_EXPIRED, "operation exceeded time limit")

    def on_transactional_write(self, connection: Connection, shown: str) -> None:
        """Let a retryable write's statement fail (`onPrimaryTransactionalWrite`).

        The connection is lost unless the data say otherwise; the write itself happens, unless
        the data hold `failBeforeCommitExceptionCode`.
        """
        data = self.fire("onPrimaryTransactionalWrite")
        if data is None:
            return
        if data.get("closeConnection", True):
            connection.state[ENDS] = True  # the command's other statements run all the same
        code = data.get("failBeforeCommitExceptionCode")
        if code is not None:
            raise MongoError(
                int(code), f"Failing write for {shown} due to failpoint. The write must not be "
                "reflected.",
            )


def concerns(
    data: Document, connection: Connection, ns: str, greeting: Any = None
) -> bool:
    """Tell whether a client and a namespace are among those that the data name.

    Args:
        data: Of the fail point.
        connection: The client's.
        ns: What its command is about.
        greeting: How a client describes itself in the very command, a hello.

    """
    if connection.internal and not data.get("failInternalCommands"):
        return False
    if "threadName" in data and data["threadName"] != connection.context:
        return False
    if "appName" in data:
        client = connection.client or (greeting if type(greeting) is dict else {})
        application = client.get("application")
        name = application.get("name") if type(application) is dict else None
        if name != data["appName"]:
            return False
    return "namespace" not in data or data["namespace"] == ns


def _parse_mode(mode: Any) -> tuple[str, int, float]:
    """Return mode, count and probability."""
    if mode is None:
        raise MongoError(
            Code.ILLEGAL_OPERATION, "When setting a failpoint, you must supply a 'mode'"
        )
    if type(mode) is str:
        if mode not in ("off", "alwaysOn"):
            raise MongoError(Code.BAD_VALUE, f"unknown mode: {mode}")
        return mode, 0, 0.0
    if type(mode) is not dict:
        raise MongoError(Code.TYPE_MISMATCH, "'mode' must be a string or JSON object")
    for kind in ("times", "skip"):
        if kind in mode:
            return kind, _count(kind, mode[kind]), 0.0
    if "activationProbability" not in mode:
        raise MongoError(
            Code.BAD_VALUE, "'mode' must be one of 'off', 'alwaysOn', 'times', and 'skip'"
        )
    probability = mode["activationProbability"]
    if type(probability) not in (float, int, Int64):
        raise MongoError(
            Code.TYPE_MISMATCH,
            "The 'activationProbability' option to 'mode' must be a number between 0 and 1",
        )
    if not 0 <= probability <= 1:
        raise MongoError(
            Code.BAD_VALUE,
            f"activationProbability must be between 0.0 and 1.0; found {probability}",
        )
    return "activationProbability", 0, float(probability)


def _count(kind: str, value: Any) -> int:
    if not is_number(value):
        raise MongoError(
            Code.TYPE_MISMATCH, f'Expected field "{kind}" to have numeric type'
        )
    number = int(str(value)) if type(value) not in (int, Int64, float) else int(value)
    if number < 0:
        raise MongoError(Code.BAD_VALUE, f"'{kind}' option to 'mode' must be positive")
    if number > _COUNT_MAX:
        raise MongoError(Code.BAD_VALUE, f"'{kind}' option to 'mode' is too large")
    return number
