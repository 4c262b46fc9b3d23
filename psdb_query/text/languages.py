"""The languages of text search: names, stems, stop words, and what parts words.

Names are MongoDB's for text indexes of version 3, with the two letters of ISO 639-1 beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from psdb_query.text.stop_words import stop_words

NAMES: Final[dict[str, str]] = {
    "da": "danish",
    "danish": "danish",
    "de": "german",
    "dutch": "dutch",
    "en": "english",
    "english": "english",
    "es": "spanish",
    "fi": "finnish",
    "finnish": "finnish",
    "fr": "french",
    "french": "french",
    "german": "german",
    "hu": "hungarian",
    "hungarian": "hungarian",
    "it": "italian",
    "italian": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "none": "none",
    "norwegian": "norwegian",
    "portuguese": "portuguese",
    "pt": "portuguese",
    "ro": "romanian",
    "romanian": "romanian",
    "ru": "russian",
    "russian": "russian",
    "spanish": "spanish",
    "sv": "swedish",
    "swedish": "swedish",
    "tr": "turkish",
    "turkish": "turkish",
}
"""What a user may call a language (in any case) → its name here; `none` has no stems."""

_STEMS_KEPT: Final = 50_000
_ALGORITHMS: Final = {"dutch": "dutch_porter"}
"""Where the library's newest algorithm of a language is not the one that MongoDB has."""


@dataclass(frozen=True)
class Language:
    """A language of text search.

    Args:
        name: Its English name, `none` for plain words.
        stops: Words that are passed over.
        stem: From a word in lower case to its stem.
        version: Of the text index. Before 3 only signs of ASCII part words, only its letters have
            another case, and a letter with a diacritic is another letter.

    """

    name: str
    stops: frozenset[str]
    stem: Callable[[str], str]
    version: int = 3


def find_language(name: Any, version: int = 3) -> Language | None:
    """Return the language of a name, None when there is none of that name."""
    if type(name) is not str:
        return None
    known = NAMES.get(name.lower())
    return None if known is None else _language(known, version)


@cache
def _language(name: str, version: int) -> Language:
    if name == "none":
        return Language(name, frozenset(), lambda word: word, version)
    import snowballstemmer

    stem = snowballstemmer.stemmer(_ALGORITHMS.get(name, name)).stemWord
    return Language(name, stop_words(name), lru_cache(maxsize=_STEMS_KEPT)(stem), version)
