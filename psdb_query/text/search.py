"""What a `$search` asks for: terms, phrases, and what must not be there.

Words are looked for one by one, any of them will do. Words within quotation marks are a phrase
that must be there as it is written (and are looked for as well). A hyphen before a word or a
phrase negates it, if nothing but a space, or nothing at all, stands before the hyphen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psdb_query.text.languages import Language
from psdb_query.text.words import fold, is_delimiter, terms, without_marks


@dataclass(slots=True)
class Search:
    """A parsed search.

    Args:
        language: Of its words.
        case_sensitive, marked: Capital letters, diacritics must agree.
        bounds: Terms that an index is asked for, as it holds them, each once.
        positive: Terms of which one must be there, as case and marks are compared.
        negated: Terms that must not be there.
        phrases, negated_phrases: Parts of a text that must, must not be there.

    """

    language: Language
    case_sensitive: bool = False
    marked: bool = False
    bounds: list[str] = field(default_factory=list)
    positive: list[str] = field(default_factory=list)
    negated: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    negated_phrases: list[str] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Every document with an entry under one of `bounds` matches."""
        return not (
            self.negated or self.phrases or self.negated_phrases
            or self.case_sensitive or self.marked
        )  # fmt: skip

    def compared(self, text: str) -> str:
        """Return a text in the form in which phrases are compared."""
        if not self.case_sensitive:
            text = fold(text, self.language)
        return text if self.marked else without_marks(text, self.language)


def parse_search(
    text: str, language: Language, *, case_sensitive: bool = False, marked: bool = False
) -> Search:
    """Parse a `$search` string."""
    search = Search(language, case_sensitive, marked)
    for part, is_phrase, is_negated in _parts(text, language.version):
        if is_phrase:
            (search.negated_phrases if is_negated else search.phrases).append(part)
            if not is_negated:
                _add(search, part)
        elif is_negated:
            exact = terms(part, language, case_sensitive=case_sensitive, marked=marked)
            _extend(search.negated, exact)
        else:
            _add(search, part)
    return search


def _add(search: Search, part: str) -> None:
    _extend(search.bounds, terms(part, search.language))
    exact = terms(
        part, search.language, case_sensitive=search.case_sensitive, marked=search.marked
    )
    _extend(search.positive, exact)


def _extend(found: list[str], more: Iterable[str]) -> None:
    for term in more:
        if term not in found:
            found.append(term)


def _parts(text: str, version: int) -> list[tuple[str, bool, bool]]:
    """Return pieces of a search: text, whether it is a phrase, whether it is negated."""
    found: list[tuple[str, bool, bool]] = []
    at, count = 0, len(text)
    negated, before = False, " "
    while at < count:
        character = text[at]
        if character == '"':
            end = text.find('"', at + 1)
            end = count if end < 0 else end
            if text[at + 1 : end]:
                found.append((text[at + 1 : end], True, negated))
            at, negated, before = end + 1, False, '"'
        elif character == "-" and before.isspace():
            negated, before = True, character
            at += 1
        elif is_delimiter(character, version):
            if character.isspace():
                negated = False
            before = character
            at += 1
        else:
            start = at
            while at < count and not is_delimiter(text[at], version):
                at += 1
            found.append((text[start:at], False, negated))
            negated, before = False, text[at - 1]
    return found
