"""Regular expressions with MongoDB's syntax (PCRE) and a hard limit on time.

Three engines, the cheapest that is safe: `str.find` for literal text; Python's `re` for plain
patterns with at most one repetition on texts that are not long (its cost is then bounded); the
`regex` package, which can be stopped, for everything else. `psdb_query.regex_syntax` translates
PCRE for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol, cast

from psdb_base.errors import Code, MongoError
from psdb_query.regex_syntax import literal_text, prefix_text, repetitions, translate
from psdb_query.steps import spend

TIME_LIMIT_SECONDS: Final = 0.05
"""How long one match may take on a short text; the loop stands still for as long."""
TIME_LIMIT_MORE_SECONDS: Final = 1e-7
"""Added for each character of the text, up to the longest limit."""
TIME_LIMIT_LONGEST_SECONDS: Final = 0.2
PATTERN_CHARACTERS_MAX: Final = 32_764
_LIMITED_STEPS: Final = 1000
_SHORT_PATTERN: Final = 200
_SHORT_TEXTS: Final = (100_000, 1_000)
"""Longest text for the quick engine by the number of repetitions in a plain pattern."""
_OPTIONS: Final = frozenset("imsux")
_CACHED_PATTERNS: Final = 512


class Match(Protocol):
    """The part of `re.Match` that callers use."""

    def start(self, group: int = 0, /) -> int:
        """Index in code points where the group begins, -1 if it took no part."""
        ...

    def end(self, group: int = 0, /) -> int:
        """Index in code points behind the group."""
        ...

    def group(self, group: int = 0, /) -> Any:
        """Text of the group, None if it took no part."""
        ...

    def groups(self) -> tuple[Any, ...]:
        """Texts of all groups."""
        ...


class CompiledRegex:
    """One pattern with its options, compiled.

    Args:
        pattern: The pattern in PCRE's syntax.
        options: Letters of `imsux`.

    Raises MongoError 51091 (invalid pattern) or 51108 (invalid option).

    """

    __slots__ = ("_find", "is_bounded", "options", "pattern", "prefix", "prefix_is_all", "test")

    def __init__(self, pattern: str, options: str) -> None:
        self.pattern = pattern
        self.options = options
        self.prefix, self.prefix_is_all = prefix_text(pattern, options)
        """What every matching text begins with, and whether each such text matches."""
        literal = literal_text(pattern, options)
        self.is_bounded = literal is not None or repetitions(pattern, options) in (0, 1)
        """Cheap on every text of ordinary length; others may take up to the time limit."""
        self._find = _compile_find(pattern, options, literal)
        self.test: Callable[[str], bool] = self._tester(literal)
        """Tell whether the pattern is found in a text."""

    def search(self, text: str, start: int = 0) -> Match | None:
        """Find the first match at or after `start` (code points).

        Raises MongoError 262 (ExceededTimeLimit) when it takes longer than the limit.
        """
        return self._find(text, start)

    def _tester(self, literal: str | None) -> Callable[[str], bool]:
        if literal is not None:
            return lambda text: literal in text
        if self.prefix and self.prefix_is_all:
            prefix = self.prefix
            return lambda text: text.startswith(prefix)
        find = self._find
        return lambda text: find(text, 0) is not None


@lru_cache(maxsize=_CACHED_PATTERNS)
def compile_regex(pattern: str, options: str = "") -> CompiledRegex:
    """Compile a pattern, or take it from the cache of the last few hundred."""
    for letter in options:
        if letter not in _OPTIONS:
            raise MongoError(51108, f" invalid flag in regex options: {letter}")
    if "\0" in pattern:
        raise _invalid("Regular expression cannot contain an embedded null byte", bare=True)
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise _invalid("regular expression is too large")
    return CompiledRegex(pattern, options)


def _compile_find(
    pattern: str, options: str, literal: str | None
) -> Callable[[str, int], Match | None]:
    if literal is not None:
        return _searcher(re.compile(re.escape(literal)))
    limited = _compile_limited(pattern, options)
    count = repetitions(pattern, options)
    if len(pattern) > _SHORT_PATTERN or count is None or count >= len(_SHORT_TEXTS):
        return limited
    longest = _SHORT_TEXTS[count]
    flags = re.IGNORECASE if "i" in options else re.NOFLAG
    try:
        quick = _searcher(re.compile(translate(pattern, options), flags))
    except (re.error, RecursionError):
        return limited

    def find(text: str, start: int) -> Match | None:
        return quick(text, start) if len(text) <= longest else limited(text, start)

    return find


def _searcher(compiled: re.Pattern[str]) -> Callable[[str, int], Match | None]:
    return cast("Callable[[str, int], Match | None]", compiled.search)


def _compile_limited(pattern: str, options: str) -> Callable[[str, int], Match | None]:
    import regex

    flags = regex.V1
    for letter, flag in (
        ("i", regex.IGNORECASE),
        ("m", regex.MULTILINE),
        ("s", regex.DOTALL),
        ("x", regex.VERBOSE),
    ):
        if letter in options:
            flags |= flag
    try:
        # PCRE folds case letter by letter: `ß` is not `SS`.
        compiled = regex.compile("(?-f)" + translate(pattern, options), flags, cache_pattern=False)
    except regex.error as error:
        raise _invalid(_explain(error.msg)) from None
    except (RecursionError, OverflowError, ValueError):
        raise _invalid("regular expression is too complicated") from None
    return _limited(compiled)


def _limited(compiled: Any) -> Callable[[str, int], Match | None]:
    search = compiled.search

    def find(text: str, start: int) -> Match | None:
        limit = TIME_LIMIT_SECONDS + len(text) * TIME_LIMIT_MORE_SECONDS
        if limit > TIME_LIMIT_LONGEST_SECONDS:
            limit = TIME_LIMIT_LONGEST_SECONDS
        spend(_LIMITED_STEPS)
        try:
            # Without the interpreter's lock: on a thread the event loop goes on meanwhile.
            found: Match | None = search(text, start, timeout=limit, concurrent=True)
        except TimeoutError:
            message = "Regular expression exceeded its time limit"
            raise MongoError(Code.EXCEEDED_TIME_LIMIT, message) from None
        except (MemoryError, RecursionError):
            message = "Error occurred while executing regular expression: match limit exceeded"
            raise MongoError(51156, message) from None
        return found

    return find


_EXPLANATIONS: Final[dict[str, str]] = {
    "bad character range": "range out of order in character class",
    "missing )": "missing closing parenthesis",
    "multiple repeat": "quantifier does not follow a repeatable item",
    "nothing to repeat": "quantifier does not follow a repeatable item",
    "trailing characters in pattern": "unmatched closing parenthesis",
    "unbalanced parenthesis": "unmatched closing parenthesis",
    "unknown group": "reference to non-existent subpattern",
    "unknown extension": "unrecognized character after (? or (?-",
    "unterminated character set": "missing terminating ] for character class",
}
"""Beginnings of the engine's messages and what PCRE says."""


def _explain(message: str) -> str:
    for beginning, words in _EXPLANATIONS.items():
        if message.startswith(beginning):
            return words
    return message


def _invalid(reason: str, *, bare: bool = False) -> MongoError:
    return MongoError(51091, reason if bare else f"Regular expression is invalid: {reason}")
