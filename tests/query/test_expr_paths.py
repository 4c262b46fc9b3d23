"""Field paths, variables, object and array expressions, `$literal`, `$let`, malformed ones."""

from __future__ import annotations

import pytest
from bson.int64 import Int64
from expression_kit import CLUSTER_TIME, NOW, ROLES, Case, Err, check, run, table

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, make_env
from psdb_query.expressions import compile_expression
from psdb_query.expressions.table import OPERATORS, SYSTEM_VARIABLES
from psdb_query.expressions.variables import evaluate_let

DOLLAR = "FieldPath field names may not start with '$'. Consider using $getField or $setField."
EMPTY = "FieldPath field names may not be empty strings."

CASES: list[Case] = [
    # Field paths.
    ("field path", {"a": 1}, "$a", 1),
    ("field path", {"a": None}, "$a", None),
    ("field path", {}, "$a", MISSING),
    ("field path", {"a": Int64(3)}, "$a", Int64(3)),
    ("field path", {"a": {"b": 2}}, "$a.b", 2),
    ("field path", {"a": {"b": {"c": 3}}}, "$a.b.c", 3),
    ("field path", {"a": {"b": 2}}, "$a.x", MISSING),
    ("field path", {"a": {"b": 2}}, "$a.b.c", MISSING),
    ("field path", {"a": 5}, "$a.b", MISSING),
    ("field path", {"a": None}, "$a.b", MISSING),
    ("field path", {"a": [{"b": 1}, {"b": 2}]}, "$a.b", [1, 2]),
    ("field path", {"a": [{"b": 1}, {"c": 2}, 3, None]}, "$a.b", [1]),
    ("field path", {"a": []}, "$a.b", []),
    ("field path", {"a": [1, 2]}, "$a.b", []),
    ("field path", {"a": [[{"b": 1}]]}, "$a.b", []),
    ("field path", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": {"c": 3}}]}, "$a.b.c", [[1, 2], 3]),
    ("field path", {"a": [{"b": [1, 2]}]}, "$a.b", [[1, 2]]),
    ("field path", {"a": {"b": [{"c": {"d": 1}}]}}, "$a.b.c.d", [1]),
    ("numeric components", {"a": [10, 20]}, "$a.0", []),
    ("numeric components", {"a": [{"0": "x"}]}, "$a.0", ["x"]),
    ("numeric components", {"a": {"0": "x"}}, "$a.0", "x"),
    ("field path", {"a b": 1}, "$a b", 1),
    ("field path", {"é": 1}, "$é", 1),
    ("DBRef", {"r": {"$id": 7, "$ref": "c", "$db": "d"}}, "$r.$id", 7),
    ("DBRef", {"r": {"$id": 7, "$ref": "c", "$db": "d"}}, ["$r.$ref", "$r.$db"], ["c", "d"]),
    ("field path", {}, "$", Err(16872, "'$' by itself is not a valid FieldPath")),
    ("field path", {}, "$a.", Err(40353, "FieldPath must not end with a '.'.")),
    ("field path", {}, "$.a", Err(15998, EMPTY)),
    ("field path", {}, "$a..b", Err(15998, EMPTY)),
    ("field path", {}, "$.", Err(40353)),
    ("field path", {}, "$a.$b", Err(16410, DOLLAR)),
    ("field path", {}, "$a\0b", Err(16411)),
    ("strings", {"a": 1}, "a", "a"),
    ("strings", {"a": 1}, "", ""),
    # Variables.
    ("$$ROOT", {"a": 1}, "$$ROOT", {"a": 1}),
    ("$$ROOT", {"a": {"b": 2}}, "$$ROOT.a.b", 2),
    ("$$CURRENT", {"a": 1}, "$$CURRENT", {"a": 1}),
    ("$$CURRENT", {"a": {"b": [{"c": 1}]}}, "$$CURRENT.a.b.c", [1]),
    ("$$ROOT", {"a": 1}, "$$ROOT.x", MISSING),
    ("$$REMOVE", {"a": 1}, "$$REMOVE", MISSING),
    ("$$REMOVE", {"a": 1}, {"x": "$$REMOVE", "y": "$a"}, {"y": 1}),
    ("$$REMOVE", {}, ["$$REMOVE", 1], [None, 1]),
    ("$$NOW", {}, "$$NOW", NOW),
    ("$$NOW", {}, {"$subtract": ["$$NOW", "$$NOW"]}, Int64(0)),
    ("$$NOW", {}, "$$NOW.a", MISSING),
    ("$$CLUSTER_TIME", {}, "$$CLUSTER_TIME", CLUSTER_TIME),
    ("$$USER_ROLES", {}, "$$USER_ROLES", ROLES),
    ("$$USER_ROLES", {}, "$$USER_ROLES.role", ["root"]),
    ("$$KEEP", {}, "$$KEEP", Err(17276, "Use of undefined variable: KEEP")),
    ("$$DESCEND", {}, "$$DESCEND", Err(17276)),
    ("variables", {}, "$$x", Err(17276, "Use of undefined variable: x")),
    ("variables", {}, "$$x.y.z", Err(17276, "Use of undefined variable: x")),
    ("variables", {}, "$$", Err(9, "empty variable names are not allowed")),
    ("variables", {}, "$$.a", Err(9, "empty variable names are not allowed")),
    ("variables", {}, "$$1", Err(9, "'1' starts with an invalid character for a variable name")),
    (
        "variables",
        {},
        "$$a-b",
        Err(9, "'a-b' contains an invalid character for a variable name: '-'"),
    ),
    ("variables", {}, "$$ROOT.", Err(40353)),
    ("variables", {}, "$$ROOT.$a", Err(16410)),
    ("$$SEARCH_META", {}, "$$SEARCH_META", Err(238)),
    # Object and array expressions.
    ("expression object", {"a": 1}, {"x": "$a", "y": 2}, {"x": 1, "y": 2}),
    ("expression object", {"a": 1}, {"x": {"y": {"z": "$a"}}}, {"x": {"y": {"z": 1}}}),
    ("expression object", {}, {}, {}),
    ("expression object", {}, {"x": {}}, {"x": {}}),
    ("expression object", {}, {"x": "$missing"}, {}),
    ("expression object", {}, {"x": None}, {"x": None}),
    ("expression object", {"a": 1}, {"x": [{"y": "$a"}, "$b"]}, {"x": [{"y": 1}, None]}),
    ("expression object", {}, {"a": 1, "$b": 2}, Err(16410, DOLLAR)),
    ("expression object", {}, {"a.b": 1}, Err(16412)),
    ("expression object", {}, {"": 1}, Err(15998, EMPTY)),
    ("expression object", {}, {"a\0": 1}, Err(16411)),
    ("expression array", {"a": 1}, ["$a", "$b", 3], [1, None, 3]),
    ("expression array", {}, [], []),
    ("expression array", {"a": 1}, [["$a"], [["$a"]]], [[1], [[1]]]),
    ("constants", {}, 5, 5),
    ("constants", {}, Int64(5), Int64(5)),
    ("constants", {}, 5.0, 5.0),
    ("constants", {}, None, None),
    ("constants", {}, True, True),
    ("operators", {}, {"$noSuch": 1}, Err(168, "Unrecognized expression '$noSuch'")),
    ("operators", {}, {"$": 1}, Err(168, "Unrecognized expression '$'")),
    ("operators", {}, {"x": {"$noSuch": 1}}, Err(168)),
    (
        "operators",
        {},
        {"$add": [1], "$subtract": [1, 2]},
        Err(
            15983,
            "an object representing an expression must have exactly one field: "
            "{ $add: [ 1 ], $subtract: [ 1, 2 ] }",
        ),
    ),
    ("operators", {}, {"$add": [1], "x": 1}, Err(15983)),
    ("operators", {}, {"$top": {}}, Err(238, "The expression '$top' is not supported")),
    ("operators", {}, {"$sigmoid": 1}, Err(238)),
    # $literal and $const.
    ("$literal", {"a": 1}, {"$literal": "$a"}, "$a"),
    ("$literal", {"a": 1}, {"$literal": {"$add": [2, 3]}}, {"$add": [2, 3]}),
    ("$literal", {"price": "$1"}, {"$eq": ["$price", {"$literal": "$1"}]}, True),
    ("$literal", {}, {"$literal": 1}, 1),
    ("$literal", {}, {"$literal": [1, "$a"]}, [1, "$a"]),
    ("$literal", {}, {"$literal": {"a.b": 1, "$x": 2}}, {"a.b": 1, "$x": 2}),
    ("$const", {}, {"$const": "$a"}, "$a"),
    ("$const", {}, {"$const": []}, []),
    # $let.
    (
        "$let",
        {"price": 10, "tax": 0.50, "applyDiscount": True},
        {
            "$let": {
                "vars": {
                    "total": {"$add": ["$price", "$tax"]},
                    "discounted": {"$cond": {"if": "$applyDiscount", "then": 0.9, "else": 1}},
                },
                "in": {"$multiply": ["$$total", "$$discounted"]},
            }
        },
        9.450000000000001,
    ),
    (
        "$let",
        {"price": 10, "tax": 0.25, "applyDiscount": False},
        {
            "$let": {
                "vars": {
                    "total": {"$add": ["$price", "$tax"]},
                    "discounted": {"$cond": {"if": "$applyDiscount", "then": 0.9, "else": 1}},
                },
                "in": {"$multiply": ["$$total", "$$discounted"]},
            }
        },
        10.25,
    ),
    ("$let", {}, {"$let": {"vars": {}, "in": 1}}, 1),
    ("$let", {}, {"$let": {"vars": {"low": 1, "high": "$$low"}, "in": "$$high"}}, Err(17276)),
    (
        "$let",
        {},
        {"$let": {"vars": {"x": 1}, "in": {"$let": {"vars": {"x": 2}, "in": "$$x"}}}},
        2,
    ),
    (
        "$let",
        {},
        {
            "$let": {
                "vars": {"x": 1},
                "in": {"$let": {"vars": {"y": "$$x"}, "in": {"$add": ["$$x", "$$y"]}}},
            }
        },
        2,
    ),
    ("$let", {}, {"$let": {"vars": {"x": "$missing"}, "in": "$$x"}}, MISSING),
    ("$let", {}, {"$let": {"vars": {"x": {"y": [{"z": 1}]}}, "in": "$$x.y.z"}}, [1]),
    ("$let", {}, {"$let": {"vars": {"x": [{"y": 1}, {"y": 2}]}, "in": "$$x.y"}}, [1, 2]),
    ("$let", {}, {"$let": {"vars": {"x": 3}, "in": "$$x.y"}}, MISSING),
    ("$let", {"a": {"b": 1}}, {"$let": {"vars": {"CURRENT": "$a"}, "in": "$b"}}, 1),
    ("$let", {"a": {"b": 1}, "c": 9}, {"$let": {"vars": {"CURRENT": "$a"}, "in": "$c"}}, MISSING),
    ("$let", {"a": {"b": 1}}, {"$let": {"vars": {"CURRENT": "$a"}, "in": "$$CURRENT"}}, {"b": 1}),
    (
        "$let",
        {"a": {"b": 1}, "c": 9},
        {"$let": {"vars": {"CURRENT": "$a"}, "in": ["$b", "$$ROOT.c", "$$CURRENT.b"]}},
        [1, 9, 1],
    ),
    (
        "$let",
        {"a": [{"b": 1}, {"b": 2}]},
        {"$let": {"vars": {"CURRENT": "$a"}, "in": "$b"}},
        [1, 2],
    ),
    ("$let", {"a": 5}, {"$let": {"vars": {"CURRENT": "$a"}, "in": "$b"}}, MISSING),
    (
        "$let",
        {"a": {"a": {"a": 1}}},
        {
            "$let": {
                "vars": {"CURRENT": "$a"},
                "in": {"$let": {"vars": {"CURRENT": "$a"}, "in": ["$a", "$$ROOT.a"]}},
            }
        },
        [1, {"a": {"a": 1}}],
    ),
    (
        "$let",
        {"a": {"b": 1}, "b": 7},
        {"$let": {"vars": {"CURRENT": "$a", "x": "$b"}, "in": ["$b", "$$x"]}},
        [1, 7],
    ),
    ("$let", {}, {"$let": 1}, Err(16874, "$let only supports an object as its argument")),
    ("$let", {}, {"$let": {"vars": {}}}, Err(16877, "Missing 'in' parameter to $let")),
    ("$let", {}, {"$let": {"in": 1}}, Err(16876, "Missing 'vars' parameter to $let")),
    (
        "$let",
        {},
        {"$let": {"vars": {}, "in": 1, "x": 1}},
        Err(16875, "Unrecognized parameter to $let: x"),
    ),
    (
        "$let",
        {},
        {"$let": {"vars": {"X": 1}, "in": 1}},
        Err(9, "'X' starts with an invalid character for a user variable name"),
    ),
    ("$let", {}, {"$let": {"vars": {"ROOT": 1}, "in": 1}}, Err(9)),
    ("$let", {}, {"$let": {"vars": {"_a": 1}, "in": 1}}, Err(9)),
    ("$let", {}, {"$let": {"vars": {"a.b": 1}, "in": 1}}, Err(9)),
    ("$let", {}, {"$let": {"vars": {"": 1}, "in": 1}}, Err(9)),
    ("$let", {}, {"$let": {"vars": {"é": 1}, "in": "$$é"}}, 1),
    ("$let", {}, {"$let": {"vars": {"a_1B": 1}, "in": "$$a_1B"}}, 1),
    ("$let", {}, {"$let": {"vars": 1, "in": 1}}, Err(10065)),
    ("$let", {}, {"$let": {"vars": {"x": {"$noSuch": 1}}, "in": 1}}, Err(168)),
]


@table(CASES)
def test_case(case: Case) -> None:
    check(case)


def test_command_variables_are_read_from_the_environment() -> None:
    ctx = CompileContext(variables=frozenset(("x",)))
    assert run({"a": 2}, {"$add": ["$a", "$$x"]}, ctx, x=40) == 42


def test_cluster_time_is_an_error_where_there_is_none() -> None:
    expr = compile_expression("$$CLUSTER_TIME", CompileContext())
    with pytest.raises(MongoError) as failure:
        expr.evaluate({}, make_env(NOW))
    assert failure.value.code == 51144


def test_redact_variables_exist_where_a_stage_binds_them() -> None:
    ctx = CompileContext().rebinding_current("DESCEND", "KEEP", "PRUNE")
    expr = compile_expression({"$cond": ["$secret", "$$PRUNE", "$$DESCEND"]}, ctx)
    env = make_env(NOW) | {"ROOT": {}, "DESCEND": "descend", "PRUNE": "prune"}
    assert expr.evaluate({"secret": True}, env) == "prune"
    assert expr.evaluate({}, env) == "descend"


LET_OPTIONS = [
    ({"x": 1, "y": {"$add": [1, 2]}}, {"x": 1, "y": 3}),
    ({"x": "$$NOW"}, {"x": NOW}),
    ({"x": "$a"}, Err(4890500)),
    ({"x": "$$ROOT"}, Err(4890500)),
    ({"X": 1}, Err(9)),
    ({"NOW": 1}, Err(4738901)),
    ({"CURRENT": 1}, Err(4738901)),
    ({"x": 1, "y": {"$add": ["$$x", 1]}}, {"x": 1, "y": 2}),
    ({"y": "$$x", "x": 1}, Err(17276)),
]


@pytest.mark.parametrize(("spec", "expected"), LET_OPTIONS)
def test_let_option(spec: dict[str, object], expected: object) -> None:
    if isinstance(expected, Err):
        with pytest.raises(MongoError) as failure:
            evaluate_let(spec, CompileContext(), make_env(NOW))
        assert failure.value.code == expected.code
    else:
        assert evaluate_let(spec, CompileContext(), make_env(NOW)) == expected


PATHS = [
    ("$a", {"a"}),
    ("$a.b", {"a.b"}),
    ("x", set()),
    ("$$ROOT", {""}),
    ("$$CURRENT", {""}),
    ("$$ROOT.a.b", {"a.b"}),
    ("$$NOW", set()),
    ({"$add": ["$a", {"$multiply": ["$b.c", 2]}]}, {"a", "b.c"}),
    ({"x": "$a", "y": ["$b"]}, {"a", "b"}),
    ({"$let": {"vars": {"v": "$a"}, "in": {"$add": ["$$v", "$b"]}}}, {"a", "b"}),
    ({"$let": {"vars": {"CURRENT": "$a"}, "in": ["$b", "$$ROOT.c"]}}, {"a", "c"}),
    ({"$literal": "$a"}, set()),
    ({"$cond": ["$a", "$b", "$c"]}, {"a", "b", "c"}),
    ({"$trim": {"input": "$a", "chars": "$b"}}, {"a", "b"}),
    ({"$switch": {"branches": [{"case": "$a", "then": "$b"}], "default": "$c"}}, {"a", "b", "c"}),
    ({"$regexMatch": {"input": "$a", "regex": "x"}}, {"a"}),
]


@pytest.mark.parametrize(("expression", "paths"), PATHS)
def test_paths_that_are_read(expression: object, paths: set[str]) -> None:
    assert compile_expression(expression, CompileContext()).paths == paths


VARIABLES = [
    ("$$x", {"x"}),
    ("$$NOW", {"NOW"}),
    ({"$let": {"vars": {"v": "$$x"}, "in": {"$add": ["$$v", "$$y"]}}}, {"x", "y"}),
    ({"$add": ["$$x", "$$NOW"]}, {"x", "NOW"}),
    ("$a", set()),
]


@pytest.mark.parametrize(("expression", "variables"), VARIABLES)
def test_variables_that_are_read(expression: object, variables: set[str]) -> None:
    ctx = CompileContext(variables=frozenset(("x", "y")))
    assert compile_expression(expression, ctx).variables == variables


FOLDED = [
    (5, True),
    ({"$add": [1, 2]}, True),
    ({"x": {"$add": [1, 2]}, "y": [1]}, True),
    ({"$cond": [True, 1, "$a"]}, True),
    ({"$cond": [True, "$a", 1]}, False),
    ({"$let": {"vars": {"x": 1}, "in": "$$x"}}, False),
    ("$$NOW", False),
    ("$a", False),
    ({"$add": ["$a", 1]}, False),
    ({"$switch": {"branches": [{"case": True, "then": 3}], "default": "$a"}}, True),
]


@pytest.mark.parametrize(("expression", "is_constant"), FOLDED)
def test_constants_are_folded(expression: object, is_constant: bool) -> None:
    assert compile_expression(expression, CompileContext()).is_constant is is_constant


def test_errors_of_constants_surface_when_compiling() -> None:
    with pytest.raises(MongoError) as failure:
        compile_expression({"$cond": ["$a", 1, {"$divide": [1, 0]}]}, CompileContext())
    assert failure.value.code == 2


def test_the_branch_behind_a_constant_true_is_only_checked_for_its_form() -> None:
    dead = {"case": True, "then": {"$divide": [1, 0]}}
    spec = {"$switch": {"branches": [{"case": True, "then": 1}, dead]}}
    assert run({}, spec) == 1
    dead["then"] = {"$noSuch": 1}
    assert run({}, spec).code == 168


def test_tables_are_sorted() -> None:
    assert list(OPERATORS) == sorted(OPERATORS)
    assert list(SYSTEM_VARIABLES) == sorted(SYSTEM_VARIABLES)


NESTINGS = {
    "array": lambda inner: [inner],
    "cond": lambda inner: {"$cond": {"if": inner, "then": 1, "else": 2}},
    "let": lambda inner: {"$let": {"in": inner, "vars": {}}},
    "not": lambda inner: {"$not": inner},
    "object": lambda inner: {"a": inner},
    "switch": lambda inner: {"$switch": {"branches": [{"case": inner, "then": 1}], "default": 2}},
}


@pytest.mark.parametrize("name", sorted(NESTINGS))
def test_the_deepest_message_compiles_within_the_stack(name: str) -> None:
    expression: object = "$a"
    for _ in range(190 if name in {"array", "not", "object"} else 95 if name != "switch" else 47):
        expression = NESTINGS[name](expression)
    assert not isinstance(run({"a": 1}, expression), MongoError)
