"""Arithmetic operators.

Null, missing and undefined operands give null before any other operand is looked at, in the
order of the operands, as in MongoDB; what is no number is refused with the operator's code.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_query import numeric
from psdb_query.context import CompileContext, Env, Evaluate
from psdb_query.describe import shown_double, type_name
from psdb_query.expressions.core import (
    Expr,
    Operator,
    binary,
    compile_args,
    derive,
    is_nullish,
    unary,
)
from psdb_query.numeric import RANKS


def not_numeric(name: str, value: Any) -> MongoError:
    """Return the error of an operator of one number that was given something else."""
    return MongoError(28765, f"{name} only supports numeric types, not {type_name(value)}")


def numeric_unary(name: str, function: Callable[[Any], Any]) -> Operator:
    """Return the operator of one number: null for nullish, 28765 for what is no number."""

    def apply(value: Any) -> Any:
        if type(value) in RANKS:
            return function(value)
        if is_nullish(value):
            return None
        raise not_numeric(name, value)

    return unary(name, apply)


# $add and $multiply: any number of operands, evaluated until one is nullish.


def _add_error(value: Any) -> MongoError:
    return MongoError(
        Code.TYPE_MISMATCH, f"$add only supports numeric or date types, not {type_name(value)}"
    )


def _add_dates(total: Any, date: DatetimeMS | None, value: Any) -> tuple[Any, DatetimeMS]:
    """Continue a sum in which a date occurs: from there on it counts whole milliseconds."""
    if type(value) is not DatetimeMS:
        assert date is not None
        return total, numeric.date_plus(int(date) + numeric.milliseconds(value))
    if date is not None:
        raise MongoError(16612, "only one date allowed in an $add expression")
    return total, numeric.date_plus(int(value) + numeric.milliseconds(total))


def _compile_add(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$add")
    evaluates = [operand.evaluate for operand in operands]
    if len(evaluates) == 2:
        return derive(_add_two(*evaluates), operands)

    def evaluate(doc: Any, env: Env) -> Any:
        return _add_all([], evaluates, doc, env)

    return derive(evaluate, operands)


def _add_two(first: Evaluate, second: Evaluate) -> Evaluate:
    rest = (second,)

    def evaluate(doc: Any, env: Env) -> Any:
        left = first(doc, env)
        if type(left) is int:
            right = second(doc, env)
            if type(right) is int:
                total = left + right
                return total if -0x80000000 <= total <= 0x7FFFFFFF else numeric.whole(total)
            return _add_all([left, right], (), doc, env)
        if type(left) is float:
            right = second(doc, env)
            if type(right) is float:
                return 0.0 + left + right  # -0.0 and -0.0 give 0.0, as for any sum
            return _add_all([left, right], (), doc, env)
        return _add_all([left], rest, doc, env)

    return evaluate


def _add_all(known: list[Any], evaluates: Any, doc: Any, env: Env) -> Any:
    """Add the values already evaluated, then those of `evaluates`; stop at the first nullish."""
    total: Any = 0
    date: DatetimeMS | None = None
    for position in range(len(known) + len(evaluates)):
        if position < len(known):
            value = known[position]
        else:
            value = evaluates[position - len(known)](doc, env)
        kind = type(value)
        if kind is DatetimeMS or (date is not None and kind in RANKS):
            total, date = _add_dates(total, date, value)
        elif kind in RANKS:
            total = numeric.add(total, value)
        elif is_nullish(value):
            return None
        else:
            raise _add_error(value)
    return total if date is None else date


def _compile_multiply(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$multiply")
    evaluates = [operand.evaluate for operand in operands]
    if len(evaluates) == 2:
        return derive(_multiply_two(*evaluates), operands)
    return derive(_multiply_all(evaluates), operands)


def _multiply_two(first: Evaluate, second: Evaluate) -> Evaluate:
    """Multiply two operands, mostly doubles."""
    whole = _multiply_all([first, second])

    def evaluate(doc: Any, env: Env) -> Any:
        left = first(doc, env)
        if type(left) is float:
            right = second(doc, env)
            kind = type(right)
            if kind is float or kind is int:
                return left * right
        return whole(doc, env)

    return evaluate


def _multiply_all(evaluates: list[Evaluate]) -> Evaluate:
    def evaluate(doc: Any, env: Env) -> Any:
        product: Any = 1
        for operand in evaluates:
            value = operand(doc, env)
            if type(value) not in RANKS:
                if is_nullish(value):
                    return None
                raise MongoError(
                    Code.TYPE_MISMATCH,
                    f"$multiply only supports numeric types, not {type_name(value)}",
                )
            product = numeric.multiply(product, value)
        return product

    return evaluate


# Operators of two operands, both evaluated.


def _subtract(left: Any, right: Any) -> Any:
    if type(left) in RANKS and type(right) in RANKS:
        return numeric.subtract(left, right)
    if is_nullish(left) or is_nullish(right):
        return None
    if type(left) is not DatetimeMS:
        raise MongoError(
            Code.TYPE_MISMATCH, f"can't $subtract {type_name(right)} from {type_name(left)}"
        )
    if type(right) is DatetimeMS:
        return _difference(int(left) - int(right))
    if type(right) in RANKS:
        return numeric.date_plus(int(left) - numeric.milliseconds(right))
    raise MongoError(Code.TYPE_MISMATCH, f"can't $subtract {type_name(right)} from Date")


def _difference(milliseconds: int) -> Int64:
    if not numeric.fits_long(milliseconds):
        raise MongoError(Code.OVERFLOW, "date overflow")
    return Int64(milliseconds)


def _divide(left: Any, right: Any) -> Any:
    if type(left) in RANKS and type(right) in RANKS:
        return numeric.divide(left, right)
    if is_nullish(left) or is_nullish(right):
        return None
    raise MongoError(
        Code.TYPE_MISMATCH,
        f"$divide only supports numeric types, not {type_name(left)} and {type_name(right)}",
    )


def _mod(left: Any, right: Any) -> Any:
    if type(left) in RANKS and type(right) in RANKS:
        return numeric.modulo(left, right)
    if is_nullish(left) or is_nullish(right):
        return None
    raise MongoError(
        16611, f"$mod only supports numeric types, not {type_name(left)} and {type_name(right)}"
    )


def _positive(number: decimal.Decimal) -> bool:
    return not number.is_nan() and number > 0


def _log(argument: Any, base: Any) -> Any:
    if is_nullish(argument) or is_nullish(base):
        return None
    if type(argument) not in RANKS:
        raise MongoError(28756, f"$log's argument must be numeric, not {type_name(argument)}")
    if type(base) not in RANKS:
        raise MongoError(28757, f"$log's base must be numeric, not {type_name(base)}")
    if type(argument) is Decimal128 or type(base) is Decimal128:
        number, root = numeric.to_decimal(argument), numeric.to_decimal(base)
        if _positive(number) and _positive(root) and root != 1:
            context = numeric.CONTEXT
            return numeric.decimal128(context.divide(context.ln(number), context.ln(root)))
    value, root_value = numeric.to_double(argument), numeric.to_double(base)
    if value <= 0:
        raise MongoError(
            28758, f"$log's argument must be a positive number, but is {shown_double(value)}"
        )
    if root_value <= 0 or root_value == 1:
        raise MongoError(
            28759,
            "$log's base must be a positive number not equal to 1, but is "
            f"{shown_double(root_value)}",
        )
    return _double_quotient(math.log(value), math.log(root_value))


def _double_quotient(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 or left != left else math.copysign(math.inf, left * right)
    return left / right


def _pow(base: Any, exponent: Any) -> Any:
    if is_nullish(base) or is_nullish(exponent):
        return None
    if type(base) not in RANKS:
        raise MongoError(28762, f"$pow's base must be numeric, not {type_name(base)}")
    if type(exponent) not in RANKS:
        raise MongoError(28763, f"$pow's exponent must be numeric, not {type_name(exponent)}")
    widest = max(numeric.rank(base), numeric.rank(exponent))
    if widest == numeric.DECIMAL:
        return _pow_decimal(numeric.to_decimal(base), numeric.to_decimal(exponent))
    if base == 0 and exponent < 0:
        raise _zero_to_negative()
    if widest != numeric.DOUBLE:
        found = _pow_whole(int(base), int(exponent))
        if found is not None:
            return numeric.whole(found, widest)
    return pow_double(float(base), float(exponent))


def _zero_to_negative() -> MongoError:
    return MongoError(28764, "$pow cannot take a base of 0 and a negative exponent")


def _pow_whole(base: int, exponent: int) -> int | None:
    """Return an exact power of two longs if it is one that fits, else None."""
    if base in {-1, 0, 1}:
        return base ** (exponent % 2 if base == -1 else min(exponent, 1)) if base != 1 else 1
    if not 0 <= exponent <= 63:
        return None
    found = base**exponent
    return found if numeric.fits_long(found) else None


def pow_double(base: float, exponent: float) -> float:
    """Raise a double to a power as C's `pow` does: infinities and NaN, never an exception."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        odd = exponent % 2 == 1
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def _pow_decimal(base: decimal.Decimal, exponent: decimal.Decimal) -> Decimal128:
    if base.is_zero() and not exponent.is_nan() and exponent < 0:
        raise _zero_to_negative()
    if exponent.is_zero() or base == 1:
        return Decimal128("1")
    found = numeric.CONTEXT.power(base, exponent)
    if found.is_finite() and found:  # MongoDB's library gives all 34 digits
        quantum = decimal.Decimal((0, (1,), max(found.adjusted() - 33, -6176)))
        found = found.quantize(quantum, context=numeric.CONTEXT)
    return numeric.decimal128(found)


# Operators of one number.


def _abs(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return abs(value)
    if kind is Decimal128:
        return numeric.decimal128(numeric.decimal_of(value).copy_abs())
    if value == numeric.INT64_MIN:
        raise MongoError(28680, "can't take $abs of long long min")
    return numeric.whole(abs(int(value)), numeric.rank(value))


def _to_whole(rounding: str, of_double: Callable[[float], int]) -> Callable[[Any], Any]:
    """Return the function that rounds one way; a decimal of too many digits becomes NaN."""

    def apply(value: Any) -> Any:
        kind = type(value)
        if kind is float:
            if not math.isfinite(value):
                return value
            return math.copysign(float(of_double(value)), value)
        if kind is not Decimal128:
            return value
        return numeric.decimal128(
            numeric.decimal_of(value).quantize(decimal.Decimal(0), rounding, numeric.CONTEXT)
        )

    return apply


def _exp(value: Any) -> Any:
    if type(value) is Decimal128:
        return numeric.decimal128(numeric.CONTEXT.exp(numeric.decimal_of(value)))
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _logarithm(
    name: str,
    code: int,
    of_decimal: Callable[[decimal.Decimal], decimal.Decimal],
    of_double: Callable[[float], float],
) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        if type(value) is Decimal128:
            number = numeric.decimal_of(value)
            if _positive(number):
                return numeric.decimal128(of_decimal(number))
        double = numeric.to_double(value)
        if double <= 0:
            raise MongoError(
                code, f"{name}'s argument must be a positive number, but is {shown_double(double)}"
            )
        return of_double(double)

    return apply


def _sqrt(value: Any) -> Any:
    if type(value) is Decimal128:
        number = numeric.decimal_of(value)
        if not number.is_nan() and number < 0:
            raise MongoError(28714, "$sqrt's argument must be greater than or equal to 0")
        return numeric.decimal128(numeric.CONTEXT.sqrt(number))
    if value < 0:
        raise MongoError(28714, "$sqrt's argument must be greater than or equal to 0")
    return math.sqrt(value)


# $round and $trunc.


def _rounding(name: str, round_double: Callable[[float, int], float], mode: str) -> Operator:
    def compile_rounding(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name, 1, 2)
        number = operands[0].evaluate
        place = operands[1].evaluate if len(operands) == 2 else None

        def evaluate(doc: Any, env: Env) -> Any:
            value = number(doc, env)
            if is_nullish(value):
                return None
            if type(value) not in RANKS:
                raise MongoError(
                    51081, f"{name} only supports numeric types, not {type_name(value)}"
                )
            digits = 0
            if place is not None:
                given = place(doc, env)
                if is_nullish(given):
                    return None
                digits = _place(name, given)
            if type(value) is float:
                return round_double(value, digits)
            if type(value) is Decimal128:
                return _round_decimal(value, digits, mode)
            return value if digits >= 0 else _round_whole(name, value, digits, mode)

        return derive(evaluate, operands)

    return Operator(compile_rounding)


def _place(name: str, given: Any) -> int:
    if type(given) not in RANKS:
        raise MongoError(16004, f"can't convert from BSON type {type_name(given)} to long")
    digits = numeric.as_int32(given)
    if digits is None:
        raise MongoError(51082, f"precision argument to  {name} must be a integral value")
    if not -20 <= digits <= 100:
        raise MongoError(
            51083,
            f"cannot apply {name} with precision value {digits} value must be in [-20, 100]",
        )
    return digits


def _round_decimal(value: Decimal128, digits: int, mode: str) -> Decimal128:
    """Round a decimal; one that has no room for so many digits stays as it is."""
    number = numeric.decimal_of(value)
    if not number.is_finite():
        return value
    quantum = decimal.Decimal((0, (1,), -digits))
    rounded = number.quantize(quantum, mode, numeric.CONTEXT)
    return value if rounded.is_nan() else numeric.decimal128(rounded)


def _round_whole(name: str, value: int, digits: int, mode: str) -> int:
    rounded = int(decimal.Decimal(int(value)).quantize(decimal.Decimal((0, (1,), -digits)), mode))
    if not numeric.fits_long(rounded):
        raise MongoError(
            51080,
            f"invalid conversion from Decimal128 result in {name} resulting from arguments: "
            f"[{int(value)}, {digits}]",
        )
    return numeric.whole(rounded, numeric.rank(value))


def _truncate_double(value: float, digits: int) -> float:
    if not math.isfinite(value):
        return value
    if digits == 0:
        return math.copysign(float(math.trunc(value)), value)
    number = decimal.Decimal(value)
    quantum = decimal.Decimal((0, (1,), -digits))
    wide = decimal.Context(prec=1500, traps=[])
    return float(number.quantize(quantum, decimal.ROUND_DOWN, wide))


def _round_double(value: float, digits: int) -> float:
    return round(value, digits) if math.isfinite(value) else value


OPERATORS: Final[dict[str, Operator]] = {
    "$abs": numeric_unary("$abs", _abs),
    "$add": Operator(_compile_add),
    "$ceil": numeric_unary("$ceil", _to_whole(decimal.ROUND_CEILING, math.ceil)),
    "$divide": binary("$divide", _divide),
    "$exp": numeric_unary("$exp", _exp),
    "$floor": numeric_unary("$floor", _to_whole(decimal.ROUND_FLOOR, math.floor)),
    "$ln": numeric_unary("$ln", _logarithm("$ln", 28766, numeric.CONTEXT.ln, math.log)),
    "$log": binary("$log", _log),
    "$log10": numeric_unary(
        "$log10", _logarithm("$log10", 28761, numeric.CONTEXT.log10, math.log10)
    ),
    "$mod": binary("$mod", _mod),
    "$multiply": Operator(_compile_multiply),
    "$pow": binary("$pow", _pow),
    "$round": _rounding("$round", _round_double, decimal.ROUND_HALF_EVEN),
    "$sqrt": numeric_unary("$sqrt", _sqrt),
    "$subtract": binary("$subtract", _subtract),
    "$trunc": _rounding("$trunc", _truncate_double, decimal.ROUND_DOWN),
}
