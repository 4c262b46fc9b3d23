"""Which filters a partial index may have."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_query.filters import tree

_LEAVES: Final = (
    tree.Compare, tree.Exists, tree.GeoIntersects, tree.GeoWithin, tree.In, tree.Type,
)  # fmt: skip


def check_partial(node: Any) -> None:
    """Raise 67 unless the filter is made of $and, $or, comparisons, $in, $exists: true, $type."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, (tree.And, tree.Or)):
            pending.extend(current.children)
        elif not isinstance(current, _LEAVES) or (isinstance(current, tree.In) and current.regexes):
            raise MongoError(
                Code.CANNOT_CREATE_INDEX,
                f"unsupported expression in partial index: {type(current).__name__}",
            )
