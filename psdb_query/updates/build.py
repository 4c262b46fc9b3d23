"""What the parser hands to each modifier: the context and the array filters."""

from __future__ import annotations

from dataclasses import dataclass, field

from psdb_query.context import CompileContext
from psdb_query.updates.nodes import ElementTest


@dataclass(slots=True)
class Build:
    """One compilation of an operator-style update.

    Args:
        ctx: The compile context.
        tests: Compiled array filters by identifier.
        used: Identifiers met in paths.

    """

    ctx: CompileContext
    tests: dict[str, ElementTest] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @staticmethod
    def is_dynamic(part: str) -> bool:
        """Tell whether a path part is `$`, `$[]` or `$[identifier]`."""
        return part == "$" or is_array_filter(part)


def is_array_filter(part: str) -> bool:
    """Tell whether a path part is `$[]` or `$[identifier]`."""
    return part.startswith("$[") and part.endswith("]")
