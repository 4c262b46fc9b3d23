"""Running one case of the drivers' unified test format against a deployment.

The format is described in the `mongodb/specifications` repository, "Unified Test Format". The
driver is pymongo; what the driver does not have is reported as unsupported, not as passed.
"""

from __future__ import annotations

import contextlib
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure
from spec.cases import Case, Json
from spec.deployments import Deployment, Deployments
from spec.entities import Entities, UnsupportedError, quick_heartbeats
from spec.errors import ERRORS, check_error
from spec.events import check_events
from spec.matching import MISSING, Matcher
from spec.operations import READ_CURSORS, handler
from spec.outcome import check_outcome, set_up
from spec.requirements import unmet_by
from spec.results import as_document
from spec.runner_operations import FAIL_POINTS, run_special

_TEST_KEYS = frozenset({
    "description", "expectEvents", "operations", "outcome", "runOnRequirements", "skipReason",
})
_OPERATION_KEYS = frozenset({
    "arguments", "expectError", "expectResult", "ignoreResultAndError", "name", "object",
    "saveResultAsEntity",
})


ON_REPLICA_SETS = frozenset({
    "causal-consistency", "read-write-concern", "retryable-reads", "retryable-writes",
    "run-command", "sessions",
})
"""Specifications that are about replica sets first of all."""


class SkipError(Exception):
    """A case that cannot run here, and why."""


class Run:
    """One case on its way.

    Attributes:
        entities: The case's entity map.
        matcher: Matches values of this case.
        fail_points: Those that were set, to be switched off in the end.

    """

    def __init__(self, case: Case, deployment: Deployment) -> None:
        self.case = case
        self.deployment = deployment
        self.entities = Entities(deployment)
        self.matcher = Matcher(self.entities.__getitem__, self.entities.lsid)
        self.fail_points: list[tuple[MongoClient[Any], str]] = []
        self._direct: list[MongoClient[Any]] = []

    def execute(self) -> None:
        """Run the case; AssertionError where it fails, UnsupportedError where it cannot run."""
        source, test = self.case.source, self.case.test
        unknown = sorted(set(test) - _TEST_KEYS)
        if unknown:
            raise UnsupportedError(f"the runner does not know {unknown}")
        set_up(self.deployment, source.get("initialData", []))
        with quick_heartbeats():
            self._operations(source, test)
        check_outcome(self.deployment, test.get("outcome", []))

    def _operations(self, source: Json, test: Json) -> None:
        """Do what the case does, and compare the events."""
        try:
            self.entities.create(source.get("createEntities", []))
            for operation in test["operations"]:
                self.operation(operation)
            for expectation in test.get("expectEvents", []):
                client = expectation["client"]
                observer = self.entities.observers[client]
                check_events(self.matcher, expectation, observer, client)
        finally:
            self._switch_off()
            self.entities.close()
            for client in self._direct:
                client.close()

    def direct_client(self, address: str) -> MongoClient[Any]:
        """Return a client of one router, closed at the end of the case."""
        client: MongoClient[Any] = MongoClient(f"mongodb://{address}/")
        self._direct.append(client)
        return client

    def operation(self, operation: Json, *, raises: bool = False) -> None:
        """Run one operation and check what it returns or raises.

        Args:
            operation: As the case has it.
            raises: Let its error go on to the caller after the check.

        """
        unknown = sorted(set(operation) - _OPERATION_KEYS)
        if unknown:
            raise UnsupportedError(f"the runner does not know {unknown}")
        arguments = operation.get("arguments", {})
        if operation["object"] == "testRunner":
            run_special(self, operation["name"], arguments)
            return
        target = self.entities[operation["object"]]
        run = handler(target, operation["name"])
        try:
            result = run(self, target, arguments)
        except ERRORS as error:
            self._check_error(operation, error)
            if raises:
                raise
        else:
            self._check_result(operation, result)

    def _check_error(self, operation: Json, error: Exception) -> None:
        if operation.get("ignoreResultAndError"):
            return
        if "expectError" not in operation:
            raise AssertionError(f"{operation['name']} raised {error!r}") from error
        check_error(self.matcher, operation["expectError"], error)

    def _check_result(self, operation: Json, result: Any) -> None:
        if operation.get("ignoreResultAndError"):
            return
        name = operation["name"]
        assert "expectError" not in operation, f"{name} raised no error; it returned {result!r}"
        if "saveResultAsEntity" in operation:
            self.entities.add(operation["saveResultAsEntity"], result)
        if "expectResult" not in operation:
            return
        found = as_document(result)
        expected = operation["expectResult"]
        if name in READ_CURSORS:
            self.matcher.check_each(expected, found, name)
        else:
            # None is also how the driver says that there is no result.
            if found is None and isinstance(expected, dict) and "$$unsetOrMatches" in expected:
                found = MISSING
            self.matcher.check(expected, found, name)

    def _switch_off(self) -> None:
        for client, name in self.fail_points:
            with contextlib.suppress(OperationFailure):
                client.admin.command({"configureFailPoint": name, "mode": "off"})


def _uses_fail_points(test: Json) -> bool:
    return any(operation["name"] in FAIL_POINTS for operation in test["operations"])


def _wants_two_routers(case: Case) -> bool:
    entities = list(case.source.get("createEntities", []))
    for operation in case.test["operations"]:
        if operation["name"] == "createEntities":
            entities += operation["arguments"]["entities"]
    return any(item.get("client", {}).get("useMultipleMongoses") for item in entities)


def choose(case: Case, deployments: Deployments) -> Deployment:
    """Return the deployment a case runs on: the first kind of `kinds` that will do.

    Raises:
        SkipError: None of the deployments will do.

    """
    if "skipReason" in case.test:
        raise SkipError(case.test["skipReason"])
    reasons = []
    # Stable: the preferred kind first, the others in their order.
    preferred = "replica set" if case.folder in ON_REPLICA_SETS else "sharded"
    for kind in sorted(deployments.kinds, key=lambda kind: kind != preferred):
        if kind == "single" and not _names_topology(case, "single"):
            continue
        deployment = deployments.get(kind)
        reason = unmet_by(case, deployment)
        if reason is None:
            if _uses_fail_points(case.test) and not deployment.has_fail_points:
                raise SkipError("needs fail points")
            if kind == "sharded" and _wants_two_routers(case):
                return deployments.get("two routers")
            return deployment
        reasons.append(reason)
    raise SkipError(reasons[0])


def _names_topology(case: Case, topology: str) -> bool:
    """Tell whether a case names a topology, so that no server is started for nothing."""
    return any(
        topology in requirement.get("topologies", ())
        for alternatives in case.requirements for requirement in alternatives
    )


def run_case(case: Case, deployments: Deployments) -> None:
    """Run a case; AssertionError when it fails, SkipError when it cannot run."""
    deployment = choose(case, deployments)
    try:
        Run(case, deployment).execute()
    except UnsupportedError as error:
        raise SkipError(str(error)) from error
