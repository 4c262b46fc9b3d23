"""`runOnRequirements`: on which of the deployments at hand a case can run."""

from __future__ import annotations

from typing import Any, Final

from spec.cases import Case, Json
from spec.deployments import Deployment
from spec.matching import is_number

_KNOWN: Final = frozenset({
    "auth", "authMechanism", "csfle", "maxServerVersion", "minServerVersion", "serverParameters",
    "serverless", "topologies",
})


def version(text: str) -> tuple[int, int, int]:
    """Read `major[.minor[.patch]]`."""
    numbers = [int(part) for part in text.split("-", maxsplit=1)[0].split(".")[:3]]
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def unmet(requirement: Json, deployment: Deployment) -> str | None:
    """Tell why a deployment does not meet a requirement, None when it does."""
    unknown = sorted(set(requirement) - _KNOWN)
    if unknown:
        raise ValueError(f"unknown requirements: {unknown}")
    found = deployment.version
    if "minServerVersion" in requirement and found < version(requirement["minServerVersion"]):
        return f"needs a server of {requirement['minServerVersion']} or later"
    if "maxServerVersion" in requirement and found > version(requirement["maxServerVersion"]):
        return f"is for servers up to {requirement['maxServerVersion']}"
    topologies = requirement.get("topologies")
    if topologies is not None and not deployment.topologies & set(topologies):
        return f"needs the topology {' or '.join(topologies)}"
    if requirement.get("serverless") == "require":
        return "is for serverless deployments"
    if requirement.get("auth") or "authMechanism" in requirement:
        return "needs authentication"
    if requirement.get("csfle"):
        return "needs client-side encryption"
    for name, wanted in requirement.get("serverParameters", {}).items():
        if not _same(wanted, deployment.parameters.get(name)):
            return f"needs the server parameter {name}: {wanted}"
    return None


def _same(wanted: Any, found: Any) -> bool:
    if is_number(wanted):
        return is_number(found) and bool(wanted == found)
    return type(wanted) is type(found) and bool(wanted == found)


def unmet_by(case: Case, deployment: Deployment) -> str | None:
    """Tell why a case cannot run on a deployment, None when it can."""
    for alternatives in case.requirements:
        reasons = [unmet(requirement, deployment) for requirement in alternatives]
        if None not in reasons:
            return "; ".join(sorted({str(reason) for reason in reasons}))
    return None
