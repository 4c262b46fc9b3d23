"""Laws of updates: inputs stay as they are, some updates are idempotent, none ends in a crash."""

from __future__ import annotations

import contextlib
import copy
import os
from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import bson_values
from update_kit import ENV, NEW_ID

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import DEFAULT_CONTEXT
from psdb_query.updates import compile_update

EXAMPLES = settings(
    max_examples=int(os.environ.get("PSDB_UPDATE_EXAMPLES", "250")), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

SCALARS = st.one_of(st.integers(-3, 3), st.sampled_from(["", "x", None, True, 1.5, 2.0]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abx"), inner, max_size=3)
    ),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3).map(
    lambda fields: {"_id": 1, **fields}
)
PARTS = st.sampled_from(["a", "a", "b", "b", "c", "x", "0", "1", "3", "$", "$[]", "$[e]", "", "$q"])
PATHS = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "a.0", "a.1.b", "a.$[]", "b.$[e].x", "a.$", "_id"]),
    st.lists(PARTS, min_size=1, max_size=4).map(".".join),
)
EACH = st.fixed_dictionaries(
    {"$each": st.lists(VALUES, max_size=3)},
    optional={
        "$position": st.integers(-4, 4), "$slice": st.integers(-4, 4) | SCALARS,
        "$sort": st.sampled_from([1, -1, 0, {"a": 1}, {"a.b": -1}, {}, "x"]),
    },
)  # fmt: skip
CONDITIONS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"$gte": SCALARS}),
    st.fixed_dictionaries({"$in": st.lists(SCALARS, max_size=2) | SCALARS}),
    st.fixed_dictionaries({"a": st.fixed_dictionaries({"$ne": SCALARS})}),
)
OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    "$addToSet": VALUES | EACH,
    "$bit": st.dictionaries(st.sampled_from(["and", "or", "xor", "not"]), st.integers(-9, 9),
                            max_size=2) | SCALARS,
    "$currentDate": st.sampled_from([True, {"$type": "date"}, {"$type": "timestamp"}, 5, {}]),
    "$inc": SCALARS,
    "$max": bson_values(),
    "$min": bson_values(),
    "$mul": SCALARS,
    "$pop": st.sampled_from([1, -1, 1.0, 0, "x"]),
    "$pull": CONDITIONS,
    "$pullAll": st.lists(VALUES, max_size=3) | SCALARS,
    "$push": VALUES | EACH,
    "$rename": PATHS | SCALARS,
    "$set": bson_values() | VALUES,
    "$setOnInsert": VALUES,
    "$unset": SCALARS,
}  # fmt: skip


@st.composite
def operator_updates(draw: st.DrawFn) -> Document:
    """Draw an update of modifiers, sensible or not."""
    update: Document = {}
    names = st.sampled_from([*OPERANDS, *OPERANDS, "$nope"])
    for name in draw(st.lists(names, max_size=3, unique=True)):
        update[name] = draw(st.dictionaries(PATHS, OPERANDS.get(name, SCALARS), max_size=3))
    return update


UPDATES = st.one_of(
    operator_updates(), operator_updates(), DOCUMENTS, st.dictionaries(PATHS, VALUES, max_size=3),
    st.lists(st.dictionaries(
        st.sampled_from(["$set", "$unset", "$project", "$replaceWith", "$match"]),
        VALUES | st.sampled_from(["$a", "a", "$$NOW"]), min_size=1, max_size=1), max_size=2),
)  # fmt: skip
ARRAY_FILTERS = st.none() | st.lists(
    st.sampled_from([{"e": {"$gt": 0}}, {"e.x": 1}, {"f": 1}, {"e": 1, "f": 2}, {}]), max_size=2
)


def attempt(doc: Document, update: Any, array_filters: Any, *, upsert: bool) -> Document | None:
    """Apply an update; None for MongoDB's own error."""
    with contextlib.suppress(MongoError):
        compiled = compile_update(update, DEFAULT_CONTEXT, array_filters=array_filters)
        if upsert:
            return compiled.upsert(doc, ENV, lambda: NEW_ID)
        return compiled.apply(doc, ENV, position="0")
    return None


@EXAMPLES
@given(DOCUMENTS, UPDATES, ARRAY_FILTERS, st.booleans())
def test_an_update_gives_a_document_or_an_error(
    doc: Document, update: Any, array_filters: Any, upsert: bool
) -> None:
    before = copy.deepcopy([doc, update, array_filters])
    found = attempt(doc, update, array_filters, upsert=upsert)
    assert order.identical(before, [doc, update, array_filters])
    if found is not None:
        replaces = type(update) is list or not any(name.startswith("$") for name in update)
        assert found is doc or not order.identical(found, doc) or upsert or replaces
        assert order.identical(bson_codec.decode(bson_codec.encode(found)), found)
        assert type(found.get("_id")) in (int, ObjectId) or upsert


@pytest.mark.parametrize("name", ["$set", "$unset", "$min", "$max", "$addToSet", "$pullAll"])
def test_doing_it_twice_is_doing_it_once(name: str) -> None:
    paths = st.sampled_from(["a", "b", "c", "a.b", "a.0", "b.x", "a.b.c", "a.$[]"])

    @EXAMPLES
    @given(DOCUMENTS, st.dictionaries(paths, OPERANDS[name], min_size=1, max_size=2))
    def law(doc: Document, operands: Document) -> None:
        once = attempt(doc, {name: operands}, None, upsert=False)
        if once is not None:
            assert attempt(once, {name: operands}, None, upsert=False) is once

    law()


@EXAMPLES
@given(DOCUMENTS, st.dictionaries(st.sampled_from(["a", "b", "a.b", "b.x.y"]), VALUES, min_size=1,
                                  max_size=2))  # fmt: skip
def test_set_then_read(doc: Document, operands: Document) -> None:
    found = attempt(doc, {"$set": operands}, None, upsert=False)
    if found is None:
        return
    for path, value in operands.items():
        there: Any = found
        for part in path.split("."):
            there = there[part]
        assert order.identical(there, value)


@EXAMPLES
@given(DOCUMENTS, st.sampled_from(["a", "b", "c"]), VALUES)
def test_untouched_parts_are_shared(doc: Document, name: str, value: Any) -> None:
    found = compile_update({"$set": {name: value}}, DEFAULT_CONTEXT).apply(doc, ENV)
    assert all(found[other] is doc[other] for other in doc if other != name)
    assert list(found)[: len(doc)] == list(doc)


@EXAMPLES
@given(DOCUMENTS, st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y", "b"]))
def test_renaming_there_and_back(doc: Document, old: str, new: str) -> None:
    if new in doc or old == new:
        return
    there = compile_update({"$rename": {old: new}}, DEFAULT_CONTEXT).apply(doc, ENV)
    back = compile_update({"$rename": {new: old}}, DEFAULT_CONTEXT).apply(there, ENV)
    assert order.identical(dict(sorted(back.items())), dict(sorted(doc.items())))


@EXAMPLES
@given(DOCUMENTS, DOCUMENTS)
def test_a_replacement_replaces(doc: Document, new: Document) -> None:
    found = compile_update(new, DEFAULT_CONTEXT).apply(doc, ENV)
    assert order.identical(found, {"_id": 1} | new)


@pytest.mark.soak
@settings(EXAMPLES, max_examples=50_000)
@given(DOCUMENTS, UPDATES, ARRAY_FILTERS, st.booleans())
def test_updates_at_length(
    doc: Document, update: Any, array_filters: Any, upsert: bool
) -> None:
    attempt(doc, update, array_filters, upsert=upsert)
