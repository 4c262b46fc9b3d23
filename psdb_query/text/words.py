"""From a text to its terms: words, in lower case, without stop words, marks and endings."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from psdb_query.text.languages import Language

_APOSTROPHE: Final = "'"
_WORD_SIGNS: Final = "_"


@lru_cache(maxsize=4096)
def is_delimiter(character: str) -> bool:
    """Tell whether a character stands between words: punctuation, signs, spaces."""
    if character in _WORD_SIGNS:
        return False
    return unicodedata.category(character)[0] in "CPSZ"


def words(text: str, language: Language) -> Iterator[str]:
    """Yield the words of a text as they are written; English ones may have apostrophes within."""
    start = -1
    keeps_apostrophe = language.name == "english"
    for at, character in enumerate(text):
        apart = not character.isalnum() and is_delimiter(character)
        if apart and keeps_apostrophe and character == _APOSTROPHE:
            apart = False
        if apart:
            if start >= 0:
                yield text[start:at]
                start = -1
        elif start < 0:
            start = at
    if start >= 0:
        yield text[start:]


def fold(text: str) -> str:
    """Return a text in lower case."""
    return text.lower() if text.isascii() else text.replace("İ", "i").lower()


def without_marks(text: str) -> str:
    """Return a text without diacritics."""
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFD", text)
    kept = "".join(one for one in parts if unicodedata.category(one) != "Mn")
    return unicodedata.normalize("NFC", kept)


def terms(
    text: str, language: Language, *, case_sensitive: bool = False, marked: bool = False
) -> Iterator[str]:
    """Yield the terms of a text in order.

    Args:
        text: The text.
        language: Whose stop words are passed over and whose endings are cut.
        case_sensitive: Keep capital letters.
        marked: Keep diacritics.

    """
    stops, stem = language.stops, language.stem
    for word in words(text, language):
        lower = fold(word)
        if lower in stops:
            continue
        term = stem(word if case_sensitive else lower)
        yield term if marked else without_marks(term)
