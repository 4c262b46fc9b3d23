"""From a collation document to the order of strings that indexes use."""

from __future__ import annotations

from psdb_base.order import Collation
from psdb_base.values import Document


def compile_collation(spec: Document | None) -> Collation | None:
    """Return the order a collation document asks for; None is the binary one.

    Raises MongoError as MongoDB for an unknown locale or option.
    """
    if not spec or spec.get("locale") == "simple":
        return None
    from psdb_query.collation import Collation as Compiled

    return Compiled.parse(spec)


def full_collation(spec: Document) -> Document | None:
    """Return a collation document with its defaults filled in, None for the simple one."""
    if not spec or spec.get("locale") == "simple":
        return None
    from psdb_query.collation import Collation as Compiled

    compiled = Compiled.parse(spec)
    return None if compiled is None else compiled.document()
