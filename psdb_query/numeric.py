"""MongoDB's arithmetic on the four numeric types, shared by expressions, updates, accumulators.

Rules: the result has the widest type of the operands (int, long, double, decimal); an int that
does not fit becomes a long; a long that does not fit becomes a double. Decimal128 is computed
at 34 digits, half even. A double meets a decimal with 15 significant digits, trailing zeros
included (`1.5` becomes `1.50000000000000`), because that is what MongoDB makes of it.

A plain `int` beyond 32 bits counts as a long. `bool` is never a number here.
"""

from __future__ import annotations

import decimal
import math
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128, create_decimal128_context
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError

INT32_MIN: Final = -0x80000000
INT32_MAX: Final = 0x7FFFFFFF
INT64_MIN: Final = -0x8000000000000000
INT64_MAX: Final = 0x7FFFFFFFFFFFFFFF

INT: Final = 0
LONG: Final = 1
DOUBLE: Final = 2
DECIMAL: Final = 3

RANKS: Final[dict[type, int]] = {int: INT, Int64: LONG, float: DOUBLE, Decimal128: DECIMAL}
"""Numeric types from the narrowest to the widest; a type that is not here is no number."""

CONTEXT: Final = create_decimal128_context()
"""IEEE 754 decimal128: 34 digits, half even, nothing trapped."""
_NAN: Final = decimal.Decimal("NaN")
_EXACT: Final = decimal.Context(prec=12_400, Emin=-6176 * 2, Emax=6145 * 2, traps=[])
"""Enough digits for any intermediate result of two decimal128 numbers."""


def is_number(value: Any) -> bool:
    """Tell whether a value is an int, long, double or decimal."""
    return type(value) in RANKS


def rank(value: Any) -> int:
    """Return INT, LONG, DOUBLE or DECIMAL of a number, counting a wide plain int as a long."""
    found = RANKS[type(value)]
    return LONG if found == INT and not INT32_MIN <= value <= INT32_MAX else found


def whole(value: int, widest: int = INT) -> int:
    """Return an int as BSON holds it: plain when it is an int that fits, else `Int64`."""
    if widest == INT and INT32_MIN <= value <= INT32_MAX:
        return int(value)
    return Int64(value)


def fits_long(value: int) -> bool:
    """Tell whether an integer fits 64 bits."""
    return INT64_MIN <= value <= INT64_MAX


def from_double(value: float) -> decimal.Decimal:
    """Convert a double to a decimal of 15 significant digits."""
    if value == 0 or not math.isfinite(value):
        return decimal.Decimal(value)
    return decimal.Decimal(f"{value:.14e}")


def decimal_of(value: Decimal128) -> decimal.Decimal:
    """Return the decimal a Decimal128 holds; every NaN becomes the one quiet NaN."""
    number: decimal.Decimal = value.to_decimal()
    return _NAN if number.is_nan() else number


def to_decimal(value: Any) -> decimal.Decimal:
    """Convert any number to a decimal as MongoDB coerces it."""
    kind = type(value)
    if kind is Decimal128:
        return decimal_of(value)
    return from_double(value) if kind is float else decimal.Decimal(int(value))


def to_double(value: Any) -> float:
    """Convert any number to a double; decimals beyond its range become infinite."""
    return float(decimal_of(value)) if type(value) is Decimal128 else float(value)


def decimal128(value: decimal.Decimal) -> Decimal128:
    """Round a decimal to 34 digits; every NaN becomes the one quiet NaN."""
    if value.is_nan():
        return Decimal128("NaN")
    return Decimal128(CONTEXT.plus(value) if value else _zero(value))


def _zero(value: decimal.Decimal) -> decimal.Decimal:
    """Keep the sign of a zero, which `plus` would drop, and clamp its exponent."""
    cleared = CONTEXT.plus(value)
    return cleared.copy_sign(value)


def as_integer(value: Any) -> int | None:
    """Return a number as an int if it is whole (any type), else None."""
    kind = type(value)
    if kind is int or kind is Int64:
        return int(value)
    if kind is float:
        return int(value) if value.is_integer() else None
    if kind is not Decimal128:
        return None
    number = decimal_of(value)
    if not number.is_finite() or number.adjusted() > 40 or number != number.to_integral_value():
        return None
    return int(number)


def as_int32(value: Any) -> int | None:
    """Return a number as an int if it is whole and fits 32 bits, else None."""
    found = as_integer(value)
    return found if found is not None and INT32_MIN <= found <= INT32_MAX else None


def coerce_to_long(value: Any) -> int:
    """Coerce a number to a long: doubles are cut, decimals rounded half even.

    What does not fit becomes the smallest long, as a cast does on MongoDB's platforms.
    """
    kind = type(value)
    if kind is float:
        return int(value) if float(INT64_MIN) <= value < 2.0**63 else INT64_MIN
    if kind is Decimal128:
        number = decimal_of(value)
        if not number.is_finite() or number.adjusted() > 19:
            return INT64_MIN
        found = int(number.to_integral_value(decimal.ROUND_HALF_EVEN))
        return found if fits_long(found) else INT64_MIN
    return int(value)


def round_to_long(value: float) -> int:
    """Round a finite double half away from zero."""
    cut = math.trunc(value)
    if abs(value - cut) >= 0.5:
        cut += 1 if value > 0 else -1
    return cut


def milliseconds(value: Any) -> int:
    """Return the long that a number adds to a date; raise 15 Overflow when there is none."""
    kind = type(value)
    found: int | None = None
    if kind is float:
        if float(INT64_MIN) <= value < 2.0**63:
            found = round_to_long(value)
    elif kind is Decimal128:
        number = decimal_of(value)
        if number.is_finite() and number.adjusted() < 20:
            found = int(number.to_integral_value(decimal.ROUND_HALF_EVEN))
    else:
        found = int(value)
    if found is None or not fits_long(found):
        raise MongoError(Code.OVERFLOW, "date overflow")
    return found


def date_plus(milliseconds_total: int) -> DatetimeMS:
    """Return the date of a count of milliseconds; raise 15 Overflow beyond 64 bits."""
    if not fits_long(milliseconds_total):
        raise MongoError(Code.OVERFLOW, "date overflow")
    return DatetimeMS(milliseconds_total)


_INTS: Final = (int, int)
_PLAIN: Final = frozenset({(float, float), (float, int), (int, float)})
"""Pairs of types that Python's operators treat as MongoDB does."""


def add(left: Any, right: Any) -> Any:
    """Add two numbers."""
    kinds = (type(left), type(right))
    if kinds == _INTS:
        total = left + right
        return total if INT32_MIN <= total <= INT32_MAX else whole(total)
    if kinds in _PLAIN:
        return left + right
    widest = max(rank(left), rank(right))
    if widest == DOUBLE:
        return to_double(left) + to_double(right)
    if widest == DECIMAL:
        return decimal128(CONTEXT.add(to_decimal(left), to_decimal(right)))
    total = int(left) + int(right)
    return whole(total, widest) if fits_long(total) else float(left) + float(right)


def subtract(left: Any, right: Any) -> Any:
    """Subtract two numbers."""
    if (type(left), type(right)) in _PLAIN:
        return left - right
    widest = max(rank(left), rank(right))
    if widest == DOUBLE:
        return to_double(left) - to_double(right)
    if widest == DECIMAL:
        return decimal128(CONTEXT.subtract(to_decimal(left), to_decimal(right)))
    total = int(left) - int(right)
    return whole(total, widest) if fits_long(total) else float(left) - float(right)


def multiply(left: Any, right: Any) -> Any:
    """Multiply two numbers."""
    if (type(left), type(right)) in _PLAIN:
        return left * right
    widest = max(rank(left), rank(right))
    if widest == DOUBLE:
        return to_double(left) * to_double(right)
    if widest == DECIMAL:
        return decimal128(CONTEXT.multiply(to_decimal(left), to_decimal(right)))
    product = int(left) * int(right)
    return whole(product, widest) if fits_long(product) else float(left) * float(right)


def divide(left: Any, right: Any) -> Any:
    """Divide two numbers: a double, or a decimal if either is one; 2 BadValue for zero."""
    if max(rank(left), rank(right)) == DECIMAL:
        divisor = to_decimal(right)
        if divisor.is_zero():
            raise MongoError(Code.BAD_VALUE, "can't $divide by zero")
        return decimal128(CONTEXT.divide(to_decimal(left), divisor))
    if right == 0:
        raise MongoError(Code.BAD_VALUE, "can't $divide by zero")
    return float(left) / float(right)


def modulo(left: Any, right: Any) -> Any:
    """Remainder of the truncated division, with the sign of the dividend; errors for zero."""
    widest = max(rank(left), rank(right))
    if widest == DECIMAL:
        divisor = to_decimal(right)
        if divisor.is_zero():
            raise MongoError(5733415, "can't $mod by zero")
        return decimal128(_EXACT.remainder(to_decimal(left), divisor))
    if right == 0:
        raise MongoError(16610, "can't $mod by zero")
    if widest == DOUBLE:
        dividend = float(left)
        return math.nan if math.isinf(dividend) else math.fmod(dividend, float(right))
    remainder = abs(int(left)) % abs(int(right))
    return whole(-remainder if left < 0 else remainder, widest)
