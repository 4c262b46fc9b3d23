"""Names of databases and collections: what is legal ("MongoDB Limits and Thresholds")."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.limits import DATABASE_NAME_BYTES_MAX, NAMESPACE_BYTES_MAX
from psdb_server.fields import type_name

_KNOWN_GOOD: Final[dict[str, None]] = {}
"""Database names that were found legal; every command names one."""
_KNOWN_GOOD_MAX: Final = 1024
_BAD_IN_DATABASE: Final = frozenset('/\\. "$\x00')
OUT_PREFIX: Final = "tmp.agg_out."
"""Begins the names of collections that `$out` fills before they take their target's place."""


def check_database_name(name: str) -> None:
    """Raise 73 InvalidNamespace for a name that no database may have."""
    if name in _KNOWN_GOOD or name == "$external":
        return
    if not name or len(name.encode()) > DATABASE_NAME_BYTES_MAX or _BAD_IN_DATABASE & set(name):
        raise MongoError(
            Code.INVALID_NAMESPACE, f"Invalid database name: '{name[:100]}'"
        )
    if len(_KNOWN_GOOD) < _KNOWN_GOOD_MAX:
        _KNOWN_GOOD[name] = None


def check_collection_name(db: str, name: Any) -> str:
    """Return a legal collection name of a command's first field, or raise 73.

    Args:
        db: The database's name, for the message and the length of the namespace.
        name: Value of the first field.

    """
    if type(name) is not str:
        raise MongoError(
            Code.INVALID_NAMESPACE,
            f"collection name has invalid type {type_name(name)}",
        )
    if not name:
        raise MongoError(Code.INVALID_NAMESPACE, f"Invalid namespace specified '{db}.'")
    if "\x00" in name:
        raise MongoError(
            Code.INVALID_NAMESPACE, "namespaces cannot have embedded null characters"
        )
    return name


def check_new_collection_name(db: str, name: str) -> None:
    """Raise 73 for a name that no new collection may have."""
    if not name:
        raise MongoError(Code.INVALID_NAMESPACE, "Invalid collection name: empty")
    if name.startswith("."):
        raise MongoError(
            Code.INVALID_NAMESPACE, f"Collection names cannot start with '.': {name}"
        )
    if name.endswith("."):
        raise MongoError(
            Code.INVALID_NAMESPACE, f"Collection names cannot end with '.': {name}"
        )
    if "$" in name or "\x00" in name:
        raise MongoError(Code.INVALID_NAMESPACE, f"Invalid collection name: {name}")
    if name.startswith("system.") and name not in ("system.js", "system.profile", "system.users"):
        raise MongoError(
            Code.INVALID_NAMESPACE, f"cannot write to '{db}.{name}'"
        )
    size = len(f"{db}.{name}".encode())
    if size > NAMESPACE_BYTES_MAX:
        raise MongoError(
            Code.INVALID_NAMESPACE,
            f"Fully qualified namespace is too long. Namespace: {db}.{name[:200]} "
            f"Max: {NAMESPACE_BYTES_MAX}",
        )


def split_namespace(ns: str) -> tuple[str, str]:
    """Split `db.collection` at the first dot; 73 when there is none."""
    db, dot, name = ns.partition(".")
    if not dot or not db or not name:
        raise MongoError(Code.INVALID_NAMESPACE, f"Invalid namespace specified '{ns}'")
    check_database_name(db)
    return db, name
