"""Typed parsing of a command's fields, with MongoDB's errors for bad ones.

A command declares its fields as a tuple of `Field`; `parse_fields` checks a document against
them: unknown fields give 40415, missing ones 40414, wrong types 14 (MongoDB's IDL parser).
A null value of an optional field counts as absent, as MongoDB's parser has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name

__all__ = ["CHECKS", "Field", "FieldSet", "is_number", "type_name"]


def is_number(value: Any) -> bool:
    """Tell whether a value is of one of the four numeric types."""
    return type(value) in (int, float, Int64, Decimal128)


def _to_int(value: Any, path: str) -> int:
    """Take an integral number; 2 BadValue for a fraction, 14 for anything else."""
    if type(value) in (int, Int64):
        return int(value)
    if type(value) is Decimal128:
        value = float(value.to_decimal())
    if type(value) is float:
        if math.isfinite(value) and value == int(value):
            return int(value)
        raise MongoError(
            Code.BAD_VALUE, f"Expected an integer, but found a number with a fraction: {path}"
        )
    expected = "[long, int, decimal, double']"
    raise MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field '{path}' is the wrong type '{type_name(value)}', expected types '{expected}",
    )


def _wrong_type(value: Any, path: str, expected: str) -> MongoError:
    return MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field '{path}' is the wrong type '{type_name(value)}', expected type '{expected}'",
    )


def _bool(value: Any, path: str) -> bool:
    if type(value) is bool:
        return value
    raise _wrong_type(value, path, "bool")


def _safe_bool(value: Any, path: str) -> bool:
    if type(value) is bool:
        return value
    if is_number(value):
        return bool(value if type(value) is not Decimal128 else value.to_decimal())
    raise MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field '{path}' is the wrong type '{type_name(value)}', "
        "expected types '[bool, long, int, decimal, double]'",
    )


def _int(value: Any, path: str) -> int:
    return _to_int(value, path)


def _count(value: Any, path: str) -> int:
    number = _to_int(value, path)
    if number < 0:
        name = path.rpartition(".")[2]
        raise MongoError(
            51024, f"BSON field '{name}' value must be >= 0, actual value '{number}'"
        )
    return number


def _number(value: Any, path: str) -> Any:
    if is_number(value):
        return value
    raise _wrong_type(value, path, "number")


def _string(value: Any, path: str) -> str:
    if type(value) is str:
        return value
    raise _wrong_type(value, path, "string")


def _object(value: Any, path: str) -> Document:
    if type(value) is dict:
        return value
    raise _wrong_type(value, path, "object")


def _array(value: Any, path: str) -> list[Any]:
    if type(value) is list:
        return value
    raise _wrong_type(value, path, "array")


def _objects(value: Any, path: str) -> list[Document]:
    for index, item in enumerate(_array(value, path)):
        if type(item) is not dict:
            raise _wrong_type(item, f"{path}.{index}", "object")
    return list(value)


def _string_or_object(value: Any, path: str) -> str | Document:
    if type(value) in (str, dict):
        return value  # type: ignore[no-any-return]
    raise _wrong_type(value, path, "[string, object]")


def _object_or_array(value: Any, path: str) -> Any:
    if type(value) in (list, dict):
        return value
    raise _wrong_type(value, path, "[object, array]")


def _timestamp(value: Any, path: str) -> Timestamp:
    if type(value) is Timestamp:
        return value
    raise _wrong_type(value, path, "timestamp")


def _uuid(value: Any, path: str) -> Binary:
    if type(value) is Binary and value.subtype == 4 and len(value) == 16:
        return value
    raise _wrong_type(value, path, "binData")


def _any(value: Any, _path: str) -> Any:
    return value


CHECKS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "any": _any,
    "array": _array,
    "bool": _bool,
    "count": _count,
    "int": _int,
    "number": _number,
    "object": _object,
    "objects": _objects,
    "object|array": _object_or_array,
    "safe bool": _safe_bool,
    "string": _string,
    "string|object": _string_or_object,
    "timestamp": _timestamp,
    "uuid": _uuid,
}


def sample_rate(value: Any) -> float | None:
    """Return a `sampleRate` between 0 and 1, None where none is given; 2 for any other."""
    rate = None if value is None else float(str(value))
    if rate is not None and not 0 <= rate <= 1:
        raise MongoError(Code.BAD_VALUE, "'sampleRate' must be between 0.0 and 1.0 inclusive")
    return rate


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a command: its name, its kind (a row of `CHECKS`), whether it must be there."""

    name: str
    kind: str = "any"
    required: bool = False


class FieldSet:
    """The fields of one command or statement, checked in one pass."""

    def __init__(self, owner: str, fields: tuple[Field, ...], *, strict: bool = True) -> None:
        self.owner = owner
        self.strict = strict
        self.by_name = {
            field.name: (CHECKS[field.kind], field.kind == "any", f"{owner}.{field.name}")
            for field in fields
        }
        self.required = tuple(field.name for field in fields if field.required)

    def parse(self, document: Document, skip: frozenset[str] = frozenset()) -> Document:
        """Return the checked values of the fields that are there.

        Args:
            document: The command or statement as decoded.
            skip: Names that somebody else checks (generic arguments).

        Raises:
            MongoError: 40415 unknown, 40414 missing, 14 wrong type.

        """
        result: Document = {}
        by_name = self.by_name
        for name, value in document.items():
            row = by_name.get(name)
            if row is None:
                if name in skip or not self.strict:
                    continue
                raise MongoError(40415, f"BSON field '{self.owner}.{name}' is an unknown field.")
            if value is None and not row[1]:
                continue
            result[name] = row[0](value, row[2])
        for name in self.required:
            if name not in result:
                raise MongoError(
                    40414, f"BSON field '{self.owner}.{name}' is missing but a required field"
                )
        return result
