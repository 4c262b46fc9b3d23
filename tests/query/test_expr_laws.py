"""Laws over random expressions: a result or a MongoError, and folding changes nothing."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp
from expression_kit import FOLDING, NOT_FOLDING, exactly, same_failure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import bson_values

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, make_env
from psdb_query.describe import TYPE_NAMES
from psdb_query.expressions import compile_expression
from psdb_query.expressions.table import OPERATORS

MINE = frozenset(
    (
        "aggregates", "arithmetic", "bitwise", "boolean", "comparison", "conditional", "regex_ops",
        "strings", "trigonometry", "variables",
    )
)  # fmt: skip


def _is_there(family: str) -> bool:
    return importlib.util.find_spec(f"psdb_query.expressions.{family}") is not None


NAMES = sorted(
    name
    for name, family in OPERATORS.items()
    if family is not None and _is_there(family) and name not in {"$rand", "$function"}
)
OWN_NAMES = sorted(name for name in NAMES if OPERATORS[name] in MINE)
WORDS = [
    "as", "branches", "case", "chars", "cond", "default", "else", "find", "if", "in", "input",
    "method", "options", "p", "regex", "replacement", "then", "vars", "x",
]  # fmt: skip
SHAPES: dict[str, tuple[str, ...]] = {
    "$cond": ("if", "then", "else"),
    "$filter": ("input", "cond"),
    "$let": ("vars", "in"),
    "$ltrim": ("input", "chars"),
    "$map": ("input", "in"),
    "$median": ("input", "method"),
    "$percentile": ("input", "p", "method"),
    "$regexFind": ("input", "regex", "options"),
    "$regexFindAll": ("input", "regex"),
    "$regexMatch": ("input", "regex"),
    "$replaceAll": ("input", "find", "replacement"),
    "$replaceOne": ("input", "find", "replacement"),
    "$rtrim": ("input",),
    "$trim": ("input", "chars"),
}
SIZES = dict.fromkeys(
    (
        "$atan2", "$cmp", "$divide", "$eq", "$gt", "$gte", "$ifNull", "$indexOfBytes",
        "$indexOfCP", "$log", "$lt", "$lte", "$mod", "$ne", "$pow", "$round", "$split",
        "$strcasecmp", "$subtract", "$trunc",
    ),
    2,
) | dict.fromkeys(("$cond", "$substr", "$substrBytes", "$substrCP"), 3)  # fmt: skip
"""Operands that an operator takes, where it is not one or any number of them."""
TEXTS = [
    "$a", "$b", "$a.b", "$a.0", "$$ROOT", "$$CURRENT.a", "$$REMOVE", "$$NOW", "$$this", "$$x",
    "a", "", "abc", "approximate", "i", "(a|b)+", "[", "$", "$$", "$.", "$a.", "é😀",
]  # fmt: skip

leaves = st.sampled_from(TEXTS) | st.integers(-3, 40) | bson_values()


def _operator(names: list[str], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def argument(name: str) -> st.SearchStrategy[Any]:
        size = SIZES.get(name, 1)
        listed = st.lists(inner, min_size=size, max_size=size)
        loose = st.lists(inner, max_size=4)
        by_words = st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
        choices = [listed] * 8 + [inner, loose, by_words]
        if name in SHAPES:
            choices += [st.fixed_dictionaries(dict.fromkeys(SHAPES[name], inner))] * 20
        if name == "$switch":
            branch = st.fixed_dictionaries({"case": inner, "then": inner})
            branches = st.lists(branch, max_size=3)
            choices += [st.fixed_dictionaries({"branches": branches, "default": inner})] * 20
        if name == "$let":
            bound = st.dictionaries(st.sampled_from(["x", "CURRENT", "X"]), inner, max_size=2)
            choices += [st.fixed_dictionaries({"vars": bound, "in": inner})] * 20
        return st.one_of(choices).map(lambda operand: {name: operand})

    return st.sampled_from(names).flatmap(argument)


def expressions(names: list[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            _operator(names, inner)
            | _operator(names, inner)
            | st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=2)
            | st.fixed_dictionaries({"a": inner}, optional={"$x": inner, "a.b": inner, "": inner})
        ),
        max_leaves=8,
    )


documents = st.fixed_dictionaries({}, optional={"a": bson_values(), "b": bson_values()})
ENV = make_env(DatetimeMS(1_700_000_000_000), Timestamp(1, 1), {"x": 5})
VARIABLES = frozenset(("x",))


def outcome(expression: Any, doc: dict[str, Any], ctx: CompileContext) -> Any:
    try:
        return compile_expression(expression, ctx.binding("x")).evaluate(doc, dict(ENV))
    except MongoError as error:
        return error


def is_bson(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_bson(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_bson, value))
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in TYPE_NAMES and value is not MISSING


def check_laws(expression: Any, doc: dict[str, Any]) -> None:
    before = repr(doc)
    found = outcome(expression, doc, FOLDING)
    assert repr(doc) == before
    assert isinstance(found, MongoError) or found is MISSING or is_bson(found), found
    unfolded = outcome(expression, doc, NOT_FOLDING)
    if isinstance(found, MongoError) or isinstance(unfolded, MongoError):
        assert same_failure(found, unfolded) or isinstance(found, MongoError), (found, unfolded)
    else:
        assert exactly(found, unfolded), (found, unfolded)


relaxed = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(relaxed, max_examples=200)
@given(expressions(OWN_NAMES), documents)
def test_own_families(expression: Any, doc: dict[str, Any]) -> None:
    check_laws(expression, doc)


@settings(relaxed, max_examples=150)
@given(expressions(NAMES), documents)
def test_all_families(expression: Any, doc: dict[str, Any]) -> None:
    check_laws(expression, doc)


@pytest.mark.soak
@settings(relaxed, max_examples=50_000)
@given(expressions(NAMES), documents)
def test_all_families_for_long(expression: Any, doc: dict[str, Any]) -> None:
    check_laws(expression, doc)
