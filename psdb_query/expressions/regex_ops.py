"""`$regexMatch`, `$regexFind` and `$regexFindAll`.

A pattern and options that are constants are compiled once, with the expression. The order of
the checks is MongoDB's: form of pattern and options, options' letters, pattern, then input.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from bson.regex import Regex

from psdb_base.errors import MongoError
from psdb_base.values import RawRegex
from psdb_query.context import CompileContext, Env
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_named,
    constant,
    derive,
    is_nullish,
    looping,
)
from psdb_query.regex_engine import CompiledRegex, Match, compile_regex

_RESULT_BYTES_MAX: Final = 64 * 1024 * 1024
_MATCH_BYTES: Final = 100
"""What one match costs besides its text."""
_LETTERS: Final = (
    ("i", re.IGNORECASE), ("l", re.LOCALE), ("m", re.MULTILINE), ("s", re.DOTALL),
    ("u", re.UNICODE), ("x", re.VERBOSE),
)
"""Option letters and the flags by which PyMongo's `Regex` keeps them."""

_Find = Callable[[CompiledRegex | None, str | None], Any]


def _text_and_letters(pattern: Any) -> tuple[str, str]:
    """Return pattern and options of a regex value."""
    if type(pattern) is RawRegex:
        return pattern.pattern, pattern.options
    text = pattern.pattern
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    letters = "".join(letter for letter, flag in _LETTERS if pattern.flags & flag)
    return text, letters


def _compile_pattern(name: str, pattern: Any, options: Any) -> CompiledRegex | None:
    """Check and compile; None when the pattern is nullish."""
    is_regex = type(pattern) is Regex or type(pattern) is RawRegex
    if not (is_regex or type(pattern) is str or is_nullish(pattern)):
        raise MongoError(51105, f"{name} needs 'regex' to be of type string or regex")
    if type(options) is not str and not is_nullish(options):
        raise MongoError(51106, f"{name} needs 'options' to be of type string")
    text, letters = _text_and_letters(pattern) if is_regex else (pattern, "")
    if letters and not is_nullish(options):
        raise MongoError(
            51107, f"{name}: found regex option(s) specified in both 'regex' and 'option' fields"
        )
    letters = letters if is_nullish(options) else options
    if type(text) is str and "\0" in text:
        raise MongoError(51109, f"{name}: regular expression cannot contain an embedded null byte")
    if "\0" in letters:
        raise MongoError(
            51110, f"{name}: regular expression options cannot contain an embedded null byte"
        )
    if type(text) is not str:
        return None
    try:
        return compile_regex(text, letters)
    except MongoError as error:
        if error.code == 51108:
            raise MongoError(51108, f"{name} {error.message.strip()}") from None
        reason = error.message.removeprefix("Regular expression is invalid: ")
        raise MongoError(51111, f"Invalid Regex in {name}: {reason}") from None


def _regex_operator(name: str, find: _Find) -> Operator:
    fields = Named(
        name,
        required=("input", "regex"),
        optional=("options",),
        not_object=(51103, "{name} expects an object of named arguments but found: {type}"),
        unknown=(31024, "{name} found an unknown argument: {field}"),
        missing={
            "input": (31022, "{name} requires 'input' parameter"),
            "regex": (31023, "{name} requires 'regex' parameter"),
        },
    )

    def compile_operator(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_named(spec, ctx, fields)
        given, pattern = operands["input"].evaluate, operands["regex"]
        options = operands.get("options", constant(None))
        known = pattern.is_constant and options.is_constant and ctx.fold
        ready = _compile_pattern(name, pattern.value, options.value) if known else None

        def evaluate(doc: Any, env: Env) -> Any:
            text = given(doc, env)
            compiled = ready
            if not known:
                compiled = _compile_pattern(
                    name, pattern.evaluate(doc, env), options.evaluate(doc, env)
                )
            if type(text) is not str:
                if not is_nullish(text):
                    raise MongoError(51104, f"{name} needs 'input' to be of type string")
                text = None
            return find(compiled, text)

        expr = derive(evaluate, operands.values())
        is_quick = known and (ready is None or ready.is_bounded)
        return expr if is_quick else looping(expr, ctx)

    return Operator(compile_operator)


def _match(compiled: CompiledRegex | None, text: str | None) -> bool:
    return compiled is not None and text is not None and compiled.test(text)


def _described(match: Match) -> dict[str, Any]:
    return {"match": match.group(), "idx": match.start(), "captures": list(match.groups())}


def _find(compiled: CompiledRegex | None, text: str | None) -> dict[str, Any] | None:
    if compiled is None or text is None:
        return None
    match = compiled.search(text)
    return None if match is None else _described(match)


def _find_all(compiled: CompiledRegex | None, text: str | None) -> list[dict[str, Any]]:
    """Find matches that do not overlap; an empty one is found at the end of an empty text only."""
    found: list[dict[str, Any]] = []
    if compiled is None or text is None:
        return found
    size = start = 0
    while True:
        match = compiled.search(text, start)
        if match is None:
            return found
        size += _MATCH_BYTES + 4 * (match.end() - match.start())
        if size > _RESULT_BYTES_MAX:
            raise MongoError(
                51151,
                "$regexFindAll: the size of buffer to store output exceeded the 64MB limit",
            )
        found.append(_described(match))
        start = match.end() + (match.end() == match.start())
        if start >= len(text):
            return found


OPERATORS: Final[dict[str, Operator]] = {
    "$regexFind": _regex_operator("$regexFind", _find),
    "$regexFindAll": _regex_operator("$regexFindAll", _find_all),
    "$regexMatch": _regex_operator("$regexMatch", _match),
}
