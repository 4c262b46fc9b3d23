"""Matching expected values against actual ones, with the format's special operators."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.dbref import DBRef
from spec.cases import Json, parse


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


MISSING: Final = _Missing()
Lookup = Callable[[str], Any]

_INT32_MAX: Final = 2**31 - 1


def _int_type(value: int) -> str:
    return "int" if -_INT32_MAX - 1 <= value <= _INT32_MAX else "long"


_TYPE_NAMES: Final[dict[type, str]] = {
    Binary: "binData",
    Code: "javascript",
    DBRef: "object",
    Decimal128: "decimal",
    Int64: "long",
    MaxKey: "maxKey",
    MinKey: "minKey",
    ObjectId: "objectId",
    Regex: "regex",
    Timestamp: "timestamp",
    bool: "bool",
    bytes: "binData",
    datetime.datetime: "date",
    float: "double",
    list: "array",
    re.Pattern: "regex",
    str: "string",
    type(None): "null",
}


def bson_type(value: Any) -> str:
    """Return the name that `$type` knows a value's type by."""
    if isinstance(value, Mapping):
        return "object"
    if type(value) is int:
        return _int_type(value)
    return _TYPE_NAMES[type(value)]


def is_number(value: Any) -> bool:
    """Tell whether a value compares as a number of any width."""
    return isinstance(value, int | float) and type(value) is not bool


class Matcher:
    """Matches values; knows the entities that operators refer to.

    Args:
        entity: Gives a BSON entity by name.
        lsid: Gives a session entity's id by its name.

    """

    def __init__(self, entity: Lookup, lsid: Lookup) -> None:
        self._entity = entity
        self._lsid = lsid

    def check(self, expected: Any, actual: Any, at: str = "result", *, root: bool = True) -> None:
        """Raise AssertionError where `actual` does not match.

        Args:
            expected: The value of the test file.
            actual: What was observed; `MISSING` when nothing was.
            at: Where we are, for the message.
            root: The actual document may hold further fields.

        """
        operator = _operator(expected)
        if operator is not None:
            _OPERATORS[operator](self, expected[operator], actual, at, root)
        elif isinstance(expected, Mapping):
            self._check_document(expected, actual, at, root=root)
        elif isinstance(expected, list):
            assert isinstance(actual, list), f"{at}: an array is expected, got {actual!r}"
            assert len(actual) == len(expected), (
                f"{at}: {len(expected)} elements are expected, got {len(actual)}: {actual!r}"
            )
            for index, item in enumerate(expected):
                self.check(item, actual[index], f"{at}.{index}", root=False)
        else:
            check_scalar(expected, actual, at)

    def check_each(self, expected: Any, actual: Any, at: str = "result") -> None:
        """Match the documents of a cursor, each as a root-level document."""
        if _operator(expected) is not None or not isinstance(expected, list):
            self.check(expected, actual, at)
            return
        assert isinstance(actual, list), f"{at}: documents are expected, got {actual!r}"
        assert len(actual) == len(expected), (
            f"{at}: {len(expected)} documents are expected, got {len(actual)}: {actual!r}"
        )
        for index, item in enumerate(expected):
            self.check(item, actual[index], f"{at}.{index}")

    def matches(self, expected: Any, actual: Any) -> bool:
        """Tell whether a root-level value matches."""
        try:
            self.check(expected, actual)
        except AssertionError:
            return False
        return True

    def _check_document(self, expected: Json, actual: Any, at: str, *, root: bool) -> None:
        assert isinstance(actual, Mapping), f"{at}: a document is expected, got {actual!r}"
        for name, value in expected.items():
            found = actual.get(name, MISSING)
            where = f"{at}.{name}"
            if _operator(value) is None:
                assert found is not MISSING, f"{where} is missing in {actual!r}"
            self.check(value, found, where, root=False)
        if not root:
            extra = sorted(set(actual) - set(expected))
            assert not extra, f"{at}: unexpected fields {extra} in {actual!r}"


def _operator(value: Any) -> str | None:
    """Return the name of the special operator a value is, None when it is none."""
    if isinstance(value, Mapping) and len(value) == 1:
        name = next(iter(value))
        if name.startswith("$$"):
            if name not in _OPERATORS:
                raise ValueError(f"unknown special operator {name}")
            return str(name)
    return None


def check_scalar(expected: Any, actual: Any, at: str) -> None:
    """Compare values that are neither documents nor arrays; widths of numbers do not count."""
    if is_number(expected):
        assert is_number(actual), f"{at}: the number {expected!r} is expected, got {actual!r}"
    else:
        assert actual is not MISSING, f"{at}: {expected!r} is expected, got nothing"
        types = (bson_type(expected), bson_type(actual))
        assert types[0] == types[1], f"{at}: {expected!r} is expected, got {actual!r}"
    assert expected == actual, f"{at}: {expected!r} is expected, got {actual!r}"


def _exists(_: Matcher, wanted: Any, actual: Any, at: str, _root: bool) -> None:
    assert (actual is not MISSING) == wanted, (
        f"{at} must {'be there' if wanted else 'not be there'}, got {actual!r}"
    )


def _type(_: Matcher, wanted: Any, actual: Any, at: str, _root: bool) -> None:
    assert actual is not MISSING, f"{at} is missing"
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if "number" in names:
        names += ["int", "long", "double", "decimal"]
    assert bson_type(actual) in names, f"{at}: type {wanted} is expected, got {actual!r}"


def _matches_entity(matcher: Matcher, name: Any, actual: Any, at: str, root: bool) -> None:
    matcher.check(matcher._entity(name), actual, at, root=root)


def _matches_hex(_: Matcher, wanted: Any, actual: Any, at: str, _root: bool) -> None:
    assert actual == bytes.fromhex(wanted), f"{at}: bytes {wanted} are expected, got {actual!r}"


def _unset_or_matches(matcher: Matcher, wanted: Any, actual: Any, at: str, root: bool) -> None:
    if actual is not MISSING:
        matcher.check(wanted, actual, at, root=root)


def _session_lsid(matcher: Matcher, name: Any, actual: Any, at: str, _root: bool) -> None:
    matcher.check(matcher._lsid(name), actual, at, root=False)


def _lte(_: Matcher, most: Any, actual: Any, at: str, _root: bool) -> None:
    assert is_number(actual), f"{at}: a number is expected, got {actual!r}"
    assert actual <= most, f"{at}: {actual} is more than {most}"


def _as_document(matcher: Matcher, wanted: Any, actual: Any, at: str, _root: bool) -> None:
    assert isinstance(actual, str), f"{at}: Extended JSON is expected, got {actual!r}"
    matcher.check(wanted, parse(actual), at, root=False)


def _as_root(matcher: Matcher, wanted: Any, actual: Any, at: str, _root: bool) -> None:
    matcher.check(wanted, actual, at, root=True)


_OPERATORS: Final[dict[str, Callable[[Matcher, Any, Any, str, bool], None]]] = {
    "$$exists": _exists,
    "$$lte": _lte,
    "$$matchAsDocument": _as_document,
    "$$matchAsRoot": _as_root,
    "$$matchesEntity": _matches_entity,
    "$$matchesHexBytes": _matches_hex,
    "$$sessionLsid": _session_lsid,
    "$$type": _type,
    "$$unsetOrMatches": _unset_or_matches,
}
