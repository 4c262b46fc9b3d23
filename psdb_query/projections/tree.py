"""The parsed form of a projection: a tree of fields with an instruction at each leaf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from psdb_query.expressions.core import Expr
    from psdb_query.filters.tree import ElemMatchObject, ElemMatchValue

Kind: TypeAlias = Literal["inclusion", "exclusion", "addition"]
"""What happens to fields that the projection does not name: dropped, kept, kept."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Include the field."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Exclude the field."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Set the field to an expression's value, or remove it where that is missing."""

    expression: Expr


@dataclass(frozen=True, slots=True)
class Slice:
    """Keep a part of the array: the first or last `limit`, or `limit` from `skip` on."""

    skip: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class ElemMatch:
    """Keep the first element that matches."""

    node: ElemMatchObject | ElemMatchValue


@dataclass(frozen=True, slots=True)
class Positional:
    """Keep the element through which the filter matched."""


Leaf: TypeAlias = Compute | Drop | ElemMatch | Keep | Positional | Slice


@dataclass(slots=True)
class Fields:
    """A document's fields in the order of the specification."""

    children: dict[str, Fields | Leaf] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed projection."""

    root: Fields
    kind: Kind
    meta: frozenset[str]
