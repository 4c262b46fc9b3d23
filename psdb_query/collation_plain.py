"""Sort keys of our own, where the ICU library is not installed.

The order is an approximation of CLDR's root order, built on the tables of `unicodedata`:
white space, punctuation, symbols, currency signs, digits, then letters by script; letters by
their base (accents at the second level, case at the third). Locales that give a letter a place
of its own (Swedish å after z, Spanish ñ after n) are tailored in `psdb_query.collation_tables`;
what needs a dictionary (Han by stroke or pinyin, Thai reordering) goes by code point.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from psdb_query.collation_tables import (
    ASCII_ORDER,
    CONTRACTIONS,
    EXPANSIONS,
    MARK_ORDER,
    TAILORINGS,
)

if TYPE_CHECKING:
    from psdb_query.collation import Collation


def sort_keys(collation: Collation) -> Callable[[str], bytes]:
    """Return the function that makes the sort keys of a collation."""
    return _Encoder(collation).encode


_LEVEL: Final = b"\x01"
"""Between levels: below every weight, so that a shorter text comes first."""

_SPACE, _PUNCTUATION, _SYMBOL, _CURRENCY, _DIGIT, _LATIN, _GREEK, _CYRILLIC, _OTHER, _HAN = range(
    0x10, 0x1A
)
_COMMON: Final = b"\x02"
_NOT_VARIABLE: Final = b"\xff"
_VARIANT_FORM: Final = b"\x05"
"""Third-level weight of compatibility forms (full-width letters, ligatures)."""


@dataclass(slots=True)
class _Levels:
    """Weights of a text, level by level."""

    primary: list[bytes] = field(default_factory=list)
    secondary: list[bytes] = field(default_factory=list)
    case: list[bytes] = field(default_factory=list)
    tertiary: list[bytes] = field(default_factory=list)
    quaternary: list[bytes] = field(default_factory=list)

    def add(self, primary: bytes, *, upper: bool, variant: bool, upper_first: bool) -> None:
        self.primary.append(primary)
        self.secondary.append(_COMMON)
        case = b"\x03" if upper != upper_first else _COMMON
        self.case.append(case)
        self.tertiary.append(_VARIANT_FORM + case if variant else case)
        self.quaternary.append(_NOT_VARIABLE)


class _Encoder:
    """Sort keys of one collation."""

    def __init__(self, collation: Collation) -> None:
        base, _, variant = collation.locale.partition("@collation=")
        language = base.partition("_")[0]
        self.collation = collation
        name = f"{language}@{variant}" if variant else language
        self.tailored = TAILORINGS.get(base) or TAILORINGS.get(name) or TAILORINGS.get(language, {})
        self.contractions = CONTRACTIONS.get(language, {})
        self.turkish = language in ("az", "tr")
        self.upper_first = collation.case_first == "upper"

    def encode(self, text: str) -> bytes:
        levels = _Levels()
        composed = unicodedata.normalize("NFC", text)
        at = 0
        while at < len(composed):
            at += self._take(composed, at, levels)
        return self._join(levels, text)

    def _take(self, text: str, at: int, levels: _Levels) -> int:
        """Add the weights of what begins at a place; return how many characters it was."""
        letter = text[at]
        pair = text[at : at + 2]
        if pair.lower() in self.contractions:
            base, offset = self.contractions[pair.lower()]
            self._letter(levels, _latin(base, offset), upper=letter.isupper())
            return 2
        folded = self._fold(letter)
        if folded in self.tailored:
            base, offset = self.tailored[folded]
            self._letter(levels, _latin(base, offset), upper=letter != folded)
            return 1
        if self.collation.numeric_ordering and letter.isdecimal():
            end = at + 1
            while end < len(text) and text[end].isdecimal():
                end += 1
            self._letter(levels, _number_weight(text[at:end]), upper=False)
            return end - at
        for part in unicodedata.normalize("NFD", letter):
            self._part(part, levels)
        return 1

    def _fold(self, letter: str) -> str:
        if self.turkish and letter in "Iİ":
            return "ı" if letter == "I" else "i"
        return letter.lower()

    def _letter(self, levels: _Levels, weight: bytes, *, upper: bool) -> None:
        levels.add(weight, upper=upper, variant=False, upper_first=self.upper_first)

    def _part(self, part: str, levels: _Levels) -> None:
        if unicodedata.combining(part):
            self._accent(levels, ord(part))
            return
        expanded = EXPANSIONS.get(part.lower())
        if expanded is None:
            plain = unicodedata.normalize("NFKD", part)
            expanded = (plain, 0)
        plain, mark = expanded
        variant = plain != part and not mark
        for letter in plain:
            if unicodedata.combining(letter):
                self._accent(levels, ord(letter))
                continue
            weight, variable = primary_weight(letter.casefold()[:1] or letter)
            if not weight:
                continue
            if variable and self._is_variable(weight):
                levels.quaternary.append(weight)
                continue
            upper = part.isupper()
            levels.add(weight, upper=upper, variant=variant, upper_first=self.upper_first)
        if mark:
            self._accent(levels, mark)

    def _accent(self, levels: _Levels, mark: int) -> None:
        if levels.secondary:
            place = MARK_ORDER.get(mark, (mark & 0xFFFF) + 0x100)
            levels.secondary[-1] += b"\x03" + min(place, 0xFFFF).to_bytes(2, "big")

    def _is_variable(self, weight: bytes) -> bool:
        if self.collation.alternate != "shifted":
            return False
        last = _SPACE if self.collation.max_variable == "space" else _PUNCTUATION
        return weight[0] <= last

    def _join(self, levels: _Levels, text: str) -> bytes:
        collation = self.collation
        out = [b"".join(levels.primary)]
        if collation.strength >= 2:
            marks = levels.secondary[::-1] if collation.backwards else levels.secondary
            out.append(b"".join(marks))
        if collation.case_level:
            out.append(b"".join(levels.case))
        if collation.strength >= 3:
            out.append(b"".join(levels.tertiary))
        if collation.strength >= 4 and collation.alternate == "shifted":
            out.append(b"".join(levels.quaternary))
        if collation.strength >= 5:
            out.append(unicodedata.normalize("NFD", text).encode())
        return _LEVEL.join(out)


def _latin(base: str, offset: int) -> bytes:
    return bytes((_LATIN, ord(base) - 94, 2 + offset))


def _number_weight(digits: str) -> bytes:
    """Weigh a run of digits by its value, however long it is."""
    plain = "".join(str(unicodedata.decimal(digit)) for digit in digits).lstrip("0") or "0"
    size = min(len(plain), 0xFFFF)
    return bytes((_DIGIT, 0x80)) + size.to_bytes(2, "big") + plain.encode()


@lru_cache(maxsize=4096)
def primary_weight(letter: str) -> tuple[bytes, bool]:
    """Return the first-level weight of a character, and whether `shifted` may ignore it.

    The weight is empty for characters that never count (controls, formatting).
    """
    if letter in ASCII_ORDER:
        position = ASCII_ORDER.index(letter)
        group = (
            _SPACE
            if letter.isspace()
            else _CURRENCY
            if letter == "$"
            else _SYMBOL
            if letter in "`^+<=>|~"
            else _PUNCTUATION
        )
        return bytes((group, 2 + position)), group <= _PUNCTUATION
    if "a" <= letter <= "z":
        return _latin(letter, 0), False
    category = unicodedata.category(letter)
    if letter.isspace():
        return bytes((_SPACE, 0xFE)) + _code(letter), True
    if category in ("Cc", "Cf"):
        return b"", False
    if category[0] == "N":
        value = unicodedata.numeric(letter, None)
        if value is not None and value.is_integer() and 0 <= value < 100:
            return bytes((_DIGIT, 2 + int(value))), False
    return bytes((_group(letter, category), 0xFE)) + _code(letter), category[0] == "P"


def _code(letter: str) -> bytes:
    return ord(letter).to_bytes(3, "big")


def _group(letter: str, category: str) -> int:
    if category[0] == "P":
        return _PUNCTUATION
    if category == "Sc":
        return _CURRENCY
    if category[0] == "S":
        return _SYMBOL
    if category[0] == "N":
        return _DIGIT
    code = ord(letter)
    if code < 0x370:
        return _LATIN
    if code < 0x400 or 0x1F00 <= code < 0x2000:
        return _GREEK
    if code < 0x530:
        return _CYRILLIC
    if 0x3400 <= code < 0xA000 or code >= 0x20000:
        return _HAN
    return _OTHER
