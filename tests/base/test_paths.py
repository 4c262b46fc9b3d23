"""Dotted paths: plain look-up and the traversal of arrays that queries use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import bson_documents

from psdb_base import paths
from psdb_base.values import MISSING


@pytest.mark.parametrize(
    ("path", "parts"),
    [("a", ("a",)), ("a.b", ("a", "b")), ("", ("",)), (".a", ("", "a")), ("a..b", ("a", "", "b"))],
)
def test_split(path: str, parts: tuple[str, ...]) -> None:
    assert paths.split(path) == parts


@pytest.mark.parametrize(
    ("part", "index"),
    [("0", 0), ("10", 10), ("01", None), ("", None), ("-1", None), ("1a", None), ("٣", None)],
)
def test_array_index(part: str, index: int | None) -> None:
    assert paths.array_index(part) == index


@pytest.mark.parametrize(
    ("doc", "path", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a": {"b": None}}, "a.b", None),
        ({"a": {"b": 1}}, "a.c", MISSING),
        ({"a": 1}, "a.b", MISSING),
        ({"a": [{"b": 1}]}, "a.b", MISSING),
        ({"a": [1]}, "a.0", MISSING),
        ({"a": {"0": 1}}, "a.0", 1),
        ({"": {"": 2}}, ".", 2),
    ],
)
def test_get(doc: dict[str, Any], path: str, value: Any) -> None:
    assert paths.get(doc, paths.split(path)) is value or paths.get(doc, paths.split(path)) == value


@pytest.mark.parametrize(
    ("doc", "path", "values"),
    [
        ({"a": 1}, "a", [1]),
        ({}, "a", [MISSING]),
        ({"a": 1}, "a.b", [MISSING]),
        ({"a": None}, "a.b", [MISSING]),
        ({"a": [1, 2]}, "a", [1, 2, [1, 2]]),
        ({"a": []}, "a", [[]]),
        ({"a": [[1], 2]}, "a", [[1], 2, [[1], 2]]),
        ({"a": []}, "a.b", []),
        ({"a": [1, 2]}, "a.b", []),
        ({"a": [{"b": 1}, {"c": 1}, 5, {"b": [2]}]}, "a.b", [1, MISSING, 2, [2]]),
        ({"a": [5, 6]}, "a.1", [6]),
        ({"a": [5, 6]}, "a.2", []),
        ({"a": [[7, 8], 6]}, "a.0", [[7, 8]]),
        ({"a": [[7, 8], 6]}, "a.0.1", [8]),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b", [MISSING, MISSING, 2]),
        ({"a": [{"0": "x"}, "y"]}, "a.0", ["x", {"0": "x"}]),
        ({"a": {"0": "x"}}, "a.0", ["x"]),
        ({"a": [[{"b": 1}]]}, "a.b", []),
        ({"a": [[{"b": 1}]]}, "a.0.b", [1]),
    ],
)
def test_values_along(doc: dict[str, Any], path: str, values: list[Any]) -> None:
    assert paths.values_along(doc, paths.split(path)) == values


@pytest.mark.parametrize(
    ("doc", "path", "values"),
    [
        ({"a": [1, 2]}, "a", [[1, 2]]),
        ({"a": [{"b": [1]}, {"b": 2}]}, "a.b", [[1], 2]),
    ],
)
def test_leaf_arrays_as_they_are(doc: dict[str, Any], path: str, values: list[Any]) -> None:
    assert paths.values_along(doc, paths.split(path), expand_leaf=False) == values


@given(bson_documents(), st.lists(st.sampled_from(["a", "b", "0", ""]), min_size=1, max_size=3))
def test_get_is_among_the_values(doc: dict[str, Any], parts: list[str]) -> None:
    value = paths.get(doc, tuple(parts))
    along = paths.values_along(doc, tuple(parts))
    assert value is MISSING or any(found is value for found in along)
