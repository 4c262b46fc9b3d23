"""The tree compiled to closures: one row of `COMPILERS` a kind of node.

A *match* takes `(document, env)`; a *test* takes one value (see `traverse`). Nodes with a path
have both: the test of the value at the end, and the match that walks a document to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.exact_codec import regex_options
from psdb_base.values import MISSING, Symbol
from psdb_query.context import CompileContext, Env
from psdb_query.filters import predicates, tree
from psdb_query.filters.operands import is_regex
from psdb_query.filters.traverse import Test, match_path

Match: TypeAlias = Callable[[Any, Env], bool]

_NO_ENV: Final[Env] = {}


def compile_match(node: tree.Node, ctx: CompileContext) -> Match:
    """Compile a node to a test of whole documents."""
    return COMPILERS[type(node)](node, ctx)


def compile_test(node: Any, ctx: CompileContext) -> Test:
    """Compile a node with a path to a test of the value at its end."""
    return TESTS[type(node)](node, ctx)


def looks_at_elements(node: Any) -> bool:
    """Tell whether an array at the end of the path gives its elements to the test as well."""
    return type(node) not in _WHOLE_ARRAY


_WHOLE_ARRAY: Final = frozenset({tree.ElemMatchObject, tree.ElemMatchValue, tree.Size})


# Tests of values.


def _test_compare(node: tree.Compare, ctx: CompileContext) -> Test:
    return predicates.comparison(node.op, node.value, ctx.collation)


def _test_in(node: tree.In, ctx: CompileContext) -> Test:
    among = predicates.membership(node.values, ctx.collation)
    if not node.regexes:
        return among
    tests = [_test_regex(regex, ctx) for regex in node.regexes]

    def test(value: Any) -> bool:
        return among(value) or any(found(value) for found in tests)

    return test


def _test_regex(node: tree.Regex, _ctx: CompileContext) -> Test:
    from psdb_query.regex_engine import compile_regex

    found = compile_regex(node.pattern, node.options).test
    literal = (node.pattern, "".join(sorted(node.options)))

    def test(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            return found(value)
        if kind is Symbol:
            return found(value.name)
        return is_regex(value) and regex_options(value) == literal

    return test


def _test_exists(_node: tree.Exists, _ctx: CompileContext) -> Test:
    return predicates.exists


def _test_type(node: tree.Type, _ctx: CompileContext) -> Test:
    return predicates.has_type(node.codes, number=node.number)


def _test_mod(node: tree.Mod, _ctx: CompileContext) -> Test:
    return predicates.modulo(node.divisor, node.remainder)


def _test_size(node: tree.Size, _ctx: CompileContext) -> Test:
    return predicates.has_size(node.count)


def _test_bits(node: tree.Bits, _ctx: CompileContext) -> Test:
    return predicates.bits(node.op, node.mask)


def _test_elem_match_object(node: tree.ElemMatchObject, ctx: CompileContext) -> Test:
    position = elem_match_position(node, ctx)
    return lambda value: position(value) is not None


def _test_elem_match_value(node: tree.ElemMatchValue, ctx: CompileContext) -> Test:
    position = elem_match_position(node, ctx)
    return lambda value: position(value) is not None


def elem_match_position(
    node: tree.ElemMatchObject | tree.ElemMatchValue, ctx: CompileContext
) -> Callable[[Any], int | None]:
    """Compile an `$elemMatch` to a function giving the index of the first matching element."""
    if isinstance(node, tree.ElemMatchValue):
        tests = [compile_test(child, ctx) for child in node.children]

        def value_position(array: Any) -> int | None:
            if array.__class__ is list:
                for index, element in enumerate(array):
                    if all(test(element) for test in tests):
                        return index
            return None

        return value_position
    match = compile_match(node.child, ctx)

    def object_position(array: Any) -> int | None:
        if array.__class__ is list:
            for index, element in enumerate(array):
                kind = element.__class__
                if kind is dict:
                    if match(element, _NO_ENV):
                        return index
                elif kind is list:
                    # An array is looked into as a document whose names are the positions.
                    if match({str(at): item for at, item in enumerate(element)}, _NO_ENV):
                        return index
        return None

    return object_position


def _test_not(node: tree.Not, ctx: CompileContext) -> Test:
    child = compile_test(node.child, ctx)
    return lambda value: not child(value)


def _test_and(node: tree.And, ctx: CompileContext) -> Test:
    tests = [compile_test(child, ctx) for child in node.children]
    return lambda value: all(test(value) for test in tests)


def _test_always(node: tree.Always, _ctx: CompileContext) -> Test:
    answer = node.value
    return lambda _value: answer


def _test_within(node: tree.GeoWithin, _ctx: CompileContext) -> Test:
    from psdb_query.geo.match import within

    return within(node.region)


def _test_intersects(node: tree.GeoIntersects, _ctx: CompileContext) -> Test:
    from psdb_query.geo.match import intersects

    return intersects(node.region)


def _test_near(node: tree.Near, _ctx: CompileContext) -> Test:
    from psdb_query.geo.match import distance_of_value

    distance = distance_of_value(node.near)
    return lambda value: distance(value) is not None


TESTS: Final[dict[type, Callable[[Any, CompileContext], Test]]] = {
    tree.Always: _test_always,
    tree.And: _test_and,
    tree.Bits: _test_bits,
    tree.Compare: _test_compare,
    tree.ElemMatchObject: _test_elem_match_object,
    tree.ElemMatchValue: _test_elem_match_value,
    tree.Exists: _test_exists,
    tree.GeoIntersects: _test_intersects,
    tree.GeoWithin: _test_within,
    tree.In: _test_in,
    tree.Mod: _test_mod,
    tree.Near: _test_near,
    tree.Not: _test_not,
    tree.Regex: _test_regex,
    tree.Size: _test_size,
    tree.Type: _test_type,
}
"""Nodes that can look at a single value (those a `$elemMatch` of values may hold)."""


# Matches of documents.


def _match_leaf(node: Any, ctx: CompileContext) -> Match:
    test = compile_test(node, ctx)
    elements = looks_at_elements(node)
    name = node.path
    if "." in name:
        walk = match_path(tuple(name.split(".")), test, elements=elements)
        return lambda document, _env: walk(document)
    if not elements:
        return lambda document, _env: test(document.get(name, MISSING))

    # What `match_path` gives for one field, without a call between.
    def match_field(document: Any, _env: Env) -> bool:
        value = document.get(name, MISSING)
        if value.__class__ is list:
            for element in value:
                if test(element):
                    return True
        return test(value)

    return match_field


def _match_and(node: tree.And, ctx: CompileContext) -> Match:
    matches = [compile_match(child, ctx) for child in node.children]
    if not matches:
        return lambda _document, _env: True
    if len(matches) == 2:
        first, second = matches
        return lambda document, env: first(document, env) and second(document, env)

    def match_all(document: Any, env: Env) -> bool:
        for match in matches:  # noqa: SIM110 -- a generator would cost a frame
            if not match(document, env):
                return False
        return True

    return match_all


def _match_or(node: tree.Or, ctx: CompileContext) -> Match:
    matches = [compile_match(child, ctx) for child in node.children]

    def match_any(document: Any, env: Env) -> bool:
        for match in matches:  # noqa: SIM110 -- a generator would cost a frame
            if match(document, env):
                return True
        return False

    return match_any


def _match_nor(node: tree.Nor, ctx: CompileContext) -> Match:
    some = _match_or(tree.Or(node.children), ctx)
    return lambda document, env: not some(document, env)


def _match_not(node: tree.Not, ctx: CompileContext) -> Match:
    match = compile_match(node.child, ctx)
    return lambda document, env: not match(document, env)


def _match_always(node: tree.Always, _ctx: CompileContext) -> Match:
    answer = node.value
    return lambda _document, _env: answer


def _match_expr(node: tree.ExprNode, _ctx: CompileContext) -> Match:
    from psdb_query.expressions.core import truthy

    evaluate = node.expression.evaluate
    return lambda document, env: truthy(evaluate(document, env))


def _match_json_schema(node: tree.JsonSchema, _ctx: CompileContext) -> Match:
    validates = node.schema.validates
    return lambda document, _env: validates(document)


def _match_where(node: tree.Where, ctx: CompileContext) -> Match:
    if ctx.javascript is None:
        raise MongoError(Code.BAD_VALUE, "no globalScriptEngine in $where parsing")
    match: Match = ctx.javascript.compile_where(node.code, node.scope)
    return match


def _match_text(node: tree.Text, _ctx: CompileContext) -> Match:
    test = node.test
    if test is not None:
        return lambda document, _env: test(document)

    def refuse(_document: Any, _env: Env) -> bool:
        raise MongoError(Code.INDEX_NOT_FOUND, "text index required for $text query")

    return refuse


def _match_sample_rate(node: tree.SampleRate, ctx: CompileContext) -> Match:
    rate = node.rate
    if rate in (0.0, 1.0):
        return _match_always(tree.Always(rate == 1.0), ctx)
    random = ctx.random
    if random is None:
        raise MongoError(Code.BAD_VALUE, "$sampleRate is not allowed in this context")
    return lambda _document, _env: random() < rate


def _match_guard(node: tree.Guard, _ctx: CompileContext) -> Match:
    matches = node.rule.matches
    return lambda document, _env: matches(document)


COMPILERS: Final[dict[type, Callable[[Any, CompileContext], Match]]] = {
    tree.Always: _match_always,
    tree.And: _match_and,
    tree.Bits: _match_leaf,
    tree.Compare: _match_leaf,
    tree.ElemMatchObject: _match_leaf,
    tree.ElemMatchValue: _match_leaf,
    tree.Exists: _match_leaf,
    tree.ExprNode: _match_expr,
    tree.GeoIntersects: _match_leaf,
    tree.GeoWithin: _match_leaf,
    tree.Guard: _match_guard,
    tree.In: _match_leaf,
    tree.JsonSchema: _match_json_schema,
    tree.Mod: _match_leaf,
    tree.Near: _match_leaf,
    tree.Nor: _match_nor,
    tree.Not: _match_not,
    tree.Or: _match_or,
    tree.Regex: _match_leaf,
    tree.SampleRate: _match_sample_rate,
    tree.Size: _match_leaf,
    tree.Text: _match_text,
    tree.Type: _match_leaf,
    tree.Where: _match_where,
}
