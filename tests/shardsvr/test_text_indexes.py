"""Text indexes against looking at every document, and the words of languages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planner_kit import Kit

from psdb_base.values import Document
from psdb_query.text.languages import NAMES, find_language
from psdb_query.text.scoring import TextFields
from psdb_query.text.search import parse_search
from psdb_query.text.words import terms
from psdb_store import index_spec
from psdb_store.index_text import fields_of_text
from shardsvr.planning import Plan

VOCABULARY = ["coffee", "Coffee", "coffees", "shop", "shopping", "the", "a", "don't", "Café",
              "cafe", "x_y", "well-known", "naïve", "42", "running", "run", "runs"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=6).map(" ".join)
PARTS = st.one_of(
    st.sampled_from(VOCABULARY),
    st.sampled_from(VOCABULARY).map("-{}".format),
    TEXTS.map('"{}"'.format),
    TEXTS.map('-"{}"'.format),
)
SEARCHES = st.lists(PARTS, min_size=1, max_size=4).map(" ".join)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "t": TEXTS | st.lists(TEXTS, max_size=2), "u": st.fixed_dictionaries({"v": TEXTS}),
        "n": st.integers(0, 2), "language": st.sampled_from(["none", "en", "french"]),
    },
)  # fmt: skip
SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def text_kit(key: Document, **options: Any) -> tuple[Kit, TextFields]:
    spec = index_spec.check({"key": key, "name": "text", **options})
    kit = Kit()
    kit.add_index(spec)
    return kit, fields_of_text(spec)


def scores_of(plan: Plan) -> dict[Any, float]:
    execution = plan.open()
    found = {}
    while not execution.done:
        for record in execution.next_batch(3):
            found[record.document()["_id"]] = execution.meta(record)["textScore"]
    return found


@SETTINGS
@given(st.lists(DOCUMENTS, max_size=8), SEARCHES, st.booleans(), st.booleans(), st.booleans())
def test_an_index_finds_what_looking_finds(
    documents: list[Document], search: str, cased: bool, marked: bool, wild: bool
) -> None:
    key = {"$**": "text"} if wild else {"t": "text", "u.v": "text"}
    kit, fields = text_kit(key, weights={"t": 3})
    for document in documents:
        kit.insert(document)
    stored = kit.find({})
    query = {"$text": {"$search": search, "$caseSensitive": cased, "$diacriticSensitive": marked}}
    parsed = parse_search(search, fields.language, case_sensitive=cased, marked=marked)
    expected = {document["_id"] for document in stored if fields.matches(document, parsed)}
    assert set(kit.ids(query)) == expected
    assert kit.plan(query, count=True).explain("executionStats")["executionStats"][
        "executionStages"]["inputStage"]["nReturned"] == len(expected)
    some = {document["_id"] for document in stored if document.get("n") == 1}
    assert set(kit.ids({**query, "n": 1})) == expected & some
    kit.add_index({"key": {"n": 1}})
    assert set(kit.ids({"$or": [query, {"n": 1}]})) == expected | some
    scores = scores_of(kit.plan(query, meta=True))
    for document in stored:
        if document["_id"] in expected:
            own = fields.scores(document)
            total = sum(own.get(term, 0.0) for term in parsed.bounds)
            assert scores[document["_id"]] == pytest.approx(total)
    assert scores.keys() == expected


LANGUAGES = [
    ("english", "The quick brown foxes weren't jumping", ["quick", "brown", "fox", "jump"]),
    ("none", "The Foxes weren't", ["the", "foxes", "weren", "t"]),
    ("french", "les maisons de l'élève", ["maison", "elev"]),
    ("german", "die Häuser und der Hund", ["haus", "hund"]),
    ("spanish", "la mañana en las casas", ["manan", "cas"]),
    ("italian", "il gatto e le case", ["gatt", "cas"]),
    ("portuguese", "as casas e os livros", ["cas", "livr"]),
    ("dutch", "de huizen van het dorp", ["huiz", "dorp"]),
    ("danish", "husene og bilerne", ["hus", "bil"]),
    ("swedish", "husen och bilarna", ["hus", "bil"]),
    ("norwegian", "husene og bilene", ["hus", "bil"]),
    ("finnish", "talot ja autot", ["talo", "auto"]),
    ("hungarian", "a házak és az autók", ["haz", "auto"]),
    ("romanian", "casele și cărțile", ["cas", "cart"]),
    ("russian", "дома и книги", ["дом", "книг"]),
    ("turkish", "evler ve kitaplar", ["ev", "kitap"]),
]


@pytest.mark.parametrize(("language", "text", "expected"), LANGUAGES)
def test_terms(language: str, text: str, expected: list[str]) -> None:
    found = find_language(language)
    assert found is not None
    assert list(terms(text, found)) == expected


@pytest.mark.parametrize(
    ("version", "text", "expected"),
    [
        (3, "ÉTUDES à–côté maisons", ["etud", "cot", "maison"]),
        (2, "ÉTUDES à–côté maisons", ["Étud", "à–côt", "maison"]),
        (1, "one_two/Three", ["one_two", "thre"]),
    ],
)
def test_terms_of_older_indexes(version: int, text: str, expected: list[str]) -> None:
    french = find_language("french", version)
    assert french is not None
    assert list(terms(text, french)) == expected


def test_a_subdocument_names_its_language_since_version_2() -> None:
    document = {"u": {"language": "none", "v": "jumping"}}
    for version, term in ((1, "jump"), (2, "jumping"), (3, "jumping")):
        english = find_language("english", version)
        assert english is not None
        assert list(TextFields({"u.v": 1.0}, english, "language").scores(document)) == [term]


def test_every_language_has_a_stemmer() -> None:
    for name in NAMES:
        language = find_language(name.upper())
        assert language is not None
        assert language.stem("word")
        assert bool(language.stops) == (language.name != "none")


SCORES = [
    ("coffee", {"coffe": 1.0}),
    ("Coffee Shopping", {"coffe": 0.75, "shop": 0.75}),
    ("cat", {"cat": 1.1}),
    ("Cat!", {"cat": 1.0}),
    ("dog dog dog cat", {"dog": 1.75 * (0.5 * 3 / 4 + 0.5), "cat": 0.625}),
    ("the", {}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "expected"), SCORES)
def test_scores(text: str, expected: dict[str, float]) -> None:
    english = find_language("english")
    assert english is not None
    assert TextFields({"t": 1.0}, english, "language").scores({"t": text}) == expected
    weighted = TextFields({"t": 4.0}, english, "language").scores({"t": text})
    assert weighted == {term: 4 * score for term, score in expected.items()}


def test_texts_of_sub_documents_and_their_languages() -> None:
    _kit, fields = text_kit({"quote": "text", "parts.quote": "text"}, default_language="spanish")
    found = fields.texts({
        "quote": "uno", "language": "portuguese", "number": 5,
        "parts": [{"quote": "two", "language": "english"}, {"quote": "três"}, "loose"]})
    assert [(text, language.name) for text, language, _ in found] == [
        ("uno", "portuguese"), ("two", "english"), ("três", "portuguese")]
