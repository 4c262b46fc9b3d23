"""JavaScript through the real engine: (manual page, source, argument, result)."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from bson.binary import Binary
from bson.code import Code as JavaScript
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_base.real_scripts import RealScripts
from psdb_base.values import UNDEFINED, Symbol
from psdb_query.context import CompileContext
from psdb_query.expressions.core import compile_expression
from psdb_query.filters import compile_filter
from psdb_server import scripting
from psdb_server.scripting import Scripts

OID = ObjectId("507f1f77bcf86cd799439011")
UUID = Binary(bytes(range(16)), 4)
SAME: list[Any] = [
    None, True, False, "", "ärger \U0001f600 \0", 1.5, -0.0, 1e300, float("inf"), Int64(5),
    Int64(2**63 - 1), Int64(-(2**63)), Decimal128("1.10"), Decimal128("NaN"), OID,
    DatetimeMS(0), DatetimeMS(-62135596800000), DatetimeMS(1700000000123), UUID, b"\0\1\xff",
    Binary(b"ab", 128), Timestamp(5, 7), Timestamp(2**32 - 1, 2**32 - 1), MinKey(), MaxKey(),
    UNDEFINED, [], {}, [None, [1.5]], {"a": {"b": {"c": "x"}}}, {"$": 1.5, "$ref": "x"},
    {"__proto__": 1.5, "constructor": "x"}, {"a": 1, "b": [2, {"c": 3}], "d": 4.0},
]
"""Values that come back as they were sent; within objects also int32."""

CALLS: list[tuple[str, str, Any, Any]] = [
    ("$function", "function(v) { return 1; }", None, 1.0),
    ("$function", "function(v) { return v + 1; }", 1, 2.0),
    ("$function", "function(v) { return v + 1; }", Int64(1), 2.0),
    ("$function", "function(v) { return v * 2; }", 1.25, 2.5),
    ("$function", "function(v) { return typeof v; }", 1, "number"),
    ("$function", "function(v) { return typeof v; }", Int64(1), "object"),
    ("$function", "function(v) { return typeof v; }", Symbol("s"), "string"),
    ("$function", "function(v) { return typeof v; }", UNDEFINED, "undefined"),
    ("$function", "function(v) { return v === null; }", None, True),
    ("$function", "function(v) { return v; }", Symbol("s"), "s"),
    ("$function", "function(v) { return v instanceof Date && v.getTime(); }", DatetimeMS(5), 5.0),
    ("$function", "function(v) { return v.str; }", OID, str(OID)),
    ("$function", "function(v) { return String(v); }", OID, f'ObjectId("{OID}")'),
    ("$function", "function(v) { return v.getTimestamp(); }", OID, DatetimeMS(1350508407000)),
    ("$function", "function(v) { return String(v); }", UUID,
     'UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")'),
    ("$function", "function(v) { return v.hex(); }", b"\x01\xff", "01ff"),
    ("$function", "function(v) { return v.base64(); }", b"hello", "aGVsbG8="),
    ("$function", "function(v) { return v.t + v.i; }", Timestamp(5, 6), 11.0),
    ("$function", "function(v) { return v.toString(); }", Decimal128("1.5"),
     'NumberDecimal("1.5")'),
    ("$function", "function(v) { return v.test('ABC'); }", Regex("b", 2), True),
    ("$function", "function(v) { return v; }", Regex("b", 2), Regex("b", 2)),
    ("$function", "function(v) { return /x+/im; }", None, Regex("x+", 10)),
    ("$function", "function(v) { return new Date(5); }", None, DatetimeMS(5)),
    ("$function", "function(v) { return ISODate('2020-02-03T04:05:06.789Z'); }", None,
     DatetimeMS(1580702706789)),
    ("$function", "function(v) { return ISODate('2020-02-03T04:05:06+01:00'); }", None,
     DatetimeMS(1580699106000)),
    ("$function", "function(v) { return ISODate('2020-02-03'); }", None,
     DatetimeMS(1580688000000)),
    ("$function", "function(v) { return ObjectId('507f1f77bcf86cd799439011'); }", None, OID),
    ("$function", "function(v) { return UUID('00010203-0405-0607-0809-0a0b0c0d0e0f'); }", None,
     UUID),
    ("$function", "function(v) { return HexData(0, 'ff01'); }", None, b"\xff\x01"),
    ("$function", "function(v) { return BinData(5, 'aGk='); }", None, Binary(b"hi", 5)),
    ("$function", "function(v) { return NumberLong('9007199254740993'); }", None,
     Int64(9007199254740993)),
    ("$function", "function(v) { return NumberInt(5); }", None, 5),
    ("$function", "function(v) { return NumberDecimal('1.50'); }", None, Decimal128("1.50")),
    ("$function", "function(v) { return Timestamp(1, 2); }", None, Timestamp(1, 2)),
    ("$function", "function(v) { return MinKey; }", None, MinKey()),
    ("$function", "function(v) { return MaxKey; }", None, MaxKey()),
    ("$function", "function(v) { return; }", None, UNDEFINED),
    ("$function", "function(v) { return [undefined, null]; }", None, [UNDEFINED, None]),
    ("$function", "function(v) { return 10n ** 15n; }", None, Int64(10**15)),
    ("$function", "function(v) { return function(x) { return x }; }", None,
     JavaScript("function(x) { return x }")),
    ("$function", "function(v) { return NaN === NaN; }", None, False),
    ("$function", "function(v) { return {n: -Infinity}; }", None, {"n": float("-inf")}),
    ("$function", "function(v) { v.b = v.a + 1; return v; }", {"a": 1}, {"a": 1, "b": 2.0}),
    ("$function", "function(v) { v.a++; return v; }", {"a": 1, "b": 5}, {"a": 2, "b": 5}),
    ("$function", "function(v) { return DBRef('c', 1); }", None, {"$ref": "c", "$id": 1.0}),
    ("$function", "v => v.length", "abc", 3.0),
    ("$function", "(v) => { return v.length }", "abc", 3.0),
    ("$function", "// a comment\nfunction f(v) { return v; };", "x", "x"),
    ("$function", "/* a comment */ function(v) { return v; }", "x", "x"),
    ("$where", "function(v) { return hex_md5('a'); }", None, "0cc175b9c0f1b6a831c399e269772661"),
    ("$where", "function(v) { return isNumber(v) && isNumber(NumberLong(1)); }", 1, True),
    ("$where", "function(v) { return isString(v); }", "x", True),
    ("$where", "function(v) { return isObject(v); }", {}, True),
    ("$where", "function(v) { return tojson(v); }", {"a": [1, "x", None]},
     '{ "a" : [ 1, "x", null ] }'),
    ("$where", "function(v) { return tojsononeline(v); }", {"a": 1}, '{ "a" : 1 }'),
    ("$where", "function(v) { return version(); }", None, "8.0.0"),
    ("$where", "function(v) { print(v); printjson(v); gc(); return 1; }", None, 1.0),
    ("$where", "function(v) { sleep(1); return 1; }", None, 1.0),
    ("mapReduce", "function(v) { return Array.sum(v); }", [1, 2, 3.5], 6.5),
    ("mapReduce", "function(v) { return Array.avg(v); }", [1, 2], 1.5),
    ("mapReduce", "function(v) { return Array.contains(v, 2); }", [1, 2], True),
]

FAILURES: list[tuple[str, str, int, str]] = [
    ("$function", "function(v) { throw 5; }", 139, "uncaught exception: 5"),
    ("$function", "function(v) { throw new Error('boo'); }", 139, "Error: boo"),
    ("$function", "function(v) { return w; }", 139, "ReferenceError: w is not defined"),
    ("$function", "function(v) { return v.a.b; }", 139, "TypeError: "),
    ("$function", "function(v {", 139, "SyntaxError: "),
    ("$function", "function(v) { function f() { return f() + 1; } return f(); }", 139,
     "RangeError: Maximum call stack size exceeded"),
    ("$function", "function(v) { var a = []; while (1) a.push('x'.repeat(1e6) + a.length); }",
     139, "InternalError: out of memory"),
    ("$function", "function(v) { var a = {}; a.a = a; return a; }", 17279, "cycle"),
    ("$function", "function(v) { while (true) {} }", 262, "a JavaScript call took more than"),
    ("$function", "function(v) { /(a+)+$/.test('a'.repeat(40) + 'b'); }", 262, "took more than"),
    ("$function", "function(v) { return new Date(NaN); }", 139, "invalid date"),
    ("$where", "function(v) { assert(false, 'no'); }", 139, "Error: assert failed : no"),
    ("$where", "function(v) { doassert('no'); }", 139, "Error: no"),
    ("$where", "function(v) { emit(1, 2); }", 139, "emit is not defined here"),
    ("$where", "function(v) { return ObjectId('x'); }", 139, "invalid object id"),
    ("$where", "function(v) { return require('fs'); }", 139, "ReferenceError"),
    ("$where", "function(v) { return db.x.find(); }", 139, "ReferenceError"),
]

WHERE: list[tuple[str, dict[str, Any], bool]] = [
    ("this.a == 1", {"a": 1}, True),
    ("this.a == 1", {"a": 2}, False),
    ("obj.a == 1", {"a": 1}, True),
    ("return this.a == 1", {"a": 1}, True),
    ("var x = this.a; return x == 1;", {"a": 1}, True),
    ("sleep(1); true", {}, True),
    ("var x = this.a; x == 1;", {"a": 1}, True),
    ("var x = this.a\nx == 1", {"a": 2}, False),
    ("var x = ';'; this.a == x + 'b; c'", {"a": ";b; c"}, True),
    ("if (this.a) return false; true", {"a": 0}, False),
    ("if (this.a) { true; }", {"a": 1}, False),
    ("function() { return this.a == 1; }", {"a": 1}, True),
    ("function() { return obj.a == 1; }", {"a": 1}, True),
    ("() => obj.a == 1", {"a": 1}, True),
    ("this.a", {"a": 0}, False),
    ("this.a", {"a": "x"}, True),
    ("this.gone", {}, False),
    ("this.gone === undefined", {}, True),
    ("this.a.length == 2", {"a": [1, 2]}, True),
    ("this.a[0].b > this.c", {"a": [{"b": 2}], "c": 1}, True),
    ("this.l == 5", {"l": Int64(5)}, True),
    ("this.d < new Date()", {"d": DatetimeMS(5)}, True),
    ("this._id.str == '507f1f77bcf86cd799439011'", {"_id": OID}, True),
    ("this.a == 1; ", {"a": 1}, True),
    ("'x'", {}, True),
    ("", {}, False),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Scripts]:
    host = RealScripts()
    yield Scripts(lambda: host)
    host.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine may be busy with other tests.
    monkeypatch.setattr(scripting, "HERE_SECONDS", 3.0)


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as a server has with a thousand connections."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.callback(os.close, os.dup(0))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("many_files")
def test_a_script_runs_beside_a_thousand_connections() -> None:
    host = RealScripts()
    try:
        assert call(Scripts(lambda: host), "function(v) { return v + 1; }", 1) == 2
    finally:
        host.close()


def call(engine: Scripts, source: str, argument: Any) -> Any:
    spec = {"$function": {"body": source, "args": [{"$literal": argument}], "lang": "js"}}
    expr = compile_expression(spec, CompileContext(javascript=engine))
    return expr.evaluate({}, {})


def same(left: Any, right: Any) -> bool:
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict and type(right) is dict:
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return type(left) is type(right) and (left == right or order.key(left) == order.key(right))


@pytest.mark.parametrize("value", SAME, ids=repr)
def test_values_come_back_as_they_went(engine: Scripts, value: Any) -> None:
    assert same(call(engine, "function(v) { return v; }", value), value)


@pytest.mark.parametrize(("page", "source", "argument", "result"), CALLS)
def test_calls(engine: Scripts, page: str, source: str, argument: Any, result: Any) -> None:
    assert same(call(engine, source, argument), result), page


@pytest.mark.parametrize(("page", "source", "code", "message"), FAILURES)
def test_failures(engine: Scripts, page: str, source: str, code: int, message: str) -> None:
    with pytest.raises(MongoError) as caught:
        call(engine, source, None)
    assert caught.value.code == code, page
    assert message in caught.value.message


@pytest.mark.parametrize(("source", "document", "matches"), WHERE)
def test_where(
    engine: Scripts, source: str, document: dict[str, Any], matches: bool
) -> None:
    chosen = compile_filter({"$where": source}, CompileContext(javascript=engine))
    assert chosen.matches(document, {}) is matches
    code = compile_filter({"$where": JavaScript(source)}, CompileContext(javascript=engine))
    assert code.matches(document, {}) is matches


def test_a_scope_is_seen_by_its_function(engine: Scripts) -> None:
    spec = {"$where": JavaScript("this.a > least", {"least": 5})}
    chosen = compile_filter(spec, CompileContext(javascript=engine))
    assert [chosen.matches({"a": a}, {}) for a in (4, 6)] == [False, True]


def test_sessions_do_not_see_each_other(engine: Scripts) -> None:
    call(engine, "function(v) { globalThis.left = 1; Array.prototype.map = null; }", None)
    assert call(engine, "function(v) { return typeof left; }", None) == "number"
    host = engine._make_host
    other = Scripts(host)
    assert call(other, "function(v) { return typeof left; }", None) == "undefined"
    assert call(other, "function(v) { return v.map(x => x + 1); }", [1]) == [2.0]


def test_what_a_filter_without_scripts_keeps(engine: Scripts) -> None:
    ctx = CompileContext(javascript=engine)
    spec = {"a": 1, "$or": [{"b": 1}, {"$where": "true"}], "$where": "this.a"}
    chosen = compile_filter(spec, ctx)
    assert chosen.is_scripted
    plain = chosen.without_scripts()
    assert not plain.is_scripted
    assert plain.matches({"a": 1}, {})
    assert not plain.matches({"a": 2}, {})
    assert not compile_filter({"a": 1}, ctx).is_scripted
