"""Checks of stage specifications whose errors MongoDB makes from a schema (its IDL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name


def check_object(
    stage: str, spec: Any, fields: Mapping[str, tuple[str, ...]], required: tuple[str, ...] = ()
) -> Document:
    """Check a specification against its fields' types and return it.

    Args:
        stage: The prefix of fields in messages (`$densify`, `$densify.range`).
        spec: An object (checked by the caller, because the message differs by stage).
        fields: Name → type names allowed; none for any type.
        required: Names that must be there.

    Raises 40415 (unknown field), 14 (wrong type), 40414 (missing field).

    """
    for name, value in spec.items():
        if name not in fields:
            raise MongoError(40415, f"BSON field '{stage}.{name}' is an unknown field.")
        allowed = fields[name]
        if allowed and type_name(value) not in allowed:
            raise wrong_type(f"{stage}.{name}", value, allowed)
    for name in required:
        if name not in spec:
            raise MongoError(40414, f"BSON field '{stage}.{name}' is missing but a required field")
    checked: Document = spec
    return checked


def wrong_type(field: str, value: Any, allowed: tuple[str, ...]) -> MongoError:
    """Return the error of a field of the wrong type."""
    if len(allowed) == 1:
        expected = f"expected type '{allowed[0]}'"
    else:
        expected = f"expected types '[{', '.join(allowed)}]'"
    return MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field '{field}' is the wrong type '{type_name(value)}', {expected}",
    )


def check_strings(field: str, values: Any) -> list[str]:
    """Check an array of strings."""
    for at, value in enumerate(values):
        if type(value) is not str:
            raise wrong_type(f"{field}.{at}", value, ("string",))
    checked: list[str] = values
    return checked
