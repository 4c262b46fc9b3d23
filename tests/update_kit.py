"""Rows of update cases and how they are run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import DEFAULT_CONTEXT, Env, make_env
from psdb_query.updates import compile_update

NOW = DatetimeMS(1_700_000_000_123)
CLUSTER_TIME = Timestamp(1_700_000_000, 7)
ENV: Env = make_env(NOW, CLUSTER_TIME)
NEW_ID = ObjectId(b"\x01" * 12)


@dataclass(frozen=True)
class Fails:
    """An expected error: its code and, where it is known, its message (or how it begins)."""

    code: int
    message: str = ""


SAME: Any = object()
"""The update changes nothing, and says so by returning the same object."""


@dataclass(frozen=True)
class Case:
    """One row: `update` applied to `doc` gives `expected`.

    Args:
        page: The page of MongoDB's manual that the behaviour stands on.
        doc: The stored document; for an upsert, the filter.
        update: The update.
        expected: The new document, `SAME`, or `Fails`.
        options: `array_filters`, `constants` for compiling, `position`, `is_insert`, `upsert`.

    """

    page: str
    doc: Document
    update: Any
    expected: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.page}-{self.update}"[:90]


def case(page: str, doc: Document, update: Any, expected: Any, **options: Any) -> Case:
    return Case(page, doc, update, expected, options)


def run(one: Case) -> Document:
    options = dict(one.options)
    position, is_insert = options.pop("position", None), options.pop("is_insert", False)
    upsert = options.pop("upsert", False)
    compiled = compile_update(one.update, DEFAULT_CONTEXT, **options)
    if upsert:
        return compiled.upsert(one.doc, ENV, lambda: NEW_ID)
    return compiled.apply(one.doc, ENV, position=position, is_insert=is_insert)


def check(one: Case) -> None:
    """Run a case and compare: type, value and order of fields all count."""
    before = copy.deepcopy([one.doc, one.update])
    if isinstance(one.expected, Fails):
        with pytest.raises(MongoError) as caught:
            run(one)
        assert caught.value.code == one.expected.code, str(caught.value)
        assert caught.value.message.startswith(one.expected.message), caught.value.message
    else:
        found = run(one)
        if one.expected is SAME:
            assert found is one.doc, found
        else:
            assert order.identical(found, one.expected), found
            assert found is not one.doc
            bson_codec.encode(found)
    assert order.identical(before, [one.doc, one.update]), "an input was changed"
