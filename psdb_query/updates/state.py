"""What one application of an update knows, and how its error messages name things."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.values import MISSING, Document
from psdb_query.context import Env
from psdb_query.describe import text_of


class Removed:
    """The type of `REMOVED`."""


REMOVED: Final = Removed()
"""What a modifier returns instead of a new value when the field has to go."""


class State:
    """One application of one update to one document.

    Args:
        original: The document as it was before the update; never changed.
        env: Runtime variables (`NOW`, `CLUSTER_TIME`, `let`).
        position: The array index that `$` stands for, as the filter found it.
        is_insert: The document is being made by an upsert.

    """

    __slots__ = ("env", "is_insert", "original", "position")

    def __init__(self, original: Document, env: Env, position: str | None, is_insert: bool) -> None:
        self.original = original
        self.env = env
        self.position = position
        self.is_insert = is_insert

    @property
    def id_text(self) -> str:
        """Name the document: `_id: 1`, or `no id`."""
        value = self.original.get("_id", MISSING)
        return "no id" if value is MISSING else element_text("_id", value)


def element_text(name: str, value: Any) -> str:
    """Render a field with its value: `a: { b: 1 }`."""
    return f"{name}: {text_of(value)}"


def dotted(path: tuple[str, ...]) -> str:
    """Join the parts of a path."""
    return ".".join(path)
