"""Index specifications: what is legal, what is the same, what conflicts.

Codes and messages are MongoDB's. A specification is kept as `listIndexes` shows it: `v`, `key`,
`name`, then the options given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.limits import INDEX_FIELDS_MAX, INDEXES_PER_COLLECTION_MAX
from psdb_base.values import Document
from psdb_query.describe import text_of, type_name
from psdb_store import index_spec_kinds
from psdb_store.collations import full_collation
from psdb_store.index_spec_wildcard import check_wildcard

if TYPE_CHECKING:
    from psdb_store.collection import Collection

_NUMBERS: Final = (int, float, Int64, Decimal128)
_TTL_SECONDS_MAX: Final = (1 << 31) - 1
_TOO_MANY_FIELDS: Final = 13103
_UNIQUE_HASHED: Final = 16764
_HASHED_TWICE: Final = 31303

PLUGINS: Final[dict[str, str]] = {
    "2d": "2d",
    "2dsphere": "2dsphere",
    "hashed": "hashed",
    "text": "text",
}
"""Strings that a key pattern may hold as values, and the kind each makes."""


def _is_bool(value: Any) -> bool:
    return type(value) is bool or type(value) in _NUMBERS


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _is_object(value: Any) -> bool:
    return type(value) is dict


def _is_string(value: Any) -> bool:
    return type(value) is str


_OPTIONS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "2dsphereIndexVersion": ("number", _is_number),
    "background": ("bool", _is_bool),
    "bits": ("number", _is_number),
    "clustered": ("bool", _is_bool),
    "collation": ("object", _is_object),
    "default_language": ("string", _is_string),
    "dropDups": ("bool", _is_bool),
    "expireAfterSeconds": ("number", _is_number),
    "hidden": ("bool", _is_bool),
    "key": ("object", _is_object),
    "language_override": ("string", _is_string),
    "max": ("number", _is_number),
    "min": ("number", _is_number),
    "name": ("string", _is_string),
    "ns": ("string", _is_string),
    "partialFilterExpression": ("object", _is_object),
    "prepareUnique": ("bool", _is_bool),
    "sparse": ("bool", _is_bool),
    "storageEngine": ("object", _is_object),
    "textIndexVersion": ("number", _is_number),
    "unique": ("bool", _is_bool),
    "v": ("number", _is_number),
    "weights": ("object or string", lambda value: type(value) in (dict, str)),
    "wildcardProjection": ("object", _is_object),
}
"""Every field a specification may have: its type in words and the test for it."""

_ID_OPTIONS: Final = frozenset(("clustered", "collation", "key", "name", "ns", "v"))
_DROPPED: Final = frozenset(("dropDups", "ns"))
_FLAGS: Final = frozenset(("clustered", "hidden", "prepareUnique", "sparse", "unique"))
_IDENTIFYING: Final = ("collation", "partialFilterExpression", "wildcardProjection")


def _refuse(message: str, code: int = Code.CANNOT_CREATE_INDEX) -> MongoError:
    return MongoError(code, message)


def check(
    spec: Document, collection_collation: Document | None = None, *, ignore_unknown: bool = False
) -> Document:
    """Check an index specification and return the form in which it is kept.

    Args:
        spec: As a client sent it, with `key` and `name`; a form already checked stays as it is.
        collection_collation: The collection's default, taken over where the index names none.
        ignore_unknown: Leave unknown options out instead of refusing them.

    Raises:
        MongoError: 9, 14, 67, 197 and others, as MongoDB.

    """
    if ignore_unknown:
        spec = {name: value for name, value in spec.items() if name in _OPTIONS}
    for name in ("key", "name"):
        if name not in spec:
            raise _refuse(
                f"The '{name}' field is a required property of an index specification",
                Code.FAILED_TO_PARSE,
            )
    _check_options(spec)
    key = spec["key"]
    kind = index_kind(key)
    if is_id_pattern(key):
        _check_id(spec)
    else:
        _check_key(key, spec)
    _check_name(spec["name"])
    _check_combinations(spec, kind)
    result: Document = {"v": 2, "key": dict(key), "name": spec["name"]}
    if is_id_pattern(key):
        result["name"] = "_id_"
    for name, value in spec.items():
        if name in result or name in _DROPPED:
            continue
        if name == "background" and is_id_pattern(key):
            continue
        if name in _FLAGS:
            if is_true(value):
                result[name] = True
            continue
        result[name] = value
    _settle_collation(result, collection_collation, kind)
    return index_spec_kinds.settle(result, kind)


def _settle_collation(
    result: Document, collection_collation: Document | None, kind: str
) -> None:
    asked = result.pop("collation", None)
    if asked is None and kind not in ("2d", "text"):
        asked = collection_collation
    full = full_collation(asked) if asked else None
    if full is not None:
        result["collation"] = full


def is_true(value: Any) -> bool:
    """Tell whether a bool or number given for a flag means yes."""
    return bool(value != 0) if type(value) is not Decimal128 else value.to_decimal() != 0


def is_id_pattern(key: Any) -> bool:
    """Tell whether a key pattern is that of the `_id_` index."""
    return list(key) == ["_id"] and type(key["_id"]) in _NUMBERS and order.equal(key["_id"], 1)


def index_kind(key: Document) -> str:
    """Return the row of the kind table that a key pattern asks for."""
    kind = "btree"
    for name, value in key.items():
        if name == "$**" or name.endswith(".$**"):
            kind = "wildcard" if value != "text" else "text"
        elif type(value) is str and value in PLUGINS:
            kind = PLUGINS[value]
            break
    return kind


def _check_options(spec: Document) -> None:
    for name, value in spec.items():
        known = _OPTIONS.get(name)
        if known is None:
            raise _refuse(
                f"The field '{name}' is not valid for an index specification. "
                f"Specification: {text_of(spec)}",
                Code.INVALID_INDEX_SPECIFICATION_OPTION,
            )
        if not known[1](value):
            raise _refuse(
                f"The field '{name}' has value {name}: {text_of(value)}, which is not convertible "
                "to bool"
                if known[0] == "bool"
                else f"The field '{name}' must be {_article(known[0])}, but got {type_name(value)}",
                Code.TYPE_MISMATCH,
            )
    version = spec.get("v", 2)
    if version not in (1, 2) or type(version) is bool:
        raise _refuse(f"Invalid index specification {text_of(spec)}; cannot create an index with "
                      f"v={text_of(version)}")


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _check_id(spec: Document) -> None:
    for name in spec:
        if name not in _ID_OPTIONS and name not in _DROPPED and name != "background":
            raise _refuse(
                f"The field '{name}' is not valid for an _id index specification. "
                f"Specification: {text_of({**spec, 'v': spec.get('v', 2)})}",
                Code.INVALID_INDEX_SPECIFICATION_OPTION,
            )


def _check_key(key: Document, spec: Document) -> None:
    if not key:
        raise _refuse("Index keys cannot be empty.")
    if len(key) > INDEX_FIELDS_MAX:
        raise _refuse("too many fields in compound index", _TOO_MANY_FIELDS)
    if list(key) == ["_id"] and type(key["_id"]) in _NUMBERS and spec.get("name") == "_id_":
        raise _refuse(
            "The field 'key' for an _id index must be {_id: 1}, but got " + text_of(key),
            Code.BAD_VALUE,
        )
    for name, value in key.items():
        _check_direction(value)
        _check_field_name(name)


def _check_direction(value: Any) -> None:
    if type(value) in _NUMBERS:
        number = float(value.to_decimal()) if type(value) is Decimal128 else float(value)
        if math.isnan(number):
            raise _refuse("Values in the index key pattern cannot be NaN.")
        if number == 0:
            raise _refuse("Values in the index key pattern cannot be 0.")
    elif type(value) is str:
        if value not in PLUGINS:
            raise _refuse(f"Unknown index plugin '{value}'")
    else:
        raise _refuse(
            f"Values in v:2 index key pattern cannot be of type {type_name(value)}. "
            "Only numbers > 0, numbers < 0, and strings are allowed."
        )


def _check_field_name(name: str) -> None:
    if not name:
        raise _refuse("Index keys cannot be an empty field.")
    parts = name.split(".")
    for at, part in enumerate(parts):
        if not part:
            raise _refuse("Index keys cannot contain an empty field.")
        if part == "$**" and at == len(parts) - 1:
            continue
        if part[0] == "$" and not (at > 0 and part in ("$id", "$ref", "$db")):
            raise _refuse(
                "Index key contains an illegal field name: field name starts with '$'."
            )


def _check_name(name: str) -> None:
    if not name:
        raise _refuse("index name cannot be empty")
    if name == "*":
        raise _refuse("The index name '*' is not valid.", Code.BAD_VALUE)
    if "\0" in name:
        raise _refuse("index name cannot contain an embedded null byte")


def _check_combinations(spec: Document, kind: str) -> None:
    key = spec["key"]
    if "partialFilterExpression" in spec and is_true(spec.get("sparse", False)):
        raise _refuse('cannot mix "partialFilterExpression" and "sparse" options')
    hashed = [name for name, value in key.items() if value == "hashed"]
    if len(hashed) > 1:
        raise _refuse(
            "A maximum of one index field is allowed to be hashed but found "
            f"{len(hashed)} for 'key' {text_of(key)}", _HASHED_TWICE,
        )
    if hashed and is_true(spec.get("unique", False)):
        raise _refuse(
            "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.",
            _UNIQUE_HASHED,
        )
    if kind == "wildcard":
        _check_wildcard(spec)
    elif "wildcardProjection" in spec:
        raise _refuse(
            "The field 'wildcardProjection' is only allowed when 'key' is {\"$**\": ±1}",
            Code.BAD_VALUE,
        )
    if "expireAfterSeconds" in spec:
        _check_expiry(spec)


def _check_wildcard(spec: Document) -> None:
    for option in ("sparse", "unique", "expireAfterSeconds"):
        if option in spec and (option == "expireAfterSeconds" or is_true(spec[option])):
            raise _refuse(f"Index type 'wildcard' does not support the {option} option")
    check_wildcard(spec["key"], spec.get("wildcardProjection"))


def _check_expiry(spec: Document) -> None:
    seconds = spec["expireAfterSeconds"]
    number = float(seconds.to_decimal()) if type(seconds) is Decimal128 else float(seconds)
    if len(spec["key"]) - ("_fts" in spec["key"]) > 1:  # one text field makes two
        raise _refuse(
            "TTL indexes are single-field indexes, compound indexes do not support TTL. "
            f"Index spec: {text_of(spec)}"
        )
    if math.isnan(number) or number > _TTL_SECONDS_MAX:
        raise _refuse(
            "TTL index 'expireAfterSeconds' option must be within an acceptable range, try a "
            f"different number. Index spec: {text_of(spec)}"
        )
    if number < 0:
        raise _refuse(
            "TTL index 'expireAfterSeconds' option cannot be less than 0. "
            f"Index spec: {text_of(spec)}"
        )


# What is the same and what conflicts


def exists(c: Collection, spec: Document) -> bool:
    """Tell whether a collection has the index that a checked specification describes.

    Raises MongoError 85, 86, 67 as `same_or_conflict`.
    """
    return same_or_conflict([index.spec for index in c.indexes.values()], spec) is not None


def same_or_conflict(existing: Iterable[Document], spec: Document) -> str | None:
    """Return the name of an existing index that `spec` repeats, None when `spec` is new.

    Args:
        existing: Normalized specifications of the collection's indexes.
        spec: A normalized specification.

    Raises:
        MongoError: 85 IndexOptionsConflict, 86 IndexKeySpecsConflict, 67 for too many indexes.

    """
    present = list(existing)
    for other in present:
        if other["name"] == spec["name"]:
            return _same_name(other, spec)
    for other in present:
        if _signature(other) == _signature(spec):
            if is_id_pattern(spec["key"]):
                return str(other["name"])
            if _options(other) == _options(spec):
                raise _refuse(
                    f"Index already exists with a different name: {other['name']}",
                    Code.INDEX_OPTIONS_CONFLICT,
                )
            raise _refuse(
                "An equivalent index already exists with a different name and options. "
                f"Requested index: {text_of(spec)}, existing index: {text_of(other)}",
                Code.INDEX_OPTIONS_CONFLICT,
            )
    if index_kind(spec["key"]) == "text" and any(index_kind(o["key"]) == "text" for o in present):
        raise _refuse("only one text index per collection allowed", Code.INDEX_OPTIONS_CONFLICT)
    if len(present) >= INDEXES_PER_COLLECTION_MAX:
        raise _refuse(
            f"add index fails, too many indexes for the collection, key: {text_of(spec['key'])}"
        )
    return None


def _same_name(other: Document, spec: Document) -> str:
    if _signature(other) != _signature(spec):
        raise _refuse(
            "An existing index has the same name as the requested index. When index names are "
            "not specified, they are auto generated and can cause conflicts. Please refer to our "
            f"documentation. Requested index: {text_of(spec)}, existing index: {text_of(other)}",
            Code.INDEX_KEY_SPECS_CONFLICT,
        )
    if _options(other) != _options(spec):
        raise _refuse(
            "An equivalent index already exists with the same name but different options. "
            f"Requested index: {text_of(spec)}, existing index: {text_of(other)}",
            Code.INDEX_OPTIONS_CONFLICT,
        )
    return str(other["name"])


def _signature(spec: Document) -> bytes:
    """Key of what tells one index from another besides its name."""
    return order.key(
        {
            "key": [{name: value} for name, value in spec["key"].items()],
            "unique": spec.get("unique", False),
            "sparse": spec.get("sparse", False),
            **{name: spec[name] for name in _IDENTIFYING if name in spec},
        }
    )


def _options(spec: Document) -> bytes:
    """Key of the other options that must agree."""
    ignored = (
        "v", "key", "name", "background", "unique", "sparse", "hidden", "prepareUnique",
        *_IDENTIFYING,
    )
    rest = {name: spec[name] for name in sorted(spec) if name not in ignored}
    return order.key(rest)
