"""Operands of the keywords, read and checked with MongoDB's errors."""

from __future__ import annotations

from typing import Any, NoReturn

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.filters.operands import parse_non_negative_long
from psdb_query.filters.predicates import NUMBERS


def mismatch(keyword: str, rest: str) -> NoReturn:
    """Refuse an operand of the wrong type (14)."""
    raise MongoError(Code.TYPE_MISMATCH, f"$jsonSchema keyword '{keyword}' {rest}")


def invalid(keyword: str, rest: str) -> NoReturn:
    """Refuse an operand of the right type (9)."""
    raise MongoError(Code.FAILED_TO_PARSE, f"$jsonSchema keyword '{keyword}' {rest}")


def number(spec: Document, keyword: str) -> Any:
    """Read a number."""
    if spec[keyword].__class__ not in NUMBERS:
        mismatch(keyword, "must be a number")
    return spec[keyword]


def boolean(spec: Document, keyword: str) -> bool:
    """Read a boolean."""
    value = spec[keyword]
    if value.__class__ is not bool:
        mismatch(keyword, "must be a boolean")
    return bool(value)


def string(spec: Document, keyword: str) -> str:
    """Read a string."""
    value = spec[keyword]
    if value.__class__ is not str:
        mismatch(keyword, "must be a string")
    return str(value)


def document(spec: Document, keyword: str) -> Document:
    """Read an object."""
    value = spec[keyword]
    if value.__class__ is not dict:
        mismatch(keyword, "must be an object")
    out: Document = value
    return out


def count(spec: Document, keyword: str) -> int:
    """Read a whole number that is not negative."""
    return parse_non_negative_long(keyword, spec[keyword])


def strings(value: Any, keyword: str) -> list[str]:
    """Read a non-empty array of distinct strings."""
    if value.__class__ is not list:
        mismatch(keyword, f"must be an array, but found an element of type {type_name(value)}")
    if not value:
        invalid(keyword, "cannot be an empty array")
    for item in value:
        if item.__class__ is not str:
            mismatch(
                keyword,
                f"must be an array of strings, but found an element of type: {type_name(item)}",
            )
    if len(set(value)) != len(value):
        invalid(keyword, "array cannot contain duplicate values")
    return list(value)


def schemas(spec: Document, keyword: str) -> list[Document]:
    """Read a non-empty array of objects."""
    value = spec[keyword]
    if value.__class__ is not list:
        mismatch(keyword, "must be an array")
    if not value:
        message = f"$jsonSchema keyword '{keyword}' must be a non-empty array"
        raise MongoError(Code.BAD_VALUE, message)
    for item in value:
        if item.__class__ is not dict:
            mismatch(
                keyword,
                f"must be an array of objects, but found an element of type {type_name(item)}",
            )
    return list(value)


def unordered_key(value: Any) -> bytes:
    """Return a key that is equal for values that differ in the order of fields only."""
    return order.key(_sorted(value))


def _sorted(value: Any) -> Any:
    if value.__class__ is dict:
        return {name: _sorted(value[name]) for name in sorted(value)}
    if value.__class__ is list:
        return [_sorted(item) for item in value]
    return value
