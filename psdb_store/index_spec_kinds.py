"""Specifications of text, 2dsphere and 2d indexes: their options, and the form that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_query.text.languages import find_language

_NUMBERS: Final = (int, float, Int64, Decimal128)
_TWO_PLACES: Final = 16800
_PLACE_NOT_FIRST: Final = 16801
_WEIGHT_BOUND: Final = 1_000_000_000
_BITS_MAX: Final = 32
TEXT_VERSION: Final = 3
SPHERE_VERSIONS: Final = (2, 3)


def _refuse(message: str, code: int = Code.CANNOT_CREATE_INDEX) -> MongoError:
    return MongoError(code, message)


def settle(spec: Document, kind: str) -> Document:
    """Return a specification of a kind with everything that the kind adds to it.

    A settled one stays as it is. Raises MongoError 67 and others, as MongoDB.
    """
    plugins = {value for value in spec["key"].values() if type(value) is str}
    if len(plugins) > 1:
        raise _refuse("Can't use more than one index plugin for a single index.")
    if kind != "text" and plugins and any(name.endswith("$**") for name in spec["key"]):
        raise _refuse("wildcard indexes have ascending and descending fields only")
    settle_kind = _KINDS.get(kind)
    return spec if settle_kind is None else settle_kind(spec)


def _settle_sphere(spec: Document) -> Document:
    version = spec.get("2dsphereIndexVersion", 3)
    if _float(version) not in SPHERE_VERSIONS:
        raise _refuse(
            f"unsupported geo index version {{ 2dsphereIndexVersion : {text_of(version)} }}, only "
            "support versions: [2,3]"
        )
    return {**spec, "2dsphereIndexVersion": int(version)}


def _settle_flat(spec: Document) -> Document:
    values = list(spec["key"].values())
    if values.count("2d") > 1:
        raise _refuse("can't have 2 geo fields", _TWO_PLACES)
    if values[0] != "2d":
        raise _refuse("2d has to be first in index", _PLACE_NOT_FIRST)
    _check_no_collation(spec, "2d")
    bits = _float(spec.get("bits", 26))
    if not 1 <= bits <= _BITS_MAX:
        raise _refuse(
            f"bits for hash must be > 0 and <= 32, but {bits:g} bits were specified",
            Code.INVALID_OPTIONS,
        )
    low, high = _float(spec.get("min", -180.0)), _float(spec.get("max", 180.0))
    if not low < high:
        raise _refuse(
            f"region for hash must be valid and have positive area, but [{low:g}, {high:g}] was "
            "specified",
            Code.INVALID_OPTIONS,
        )
    return spec


def _check_no_collation(spec: Document, kind: str) -> None:
    collation = spec.get("collation", {})
    if collation.get("locale", "simple") != "simple":
        raise _refuse(f"Index type '{kind}' does not support collation: {text_of(collation)}")


def _float(value: Any) -> float:
    return float(value.to_decimal()) if type(value) is Decimal128 else float(value)


def _settle_text(spec: Document) -> Document:
    weights = _weights(spec)
    result: Document = {}
    for name, value in spec.items():
        if name == "key":
            result["key"] = _text_key(spec)
        elif name not in _TEXT_OPTIONS:
            result[name] = value
    _check_no_collation(spec, "text")
    result["weights"] = weights
    result["default_language"] = _default_language(spec)
    result["language_override"] = _language_override(spec)
    version = _float(spec.get("textIndexVersion", TEXT_VERSION))
    if version not in range(1, TEXT_VERSION + 1):
        raise _refuse(f"bad text index version: {version:g}")
    result["textIndexVersion"] = int(version)
    return result


_TEXT_OPTIONS: Final = ("weights", "default_language", "language_override", "textIndexVersion")


def _default_language(spec: Document) -> str:
    name = spec.get("default_language", "english")
    if find_language(name) is None:
        raise _refuse("default_language is not valid")
    return str(name)


def _language_override(spec: Document) -> str:
    name: str = spec.get("language_override", "language")
    if not name or "." in name or name.startswith("$"):
        raise _refuse("language_override is not valid")
    return name


def _text_key(spec: Document) -> Document:
    """Return the key pattern with `_fts` and `_ftsx` in place of the text fields."""
    key: Document = spec["key"]
    if key.get("_fts") == "text" and "weights" in spec:
        names = list(key)
        at = names.index("_fts")
        plain = [value for name, value in key.items() if name != "_fts"]
        if names[at + 1 : at + 2] != ["_ftsx"] or "text" in plain:
            raise _refuse("expected _ftsx right behind _fts, and no other text field")
        return key
    if "_fts" in key or "_ftsx" in key:
        raise _refuse("the names _fts and _ftsx are those of a text index's own fields")
    result: Document = {}
    for name, value in key.items():
        if value != "text":
            result[name] = value
        elif "_fts" not in result:
            result |= {"_fts": "text", "_ftsx": 1}
    _check_adjacent(list(key.values()))
    return result


def _check_adjacent(values: list[Any]) -> None:
    first = values.index("text")
    count = values.count("text")
    if values[first : first + count].count("text") != count:
        raise _refuse("'text' fields in index must all be adjacent")


def _weights(spec: Document) -> Document:
    given = spec.get("weights", {})
    if type(given) is str:
        given = {given: 1}
    found: dict[str, Any] = dict(given)
    for name, value in spec["key"].items():
        if value == "text" and name != "_fts":
            found.setdefault(name, 1)
    if not found:
        raise _refuse("text index needs weights or text fields")
    for name, value in found.items():
        if type(value) not in _NUMBERS:
            raise _refuse("weight for text index needs numeric type")
        if not 0 < _float(value) < _WEIGHT_BOUND:
            raise _refuse(
                "text index weight must be in the exclusive interval (0,1000000000) but found: "
                f"{_float(value):g}"
            )
        if name != "$**" and (not name or name.startswith("$") or name.endswith(".")):
            raise _refuse(f"weight cannot be set on the field '{name}'")
    return {name: found[name] for name in sorted(found)}


_KINDS: Final[dict[str, Callable[[Document], Document]]] = {
    "2d": _settle_flat,
    "2dsphere": _settle_sphere,
    "text": _settle_text,
}
