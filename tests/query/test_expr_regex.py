"""`$regexMatch`, `$regexFind`, `$regexFindAll`."""

from __future__ import annotations

from typing import Any

import pytest
from bson.regex import Regex
from expression_kit import Case, Err, check, run, table

from psdb_base.errors import MongoError
from psdb_base.values import UNDEFINED, RawRegex


def found(match: str, idx: int, *captures: str | None) -> dict[str, Any]:
    return {"match": match, "idx": idx, "captures": list(captures)}


def rows(name: str, *cases: tuple[Any, ...]) -> list[Case]:
    """Rows of input, pattern, options (or none) and result; the pattern also as a field."""
    table: list[Case] = []
    for text, pattern, *options, expected in cases:
        spec = {"input": "$text", "regex": pattern}
        if options:
            spec["options"] = options[0]
        table.append((name, {"text": text}, {name: spec}, expected))
        doc = {"text": text, "pattern": pattern, "options": options[0] if options else None}
        spec = {"input": "$text", "regex": "$pattern", "options": "$options"}
        table.append((name, doc, {name: spec}, expected))
    return table


MATCH = rows(
    "$regexMatch",
    ("Single LINE description.", "line", False),
    ("Single LINE description.", "line", "i", True),
    ("Single LINE description.", Regex("line", "i"), True),
    ("First lines\nsecond line", Regex("^s", "m"), True),
    ("First lines\nsecond line", "^s", False),
    ("Many spaces before     line", Regex("m.*line", "si"), True),
    ("Multiple\nline descriptions", Regex("m.*line", "si"), True),
    ("Multiple\nline descriptions", Regex("m.*line", "i"), False),
    ("abc", "a b c # comment", "x", True),
    ("abc", "", True),
    ("", "", True),
    ("", "a", False),
    ("abc", RawRegex("B", "i"), True),
    (None, "a", False),
    (UNDEFINED, "a", False),
    ("abc", None, False),
    ("abc", None, "z", False),
    ("abc", "b", None, True),
    ("caf\u00e9", "\u00e9$", True),
    ("\u00a0x", r"\s", False),
    ("aaa", "^(a+)+$", True),
)

FIND = rows(
    "$regexFind",
    ("abc123def456", "[0-9]+", found("123", 3)),
    ("aabab", "a.*b", found("aabab", 0)),
    ("aabab", "a.*?b", found("aab", 0)),
    ("\u00e9日🎉abc", "abc", found("abc", 3)),
    ("e\u0301abc", "abc", found("abc", 2)),
    ("John Smith", r"(\w+) (\w+)", found("John Smith", 0, "John", "Smith")),
    ("cat", "(cat)|(dog)", found("cat", 0, "cat", None)),
    ("abc123", "(?:abc)([0-9]+)", found("abc123", 0, "123")),
    ("abc", "((a)(b))c", found("abc", 0, "ab", "a", "b")),
    ("abc123", "(?P<word>[a-z]+)(?P<num>[0-9]+)", found("abc123", 0, "abc", "123")),
    ("abc123", "(?<word>[a-z]+)", found("abc", 0, "abc")),
    ("abc", "()abc", found("abc", 0, "")),
    ("foobar", "foo(?=(bar))", found("foo", 0, "bar")),
    ("", "", found("", 0)),
    ("hello", "", found("", 0)),
    ("", "abc", None),
    ("hello\x00world", "world", found("world", 6)),
    (None, "abc", None),
    ("abc", None, None),
    ("Café at noon", "CAFÉ", "i", found("Café", 0)),
    (
        "dan@mongodb.com",
        r"[a-z0-9_.+-]+@[a-z0-9_.+-]+\.[a-z0-9_.+-]+",
        "i",
        found("dan@mongodb.com", 0),
    ),
)

FIND_ALL = rows(
    "$regexFindAll",
    (
        "Have 30 mins and 12 secs",
        "([0-9]+) ([a-z]+)",
        [found("30 mins", 5, "30", "mins"), found("12 secs", 17, "12", "secs")],
    ),
    ("ccaffé", "f", [found("f", 3), found("f", 4)]),
    ("aaa", "aa", [found("aa", 0)]),
    ("abc", "z", []),
    ("ba", "a*", [found("", 0), found("a", 1)]),
    ("", "a*", [found("", 0)]),
    ("ab", "", [found("", 0), found("", 1)]),
    ("éa", "", [found("", 0), found("", 1)]),
    ("foobar", "(foo)|(bar)", [found("foo", 0, "foo", None), found("bar", 3, None, "bar")]),
    ("a1b2", r"(?<=[a-z])\d", [found("1", 1), found("2", 3)]),
    ("aaa", "^a", [found("a", 0)]),
    ("aaa", Regex("^ a  # x", "ux"), [found("a", 0)]),
    (None, "a", []),
    ("abc", None, []),
    ("abc", None, "z", []),
)

NAMES = ("$regexMatch", "$regexFind", "$regexFindAll")
ERRORS: list[Case] = [
    case
    for name in NAMES
    for case in [
        *rows(
            name,
            (5, "a", Err(51104, f"{name} needs 'input' to be of type string")),
            ("a", 5, Err(51105, f"{name} needs 'regex' to be of type string or regex")),
            ("a", "a", 5, Err(51106, f"{name} needs 'options' to be of type string")),
            (
                "a",
                Regex("a", "i"),
                "i",
                Err(
                    51107,
                    f"{name}: found regex option(s) specified in both 'regex' and 'option' fields",
                ),
            ),
            ("a", Regex("a", "i"), "", Err(51107)),
            ("a", Regex("a", "u"), "i", Err(51107)),
            ("a", Regex("a", "l"), Err(51108, f"{name} invalid flag in regex options: l")),
            ("a", "a", "z", Err(51108, f"{name} invalid flag in regex options: z")),
            (
                "a",
                "a\0",
                Err(51109, f"{name}: regular expression cannot contain an embedded null byte"),
            ),
            (
                "a",
                "a",
                "i\0",
                Err(
                    51110,
                    f"{name}: regular expression options cannot contain an embedded null byte",
                ),
            ),
            ("a", "[a", Err(51111)),
            ("a", "(a", Err(51111)),
            ("a", "a)", Err(51111)),
            (None, "a", 123, Err(51106)),
            ("a", None, 123, Err(51106)),
            (123, 123, Err(51105)),
            (123, None, Err(51104)),
            (None, "a", "z", Err(51108)),
            (None, "[a", Err(51111)),
            (123, Regex("a", "i"), "i", Err(51107)),
        ),
        (
            name,
            {},
            {name: "a"},
            Err(51103, f"{name} expects an object of named arguments but found: string"),
        ),
        (name, {}, {name: []}, Err(51103)),
        (name, {}, {name: {"regex": "a"}}, Err(31022, f"{name} requires 'input' parameter")),
        (name, {}, {name: {"input": "a"}}, Err(31023, f"{name} requires 'regex' parameter")),
        (
            name,
            {},
            {name: {"input": "a", "regex": "a", "x": 1}},
            Err(31024, f"{name} found an unknown argument: x"),
        ),
    ]
]


@table(MATCH + FIND + FIND_ALL)
def test_case(case: Case) -> None:
    check(case)


@table(ERRORS)
def test_error(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("name", NAMES)
def test_a_pathological_pattern_ends_in_an_error_soon(name: str) -> None:
    result = run({"a": "a" * 40 + "b"}, {name: {"input": "$a", "regex": "(a|a)*(a|a)*$c"}})
    assert isinstance(result, MongoError | bool | list) or result is None
    assert not isinstance(result, MongoError) or result.code in (262, 51156)
