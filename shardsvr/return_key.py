"""The `returnKey` option: of each document only the index key by which it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from psdb_base import paths
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_store.index import Index
from shardsvr.planning import Plan
from shardsvr.planning.nodes import IdLookup, Node


def key_reader(plan: Plan) -> Callable[[Document], Document]:
    """Return what makes a document its index key under a plan, {} where no index is used.

    Raises:
        MongoError: 238 for keys that the document alone does not tell.

    """
    used = list(_nodes(plan.winner))
    if any(isinstance(node, IdLookup) for node in used):
        return lambda document: {"_id": document["_id"]}
    indexes: list[Any] = [node.index for node in used if hasattr(node, "index")]
    if not indexes:
        return lambda document: {}  # noqa: ARG005
    index: Index = indexes[0]
    if len(indexes) > 1 or index.kind != "btree" or index.multikey or index.collation is not None:
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "The find option 'returnKey' is not supported by PSDB over several indexes or over "
            "multikey, collated or special ones",
        )
    fields = [(name, paths.split(name)) for name in index.key_pattern]

    def read(document: Document) -> Document:
        values = ((name, paths.get(document, parts)) for name, parts in fields)
        return {name: None if value is MISSING else value for name, value in values}

    return read


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
