"""Sort keys by ICU, the library that MongoDB's collations are made with.

MongoDB 8.0 has ICU 57; the wheel has a newer one, whose root order and tailorings differ in
characters that came since and in few places besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import icu

if TYPE_CHECKING:
    from psdb_query.collation import Collation

_VALUE: Final[Any] = icu.UCollAttributeValue
_STRENGTHS: Final = (
    _VALUE.PRIMARY,
    _VALUE.SECONDARY,
    _VALUE.TERTIARY,
    _VALUE.QUATERNARY,
    _VALUE.IDENTICAL,
)
_CASE_FIRST: Final = {
    "lower": _VALUE.LOWER_FIRST,
    "off": _VALUE.OFF,
    "upper": _VALUE.UPPER_FIRST,
}
_ALTERNATE: Final = {"non-ignorable": _VALUE.NON_IGNORABLE, "shifted": _VALUE.SHIFTED}


def sort_keys(collation: Collation) -> Callable[[str], bytes]:
    """Return the function that makes the sort keys of a collation."""
    make = _collator(collation).getSortKey

    def sort_key(text: str) -> bytes:
        key: bytes = make(text)
        return key[:-1]  # it ends with a NUL and has no other

    return sort_key


def _collator(collation: Collation) -> Any:
    # The binding has no call for the last group of variable characters; the locale's name has
    # a keyword for it.
    joint = ";" if "@" in collation.locale else "@"
    locale = icu.Locale(f"{collation.locale}{joint}kv={collation.max_variable}")
    collator = icu.Collator.createInstance(locale)
    attribute: Any = icu.UCollAttribute
    for name, value in (
        (attribute.CASE_LEVEL, _switch(on=collation.case_level)),
        (attribute.CASE_FIRST, _CASE_FIRST[collation.case_first]),
        (attribute.STRENGTH, _STRENGTHS[collation.strength - 1]),
        (attribute.NUMERIC_COLLATION, _switch(on=collation.numeric_ordering)),
        (attribute.ALTERNATE_HANDLING, _ALTERNATE[collation.alternate]),
        (attribute.NORMALIZATION_MODE, _switch(on=collation.normalization)),
        (attribute.FRENCH_COLLATION, _switch(on=collation.backwards)),
    ):
        collator.setAttribute(name, value)
    return collator


def _switch(*, on: bool) -> Any:
    return _VALUE.ON if on else _VALUE.OFF
