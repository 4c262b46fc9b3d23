"""`expectError`: checking the error that an operation raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from bson.errors import BSONError
from gridfs.errors import GridFSError
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)
from spec.cases import Json
from spec.matching import MISSING, Matcher
from spec.results import bulk_details, partial_result

from psdb_base.codes import CODE_NAMES

# What the driver may raise for its callers' mistakes; anything else is a fault of the runner.
ERRORS: Final = (PyMongoError, BSONError, GridFSError, TypeError, ValueError)


def _top(error: Exception) -> Exception:
    """Return the error that codes and texts are read from."""
    if isinstance(error, ClientBulkWriteException) and error.error is not None:
        return error.error  # type: ignore[no-any-return]
    return error


def _is_from_server(error: Exception) -> bool:
    if isinstance(error, ClientBulkWriteException):
        return error.error is None or _is_from_server(error.error)
    return isinstance(error, OperationFailure | NotPrimaryError)


def _documents(error: Exception) -> Iterator[Mapping[str, Any]]:
    """Yield the server's error documents in an error: its reply, and rows of a bulk write."""
    top = _top(error)
    details = getattr(top, "details", None)
    if isinstance(details, Mapping):
        yield details
        if isinstance(top, BulkWriteError):
            yield from details.get("writeErrors", [])
            yield from details.get("writeConcernErrors", [])
        concern = details.get("writeConcernError")
        if isinstance(concern, Mapping):
            yield concern


def _is_error(_: Matcher, wanted: Any, error: Exception) -> None:
    assert wanted is True, "isError is never false"


def _is_client_error(_: Matcher, wanted: Any, error: Exception) -> None:
    assert _is_from_server(error) != wanted, f"isClientError {wanted} does not hold for {error!r}"


def _is_timeout(_: Matcher, wanted: Any, error: Exception) -> None:
    assert getattr(_top(error), "timeout", False) == wanted, f"isTimeoutError: {error!r}"


def _contains(_: Matcher, wanted: str, error: Exception) -> None:
    texts = [str(_top(error)), *(str(row.get("errmsg", "")) for row in _documents(error))]
    assert any(wanted.lower() in text.lower() for text in texts), (
        f"the error must contain {wanted!r}: {error!r}"
    )


def _code(_: Matcher, wanted: int, error: Exception) -> None:
    codes = [getattr(_top(error), "code", None), *(row.get("code") for row in _documents(error))]
    assert wanted in codes, f"the error must have the code {wanted}: {error!r}"


def _code_name(_: Matcher, wanted: str, error: Exception) -> None:
    """Check the name; rows of write commands have only the code."""
    names = {str(row.get("codeName", "")).lower() for row in _documents(error)}
    numbers = {row.get("code") for row in _documents(error)} | {getattr(error, "code", None)}
    by_name = {name.lower(): code for code, name in CODE_NAMES.items()}
    known = wanted.lower() in names or by_name.get(wanted.lower()) in numbers - {None}
    assert known, f"the error must have the code name {wanted}: {error!r}"


def _has_label(error: Exception, label: str) -> bool:
    if isinstance(error, ClientBulkWriteException) and error.error is not None:
        error = error.error  # the driver leaves the labels of the reply on its own error
    return isinstance(error, PyMongoError) and error.has_error_label(label)


def _labels(_: Matcher, wanted: list[str], error: Exception) -> None:
    for label in wanted:
        assert _has_label(error, label), f"the error must have the label {label}: {error!r}"


def _no_labels(_: Matcher, unwanted: list[str], error: Exception) -> None:
    for label in unwanted:
        assert not _has_label(error, label), f"the error has the label {label}: {error!r}"


def _response(matcher: Matcher, wanted: Any, error: Exception) -> None:
    assert any(matcher.matches(wanted, row) for row in _documents(error)), (
        f"the error must come with a reply matching {wanted}: {error!r}"
    )


def _write_errors(matcher: Matcher, wanted: Json, error: Exception) -> None:
    assert isinstance(error, ClientBulkWriteException)
    found = {str(row["idx"]): row for row in error.write_errors}
    assert sorted(found) == sorted(wanted), f"write errors at {sorted(found)}: {error!r}"
    for index, row in wanted.items():
        matcher.check(row, found[index], f"writeErrors.{index}")


def _write_concern_errors(matcher: Matcher, wanted: list[Json], error: Exception) -> None:
    assert isinstance(error, ClientBulkWriteException)
    found = [
        {**row, "message": row.get("errmsg", "")} for row in error.write_concern_errors
    ]
    matcher.check_each(wanted, found, "writeConcernErrors")


def _result(matcher: Matcher, wanted: Any, error: Exception) -> None:
    found: Any = MISSING
    if isinstance(error, BulkWriteError):
        found = bulk_details(dict(error.details))
    elif isinstance(error, ClientBulkWriteException):
        found = partial_result(error.partial_result)
    matcher.check(wanted, found, "error.result")


_CHECKS: Final[dict[str, Callable[[Matcher, Any, Exception], None]]] = {
    "errorCode": _code,
    "errorCodeName": _code_name,
    "errorContains": _contains,
    "errorLabelsContain": _labels,
    "errorLabelsOmit": _no_labels,
    "errorResponse": _response,
    "expectResult": _result,
    "isClientError": _is_client_error,
    "isError": _is_error,
    "isTimeoutError": _is_timeout,
    "writeConcernErrors": _write_concern_errors,
    "writeErrors": _write_errors,
}


def check_error(matcher: Matcher, expected: Json, error: Exception) -> None:
    """Raise AssertionError where an error is not the expected one."""
    for name, wanted in expected.items():
        _CHECKS[name](matcher, wanted, error)
