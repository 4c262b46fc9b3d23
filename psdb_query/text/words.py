"""From a text to its terms: words, in lower case, without stop words, marks and endings."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import regex

from psdb_query.text.languages import Language

_LETTERS = r"[^\p{C}\p{P}\p{S}\p{Z}]"
_WORD: Callable[[str], list[str]] = regex.compile(rf"(?:{_LETTERS}|_)+").findall
_ENGLISH_WORD: Callable[[str], list[str]] = regex.compile(rf"(?:{_LETTERS}|[_'])+").findall
"""What stands between words: punctuation, signs, spaces; English words have apostrophes."""


_ASCII_SIGNS: Final = r" \f\v\t\r\n~`!@#$%^&*()\-=+\[\]{}|\\;:\"<>,./?"
_OLD_WORD: Callable[[str], list[str]] = regex.compile(f"[^{_ASCII_SIGNS}']+").findall
_OLD_ENGLISH_WORD: Callable[[str], list[str]] = regex.compile(f"[^{_ASCII_SIGNS}]+").findall
_ASCII_LOWER: Final = {ord(one): one.lower() for one in string.ascii_uppercase}


@lru_cache(maxsize=4096)
def is_delimiter(character: str, version: int) -> bool:
    """Tell whether a character stands between words of every language."""
    return not (_OLD_ENGLISH_WORD if is_old(version) else _ENGLISH_WORD)(character)


def words(text: str, language: Language) -> list[str]:
    """Return the words of a text as they are written."""
    if is_old(language.version):
        return (_OLD_ENGLISH_WORD if language.name == "english" else _OLD_WORD)(text)
    return (_ENGLISH_WORD if language.name == "english" else _WORD)(text)


def is_old(version: int) -> bool:
    """Tell whether words are those of text indexes before version 3."""
    return version < 3


def fold(text: str, language: Language) -> str:
    """Return a text in lower case."""
    if text.isascii():
        return text.lower()
    if is_old(language.version):
        return text.translate(_ASCII_LOWER)
    return text.replace("İ", "i").lower()


def without_marks(text: str, language: Language) -> str:
    """Return a text without diacritics, where they do not count."""
    if text.isascii() or is_old(language.version):
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
        lower = fold(word, language)
        if lower in stops:
            continue
        term = stem(word if case_sensitive else lower)
        yield term if marked else without_marks(term, language)
