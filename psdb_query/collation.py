"""Collations: the specification of one, and sort keys that order strings by it.

The keys are ICU's (`psdb_query.collation_icu`), as MongoDB's are. Where its wheel is not
installed, an approximation of ours takes its place (`psdb_query.collation_plain`).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final, Literal

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.collation_tables import DEFAULTS, LOCALES, SEARCH_VARIANTS
from psdb_query.describe import text_of, type_name
from psdb_query.filters.operands import parse_long

_VERSION: Final = "57.1"
"""The version of ICU's data that MongoDB 8.0 reports."""


@dataclass(frozen=True)
class Collation:
    """A validated collation other than the simple one.

    Attributes are MongoDB's options, with its defaults filled in.
    """

    locale: str
    case_level: bool = False
    case_first: Literal["upper", "lower", "off"] = "off"
    strength: int = 3
    numeric_ordering: bool = False
    alternate: Literal["non-ignorable", "shifted"] = "non-ignorable"
    max_variable: Literal["punct", "space"] = "punct"
    normalization: bool = False
    backwards: bool = False
    _key: Callable[[str], bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", lru_cache(maxsize=4096)(_sort_keys(self)))

    @classmethod
    def parse(cls, spec: Any) -> Collation | None:
        """Read a collation document; None for the simple collation (`{locale: "simple"}`).

        Raises MongoError 14 (wrong type), 40414 (no locale), 40415 (unknown field), 2 (unknown
        locale or value), 51024 (strength out of bounds).
        """
        if spec.__class__ is not dict:
            message = (
                f"BSON field 'collation' is the wrong type '{type_name(spec)}', "
                "expected type 'object'"
            )
            raise MongoError(Code.TYPE_MISMATCH, message)
        if not spec:
            return None
        values = {name: _read_field(name, value) for name, value in spec.items()}
        if "locale" not in spec:
            message = "BSON field 'collation.locale' is missing but a required field"
            raise MongoError(40414, message)
        values.pop("version", None)
        locale = values.pop("locale")
        if locale == "simple":
            if values:
                message = f"'simple' collation cannot have other options: {text_of(spec)}"
                raise MongoError(Code.BAD_VALUE, message)
            return None
        _check_locale(locale, spec)
        given = {_PYTHON_NAMES[name]: value for name, value in values.items()}
        return cls(locale=locale, **{**_defaults(locale), **given})

    def document(self) -> Document:
        """Return the full specification, as `listIndexes` and `listCollections` show it."""
        names = {python: name for name, python in _PYTHON_NAMES.items()}
        out = {names[f.name]: getattr(self, f.name) for f in fields(self) if f.name in names}
        return {"locale": self.locale, **out, "version": _VERSION}

    def sort_key(self, text: str) -> bytes:
        """Return bytes that compare as the texts do; equal bytes mean equal texts."""
        return self._key(text)


_PYTHON_NAMES: Final[dict[str, str]] = {
    "caseLevel": "case_level",
    "caseFirst": "case_first",
    "strength": "strength",
    "numericOrdering": "numeric_ordering",
    "alternate": "alternate",
    "maxVariable": "max_variable",
    "normalization": "normalization",
    "backwards": "backwards",
}

_FIELD_TYPES: Final[dict[str, str]] = {
    "alternate": "string",
    "backwards": "bool",
    "caseFirst": "string",
    "caseLevel": "bool",
    "locale": "string",
    "maxVariable": "string",
    "normalization": "bool",
    "numericOrdering": "bool",
    "strength": "number",
    "version": "string",
}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "alternate": ("non-ignorable", "shifted"),
    "caseFirst": ("upper", "lower", "off"),
    "maxVariable": ("punct", "space"),
}


def _read_field(name: str, value: Any) -> Any:
    wanted = _FIELD_TYPES.get(name)
    if wanted is None:
        raise MongoError(40415, f"BSON field 'collation.{name}' is an unknown field.")
    kind = type_name(value)
    is_number = kind in ("int", "long", "double", "decimal")
    if kind != wanted and not (wanted == "number" and is_number):
        expected = "[int, decimal, double, long]" if wanted == "number" else wanted
        plural = "types" if wanted == "number" else "type"
        shown = expected if wanted == "number" else f"'{expected}'"
        message = (
            f"BSON field 'collation.{name}' is the wrong type '{kind}', expected {plural} {shown}"
        )
        raise MongoError(Code.TYPE_MISMATCH, message)
    if name in _CHOICES and value not in _CHOICES[name]:
        message = f"Enumeration value '{value}' for field 'collation.{name}' is not a valid value."
        raise MongoError(Code.BAD_VALUE, message)
    if name == "strength":
        return _read_strength(value)
    return value


def _read_strength(value: Any) -> int:
    strength = parse_long("strength", value)
    if strength < 1:
        message = f"BSON field 'strength' value must be >= 1, actual value '{strength}'"
        raise MongoError(51024, message)
    if strength > 5:
        message = f"BSON field 'strength' value must be <= 5, actual value '{strength}'"
        raise MongoError(51024, message)
    return strength


def _check_locale(locale: str, spec: Document) -> None:
    """Raise 2 when there is no such locale: its name must be one of ICU's exactly."""
    base, at, variant = locale.partition("@collation=")
    if base not in LOCALES or (at and variant not in LOCALES[base]):
        raise MongoError(Code.BAD_VALUE, f"Field 'locale' is invalid in: {text_of(spec)}")


def _defaults(locale: str) -> dict[str, Any]:
    """Return the attributes that a locale sets otherwise than the rest."""
    base, _, variant = locale.partition("@collation=")
    if variant in SEARCH_VARIANTS:
        return {"normalization": True}
    return DEFAULTS.get(base, {})


def _sort_keys(collation: Collation) -> Callable[[str], bytes]:
    """Choose who makes the keys; ICU is imported with the first collation, not before."""
    maker = "collation_icu" if importlib.util.find_spec("icu") else "collation_plain"
    sort_keys: Callable[[Collation], Callable[[str], bytes]]
    sort_keys = importlib.import_module(f"psdb_query.{maker}").sort_keys
    return sort_keys(collation)
