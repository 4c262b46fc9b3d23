"""Decimal128 by its bits: sign, coefficient and exponent as exact Python integers.

`bson.Decimal128` knows its 16 bytes (`bid`, little-endian, binary integer decimal) and can make a
`decimal.Decimal` of them, slowly. Order and Extended JSON need the exact number only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bson.decimal128 import Decimal128

EXPONENT_BIAS: Final = 6176
COEFFICIENT_MAX: Final = 10**34 - 1
_LOW_113: Final = (1 << 113) - 1
_SIGN: Final = 1 << 127


class Parts(NamedTuple):
    """`kind` is "finite", "infinity" or "nan"; a finite number is ±coefficient · 10^exponent.

    `canonical` tells whether these parts name the bits: coefficients that are too large (they count
    as zero), signalling NaN, signed NaN and NaN payloads are not canonical.
    """

    kind: str
    negative: bool
    coefficient: int
    exponent: int
    canonical: bool


def parts(value: Decimal128) -> Parts:
    """Take a Decimal128 apart, exactly."""
    bits = int.from_bytes(value.bid, "little")
    negative = bits >= _SIGN
    top = (bits >> 122) & 0x1F
    if top < 24:
        exponent = ((bits >> 113) & 0x3FFF) - EXPONENT_BIAS
        coefficient = bits & _LOW_113
        if coefficient <= COEFFICIENT_MAX:
            return Parts("finite", negative, coefficient, exponent, True)
        return Parts("finite", negative, 0, exponent, False)
    if top < 30:
        # The second form would hold coefficients beyond 34 digits only: the value is zero.
        exponent = ((bits >> 111) & 0x3FFF) - EXPONENT_BIAS
        return Parts("finite", negative, 0, exponent, False)
    if top == 30:
        return Parts("infinity", negative, 0, 0, bits & ((1 << 122) - 1) == 0)
    return Parts("nan", negative, 0, 0, bits == 0x7C << 120)


def text(number: Parts) -> str:
    """Write parts as `decimal.Decimal` does: plain where the exponent allows, else scientific."""
    sign = "-" if number.negative else ""
    if number.kind == "nan":
        return "NaN"
    if number.kind == "infinity":
        return sign + "Infinity"
    digits = str(number.coefficient)
    adjusted = number.exponent + len(digits) - 1
    if number.exponent > 0 or adjusted < -6:
        if len(digits) > 1:
            digits = f"{digits[0]}.{digits[1:]}"
        return f"{sign}{digits}E{adjusted:+d}"
    if number.exponent == 0:
        return sign + digits
    point = len(digits) + number.exponent
    if point > 0:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    return f"{sign}0.{'0' * -point}{digits}"
