"""Which texts of a document an index looks at, and how much each of their terms counts.

The score of a term in one text is `weight * frequency * (0.5 * count / total + 0.5)`, where the
first occurrence adds 1 to the frequency, the second a half, the third a quarter, and so on;
`count` is how often it occurs, `total` the number of terms of the text. A text that is nothing
but the term counts a tenth more. A document's score of a term is the sum over its texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.text.languages import Language, find_language
from psdb_query.text.search import Search
from psdb_query.text.words import fold, terms

WHOLE: Final = "$**"
_UNKNOWN_OVERRIDE: Final = 17262
_OVERRIDE_TYPE: Final = 17261
_ALONE: Final = 0.1


@dataclass(frozen=True)
class TextFields:
    """What a text index holds.

    Args:
        weights: Path → weight; `$**` is every text of a document.
        language: Of texts that name none.
        override: The field that names a document's language.

    """

    weights: dict[str, float]
    language: Language
    override: str

    def texts(self, document: Document) -> Iterator[tuple[str, Language, float]]:
        """Yield every text of a document that is indexed, its language and its weight.

        Raises MongoError 17261 and 17262 for a language that is no name of one.
        """
        yield from self._walk(document, "", self.language)

    def _walk(
        self, document: Document, prefix: str, language: Language
    ) -> Iterator[tuple[str, Language, float]]:
        if not prefix or language.version > 1:  # what a subdocument says counts since version 2
            language = self._language_of(document, language)
        for name, value in document.items():
            if name == self.override:
                continue
            path = f"{prefix}{name}"
            weight, leads_on = self._weight(path)
            if weight or leads_on:
                yield from self._value(value, path, weight, leads_on, language)

    def _value(
        self, value: Any, path: str, weight: float, leads_on: bool, language: Language
    ) -> Iterator[tuple[str, Language, float]]:
        if type(value) is str:
            if weight:
                yield value, language, weight
        elif type(value) is dict:
            if leads_on:
                yield from self._walk(value, f"{path}.", language)
        elif type(value) is list:
            for element in value:
                if type(element) is not list:
                    yield from self._value(element, path, weight, leads_on, language)

    def _weight(self, path: str) -> tuple[float, bool]:
        """Return the weight of a path, and whether paths below it have one."""
        weights = self.weights
        whole = weights.get(WHOLE)
        weight = weights.get(path, whole or 0)
        if whole:
            return weight, True
        below = f"{path}."
        return weight, any(name.startswith(below) for name in weights)

    def _language_of(self, document: Document, language: Language) -> Language:
        if self.override not in document:
            return language
        name = document[self.override]
        if type(name) is not str:
            raise MongoError(
                _OVERRIDE_TYPE, "found language override field in document with non-string type"
            )
        found = find_language(name, language.version)
        if found is None:
            raise MongoError(_UNKNOWN_OVERRIDE, f"language override unsupported: {name}")
        return found

    def scores(self, document: Document) -> dict[str, float]:
        """Return each term of a document with its score."""
        found: dict[str, float] = {}
        for text, language, weight in self.texts(document):
            _score_text(text, language, weight, found)
        return found

    def matches(self, document: Document, search: Search) -> bool:
        """Tell whether a document is what a search asks for."""
        has_term = False
        negated = set(search.negated)
        positive = set(search.positive)
        compared: list[str] = []
        for text, language, _weight in self.texts(document):
            for term in terms(
                text, language, case_sensitive=search.case_sensitive, marked=search.marked
            ):
                if term in negated:
                    return False
                has_term = has_term or term in positive
            compared.append(search.compared(text))
        if not has_term:
            return False
        if any(_holds(compared, search.compared(one)) for one in search.negated_phrases):
            return False
        return all(_holds(compared, search.compared(one)) for one in search.phrases)


def _holds(texts: list[str], phrase: str) -> bool:
    return any(phrase in text for text in texts)


def _score_text(
    text: str, language: Language, weight: float, found: dict[str, float]
) -> None:
    counts: dict[str, list[float]] = {}
    total = 0
    for term in terms(text, language):
        total += 1
        entry = counts.get(term)
        if entry is None:
            counts[term] = [1, 1.0, 1.0]
        else:
            entry[0] += 1
            entry[2] /= 2
            entry[1] += entry[2]
    for term, (count, frequency, _share) in counts.items():
        score = weight * frequency * (0.5 * count / total + 0.5)
        if len(text) == len(term) and fold(text, language) == term:
            score *= 1 + _ALONE
        found[term] = found.get(term, 0.0) + score
