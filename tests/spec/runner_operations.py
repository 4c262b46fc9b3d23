"""Operations of the test runner itself: fail points, assertions, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from spec.cases import Json
from spec.entities import UnsupportedError
from spec.events import Observed, check_event

if TYPE_CHECKING:
    from spec.unified import Run

STATES: Final = ("none", "starting", "in_progress", "committed", "aborted")


def _fail_point(run: Run, arguments: Json) -> None:
    client = run.entities[arguments["client"]]
    run.fail_points.append((client, arguments["failPoint"]["configureFailPoint"]))
    client.admin.command(arguments["failPoint"])


def _targeted_fail_point(run: Run, arguments: Json) -> None:
    """Set a fail point on the one router that a session's transaction is pinned to."""
    session = run.entities.session(arguments["session"])
    address = session._pinned_address
    assert address is not None, "the session is not pinned"
    client = run.direct_client(f"{address[0]}:{address[1]}")
    run.fail_points.append((client, arguments["failPoint"]["configureFailPoint"]))
    client.admin.command(arguments["failPoint"])


def _create_entities(run: Run, arguments: Json) -> None:
    run.entities.create(arguments["entities"])


def _collection_names(run: Run, arguments: Json) -> list[str]:
    return run.deployment.client[arguments["databaseName"]].list_collection_names()


def _collection_exists(run: Run, arguments: Json) -> None:
    assert arguments["collectionName"] in _collection_names(run, arguments)


def _collection_not_exists(run: Run, arguments: Json) -> None:
    assert arguments["collectionName"] not in _collection_names(run, arguments)


def _index_names(run: Run, arguments: Json) -> list[str]:
    database = run.deployment.client[arguments["databaseName"]]
    return [index["name"] for index in database[arguments["collectionName"]].list_indexes()]


def _index_exists(run: Run, arguments: Json) -> None:
    assert arguments["indexName"] in _index_names(run, arguments)


def _index_not_exists(run: Run, arguments: Json) -> None:
    assert arguments["indexName"] not in _index_names(run, arguments)


def _last_two_lsids(run: Run, arguments: Json) -> tuple[Any, Any]:
    events = [
        event for event in run.entities.observers[arguments["client"]].of_family("command")
        if event.name == "commandStartedEvent"
    ]
    assert len(events) >= 2, "fewer than two commands were observed"
    one, two = ((event.command or {})["lsid"] for event in events[-2:])
    return one, two


def _same_lsid(run: Run, arguments: Json) -> None:
    one, two = _last_two_lsids(run, arguments)
    assert one == two


def _different_lsid(run: Run, arguments: Json) -> None:
    one, two = _last_two_lsids(run, arguments)
    assert one != two


def _dirty(run: Run, arguments: Json) -> None:
    assert run.entities.session(arguments["session"])._server_session.dirty


def _not_dirty(run: Run, arguments: Json) -> None:
    assert not run.entities.session(arguments["session"])._server_session.dirty


def _pinned(run: Run, arguments: Json) -> None:
    assert run.entities.session(arguments["session"])._pinned_address is not None


def _unpinned(run: Run, arguments: Json) -> None:
    assert run.entities.session(arguments["session"])._pinned_address is None


def _transaction_state(run: Run, arguments: Json) -> None:
    state = run.entities.session(arguments["session"])._transaction.state
    names = {"NONE": "none", "STARTING": "starting", "IN_PROGRESS": "in_progress",
             "COMMITTED": "committed", "COMMITTED_EMPTY": "committed", "ABORTED": "aborted"}
    assert names[state.name] == arguments["state"]


def _checked_out(run: Run, arguments: Json) -> None:
    observer = run.entities.observers[arguments["client"]]
    assert observer.checked_out == arguments["connections"]


def _matches(run: Run, expected: Json) -> Callable[[Observed], bool]:
    def test(observed: Observed) -> bool:
        try:
            check_event(run.matcher, expected, observed, "event")
        except AssertionError:
            return False
        return True

    return test


def _wait_for_event(run: Run, arguments: Json) -> None:
    observer = run.entities.observers[arguments["client"]]
    observer.wait_for(_matches(run, arguments["event"]), arguments["count"])


def _event_count(run: Run, arguments: Json) -> None:
    observer = run.entities.observers[arguments["client"]]
    found = sum(map(_matches(run, arguments["event"]), list(observer.events)))
    assert found == arguments["count"], f"{found} events instead of {arguments['count']}"


def _wait(_run: Run, arguments: Json) -> None:
    time.sleep(arguments["ms"] / 1000)


_TABLE: Final[dict[str, Callable[[Run, Json], None]]] = {
    "assertCollectionExists": _collection_exists,
    "assertCollectionNotExists": _collection_not_exists,
    "assertDifferentLsidOnLastTwoCommands": _different_lsid,
    "assertEventCount": _event_count,
    "assertIndexExists": _index_exists,
    "assertIndexNotExists": _index_not_exists,
    "assertNumberConnectionsCheckedOut": _checked_out,
    "assertSameLsidOnLastTwoCommands": _same_lsid,
    "assertSessionDirty": _dirty,
    "assertSessionNotDirty": _not_dirty,
    "assertSessionPinned": _pinned,
    "assertSessionTransactionState": _transaction_state,
    "assertSessionUnpinned": _unpinned,
    "createEntities": _create_entities,
    "failPoint": _fail_point,
    "targetedFailPoint": _targeted_fail_point,
    "wait": _wait,
    "waitForEvent": _wait_for_event,
}
FAIL_POINTS: Final = frozenset({"failPoint", "targetedFailPoint"})


def run_special(run: Run, name: str, arguments: Json) -> None:
    """Run an operation of the object `testRunner`."""
    if name not in _TABLE:
        raise UnsupportedError(f"the runner does not know the operation {name}")
    _TABLE[name](run, arguments)
