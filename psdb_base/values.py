"""The BSON values PSDB computes with, as Python types.

A decoded document is a `dict` (insertion-ordered) whose values are:

| BSON | Python |
|---|---|
| double | `float` |
| string | `str` |
| object, array | `dict`, `list` |
| binData | `bytes` (subtype 0) or `bson.Binary` |
| undefined, symbol, dbPointer | `UNDEFINED`, `Symbol`, `DBPointer` of this module |
| objectId, decimal, timestamp | `bson.ObjectId`, `bson.Decimal128`, `bson.Timestamp` |
| bool, null | `bool`, `None` |
| date | `bson.DatetimeMS`, always: one type over the whole int64 range |
| regex | `bson.Regex`, or `RawRegex` where the options are not PCRE's known letters in order |
| javascript (with scope) | `bson.Code` |
| int, long | `int`, `bson.Int64`; a plain `int` beyond 32 bits is encoded as a long |
| minKey, maxKey | `bson.MinKey()`, `bson.MaxKey()` |

`bool` is a subclass of `int`, and `Int64` too: code that tells types apart asks `type(v) is …`,
and never relies on Python's `==` between values (`1 == True == 1.0`); see `psdb_base.order`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bson.objectid import ObjectId

Document: TypeAlias = dict[str, Any]
"""A decoded document; values are those of the table above."""


class Missing(enum.Enum):
    """The type of `MISSING`: a field that is not there, which is not the same as null."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING


class Undefined(enum.Enum):
    """The type of `UNDEFINED`, BSON's deprecated type 6."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class Symbol:
    """BSON's deprecated symbol (type 14); it compares as the string `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class DBPointer:
    """BSON's deprecated dbPointer (type 12)."""

    namespace: str
    id: ObjectId


@dataclass(frozen=True, slots=True)
class RawRegex:
    """A regular expression whose option letters PyMongo's codec would drop or reorder."""

    pattern: str
    options: str
