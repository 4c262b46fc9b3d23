"""`$unwind`: one document for each element of an array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bson.int64 import Int64

from psdb_base.errors import MongoError
from psdb_base.values import MISSING, UNDEFINED, Document
from psdb_query.context import Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import split_path
from psdb_query.sorting import column_of
from psdb_query.stages.model import Modified, Stage, StageContext, Transform
from psdb_query.stages.ports import Batch


class UnwindStage(Transform):
    """Documents with the array at `path` replaced by each of its elements in turn.

    Args:
        path: Dotted path without `$`.
        preserve: Keep documents where there is null, nothing, or an empty array.
        index: Path that gets the element's position, or None.
        needed: The only top-level fields that the stages behind look at; None for all.

    """

    name = "$unwind"

    def __init__(
        self,
        path: str,
        *,
        preserve: bool = False,
        index: str | None = None,
        needed: tuple[str, ...] | None = None,
    ) -> None:
        self.path = path
        self.needed = needed
        self.parts = split_path(path)
        self.preserve = preserve
        self.index = index
        self._index_parts = None if index is None else split_path(index)
        self.reads = frozenset((path,))

    def transform(self, batch: Batch, env: Env) -> Batch:  # noqa: ARG002
        """Unwind each document."""
        if len(self.parts) == 1 and self.index is None:
            if self.needed is not None:
                return self._transform_needed(batch, self.needed)
            return self._transform_plain(batch)
        return [made for doc in batch for made in self._unwind(doc)]

    def _transform_plain(self, batch: Batch) -> Batch:
        """Unwind a top-level field: the element takes the array's place."""
        name = self.path
        result: Batch = []
        for doc in batch:
            value = doc.get(name, MISSING)
            if type(value) is list:
                if value:
                    result += [{**doc, name: element} for element in value]
                elif self.preserve:
                    result.append({key: kept for key, kept in doc.items() if key != name})
            elif value is None or value is MISSING or value is UNDEFINED:
                if self.preserve:
                    result.append(doc)
            else:
                result.append(doc)
        return result

    def with_needed(self, needed: tuple[str, ...]) -> UnwindStage:
        """Return the stage that leaves out what nobody looks at."""
        return UnwindStage(self.path, preserve=self.preserve, index=self.index, needed=needed)

    def _transform_needed(self, batch: Batch, needed: tuple[str, ...]) -> Batch:
        """Unwind a top-level field into documents of the needed fields only."""
        name = self.path
        others = [field for field in needed if field != name]
        if not others:
            arrays = column_of(batch, name)
            if set(map(type, arrays)) == {list} and all(arrays):
                return [{name: element} for array in arrays for element in array]
        result: Batch = []
        for doc in batch:
            value = doc.get(name, MISSING)
            if type(value) is list and value:
                if others:
                    rest = {field: doc[field] for field in others if field in doc}
                    result += [{**rest, name: element} for element in value]
                else:
                    result += [{name: element} for element in value]
            else:
                result += self._transform_plain([doc])
        return result

    def _unwind(self, doc: Document) -> Iterator[Document]:
        value = self._value(doc)
        if type(value) is list:
            for at, element in enumerate(value):
                yield self.with_index(replace_at(doc, self.parts, element), at)
            if not value and self.preserve:
                yield self.with_index(remove_at(doc, self.parts), None)
        elif value is None or value is MISSING or value is UNDEFINED:
            if self.preserve:
                yield self.with_index(doc, None)
        else:
            yield self.with_index(doc, None)

    def _value(self, doc: Any) -> Any:
        value = doc
        for name in self.parts:
            if type(value) is not dict:
                return MISSING
            value = value.get(name, MISSING)
        return value

    def with_index(self, doc: Document, at: int | None) -> Document:
        """Return the document with the position, if the stage wants it."""
        parts = self._index_parts
        if parts is None:
            return doc
        return set_at(doc, parts, None if at is None else Int64(at))

    def modified(self) -> Modified:
        """Change the path and the index."""
        index = None if self.index is None else self.index.partition(".")[0]
        return Modified(paths=frozenset({self.path} if index is None else {self.path, index}))

    def serialize(self) -> Document:
        """Return the stage."""
        spec: Document = {"path": f"${self.path}"}
        if self.preserve:
            spec["preserveNullAndEmptyArrays"] = True
        if self.index is not None:
            spec["includeArrayIndex"] = self.index
        return {"$unwind": spec}


def replace_at(doc: Document, parts: tuple[str, ...], value: Any) -> Document:
    """Return a copy with the value at a path whose documents are all there."""
    if len(parts) == 1:
        return {**doc, parts[0]: value}
    return {**doc, parts[0]: replace_at(doc[parts[0]], parts[1:], value)}


def remove_at(doc: Document, parts: tuple[str, ...]) -> Document:
    """Return a copy without the field at a path whose documents are all there."""
    copy = dict(doc)
    if len(parts) == 1:
        del copy[parts[0]]
    else:
        copy[parts[0]] = remove_at(copy[parts[0]], parts[1:])
    return copy


def set_at(doc: Any, parts: tuple[str, ...], value: Any) -> Document:
    """Return a copy with the value at a path; what is no document on the way becomes one."""
    copy = dict(doc) if type(doc) is dict else {}
    if len(parts) == 1:
        copy[parts[0]] = value
    else:
        copy[parts[0]] = set_at(copy.get(parts[0]), parts[1:], value)
    return copy


def _parse_unwind(spec: Any, _context: StageContext) -> list[Stage]:
    if type(spec) is dict:
        return [_parse_object(spec)]
    if type(spec) is not str:
        raise MongoError(
            15981,
            "expected either a string or an object as specification for $unwind stage, got "
            f"{type_name(spec)}",
        )
    return [UnwindStage(_unprefixed(spec))]


def _parse_object(spec: Document) -> UnwindStage:
    path: str | None = None
    preserve = False
    index: str | None = None
    for name, value in spec.items():
        if name == "path":
            if type(value) is not str:
                raise MongoError(
                    28808,
                    f"expected a string as the path for $unwind stage, got {type_name(value)}",
                )
            path = value
        elif name == "preserveNullAndEmptyArrays":
            if type(value) is not bool:
                raise MongoError(
                    28809,
                    "expected a boolean for the preserveNullAndEmptyArrays option to $unwind "
                    f"stage, got {type_name(value)}",
                )
            preserve = value
        elif name == "includeArrayIndex":
            index = _check_index(value)
        else:
            raise MongoError(28811, f"unrecognized option to $unwind stage: {name}")
    if not path:
        raise MongoError(28812, "no path specified to $unwind stage")
    return UnwindStage(_unprefixed(path), preserve=preserve, index=index)


def _check_index(value: Any) -> str:
    if type(value) is not str or not value:
        raise MongoError(
            28810,
            "expected a non-empty string for the includeArrayIndex  option to $unwind stage, got "
            f"{type_name(value)}",
        )
    if value.startswith("$"):
        raise MongoError(
            28822,
            f"includeArrayIndex option to $unwind stage should not be prefixed with a '$': {value}",
        )
    return value


def _unprefixed(path: str) -> str:
    if not path:
        raise MongoError(28812, "no path specified to $unwind stage")
    if not path.startswith("$"):
        raise MongoError(
            28818, f"path option to $unwind stage should be prefixed with a '$': {path}"
        )
    return path[1:]


PARSERS: Final = {"$unwind": _parse_unwind}
