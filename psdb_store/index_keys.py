"""From a document to the index keys it has: bytes that sort as the index does.

A key is the concatenation of one component per field of the key pattern: `order.key` of the
value, turned round for a descending field. A missing field has null's key. An array on the way or
at the end of a path gives one key for each element (multikey); an empty array at the end gives
undefined's key. At most one array may be met, or the fields must meet the same one.

The common case, no array anywhere, is a flat loop; the first array sends the document through
`_Expansion`, which follows MongoDB's documented rules, numeric path components included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.order import Collation, descending, key
from psdb_base.paths import array_index
from psdb_base.shard_hash import hash64
from psdb_base.values import MISSING, UNDEFINED, Document

MultikeyPaths: TypeAlias = tuple[int, ...]
"""Per field of the pattern a bit mask: bit n is set when component n of the path is an array."""

KeyMaker: TypeAlias = Callable[[Document], tuple[list[bytes], MultikeyPaths | None]]
"""Document to its keys (without repetition) and, when an array was met, where."""

NULL_KEY: Final = key(None)
_NO_POSITION: Final = (MISSING, ())
_AMBIGUOUS: Final = 16746
_HASHED_ARRAY: Final = 16766


def component(value: Any, direction: Any, collation: Collation | None) -> bytes:
    """Return the bytes of one field's value in a key of that field's direction.

    Args:
        value: The field's value; `MISSING` counts as null.
        direction: The pattern's value: a number (negative: descending) or `"hashed"`.
        collation: The index's collation.

    """
    if value is MISSING:
        value = None
    if direction == "hashed":
        if collation is not None:
            value = key(value, collation)
        return key(Int64(hash64(value)))
    made = key(value, collation)
    return descending(made) if direction < 0 else made


def sign_of(direction: Any) -> int:
    """Return 1 or -1 for a number of any kind in a key pattern."""
    return -1 if float(str(direction)) < 0 else 1


def is_descending(direction: Any) -> bool:
    """Tell whether a key pattern's value means from high to low."""
    return type(direction) is not str and sign_of(direction) < 0


def make_plain(
    pattern: dict[str, Any], collation: Collation | None, *, sparse: bool
) -> KeyMaker:
    """Make the key function of an ordinary (ascending, descending, hashed) key pattern."""
    names = list(pattern)
    directions = list(pattern.values())
    if len(names) == 1 and "." not in names[0] and directions[0] != "hashed":
        return _single(names[0], directions[0], collation, sparse)
    paths = [tuple(name.split(".")) for name in names]
    fields = list(zip(paths, directions, strict=True))
    expansion = _Expansion(names, paths, directions, collation, sparse=sparse)

    def keys(doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        pieces = []
        found = False
        for parts, direction in fields:
            value: Any = doc
            for part in parts:
                if type(value) is dict:
                    value = value.get(part, MISSING)
                elif type(value) is list:
                    return expansion.run(doc)
                else:
                    value = MISSING
                    break
            if type(value) is list:
                return expansion.run(doc)
            if value is MISSING:
                pieces.append(component(None, direction, collation))
            else:
                found = True
                pieces.append(component(value, direction, collation))
        if sparse and not found:
            return [], None
        return [b"".join(pieces)], None

    return keys


def _single(
    name: str, direction: Any, collation: Collation | None, sparse: bool
) -> KeyMaker:
    """Make the key function of one top-level field, by far the most frequent kind."""
    down = direction < 0

    def keys(doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        value = doc.get(name, MISSING)
        if type(value) is list:
            elements = value or [UNDEFINED]
            made = [key(element, collation) for element in elements]
            if down:
                made = [descending(one) for one in made]
            return list(dict.fromkeys(made)), (1,)
        if value is MISSING:
            if sparse:
                return [], None
            value = None
        one = key(value, collation)
        return [descending(one) if down else one], None

    return keys


class _Expansion:
    """Key generation of one pattern where arrays are met."""

    def __init__(
        self,
        names: list[str],
        paths: list[tuple[str, ...]],
        directions: list[Any],
        collation: Collation | None,
        *,
        sparse: bool,
    ) -> None:
        self._names = names
        self._paths = paths
        self._directions = directions
        self._collation = collation
        self._sparse = sparse

    def run(self, doc: Document) -> tuple[list[bytes], MultikeyPaths]:
        """Return the keys, each once, and the multikey paths."""
        count = len(self._paths)
        masks = [0] * count
        keys: dict[bytes, None] = {}
        nowhere: list[tuple[Any, tuple[str, ...]]] = [_NO_POSITION] * count
        fixed, found = [MISSING] * count, [False] * count
        self._expand(doc, list(self._paths), fixed, found, nowhere, masks, keys)
        return list(keys), tuple(masks)

    def _expand(
        self,
        obj: Any,
        rest: list[tuple[str, ...]],
        fixed: list[Any],
        found: list[bool],
        positions: list[tuple[Any, tuple[str, ...]]],
        masks: list[int],
        keys: dict[bytes, None],
    ) -> None:
        """Extract what `rest` still asks of `obj`, then fan out over the array met, if any.

        Args:
            obj: A document, or anything else where nothing can be extracted.
            rest: Per field the path left, () when its value is fixed.
            fixed: Per field the value extracted.
            found: Per field whether there was a value.
            positions: Per field the value that an array position on the way named, and the
                path left after it.
            masks: Multikey paths, filled in.
            keys: The keys, filled in.

        """
        rest, fixed, found = list(rest), list(fixed), list(found)
        array: list[Any] | None = None
        fields: list[int] = []
        for at, parts in enumerate(rest):
            if not parts:
                continue
            value, left, by_position = self._next(obj, parts, positions[at], at)
            rest[at] = left
            if value is MISSING:
                continue
            if type(value) is not list:
                fixed[at], found[at] = value, True
                continue
            if by_position and not left:
                fixed[at], found[at] = value, True  # one value: an array within an array
                continue
            if array is not None and value is not array:
                first, second = self._array_name(fields[0], rest), self._array_name(at, rest)
                raise MongoError(
                    Code.CANNOT_INDEX_PARALLEL_ARRAYS,
                    f"cannot index parallel arrays [{second}] [{first}]",
                )
            if self._directions[at] == "hashed":
                raise MongoError(
                    _HASHED_ARRAY,
                    "hashed indexes do not currently support array values. Found array at path: "
                    f"{self._names[at]}",
                )
            array = value
            found[at] = True
            fields.append(at)
            masks[at] |= 1 << (len(self._paths[at]) - len(left) - 1)
        if array is None:
            self._emit(fixed, found, keys)
        else:
            self._fan_out(array, fields, rest, fixed, found, masks, keys)

    def _array_name(self, at: int, rest: list[tuple[str, ...]]) -> str:
        """Return the last name of the path that led to an array."""
        return self._paths[at][len(self._paths[at]) - len(rest[at]) - 1]

    def _fan_out(
        self,
        array: list[Any],
        fields: list[int],
        rest: list[tuple[str, ...]],
        fixed: list[Any],
        found: list[bool],
        masks: list[int],
        keys: dict[bytes, None],
    ) -> None:
        if not array:
            for at in fields:
                if not rest[at]:
                    fixed[at] = UNDEFINED
                else:
                    found[at] = False
            self._expand(None, rest, fixed, found, [_NO_POSITION] * len(rest), masks, keys)
            return
        positions = [
            self._position(array, parts) if at in fields else _NO_POSITION
            for at, parts in enumerate(rest)
        ]
        for element in array:
            branch, there = list(fixed), list(found)
            for at in fields:
                if rest[at]:
                    there[at] = False
                else:
                    branch[at] = element
            self._expand(element, rest, branch, there, positions, masks, keys)

    def _position(self, array: list[Any], parts: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        """Resolve a numeric first component against the array itself."""
        position = array_index(parts[0]) if parts else None
        if position is None or position >= len(array):
            return _NO_POSITION
        return array[position], parts[1:]

    def _next(
        self, obj: Any, parts: tuple[str, ...], position: tuple[Any, tuple[str, ...]], at: int
    ) -> tuple[Any, tuple[str, ...], bool]:
        """Return value, path left, and whether an array position named the value."""
        has_field = type(obj) is dict and parts[0] in obj
        value, left = position
        if value is not MISSING:
            if has_field:
                raise MongoError(
                    _AMBIGUOUS,
                    "Ambiguous field name found in array (do not use numeric field names in "
                    f"embedded elements in an array), field: '{parts[0]}' for array: "
                    f"{self._names[at]}",
                )
            by_position = True
        elif has_field:
            value, left, by_position = obj, parts, False
        else:
            return MISSING, (), False
        while left:
            if type(value) is list:
                return value, left, False
            if type(value) is not dict:
                return MISSING, (), False
            value = value.get(left[0], MISSING)
            left = left[1:]
            by_position = False
        return value, (), by_position

    def _emit(self, fixed: list[Any], found: list[bool], keys: dict[bytes, None]) -> None:
        if self._sparse and not any(found):
            return
        pieces = [
            component(value, direction, self._collation)
            for value, direction in zip(fixed, self._directions, strict=True)
        ]
        keys[b"".join(pieces)] = None
