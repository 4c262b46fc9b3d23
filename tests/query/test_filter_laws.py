"""Laws of filters and projections, and what becomes of anything that is thrown at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from filter_kit import CTX, ENV
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import bson_documents, bson_values, plain_documents

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, UNDEFINED
from psdb_query.context import CompileContext
from psdb_query.describe import type_name
from psdb_query.filters import compile_filter
from psdb_query.filters.build import COMPILERS, TESTS
from psdb_query.filters.parse import FIELD, PATHLESS
from psdb_query.jsonschema.schema import KEYWORDS
from psdb_query.projection import (
    compile_add_fields,
    compile_project,
    compile_projection,
    compile_unset,
)

relaxed = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Small worlds, so that filters and documents meet.

SCALARS = st.sampled_from(
    [0, 1, 2, Int64(1), 1.0, 1.5, Decimal128("1"), float("nan"), "a", "b", "ab", "", None,
     True, False, UNDEFINED, MinKey(), MaxKey()]
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "0", "1"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.sampled_from(
    ["a", "b", "a.b", "a.0", "a.1", "a.b.a", "a.0.b", "a.b.0", "b.a", "0", "a.0.0", "b.1.a"]
)
OPERANDS = VALUES.filter(lambda value: value is not UNDEFINED and not starts_with_dollar(value))


def starts_with_dollar(value: Any) -> bool:
    return isinstance(value, dict) and any(name.startswith("$") for name in value)


# A plain reference: what a path gives, and what each operator says of it.


def along(document: dict[str, Any], parts: list[str]) -> Iterator[Any]:
    """Everything that a condition looks at, in no hurry."""
    for value, through_position in ends(document, parts):
        if isinstance(value, list) and not through_position:
            yield from value
        yield value


def ends(value: Any, parts: list[str]) -> Iterator[tuple[Any, bool]]:
    """What stands at the end of a path, and whether a position named it."""
    head, rest = parts[0], parts[1:]
    found = value.get(head, MISSING)
    if not rest:
        yield found, False
    elif isinstance(found, dict):
        yield from ends(found, rest)
    elif isinstance(found, list):
        yield from in_array(found, rest)
    else:
        yield MISSING, True


def in_array(array: list[Any], parts: list[str]) -> Iterator[tuple[Any, bool]]:
    for index, element in enumerate(array):
        if isinstance(element, dict):
            yield from ends(element, parts)
        if str(index) == parts[0]:
            rest = parts[1:]
            if not rest:
                yield element, True
            elif isinstance(element, dict):
                yield from ends(element, rest)
            elif isinstance(element, list):
                yield from in_array(element, rest)


def whole(document: dict[str, Any], parts: list[str]) -> Iterator[Any]:
    """What an operator on arrays looks at."""
    for value, _ in ends(document, parts):
        yield value


def is_nan(value: Any) -> bool:
    return order.equal(value, float("nan"))


def compares(value: Any, op: str, operand: Any) -> bool:
    if operand is None and value is MISSING:
        return op in ("$eq", "$gte", "$lte")
    if operand is None and value is UNDEFINED:
        return op in ("$gte", "$lte")
    if isinstance(operand, (MinKey, MaxKey)) and type(value) is not type(operand):
        return op in (("$gt", "$gte") if isinstance(operand, MinKey) else ("$lt", "$lte"))
    if value is MISSING or order.type_rank(value) != order.type_rank(operand):
        return False
    if is_nan(value) or is_nan(operand):
        return is_nan(value) and is_nan(operand) and op in ("$eq", "$gte", "$lte")
    found = order.compare(value, operand)
    return {"$eq": found == 0, "$gt": found > 0, "$gte": found >= 0, "$lt": found < 0,
            "$lte": found <= 0}[op]  # fmt: skip


def size_is(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


Operator = tuple[Callable[[Any, Any], bool], Callable[..., Iterator[Any]]]
REFERENCE: dict[str, Operator] = {
    "$eq": (lambda v, x: compares(v, "$eq", x), along),
    "$exists": (lambda v, _: v is not MISSING, along),
    "$gt": (lambda v, x: compares(v, "$gt", x), along),
    "$gte": (lambda v, x: compares(v, "$gte", x), along),
    "$in": (lambda v, x: any(compares(v, "$eq", item) for item in x), along),
    "$lt": (lambda v, x: compares(v, "$lt", x), along),
    "$lte": (lambda v, x: compares(v, "$lte", x), along),
    "$size": (size_is, whole),
    "$type": (lambda v, x: type_name(v) == x, along),
}


def holds(spec: dict[str, Any], document: dict[str, Any]) -> bool:
    return all(condition_holds(name, value, document) for name, value in spec.items())


def condition_holds(name: str, value: Any, document: dict[str, Any]) -> bool:
    if name == "$and":
        return all(holds(item, document) for item in value)
    if name == "$or":
        return any(holds(item, document) for item in value)
    if name == "$nor":
        return not any(holds(item, document) for item in value)
    if not starts_with_dollar(value):
        value = {"$eq": value}
    return all(operator_holds(name, op, operand, document) for op, operand in value.items())


def operator_holds(path: str, op: str, operand: Any, document: dict[str, Any]) -> bool:
    parts = path.split(".")
    if op == "$ne":
        return not operator_holds(path, "$eq", operand, document)
    if op == "$nin":
        return not operator_holds(path, "$in", operand, document)
    if op == "$not":
        return not all(operator_holds(path, o, v, document) for o, v in operand.items())
    if op == "$exists" and not operand:
        return not operator_holds(path, op, True, document)
    if op == "$all":
        return bool(operand) and all(operator_holds(path, "$eq", x, document) for x in operand)
    if op == "$elemMatch":
        return any(
            isinstance(value, list) and any(element_holds(operand, item) for item in value)
            for value in whole(document, parts)
        )
    test, values = REFERENCE[op]
    return any(test(value, operand) for value in values(document, parts))


def element_holds(operand: dict[str, Any], element: Any) -> bool:
    if starts_with_dollar(operand):
        return all(REFERENCE[op][0](element, value) for op, value in operand.items())
    if isinstance(element, list):
        element = {str(index): item for index, item in enumerate(element)}
    return isinstance(element, dict) and holds(operand, element)


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Operators under one field."""
    comparison = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
    single = st.one_of(
        st.builds(lambda op, value: {op: value}, comparison, OPERANDS),
        st.builds(
            lambda op, values: {op: values},
            st.sampled_from(["$in", "$nin"]),
            st.lists(OPERANDS, max_size=3),
        ),
        st.builds(lambda value: {"$exists": value}, st.booleans()),
        st.builds(lambda count: {"$size": count}, st.integers(0, 3)),
        st.builds(
            lambda name: {"$type": name}, st.sampled_from(["int", "string", "array", "null"])
        ),
        st.builds(lambda values: {"$all": values}, st.lists(OPERANDS, max_size=2)),
        st.builds(
            lambda op, value: {"$elemMatch": {op: value}},
            st.sampled_from(["$eq", "$gt", "$lt"]),
            OPERANDS,
        ),
        st.builds(lambda path, value: {"$elemMatch": {path: value}}, PATHS, OPERANDS),
    )
    return (
        single
        | single.map(lambda condition: {"$not": condition})
        | st.builds(lambda one, two: {**one, **two}, single, single)
    )


def filters() -> st.SearchStrategy[dict[str, Any]]:
    leaf = st.builds(lambda path, value: {path: value}, PATHS, OPERANDS | conditions())
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            lambda op, items: {op: items},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=4,
    )


@settings(relaxed, max_examples=600)
@given(filters(), st.lists(DOCUMENTS, max_size=6))
def test_compiled_equals_reference(spec: dict[str, Any], documents: list[dict[str, Any]]) -> None:
    filter_ = compile_filter(spec, CTX)
    expected = [document for document in documents if holds(spec, document)]
    assert [d for d in documents if filter_.matches(d, ENV)] == expected
    found = filter_.batch(documents, ENV)
    assert [id(d) for d in found] == [id(d) for d in expected]


@settings(relaxed, max_examples=200)
@given(filters(), st.lists(DOCUMENTS, max_size=6))
def test_a_filter_and_its_negation_part_the_documents(
    spec: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    yes = compile_filter(spec, CTX).batch(documents, ENV)
    no = compile_filter({"$nor": [spec]}, CTX).batch(documents, ENV)
    assert sorted(map(id, yes + no)) == sorted(map(id, documents))


@settings(relaxed, max_examples=200)
@given(filters(), DOCUMENTS)
def test_a_position_is_of_an_array_and_comes_of_a_match(
    spec: dict[str, Any], document: dict[str, Any]
) -> None:
    filter_ = compile_filter(spec, CTX)
    position = filter_.match_position(document, ENV)
    if position is not None:
        assert filter_.matches(document, ENV)
        assert int(position) < longest_array(document)


def longest_array(value: Any) -> int:
    if isinstance(value, dict):
        return max(map(longest_array, value.values()), default=0)
    if isinstance(value, list):
        return max(len(value), *map(longest_array, value), 0)
    return 0


@settings(relaxed, max_examples=200)
@given(filters(), DOCUMENTS)
def test_a_failure_can_be_told_of_whatever_fails(
    spec: dict[str, Any], document: dict[str, Any]
) -> None:
    filter_ = compile_filter(spec, CTX)
    if not filter_.matches(document, ENV):
        assert "operatorName" in filter_.explain_failure(document, ENV)["details"]


@settings(relaxed, max_examples=200)
@given(bson_values(), bson_documents())
def test_a_value_equals_itself(value: Any, document: dict[str, Any]) -> None:
    """Any value at all, however it is compiled, finds the document that holds it."""
    if value is UNDEFINED:
        return
    document = {**document, "a": value}
    for spec in ({"a": {"$eq": value}}, {"a": {"$gte": value}}, {"a": {"$in": [value, 1]}}):
        try:
            filter_ = compile_filter(spec, CTX)
        except MongoError:
            continue  # a regex under $gte, a document of operators under $in
        assert filter_.matches(document, ENV)


# Projections.

PLAIN_PATHS = st.sampled_from(["_id", "a", "b", "a.b", "a.c", "b.a", "b.c.d", "c"])


def compiled(spec: dict[str, Any]) -> Any:
    try:
        return compile_projection(spec, CTX)
    except MongoError:
        return None


PLAIN_DOCUMENTS = st.dictionaries(
    st.sampled_from(["_id", "a", "b", "c"]),
    st.recursive(
        st.integers(0, 3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner, max_size=3)
        ),
    ),
)


@settings(relaxed, max_examples=300)
@given(st.lists(PLAIN_PATHS, max_size=3, unique=True), st.sampled_from([0, 1]), PLAIN_DOCUMENTS)
def test_a_projection_of_a_projection_is_the_projection(
    paths: list[str], flag: int, document: dict[str, Any]
) -> None:
    projection = compiled(dict.fromkeys(paths, flag))
    if projection is not None:
        once = projection.apply(document, ENV)
        twice = projection.apply(once, ENV)
        assert list(once.items()) == list(twice.items())


@settings(relaxed, max_examples=200)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True), PLAIN_DOCUMENTS)
def test_inclusion_and_exclusion_part_the_fields(
    names: list[str], document: dict[str, Any]
) -> None:
    kept = compile_projection({"_id": 0, **dict.fromkeys(names, 1)}, CTX).apply(document, ENV)
    rest = compile_projection({"_id": 0, **dict.fromkeys(names, 0)}, CTX).apply(document, ENV)
    expected = {name: value for name, value in document.items() if name != "_id"}
    assert {**kept, **rest} == expected
    assert not set(kept) & set(rest)
    assert list(kept) == [name for name in document if name in kept]


@settings(relaxed, max_examples=200)
@given(st.lists(PLAIN_PATHS, min_size=1, max_size=3, unique=True), PLAIN_DOCUMENTS)
def test_paths_tell_all_that_is_needed(paths: list[str], document: dict[str, Any]) -> None:
    projection = compiled(dict.fromkeys(paths, 1))
    if projection is not None:
        needed = {path.partition(".")[0] for path in projection.paths}
        less = {name: value for name, value in document.items() if name in needed}
        assert projection.apply(less, ENV) == projection.apply(document, ENV)


# Anything at all ends in a result or in an error that a client may see.

OPERATOR_NAMES = st.sampled_from(
    sorted({*FIELD, *PATHLESS, "$geometry", "$box", "$center", "$centerSphere", "$polygon",
            "$maxDistance", "$minDistance", "$search", "$ref", "$id", "$nope", "$slice", "$meta",
            "$add", "$literal", "$$ROOT"})
)  # fmt: skip
WILD_NAMES = st.one_of(
    OPERATOR_NAMES,
    st.sampled_from(sorted(KEYWORDS)),
    st.sampled_from(["a", "a.b", "a.$", "a.0", "", ".", "a.", "_id", "type", "coordinates", "crs"]),
)
WILD_SCALARS = st.one_of(
    SCALARS,
    st.sampled_from(["$a", "$$ROOT", "Point", "Polygon", "LineString", "int", "^a", "(", "$"]),
    st.sampled_from([Regex("a"), Regex("("), -1, 200, 1e300, float("inf"), Int64(2**62)]),
)
WILD = st.recursive(
    WILD_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WILD_NAMES, inner, max_size=3),
    max_leaves=12,
)
WILD_DOCUMENTS = st.dictionaries(WILD_NAMES, WILD, max_size=4)


def attempt(spec: dict[str, Any], document: dict[str, Any]) -> None:
    """Put a specification to every use; any exception but MongoError is a failure."""
    for run in (run_filter, run_projection, run_project, run_add_fields, run_unset):
        try:
            run(spec, document)
        except MongoError as error:
            assert error.message  # noqa: PT017 -- every other error shall be seen
            assert error.code > 0  # noqa: PT017


def run_filter(spec: dict[str, Any], document: dict[str, Any]) -> None:
    filter_ = compile_filter(spec, CTX)
    matched = filter_.matches(document, ENV)
    assert filter_.batch([document], ENV) == ([document] if matched else [])
    filter_.match_position(document, ENV)
    if not matched:
        filter_.explain_failure(document, ENV)
    if filter_.near is not None:
        filter_.near.distance(document)


def run_projection(spec: dict[str, Any], document: dict[str, Any]) -> None:
    filter_ = compile_filter({"a": 1}, CTX)
    compile_projection(spec, CTX, filter_).apply(document, ENV)


def run_project(spec: dict[str, Any], document: dict[str, Any]) -> None:
    compile_project(spec, CTX).apply(document, ENV)


def run_add_fields(spec: dict[str, Any], document: dict[str, Any]) -> None:
    compile_add_fields(spec, CTX).apply(document, ENV)


def run_unset(spec: dict[str, Any], document: dict[str, Any]) -> None:
    compile_unset(list(spec.values()), CTX).apply(document, ENV)


@settings(relaxed, max_examples=500)
@given(WILD_DOCUMENTS, WILD_DOCUMENTS)
def test_wild_specifications(spec: dict[str, Any], document: dict[str, Any]) -> None:
    attempt(spec, document)


@settings(relaxed, max_examples=300)
@given(OPERATOR_NAMES, WILD, DOCUMENTS)
def test_wild_operands(name: str, operand: Any, document: dict[str, Any]) -> None:
    attempt({"a": {name: operand}}, document)
    attempt({name: operand}, document)
    attempt({"a": {"$elemMatch": {name: operand}}}, document)


@settings(relaxed, max_examples=200)
@given(bson_documents(), plain_documents())
def test_wild_values(spec: dict[str, Any], document: dict[str, Any]) -> None:
    attempt(spec, document)
    attempt({"a": spec, "$or": [spec]}, document)


SHAPES = st.sampled_from(
    ["Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"]
)
NUMBERS = st.sampled_from([0, 1, 10, -10, 90, -90, 180, -180, 179.999, 45, 1e-9, 200])
PAIRS = st.lists(NUMBERS, min_size=2, max_size=2)


def closed(points: list[Any]) -> list[Any]:
    return [*points, points[0]]


RINGS = st.lists(PAIRS, min_size=3, max_size=6).map(closed)
COORDINATES = st.one_of(
    PAIRS, st.lists(PAIRS, max_size=4), st.lists(RINGS, max_size=2), st.lists(st.lists(RINGS))
)
GEOMETRIES = st.builds(
    lambda kind, coordinates: {"type": kind, "coordinates": coordinates}, SHAPES, COORDINATES
) | st.builds(lambda rings: {"type": "Polygon", "coordinates": rings}, st.lists(RINGS, max_size=2))


@settings(relaxed, max_examples=400)
@given(st.sampled_from(["$geoWithin", "$geoIntersects", "$near"]), GEOMETRIES, GEOMETRIES)
def test_wild_geometry(operator: str, region: Any, shape: Any) -> None:
    attempt({"a": {operator: {"$geometry": region}}}, {"a": shape})


@settings(relaxed, max_examples=200)
@given(RINGS, RINGS)
def test_geometry_is_consistent(ring: list[Any], other: list[Any]) -> None:
    """Each shape contains itself; intersecting is mutual; what is within intersects."""
    one = {"type": "Polygon", "coordinates": [ring]}
    two = {"type": "Polygon", "coordinates": [other]}
    try:
        within_one = compile_filter({"a": {"$geoWithin": {"$geometry": one}}}, CTX)
        meets_one = compile_filter({"a": {"$geoIntersects": {"$geometry": one}}}, CTX)
        meets_two = compile_filter({"a": {"$geoIntersects": {"$geometry": two}}}, CTX)
    except MongoError:
        return
    assert within_one.matches({"a": one}, ENV)
    assert meets_one.matches({"a": one}, ENV)
    assert meets_one.matches({"a": two}, ENV) == meets_two.matches({"a": one}, ENV)
    if within_one.matches({"a": two}, ENV):
        assert meets_one.matches({"a": two}, ENV)


@pytest.mark.soak
@settings(relaxed, max_examples=50_000)
@given(WILD_DOCUMENTS, WILD_DOCUMENTS)
def test_wild_specifications_at_length(spec: dict[str, Any], document: dict[str, Any]) -> None:
    attempt(spec, document)


# The tables themselves.


def test_tables_are_sorted() -> None:
    for rows in (FIELD, PATHLESS, KEYWORDS):
        assert list(rows) == sorted(rows)
    for by_type in (COMPILERS, TESTS):
        names = [kind.__name__ for kind in by_type]
        assert names == sorted(names)


def test_contexts_without_extras_compile() -> None:
    assert compile_filter({"a": 1}, CompileContext()).matches({"a": 1}, {})
