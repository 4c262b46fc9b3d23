"""Trigonometric operators: doubles through the C library, decimals at 34 digits."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from typing import Any, Final

from bson.decimal128 import Decimal128

from psdb_base.errors import MongoError
from psdb_query import numeric
from psdb_query.context import CompileContext, Env
from psdb_query.describe import shown_double, type_name
from psdb_query.expressions.arithmetic import numeric_unary
from psdb_query.expressions.core import Expr, Operator, compile_args, derive, is_nullish

_PI_OVER_180: Final = decimal.Decimal("0.01745329251994329576923690768488613")
_180_OVER_PI: Final = decimal.Decimal("57.29577951308232087679815481410517")


def _decimal(function: str, *numbers: decimal.Decimal) -> Decimal128:
    from psdb_query import decimal_math

    found: decimal.Decimal = getattr(decimal_math, function)(*numbers)
    return numeric.decimal128(found)


def _bounded(name: str, least: float, most: float, *, open_ends: bool = False) -> Operator:
    """Return the operator that takes numbers from `least` to `most` only; NaN gives NaN."""
    function = getattr(math, name)
    left, right = ("(", ")") if open_ends else ("[", "]")
    bounds = f"{left}{shown_double(least)},{shown_double(most)}{right}"

    def apply(value: Any) -> Any:
        double = numeric.to_double(value)
        if double != double:
            return value
        exact = numeric.decimal_of(value) if type(value) is Decimal128 else double
        inside = least < exact < most if open_ends else least <= exact <= most
        if not inside:
            shown = str(value) if type(value) is Decimal128 else shown_double(double)
            raise MongoError(50989, f"cannot apply ${name} to {shown}, value must in {bounds}")
        if type(value) is Decimal128:
            return _decimal(name, numeric.decimal_of(value))
        if name == "atanh" and abs(double) == 1:
            return math.copysign(math.inf, double)
        return function(double)

    return numeric_unary(f"${name}", apply)


def _unbounded(name: str) -> Operator:
    function: Callable[[float], float] = getattr(math, name)

    def apply(value: Any) -> Any:
        if type(value) is Decimal128:
            return _decimal(name, numeric.decimal_of(value))
        try:
            return function(value)
        except OverflowError:  # sinh and cosh
            return math.inf if name == "cosh" else math.copysign(math.inf, value)

    return numeric_unary(f"${name}", apply)


def _scaled(name: str, factor: float, exact: decimal.Decimal) -> Operator:
    def apply(value: Any) -> Any:
        if type(value) is Decimal128:
            return numeric.decimal128(numeric.CONTEXT.multiply(numeric.decimal_of(value), exact))
        return float(value) * factor

    return numeric_unary(name, apply)


def _compile_atan2(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$atan2", 2, 2)
    first, second = (operand.evaluate for operand in operands)

    def evaluate(doc: Any, env: Env) -> Any:
        y = first(doc, env)
        if is_nullish(y):
            return None
        _require_number(y, 51044)
        x = second(doc, env)
        if is_nullish(x):
            return None
        _require_number(x, 51045)
        if type(y) is Decimal128 or type(x) is Decimal128:
            return _decimal("atan2", numeric.to_decimal(y), numeric.to_decimal(x))
        return math.atan2(y, x)

    return derive(evaluate, operands)


def _require_number(value: Any, code: int) -> None:
    if type(value) not in numeric.RANKS:
        raise MongoError(code, f"$atan2 only supports numeric types, not {type_name(value)}")


OPERATORS: Final[dict[str, Operator]] = {
    "$acos": _bounded("acos", -1, 1),
    "$acosh": _bounded("acosh", 1, math.inf),
    "$asin": _bounded("asin", -1, 1),
    "$asinh": _unbounded("asinh"),
    "$atan": _unbounded("atan"),
    "$atan2": Operator(_compile_atan2),
    "$atanh": _bounded("atanh", -1, 1),
    "$cos": _bounded("cos", -math.inf, math.inf, open_ends=True),
    "$cosh": _unbounded("cosh"),
    "$degreesToRadians": _scaled("$degreesToRadians", math.pi / 180.0, _PI_OVER_180),
    "$radiansToDegrees": _scaled("$radiansToDegrees", 180.0 / math.pi, _180_OVER_PI),
    "$sin": _bounded("sin", -math.inf, math.inf, open_ends=True),
    "$sinh": _unbounded("sinh"),
    "$tan": _bounded("tan", -math.inf, math.inf, open_ends=True),
    "$tanh": _unbounded("tanh"),
}
