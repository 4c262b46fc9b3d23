"""Tables of the collations: locales, what they set, and letters with places of their own."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Places: TypeAlias = dict[str, tuple[str, int]]
"""Letter (lower case, composed) → `(base letter, place behind it)`; place 0 is the base itself."""

ASCII_ORDER: Final = "\t\n\x0b\x0c\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
"""ASCII other than digits and letters in CLDR's root order."""

EXPANSIONS: Final[dict[str, tuple[str, int]]] = {
    "ß": ("ss", 0x0001),
    "æ": ("ae", 0x0002),
    "ð": ("d", 0x0335),
    "ø": ("o", 0x0338),
    "þ": ("th", 0x0003),
    "đ": ("d", 0x0336),
    "ħ": ("h", 0x0335),
    "ı": ("i", 0x0004),
    "ł": ("l", 0x0335),
    "œ": ("oe", 0x0002),
}
"""Letters that do not decompose: the base letters, and a mark that tells them apart."""

_MARKS: Final = (
    *(0x301, 0x300, 0x306, 0x302, 0x30C, 0x30A, 0x308, 0x30B),
    *(0x303, 0x307, 0x338, 0x335, 0x336, 0x327, 0x328, 0x304),
)
"""Accents in the root order: acute, grave, breve, circumflex, caron, ring, …, macron."""

MARK_ORDER: Final[dict[int, int]] = {mark: place for place, mark in enumerate(_MARKS, 0x10)}
"""Code of a combining mark → its place; other marks follow by code."""

_PLAIN: Final = (
    "af am ar_SA as az be bg bn bo bs bs_Cyrl ca chr cs cy da de de_AT dsb dz ee el en en_US "
    "en_US_POSIX eo es et fa fa_AF fi fil fo fr fr_CA ga gl gu ha haw he he_IL hi hr hsb hu hy id "
    "id_ID ig is it ja ka kk kl km kn ko kok ky lb lkt ln lo lt lv mk ml mn mr ms mt my nb nb_NO "
    "ne nl nn no om or pa pa_Guru pa_Guru_IN pl ps pt ro ru sa se si sk sl smn sq sr sr_Cyrl "
    "sr_Cyrl_BA sr_Cyrl_ME sr_Cyrl_RS sr_Latn sr_Latn_BA sr_Latn_RS sv sw ta te th to tr ug uk ur "
    "uz vi wae yi yo zh zh_Hans zh_Hans_CN zh_Hans_SG zh_Hant zh_Hant_HK zh_Hant_MO zh_Hant_TW zu"
)
_SEARCH: Final = "az bs ca cs da de es fi gl he hr is kl ko nb nn se sk smn sr_Latn sv tr yi"

LOCALES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_PLAIN.split(), ()),
    **dict.fromkeys(_SEARCH.split(), ("search",)),
    "ar": ("compat",),
    "bn": ("traditional",),
    "de": ("eor", "phonebook", "search"),
    "de_AT": ("phonebook",),
    "es": ("search", "traditional"),
    "fi": ("search", "traditional"),
    "ja": ("unihan",),
    "kn": ("traditional",),
    "ko": ("search", "searchjl", "unihan"),
    "ln": ("phonetic",),
    "si": ("dictionary",),
    "vi": ("traditional",),
    "zh": ("big5han", "gb2312han", "pinyin", "stroke", "unihan", "zhuyin"),
    "zh_Hant": ("stroke",),
}
"""Locales that have rules in ICU, with the variants of each, as MongoDB's manual lists them."""

_NORMALIZED: Final = (
    "as bn bo el fa fa_AF gu he he_IL hi ig km kn kok mr my or pa pa_Guru pa_Guru_IN ps si ta te "
    "vi yi yo"
)
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    **{locale: {"normalization": True} for locale in _NORMALIZED.split()},
    "da": {"case_first": "upper"},
    "fr_CA": {"backwards": True},
    "mt": {"case_first": "upper"},
    "th": {"alternate": "shifted", "normalization": True},
}
"""Attributes that a locale sets, by the names of `psdb_query.collation.Collation`."""

SEARCH_VARIANTS: Final = ("search", "searchjl")
"""Variants with normalization and nothing else set, whatever their locale sets."""


def _after(base: str, letters: str) -> Places:
    """Give each letter the next place behind a base letter."""
    return {letter: (base, 1 + index) for index, letter in enumerate(letters)}


_NORDIC: Final[Places] = {
    "ä": ("z", 1),
    "å": ("z", 3),
    "æ": ("z", 1),
    "ö": ("z", 2),
    "ø": ("z", 2),
}
_SWEDISH: Final[Places] = {
    "ä": ("z", 2),
    "å": ("z", 1),
    "æ": ("z", 2),
    "ö": ("z", 3),
    "ø": ("z", 3),
}
_CROATIAN: Final[Places] = {
    **_after("c", "čć"),
    "đ": ("d", 1),
    "š": ("s", 1),
    "ž": ("z", 1),
}
_CZECH: Final[Places] = {"č": ("c", 1), "ř": ("r", 1), "š": ("s", 1), "ž": ("z", 1)}
_TURKISH: Final[Places] = {
    "ç": ("c", 1),
    "ğ": ("g", 1),
    "ı": ("h", 1),
    "ö": ("o", 1),
    "ş": ("s", 1),
    "ü": ("u", 1),
}

TAILORINGS: Final[dict[str, Places]] = {
    "az": {**_TURKISH, "ə": ("e", 1)},
    "bs": _CROATIAN,
    "cs": _CZECH,
    "da": _NORDIC,
    "eo": {
        "ĉ": ("c", 1),
        "ĝ": ("g", 1),
        "ĥ": ("h", 1),
        "ĵ": ("j", 1),
        "ŝ": ("s", 1),
        "ŭ": ("u", 1),
    },
    "es": {"ñ": ("n", 1)},
    "et": {
        **_after("s", "šzž"),
        **_after("w", "õäöü"),
    },
    "fi": _SWEDISH,
    "fil": {"ñ": ("n", 1)},
    "fo": _NORDIC,
    "gl": {"ñ": ("n", 1)},
    "hr": _CROATIAN,
    "hu": {"ö": ("o", 1), "ő": ("o", 2), "ü": ("u", 1), "ű": ("u", 2)},
    "is": {
        "á": ("a", 1),
        "é": ("e", 1),
        "í": ("i", 1),
        "ð": ("d", 1),
        "ó": ("o", 1),
        "ú": ("u", 1),
        "ý": ("y", 1),
        **_after("z", "þæöøå"),
    },
    "lt": {"č": ("c", 1), "š": ("s", 1), "ž": ("z", 1), "y": ("i", 1)},
    "lv": {
        "č": ("c", 1),
        "ģ": ("g", 1),
        "ķ": ("k", 1),
        "ļ": ("l", 1),
        "ņ": ("n", 1),
        "š": ("s", 1),
        "ž": ("z", 1),
    },
    "nb": _NORDIC,
    "nn": _NORDIC,
    "pl": {
        "ą": ("a", 1),
        "ć": ("c", 1),
        "ę": ("e", 1),
        "ł": ("l", 1),
        "ń": ("n", 1),
        "ó": ("o", 1),
        "ś": ("s", 1),
        **_after("z", "źż"),
    },
    "ro": {**_after("a", "ăâ"), "î": ("i", 1), "ș": ("s", 1), "ț": ("t", 1)},
    "sk": {**_CZECH, "ä": ("a", 1), "ô": ("o", 1)},
    "sl": _CROATIAN,
    "sq": {"ç": ("c", 1), "ë": ("e", 1)},
    "sv": _SWEDISH,
    "tr": _TURKISH,
    "vi": {
        **_after("a", "ăâ"),
        "đ": ("d", 1),
        "ê": ("e", 1),
        **_after("o", "ôơ"),
        "ư": ("u", 1),
    },
}

CONTRACTIONS: Final[dict[str, Places]] = {
    "cs": {"ch": ("h", 1)},
    "cy": {"ch": ("c", 1), "dd": ("d", 1), "ff": ("f", 1), "ll": ("l", 1), "th": ("t", 1)},
    "hu": {
        "cs": ("c", 1),
        "gy": ("g", 1),
        "ly": ("l", 1),
        "ny": ("n", 1),
        "sz": ("s", 1),
        "ty": ("t", 1),
        "zs": ("z", 1),
    },
    "sk": {"ch": ("h", 1)},
}
"""Pairs of letters that count as one."""
