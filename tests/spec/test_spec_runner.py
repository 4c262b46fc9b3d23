"""The runner itself: what matches, what does not, and that wrong expectations fail."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from spec.arguments import snake
from spec.cases import Case
from spec.deployments import Deployments
from spec.known import read
from spec.matching import MISSING, Matcher
from spec.requirements import version
from spec.unified import SkipError, run_case

LSID = {"id": Binary(b"0123456789abcdef", 4)}
MATCHER = Matcher({"entity": {"x": 1}}.__getitem__, {"session0": LSID}.__getitem__)

# expected, actual, whether they match as root-level values
MATCHES: list[tuple[Any, Any, bool]] = [
    (1, 1.0, True),
    (1, Int64(1), True),
    (1, 1.5, False),
    (1, True, False),
    (True, 1, False),
    (1, "1", False),
    (1, Decimal128("1"), False),
    (Decimal128("1"), Decimal128("1"), True),
    ("a", "a", True),
    ("a", "b", False),
    (None, None, True),
    (None, MISSING, False),
    ([1, 2], [1, 2], True),
    ([1, 2], [1, 2, 3], False),
    ([1, 2], [2, 1], False),
    ([{"x": 1}], [{"x": 1, "y": 1}], False),
    ({"x": 1}, {"x": 1, "y": 1}, True),
    ({"x": 1, "y": 1}, {"x": 1}, False),
    ({"x": 1, "y": 1}, {"y": 1, "x": 1}, True),
    ({"x": {"y": 1}}, {"x": {"y": 1, "z": 1}}, False),
    ({"x": {"$$exists": True}}, {"x": None}, True),
    ({"x": {"$$exists": True}}, {}, False),
    ({"x": {"$$exists": False}}, {}, True),
    ({"x": {"$$exists": False}}, {"x": None}, False),
    ({"x": {"y": {"$$exists": False}}}, {"x": {}}, True),
    ({"$$type": "int"}, 1, True),
    ({"$$type": "long"}, 1, False),
    ({"$$type": "long"}, Int64(1), True),
    ({"$$type": ["int", "long"]}, Int64(1), True),
    ({"$$type": "number"}, 1.5, True),
    ({"$$type": "objectId"}, ObjectId(), True),
    ({"$$type": "string"}, MISSING, False),
    ({"$$type": "array"}, ["a"], True),
    ({"$$type": "string"}, ["a"], False),
    ({"$$unsetOrMatches": 1}, MISSING, True),
    ({"$$unsetOrMatches": 1}, 1, True),
    ({"$$unsetOrMatches": 1}, 2, False),
    ({"$$unsetOrMatches": {"x": 1}}, {"x": 1, "y": 1}, True),
    ({"a": {"$$unsetOrMatches": {"x": 1}}}, {"a": {"x": 1, "y": 1}}, False),
    ({"$$matchesEntity": "entity"}, {"x": 1}, True),
    ({"$$matchesEntity": "entity"}, {"x": 2}, False),
    ({"$$matchesHexBytes": "12aB"}, b"\x12\xab", True),
    ({"$$matchesHexBytes": "12ab"}, b"\x12", False),
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": LSID}, True),
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": {"id": Binary(b"x" * 16, 4)}}, False),
    ({"$$lte": 5}, 5.0, True),
    ({"$$lte": 5}, 5.5, False),
    ({"$$lte": 5}, "a", False),
    ({"$$matchAsDocument": {"x": 1}}, '{"x": 1}', True),
    ({"$$matchAsDocument": {"x": 1}}, '{"x": 1, "y": 1}', False),
    ({"$$matchAsDocument": {"$$matchAsRoot": {"x": 1}}}, '{"x": 1, "y": 1}', True),
    ({"a": {"$$matchAsRoot": {"x": 1}}}, {"a": {"x": 1, "y": 1}}, True),
]


@pytest.mark.parametrize(("expected", "actual", "matches"), MATCHES)
def test_matching(expected: Any, actual: Any, matches: bool) -> None:
    assert MATCHER.matches(expected, actual) == matches


def test_documents_of_a_cursor_are_root_level_ones() -> None:
    MATCHER.check_each([{"x": 1}], [{"x": 1, "y": 1}])
    with pytest.raises(AssertionError):
        MATCHER.check_each([{"x": 1}], [{"x": 1}, {"x": 1}])


def test_unknown_operators_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\$\$nonsense"):
        MATCHER.check({"$$nonsense": 1}, 1)


def test_names_and_versions() -> None:
    assert snake("maxTimeMS") == "max_time_ms"
    assert snake("bypassDocumentValidation") == "bypass_document_validation"
    assert version("4.9.0-alpha4-271-g7d5cf02") == (4, 9, 0)
    assert version("8") < version("8.0.1") < version("8.1")


@pytest.mark.parametrize("line", ["a/b: c", "a/b — reason", "a/b: c — "])
def test_malformed_lists_of_differences(line: str) -> None:
    with pytest.raises(ValueError, match="not `folder"):
        read(line)
    with pytest.raises(ValueError, match="twice"):
        read("a/b: c — d\na/b: c — e")


def case(test: dict[str, Any], **source: Any) -> Case:
    content = {
        "schemaVersion": "1.0",
        "createEntities": [
            {"client": {"id": "client0", "observeEvents": ["commandStartedEvent"]}},
            {"database": {"id": "database0", "client": "client0", "databaseName": "runner"}},
            {
                "collection": {
                    "id": "collection0", "database": "database0", "collectionName": "c",
                }
            },
        ],
        "initialData": [
            {"collectionName": "c", "databaseName": "runner", "documents": [{"_id": 1, "x": 1}]}
        ],
        **source,
    }
    return Case("runner", "runner", content, {"description": "d", **test})


FIND = {"name": "find", "object": "collection0", "arguments": {"filter": {}}}
INSERT = {"name": "insertOne", "object": "collection0", "arguments": {"document": {"_id": 1}}}
STARTED = {"commandStartedEvent": {"commandName": "find", "databaseName": "runner"}}
OUTCOME = {"collectionName": "c", "databaseName": "runner", "documents": [{"_id": 1, "x": 1}]}
GOOD: list[dict[str, Any]] = [
    {"operations": [{**FIND, "expectResult": [{"_id": 1}]}]},
    {"operations": [{**INSERT, "expectError": {"errorCode": 11000, "isClientError": False}}]},
    {"operations": [{**INSERT, "expectError": {"errorCodeName": "DuplicateKey"}}]},
    {"operations": [{**INSERT, "expectError": {"errorContains": "e11000"}}]},
    {"operations": [{**INSERT, "expectError": {"errorResponse": {"keyPattern": {"_id": 1}}}}]},
    {"operations": [{**INSERT, "ignoreResultAndError": True}]},
    {"operations": [FIND], "expectEvents": [{"client": "client0", "events": [STARTED]}]},
    {"operations": [], "expectEvents": [{"client": "client0", "events": []}]},
    {
        "operations": [FIND, FIND],
        "expectEvents": [
            {"client": "client0", "ignoreExtraEvents": True, "events": [STARTED]}
        ],
    },
    {"operations": [], "outcome": [OUTCOME]},
]
BAD: list[dict[str, Any]] = [
    {"operations": [{**FIND, "expectResult": []}]},
    {"operations": [{**FIND, "expectResult": [{"_id": 2}]}]},
    {"operations": [{**FIND, "expectError": {"isError": True}}]},
    {"operations": [INSERT]},
    {"operations": [{**INSERT, "expectError": {"errorCode": 1}}]},
    {"operations": [{**INSERT, "expectError": {"errorCodeName": "BadValue"}}]},
    {"operations": [{**INSERT, "expectError": {"errorContains": "nonsense"}}]},
    {"operations": [{**INSERT, "expectError": {"isClientError": True}}]},
    {"operations": [{**INSERT, "expectError": {"errorLabelsContain": ["Nonsense"]}}]},
    {"operations": [{**INSERT, "expectError": {"errorResponse": {"keyPattern": {"x": 1}}}}]},
    {"operations": [FIND], "expectEvents": [{"client": "client0", "events": []}]},
    {"operations": [FIND, FIND], "expectEvents": [{"client": "client0", "events": [STARTED]}]},
    {
        "operations": [FIND],
        "expectEvents": [
            {
                "client": "client0",
                "events": [{"commandStartedEvent": {"command": {"find": "other"}}}],
            }
        ],
    },
    {"operations": [], "outcome": [{**OUTCOME, "documents": []}]},
    {"operations": [], "outcome": [{**OUTCOME, "documents": [{"_id": 1}]}]},
    {"operations": [], "outcome": [{**OUTCOME, "documents": [{"_id": 1, "x": Int64(1)}]}]},
]
UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"operations": [], "skipReason": "a reason"}, "a reason"),
    ({"operations": [], "expectLogMessages": []}, "expectLogMessages"),
    ({"operations": [{"name": "nonsense", "object": "collection0"}]}, "nonsense"),
    (
        {"operations": [{**FIND, "arguments": {"filter": {}, "nonsense": 1}}]},
        "no argument nonsense",
    ),
    (
        {"operations": [], "runOnRequirements": [{"minServerVersion": "99.0"}]},
        "needs a server of 99.0",
    ),
    (
        {"operations": [], "runOnRequirements": [{"topologies": ["load-balanced"]}]},
        "load-balanced",
    ),
]


@pytest.mark.parametrize("test", GOOD)
def test_good_cases_pass(test: dict[str, Any], deployments: Deployments) -> None:
    run_case(case(test), deployments)


@pytest.mark.parametrize("test", BAD)
def test_bad_cases_fail(test: dict[str, Any], deployments: Deployments) -> None:
    with pytest.raises(AssertionError):
        run_case(case(test), deployments)


@pytest.mark.parametrize(("test", "reason"), UNSUPPORTED)
def test_cases_that_cannot_run_are_skipped(
    test: dict[str, Any], reason: str, deployments: Deployments
) -> None:
    with pytest.raises(SkipError, match=reason):
        run_case(case(test), deployments)


def test_one_of_several_requirements_is_enough(deployments: Deployments) -> None:
    requirements = [{"minServerVersion": "99.0"}, {"topologies": ["single"]}]
    run_case(case({"operations": [], "runOnRequirements": requirements}), deployments)
