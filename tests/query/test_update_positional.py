"""`$`, `$[]`, `$[identifier]` with array filters, and the conflicts between paths."""

from __future__ import annotations

from typing import Any

import pytest
from update_kit import SAME, Case, Fails, case, check


def doc(a: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": 1, "a": a, **fields}


GRADES = [{"g": 80, "m": 75}, {"g": 90, "m": 85}, {"g": 85, "m": 90}]

FIRST = "update/positional"
FIRST_CASES: list[Case] = [
    case(FIRST, doc([1, 2, 3]), {"$set": {"a.$": 9}}, doc([1, 9, 3]), position="1"),
    case(FIRST, doc([1, 2, 3]), {"$inc": {"a.$": 9}}, doc([10, 2, 3]), position="0"),
    case(FIRST, doc([{"b": 1}, {"b": 2}]), {"$set": {"a.$.b": 9}}, doc([{"b": 1}, {"b": 9}]),
         position="1"),
    case(FIRST, doc([{"b": 1}]), {"$set": {"a.$.c.d": 9}}, doc([{"b": 1, "c": {"d": 9}}]),
         position="0"),
    case(FIRST, doc([{"b": 1}]), {"$set": {"a.$.b": 9, "a.$.c": 8}}, doc([{"b": 9, "c": 8}]),
         position="0"),
    case(FIRST, doc([{"b": 1}, {"b": 2}]), {"$set": {"a.$.b": 9, "a.1.c": 8}},
         doc([{"b": 9}, {"b": 2, "c": 8}]), position="0"),
    case(FIRST, doc([{"b": 1}, {"b": 2}]), {"$set": {"a.$.b": 9, "a.1.c": 8}},
         doc([{"b": 1}, {"b": 9, "c": 8}]), position="1"),
    case(FIRST, doc([1, 2]), {"$unset": {"a.$": ""}}, doc([None, 2]), position="0"),
    case(FIRST, doc([1, 2]), {"$set": {"a.$": 1}}, SAME, position="0"),
    case(FIRST, doc([[1], [2]]), {"$push": {"a.$": 5}}, doc([[1], [2, 5]]), position="1"),
    case(FIRST, doc([1, 2]), {"$set": {"a.$": 5, "b": 6}}, doc([5, 2], b=6), position="0"),
    case(FIRST, doc({"b": [1, 2]}), {"$set": {"a.b.$": 5}}, doc({"b": [1, 5]}), position="1"),
    case(FIRST, doc([1]), {"$set": {"a.$": 5}}, Fails(2,
         "The positional operator did not find the match needed from the query.")),
    case(FIRST, doc([1]), {"$set": {"a.$": 5}}, Fails(2), is_insert=True),
    case(FIRST, doc([1]), {"$set": {"a.$.b.$": 5}}, Fails(2,
         "Too many positional (i.e. '$') elements found in path 'a.$.b.$'"), position="0"),
    case(FIRST, doc([1]), {"$set": {"$": 5}}, Fails(2,
         "Cannot have positional (i.e. '$') element in the first position in path '$'"),
         position="0"),
    case(FIRST, doc([1]), {"$set": {"$.a": 5}}, Fails(2,
         "Cannot have positional (i.e. '$') element in the first position in path '$.a'"),
         position="0"),
    case(FIRST, doc([1]), {"$set": {"a.$": 5, "a.0": 6}}, Fails(40,
         "Update created a conflict at 'a.0'"), position="0"),
    case(FIRST, doc([{"b": 1}]), {"$set": {"a.$.b": 5, "a.0.b": 6}}, Fails(40,
         "Update created a conflict at 'a.0.b'"), position="0"),
    case(FIRST, doc([1, 2]), {"$set": {"a.$": 5, "a.0": 6}}, doc([6, 5]), position="1"),
    case(FIRST, doc(5), {"$set": {"a.$": 5}}, Fails(28,
         "Cannot create field '0' in element {a: 5}"), position="0"),
    case(FIRST, doc([1]), {"$set": {"a.$": 5, "a": 6}}, Fails(40,
         "Updating the path 'a' would create a conflict at 'a'"), position="0"),
]

ALL = "update/positional-all"
ALL_CASES: list[Case] = [
    case(ALL, doc([1, 2]), {"$inc": {"a.$[]": 10}}, doc([11, 12])),
    case(ALL, doc([]), {"$inc": {"a.$[]": 10}}, SAME),
    case(ALL, doc([1, 1]), {"$set": {"a.$[]": 1}}, SAME),
    case(ALL, doc([1, 2]), {"$set": {"a.$[]": 1}}, doc([1, 1])),
    case(ALL, doc(GRADES), {"$inc": {"a.$[].m": 10}},
         doc([{"g": 80, "m": 85}, {"g": 90, "m": 95}, {"g": 85, "m": 100}])),
    case(ALL, doc([{"b": [1, 2]}, {"b": [3]}]), {"$inc": {"a.$[].b.$[]": 1}},
         doc([{"b": [2, 3]}, {"b": [4]}])),
    case(ALL, doc([[1, 2], [3]]), {"$mul": {"a.$[].$[]": 2}}, doc([[2, 4], [6]])),
    case(ALL, doc([1, 2]), {"$unset": {"a.$[]": ""}}, doc([None, None])),
    case(ALL, doc([{"b": 1, "c": 1}, {"b": 2}]), {"$unset": {"a.$[].b": ""}},
         doc([{"c": 1}, {}])),
    case(ALL, doc([{"b": 1}, {}]), {"$set": {"a.$[].c": 5}}, doc([{"b": 1, "c": 5}, {"c": 5}])),
    case(ALL, doc([{"b": 1}]), {"$set": {"a.$[].b": 5}, "$inc": {"a.$[].c": 1}},
         doc([{"b": 5, "c": 1}])),
    case(ALL, doc([{"b": [1]}, {"b": [2]}]), {"$push": {"a.$[].b": 7}},
         doc([{"b": [1, 7]}, {"b": [2, 7]}])),
    case(ALL, {"_id": 1}, {"$set": {"a.$[]": 5}}, Fails(2,
         "The path 'a' must exist in the document in order to apply array updates.")),
    case(ALL, {"_id": 1}, {"$set": {"a.b.$[]": 5}}, Fails(2,
         "The path 'a.b' must exist in the document in order to apply array updates.")),
    case(ALL, doc(5), {"$set": {"a.b.$[]": 5}}, Fails(2,
         "The path 'a.b' must exist in the document in order to apply array updates.")),
    case(ALL, doc(5), {"$set": {"a.$[]": 5}}, Fails(2,
         "Cannot apply array updates to non-array element a: 5")),
    case(ALL, doc({"b": "x"}), {"$set": {"a.b.$[]": 5}}, Fails(2,
         'Cannot apply array updates to non-array element b: "x"')),
    case(ALL, doc([1, {"b": 1}]), {"$set": {"a.$[].b": 5}}, Fails(28,
         "Cannot create field 'b' in element {0: 1}")),
    case(ALL, doc([1]), {"$set": {"$[]": 5}}, Fails(2,
         "Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in "
         "path '$[]'")),
    case(ALL, doc([1]), {"$set": {"a.$[]": 5, "a.0": 6}}, Fails(40,
         "Updating the path 'a.0' would create a conflict at 'a'")),
    case(ALL, doc([1]), {"$set": {"a.$[]": 5}, "$inc": {"a.$[]": 6}}, Fails(40,
         "Updating the path 'a.$[]' would create a conflict at 'a.$[]'")),
]

FILTERED = "update/positional-filtered"
FILTERED_CASES: list[Case] = [
    case(FILTERED, doc([95, 102, 90]), {"$set": {"a.$[e]": 100}}, doc([95, 100, 90]),
         array_filters=[{"e": {"$gte": 100}}]),
    case(FILTERED, doc([1, 2]), {"$set": {"a.$[e]": 100}}, SAME,
         array_filters=[{"e": {"$gte": 100}}]),
    case(FILTERED, doc(GRADES), {"$set": {"a.$[e].m": 100}},
         doc([{"g": 80, "m": 75}, {"g": 90, "m": 100}, {"g": 85, "m": 100}]),
         array_filters=[{"e.g": {"$gte": 85}}]),
    case(FILTERED, doc(GRADES), {"$inc": {"a.$[e].m": -5}},
         doc([{"g": 80, "m": 75}, {"g": 90, "m": 85}, {"g": 85, "m": 85}]),
         array_filters=[{"e.g": {"$gte": 85}, "e.m": {"$gte": 90}}]),
    case(FILTERED, doc([{"t": "q", "q": [{"s": 8}, {"s": 9}]}, {"t": "x", "q": [{"s": 1}]}]),
         {"$inc": {"a.$[t].q.$[s].s": 2}},
         doc([{"t": "q", "q": [{"s": 10}, {"s": 9}]}, {"t": "x", "q": [{"s": 1}]}]),
         array_filters=[{"t.t": "q"}, {"s.s": {"$lte": 8}}]),
    case(FILTERED, doc([{"q": [8, 9]}, {"q": [1]}]), {"$inc": {"a.$[].q.$[s]": 2}},
         doc([{"q": [8, 11]}, {"q": [1]}]), array_filters=[{"s": {"$gte": 9}}]),
    case(FILTERED, doc([1, 2, 3]), {"$set": {"a.$[lo]": 0, "a.$[hi]": 9}}, doc([0, 2, 9]),
         array_filters=[{"lo": {"$lt": 2}}, {"hi": {"$gt": 2}}]),
    case(FILTERED, doc([1, 2, 3]), {"$set": {"a.$[lo]": 0, "a.$[hi]": 9}}, Fails(40,
         "Update created a conflict at 'a.1'"),
         array_filters=[{"lo": {"$lt": 3}}, {"hi": {"$gt": 1}}]),
    case(FILTERED, doc([{"b": 1}, {"b": 2}]), {"$set": {"a.$[x].c": 0, "a.$[y].d": 9}},
         doc([{"b": 1, "c": 0}, {"b": 2, "c": 0, "d": 9}]),
         array_filters=[{"x.b": {"$gte": 1}}, {"y.b": 2}]),
    case(FILTERED, doc([{"b": 1}, {"b": 2}]), {"$set": {"a.$[].c": 0}, "$inc": {"a.$[y].b": 9}},
         doc([{"b": 1, "c": 0}, {"b": 11, "c": 0}]), array_filters=[{"y.b": 2}]),
    case(FILTERED, doc([1, 5]), {"$set": {"a.$[e]": 0}}, doc([0, 5]),
         array_filters=[{"$or": [{"e": 1}, {"e": {"$gt": 9}}]}]),
    case(FILTERED, doc([1, 5, 7]), {"$set": {"a.$[e]": 0}}, doc([1, 0, 7]),
         array_filters=[{"$and": [{"e": {"$gt": 1}}, {"e": {"$lt": 7}}]}]),
    case(FILTERED, doc([1, 5]), {"$set": {"a.$[e]": 0}}, doc([1, 0]),
         array_filters=[{"e": {"$not": {"$eq": 1}}}]),
    case(FILTERED, doc([[1], [2]]), {"$set": {"a.$[e]": 0}}, doc([[1], 0]),
         array_filters=[{"e": 2}]),
    case(FILTERED, doc([{"b": [1, 2]}, {"b": [3]}]), {"$set": {"a.$[e].x": 0}},
         doc([{"b": [1, 2], "x": 0}, {"b": [3]}]), array_filters=[{"e.b": 1}]),
    case(FILTERED, doc([1, 2]), {"$unset": {"a.$[e]": ""}}, doc([1, None]),
         array_filters=[{"e": 2}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(2,
         "No array filter found for identifier 'e' in path 'a.$[e]'")),
    case(FILTERED, doc([1]), {"$set": {"a.$[e].b": 0}}, Fails(2,
         "No array filter found for identifier 'e' in path 'a.$[e].b'"),
         array_filters=[{"f": 1}]),
    case(FILTERED, doc([1]), {"$set": {"b": 0}}, Fails(9,
         "The array filter for identifier 'e' was not used in the update { $set: { b: 0 } }"),
         array_filters=[{"e": 1}]),
    case(FILTERED, doc([1]), {"b": 0}, Fails(9,
         "The array filter for identifier 'e' was not used in the update { b: 0 }"),
         array_filters=[{"e": 1}]),
    case(FILTERED, doc([1]), [{"$set": {"b": 0}}], Fails(9,
         "arrayFilters may not be specified for pipeline-syle updates"),
         array_filters=[{"e": 1}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(9,
         "Found multiple array filters with the same top-level field name e"),
         array_filters=[{"e": 1}, {"e": 2}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(9,
         "Error parsing array filter :: caused by :: Expected a single top-level field name, "
         "found 'e' and 'f'"), array_filters=[{"e": 1, "f": 2}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(9,
         "Cannot use an expression without a top-level field name in arrayFilters"),
         array_filters=[{}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[E]": 0}}, Fails(2,
         "Error parsing array filter :: caused by :: The top-level field name must be an "
         "alphanumeric string beginning with a lowercase letter, found 'E'"),
         array_filters=[{"E": 1}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(2,
         "Error parsing array filter :: caused by :: unknown operator: $foo"),
         array_filters=[{"e": {"$foo": 1}}]),
    case(FILTERED, doc([1]), {"$set": {"a.$[e]": 0}}, Fails(224,
         "Error parsing array filter :: caused by :: $expr is not allowed in this context"),
         array_filters=[{"e": 1, "$expr": True}]),
    case(FILTERED, doc([1]), {"$set": {"$[e]": 0}}, Fails(2,
         "Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in "
         "path '$[e]'"), array_filters=[{"e": 1}]),
]

CONFLICT = "update"
CONFLICT_CASES: list[Case] = [
    case(CONFLICT, doc(1), {"$set": {"a": 1, "a.b": 2}}, Fails(40,
         "Updating the path 'a.b' would create a conflict at 'a'")),
    case(CONFLICT, doc(1), {"$set": {"a.b": 2, "a": 1}}, Fails(40,
         "Updating the path 'a' would create a conflict at 'a'")),
    case(CONFLICT, doc(1), {"$set": {"a": 1}, "$inc": {"a": 1}}, Fails(40,
         "Updating the path 'a' would create a conflict at 'a'")),
    case(CONFLICT, doc(1), {"$set": {"a.b.c": 1}, "$inc": {"a.b": 1}}, Fails(40,
         "Updating the path 'a.b' would create a conflict at 'a.b'")),
    case(CONFLICT, doc(1), {"$set": {"a.b": 1}, "$unset": {"a.b.c.d": 1}}, Fails(40,
         "Updating the path 'a.b.c.d' would create a conflict at 'a.b'")),
    case(CONFLICT, doc({"b": 1}), {"$set": {"a.b": 2}, "$inc": {"a.c": 3}},
         doc({"b": 2, "c": 3})),
    case(CONFLICT, doc(1), {"$foo": {"a": 1}}, Fails(9,
         "Unknown modifier: $foo. Expected a valid update modifier or pipeline-style update "
         "specified as an array")),
    case(CONFLICT, doc(1), {"$set": {"a": 2}, "b": 1}, Fails(9,
         "Unknown modifier: b. Expected a valid update modifier or pipeline-style update "
         "specified as an array")),
    case(CONFLICT, doc(1), {"$set": "x"}, Fails(9,
         "Modifiers operate on fields but we found type string instead. For example: "
         '{$mod: {<field>: ...}} not {$set: "x"}')),
    case(CONFLICT, doc(1), {"$inc": [1]}, Fails(9,
         "Modifiers operate on fields but we found type array instead. For example: "
         "{$mod: {<field>: ...}} not {$inc: [ 1 ]}")),
    case(CONFLICT, doc(1), {"$unset": None}, Fails(9,
         "Modifiers operate on fields but we found type null instead.")),
    case(CONFLICT, doc(1), 5, Fails(9, "Update argument must be either an object or an array")),
]

CASES = FIRST_CASES + ALL_CASES + FILTERED_CASES + CONFLICT_CASES


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_positional(one: Case) -> None:
    check(one)
