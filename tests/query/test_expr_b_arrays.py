"""Array expressions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from psdb_base import order
from psdb_base.values import UNDEFINED
from psdb_query.context import DEFAULT_CONTEXT
from tests.query.expr_b_tools import DEC, Case, Fails, L, check, environment, exact, run, table
from tests.strategies import bson_values

GONE = {"none": True}
"""A document without the fields that are asked for."""


class Caseless:
    """A collation in which letter case does not count."""

    def sort_key(self, text: str) -> bytes:
        return text.lower().encode()


BY_POSITION: list[Case] = [
    ("arrayElemAt", {"$arrayElemAt": [[1, 2, 3], 0]}, {}, 1),
    ("arrayElemAt", {"$arrayElemAt": [[1, 2, 3], -2]}, {}, 2),
    ("arrayElemAt", {"a": {"$arrayElemAt": [[1, 2, 3], 15]}}, {}, {}),
    ("arrayElemAt", {"a": {"$arrayElemAt": [[1, 2, 3], -4]}}, {}, {}),
    ("arrayElemAt", {"$arrayElemAt": ["$a", 0]}, {"a": ["cake", "pie"]}, "cake"),
    ("arrayElemAt", {"$arrayElemAt": ["$a", -1]}, {"a": ["cake", "pie"]}, "pie"),
    ("arrayElemAt", {"$arrayElemAt": ["$a", 1.0]}, {"a": [1, L(2)]}, L(2)),
    ("arrayElemAt", {"$arrayElemAt": ["$a", DEC("1")]}, {"a": [1, 2]}, 2),
    ("arrayElemAt", {"$arrayElemAt": ["$a", L(0)]}, {"a": [None]}, None),
    ("arrayElemAt", {"$arrayElemAt": ["$gone", 0]}, GONE, None),
    ("arrayElemAt", {"$arrayElemAt": [None, "x"]}, {}, None),
    ("arrayElemAt", {"$arrayElemAt": ["x", None]}, {}, None),
    ("arrayElemAt", {"$arrayElemAt": ["$u", 0]}, {"u": UNDEFINED}, None),
    ("arrayElemAt", {"$arrayElemAt": ["x", 0]}, {}, Fails(
        28689, "$arrayElemAt's first argument must be an array, but is string")),
    ("arrayElemAt", {"$arrayElemAt": [[1], "0"]}, {}, Fails(
        28690, "$arrayElemAt's second argument must be a numeric value, but is string")),
    ("arrayElemAt", {"$arrayElemAt": [[1], True]}, {}, Fails(28690)),
    ("arrayElemAt", {"$arrayElemAt": [[1], 1.5]}, {}, Fails(
        28691, "$arrayElemAt's second argument must be representable as a 32-bit integer: 1.5")),
    ("arrayElemAt", {"$arrayElemAt": [[1], L(2**31)]}, {}, Fails(28691)),
    ("arrayElemAt", {"$arrayElemAt": [[1], float("nan")]}, {}, Fails(28691)),
    ("arrayElemAt", {"$arrayElemAt": [[1]]}, {}, Fails(
        16020, "Expression $arrayElemAt takes exactly 2 arguments. 1 were passed in.")),
    ("first", {"$first": "$a"}, {"a": [1, 2]}, 1),
    ("first", {"$first": [[1, 2]]}, {}, 1),
    ("first", {"a": {"$first": "$a"}}, {"a": []}, {}),
    ("first", {"$first": "$gone"}, GONE, None),
    ("first", {"$first": "$a"}, {"a": [None]}, None),
    ("first", {"$first": "$a"}, {"a": 5}, Fails(
        28689, "$first's argument must be an array, but is int")),
    ("last", {"$last": "$a"}, {"a": [1, 2]}, 2),
    ("last", {"a": {"$last": "$a"}}, {"a": []}, {}),
    ("last", {"$last": None}, {}, None),
    ("last", {"$last": "x"}, {}, Fails(28689, "$last's argument must be an array, but is string")),
    ("concatArrays", {"$concatArrays": [["hello", " "], ["world"]]}, {}, ["hello", " ", "world"]),
    ("concatArrays", {"$concatArrays": [["hello", " "], [["world"], "again"]]}, {},
     ["hello", " ", ["world"], "again"]),
    ("concatArrays", {"$concatArrays": ["$a", "$b"]}, {"a": [1], "b": [1, None]}, [1, 1, None]),
    ("concatArrays", {"$concatArrays": ["$a", None]}, {"a": [1]}, None),
    ("concatArrays", {"$concatArrays": ["$gone", 5]}, GONE, None),
    ("concatArrays", {"$concatArrays": []}, {}, []),
    ("concatArrays", {"$concatArrays": "$a"}, {"a": [1]}, [1]),
    ("concatArrays", {"$concatArrays": [[1], 5]}, {}, Fails(
        28664, "$concatArrays only supports arrays, not int")),
    ("isArray", {"$isArray": "hello"}, {}, False),
    ("isArray", {"$isArray": ["hello"]}, {}, False),
    ("isArray", {"$isArray": [["hello"]]}, {}, True),
    ("isArray", {"$isArray": "$a"}, {"a": []}, True),
    ("isArray", {"$isArray": "$gone"}, GONE, False),
    ("isArray", {"$isArray": [1, 2]}, {}, Fails(16020)),
    ("size", {"$size": "$a"}, {"a": ["red", "blue"]}, 2),
    ("size", {"$size": [[]]}, {}, 0),
    ("size", {"$size": "$gone"}, GONE, Fails(
        17124, "The argument to $size must be an array, but was of type: missing")),
    ("size", {"$size": None}, {}, Fails(17124)),
    ("size", {"$size": {"$literal": {}}}, {}, Fails(
        17124, "The argument to $size must be an array, but was of type: object")),
    ("reverseArray", {"$reverseArray": [[1, 2, 3]]}, {}, [3, 2, 1]),
    ("reverseArray", {"$reverseArray": {"$slice": [["foo", "bar", "baz"], 1, 2]}}, {},
     ["baz", "bar"]),
    ("reverseArray", {"$reverseArray": None}, {}, None),
    ("reverseArray", {"$reverseArray": [[]]}, {}, []),
    ("reverseArray", {"$reverseArray": [[[1, 2, 3], [4, 5, 6]]]}, {}, [[4, 5, 6], [1, 2, 3]]),
    ("reverseArray", {"$reverseArray": "x"}, {}, Fails(
        34435, "The argument to $reverseArray must be an array, but was of type: string")),
    ("slice", {"$slice": [[1, 2, 3], 1, 1]}, {}, [2]),
    ("slice", {"$slice": [[1, 2, 3], -2]}, {}, [2, 3]),
    ("slice", {"$slice": [[1, 2, 3], 15, 2]}, {}, []),
    ("slice", {"$slice": [[1, 2, 3], -15, 2]}, {}, [1, 2]),
    ("slice", {"$slice": [[1, 2, 3], 2]}, {}, [1, 2]),
    ("slice", {"$slice": [[1, 2, 3], 0]}, {}, []),
    ("slice", {"$slice": [[1, 2, 3], 9]}, {}, [1, 2, 3]),
    ("slice", {"$slice": [[1, 2, 3], -9]}, {}, [1, 2, 3]),
    ("slice", {"$slice": [[1, 2, 3], -1, 5]}, {}, [3]),
    ("slice", {"$slice": [[1, 2, 3], 2.0, DEC("1")]}, {}, [3]),
    ("slice", {"$slice": [None, 1]}, {}, None),
    ("slice", {"$slice": [[1], "$gone"]}, GONE, None),
    ("slice", {"$slice": [[1], 1, None]}, {}, None),
    ("slice", {"$slice": ["x", 1]}, {}, Fails(
        28724, "First argument to $slice must be an array, but is of type: string")),
    ("slice", {"$slice": [[1], "1"]}, {}, Fails(
        28725, "Second argument to $slice must be a numeric value, but is of type: string")),
    ("slice", {"$slice": [[1], 0.5]}, {}, Fails(
        28726, "Second argument to $slice can't be represented as a 32-bit integer: 0.5")),
    ("slice", {"$slice": [[1], 1, "1"]}, {}, Fails(
        28727, "Third argument to $slice must be numeric, but is of type: string")),
    ("slice", {"$slice": [[1], 1, 1e10]}, {}, Fails(28728)),
    ("slice", {"$slice": [[1], 1, 0]}, {}, Fails(
        28729, "Third argument to $slice must be positive: 0")),
    ("slice", {"$slice": [[1], 1, -1]}, {}, Fails(28729)),
    ("slice", {"$slice": [[1]]}, {}, Fails(28667)),
    ("range", {"$range": [0, 10, 2]}, {}, [0, 2, 4, 6, 8]),
    ("range", {"$range": [10, 0, -2]}, {}, [10, 8, 6, 4, 2]),
    ("range", {"$range": [0, 10, -2]}, {}, []),
    ("range", {"$range": [0, 5]}, {}, [0, 1, 2, 3, 4]),
    ("range", {"$range": [0, "$d", 25]}, {"d": 42}, [0, 25]),
    ("range", {"$range": [0.0, DEC("2"), L(1)]}, {}, [0, 1]),
    ("range", {"$range": ["0", 1]}, {}, Fails(
        34443, "$range requires a numeric starting value, found value of type: string")),
    ("range", {"$range": [None, 1]}, {}, Fails(34443)),
    ("range", {"$range": [1.5, 1]}, {}, Fails(
        34444, "$range requires a starting value that can be represented as a 32-bit integer, "
        "found value: 1.5")),
    ("range", {"$range": [0, "1"]}, {}, Fails(34445)),
    ("range", {"$range": [0, L(2**31)]}, {}, Fails(34446)),
    ("range", {"$range": [0, 1, "1"]}, {}, Fails(
        34447, "$range requires a numeric step value, found value of type:string")),
    ("range", {"$range": [0, 1, 0.5]}, {}, Fails(34448)),
    ("range", {"$range": [0, 1, 0]}, {}, Fails(34449, "$range requires a non-zero step value")),
    ("range", {"$range": [-2147483648, 2147483647]}, {}, Fails(146)),
]  # fmt: skip

QUIZ = {"q": [5, 6, 7]}
SALES = {
    "items": [
        {"item_id": 43, "quantity": 2, "price": 10}, {"item_id": 2, "quantity": 1, "price": 240},
        {"item_id": 5, "quantity": 3, "price": 300},
    ]
}  # fmt: skip


def mapped(source: Any, body: Any, name: str | None = None) -> Any:
    fields = {"input": source, "in": body}
    return {"$map": fields if name is None else fields | {"as": name}}


def kept(source: Any, cond: Any, **more: Any) -> Any:
    return {"$filter": {"input": source, "cond": cond} | more}


def reduced(source: Any, initial: Any, body: Any) -> Any:
    return {"$reduce": {"input": source, "initialValue": initial, "in": body}}


def zipped(inputs: Any, **more: Any) -> Any:
    return {"$zip": {"inputs": inputs} | more}


LOOPS: list[Case] = [
    ("map", mapped("$q", {"$add": ["$$grade", 2]}, "grade"), QUIZ, [7, 8, 9]),
    ("map", mapped("$q", {"$add": ["$$this", 1]}), QUIZ, [6, 7, 8]),
    ("map", mapped("$q", "$gone"), QUIZ, [None, None, None]),
    ("map", mapped("$q", "$$ROOT.k"), QUIZ | {"k": 1}, [1, 1, 1]),
    ("map", mapped("$items", "$$i.price", "i"), SALES, [10, 240, 300]),
    ("map", mapped("$items", "$price", "CURRENT"), SALES, [10, 240, 300]),
    ("map", mapped("$items", "$$ROOT.k", "CURRENT"), SALES | {"k": 1}, [1, 1, 1]),
    ("map", mapped([[1, 2], [3]], mapped("$$this", {"$multiply": ["$$this", 10]})), {},
     [[10, 20], [30]]),
    ("map", mapped([1, 2], mapped([10, 20], {"$add": ["$$a", "$$b"]}, "b"), "a"), {},
     [[11, 21], [12, 22]]),
    ("map", {"$let": {"vars": {"this": 5}, "in": [mapped([1], "$$this"), "$$this"]}}, {}, [[1], 5]),
    ("map", mapped(None, 1), {}, None),
    ("map", mapped("$gone", {"$divide": ["$x", 0]}), GONE | {"x": 1}, None),
    ("map", mapped([], {"$divide": ["$x", 0]}), {"x": 1}, []),
    ("map", mapped([1], {"$divide": [1, 0]}), {}, Fails(2, "can't $divide by zero")),
    ("map", mapped("x", 1), {}, Fails(16883, "input to $map must be an array not string")),
    ("map", {"$map": 5}, {}, Fails(16878, "$map only supports an object as its argument")),
    ("map", {"$map": {"input": [], "foo": 1}}, {}, Fails(
        16879, "Unrecognized parameter to $map: foo")),
    ("map", {"$map": {"in": 1}}, {}, Fails(16880, "Missing 'input' parameter to $map")),
    ("map", {"$map": {"input": []}}, {}, Fails(16882, "Missing 'in' parameter to $map")),
    ("map", mapped([], 1, "Big"), {}, Fails(
        9, "'Big' starts with an invalid character for a user variable name")),
    ("map", mapped([], "$$other", "a"), {}, Fails(17276, "Use of undefined variable: other")),
    ("map", {"$map": {"input": [], "in": 1, "as": 5}}, {}, Fails(9)),
    ("filter", kept("$items", {"$gte": ["$$item.price", 100]}, **{"as": "item"}), SALES,
     SALES["items"][1:]),
    ("filter", kept("$items", {"$gte": ["$$this.price", 100]}, limit=1), SALES,
     SALES["items"][1:2]),
    ("filter", kept("$items", {"$gte": ["$$this.price", 100]}, limit=5.0), SALES,
     SALES["items"][1:]),
    ("filter", kept("$items", True, limit="$n"), SALES | {"n": 2}, SALES["items"][:2]),
    ("filter", kept("$items", True, limit=None), SALES, SALES["items"]),
    ("filter", kept([1, "a", 2, None, 3.1, L(4)], {"$isNumber": "$$this"}), {}, [1, 2, 3.1, L(4)]),
    ("filter", kept([0, 1, None, "", [], False, 0.0], "$$this"), {}, [1, "", []]),
    ("filter", kept("$items", {"$eq": ["$price", 10]}, **{"as": "CURRENT"}), SALES,
     SALES["items"][:1]),
    ("filter", kept(None, 1), {}, None),
    ("filter", kept("$gone", 1), GONE, None),
    ("filter", kept(5, 1), {}, Fails(28651, "input to $filter must be an array not int")),
    ("filter", {"$filter": []}, {}, Fails(
        28646, "$filter only supports an object as its argument")),
    ("filter", kept([], 1, foo=1), {}, Fails(28647, "Unrecognized parameter to $filter: foo")),
    ("filter", {"$filter": {"cond": 1}}, {}, Fails(28648, "Missing 'input' parameter to $filter")),
    ("filter", {"$filter": {"input": []}}, {}, Fails(28650, "Missing 'cond' parameter to $filter")),
    ("filter", kept([1], 1, limit=0), {}, Fails(
        327392, "$filter: limit must be greater than 0: 0")),
    ("filter", kept([1], 1, limit=-1), {}, Fails(327392)),
    ("filter", kept([1], 1, limit=1.5), {}, Fails(
        327391, "$filter: limit must be represented as a 32-bit integral value: 1.5")),
    ("filter", kept([1], 1, limit="1"), {}, Fails(327391)),
    ("filter", kept([1], 1, **{"as": ""}), {}, Fails(9, "empty variable names are not allowed")),
    ("reduce", reduced(["a", "b", "c"], "", {"$concat": ["$$value", "$$this"]}), {}, "abc"),
    ("reduce", reduced([1, 2, 3, 4], {"sum": 5, "product": 2}, {
        "sum": {"$add": ["$$value.sum", "$$this"]},
        "product": {"$multiply": ["$$value.product", "$$this"]},
    }), {}, {"sum": 15, "product": 48}),
    ("reduce", reduced([[3, 4], [5, 6]], [1, 2], {"$concatArrays": ["$$value", "$$this"]}), {},
     [1, 2, 3, 4, 5, 6]),
    ("reduce", reduced([], "start", 1), {}, "start"),
    ("reduce", {"a": reduced([1], 0, "$$REMOVE")}, {}, {}),
    ("reduce", reduced("$gone", 0, 1), GONE, None),
    ("reduce", reduced(None, 0, 1), {}, None),
    ("reduce", reduced([1, 2], 0, {"$add": ["$$value", "$$this", "$k"]}), {"k": 10}, 23),
    ("reduce", reduced([[1, 2], [3]], 0, {"$add": [
        "$$value", reduced("$$this", 0, {"$add": ["$$value", "$$this"]})]}), {}, 6),
    ("reduce", {"$reduce": 1}, {}, Fails(
        40075, "$reduce requires an object as an argument, found: int")),
    ("reduce", {"$reduce": {"foo": 1}}, {}, Fails(40076, "$reduce found an unknown argument: foo")),
    ("reduce", {"$reduce": {}}, {}, Fails(40077, "$reduce requires 'input' to be specified")),
    ("reduce", {"$reduce": {"input": []}}, {}, Fails(40078)),
    ("reduce", {"$reduce": {"input": [], "initialValue": 1}}, {}, Fails(40079)),
    ("reduce", reduced("x", 0, 1), {}, Fails(
        40080, '$reduce requires that \'input\' be an array, found: "x"')),
    ("zip", zipped([["a"], ["b"], ["c"]]), {}, [["a", "b", "c"]]),
    ("zip", zipped([[1, 2, 3], ["a", "b"]]), {}, [[1, "a"], [2, "b"]]),
    ("zip", zipped([["a"], ["b", "c"]], useLongestLength=True), {}, [["a", "b"], [None, "c"]]),
    ("zip", zipped([[1], [2, 3], [4]], useLongestLength=True, defaults=["a", "b", "c"]), {},
     [[1, 2, 4], ["a", 3, "c"]]),
    ("zip", zipped([[1], [2, 3]], useLongestLength=True, defaults=["$gone", 1]), GONE,
     [[1, 2], [None, 3]]),
    ("zip", zipped(["$a", {"$range": [0, 2]}]), {"a": ["x", "y"]}, [["x", 0], ["y", 1]]),
    ("zip", zipped([[]]), {}, []),
    ("zip", zipped([[], []], useLongestLength=True), {}, []),
    ("zip", zipped([[1], None]), {}, None),
    ("zip", zipped(["$gone", 5]), GONE, None),
    ("zip", {"$zip": []}, {}, Fails(
        34460, "$zip only supports an object as an argument, found array")),
    ("zip", zipped("$a"), {}, Fails(34461, "inputs must be an array of expressions, found string")),
    ("zip", zipped([[1]], defaults=1), {}, Fails(
        34462, "defaults must be an array of expressions, found int")),
    ("zip", zipped([[1]], useLongestLength=1), {}, Fails(
        34463, "useLongestLength must be a bool, found int")),
    ("zip", zipped([[1]], foo=1), {}, Fails(34464, "$zip found an unknown argument: foo")),
    ("zip", {"$zip": {}}, {}, Fails(34465, "$zip requires at least one input array")),
    ("zip", zipped([]), {}, Fails(34465)),
    ("zip", zipped([[1]], defaults=[1]), {}, Fails(
        34466, "cannot specify defaults unless useLongestLength is true")),
    ("zip", zipped([[1]], defaults=[1, 2], useLongestLength=True), {}, Fails(
        34467, "defaults and inputs must have the same length")),
    ("zip", zipped([[1], 5]), {}, Fails(
        34468, "$zip found a non-array expression in input: 5")),
]  # fmt: skip

TEAM = {
    "t": [
        {"name": "pat", "age": 30, "address": {"city": "B"}},
        {"name": "dallas", "age": 36, "address": {"city": "A"}},
        {"name": "charlie", "age": 42, "address": {"city": "B"}},
    ]
}  # fmt: skip
PAT, DALLAS, CHARLIE = TEAM["t"]


def ordered(source: Any, by: Any) -> Any:
    return {"$sortArray": {"input": source, "sortBy": by}}


MIXED = [20, 4, {"a": "Free"}, 6, 21, 5, "Gratis", {"a": None}, {"a": {"s": True, "p": 19}}, 42,
         None, 3.5, L(7), True]  # fmt: skip
MIXED_SORTED = [None, 3.5, 4, 5, 6, L(7), 20, 21, 42, "Gratis", {"a": None}, {"a": "Free"},
                {"a": {"s": True, "p": 19}}, True]  # fmt: skip


def some(name: str, source: Any, n: Any) -> Any:
    return {name: {"input": source, "n": n}}


BY_VALUE: list[Case] = [
    ("in", {"$in": [2, [1, 2, 3]]}, {}, True),
    ("in", {"$in": ["abc", ["xyz", "abc"]]}, {}, True),
    ("in", {"$in": ["xy", ["xyz", "abc"]]}, {}, False),
    ("in", {"$in": [["a"], ["a"]]}, {}, False),
    ("in", {"$in": [["a"], [["a"]]]}, {}, True),
    ("in", {"$in": [1, [1.0]]}, {}, True),
    ("in", {"$in": [1, [L(1)]]}, {}, True),
    ("in", {"$in": [1, [True]]}, {}, False),
    ("in", {"$in": [0, [False, None, ""]]}, {}, False),
    ("in", {"$in": [DEC("1.0"), ["$a"]]}, {"a": 1}, True),
    ("in", {"$in": ["$a", "$b"]}, {"a": {"x": 1}, "b": [{"x": 1.0}]}, True),
    ("in", {"$in": ["$a", "$b"]}, {"a": {"x": 1, "y": 2}, "b": [{"y": 2, "x": 1}]}, False),
    ("in", {"$in": ["$gone", [None]]}, GONE, False),
    ("in", {"$in": [None, [None]]}, {}, True),
    ("in", {"$in": [float("nan"), [float("nan")]]}, {}, True),
    ("in", {"$in": [1, []]}, {}, False),
    ("in", {"$in": [1, "$gone"]}, GONE, Fails(
        40081, "$in requires an array as a second argument, found: missing")),
    ("in", {"$in": [1, "abc"]}, {}, Fails(40081)),
    ("in", {"$in": [1, None]}, {}, Fails(40081)),
    ("in", {"$in": [1]}, {}, Fails(16020)),
    ("indexOfArray", {"$indexOfArray": [["a", "abc"], "a"]}, {}, 0),
    ("indexOfArray", {"$indexOfArray": [["a", "abc", "de", ["de"]], ["de"]]}, {}, 3),
    ("indexOfArray", {"$indexOfArray": [[1, 2], 5]}, {}, -1),
    ("indexOfArray", {"$indexOfArray": [[1, 2, 3], [1, 2]]}, {}, -1),
    ("indexOfArray", {"$indexOfArray": [[10, 9, 9, 8, 9], 9, 3]}, {}, 4),
    ("indexOfArray", {"$indexOfArray": [["a", "abc", "b"], "b", 0, 1]}, {}, -1),
    ("indexOfArray", {"$indexOfArray": [["a", "abc", "b"], "b", 1, 0]}, {}, -1),
    ("indexOfArray", {"$indexOfArray": [["a", "abc", "b"], "b", 20]}, {}, -1),
    ("indexOfArray", {"$indexOfArray": [["a", "abc", "b"], "b", 1.0, L(99)]}, {}, 2),
    ("indexOfArray", {"$indexOfArray": [[1, None], None]}, {}, 1),
    ("indexOfArray", {"$indexOfArray": [[1.0, True], 1]}, {}, 0),
    ("indexOfArray", {"$indexOfArray": [[0, False], False]}, {}, 1),
    ("indexOfArray", {"$indexOfArray": [None, "foo"]}, {}, None),
    ("indexOfArray", {"$indexOfArray": ["$gone", "foo"]}, GONE, None),
    ("indexOfArray", {"$indexOfArray": ["foo", "foo"]}, {}, Fails(
        40090, "$indexOfArray requires an array as a first argument, found: string")),
    ("indexOfArray", {"$indexOfArray": [[1], 1, "illegal"]}, {}, Fails(
        40096, "$indexOfArrayrequires an integral starting index, found a value of type: string, "
        'with value: "illegal"')),
    ("indexOfArray", {"$indexOfArray": [[1], 1, 0, 0.5]}, {}, Fails(40096)),
    ("indexOfArray", {"$indexOfArray": [[1], 1, None]}, {}, Fails(40096)),
    ("indexOfArray", {"$indexOfArray": [[1], 1, -1]}, {}, Fails(
        40097, "$indexOfArray requires a nonnegative starting index, found: -1")),
    ("indexOfArray", {"$indexOfArray": [[1], 1, 0, -2]}, {}, Fails(
        40097, "$indexOfArray requires a nonnegative ending index, found: -2")),
    ("indexOfArray", {"$indexOfArray": [[1]]}, {}, Fails(28667)),
    ("sortArray", ordered("$t", {"name": 1}), TEAM, [CHARLIE, DALLAS, PAT]),
    ("sortArray", ordered("$t", {"age": -1}), TEAM, [CHARLIE, DALLAS, PAT]),
    ("sortArray", ordered("$t", {"age": -1, "name": 1}), TEAM, [CHARLIE, DALLAS, PAT]),
    ("sortArray", ordered("$t", {"address.city": -1}), TEAM, [PAT, CHARLIE, DALLAS]),
    ("sortArray", ordered("$t", {"address.city": 1, "name": -1}), TEAM, [DALLAS, PAT, CHARLIE]),
    ("sortArray", ordered("$t", {"none": 1}), TEAM, [PAT, DALLAS, CHARLIE]),
    ("sortArray", ordered([1, 4, 1, 6, 12, 5], 1), {}, [1, 1, 4, 5, 6, 12]),
    ("sortArray", ordered([1, 4, 1, 6, 12, 5], -1), {}, [12, 6, 5, 4, 1, 1]),
    ("sortArray", ordered([3, 1], 1.0), {}, [1, 3]),
    ("sortArray", ordered("$m", 1), {"m": MIXED}, MIXED_SORTED),
    ("sortArray", ordered([2, {"a": 1}, {"a": None}], {"a": 1}), {}, [2, {"a": None}, {"a": 1}]),
    ("sortArray", ordered(None, 1), {}, None),
    ("sortArray", ordered("$gone", {"a": 1}), GONE, None),
    ("sortArray", ordered("x", 1), {}, Fails(
        2942504, "The input argument to $sortArray must be an array, but was of type: string")),
    ("sortArray", {"$sortArray": 1}, {}, Fails(
        2942500, "$sortArray requires an object as an argument, found: int")),
    ("sortArray", {"$sortArray": {"foo": 1}}, {}, Fails(
        2942501, "$sortArray found an unknown argument: foo")),
    ("sortArray", {"$sortArray": {"sortBy": 1}}, {}, Fails(2942502)),
    ("sortArray", {"$sortArray": {"input": []}}, {}, Fails(2942503)),
    ("sortArray", ordered([], 2), {}, Fails(
        2942506, "The $sort element value must be either 1 or -1")),
    ("sortArray", ordered([], "a"), {}, Fails(2942507)),
    ("sortArray", ordered([], {"a": 0}), {}, Fails(2)),
    ("sortArray", ordered([], {}), {}, Fails(2)),
    ("sortArray", ordered([], {"": 1}), {}, Fails(2)),
    ("sortArray", ordered([], {"a..b": 1}), {}, Fails(2)),
    ("firstN", some("$firstN", [10, 20, 30, 40], 3), {}, [10, 20, 30]),
    ("firstN", some("$firstN", "$a", "$n"), {"a": [None, 1], "n": L(1)}, [None]),
    ("firstN", some("$firstN", [], 3), {}, []),
    ("lastN", some("$lastN", [10, 20, 30, 40], 3), {}, [20, 30, 40]),
    ("lastN", some("$lastN", [10], 3.0), {}, [10]),
    ("maxN", some("$maxN", [1, 5, 3], 2), {}, [5, 3]),
    ("maxN", some("$maxN", [None, "a", 1, None], 5), {}, ["a", 1]),
    ("minN", some("$minN", [1, 5, 3], 2), {}, [1, 3]),
    ("minN", some("$minN", "$m", 3), {"m": MIXED}, [3.5, 4, 5]),
    ("minN", some("$minN", [None], 2), {}, []),
    ("firstN", some("$firstN", None, 3), {}, Fails(5788200, "Input must be an array")),
    ("firstN", some("$firstN", "$gone", 3), GONE, Fails(5788200)),
    ("lastN", some("$lastN", 5, 3), {}, Fails(5788200)),
    ("firstN", {"$firstN": 5}, {}, Fails(5787801)),
    ("firstN", {"$firstN": {"input": [], "n": 1, "x": 1}}, {}, Fails(
        5787901, "Unknown argument for 'n' operator: x")),
    ("firstN", {"$firstN": {"input": []}}, {}, Fails(5787906, "Missing value for 'n'")),
    ("firstN", {"$firstN": {"n": 1}}, {}, Fails(5787907, "Missing value for 'input'")),
    ("firstN", some("$firstN", [], "1"), {}, Fails(
        5787902, 'Value for \'n\' must be of integral type, but found "1"')),
    ("firstN", some("$firstN", [], 1.5), {}, Fails(5787903)),
    ("maxN", some("$maxN", [], 0), {}, Fails(5787908, "'n' must be greater than 0, found 0")),
    ("minN", some("$minN", [], -1), {}, Fails(5787908)),
]  # fmt: skip


@table([*BY_POSITION, *LOOPS, *BY_VALUE])
def test_cases(case: Case) -> None:
    check(case)


FOLDED_CASE: list[Case] = [
    ("collation", {"$in": ["A", ["a"]]}, {}, True),
    ("collation", {"$in": ["$x", "$y"]}, {"x": "A", "y": ["b", "a"]}, True),
    ("collation", {"$indexOfArray": [["b", "A"], "a"]}, {}, 1),
    ("collation", ordered(["b", "A", "a", "B"], 1), {}, ["A", "a", "b", "B"]),
    ("collation", ordered([{"k": "b"}, {"k": "A"}], {"k": 1}), {}, [{"k": "A"}, {"k": "b"}]),
    ("collation", some("$maxN", ["b", "A", "C"], 2), {}, ["C", "b"]),
    ("collation", {"$setUnion": [["a"], ["A", "b"]]}, {}, ["a", "b"]),
    ("collation", {"$setIntersection": [["a", "c"], ["A"]]}, {}, ["a"]),
    ("collation", {"$setDifference": [["a", "c"], ["A"]]}, {}, ["c"]),
    ("collation", {"$setEquals": [["a"], ["A"]]}, {}, True),
    ("collation", {"$setIsSubset": [["a"], ["A"]]}, {}, True),
]


@table(FOLDED_CASE)
def test_collation(case: Case) -> None:
    check(case, replace(DEFAULT_CONTEXT, collation=Caseless()))


ARRAYS = st.lists(bson_values(), max_size=8)


@given(ARRAYS)
def test_sorting_is_a_stable_permutation_in_order(array: list[Any]) -> None:
    doc = {"a": array}
    up, down = run(ordered("$a", 1), doc), run(ordered("$a", -1), doc)
    assert sorted(map(order.key, up)) == [order.key(element) for element in up]
    assert sorted(map(exact, up)) == sorted(map(exact, array))
    assert [order.key(element) for element in down] == sorted(map(order.key, array), reverse=True)


@given(ARRAYS, st.integers(-10, 10), st.integers(1, 10))
def test_slices_agree_with_elements(array: list[Any], start: int, count: int) -> None:
    doc = {"a": array}
    part = run({"$slice": ["$a", start, count]}, doc)
    first = max(0, len(array) + start) if start < 0 else start
    assert list(map(exact, part)) == list(map(exact, array[first : first + count]))
    assert exact(run({"$reverseArray": {"$reverseArray": "$a"}}, doc)) == exact(array)
    assert run({"$size": {"$concatArrays": ["$a", "$a"]}}, doc) == 2 * len(array)


@given(ARRAYS, bson_values())
def test_in_agrees_with_index_of(array: list[Any], value: Any) -> None:
    doc = {"a": array, "v": value}
    index = run({"$indexOfArray": ["$a", "$v"]}, doc)
    assert run({"$in": ["$v", "$a"]}, doc) is (index >= 0)
    assert run({"$in": ["$v", {"$literal": array}]}, doc) is (index >= 0)
    if index >= 0:
        assert order.equal(array[index], value)


@given(st.lists(st.integers(-5, 5), max_size=6))
def test_map_filter_and_reduce_agree(numbers: list[int]) -> None:
    doc = {"a": numbers}
    positive = kept("$a", {"$gt": ["$$this", 0]})
    assert run(positive, doc) == [number for number in numbers if number > 0]
    joined = reduced("$a", [], {"$concatArrays": ["$$value", ["$$this"]]})
    assert run(joined, doc) == numbers == run(mapped("$a", "$$this"), doc)


def test_a_loop_leaves_the_environment_alone() -> None:
    env = environment()
    before = dict(env)
    run(mapped([1, 2], reduced([3], "$$this", "$$value")), {}, env=env)
    run(mapped([{"a": 1}], "$a", "CURRENT"), {}, env=env)
    assert env == before
