"""Trigonometric and hyperbolic functions of decimals, good to Decimal128's 34 digits.

Python's `decimal` has `exp`, `ln` and `sqrt`; the rest are series and identities in a context
with enough spare digits. Results are not rounded: the caller takes 34 digits of them. Arguments
are decimals within decimal128's range; NaN gives NaN.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Final

_DIGITS: Final = 80
"""Twice the digits of a result and some: what is left after a cancellation is still enough."""
_TINY: Final = -40
"""Below this exponent of ten `f(x) = x` holds to 34 digits for the odd functions."""
_WIDE: Final = decimal.Context(prec=2 * _DIGITS, Emin=-999_999, Emax=999_999, traps=[])
_NAN: Final = Decimal("NaN")
_INFINITY: Final = Decimal("Infinity")
_ONE: Final = Decimal(1)
_TWO: Final = Decimal(2)


def _context(digits: int) -> decimal.Context:
    return decimal.Context(prec=digits, Emin=-999_999, Emax=999_999, traps=[])


@lru_cache(maxsize=8)
def pi(digits: int = _DIGITS) -> Decimal:
    """Return pi to so many digits (Gauss and Legendre)."""
    context = _context(digits + 10)
    with decimal.localcontext(context):
        a, b, t, p = _ONE, 1 / _TWO.sqrt(), Decimal("0.25"), _ONE
        for _ in range((digits + 10).bit_length() + 1):
            middle = (a + b) / 2
            b = (a * b).sqrt()
            t -= p * (a - middle) ** 2
            a, p = middle, p * 2
        return (a + b) ** 2 / (4 * t)


def _is_tiny(x: Decimal) -> bool:
    return x.is_zero() or x.adjusted() < _TINY


def _reduced(x: Decimal) -> Decimal:
    """Return x modulo 2 pi, within [-pi, pi], with all its digits right."""
    digits = _DIGITS + max(0, x.adjusted() + 1)
    context = _context(digits + 20)
    return context.remainder_near(x, context.multiply(pi(digits + 10), _TWO))


def _alternating(first: Decimal, square: Decimal, start: int, sign: int) -> Decimal:
    """Sum first, first*square/((s+1)(s+2)), …, with signs alternating when `sign` is -1."""
    total = term = first
    step = start
    while not term.is_zero() and term.adjusted() > total.adjusted() - _WIDE.prec:
        term = term * square * sign / ((step + 1) * (step + 2))
        total += term
        step += 2
    return total


def _computed(function: Callable[[Decimal], Decimal]) -> Callable[[Decimal], Decimal]:
    """Run a function in the wide context; NaN passes through."""

    def compute(x: Decimal) -> Decimal:
        if x.is_nan():
            return _NAN
        with decimal.localcontext(_WIDE):
            return function(x)

    compute.__doc__ = function.__doc__
    return compute


@_computed
def sin(x: Decimal) -> Decimal:
    """Sine of an angle in radians."""
    if x.is_infinite():
        return _NAN
    if _is_tiny(x):
        return x
    angle = _reduced(x)
    return _alternating(angle, angle * angle, 1, -1)


@_computed
def cos(x: Decimal) -> Decimal:
    """Cosine of an angle in radians."""
    if x.is_infinite():
        return _NAN
    angle = _reduced(x) if not _is_tiny(x) else Decimal(0)
    return _alternating(_ONE, angle * angle, 0, -1)


@_computed
def tan(x: Decimal) -> Decimal:
    """Tangent of an angle in radians."""
    return x if _is_tiny(x) and x.is_finite() else sin(x) / cos(x)


@_computed
def atan(x: Decimal) -> Decimal:
    """Inverse tangent."""
    if x.is_infinite():
        return (pi() / 2).copy_sign(x)
    if _is_tiny(x):
        return x
    if abs(x) > 1:
        return (pi(2 * _DIGITS) / 2).copy_sign(x) - atan(1 / x)
    halvings = 4
    for _ in range(halvings):
        x = x / (1 + (1 + x * x).sqrt())
    total = term = x
    square = x * x
    step = 1
    while not term.is_zero() and term.adjusted() > total.adjusted() - _WIDE.prec:
        term = -term * square
        step += 2
        total += term / step
    return total * Decimal(1 << halvings)


@_computed
def asin(x: Decimal) -> Decimal:
    """Inverse sine of -1 to 1."""
    if _is_tiny(x):
        return x
    if abs(x) == 1:
        return (pi() / 2).copy_sign(x)
    return atan(x / ((1 - x) * (1 + x)).sqrt())


@_computed
def acos(x: Decimal) -> Decimal:
    """Inverse cosine of -1 to 1."""
    if x == -1:
        return pi()
    return 2 * atan(((1 - x) / (1 + x)).sqrt())


def atan2(y: Decimal, x: Decimal) -> Decimal:
    """Angle of the point (x, y), with the signs of zeros and infinities as IEEE 754 says."""
    if y.is_nan() or x.is_nan():
        return _NAN
    with decimal.localcontext(_WIDE):
        left = x.is_signed()
        if y.is_zero():
            return pi().copy_sign(y) if left else Decimal(0).copy_sign(y)
        if x.is_zero():
            return (pi() / 2).copy_sign(y)
        if y.is_infinite() and x.is_infinite():
            return (pi() * (3 if left else 1) / 4).copy_sign(y)
        angle = atan(abs(y) / abs(x)) if not x.is_infinite() else Decimal(0)
        return (pi(2 * _DIGITS) - angle if left else angle).copy_sign(y)


@_computed
def sinh(x: Decimal) -> Decimal:
    """Hyperbolic sine."""
    if _is_tiny(x) or x.is_infinite():
        return x
    if abs(x) < 1:
        return _alternating(x, x * x, 1, 1)
    grown = x.exp()
    return (grown - 1 / grown) / 2


@_computed
def cosh(x: Decimal) -> Decimal:
    """Hyperbolic cosine."""
    if x.is_infinite():
        return _INFINITY
    grown = abs(x).exp()
    return (grown + 1 / grown) / 2


@_computed
def tanh(x: Decimal) -> Decimal:
    """Hyperbolic tangent."""
    if _is_tiny(x):
        return x
    if x.is_infinite() or abs(x) > 100:
        return _ONE.copy_sign(x)
    return sinh(x) / cosh(x)


@_computed
def asinh(x: Decimal) -> Decimal:
    """Inverse hyperbolic sine."""
    if _is_tiny(x) or x.is_infinite():
        return x
    size = abs(x)
    return (size + (size * size + 1).sqrt()).ln().copy_sign(x)


@_computed
def acosh(x: Decimal) -> Decimal:
    """Inverse hyperbolic cosine of 1 and more."""
    return x if x.is_infinite() else (x + ((x - 1) * (x + 1)).sqrt()).ln()


@_computed
def atanh(x: Decimal) -> Decimal:
    """Inverse hyperbolic tangent of -1 to 1."""
    if _is_tiny(x):
        return x
    if abs(x) == 1:
        return _INFINITY.copy_sign(x)
    return ((1 + x) / (1 - x)).ln() / 2
