"""Sort orders: parsing, sort keys, sorting of lists, and keeping the first k.

The key of a document is what a compound index over the same fields would hold for it: a missing
field counts as null, an empty array as undefined (below null), and of an array the element that
comes first in the sort's direction counts. Fields that lead through the same array are taken
from the same element; through two different arrays there is no order (2 BadValue).

`Sorter.key` gives bytes that compare as the documents do, whatever their types; `Sorter.sort`
gives the same order faster, column by column, on plain Python values where a whole column
holds one kind of plain values. All sorting is stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.limits import INDEX_FIELDS_MAX
from psdb_base.values import MISSING, UNDEFINED, Document
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.describe import text_of
from psdb_query.expressions.core import compile_expression, split_path

__all__ = ["SortPart", "Sorter", "compile_sort", "key_values"]

META_SORTS: Final = (
    "geoNearDistance",
    "geoNearPoint",
    "indexKey",
    "randVal",
    "recordId",
    "searchHighlights",
    "searchScore",
    "textScore",
    "vectorSearchScore",
)
"""The metadata a `{$meta: …}` sort may name; all sort from the highest down."""

_INT64_MAX: Final = 0x7FFFFFFFFFFFFFFF
_NO_ENV: Final[Env] = {}


@dataclass(frozen=True, slots=True)
class SortPart:
    """One key of a sort.

    Args:
        path: The dotted path; empty if the key is computed.
        parts: Its components.
        ascending: Least values first.
        meta: Name of a computed key: of the `$meta` value, or what its maker calls it.
        evaluate: Computes it.
        reads: Paths that it reads then.

    """

    path: str
    parts: tuple[str, ...]
    ascending: bool
    meta: str | None = None
    evaluate: Callable[[Any, Env], Any] | None = None
    reads: frozenset[str] = frozenset()

    @property
    def direction(self) -> int:
        """1 or -1."""
        return 1 if self.ascending else -1


def compile_sort(spec: Any, ctx: CompileContext) -> Sorter:
    """Compile a sort specification such as `{"a.b": 1, "c": -1, "s": {"$meta": "textScore"}}`.

    An empty one gives a sorter that keeps the order. Raises MongoError: 15973 (not an object),
    15974 (a key that is neither number nor `$meta`), 15975 (neither 1 nor -1), 17312 and 9
    (malformed `$meta`), 31138 (unknown `$meta`), 13103 (over 32 keys), those of field paths.
    """
    if type(spec) is not dict:
        raise MongoError(15973, "the $sort key specification must be an object")
    if len(spec) > INDEX_FIELDS_MAX:
        raise MongoError(13103, "too many compound keys")
    parts = tuple(_compile_part(name, value, ctx) for name, value in spec.items())
    return Sorter(spec, parts, ctx.collation)


def _compile_part(name: str, value: Any, ctx: CompileContext) -> SortPart:
    if type(value) is dict:
        return _compile_meta(value, ctx)
    direction = _direction(value)
    if direction is None:
        raise MongoError(15974, f"Illegal key in sort specification: {name}: {text_of(value)}")
    if direction not in (1, -1):
        raise MongoError(
            15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)"
        )
    return SortPart(name, split_path(name), direction == 1)


def _direction(value: Any) -> int | None:
    """Truncate any number to an integer; None for what is no number."""
    kind = type(value)
    if kind is int or kind is Int64:
        return int(value)
    if kind is Decimal128:
        value = float(value.to_decimal())
        kind = float
    if kind is not float:
        return None
    return int(value) if abs(value) < _INT64_MAX else 0


def _compile_meta(value: Document, ctx: CompileContext) -> SortPart:
    if next(iter(value), None) != "$meta":
        raise MongoError(17312, "$meta is the only expression supported by $sort right now")
    if len(value) != 1:
        raise MongoError(
            Code.FAILED_TO_PARSE, "Cannot have additional keys in a $meta sort specification"
        )
    kind = value["$meta"]
    if kind not in META_SORTS:
        raise MongoError(31138, f"Illegal $meta sort: $meta: {text_of(kind)}")
    expr = compile_expression(value, ctx)
    return SortPart("", (), ascending=False, meta=kind, evaluate=expr.evaluate)


class Sorter:
    """A compiled sort order.

    Args:
        spec: The specification as it was given.
        parts: Its keys in order.
        single: The name of the top-level field that is the only key, or None.
        paths: Paths that are keys.
        reads: All paths that keys are made of.
        collation: Order of strings, or None.

    """

    __slots__ = ("collation", "needs_meta", "parts", "paths", "reads", "single", "spec")

    def __init__(
        self, spec: Document, parts: tuple[SortPart, ...], collation: Collation | None
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.collation = collation
        self.paths: frozenset[str] = frozenset(part.path for part in parts if part.meta is None)
        self.reads = self.paths.union(*[part.reads for part in parts])
        self.needs_meta = any(part.meta is not None for part in parts)
        plain = len(parts) == 1 and len(parts[0].parts) == 1
        self.single: str | None = parts[0].path if plain else None

    def key(self, doc: Document, env: Env = _NO_ENV) -> bytes:
        """Return bytes that order documents as this sort does.

        `env` is needed only if `needs_meta`. Raises 2 BadValue for parallel arrays.
        """
        return self.key_of_values(self.values(doc, env))

    def values(self, doc: Document, env: Env = _NO_ENV) -> tuple[Any, ...]:
        """Return the document's value for each key: what its index entry would hold.

        Missing is None. Of several entries (arrays) the one that comes first is taken.
        """
        parts = self.parts
        if self.needs_meta:
            metas = [None if p.evaluate is None else p.evaluate(doc, env) for p in parts]
            plain = [part.parts for part in parts if part.meta is None]
            entries = [self._with_meta(metas, entry) for entry in key_values(doc, plain)]
        else:
            entries = key_values(doc, [part.parts for part in parts])
        return entries[0] if len(entries) == 1 else min(entries, key=self.key_of_values)

    def _with_meta(self, metas: list[Any], entry: tuple[Any, ...]) -> tuple[Any, ...]:
        rest = iter(entry)
        return tuple(
            (None if meta is MISSING else meta) if part.meta is not None else next(rest)
            for part, meta in zip(self.parts, metas, strict=True)
        )

    def key_of_values(self, values: Sequence[Any]) -> bytes:
        """Return the key of a tuple that `values` gave (here or on another member)."""
        collation = self.collation
        if len(values) == 1:
            key = order.key(values[0], collation)
            return key if self.parts[0].ascending else order.descending(key)
        return b"".join(
            order.key(value, collation)
            if part.ascending
            else order.descending(order.key(value, collation))
            for part, value in zip(self.parts, values, strict=True)
        )

    def sort(self, docs: Sequence[Document], env: Env = _NO_ENV) -> list[Document]:
        """Return the documents in order, in a new list; equals keep their order."""
        if not self._sorts_plainly(docs):
            return list(map(docs.__getitem__, self.order(docs, env)))
        result = list(docs)
        for part in reversed(self.parts):
            result.sort(key=itemgetter(part.path), reverse=not part.ascending)
        return result

    def _sorts_plainly(self, docs: Sequence[Document]) -> bool:
        """Tell whether every document has every key, as a value that Python orders rightly."""
        for part in self.parts:
            if len(part.parts) != 1:
                return False
            try:
                values = list(map(itemgetter(part.path), docs))
            except KeyError:
                return False
            if comparable(values, self.collation, plain_only=True) is None:
                return False
        return True

    def order(self, docs: Sequence[Document], env: Env = _NO_ENV) -> list[int]:
        """Return the positions of the documents in sorted order."""
        positions = list(range(len(docs)))
        if not self.parts:
            return positions
        columns = self._plain_columns(docs)
        if columns is None:
            keys = [self.key(doc, env) for doc in docs]
            positions.sort(key=keys.__getitem__)
            return positions
        for part, column in zip(reversed(self.parts), reversed(columns), strict=True):
            positions.sort(key=column.__getitem__, reverse=not part.ascending)
        return positions

    def _plain_columns(self, docs: Sequence[Document]) -> list[list[Any]] | None:
        """Return for each key a list of values that Python orders as MongoDB does, or None."""
        columns = []
        for part in self.parts:
            if len(part.parts) != 1:
                return None
            values = column_of(docs, part.path)
            plain = comparable(values, self.collation)
            if plain is None:
                return None
            columns.append(plain)
        return columns

    def top_k(self, docs: Iterable[Document], count: int, env: Env = _NO_ENV) -> list[Document]:
        """Return the first `count` documents in order."""
        top = TopK(self, count)
        top.add(docs if isinstance(docs, list) else list(docs), env)
        return top.finish(env)


_SPARE: Final = 16
"""So many more than needed are kept at most; each cut brings the bound up to date."""


class TopK:
    """Keeps the first `count` documents of a stream of batches, in bounded space."""

    __slots__ = ("_bound", "_count", "_kept", "_room", "_sorter")

    def __init__(self, sorter: Sorter, count: int) -> None:
        self._sorter = sorter
        self._count = count
        self._room = 2 * count + _SPARE
        self._kept: list[Document] = []
        self._bound: Any = MISSING

    def add(self, docs: list[Document], env: Env = _NO_ENV) -> list[Document]:
        """Take a batch, return what may be kept; earlier documents win over later equal ones."""
        promising = self._promising(docs)
        if promising:
            self._kept += promising
            if len(self._kept) > self._room:
                self._cut(env)
        return promising

    def finish(self, env: Env = _NO_ENV) -> list[Document]:
        """Return the documents kept, in order."""
        return self._sorter.sort(self._kept, env)[: self._count]

    def __len__(self) -> int:
        return len(self._kept)

    def _cut(self, env: Env) -> None:
        self._kept = self.finish(env)
        sorter = self._sorter
        if sorter.single is not None and len(self._kept) == self._count:
            self._bound = _scalar(self._kept[-1].get(sorter.single, MISSING))

    def _promising(self, docs: list[Document]) -> list[Document]:
        """Drop documents that are certainly behind the last one kept."""
        bound = self._bound
        name = self._sorter.single
        if bound is MISSING or name is None:
            return docs
        docs = self._unlike_or_ahead(docs, name, bound)
        if len(docs) < _SPARE:
            return docs
        values = column_of(docs, name)
        kinds = set(map(type, values))
        if type(bound) is str:
            fits = kinds == {str} and self._sorter.collation is None
        else:
            fits = kinds <= _EXACT_NUMBERS
        if not fits:
            return docs
        pairs = zip(values, docs, strict=True)
        if self._sorter.parts[0].ascending:
            if type(bound) is str and min(values) >= bound:
                return []
            return [doc for value, doc in pairs if not value >= bound]
        if max(values) <= bound:
            # A NaN, which sorts last here, is either passed over by `max` or what it returns.
            return []
        return [doc for value, doc in pairs if not value <= bound]


    def _unlike_or_ahead(self, docs: list[Document], name: str, bound: Any) -> list[Document]:
        """Drop documents whose value is of the bound's type and behind it, in one pass.

        A NaN is neither before nor behind anything, so it stays.
        """
        kind = type(bound)
        if kind is str and self._sorter.collation is not None:
            return docs
        try:
            if self._sorter.parts[0].ascending:
                return [
                    doc for doc in docs
                    if (value := doc[name]).__class__ is not kind or not value >= bound
                ]
            return [
                doc for doc in docs
                if (value := doc[name]).__class__ is not kind or not value <= bound
            ]
        except KeyError:
            return docs


_EXACT_NUMBERS: Final = {int, float, Int64}
_NUMBERS_OR_NULL: Final = {int, float, Int64, type(None)}


def _scalar(value: Any) -> Any:
    """Return a value that plain comparison may be made with, else MISSING."""
    if type(value) is str or (type(value) in _EXACT_NUMBERS and value == value):
        return value
    return MISSING


def column_of(docs: Sequence[Document], name: str, absent: Any = MISSING) -> list[Any]:
    """Return the field's value in each document, `absent` where it is not there."""
    try:
        return list(map(itemgetter(name), docs))
    except KeyError:
        return [doc.get(name, absent) for doc in docs]


def comparable(
    values: list[Any], collation: Collation | None, *, plain_only: bool = False
) -> list[Any] | None:
    """Return values that Python orders as MongoDB orders these, or None if arrays forbid it.

    One kind of strings or numbers stays as it is; everything else becomes its order key (or,
    with `plain_only`, None is returned).
    """
    kinds = set(map(type, values))
    if list in kinds:
        return None
    if kinds == {str} and collation is None:
        return values
    if kinds <= _EXACT_NUMBERS and (float not in kinds or not may_hold_nan(values)):
        return values
    if plain_only:
        return None
    if kinds == {DatetimeMS}:
        return list(map(int, values))
    return [order.key(None if value is MISSING else value, collation) for value in values]


def may_hold_nan(values: list[Any]) -> bool:
    """Tell whether a NaN may be among numbers; one in the sum betrays it."""
    total = sum(values)
    return bool(total != total)


# Index entries.


def key_values(doc: Document, paths: Sequence[tuple[str, ...]]) -> list[tuple[Any, ...]]:
    """Return the entries a compound index over `paths` would hold for the document.

    Each is a tuple with a value a path; a missing one is None, of an empty array UNDEFINED.
    Raises 2 BadValue when the paths lead through two different arrays.
    """
    values = []
    for path in paths:
        value = _plain_value(doc, path)
        if value is _ARRAY:
            return _expand(doc, paths)
        values.append(value)
    return [tuple(values)]


_ARRAY: Final = object()


def _plain_value(doc: Any, path: tuple[str, ...]) -> Any:
    """Follow a path through documents; `_ARRAY` when an array is met."""
    value = doc
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name, MISSING)
        if type(value) is list:
            return _ARRAY
    return None if value is MISSING else value


@dataclass(slots=True)
class _Pending:
    """One path on its way: what it reached so far, the names still ahead, and the whole path."""

    value: Any
    rest: tuple[str, ...]
    path: tuple[str, ...]

    @property
    def done(self) -> tuple[str, ...]:
        """The names that led here."""
        return self.path[: len(self.path) - len(self.rest)]


def _expand(doc: Document, paths: Sequence[tuple[str, ...]]) -> list[tuple[Any, ...]]:
    entries: list[tuple[Any, ...]] = []
    _expand_into(entries, [_Pending(doc, path, path) for path in paths])
    return entries


def _expand_into(entries: list[tuple[Any, ...]], fields: list[_Pending]) -> None:
    array: list[Any] | None = None
    led: tuple[str, ...] = ()
    through: list[int] = []
    for at, pending in enumerate(fields):
        _advance(pending)
        if type(pending.value) is list and not _is_final(pending):
            if array is None:
                array, led = pending.value, pending.done
            elif led != pending.done:
                raise MongoError(Code.BAD_VALUE, "cannot sort with keys that are parallel arrays")
            through.append(at)
    if array is None:
        entries.append(tuple(_entry_value(p.value) for p in fields))
        return
    for element in array or [_EMPTY]:
        branch = [_Pending(p.value, p.rest, p.path) for p in fields]
        for at in through:
            branch[at] = _enter(element, fields[at])
        _expand_into(entries, branch)


_EMPTY: Final = object()
_END: Final = ("",)
"""The rest of a path that has ended inside an array: its value is taken as it stands."""


def _is_final(pending: _Pending) -> bool:
    return pending.rest is _END


def _enter(element: Any, field: _Pending) -> _Pending:
    """Go into one element of an array; nested arrays are values, not ways."""
    if not field.rest:
        return _Pending(UNDEFINED if element is _EMPTY else element, _END, field.path)
    if type(element) is dict:
        return _Pending(element, field.rest, field.path)
    return _Pending(None, _END, field.path)


def _advance(pending: _Pending) -> None:
    """Follow documents, and arrays by position, up to an array that has to be expanded."""
    value, rest = pending.value, pending.rest
    if rest is _END:
        return
    while rest:
        if type(value) is list:
            if not rest[0].isdigit() or not _by_position(value, rest[0]):
                break
            value, rest = value[int(rest[0])], rest[1:]
        elif type(value) is dict:
            value, rest = value.get(rest[0], MISSING), rest[1:]
        else:
            value, rest = None, ()
    pending.value, pending.rest = value, rest


def _by_position(array: list[Any], name: str) -> bool:
    """Tell whether a numeric name means an element rather than a field of the elements."""
    if int(name) >= len(array):
        return False
    return not any(type(element) is dict and name in element for element in array)


def _entry_value(value: Any) -> Any:
    return None if value is MISSING else value
