"""Hypothesis strategies for BSON values and documents, shared by all tests.

`bson_values()` draws from every type of `psdb_base.values`, edge cases far more often than chance
would; `plain_values()` leaves out what Extended JSON cannot say.
"""

from __future__ import annotations

import struct
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import strategies as st

from psdb_base.exact_codec import make_regex
from psdb_base.values import UNDEFINED, DBPointer, RawRegex, Symbol

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32_MAX = 2**32 - 1

_EDGE_INTS = sorted(
    {
        sign * 2**power + step
        for sign in (-1, 1)
        for power in (31, 53, 54, 62)
        for step in (-1, 0, 1)
    }
    | {0, 1, -1, INT64[0], INT64[1]}
)
_EDGE_FLOATS = [
    0.0, -0.0, 1.0, 0.1, 1.5, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
    9007199254740992.0, 9007199254740994.0, 9.223372036854775807e18, -9.223372036854775808e18,
]  # fmt: skip
_EDGE_DECIMALS = [
    "0", "-0", "0E-6176", "0E+6111", "0.1", "0.10", "1", "1.0", "-1", "1E+3", "1E-6176",
    "-1E-6176", "9.999999999999999999999999999999999E+6144",
    "-9.999999999999999999999999999999999E+6144",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "1E+400", "-1E+400",
    "1.797693134862315708145274237317043E+308", "4.940656458412465441765687928682213E-324",
    "0.1000000000000000055511151231257827", "0.1000000000000000055511151231257828",
    "Infinity", "-Infinity", "NaN",
]  # fmt: skip


def _fits_int32(value: int) -> bool:
    return INT32[0] <= value <= INT32[1]


def texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Strings: mostly short ASCII, sometimes any characters, NUL included."""
    return st.text("ab.$0\x00\x01é€😀", max_size=4) | st.text(max_size=max_size)


def names() -> st.SearchStrategy[str]:
    """Field names: few different ones, `$` and `.` and the empty name among them."""
    return st.sampled_from(
        ["a", "b", "_id", "", "0", "1", "a.b", "$x", "$oid", "$ref", "$id", "é"]
    ) | (st.text(max_size=6).filter(lambda text: "\0" not in text))


def plain_names() -> st.SearchStrategy[str]:
    """Field names that do not begin with `$`."""
    return names().filter(lambda name: not name.startswith("$"))


def ints() -> st.SearchStrategy[int]:
    """Both integer types: `int` within 32 bits, `Int64` anywhere."""
    anywhere = st.sampled_from(_EDGE_INTS) | st.integers(*INT64)
    return st.integers(-3, 3) | st.integers(*INT32) | anywhere.map(Int64)


def finite_floats() -> st.SearchStrategy[float]:
    """Doubles that are numbers, integral ones and neighbours of 2^53 among them."""
    return (
        st.sampled_from(_EDGE_FLOATS)
        | st.integers(-3, 3).map(float)
        | st.floats(allow_nan=False, allow_infinity=False)
    )


def floats() -> st.SearchStrategy[float]:
    """All doubles: any NaN payload, infinities."""
    bits = st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack("<d", raw)[0])
    special = st.sampled_from([float("inf"), float("-inf"), float("nan")])
    return finite_floats() | special | bits


def decimals() -> st.SearchStrategy[Decimal128]:
    """Decimals with bits that text can say."""
    built = st.builds(
        lambda coefficient, exponent: Decimal128(f"{coefficient}E{exponent}"),
        st.integers(-(10**34) + 1, 10**34 - 1) | st.integers(-20, 20),
        st.integers(-6176, 6111) | st.integers(-3, 3),
    )
    return st.sampled_from([Decimal128(text) for text in _EDGE_DECIMALS]) | built


def any_decimals() -> st.SearchStrategy[Decimal128]:
    """Decimals of any 128 bits."""
    return decimals() | st.binary(min_size=16, max_size=16).map(Decimal128.from_bid)


def numbers() -> st.SearchStrategy[Any]:
    """All four kinds of numbers."""
    return ints() | floats() | any_decimals()


def object_ids() -> st.SearchStrategy[ObjectId]:
    """Any ObjectIds."""
    return st.binary(min_size=12, max_size=12).map(ObjectId)


def dates() -> st.SearchStrategy[DatetimeMS]:
    """Dates over the whole range, often where years have four digits."""
    return (st.integers(-1, 253_402_300_800_000) | st.integers(*INT64)).map(DatetimeMS)


def binaries() -> st.SearchStrategy[bytes]:
    """`bytes`, and `Binary` of any other subtype."""
    subtyped = st.builds(Binary, st.binary(max_size=9), st.integers(1, 255))
    return st.binary(max_size=9) | subtyped


def regexes() -> st.SearchStrategy[Any]:
    """`bson.Regex` with options in order."""
    options = st.lists(st.sampled_from("ilmsux"), unique=True).map(sorted).map("".join)
    return st.builds(make_regex, _cstrings(), options)


def _cstrings() -> st.SearchStrategy[str]:
    return texts().map(lambda text: text.replace("\0", ""))


def _timestamps() -> st.SearchStrategy[Timestamp]:
    return st.builds(Timestamp, st.integers(0, UINT32_MAX), st.integers(0, UINT32_MAX))


def plain_scalars() -> st.SearchStrategy[Any]:
    """Values that are no containers and that a readable line says exactly."""
    return st.one_of(
        st.none(), st.booleans(), ints(), finite_floats(), texts(), object_ids(), dates(),
        decimals(), binaries(), regexes(), _timestamps(), texts().map(Code),
        st.just(MinKey()), st.just(MaxKey()),
    )  # fmt: skip


def rare_scalars() -> st.SearchStrategy[Any]:
    """What needs the exact codec or the exact form of a line."""
    raw_options = st.text("gixzé", max_size=4).filter(lambda text: text not in {"", "i", "ix", "x"})
    return st.one_of(
        floats(), any_decimals(), st.just(UNDEFINED), texts().map(Symbol),
        st.builds(DBPointer, texts(), object_ids()), st.builds(RawRegex, _cstrings(), raw_options),
    )  # fmt: skip


def _nested(scalars: st.SearchStrategy[Any], field_names: st.SearchStrategy[str]) -> Any:
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(field_names, inner, max_size=4)
            | st.builds(Code, texts(), st.dictionaries(field_names, inner, max_size=2))
        ),
        max_leaves=8,
    )


def bson_values() -> st.SearchStrategy[Any]:
    """Any BSON value of `psdb_base.values`, nested ones included."""
    return _nested(plain_scalars() | rare_scalars(), names())


def bson_documents(max_size: int = 6) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of any values."""
    return st.dictionaries(names(), bson_values(), max_size=max_size)


def plain_values() -> st.SearchStrategy[Any]:
    """Values of which every document has a readable line."""
    return _nested(plain_scalars(), plain_names())


def plain_documents(max_size: int = 6) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that `bson_codec.is_plain` calls plain."""
    return st.dictionaries(plain_names(), plain_values(), max_size=max_size)
