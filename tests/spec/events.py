"""Observing a client's events, and matching them against the expected ones."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bson.objectid import ObjectId
from pymongo import monitoring
from spec.cases import Json
from spec.matching import MISSING, Matcher

WAIT_SECONDS: Final = 10.0
SENSITIVE: Final = frozenset({
    "authenticate", "copydb", "copydbgetnonce", "copydbsaslstart", "createuser", "getnonce",
    "saslcontinue", "saslstart", "updateuser",
})
_HELLOS: Final = frozenset({"hello", "ismaster"})


@dataclass(frozen=True, slots=True)
class Observed:
    """One event: its name in the format, its family, and the driver's event object."""

    name: str
    family: str
    event: Any
    command: Json | None = None


class Observer(monitoring.CommandListener, monitoring.ConnectionPoolListener):
    """Collects the events of one client that its case observes.

    Args:
        names: The events to keep, by their names in the format.
        ignored: Commands whose events are left out.
        sensitive: Keep the events of commands that carry secrets.

    """

    def __init__(self, names: list[str], ignored: list[str], *, sensitive: bool) -> None:
        self._names = frozenset(names)
        unknown = self._names - set(FAMILIES)
        if unknown:
            raise ValueError(f"unknown events: {sorted(unknown)}")
        self._ignored = frozenset(name.lower() for name in (*ignored, "configureFailPoint"))
        self._sensitive = sensitive
        self._changed = threading.Condition()
        self.events: list[Observed] = []
        self.checked_out = 0

    def listeners(self) -> list[Any]:
        """Return what the client is to be given."""
        if any(FAMILIES[name] == "sdam" for name in self._names):
            return [self, _Heartbeats(self), _Topology(self)]
        return [self]

    def keep(self, name: str, event: Any, command: Json | None = None) -> None:
        """Store an event when the case observes its kind."""
        with self._changed:
            if name in self._names:
                self.events.append(Observed(name, FAMILIES[name], event, command))
                self._changed.notify_all()

    def _keep_command(self, name: str, event: Any, content: Json) -> None:
        command = event.command_name.lower()
        if command in self._ignored:
            return
        # The driver empties the documents of hellos that carry credentials.
        secret = command in SENSITIVE or (command in _HELLOS and not content)
        if not secret or self._sensitive:
            self.keep(name, event, copy.deepcopy(dict(content)))

    def of_family(self, family: str) -> list[Observed]:
        """Return the events of a family so far: command, cmap or sdam."""
        with self._changed:
            return [event for event in self.events if event.family == family]

    def wait_for(self, matches: Callable[[Observed], bool], count: int) -> None:
        """Wait until `count` events match; AssertionError after ten seconds."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while sum(map(matches, self.events)) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"fewer than {count} such events in {WAIT_SECONDS} s"
                self._changed.wait(left)

    # -- command monitoring -----------------------------------------------------------------

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._keep_command("commandStartedEvent", event, dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._keep_command("commandSucceededEvent", event, dict(event.reply))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._keep_command("commandFailedEvent", event, dict(event.failure))

    # -- connection pools -------------------------------------------------------------------

    def pool_created(self, event: Any) -> None:
        self.keep("poolCreatedEvent", event)

    def pool_ready(self, event: Any) -> None:
        self.keep("poolReadyEvent", event)

    def pool_cleared(self, event: Any) -> None:
        self.keep("poolClearedEvent", event)

    def pool_closed(self, event: Any) -> None:
        self.keep("poolClosedEvent", event)

    def connection_created(self, event: Any) -> None:
        self.keep("connectionCreatedEvent", event)

    def connection_ready(self, event: Any) -> None:
        self.keep("connectionReadyEvent", event)

    def connection_closed(self, event: Any) -> None:
        self.keep("connectionClosedEvent", event)

    def connection_check_out_started(self, event: Any) -> None:
        self.keep("connectionCheckOutStartedEvent", event)

    def connection_check_out_failed(self, event: Any) -> None:
        self.keep("connectionCheckOutFailedEvent", event)

    def connection_checked_out(self, event: Any) -> None:
        self.checked_out += 1
        self.keep("connectionCheckedOutEvent", event)

    def connection_checked_in(self, event: Any) -> None:
        self.checked_out -= 1
        self.keep("connectionCheckedInEvent", event)


class _Heartbeats(monitoring.ServerHeartbeatListener):
    """Hands heartbeats on to an observer; a client that has no such listener closes faster."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
        self._observer.keep("serverHeartbeatStartedEvent", event)

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self._observer.keep("serverHeartbeatSucceededEvent", event)

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        self._observer.keep("serverHeartbeatFailedEvent", event)


class _Topology(monitoring.ServerListener, monitoring.TopologyListener):
    """Hands changes of servers and of the topology on to an observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def opened(self, event: Any) -> None:
        pass

    def closed(self, event: Any) -> None:
        pass

    def description_changed(self, event: Any) -> None:
        is_topology = isinstance(event, monitoring.TopologyDescriptionChangedEvent)
        name = "topologyDescriptionChangedEvent" if is_topology else "serverDescriptionChangedEvent"
        self._observer.keep(name, event)


FAMILIES: Final[dict[str, str]] = {
    "commandFailedEvent": "command",
    "commandStartedEvent": "command",
    "commandSucceededEvent": "command",
    "connectionCheckOutFailedEvent": "cmap",
    "connectionCheckOutStartedEvent": "cmap",
    "connectionCheckedInEvent": "cmap",
    "connectionCheckedOutEvent": "cmap",
    "connectionClosedEvent": "cmap",
    "connectionCreatedEvent": "cmap",
    "connectionReadyEvent": "cmap",
    "poolClearedEvent": "cmap",
    "poolClosedEvent": "cmap",
    "poolCreatedEvent": "cmap",
    "poolReadyEvent": "cmap",
    "serverDescriptionChangedEvent": "sdam",
    "serverHeartbeatFailedEvent": "sdam",
    "serverHeartbeatStartedEvent": "sdam",
    "serverHeartbeatSucceededEvent": "sdam",
    "topologyDescriptionChangedEvent": "sdam",
}


def check_event(matcher: Matcher, expected: Json, observed: Observed, at: str) -> None:
    """Raise AssertionError where an observed event is not the expected one."""
    (name, fields), = expected.items()
    assert observed.name == name, f"{at}: a {name} is expected, got {observed.name}"
    for field, wanted in fields.items():
        _CHECKS[field](matcher, wanted, observed, f"{at}.{field}")


def check_events(matcher: Matcher, expectation: Json, observer: Observer, client: str) -> None:
    """Check one entry of a case's `expectEvents`."""
    observed = observer.of_family(expectation.get("eventType", "command"))
    expected = expectation["events"]
    names = [f"{event.name}({next(iter(event.command or ()), '')})" for event in observed]
    if expectation.get("ignoreExtraEvents"):
        assert len(observed) >= len(expected), f"{client}: too few events: {names}"
    else:
        assert len(observed) == len(expected), (
            f"{client}: {len(expected)} events are expected, got {len(observed)}: {names}"
        )
    for index, item in enumerate(expected):
        check_event(matcher, item, observed[index], f"{client}.events.{index}")


def _attribute(name: str) -> Callable[[Matcher, Any, Observed, str], None]:
    def check(matcher: Matcher, wanted: Any, observed: Observed, at: str) -> None:
        matcher.check(wanted, getattr(observed.event, name), at)

    return check


def _content(matcher: Matcher, wanted: Any, observed: Observed, at: str) -> None:
    matcher.check(wanted, MISSING if observed.command is None else observed.command, at)


def _service_id(_: Matcher, wanted: Any, observed: Observed, at: str) -> None:
    found = observed.event.service_id
    assert (isinstance(found, ObjectId) and any(found.binary)) == wanted, f"{at}: {found!r}"


def _connection_id(_: Matcher, wanted: Any, observed: Observed, at: str) -> None:
    found = observed.event.server_connection_id
    assert (type(found) is int and found > 0) == wanted, f"{at}: {found!r}"


def _description(name: str) -> Callable[[Matcher, Any, Observed, str], None]:
    def check(_: Matcher, wanted: Any, observed: Observed, at: str) -> None:
        found = getattr(observed.event, name)
        names = getattr(found, "server_type_name", None) or found.topology_type_name
        assert "type" not in wanted or names == wanted["type"], f"{at}: {names}"

    return check


_CHECKS: Final[dict[str, Callable[[Matcher, Any, Observed, str], None]]] = {
    "awaited": _attribute("awaited"),
    "command": _content,
    "commandName": _attribute("command_name"),
    "databaseName": _attribute("database_name"),
    "hasServerConnectionId": _connection_id,
    "hasServiceId": _service_id,
    "interruptInUseConnections": _attribute("interrupt_connections"),
    "newDescription": _description("new_description"),
    "previousDescription": _description("previous_description"),
    "reason": _attribute("reason"),
    "reply": _content,
}
