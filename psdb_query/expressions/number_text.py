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
_WIDE: Final = decimal.Context(prec=10_000, Emin=-999_999, Emax=999_999, traps=[])
"""Rounds twice only what has more than ten thousand digits."""


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
    tiny = abs(value) < sys.float_info.min and _has_digit_above_zero(text)
    if tiny or (math.isinf(value) and not _is_unbounded(text)):
        raise NumberSyntaxError("Out of range")
    return value


def read_decimal(text: str) -> Decimal128:
    """Read a decimal, rounded to 34 digits."""
    _refuse_blank(text)
    if _REAL.fullmatch(text) is None:
        raise NumberSyntaxError("Failed to parse string to decimal")
    value = numeric.decimal128(_WIDE.create_decimal(text))
    rounded = value.to_decimal()
    if rounded.is_infinite() and not _is_unbounded(text):
        raise NumberSyntaxError("Conversion from string to decimal would overflow")
    if rounded.is_zero() and _has_digit_above_zero(text):
        raise NumberSyntaxError("Conversion from string to decimal would underflow")
    return value


def _is_unbounded(text: str) -> bool:
    """Tell whether a number is written as a word: `Infinity` or `NaN`."""
    return "n" in text.lower()


def _has_digit_above_zero(text: str) -> bool:
    mantissa = re.split("[eE]", text, maxsplit=1)[0]
    return re.search("[1-9]", mantissa) is not None


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
