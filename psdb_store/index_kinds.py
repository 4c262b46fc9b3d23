"""The kinds of index: which key function each has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from psdb_base.order import Collation
from psdb_base.values import Document
from psdb_store.collations import compile_collation
from psdb_store.collection import Collection
from psdb_store.index import IdIndex, Index
from psdb_store.index_keys import KeyMaker, make_plain, sign_of
from psdb_store.index_spec import index_kind, is_id_pattern
from psdb_store.index_wildcard import make_wildcard


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of index.

    Attributes:
        make: Makes the key function from a normalized specification.
        ordered: A range of its entries is a range of values, so bounds and sorts may use it.

    """

    make: Callable[[Document, Collation | None], KeyMaker]
    ordered: bool


def _plain(spec: Document, collation: Collation | None) -> KeyMaker:
    pattern = {
        name: value if type(value) is str else sign_of(value)
        for name, value in spec["key"].items()
    }
    return make_plain(pattern, collation, sparse=bool(spec.get("sparse", False)))


def _lazy(module: str, name: str) -> Callable[[Document, Collation | None], KeyMaker]:
    """Return a maker whose module is imported when it is first needed."""

    def make(spec: Document, collation: Collation | None) -> KeyMaker:
        maker = getattr(import_module(f"psdb_store.{module}"), name)
        made: KeyMaker = maker(spec, collation)
        return made

    return make


KINDS: Final[dict[str, Kind]] = {
    "2d": Kind(_lazy("index_geo", "make_flat"), ordered=False),
    "2dsphere": Kind(_lazy("index_geo", "make_sphere"), ordered=False),
    "btree": Kind(_plain, ordered=True),
    "hashed": Kind(_plain, ordered=False),
    "text": Kind(_lazy("index_text", "make_text"), ordered=False),
    "wildcard": Kind(make_wildcard, ordered=True),
}


def make_index(c: Collection, spec: Document, since_ms: int) -> Index:
    """Make an empty index of a collection from a normalized specification.

    Raises MongoError 238 for a collation that is not implemented, 67 for a partial filter that is
    not allowed.
    """
    name = index_kind(spec["key"])
    make = KINDS[name].make
    collation = compile_collation(spec.get("collation"))
    if is_id_pattern(spec["key"]):
        return IdIndex(spec, make(spec, collation), c.ids, collation=collation, since_ms=since_ms)
    partial = None
    if "partialFilterExpression" in spec:
        partial = _partial(spec["partialFilterExpression"], collation)
    return Index(
        spec, name, make(spec, collation), partial=partial, collation=collation, since_ms=since_ms
    )


def _partial(spec: Document, collation: Collation | None) -> Any:
    from psdb_query.context import CompileContext
    from psdb_query.filters import compile_filter
    from psdb_store.partial import check_partial

    compiled = compile_filter(spec, CompileContext(collation=collation))
    check_partial(compiled.tree)
    return compiled
