"""Turning an operation's camelCase arguments into those of the driver's methods."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from pymongo import (
    DeleteMany,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
)
from pymongo.cursor import Cursor, CursorType
from pymongo.operations import SearchIndexModel
from spec.cases import Json
from spec.entities import Entities, UnsupportedError, concerns

_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake(name: str) -> str:
    """Turn `maxTimeMS` into `max_time_ms`."""
    return _WORD.sub("_", name).lower()


def pairs(spec: Json) -> list[tuple[str, Any]]:
    """Turn a key pattern into the driver's list of pairs."""
    return list(spec.items())


def _hint(value: Any) -> Any:
    return pairs(value) if isinstance(value, dict) else value


def _return_document(value: str) -> bool:
    return {"after": ReturnDocument.AFTER, "before": ReturnDocument.BEFORE}[value.lower()]


def _cursor_type(value: str) -> int:
    return {
        "nonTailable": CursorType.NON_TAILABLE, "tailable": CursorType.TAILABLE,
        "tailableAwait": CursorType.TAILABLE_AWAIT,
    }[value]


_MODELS: Final[dict[str, Callable[..., Any]]] = {
    "deleteMany": DeleteMany,
    "deleteOne": DeleteOne,
    "insertOne": InsertOne,
    "replaceOne": ReplaceOne,
    "updateMany": UpdateMany,
    "updateOne": UpdateOne,
}


def _write_models(specifications: list[Json]) -> list[Any]:
    models = []
    for specification in specifications:
        (kind, spec), = specification.items()
        models.append(call(_MODELS[kind], spec, None))
    return models


def search_index_model(spec: Json) -> SearchIndexModel:
    """Make the driver's model of a search index."""
    return SearchIndexModel(**spec)


def _search_index_models(specifications: list[Json]) -> list[SearchIndexModel]:
    return [search_index_model(spec) for spec in specifications]


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "cursorType": _cursor_type,
    "hint": _hint,
    "model": search_index_model,
    "requests": _write_models,
    "returnDocument": _return_document,
}
_CONCERNS: Final = ("readConcern", "readPreference", "writeConcern")


def parameters_of(method: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """Return a method's parameter names, and whether it takes others for the server."""
    if getattr(method, "__name__", "") in ("find", "find_one"):
        method = Cursor.__init__
    found = inspect.signature(method).parameters.values()
    names = frozenset(
        item.name for item in found if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        or item.kind is inspect.Parameter.KEYWORD_ONLY
    )
    return names, any(item.kind is inspect.Parameter.VAR_KEYWORD for item in found)


def call(
    method: Callable[..., Any], arguments: Json, entities: Entities | None,
    renames: dict[str, str] | None = None,
) -> Any:
    """Call a method of the driver with a test's arguments.

    Args:
        method: The driver's method or model.
        arguments: As the test has them.
        entities: To find the session.
        renames: Arguments that the driver calls otherwise.

    Raises:
        UnsupportedError: The driver's method has no such argument.

    """
    names, open_ended = parameters_of(method)
    converted: dict[str, Any] = {}
    for name, value in arguments.items():
        python_name = (renames or {}).get(name, snake(name))
        if name == "session":
            assert entities is not None
            value = entities.session(value)
        elif name in _CONCERNS:
            value = concerns({name: value})[python_name]
        elif name == "models":
            is_search = value == [] or "definition" in value[0]
            value = _search_index_models(value) if is_search else _write_models(value)
        elif name in _CONVERT:
            value = _CONVERT[name](value)
        if python_name in names:
            converted[python_name] = value
        elif open_ended and name not in _NOT_THE_SERVERS:
            converted[name] = value
        else:
            raise UnsupportedError(f"the driver's method has no argument {name}")
    return method(**converted)


# Methods that hand unknown options to the server would send these, which drivers must not.
_NOT_THE_SERVERS: Final = frozenset({"rawData", "timeoutMS", "timeoutMode"})
