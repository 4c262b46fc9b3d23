"""Which other collections a pipeline touches, told from its specification alone."""

from __future__ import annotations

from typing import Any, Final

_FOREIGN: Final = frozenset({"$graphLookup", "$lookup", "$merge", "$out", "$unionWith"})


def foreign_names(pipeline: Any, db: str) -> list[tuple[str, str]]:
    """Return the other collections a pipeline touches, as (database, collection)."""
    found: list[tuple[str, str]] = []
    for stage in pipeline if type(pipeline) is list else ():
        if type(stage) is not dict:
            continue
        for name, spec in stage.items():
            if name in _FOREIGN:
                _names_in(name, spec, db, found)
            elif name == "$facet" and type(spec) is dict:
                for part in spec.values():
                    found += foreign_names(part, db)
    return found


def _names_in(name: str, spec: Any, db: str, found: list[tuple[str, str]]) -> None:
    target: Any = spec
    if type(spec) is dict:
        key = {"$merge": "into", "$unionWith": "coll", "$out": "coll"}.get(name, "from")
        target = spec if name == "$out" else spec.get(key)
        found += foreign_names(spec.get("pipeline"), db)
    if type(target) is dict:
        coll = target.get("coll")
        if type(coll) is str:
            found.append((str(target.get("db", db)), coll))
    elif type(target) is str:
        found.append((db, target))
