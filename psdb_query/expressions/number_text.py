"""Numbers and text, as `$convert` reads and prints them.

Reading raises `NumberSyntaxError` with MongoDB's words for what is wrong; only base ten is read.
"""

from __future__ import annotations

import decimal
import math
import re
import sys
from typing import Final

from bson.decimal128 import Decimal128

from psdb_query import numeric

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_REAL: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.ASCII | re.IGNORECASE,
)
_SPACES: Final = " \t\n\r\v\f"
_UNLIMITED: Final = decimal.Context(prec=10_000, Emin=-999_999, Emax=999_999, traps=[])


class NumberSyntaxError(ValueError):
    """Why a text is no number, in MongoDB's words."""


def read_integer(text: str, least: int, most: int) -> int:
    """Read an integer within the bounds."""
    match = _INTEGER.match(text)
    if match is None and text.strip("+-") == "":
        raise NumberSyntaxError("No digits")
    if match is None or match.end() < len(text):
        raise NumberSyntaxError("Did not consume whole string.")
    if len(text) > 4000 or not least <= int(text) <= most:
        raise NumberSyntaxError("Overflow")
    return int(text)


def read_double(text: str) -> float:
    """Read a double; what is too large, or too small for a normal double, is out of range."""
    _refuse_blank(text)
    if _REAL.fullmatch(text) is None:
        raise NumberSyntaxError("Did not consume whole string.")
    value = float(text)
    unbounded = "n" in text.lower()
    tiny = abs(value) < sys.float_info.min and re.search("[1-9]", _mantissa(text)) is not None
    if not unbounded and (math.isinf(value) or tiny):
        raise NumberSyntaxError("Out of range")
    return value


def _mantissa(text: str) -> str:
    return re.split("[eE]", text, maxsplit=1)[0]


def read_decimal(text: str) -> Decimal128:
    """Read a decimal, rounded to 34 digits."""
    _refuse_blank(text)
    if _REAL.fullmatch(text) is None:
        raise NumberSyntaxError("Failed to parse string to decimal")
    exact = _UNLIMITED.create_decimal(text)
    value = numeric.decimal128(exact)
    rounded = value.to_decimal()
    if exact.is_finite() and rounded.is_infinite():
        raise NumberSyntaxError("Conversion from string to decimal would overflow")
    if exact and rounded.is_zero():
        raise NumberSyntaxError("Conversion from string to decimal would underflow")
    return value


def _refuse_blank(text: str) -> None:
    if not text:
        raise NumberSyntaxError("Empty string")
    if text[0] in _SPACES:
        raise NumberSyntaxError("Leading whitespace")


def double_text(value: float) -> str:
    """Print the shortest text that reads back as the same double; whole ones without a point."""
    if math.isfinite(value):
        return repr(value).removesuffix(".0")
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def decimal_text(value: Decimal128) -> str:
    """Print a decimal with all its digits; every NaN is `NaN`."""
    return "NaN" if value.to_decimal().is_nan() else str(value)
