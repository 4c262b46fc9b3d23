"""Wildcard indexes: an entry for every path that a document has.

The wildcard's part of a key is the key of the path (a string, without array positions), then the
key of the value there. An object that is empty, an array within an array and every scalar are
values; an empty array is undefined. In a compound index the other fields' components stand
before and behind, and a document without any path under the wildcard has null for both parts.
"""

from __future__ import annotations

from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.order import Collation, descending, key
from psdb_base.values import UNDEFINED, Document
from psdb_store.index_keys import KeyMaker, MultikeyPaths, make_plain, sign_of
from psdb_store.index_spec_wildcard import projected_paths


def make_wildcard(spec: Document, collation: Collation | None) -> KeyMaker:
    """Make the key function of a wildcard index, compound or not."""
    names = list(spec["key"])
    at = next(i for i, name in enumerate(names) if name == "$**" or name.endswith(".$**"))
    root = names[at][: -len(".$**")] if names[at] != "$**" else ""
    down = sign_of(spec["key"][names[at]]) < 0
    shape = _Shape(root, spec.get("wildcardProjection"))
    ahead = _others(spec["key"], names[:at], collation)
    behind = _others(spec["key"], names[at + 1 :], collation)
    compound = len(names) > 1

    def keys(doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        found: dict[bytes, None] = {}
        met = shape.collect(doc, lambda path, value: _note(found, path, value, collation, down))
        if not compound:
            return list(found), ((1,) if met else None)
        if not found:
            found[key(None) + (descending(key(None)) if down else key(None))] = None
        before, before_paths = ahead(doc)
        after, after_paths = behind(doc)
        if (before_paths or after_paths) and met:
            raise MongoError(
                Code.CANNOT_INDEX_PARALLEL_ARRAYS,
                f"cannot index parallel arrays [{names[at]}] in a compound wildcard index",
            )
        masks = (*(before_paths or (0,) * at), int(met))
        masks += after_paths or (0,) * (len(names) - at - 1)
        made = [a + w + b for a in before for w in found for b in after]
        return made, (masks if any(masks) else None)

    return keys


def _others(pattern: Document, names: list[str], collation: Collation | None) -> KeyMaker:
    if not names:
        return lambda _: ([b""], None)
    directions = {name: sign_of(pattern[name]) for name in names}
    return make_plain(directions, collation, sparse=False)


def _note(
    found: dict[bytes, None], path: str, value: Any, collation: Collation | None, down: bool
) -> None:
    made = key(value, collation)
    found[key(path) + (descending(made) if down else made)] = None


class _Shape:
    """Which paths a wildcard covers."""

    def __init__(self, root: str, projection: Document | None) -> None:
        self._root = root
        paths = projected_paths(projection or {})
        self._id = paths.pop("_id", False)
        self._listed = list(paths)
        # `{_id: true}` alone is an inclusion of nothing else.
        self._include = any(paths.values()) or (self._id and not paths)

    def collect(self, doc: Document, note: Any) -> bool:
        """Call `note(path, value)` for every covered leaf; tell whether an array was met."""
        met = False
        stack: list[tuple[str, Any, bool]] = [("", doc, False)]
        while stack:
            path, value, in_array = stack.pop()
            if type(value) is dict and (value or not path):
                for name, inner in value.items():
                    child = f"{path}.{name}" if path else name
                    if self._leads_to(child):
                        stack.append((child, inner, False))
            elif type(value) is list and not in_array:
                met = met or self._covers(path)
                if not value and self._covers(path):
                    note(path, UNDEFINED)
                stack.extend((path, inner, True) for inner in value)
            elif self._covers(path):
                note(path, value)
        return met

    def _leads_to(self, path: str) -> bool:
        """Tell whether the path is covered or some path below it may be."""
        if self._covers(path):
            return True
        below = f"{path}."
        if self._root and self._root.startswith(below):
            return True
        return self._include and any(name.startswith(below) for name in self._listed)

    def _covers(self, path: str) -> bool:
        if self._root:
            return path == self._root or path.startswith(f"{self._root}.")
        if path == "_id" or path.startswith("_id."):
            return self._id
        if not self._listed:
            return not self._include
        listed = any(path == name or path.startswith(f"{name}.") for name in self._listed)
        return listed == self._include
