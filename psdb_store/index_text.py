"""Text indexes: an entry for every term of a document, with the term's score.

A key is the components of the fields before the text fields, the term, its score (a double), and
the components of the fields behind. A document without any term has no entry.
"""

from __future__ import annotations

from itertools import product
from typing import Final

from psdb_base.errors import MongoError
from psdb_base.order import Collation, key
from psdb_base.values import Document
from psdb_query.text.languages import find_language
from psdb_query.text.scoring import TextFields
from psdb_store.index_keys import KeyMaker, MultikeyPaths, make_plain, sign_of

TERM: Final = "_fts"
SCORE: Final = "_ftsx"
_TERMS_MAX: Final = 400_000
_TOO_MANY_TERMS: Final = 16732


def fields_of_text(spec: Document) -> TextFields:
    """Return what a text index's specification says of its texts."""
    language = find_language(spec["default_language"], int(spec["textIndexVersion"]))
    assert language is not None
    weights = {name: float(str(weight)) for name, weight in spec["weights"].items()}
    return TextFields(weights, language, spec["language_override"])


def make_text(spec: Document, collation: Collation | None) -> KeyMaker:  # noqa: ARG001
    """Make the key function of a text index."""
    fields = fields_of_text(spec)
    names = list(spec["key"])
    at = names.index(TERM)
    ahead = [_plain(spec, name) for name in names[:at]]
    behind = [_plain(spec, name) for name in names[at + 2 :]]

    def keys(doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        scores = fields.scores(doc)
        if not scores:
            return [], None
        if len(scores) > _TERMS_MAX:
            raise MongoError(
                _TOO_MANY_TERMS,
                "too many unique keys for a single document to have a text index, max = "
                f"{_TERMS_MAX}",
            )
        words = [key(term) + key(score) for term, score in scores.items()]
        before = [maker(doc) for maker in ahead]
        after = [maker(doc) for maker in behind]
        masks = [found[1][0] if found[1] else 0 for found in before]
        masks += [0, 0, *(found[1][0] if found[1] else 0 for found in after)]
        parts = [*(found[0] for found in before), words, *(found[0] for found in after)]
        made = list(dict.fromkeys(map(b"".join, product(*parts))))
        return made, (tuple(masks) if len(made) > 1 or any(masks) else None)

    return keys


def _plain(spec: Document, name: str) -> KeyMaker:
    return make_plain({name: sign_of(spec["key"][name])}, None, sparse=False)
