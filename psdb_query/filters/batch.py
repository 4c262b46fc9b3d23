"""Scans of decoded documents: one list comprehension a shape of filter.

The commonest shapes (one top-level field against a number or a string) are spelt out, so that
a document costs no function call; what is rare (arrays, decimals, symbols) takes the general
path. Everything else calls the compiled match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.values import Symbol
from psdb_query.context import CompileContext, Env
from psdb_query.filters import tree
from psdb_query.filters.build import Match, compile_match
from psdb_query.filters.predicates import is_nan

Batch: TypeAlias = Callable[[list[Any], Env], list[Any]]
"""`(documents, env) -> those that match`."""

_RARE_NUMBER: Final = frozenset({Decimal128, Int64, list})
_RARE_STRING: Final = frozenset({Symbol, list})
_NUMBERS: Final = frozenset({Int64, float, int})


def compile_batch(node: tree.Node, match: Match, ctx: CompileContext) -> Batch:
    """Return the fastest scan for a filter; `match` is its compiled form."""
    if isinstance(node, tree.And) and node.children:
        return _conjunction([compile_batch(n, compile_match(n, ctx), ctx) for n in node.children])
    if isinstance(node, tree.Guard):
        select = node.rule.select
        return lambda docs, _env: select(docs)
    if isinstance(node, tree.Compare) and "." not in node.path:
        kind = node.value.__class__
        if kind in _NUMBERS and not is_nan(node.value):
            value = node.value if kind is float else int(node.value)
            return _NUMBER[node.op](node.path, value, match)
        if kind is str and ctx.collation is None:
            return _STRING[node.op](node.path, node.value, match)
    if isinstance(node, tree.In) and "." not in node.path and ctx.collation is None:
        kinds = {value.__class__ for value in node.values}
        if kinds == {str} and not node.regexes:
            return _strings_in(node.path, frozenset(node.values), match)
    if isinstance(node, tree.And) and not node.children:
        return lambda docs, _env: list(docs)
    return lambda docs, env: [doc for doc in docs if match(doc, env)]


def _conjunction(scans: list[Batch]) -> Batch:
    """Scan for the first condition, what is left for the second, and so on."""

    def scan(docs: list[Any], env: Env) -> list[Any]:
        for next_scan in scans:
            docs = next_scan(docs, env)
        return docs

    return scan


def _number_eq(name: str, operand: float, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if (
                ((kind := (value := doc.get(name)).__class__) is int or kind is float)
                and value == operand
            )
            or (kind in _RARE_NUMBER and match(doc, env))
        ]

    return scan


def _number_gt(name: str, operand: float, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if (
                ((kind := (value := doc.get(name)).__class__) is int or kind is float)
                and value > operand
            )
            or (kind in _RARE_NUMBER and match(doc, env))
        ]

    return scan


def _number_gte(name: str, operand: float, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if (
                ((kind := (value := doc.get(name)).__class__) is int or kind is float)
                and value >= operand
            )
            or (kind in _RARE_NUMBER and match(doc, env))
        ]

    return scan


def _number_lt(name: str, operand: float, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if (
                ((kind := (value := doc.get(name)).__class__) is int or kind is float)
                and value < operand
            )
            or (kind in _RARE_NUMBER and match(doc, env))
        ]

    return scan


def _number_lte(name: str, operand: float, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if (
                ((kind := (value := doc.get(name)).__class__) is int or kind is float)
                and value <= operand
            )
            or (kind in _RARE_NUMBER and match(doc, env))
        ]

    return scan


def _string_eq(name: str, operand: str, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        try:
            return [
                doc
                for doc in docs
                if (value := doc[name]) == operand
                or (
                    value.__class__ is not str
                    and value.__class__ in _RARE_STRING
                    and match(doc, env)
                )
            ]
        except KeyError:  # a document has no such field
            return [
                doc
                for doc in docs
                if (value := doc.get(name)) == operand
                or (value.__class__ in _RARE_STRING and match(doc, env))
            ]

    return scan


def _strings_in(name: str, operands: frozenset[str], match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if ((kind := (value := doc.get(name)).__class__) is str and value in operands)
            or (kind in _RARE_STRING and match(doc, env))
        ]

    return scan


def _string_gt(name: str, operand: str, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if ((kind := (value := doc.get(name)).__class__) is str and value > operand)
            or (kind in _RARE_STRING and match(doc, env))
        ]

    return scan


def _string_gte(name: str, operand: str, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if ((kind := (value := doc.get(name)).__class__) is str and value >= operand)
            or (kind in _RARE_STRING and match(doc, env))
        ]

    return scan


def _string_lt(name: str, operand: str, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if ((kind := (value := doc.get(name)).__class__) is str and value < operand)
            or (kind in _RARE_STRING and match(doc, env))
        ]

    return scan


def _string_lte(name: str, operand: str, match: Match) -> Batch:
    def scan(docs: list[Any], env: Env) -> list[Any]:
        return [
            doc
            for doc in docs
            if ((kind := (value := doc.get(name)).__class__) is str and value <= operand)
            or (kind in _RARE_STRING and match(doc, env))
        ]

    return scan


_NUMBER: Final[dict[tree.CompareOp, Callable[[str, float, Match], Batch]]] = {
    "$eq": _number_eq,
    "$gt": _number_gt,
    "$gte": _number_gte,
    "$lt": _number_lt,
    "$lte": _number_lte,
}

_STRING: Final[dict[tree.CompareOp, Callable[[str, str, Match], Batch]]] = {
    "$eq": _string_eq,
    "$gt": _string_gt,
    "$gte": _string_gte,
    "$lt": _string_lt,
    "$lte": _string_lte,
}
