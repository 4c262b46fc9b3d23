"""Laws of the planner: whatever the indexes, the answer is that of looking at every document."""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from planner_kit import ENV, Kit, run, stages_of

from psdb_base import order, paths
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import DEFAULT_CONTEXT
from psdb_query.filters import compile_filter
from psdb_query.sorting import compile_sort

SCALARS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([1.0, 2.5, float("nan"), float("inf"), "", "a", "ab", "b", "ba", None, True,
                     False]),
)  # fmt: skip
INNER = st.dictionaries(st.sampled_from("xy"), SCALARS | st.lists(SCALARS, max_size=2), max_size=2)
VALUES = st.one_of(SCALARS, SCALARS, st.lists(SCALARS, max_size=3), INNER,
                   st.lists(INNER | SCALARS, max_size=3))  # fmt: skip
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
PATHS = st.sampled_from(["a", "a", "a", "b", "b", "a.x", "a.x", "a.y", "b.x", "c.0", "a.0.x"])

COMPARISONS = st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte", "$ne"])
OPERANDS = SCALARS | st.lists(SCALARS, max_size=2) | INNER


@st.composite
def conditions(draw: st.DrawFn, depth: int = 0) -> Document:
    """Draw the operators of one field."""
    kind = draw(st.integers(0, 9))
    if kind <= 3:
        return {draw(COMPARISONS): draw(OPERANDS)}
    if kind == 4:
        return {draw(st.sampled_from(["$in", "$nin"])): draw(st.lists(OPERANDS, max_size=4))}
    if kind == 5:
        return {"$exists": draw(st.booleans())}
    if kind == 6:
        return {"$regex": draw(st.sampled_from(["^a", "^ab", "b$", "^b.*"]))}
    if kind == 7:
        return {"$gte": draw(SCALARS), "$lt": draw(SCALARS)}
    if kind == 8 and depth < 2:
        return {"$not": draw(conditions(depth + 1))}
    if depth < 2:
        inner = draw(conditions(depth + 1)) if draw(st.booleans()) else {
            draw(st.sampled_from("xy")): draw(conditions(depth + 1))
        }
        return {"$elemMatch": inner}
    return {"$type": draw(st.sampled_from(["number", "string", "object", "array", "null", "bool"]))}


def fields() -> st.SearchStrategy[Document]:
    return st.dictionaries(PATHS, conditions(), min_size=1, max_size=3)


@st.composite
def filters(draw: st.DrawFn, depth: int = 0) -> Document:
    """Draw a filter."""
    kind = draw(st.integers(0, 5))
    if kind <= 2 or depth >= 2:
        return draw(fields())
    if kind == 3:
        comparison = draw(st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte"]))
        return {"$expr": {comparison: ["$" + draw(st.sampled_from(["a", "b", "a.x"])),
                                       draw(st.integers(-2, 2))]}}
    name = "$or" if kind == 4 else draw(st.sampled_from(["$and", "$nor"]))
    branches = draw(st.lists(filters(depth + 1), min_size=1, max_size=3))
    rest = draw(fields()) if draw(st.booleans()) else {}
    return {**rest, name: branches}


@st.composite
def indexes(draw: st.DrawFn) -> Document:
    """Draw an index."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.sampled_from([
            {"key": {"$**": 1}}, {"key": {"$**": -1}}, {"key": {"a.$**": 1}},
            {"key": {"$**": 1}, "wildcardProjection": {"a": 1, "b.x": 1}},
            {"key": {"$**": 1}, "wildcardProjection": {"a": 0}},
            {"key": {"b": 1, "a.$**": 1}}, {"key": {"a.$**": -1, "b": 1}},
        ]))  # fmt: skip
    names = draw(st.lists(PATHS, min_size=1, max_size=3, unique=True))
    if len(names) == 1 and draw(st.integers(0, 5)) == 0:
        return {"key": {names[0]: draw(st.sampled_from([1, -1]))}, "sparse": True}
    spec: Document = {"key": {name: draw(st.sampled_from([1, -1])) for name in names}}
    if draw(st.integers(0, 5)) == 0:
        spec["partialFilterExpression"] = draw(st.sampled_from(
            [{"a": {"$gt": 0}}, {"b": {"$exists": True}}, {"a": {"$in": [1, 2]}},
             {"$or": [{"a": 1}, {"b": {"$lte": 2}}]}]
        ))  # fmt: skip
    return spec


def make(documents: list[Document], specs: list[Document]) -> Kit:
    kit = Kit()
    for spec in specs:
        name = "_".join(f"{k}_{v}" for k, v in spec["key"].items())
        if name not in kit.collection.indexes:
            kit.add_index(spec)
    for document in documents:
        with contextlib.suppress(MongoError):  # parallel arrays, ambiguous positions
            kit.insert(document)
    return kit


def matching(kit: Kit, query: Document) -> list[Document]:
    matches = compile_filter(query, DEFAULT_CONTEXT).matches
    documents = [record.document() for record in kit.collection.scan(None, 10_000)]
    return [document for document in documents if matches(document, ENV)]


EXAMPLES = settings(
    max_examples=int(os.environ.get("PSDB_PLANNER_EXAMPLES", "150")), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@EXAMPLES
@given(st.lists(DOCUMENTS, max_size=12), st.lists(indexes(), min_size=1, max_size=3), filters())
def test_indexes_do_not_change_what_is_found(
    documents: list[Document], specs: list[Document], query: Document
) -> None:
    kit = make(documents, specs)
    plan = kit.plan(query)
    event(stages_of(plan.explain("queryPlanner")["queryPlanner"]["winningPlan"])[0])
    found = sorted(document["_id"] for document in run(plan, 2))
    assert found == [document["_id"] for document in matching(kit, query)]


def _small(rng: random.Random) -> Any:
    return rng.choice([0, 1, 2, None])


def _condition(rng: random.Random) -> Any:
    low = rng.randint(0, 2)
    return rng.choice(
        [low, {"$gt": low}, {"$gte": low, "$lt": low + 2}, {"$in": [low, _small(rng)]},
         {"$ne": _small(rng)}, {"$not": {"$gt": low}}, {"$exists": rng.random() < 0.5}, None]
    )  # fmt: skip


def _pair(rng: random.Random, make: Any) -> Document:
    names = rng.sample("xy", rng.randint(1, 2))
    return {name: make(rng) for name in names}


def _array_document(rng: random.Random) -> Document:
    pairs = [_pair(rng, _small) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.2 and pairs:
        pairs[0]["x"] = [_small(rng), _small(rng)]
    a = pairs[0] if pairs and rng.random() < 0.2 else pairs
    return {"a": a, "b": _small(rng), "c": {"d": [_small(rng), _small(rng)]}}


def _array_query(rng: random.Random, depth: int = 0) -> Document:
    query: Document = {}
    for path in rng.sample(["a.x", "a.y", "b", "c.d"], rng.randint(0, 3)):
        query[path] = _condition(rng)
    kind = rng.random()
    if kind < 0.4:
        query["a"] = {"$elemMatch": _pair(rng, _condition)}
    elif kind < 0.5:
        query["a"] = {"$all": [{"$elemMatch": _pair(rng, _condition)} for _ in range(2)]}
    elif kind < 0.6 and depth < 2:
        query["$or"] = [_array_query(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    elif kind < 0.65 and depth < 2:
        query["$nor"] = [_array_query(rng, depth + 1)]
    elif kind < 0.7:
        query["c.d"] = {"$elemMatch": {"$gt": rng.randint(0, 2), "$lte": rng.randint(0, 2)}}
    return query


def _array_index(rng: random.Random) -> Document:
    names = rng.sample(["a.x", "a.y", "b"], rng.randint(1, 3))
    if rng.random() < 0.2:
        names = rng.sample(["c.d", "b"], rng.randint(1, 2))
    return {"key": {name: rng.choice([1, -1]) for name in names}}


SORTS: list[Document | None] = [None, {"b": 1}, {"a.y": -1}, {"a.x": 1}, {"a.x": 1, "b": 1},
                                {"b": -1, "a.y": 1}]  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_elements_of_one_array_are_kept_apart(seed: int) -> None:
    rng = random.Random(seed)
    specs = [_array_index(rng) for _ in range(rng.randint(1, 3))]
    kit = make([_array_document(rng) for _ in range(rng.randint(1, 25))], specs)
    for _ in range(80):
        query, sort = _array_query(rng), rng.choice(SORTS)
        found = kit.find(query, sort=sort, batch=3)
        expected = [document["_id"] for document in matching(kit, query)]
        assert sorted(document["_id"] for document in found) == expected, (query, sort)
        if sort is not None:
            sorter = compile_sort(sort, DEFAULT_CONTEXT)
            keys = [sorter.key(document) for document in found]
            assert keys == sorted(keys), (query, sort)


@EXAMPLES
@given(st.lists(DOCUMENTS, max_size=12), st.lists(indexes(), min_size=1, max_size=3), filters())
def test_counting_counts_what_is_found(
    documents: list[Document], specs: list[Document], query: Document
) -> None:
    kit = make(documents, specs)
    execution = kit.plan(query, count=True).open()
    total = 0
    while not execution.done:
        total += execution.count_batch(3)
    assert total == len(matching(kit, query))


@EXAMPLES
@given(st.lists(DOCUMENTS, max_size=12), st.lists(indexes(), min_size=1, max_size=3), filters(),
       st.dictionaries(st.sampled_from(["a", "b", "a.x", "c"]), st.sampled_from([1, -1]),
                       min_size=1, max_size=2),
       st.integers(0, 3), st.none() | st.integers(1, 4))  # fmt: skip
def test_indexes_do_not_change_the_order(
    documents: list[Document], specs: list[Document], query: Document, sort: Document,
    skip: int, limit: int | None,
) -> None:
    kit = make(documents, specs)
    sorter = compile_sort(sort, DEFAULT_CONTEXT)
    try:
        keys = sorted(sorter.key(document) for document in matching(kit, query))
    except MongoError:
        return  # parallel arrays have no order
    end = None if limit is None else skip + limit
    found = kit.find(query, sort=sort, skip=skip, limit=limit, batch=2)
    assert [sorter.key(document) for document in found] == keys[skip:end]
    assert len({document["_id"] for document in found}) == len(found)


@EXAMPLES
@given(st.lists(DOCUMENTS, max_size=12), st.lists(indexes(), min_size=1, max_size=3),
       filters() | st.just({}), st.sampled_from(["a", "b", "a.x", "c"]))  # fmt: skip
def test_distinct_misses_no_value(
    documents: list[Document], specs: list[Document], query: Document, path: str
) -> None:
    kit = make(documents, specs)
    wanted = values_at(matching(kit, query), path)
    assert values_at(run(kit.plan(query, distinct=path)), path) == wanted


def values_at(documents: list[Document], path: str) -> list[bytes]:
    """Keys of the different values, arrays unwound one level."""
    found: set[bytes] = set()
    for document in documents:
        for value in paths.values_along(document, paths.split(path), expand_leaf=False):
            items = value if type(value) is list else [value]
            found.update(order.key(item) for item in items if item is not MISSING)
    return sorted(found)


@EXAMPLES
@given(st.lists(DOCUMENTS, max_size=12), st.lists(indexes(), min_size=1, max_size=2), filters(),
       st.booleans())  # fmt: skip
def test_a_hint_does_not_change_what_is_found(
    documents: list[Document], specs: list[Document], query: Document, backward: bool
) -> None:
    kit = make(documents, specs)
    expected = [document["_id"] for document in matching(kit, query)]
    for name, index in kit.collection.indexes.items():
        if not index.sparse and index.partial is None and index.kind != "wildcard":
            assert sorted(kit.ids(query, hint=name)) == expected
    natural = kit.ids(query, hint={"$natural": -1 if backward else 1})
    assert natural == (expected[::-1] if backward else expected)


@pytest.mark.parametrize("seed", range(40))
def test_writes_between_batches_lose_and_repeat_nothing(seed: int) -> None:
    """Documents that are left alone come exactly once, and what comes matches."""
    rng = random.Random(seed)
    specs: list[Document] = [{"key": {"a": 1, "b": -1}}, {"key": {"b": 1}}, {"key": {"t": 1}}]
    kit = Kit([_random_document(rng) for _ in range(300)], rng.sample(specs, rng.randint(0, 3)))
    query: Document = rng.choice(
        [{"a": {"$gte": 2}}, {"a": 3, "b": {"$lt": 50}}, {"t": {"$in": [1, 2, 3]}}, {},
         {"$or": [{"a": 1}, {"t": 4}]}, {"b": {"$gt": 10, "$lt": 90}}]
    )  # fmt: skip
    sort = rng.choice([None, {"b": 1}, {"a": 1, "b": -1}, {"t": -1}])
    filter_ = compile_filter(query, DEFAULT_CONTEXT)
    before = {record.rid: record for record in kit.collection.scan(None, 1000)}
    execution = kit.plan(query, sort=sort).open()
    found: list[int] = []
    touched: set[int] = set()
    while not execution.done:
        for record in execution.next_batch(rng.randint(1, 20)):
            assert kit.collection.get(record.rid) is record
            assert filter_.matches(record.document(), ENV)
            found.append(record.rid)
        for _ in range(5):
            touched.add(_write(rng, kit))
    untouched = {
        rid for rid, record in before.items()
        if rid not in touched and filter_.matches(record.document(), ENV)
    }
    seen = [rid for rid in found if rid not in touched]
    assert set(seen) == untouched
    assert len(seen) == len(set(seen))


def _random_document(rng: random.Random) -> Document:
    return {"a": rng.randint(0, 5), "b": rng.randint(0, 100),
            "t": [rng.randint(0, 5) for _ in range(rng.randint(0, 3))]}  # fmt: skip


def _write(rng: random.Random, kit: Kit) -> int:
    records = kit.collection.records
    kind = rng.random()
    if kind < 0.3 or not records:
        return kit.insert(_random_document(rng)).rid
    record = records[rng.choice(list(records))]
    if kind < 0.6:
        kit.delete(record)
    else:
        kit.update(record, _random_document(rng))
    return record.rid
