"""The update modifiers, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from psdb_query.updates import arrays, fields
from psdb_query.updates.build import Build
from psdb_query.updates.nodes import Leaf


@dataclass(frozen=True, slots=True)
class Modifier:
    """A row of the table.

    Args:
        make: `(field name, operand, build) -> leaf`; raises MongoDB's parse errors.
        inserts_only: It acts only when an upsert makes the document.
        renames: The operand is a second path.

    """

    make: Callable[[str, Any, Build], Leaf]
    inserts_only: bool = False
    renames: bool = False


MODIFIERS: Final[dict[str, Modifier]] = {
    "$addToSet": Modifier(arrays.make_add_to_set),
    "$bit": Modifier(fields.make_bit),
    "$currentDate": Modifier(fields.make_current_date),
    "$inc": Modifier(fields.make_inc),
    "$max": Modifier(fields.make_max),
    "$min": Modifier(fields.make_min),
    "$mul": Modifier(fields.make_mul),
    "$pop": Modifier(arrays.make_pop),
    "$pull": Modifier(arrays.make_pull),
    "$pullAll": Modifier(arrays.make_pull_all),
    "$push": Modifier(arrays.make_push),
    "$rename": Modifier(fields.make_rename, renames=True),
    "$set": Modifier(fields.make_set),
    "$setOnInsert": Modifier(fields.make_set_on_insert, inserts_only=True),
    "$unset": Modifier(fields.make_unset),
}
