"""Regular expressions: PCRE's syntax, limits, prefixes: (pattern, options, text, match or None)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.errors import Code, MongoError
from psdb_query.regex_engine import CompiledRegex, compile_regex
from psdb_query.regex_syntax import literal_text, repetitions

Case = tuple[str, str, str, str | None]

CASES: list[Case] = [
    ("abc", "", "xabcx", "abc"),
    ("abc", "", "ab", None),
    ("", "", "x", ""),
    ("ABC", "i", "xabcx", "abc"),
    ("a.c", "", "abc", "abc"),
    ("a.c", "", "a\nc", None),
    ("a.c", "s", "a\nc", "a\nc"),
    ("^b", "", "a\nb", None),
    ("^b", "m", "a\nb", "b"),
    ("a$", "", "a\nb", None),
    ("a$", "m", "a\nb", "a"),
    ("a$", "", "a\n", "a"),
    (r"a\z", "", "a\n", None),
    (r"a\Z", "", "a\n", "a"),
    (r"\Aa", "m", "b\na", None),
    ("a b # note", "x", "ab", "ab"),
    ("a[ ]b", "x", "a b", "a b"),
    (r"a\ b", "x", "a b", "a b"),
    ("a+", "", "caaat", "aaa"),
    ("a+?", "", "caaat", "a"),
    ("a++b", "", "aaab", "aaab"),
    ("(?>a+)b", "", "aaab", "aaab"),
    ("(a)(b)?", "", "a", "a"),
    (r"(a|b)\1", "", "abb", "bb"),
    (r"(?<n>a|b)\k<n>", "", "abb", "bb"),
    (r"(?P<n>a|b)(?P=n)", "", "abb", "bb"),
    (r"(?'n'a|b)\k'n'", "", "abb", "bb"),
    (r"(?<n>a|b)\k{n}", "", "abb", "bb"),
    ("(?=ab)a", "", "ab", "a"),
    ("a(?!b)", "", "abac", "a"),
    ("(?<=a)b", "", "ab", "b"),
    ("(?<!a)b", "", "abcb", "b"),
    ("(?i)ABC", "", "abc", "abc"),
    ("a(?i)B", "", "ab", "ab"),
    ("a(?i)B", "", "AB", None),
    ("(?i:A)b", "", "ab", "ab"),
    ("(?#note)a", "", "a", "a"),
    ("a{2}", "", "aaa", "aa"),
    ("a{2,}", "", "aaa", "aaa"),
    ("a{1,2}", "", "aaa", "aa"),
    (r"\d+", "", "x42", "42"),
    (r"\d", "", "٣", None),
    (r"\w+", "", "é_a1", "_a1"),
    (r"(*UCP)\w+", "", "é_a1", "é_a1"),
    (r"\s", "", "a\u00a0b", None),
    (r"\h", "", "a\u00a0b", "\u00a0"),
    (r"\bfoo\b", "", "a foo b", "foo"),
    (r"\bfoo", "", "éfoo", "foo"),
    (r"\Bo", "", "foo", "o"),
    (r"\D\W\S", "", "1a b-c", "a b"),
    (r"\R", "", "a\r\nb", "\r\n"),
    (r"\N+", "s", "ab\nc", "ab"),
    (r"\x41\x{42}\o{103}\103", "", "ABCC", "ABCC"),
    (r"\x{1F600}", "", "😀", "😀"),
    (r"\e\t\cA", "", "\x1b\t\x01", "\x1b\t\x01"),
    (r"\Qa.b*\E+", "", "a.b**", "a.b**"),
    (r"\Qa.b", "", "a.b", "a.b"),
    (r"[\Q]\E]", "", "]", "]"),
    (r"a\.b", "", "a.b", "a.b"),
    (r"a\.b", "", "axb", None),
    (r"\/", "", "/", "/"),
    (r"\-\_\#\@", "", "-_#@", "-_#@"),
    ("[abc]+", "", "xbcay", "bca"),
    ("[^abc]+", "", "axyb", "xy"),
    ("[a-c]", "", "b", "b"),
    ("[]a]+", "", "a]", "a]"),
    ("[^]a]", "", "]ab", "b"),
    ("[a-]+", "", "a-", "a-"),
    ("[-a]+", "", "a-", "a-"),
    ("[[a]", "", "[", "["),
    ("[a&&b]", "", "&", "&"),
    ("[a||b]", "", "|", "|"),
    ("[a--b]", "", "-", "-"),
    ("[~~]", "", "~", "~"),
    (r"[\d\-x]+", "", "3-x", "3-x"),
    (r"[\]]", "", "]", "]"),
    (r"[\W]", "", "a é", " "),
    (r"[\b]", "", "\x08", "\x08"),
    ("[[:alpha:]]+", "", "1ab2", "ab"),
    ("[[:^alpha:]]+", "", "ab12", "12"),
    ("[[:digit:][:space:]]+", "", "a1 2", "1 2"),
    ("[[:punct:]]+", "", "a!?b", "!?"),
    ("[[:word:]]+", "", "-a_1-", "a_1"),
    ("(?|(a)|(b))c", "", "bc", "bc"),
    ("(?(?=a)ab|cd)", "", "cd", "cd"),
    ("(a(?1)?b)", "", "aabb", "aabb"),
    (r"\p{L}+", "", "1éa", "éa"),
    (r"\PL", "", "a1", "1"),
    (r"\X", "", "e\u0301x", "e\u0301"),
    (r"foo\Kbar", "", "foobar", "bar"),
    ("ß", "i", "SS", None),
    ("É", "i", "é", "é"),
    ("a|b|", "", "c", ""),
    ("(?s).+", "", "a\nb", "a\nb"),
    ("(?m)^b", "", "a\nb", "b"),
    ("(?x) a b ", "", "ab", "ab"),
    ("x", "u", "x", "x"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case[0]) + case[1])
def test_match(case: Case) -> None:
    pattern, options, text, expected = case
    compiled = compile_regex(pattern, options)
    found = compiled.search(text)
    assert (None if found is None else found.group()) == expected
    assert compiled.test(text) == (expected is not None)


ERRORS: list[tuple[str, str]] = [
    ("(", "missing closing parenthesis"),
    ("a)", "unmatched closing parenthesis"),
    ("[a", "missing terminating ] for character class"),
    ("*", "quantifier does not follow a repeatable item"),
    ("a**", "quantifier does not follow a repeatable item"),
    ("[z-a]", "range out of order in character class"),
    ("\\", "\\ at end of pattern"),
    ("[\\", "\\ at end of pattern"),
    (r"\y", "unrecognized character follows \\"),
    (r"(?<n>a)\k<m>", ""),
    (r"\k", ""),
    ("(?z)", "unrecognized character after (? or (?-"),
    (r"\x{110000}", "character code point value in \\x{} or \\o{} is too large"),
    ("[[:foo:]]", "unknown POSIX class name"),
    ("(" * 300 + ")" * 300, "parentheses are too deeply nested"),
    ("a" * 40_000, "regular expression is too large"),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: repr(case[0])[:20])
def test_invalid(case: tuple[str, str]) -> None:
    pattern, reason = case
    with pytest.raises(MongoError) as failure:
        compile_regex(pattern)
    assert failure.value.code == 51091
    assert failure.value.message.startswith(f"Regular expression is invalid: {reason}")


def try_out(compiled: CompiledRegex, text: str) -> bool | MongoError:
    try:
        return compiled.test(text)
    except MongoError as error:
        return error


def test_a_stopped_search_says_so() -> None:
    outcome = try_out(compile_regex("(a|aa)+$"), "a" * 50 + "b")
    assert isinstance(outcome, MongoError)
    assert outcome.code == Code.EXCEEDED_TIME_LIMIT


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a|aa)+$", "a" * 50 + "b"),
        ("(a+)+$", "a" * 50 + "b"),
        ("(a*)*$", "a" * 50 + "b"),
        ("(.*?,){25}P", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25"),
        (r"(\w|\d)*!", "a1" * 25),
        ("(a?){30}a{30}", "a" * 29 + "b"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 50),
        (".*.*.*.*x", "a" * 20_000),
    ],
)
def test_a_pathological_pattern_is_stopped(pattern: str, text: str) -> None:
    compiled = compile_regex(pattern)
    start = time.process_time()
    outcome = try_out(compiled, text)
    assert time.process_time() - start < 0.25
    if isinstance(outcome, MongoError):
        assert outcome.code == Code.EXCEEDED_TIME_LIMIT
        assert outcome.message == "Regular expression exceeded its time limit"


PREFIXES: list[tuple[str, str, str, bool]] = [
    ("^abc", "", "abc", True),
    ("^abc.*", "", "abc", True),
    (r"\Aabc", "", "abc", True),
    ("^abc$", "", "abc", False),
    ("^abc*", "", "ab", False),
    ("^abc?", "", "ab", False),
    ("^abc{0}", "", "ab", False),
    ("^abc+", "", "abc", True),
    ("^abc+d", "", "abc", False),
    (r"^a\.b", "", "a.b", True),
    (r"^a\db", "", "a", False),
    (r"^\Qa.b\E", "", "a.b", True),
    (r"^\Qa.b\Ec", "", "a.bc", True),
    (r"^\Qab\E*", "", "a", False),
    ("^a.c", "", "a", False),
    ("^a[bc]", "", "a", False),
    ("^(ab)", "", "", False),
    ("^a|b", "", "", False),
    ("abc", "", "", False),
    ("^abc", "i", "", False),
    ("^abc", "m", "", False),
    ("^abc", "x", "", False),
    ("^abc", "s", "abc", True),
    ("^", "", "", True),
]


@pytest.mark.parametrize("case", PREFIXES, ids=lambda case: repr(case[0]) + case[1])
def test_prefix(case: tuple[str, str, str, bool]) -> None:
    pattern, options, prefix, whole = case
    compiled = compile_regex(pattern, options)
    assert (compiled.prefix, compiled.prefix_is_all) == (prefix, whole)


@given(st.text("ab.*$^\\+?Q", max_size=8), st.text("ab.*\\\n", max_size=8))
def test_a_prefix_says_what_every_match_begins_with(tail: str, text: str) -> None:
    try:
        compiled = compile_regex("^" + tail)
    except MongoError:
        return
    if compiled.test(text):
        assert text.startswith(compiled.prefix)
    elif compiled.prefix_is_all:
        assert not text.startswith(compiled.prefix)


@given(st.text(max_size=20), st.text(max_size=40))
def test_quoted_text_is_found_literally(quoted: str, text: str) -> None:
    if "\\E" in quoted or "\0" in quoted:
        return
    compiled = compile_regex(rf"\Q{quoted}\E")
    assert compiled.test(text) == (quoted in text)
    assert compiled.test(f"<{quoted}>")


SIMPLE = st.text("ab.^$\\[]-dwsAB ,*+?", max_size=10)


@given(SIMPLE, st.sampled_from(["", "i"]), st.text("abAB1_ .,^$[]-\n", max_size=12))
def test_the_quick_engine_agrees_with_the_limited_one(
    pattern: str, options: str, text: str
) -> None:
    try:
        compiled = compile_regex(pattern, options)
    except MongoError:
        return
    if repetitions(pattern, options) in (0, 1) or literal_text(pattern, options) is not None:
        slow = compile_regex(f"(?:{pattern})", options)
        quick = compiled.search(text)
        other = slow.search(text)
        assert (quick is None) == (other is None)
        if quick is not None and other is not None:
            assert (quick.start(), quick.end()) == (other.start(), other.end())


@given(st.text("ab()[]{}|*+?.^$\\dwsQEkxz1:=!<>'-# ", max_size=16), st.text(max_size=20))
def test_any_pattern_compiles_or_is_refused(pattern: str, text: str) -> None:
    for options in ("", "imsx"):
        try:
            compiled = compile_regex(pattern, options)
        except MongoError:
            continue
        outcome = try_out(compiled, text)
        assert outcome in (True, False) or isinstance(outcome, MongoError)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("abc", 0), (r"^a\*b$", 0), ("a.*b", 1), ("^[a-z]+@x", 1), ("a?b*", 2), ("(a)", None),
     ("a|b", None), ("a{2}", None), (r"\bx", None), ("a**", None)],
)  # fmt: skip
def test_plain_patterns(pattern: str, count: int | None) -> None:
    assert repetitions(pattern, "") == count


def test_groups_and_positions_for_expressions() -> None:
    found = compile_regex("(a)(b)?(c)").search("xxac", 1)
    assert found is not None
    assert (found.start(), found.end(), found.groups()) == (2, 4, ("a", None, "c"))
    literal = compile_regex("ac").search("xxac")
    assert literal is not None
    assert (literal.start(), literal.groups()) == (2, ())


def test_compiled_patterns_are_kept() -> None:
    assert compile_regex("a+", "i") is compile_regex("a+", "i")
