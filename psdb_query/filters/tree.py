"""The parsed form of a filter: small frozen nodes that planner, router and compiler read.

`$ne`, `$nin` and `$exists: false` are `Not` around their positive forms; `$all` is an `And`.
A `path` is the dotted path as written. Nodes hold BSON values: never compare nodes with `==`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from psdb_base.values import Document
    from psdb_query.expressions.core import Expr
    from psdb_query.geo.regions import NearPoint, Region
    from psdb_query.jsonschema.rules import Schema

CompareOp: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte"]
BitsOp: TypeAlias = Literal["$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet"]


@dataclass(frozen=True, slots=True)
class And:
    """All children match; no children: everything matches.

    `all_of` holds path and values of the `$all` that it stands for, in a literal tree.
    """

    children: tuple[Node, ...]
    all_of: tuple[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Or:
    """At least one child matches."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Nor:
    """No child matches."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The child does not match; `written` is the operator that says so."""

    child: Node
    written: str = "$not"


@dataclass(frozen=True, slots=True)
class Always:
    """`$alwaysTrue`, `$alwaysFalse`, and what parsing found to be constant."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op value` within the value's type bracket; `$eq` is implicit equality as well."""

    path: str
    op: CompareOp
    value: Any
    implicit: bool = False
    """Written as `path: value`, without an operator."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression over strings; a stored regex that is the same matches as well."""

    path: str
    pattern: str
    options: str
    implicit: bool = False
    """Written as a value, without `$regex`."""


@dataclass(frozen=True, slots=True)
class In:
    """Equality with one of `values`, or a match of one of `regexes`."""

    path: str
    values: tuple[Any, ...]
    regexes: tuple[Regex, ...] = ()


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, null included."""

    path: str


@dataclass(frozen=True, slots=True)
class Type:
    """The value has one of the BSON type codes; `number` stands for the four numeric ones."""

    path: str
    codes: tuple[int, ...]
    number: bool = False


@dataclass(frozen=True, slots=True)
class Mod:
    """Truncated to an integer, the value leaves `remainder` when divided by `divisor`."""

    path: str
    divisor: int
    remainder: int


@dataclass(frozen=True, slots=True)
class Size:
    """An array of exactly `count` elements."""

    path: str
    count: int


@dataclass(frozen=True, slots=True)
class Bits:
    """A test of the bits of a number or of binary data; `mask` is never negative."""

    path: str
    op: BitsOp
    mask: int


@dataclass(frozen=True, slots=True)
class ElemMatchObject:
    """Some element of the array is an object (or array) that matches `child`."""

    path: str
    child: Node
    spec: Any = field(default=None)


@dataclass(frozen=True, slots=True)
class ElemMatchValue:
    """Some element of the array satisfies every child (whose paths are empty)."""

    path: str
    children: tuple[Node, ...]
    spec: Any = field(default=None)


@dataclass(frozen=True, slots=True)
class ExprNode:
    """`$expr`: the expression's value is true."""

    spec: Any
    expression: Expr


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """`$jsonSchema` on the whole document."""

    spec: Document
    schema: Schema


@dataclass(frozen=True, slots=True)
class Where:
    """`$where`: JavaScript over the whole document."""

    code: str
    scope: Document | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """`$text`: answered by a text index, never by a scan."""

    search: str
    language: str | None = None
    case_sensitive: bool = False
    diacritic_sensitive: bool = False
    test: Callable[[Document], bool] | None = None
    """Tests a document, once an index has been found that tells what its texts are."""


@dataclass(frozen=True, slots=True)
class SampleRate:
    """`$sampleRate`: true with this probability."""

    rate: float


@dataclass(frozen=True, slots=True)
class GeoWithin:
    """Some geometry at the path lies wholly within the region."""

    path: str
    region: Region
    spec: Any = field(default=None)


@dataclass(frozen=True, slots=True)
class GeoIntersects:
    """Some geometry at the path shares a point with the region."""

    path: str
    region: Region
    spec: Any = field(default=None)


@dataclass(frozen=True, slots=True)
class Near:
    """`$near`, `$nearSphere`: matches what has a distance within the limits; the executor sorts."""

    path: str
    near: NearPoint
    spec: Any = field(default=None)


class GuardRule(Protocol):
    """What a server demands of every document beside the filter."""

    paths: frozenset[str]

    def matches(self, document: Any) -> bool:
        """Tell whether a document may be seen."""
        ...

    def select(self, documents: list[Any]) -> list[Any]:
        """Return those that may be seen, in order."""
        ...

    def verify(self) -> None:
        """Raise when documents that may be seen have been taken away."""
        ...


@dataclass(frozen=True, slots=True)
class Guard:
    """A server's own condition (a shard shows only what it owns); no filter is written so."""

    rule: GuardRule


Node: TypeAlias = (
    Always
    | And
    | Bits
    | Compare
    | ElemMatchObject
    | ElemMatchValue
    | Exists
    | ExprNode
    | GeoIntersects
    | GeoWithin
    | Guard
    | In
    | JsonSchema
    | Mod
    | Near
    | Nor
    | Not
    | Or
    | Regex
    | SampleRate
    | Size
    | Text
    | Type
    | Where
)

EVERYTHING = And(())
