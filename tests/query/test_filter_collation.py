"""Collations: specification, order of strings, and what they change in filters."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex
from filter_kit import find
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_query import collation_plain
from psdb_query.collation import Collation
from psdb_query.collation_tables import DEFAULTS, LOCALES
from psdb_query.context import CompileContext

Spec = dict[str, Any]

needs_icu = pytest.mark.skipif(
    importlib.util.find_spec("icu") is None, reason="ICU's wheel is not installed"
)


def collation(locale: str = "en", **options: Any) -> Collation:
    found = Collation.parse({"locale": locale, **options})
    assert found is not None
    return found


# Each row: options, then texts in ascending order; `=` within a cell joins equal ones.
ORDERS: list[tuple[Spec, str]] = [
    ({"locale": "en"}, "a A b B c"),
    ({"locale": "en"}, "_ - , ; : ! ? . 1 10a 2 a"),
    ({"locale": "en"}, "$ 0 9 a z"),
    ({"locale": "en"}, "role Role rôle Rôle roles"),
    ({"locale": "en"}, "cote coté côte côté"),
    ({"locale": "en"}, "a ab abc b"),
    ({"locale": "en"}, "e é è f"),
    ({"locale": "en"}, "ss ß st"),
    ({"locale": "en"}, "ad ae æ af"),
    ({"locale": "en"}, "o ø p"),
    ({"locale": "en"}, "z α ω а я"),
    ({"locale": "en"}, "1 10 2 3"),
    ({"locale": "en", "numericOrdering": True}, "1 2 3 10"),
    ({"locale": "en", "numericOrdering": True}, "a a1=a01 a2 a10 a100 b"),
    ({"locale": "en", "numericOrdering": True}, "v1.2 v1.10 v2.0"),
    ({"locale": "en", "numericOrdering": True}, "-1 -5 1 5"),
    ({"locale": "en", "strength": 1}, "a=A=á=Ä b=B"),
    ({"locale": "en", "strength": 2}, "a=A á=Á b"),
    ({"locale": "en", "strength": 3}, "a A á Á b"),
    ({"locale": "en", "strength": 1, "caseLevel": True}, "a=á A=Á b"),
    ({"locale": "en", "strength": 2, "caseLevel": True}, "a A á Á b"),
    ({"locale": "en", "caseFirst": "upper"}, "A a Á á B b"),
    ({"locale": "en", "caseFirst": "lower"}, "a A b B"),
    ({"locale": "fr", "backwards": True}, "cote côte coté côté"),
    ({"locale": "fr_CA"}, "cote côte coté côté"),
    ({"locale": "fr"}, "cote coté côte côté"),
    ({"locale": "sv"}, "a z å ä ö"),
    ({"locale": "fi"}, "a z å ä ö"),
    ({"locale": "da"}, "a z æ ø å"),
    ({"locale": "nb"}, "a z æ ø å"),
    ({"locale": "de"}, "a ä b o ö p s ß t"),
    ({"locale": "es"}, "n nz ñ o"),
    ({"locale": "et"}, "s š z ž t"),
    ({"locale": "pl"}, "a ą b l ł m z ź ż"),
    ({"locale": "cs"}, "c č d h ch i r ř s š t z ž"),
    ({"locale": "hr"}, "c č ć d đ e s š z ž"),
    ({"locale": "tr"}, "c ç d h ı i j o ö p s ş t u ü v"),
    ({"locale": "is"}, "a á b d ð e z þ æ ö"),
    ({"locale": "hu"}, "c cs d o ö p"),
    ({"locale": "ro"}, "a ă â b i î j s ș t ț u"),
    ({"locale": "vi"}, "a ă â b d đ e ê o ô ơ u ư"),
    ({"locale": "en", "alternate": "shifted"}, "black-bird=blackbird=black.bird blackbirds"),
    ({"locale": "en", "alternate": "shifted", "strength": 4}, "black-bird black.bird blackbird"),
    ({"locale": "en", "alternate": "shifted", "maxVariable": "space"}, "a-b ab"),
    ({"locale": "en", "strength": 5}, "a A b"),
    ({"locale": "ja"}, "a ア 亜"),
]

# What needs ICU: dictionaries, contractions, characters with weights of their own.
ICU_ORDERS: list[tuple[Spec, str]] = [
    ({"locale": "en"}, "_ - , ; : ! ? . ' \" ( ) [ ] { } @ * / \\ & # % ` ^ + < > | ~ $ 0"),
    ({"locale": "en"}, "! © ® 😀 $ € 1 ½ 2 ² a Ⅷ z"),
    ({"locale": "en"}, "resume Resume RESUME resumé résume résumé Résumé"),
    ({"locale": "en"}, "a ａ A Ａ ª á"),
    ({"locale": "en"}, "z α б ა א ا अ ก 가 あ 一"),
    ({"locale": "en"}, "ad ae æ Æ af"),
    ({"locale": "en", "strength": 1}, "3=３=٣=३ 4"),
    ({"locale": "en", "strength": 1}, "ae=AE=Ǽ=æ af"),
    ({"locale": "en", "strength": 1}, "ss=ß=ẞ=SS st"),
    ({"locale": "en", "strength": 1}, "fi=ﬁ=FI=ｆｉ fl"),
    ({"locale": "en", "strength": 1, "caseLevel": True}, "resume=résumé Resume=Résumé"),
    ({"locale": "en", "strength": 5}, "a ａ"),
    ({"locale": "en", "alternate": "shifted", "strength": 4}, "di-Silva diSilva Di-Silva DiSilva"),
    ({"locale": "en", "alternate": "shifted"}, "di-silva=disilva di-Silva=diSilva Di-Silva"),
    ({"locale": "en", "numericOrdering": True}, "-2 -10 1.9 1.10 1e5 007=7 10"),
    ({"locale": "en", "numericOrdering": True}, "x9 x１０ x11"),
    ({"locale": "cs"}, "a á b c č d h ch i"),
    ({"locale": "cy"}, "c ch d dd e f ff g ng h l ll m p ph r rh t th"),
    ({"locale": "da"}, "a ab z æ ä ø ö AA Aa å aa"),
    ({"locale": "da", "caseFirst": "off"}, "a A b B"),
    ({"locale": "de"}, "ä Ä ad ae af ö oe of"),
    ({"locale": "de@collation=phonebook"}, "ad ae ä af oe ö of og"),
    ({"locale": "de_AT@collation=phonebook"}, "ad ae af ä b"),
    ({"locale": "el"}, "α Α ά Ά β"),
    ({"locale": "eo"}, "c ĉ d g ĝ h ĥ j ĵ s ŝ u ŭ v"),
    ({"locale": "es@collation=traditional"}, "cz ch d lz ll m n nz ñ o"),
    ({"locale": "es"}, "ch cz d ll lz m n nz ñ o"),
    ({"locale": "fi"}, "z å ä æ ö ø"),
    ({"locale": "hr"}, "c č ć d dž đ e l lj m n nj o"),
    ({"locale": "hu"}, "c cz cs ccs d dz dzs e o ö ő p z zs"),
    ({"locale": "ja"}, "ア=あ=ｱ か=カ が=ガ 亜"),
    ({"locale": "ja", "strength": 4}, "あ ア か カ"),
    ({"locale": "ko"}, "가 佳 家 각 나 a"),
    ({"locale": "lt"}, "i y j"),
    ({"locale": "lv"}, "g ģ i y k ķ"),
    ({"locale": "mt"}, "A a ġ g għ h Ħ"),
    ({"locale": "ro"}, "s ş=ș t ţ=ț"),
    ({"locale": "ru"}, "е Е ё Ё ж и й"),
    ({"locale": "sk"}, "a ä b h ch i o ô p"),
    ({"locale": "sq"}, "c ç d dh e ë g gj l ll n nj r rr s sh t th x xh z zh"),
    ({"locale": "sv"}, "v V va w z å ä ö"),
    ({"locale": "th"}, "ก กา เก แก ไก ขา"),
    ({"locale": "uk"}, "г ґ д е є и і ї й"),
    ({"locale": "vi"}, "a à ả ã á ạ ă â b"),
    ({"locale": "zh"}, "北 丁 海 京 上 一 中 a"),
    ({"locale": "zh_Hant"}, "一 丁 上 中 北 京 海 a"),
    ({"locale": "zh@collation=unihan"}, "一 丁 上 中 京 北 海"),
]


def check_order(spec: Spec, row: str, maker: Any) -> None:
    found = Collation.parse(spec)
    assert found is not None
    sort_key = maker(found)
    groups = [cell.split("=") for cell in row.split()]
    for group in groups:
        keys = {sort_key(text) for text in group}
        assert len(keys) == 1, group
    for low, high in pairwise(groups):
        assert sort_key(low[0]) < sort_key(high[0]), (low, high)


@needs_icu
@pytest.mark.parametrize(
    "case", ORDERS + ICU_ORDERS, ids=lambda case: f"{case[0]} {case[1]}"[:70]
)
def test_order(case: tuple[Spec, str]) -> None:
    check_order(*case, lambda found: found.sort_key)


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: f"{case[0]} {case[1]}"[:70])
def test_order_without_icu(case: tuple[Spec, str]) -> None:
    check_order(*case, collation_plain.sort_keys)


@needs_icu
def test_every_locale_is_one_of_icu_with_our_defaults() -> None:
    import icu

    names = [
        ("case_level", "CASE_LEVEL"), ("numeric_ordering", "NUMERIC_COLLATION"),
        ("normalization", "NORMALIZATION_MODE"), ("backwards", "FRENCH_COLLATION"),
    ]  # fmt: skip
    cases = {icu.UCollAttributeValue.UPPER_FIRST: "upper", icu.UCollAttributeValue.OFF: "off"}
    alternates = {
        icu.UCollAttributeValue.SHIFTED: "shifted",
        icu.UCollAttributeValue.NON_IGNORABLE: "non-ignorable",
    }
    for locale, variants in LOCALES.items():
        for full in (locale, *(f"{locale}@collation={variant}" for variant in variants)):
            found = collation(full)
            collator = icu.Collator.createInstance(icu.Locale(full))

            def attribute(name: str, collator: Any = collator) -> Any:
                return collator.getAttribute(getattr(icu.UCollAttribute, name))

            for mine, theirs in names:
                on = attribute(theirs) == icu.UCollAttributeValue.ON
                assert getattr(found, mine) == on, (full, mine)
            assert found.case_first == cases[attribute("CASE_FIRST")], full
            assert found.alternate == alternates[attribute("ALTERNATE_HANDLING")], full
            assert found.strength == attribute("STRENGTH") + 1, full


def test_which_locales_there_are_does_not_hang_on_icu() -> None:
    assert list(LOCALES["zh"]) == sorted(LOCALES["zh"])
    assert "en" in LOCALES
    assert set(DEFAULTS) <= set(LOCALES)


@given(st.text(max_size=8), st.text(max_size=8))
def test_levels_refine_each_other(a: str, b: str) -> None:
    order = 0
    for strength in (1, 2, 3, 5):
        here = collation(strength=strength)
        left, right = here.sort_key(a), here.sort_key(b)
        now = (left > right) - (left < right)
        if order:
            assert now == order
        order = now
    import unicodedata

    same = unicodedata.normalize("NFD", a) == unicodedata.normalize("NFD", b)
    assert (order == 0) == same


@given(st.text(max_size=8))
def test_composed_and_decomposed_are_the_same(text: str) -> None:
    import unicodedata

    here = collation()
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    assert here.sort_key(composed) == here.sort_key(decomposed)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_numeric_ordering_is_by_value(a: int, b: int) -> None:
    here = collation(numericOrdering=True)
    assert (here.sort_key(f"x{a}") < here.sort_key(f"x{b}")) == (a < b)


def test_defaults_are_filled_in() -> None:
    assert collation("en", strength=2).document() == {
        "locale": "en",
        "caseLevel": False,
        "caseFirst": "off",
        "strength": 2,
        "numericOrdering": False,
        "alternate": "non-ignorable",
        "maxVariable": "punct",
        "normalization": False,
        "backwards": False,
        "version": "57.1",
    }
    assert collation("fr_CA").document()["backwards"] is True
    assert collation("fr_CA", backwards=False).document()["backwards"] is False
    assert collation("da").document()["caseFirst"] == "upper"
    assert collation("th").document()["alternate"] == "shifted"
    assert collation("vi").document()["normalization"] is True
    assert collation("en") == collation("en", strength=3)
    assert collation("en", strength=Int64(2)) == collation("en", strength=2.0)


@pytest.mark.parametrize(
    "spec", [{}, {"locale": "simple"}, {"locale": "simple", "version": "57.1"}]
)
def test_the_simple_collation_is_none(spec: Spec) -> None:
    assert Collation.parse(spec) is None


@pytest.mark.parametrize(
    "locale",
    ["en", "en_US", "en_US_POSIX", "de_AT", "de@collation=phonebook", "zh_Hant", "sr_Latn", "fil"],
)
def test_locales(locale: str) -> None:
    assert collation(locale).locale == locale


ERRORS: list[tuple[Any, int, str | None]] = [
    (1, 14, "BSON field 'collation' is the wrong type 'int', expected type 'object'"),
    (
        {"strength": 1},
        40414,
        "BSON field 'collation.locale' is missing but a required field",
    ),
    ({"locale": 1}, 14, None),
    ({"locale": "xx"}, 2, "Field 'locale' is invalid in: { locale: \"xx\" }"),
    ({"locale": "EN"}, 2, None),
    ({"locale": ""}, 2, None),
    ({"locale": "en_us"}, 2, None),
    ({"locale": "en-US"}, 2, None),
    ({"locale": "en_GB"}, 2, "Field 'locale' is invalid in: { locale: \"en_GB\" }"),
    ({"locale": "english"}, 2, None),
    ({"locale": "en@collation=phonebook"}, 2, None),
    ({"locale": "de@collation="}, 2, None),
    ({"locale": "de@collation=phonebook;x=y"}, 2, None),
    ({"locale": "en@collation=foo"}, 2, None),
    ({"locale": "simple", "strength": 1}, 2, None),
    ({"locale": "en", "foo": 1}, 40415, "BSON field 'collation.foo' is an unknown field."),
    ({"locale": "en", "strength": 0}, 51024, None),
    ({"locale": "en", "strength": 6}, 51024, None),
    ({"locale": "en", "strength": "1"}, 14, None),
    ({"locale": "en", "strength": 1.5}, 9, None),
    ({"locale": "en", "strength": Decimal128("7")}, 51024, None),
    ({"locale": "en", "caseLevel": 1}, 14, None),
    ({"locale": "en", "caseFirst": "x"}, 2, None),
    ({"locale": "en", "caseFirst": True}, 14, None),
    ({"locale": "en", "alternate": "x"}, 2, None),
    ({"locale": "en", "maxVariable": "x"}, 2, None),
    ({"locale": "en", "numericOrdering": "x"}, 14, None),
    ({"locale": "en", "normalization": "x"}, 14, None),
    ({"locale": "en", "backwards": "x"}, 14, None),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: str(case[0]))
def test_refused(case: tuple[Any, int, str | None]) -> None:
    spec, code, message = case
    with pytest.raises(MongoError) as failure:
        Collation.parse(spec)
    assert failure.value.code == code
    if message is not None:
        assert failure.value.message == message


WORDS = ["cafe", "Café", "CAFE", "cafes", ["x", "CAFÉ"], {"$value": 1, "k": "Cafe"}, 5, None]
FILTERS: list[tuple[int, Spec, list[int]]] = [
    (1, {"a": "cafe"}, [0, 1, 2, 4]),
    (2, {"a": "cafe"}, [0, 2]),
    (3, {"a": "cafe"}, [0]),
    (1, {"a": {"$ne": "cafe"}}, [3, 5, 6, 7]),
    (2, {"a": {"$in": ["café", 5]}}, [1, 4, 6]),
    (2, {"a": {"$in": ["café", None]}}, [1, 4, 7]),
    (1, {"a": {"$nin": ["cafe"]}}, [3, 5, 6, 7]),
    (2, {"a": {"$gt": "cafe"}}, [1, 3, 4]),
    (2, {"a": {"$gte": "cafe"}}, [0, 1, 2, 3, 4]),
    (1, {"a": {"$lt": "cafes"}}, [0, 1, 2, 4]),
    (2, {"a": {"k": "cafe"}}, [5]),
    (2, {"a.k": "CAFE"}, [5]),
    (2, {"a": ["X", "café"]}, [4]),
    (2, {"a": {"$all": ["X", "café"]}}, [4]),
    (1, {"a": {"$elemMatch": {"$eq": "cafe"}}}, [4]),
    (1, {"a": {"$not": {"$eq": "cafe"}}}, [3, 5, 6, 7]),
    (1, {"a": Regex("^cafe$")}, [0]),
    (1, {"a": {"$in": [Regex("^cafe$")]}}, [0]),
    (1, {"a": {"$gt": 4}}, [6]),
]


@pytest.mark.parametrize("case", FILTERS, ids=lambda case: f"{case[0]} {case[1]}")
def test_filters_compare_by_the_collation(case: tuple[int, Spec, list[int]]) -> None:
    strength, spec, expected = case
    ctx = CompileContext(collation=collation("en", strength=strength))
    assert find(WORDS, spec, ctx) == expected
