"""Equality joins: which foreign documents a match of `{path: value}` would find, by hashing.

Keys are those of `psdb_query.accumulators.keys`; null and a missing field share None, because a
match of null finds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psdb_base import paths
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.keys import key_of
from psdb_query.context import Collation
from psdb_query.stages.ports import Batch


def local_values(doc: Document, parts: tuple[str, ...]) -> list[Any]:
    """Return the values a document is joined by.

    Of arrays at the end of the path the elements count; if there is no value at all, null.
    """
    found: list[Any] = []
    for value in paths.values_along(doc, parts, expand_leaf=False):
        if type(value) is list:
            found += value
        elif value is not MISSING:
            found.append(value)
    return found or [None]


def foreign_keys(
    doc: Document, parts: tuple[str, ...], collation: Collation | None
) -> Iterable[Any]:
    """Return the keys of all values that a match of the path looks at, each once."""
    if len(parts) == 1:
        value = doc.get(parts[0], MISSING)
        if type(value) is not list:
            return (None if value is MISSING else key_of(value, collation),)
    found: dict[Any, None] = {}
    for value in paths.values_along(doc, parts):
        found[None if value is MISSING else key_of(value, collation)] = None
    return found


class _Found(dict[Any, Batch]):
    """What was searched for in a table before; the rest is searched for on demand."""

    __slots__ = ("_table",)

    def __init__(self, table: HashTable) -> None:
        self._table = table

    def __missing__(self, key: Any) -> Batch:
        found = self[key] = self._table.search(key)
        return found


class HashTable:
    """Documents by join key, in the order in which they were added."""

    __slots__ = ("_collation", "_found", "_parts", "_positions", "documents")

    def __init__(self, path: str, collation: Collation | None) -> None:
        self._parts = paths.split(path)
        self._collation = collation
        self._positions: dict[Any, list[int]] = {}
        self._found = _Found(self)
        self.documents: Batch = []

    def add(self, batch: Batch) -> None:
        """Add documents."""
        positions = self._positions
        self._found.clear()
        for at, doc in enumerate(batch, len(self.documents)):
            for key in foreign_keys(doc, self._parts, self._collation):
                found = positions.get(key)
                if found is None:
                    positions[key] = [at]
                else:
                    found.append(at)
        self.documents += batch

    def find_one(self, key: Any) -> Batch:
        """Return the documents with a key: always the same list, not to be changed."""
        return self._found[key]

    def find_each(self, keys: list[Any]) -> list[Batch]:
        """Return what `find_one` gives for each key."""
        return list(map(self._found.__getitem__, keys))

    def search(self, key: Any) -> Batch:
        """Return the documents with a key in a new list."""
        documents = self.documents
        return [documents[at] for at in self._positions.get(key, ())]

    def find(self, keys: list[Any]) -> Batch:
        """Return the documents with one of the keys, each once, in order."""
        if len(keys) == 1:
            return self.find_one(keys[0])
        documents = self.documents
        chosen: dict[int, None] = {}
        for key in keys:
            chosen.update(dict.fromkeys(self._positions.get(key, ())))
        return [documents[at] for at in sorted(chosen)]
