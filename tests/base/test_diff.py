"""Differences of documents: applying one gives exactly the new document back."""

from __future__ import annotations

from typing import Any

import pytest
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import bson_documents, bson_values, names

from psdb_base import bson_codec, diff

BIG = "x" * 400


def diff_of(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any] | None:
    return diff.diff(old, new, len(bson_codec.encode(new)))


def exactly(old: dict[str, Any], new: dict[str, Any], delta: dict[str, Any]) -> None:
    before = bson_codec.encode(old)
    # A diff travels as BSON, so it is applied as it comes out of there.
    delta = bson_codec.decode(bson_codec.encode(delta))
    assert bson_codec.encode(diff.apply(old, delta)) == bson_codec.encode(new)
    assert bson_codec.encode(old) == before


@pytest.mark.parametrize(
    ("old", "new", "delta"),
    [
        ({"n": 1}, {"n": 1}, {}),
        ({"n": 1}, {"n": 2}, {"u": {"n": 2}}),
        ({"n": 1}, {"n": Int64(1)}, {"u": {"n": Int64(1)}}),
        ({"n": 0.0}, {"n": -0.0}, {"u": {"n": -0.0}}),
        ({"n": 1}, {}, {"d": ["n"]}),
        ({"n": 1}, {"n": 1, "m": 2}, {"i": {"m": 2}}),
        ({"n": 1, "m": 2}, {"m": 2, "n": 1}, None),
        ({"n": 1, "m": 2}, {"x": 0, "n": 1, "m": 2}, None),
        ({"n": 1, "m": 2}, {"m": 3, "o": 4}, {"d": ["n"], "u": {"m": 3}, "i": {"o": 4}}),
        ({"s": {"a": 1, "b": 2}}, {"s": {"a": 1, "b": 3}}, {"s": {"s": {"u": {"b": 3}}}}),
        ({"s": {"a": 1}}, {"s": {"a": 2}}, {"u": {"s": {"a": 2}}}),
        ({"s": {"a": 1, "b": 2}}, {"s": {"b": 2, "a": 1}}, {"u": {"s": {"b": 2, "a": 1}}}),
        ({"l": [1, 2, 3]}, {"l": [1, 9, 3]}, {"s": {"l": {"a": True, "l": 3, "u": {"1": 9}}}}),
        ({"l": [1, 2]}, {"l": [1, 2, 3]}, {"s": {"l": {"a": True, "l": 3, "u": {"2": 3}}}}),
        ({"l": [1, 2]}, {"l": [1]}, {"s": {"l": {"a": True, "l": 1}}}),
        ({"l": [1, 2]}, {"l": []}, {"s": {"l": {"a": True, "l": 0}}}),
        (
            {"l": [{"a": 1, "b": 1}, 2]},
            {"l": [{"a": 1, "b": 2}, 2]},
            {"s": {"l": {"a": True, "l": 2, "s": {"0": {"u": {"b": 2}}}}}},
        ),
        ({"s": {}}, {"s": []}, {"u": {"s": []}}),
        ({"": 1, "$set": 1, "a.b": 1}, {"": 2, "$set": 1}, {"d": ["a.b"], "u": {"": 2}}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 1, "a": True}},
         {"u": {"a": {"x": 1, "a": True}}}),
    ],
)  # fmt: skip
def test_known_diffs(old: dict[str, Any], new: dict[str, Any], delta: Any) -> None:
    old, new = {"big": BIG, **old}, {"big": BIG, **new}
    found = diff_of(old, new)
    assert found == delta
    if found is not None:
        assert bson_codec.encode(found) == bson_codec.encode(delta)
        exactly(old, new, found)


def test_large_diffs_are_not_worth_it() -> None:
    assert diff_of({"a": 1}, {"a": 2}) is None
    assert diff_of({"a": BIG}, {"a": BIG + "y"}) is None
    assert diff_of({"a": BIG, "b": 1}, {"a": BIG, "b": 2}) == {"u": {"b": 2}}


@st.composite
def changed(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A document, and another made of it by a few edits at any depth."""
    old = draw(bson_documents())
    new = bson_codec.decode(bson_codec.encode(old))
    for _ in range(draw(st.integers(0, 3))):
        target: Any = new
        while True:
            inner = target.values() if type(target) is dict else target
            nested = [value for value in inner if type(value) in {dict, list} and value]
            if not nested or draw(st.booleans()):
                break
            target = draw(st.sampled_from(nested))
        if type(target) is dict:
            name = draw(names() | st.sampled_from(sorted(target) or [""]))
            if name in target and draw(st.booleans()):
                del target[name]
            else:
                target[name] = draw(bson_values())
        elif draw(st.booleans()):
            target.append(draw(bson_values()))
        elif draw(st.booleans()):
            del target[draw(st.integers(0, len(target) - 1)) :]
        elif target:
            target[draw(st.integers(0, len(target) - 1))] = draw(bson_values())
    return old, new


@given(changed() | st.tuples(bson_documents(), bson_documents()))
def test_apply_gives_the_new_document(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    old, new = pair
    delta = diff._diff_objects(old, new)
    if delta is not None:
        exactly(old, new, delta)
    found = diff_of(old, new)
    if found is not None:
        assert 2 * len(bson_codec.encode(found)) <= len(bson_codec.encode(new))
        exactly(old, new, found)


@given(changed())
@settings(max_examples=30)
def test_padding_makes_edits_worth_a_diff(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    padding = "x" * 40_000
    old, new = ({"pad": padding, **doc} for doc in pair)
    found = diff_of(old, new)
    kept = [name for name in old if name in new]
    in_order = kept == list(new)[: len(kept)]
    assert (found is not None) is in_order
    if found is not None:
        exactly(old, new, found)


@given(bson_documents())
def test_nothing_changed_is_an_empty_diff(doc: dict[str, Any]) -> None:
    same = bson_codec.decode(bson_codec.encode(doc))
    assert diff._diff_objects(doc, same) == {}


@pytest.mark.parametrize(("levels", "expected"), [(60, True), (175, False)])
def test_deep_documents(levels: int, expected: bool) -> None:
    def beneath(frames: int, work: Any) -> Any:
        return work() if frames == 0 else beneath(frames - 1, work)

    def document(leaf: int) -> dict[str, Any]:
        value: Any = {"n": leaf, "pad": BIG}
        for level in range(levels):
            value = [value, 1, 2] if level % 2 else {"k": value, "pad": BIG}
        return {"": value}

    old, new = document(1), document(2)
    found = beneath(300, lambda: diff_of(old, new))
    assert (found is not None) is expected
    if found is not None:
        assert len(bson_codec.encode(found)) < 2000
        exactly(old, new, found)
