"""Options of capped collections: collections of a fixed size that overwrite their oldest."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.fields import CHECKS

SIZE_BYTES_MAX: Final = 2**50
COUNT_MAX: Final = 2**31 - 1
_SIZE_STEP_BYTES: Final = 256


def _size(value: Any) -> int:
    """Return a size in bytes, rounded up as MongoDB does; 2 when it is out of range."""
    size: int = CHECKS["int"](value, "create.size")
    if size < 1:
        raise MongoError(Code.BAD_VALUE, "size has to be > 0")
    if size > SIZE_BYTES_MAX:
        raise MongoError(Code.BAD_VALUE, "size cannot exceed 1 PB")
    return -(-size // _SIZE_STEP_BYTES) * _SIZE_STEP_BYTES


def _count(value: Any) -> int:
    """Return a number of documents, 0 for no limit; 2 when it is too large."""
    count: int = CHECKS["int"](value, "create.max")
    if count > COUNT_MAX:
        raise MongoError(
            Code.BAD_VALUE, "max in a capped collection has to be < 2^31 or not set"
        )
    return max(0, count)


def capped_options(args: Document) -> Document:
    """Return the options of `create` that make a collection capped, {} for an ordinary one.

    Raises:
        MongoError: 72 when they do not go together, 2 out of range.

    """
    if not args.get("capped"):
        if "size" in args or "max" in args:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "the 'capped' field needs to be true when either the 'size' or 'max' fields are "
                "present",
            )
        return {}
    if "size" not in args:
        raise MongoError(
            Code.INVALID_OPTIONS, "the 'size' field is required when 'capped' is true"
        )
    options: Document = {"capped": True, "size": _size(args["size"])}
    count = _count(args.get("max", 0))
    return options | ({"max": count} if count else {})


def resized_options(options: Document, args: Document) -> Document | None:
    """Return a collection's options after `collMod` with `cappedSize` or `cappedMax`.

    None when neither is given. What is too much is removed with the next insert.
    """
    if "cappedSize" not in args and "cappedMax" not in args:
        return None
    if not options.get("capped"):
        raise MongoError(Code.INVALID_OPTIONS, "Collection must be capped.")
    changed = dict(options)
    if "cappedSize" in args:
        changed["size"] = _size(args["cappedSize"])
    if "cappedMax" in args:
        count = _count(args["cappedMax"])
        changed.pop("max", None)
        if count:
            changed["max"] = count
    return changed
