"""Dates and strings: `$dateToString` and `$dateFromString`."""

from __future__ import annotations

from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from psdb_base.errors import Code, MongoError
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_named,
    derive,
    is_nullish,
)
from psdb_query.expressions.date_format import (
    FROM_STRING_LETTERS,
    ISO_LOCAL,
    ISO_UTC,
    TO_STRING_LETTERS,
    format_date,
    parse_format,
    read_date,
)
from psdb_query.expressions.date_scanner import scan_date
from psdb_query.expressions.date_values import date_ms
from psdb_query.expressions.timezones import UTC, Zone, zone_reader

_TO_STRING: Final = Named(
    "$dateToString",
    ("date",),
    ("format", "timezone", "onNull"),
    not_object=(18629, "{name} only supports an object as its argument"),
    unknown=(18534, "Unrecognized argument to {name}: {field}"),
    missing={"": (18628, "Missing '{field}' parameter to {name}")},
)
_FROM_STRING: Final = Named(
    "$dateFromString",
    ("dateString",),
    ("format", "timezone", "onNull", "onError"),
    not_object=(40540, "{name} only supports an object as an argument, found: {type}"),
    unknown=(40541, "Unrecognized argument to {name}: {field}"),
    missing={"": (40542, "Missing '{field}' parameter to {name}")},
)


def iso_text(ms: int) -> str:
    """Render a date as `$toString` does; MongoError 18537 for a year outside 0–9999."""
    return format_date(ms, UTC, ISO_UTC)


def _format_operand(value: Any, name: str, code: int, letters: str) -> str | None:
    """Check a format operand, even where its date is null; None for a nullish one."""
    if is_nullish(value):
        return None
    if type(value) is not str:
        raise MongoError(
            code,
            f"{name} requires that 'format' be a string, "
            f"found: {type_name(value)} with value {text_of(value)}",
        )
    parse_format(value, letters)
    return value


def _compile_to_string(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _TO_STRING)
    date = operands["date"].evaluate
    form = operands.get("format")
    read_zone = zone_reader(operands.get("timezone"))
    on_null = operands.get("onNull")

    def evaluate(doc: Any, env: Env) -> Any:
        value = date(doc, env)
        text = None
        if form is not None:
            raw = form.evaluate(doc, env)
            text = _format_operand(raw, "$dateToString", 18533, TO_STRING_LETTERS)
        zone = read_zone(doc, env)
        if is_nullish(value):
            return None if on_null is None else on_null.evaluate(doc, env)
        if zone is None or (text is None and form is not None):
            return None
        if text is None:
            text = ISO_UTC if zone.is_utc else ISO_LOCAL
        return format_date(date_ms(value), zone, text)

    return derive(evaluate, operands.values())


def _compile_from_string(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _FROM_STRING)
    date_string = operands["dateString"].evaluate
    form = operands.get("format")
    read_zone = zone_reader(operands.get("timezone"))
    on_null = operands.get("onNull")
    on_error = operands.get("onError")

    def evaluate(doc: Any, env: Env) -> Any:
        value = date_string(doc, env)
        text = None
        if form is not None:
            raw = form.evaluate(doc, env)
            text = _format_operand(raw, "$dateFromString", 40684, FROM_STRING_LETTERS)
        zone = read_zone(doc, env)
        if is_nullish(value):
            return None if on_null is None else on_null.evaluate(doc, env)
        try:
            _check_date_string(value)
            if zone is None or (text is None and form is not None):
                return None
            return _read(value, zone, text)
        except MongoError as error:
            if on_error is None or error.code != Code.CONVERSION_FAILURE:
                raise
        return on_error.evaluate(doc, env)

    return derive(evaluate, operands.values())


def _check_date_string(value: Any) -> None:
    if type(value) is not str:
        raise MongoError(
            Code.CONVERSION_FAILURE,
            "$dateFromString requires that 'dateString' be a string, "
            f"found: {type_name(value)} with value {text_of(value)}",
        )


def _read(text: str, zone: Zone, format_text: str | None) -> DatetimeMS:
    if format_text is None:
        return DatetimeMS(scan_date(text, zone))
    return DatetimeMS(read_date(text, zone, format_text))


OPERATORS: Final[dict[str, Operator]] = {
    "$dateFromString": Operator(_compile_from_string),
    "$dateToString": Operator(_compile_to_string),
}
