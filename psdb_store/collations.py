"""From a collation document to the order of strings that indexes use."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.order import Collation
from psdb_base.values import Document


def compile_collation(spec: Document | None) -> Collation | None:
    """Return the order a collation document asks for; None is the binary one.

    Raises MongoError 238 for every locale but "simple".
    """
    if not spec or spec.get("locale") == "simple":
        return None
    raise MongoError(
        Code.NOT_IMPLEMENTED, f"collation with locale '{spec.get('locale')}' is not implemented"
    )
