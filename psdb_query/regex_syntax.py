r"""PCRE's syntax in terms of Python's engines, and what can be told from a pattern's text.

MongoDB compiles patterns as UTF-8 without Unicode properties: `\d`, `\w`, `\s`, `\b` and the
POSIX classes are ASCII only (unless the pattern begins with `(*UCP)`), while case folding is
Unicode's. The engines differ in `\z`, `\h`, `\Q…\E`, `(?<name>…)` and the like; `translate`
rewrites those and leaves the rest alone.
"""

from __future__ import annotations

import re
from typing import Final

from psdb_base.errors import MongoError

_NESTING_MAX: Final = 250
_META: Final = frozenset(".^$*+?()[]{}|\\")

_CLASS_ITEMS: Final[dict[str, str]] = {
    "D": r"\x00-/:-\U0010FFFF",
    "H": (
        r"\x00-\x08\x0A-\x1F\x21-\x9F\xA1-\u167F\u1681-\u180D\u180F-\u1FFF\u200B-\u202E"
        r"\u2030-\u205E\u2060-\u2FFF\u3001-\U0010FFFF"
    ),
    "N": r"\x00-\x09\x0B-\U0010FFFF",
    "S": r"\x00-\x08\x0E-\x1F\x21-\U0010FFFF",
    "V": r"\x00-\x09\x0E-\x84\x86-\u2027\u202A-\U0010FFFF",
    "W": r"\x00-/:-@\[-\^`\{-\U0010FFFF",
    "d": "0-9",
    "h": r"\x09\x20\xA0\u1680\u180E\u2000-\u200A\u202F\u205F\u3000",
    "s": r"\x09-\x0D\x20",
    "v": r"\x0A-\x0D\x85\u2028\u2029",
    "w": "A-Za-z0-9_",
}
"""Escapes that stand for a set of characters, as the inside of a class."""

_POSIX_ITEMS: Final[dict[str, str]] = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\x20\x09",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\x20-~",
    "punct": r"!-/:-@\[-`\{-~",
    "space": r"\x09-\x0D\x20",
    "upper": "A-Z",
    "word": "A-Za-z0-9_",
    "xdigit": "A-Fa-f0-9",
}

_POSIX_NEGATED: Final[dict[str, str]] = {
    "alnum": r"\x00-/:-@\[-`\{-\U0010FFFF",
    "alpha": r"\x00-@\[-`\{-\U0010FFFF",
    "ascii": r"\x80-\U0010FFFF",
    "blank": r"\x00-\x08\x0A-\x1F\x21-\U0010FFFF",
    "cntrl": r"\x20-\x7E\x80-\U0010FFFF",
    "digit": r"\x00-/:-\U0010FFFF",
    "graph": r"\x00-\x20\x7F-\U0010FFFF",
    "lower": r"\x00-`\{-\U0010FFFF",
    "print": r"\x00-\x1F\x7F-\U0010FFFF",
    "punct": r"\x00-\x200-9A-Za-z\x7F-\U0010FFFF",
    "space": r"\x00-\x08\x0E-\x1F\x21-\U0010FFFF",
    "upper": r"\x00-@\[-\U0010FFFF",
    "word": r"\x00-/:-@\[-\^`\{-\U0010FFFF",
    "xdigit": r"\x00-/:-@G-`g-\U0010FFFF",
}

_WORD: Final = "A-Za-z0-9_"
_ASSERTIONS: Final[dict[str, str]] = {
    "B": f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))",
    "R": r"(?>\r\n|[\x0A-\x0D\x85\u2028\u2029])",
    "Z": r"(?=\n?\Z)",
    "b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    "z": r"\Z",
}
"""Escapes outside classes that become something else altogether."""

_CONTROL: Final[dict[str, str]] = {"a": "\x07", "e": "\x1b", "f": "\x0c"}
_KEPT: Final = frozenset("AGKXnrtpPgk")
"""Escapes outside classes that `regex` knows as PCRE does (`\\k` is rewritten where needed)."""

_UNICODE_KEPT: Final = frozenset("BDSWbdsw")
_VERBS: Final = re.compile(r"\(\*(UTF8|UTF|UCP|LF|NO_START_OPT|NO_AUTO_POSSESS)\)")
_HEX: Final = re.compile(r"\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{0,2})")
_OCTAL: Final = re.compile(r"\{([0-7]{1,11})\}")
_REFERENCE: Final = re.compile(r"\{(\w+)\}|<(\w+)>|'(\w+)'")
_QUOTED_GROUP: Final = re.compile(r"\(\?'(\w+)'")
_POSIX: Final = re.compile(r"\[:(\^?)([a-z]+):\]")


def _fail(reason: str) -> MongoError:
    return MongoError(51091, f"Regular expression is invalid: {reason}")


class _Translator:
    """One pass over a pattern, writing the translation."""

    def __init__(self, pattern: str, *, verbose: bool) -> None:
        self.text = pattern
        self.at = 0
        self.out: list[str] = []
        self.verbose = verbose
        self.unicode = False
        self.depth = 0

    def run(self) -> str:
        while verb := _VERBS.match(self.text, self.at):
            self.unicode = self.unicode or verb[1] == "UCP"
            self.at = verb.end()
        while self.at < len(self.text):
            self.step()
        return "".join(self.out)

    def step(self) -> None:
        letter = self.text[self.at]
        if letter == "\\":
            self.escape()
        elif letter == "[":
            self.character_class()
        elif letter == "(":
            self.group()
        elif letter == "#" and self.verbose:
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        else:
            if letter == ")":
                self.depth -= 1
            self.at += 1
            self.out.append(letter)

    def group(self) -> None:
        self.depth += 1
        if self.depth > _NESTING_MAX:
            raise _fail("parentheses are too deeply nested")
        if self.text.startswith("(?#", self.at):
            end = self.text.find(")", self.at)
            if end < 0:
                raise _fail("missing ) following (?# comment")
            self.depth -= 1
            self.at = end + 1
            return
        quoted = _QUOTED_GROUP.match(self.text, self.at)
        if quoted:
            self.out.append(f"(?<{quoted[1]}>")
            self.at = quoted.end()
            return
        self.out.append("(")
        self.at += 1

    def literal(self, text: str) -> None:
        for letter in text:
            special = letter in _META or letter in " #\n\t-&~" or not letter.isprintable()
            self.out.append(f"\\x{ord(letter):02x}" if special and ord(letter) < 256 else letter)

    def quote(self) -> None:
        end = self.text.find("\\E", self.at)
        stop = len(self.text) if end < 0 else end
        self.literal(self.text[self.at : stop])
        self.at = stop if end < 0 else end + 2

    def escape(self) -> None:
        letter = self.text[self.at + 1 : self.at + 2]
        if not letter:
            raise _fail("\\ at end of pattern")
        self.at += 2
        if letter == "Q":
            self.quote()
        elif letter == "E":
            pass
        elif self.unicode and letter in _UNICODE_KEPT:
            self.out.append("\\" + letter)
        elif letter in _CLASS_ITEMS:
            self.out.append(f"[{_CLASS_ITEMS[letter]}]")
        elif letter in _ASSERTIONS:
            self.out.append(_ASSERTIONS[letter])
        elif letter == "k":
            self.reference()
        elif letter.isdigit() and letter != "0":
            self.out.append("\\" + letter)
        elif letter in _KEPT:
            self.out.append("\\" + letter)
        else:
            self.character(letter)

    def reference(self) -> None:
        found = _REFERENCE.match(self.text, self.at)
        if not found:
            raise _fail("\\k is not followed by a braced, angle-bracketed, or quoted name")
        self.at = found.end()
        self.out.append(f"(?P={found[1] or found[2] or found[3]})")

    def character(self, letter: str) -> None:
        """Write the one character that an escape stands for."""
        if letter in _CONTROL:
            self.literal(_CONTROL[letter])
        elif letter == "c":
            control = self.text[self.at : self.at + 1]
            if not control:
                raise _fail("\\c at end of pattern")
            self.at += 1
            self.literal(chr(ord(control.upper()) ^ 64))
        elif letter == "x":
            found = _HEX.match(self.text, self.at)
            digits = (found[1] or found[2]) if found else ""
            self.at = found.end() if found else self.at
            self.code_point(int(digits or "0", 16))
        elif letter == "o":
            found = _OCTAL.match(self.text, self.at)
            if not found:
                raise _fail("missing opening brace after \\o")
            self.at = found.end()
            self.code_point(int(found[1], 8))
        elif letter == "0":
            end = self.at
            while end < self.at + 2 and self.text[end : end + 1] in tuple("01234567"):
                end += 1
            digits = self.text[self.at : end]
            self.at = end
            self.code_point(int(digits or "0", 8))
        elif letter.isascii() and letter.isalpha():
            raise _fail("unrecognized character follows \\")
        else:
            self.out.append(re.escape(letter))

    def code_point(self, number: int) -> None:
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise _fail("character code point value in \\x{} or \\o{} is too large")
        self.out.append(f"\\U{number:08X}" if number > 0xFF else f"\\x{number:02x}")

    def character_class(self) -> None:
        """Rewrite a class: escapes spelt out, and set operators of `regex` made literal."""
        self.at += 1
        self.out.append("[")
        if self.text.startswith("^", self.at):
            self.out.append("^")
            self.at += 1
        if self.text.startswith("]", self.at):
            self.out.append("\\]")
            self.at += 1
        while True:
            letter = self.text[self.at : self.at + 1]
            if not letter:
                raise _fail("missing terminating ] for character class")
            self.at += 1
            if letter == "]":
                self.out.append("]")
                return
            self.class_item(letter)

    def class_item(self, letter: str) -> None:
        if letter == "\\":
            self.class_escape()
        elif letter == "[":
            posix = _POSIX.match(self.text, self.at - 1)
            if not posix:
                self.out.append("\\[")
                return
            items = _POSIX_NEGATED if posix[1] else _POSIX_ITEMS
            if posix[2] not in items:
                raise _fail("unknown POSIX class name")
            self.at = posix.end()
            self.out.append(items[posix[2]])
        elif letter == "-" and self.text[self.at : self.at + 1] not in ("-", ""):
            self.out.append("-")
        else:
            self.literal_in_class(letter)

    def literal_in_class(self, letter: str) -> None:
        self.out.append("\\" + letter if letter in "-&~|[#" else letter)

    def class_escape(self) -> None:
        letter = self.text[self.at : self.at + 1]
        if not letter:
            raise _fail("\\ at end of pattern")
        self.at += 1
        if letter == "b":
            self.out.append("\\x08")
        elif letter == "Q":
            self.quote()
        elif letter == "E":
            pass
        elif self.unicode and letter in "dDwWsS":
            self.out.append("\\" + letter)
        elif letter in _CLASS_ITEMS:
            self.out.append(_CLASS_ITEMS[letter])
        elif letter in "nrtpP":
            self.out.append("\\" + letter)
        elif letter.isdigit():
            self.at -= 1
            self.character("0")
        else:
            self.character(letter)


def translate(pattern: str, options: str) -> str:
    """Rewrite a PCRE pattern for `regex` (V1); MongoError 51091 for what PCRE refuses."""
    return _Translator(pattern, verbose="x" in options).run()


def literal_text(pattern: str, options: str) -> str | None:
    """Return the text that a pattern without any operator stands for, None if it has one."""
    if "i" in options or "x" in options:
        return None
    text, rest = _leading_literal(pattern)
    return text if rest == len(pattern) else None


def prefix_text(pattern: str, options: str) -> tuple[str, bool]:
    r"""Return what every match of an anchored pattern begins with (`^ab.*` gives `ab`).

    The second value tells that each text with that beginning matches, so that an index range is
    exact. The prefix is empty where there is none to be told.
    """
    if "i" in options or "m" in options or "x" in options or "|" in pattern:
        return "", False
    start = 1 if pattern.startswith("^") else 2 if pattern.startswith("\\A") else 0
    if not start:
        return "", False
    text, rest = _leading_literal(pattern[start:])
    tail = pattern[start + rest :]
    if tail[:1] in ("*", "?", "{"):
        return text[:-1], False
    if tail[:1] == "+":
        return text, tail == "+"
    return text, tail in ("", ".*")


def _leading_literal(pattern: str) -> tuple[str, int]:
    r"""Return the literal text a pattern begins with, and where it ends (`\Q…\E` included)."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            following = pattern[at + 1 : at + 2]
            if following == "Q":
                end = pattern.find("\\E", at + 2)
                stop = len(pattern) if end < 0 else end
                quoted = pattern[at + 2 : stop]
                behind = stop if end < 0 else end + 2
                if not quoted and behind < len(pattern):
                    break
                out.append(quoted)
                at = behind
                continue
            if not following or following.isalnum() or following == "_":
                break
            out.append(following)
            at += 2
        elif letter in _META:
            break
        else:
            out.append(letter)
            at += 1
    return "".join(out), at


def repetitions(pattern: str, options: str) -> int | None:
    """Count the repetitions in a plain pattern; None for one that is not plain.

    A plain pattern has no group, alternative or reference in it, so that at each place of a text
    an engine without memory takes at most `length ** repetitions` steps. Only what both engines
    understand alike is let through.
    """
    if "x" in options or "m" in options or "s" in options:
        return None
    found = _PLAIN.fullmatch(pattern)
    if found is None:
        return None
    return sum(sign in _QUANTIFIERS for sign in _REPEATED.findall(pattern))


_ATOM: Final = (
    r"(?:[\w\s\-@:/,;=&%!<>'\"~`.]|\\[.^$*+?()\[\]{}|\\/\-dws]|\[\^?(?:\w-\w|[\w\s.@,;:/])+\])"
)
_PLAIN: Final = re.compile(rf"\^?(?:{_ATOM}[*+?]?)*\$?", re.ASCII)
_REPEATED: Final = re.compile(r"\\.|[*+?]", re.DOTALL)
_QUANTIFIERS: Final = ("*", "+", "?")
