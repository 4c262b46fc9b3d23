"""A grammar of statements in the query language: sensible, nearly sensible, and neither.

`statement(number)` is the same for ever: which operator it is about goes round through all the
names of the tables, the rest is drawn from a generator seeded with the number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_query.collation_tables import LOCALES
from psdb_query.expressions.table import OPERATORS
from psdb_query.filters.parse import FIELD, PATHLESS
from psdb_query.jsonschema.schema import KEYWORDS
from psdb_query.updates.table import MODIFIERS

Document = dict[str, Any]

SCRIPTED = ("$function", "$where")
"""Operators that need the engine for JavaScript, which pure functions are not given."""
EXPRESSIONS = sorted(name for name, family in OPERATORS.items() if family is not None)
PROJECTIONS = ["$", "$elemMatch", "$meta", "$slice"]
ARRAY_MODIFIERS = ["$each", "$position", "$slice", "$sort"]
POSITIONAL = ["$", "$[]", "$[e]"]

NAMES = [
    *(("filter", name) for name in (*FIELD, *PATHLESS)),
    *(("schema", name) for name in KEYWORDS),
    *(("update", name) for name in (*MODIFIERS, *ARRAY_MODIFIERS, *POSITIONAL)),
    *(("projection", name) for name in PROJECTIONS),
    *(("expression", name) for name in EXPRESSIONS),
    *(("sort", name) for name in ("1", "-1", "$meta")),
]
"""Everything that a statement may be about: (kind, name)."""

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "$convert": ("input", "to", "format?", "onError?", "onNull?"),
    "$dateAdd": ("startDate", "unit", "amount", "timezone?"),
    "$dateDiff": ("startDate", "endDate", "unit", "timezone?", "startOfWeek?"),
    "$dateFromParts": (
        "year?", "month?", "day?", "hour?", "minute?", "second?", "millisecond?", "timezone?",
        "isoWeekYear?", "isoWeek?", "isoDayOfWeek?",
    ),
    "$dateFromString": ("dateString", "format?", "timezone?", "onError?", "onNull?"),
    "$dateSubtract": ("startDate", "unit", "amount", "timezone?"),
    "$dateToParts": ("date", "timezone?", "iso8601?"),
    "$dateToString": ("date", "format?", "timezone?", "onNull?"),
    "$dateTrunc": ("date", "unit", "binSize?", "timezone?", "startOfWeek?"),
    "$filter": ("input", "cond", "as?", "limit?"),
    "$firstN": ("n", "input"),
    "$function": ("body", "args", "lang"),
    "$getField": ("field", "input?"),
    "$lastN": ("n", "input"),
    "$let": ("vars", "in"),
    "$ltrim": ("input", "chars?"),
    "$map": ("input", "in", "as?"),
    "$maxN": ("n", "input"),
    "$median": ("input", "method"),
    "$minN": ("n", "input"),
    "$percentile": ("input", "p", "method"),
    "$reduce": ("input", "initialValue", "in"),
    "$regexFind": ("input", "regex", "options?"),
    "$regexFindAll": ("input", "regex", "options?"),
    "$regexMatch": ("input", "regex", "options?"),
    "$replaceAll": ("input", "find", "replacement"),
    "$replaceOne": ("input", "find", "replacement"),
    "$rtrim": ("input", "chars?"),
    "$setField": ("field", "input", "value"),
    "$sortArray": ("input", "sortBy"),
    "$switch": ("branches", "default?"),
    "$trim": ("input", "chars?"),
    "$unsetField": ("field", "input"),
    "$zip": ("inputs", "useLongestLength?", "defaults?"),
}  # fmt: skip
"""Arguments by name; one with `?` may be left out."""

COUNTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        (
            "$add", "$and", "$avg", "$bitAnd", "$bitOr", "$bitXor", "$concat", "$concatArrays",
            "$max", "$mergeObjects", "$min", "$multiply", "$or", "$setEquals", "$setIntersection",
            "$setUnion", "$stdDevPop", "$stdDevSamp", "$sum", "$ifNull",
        ),
        (2, 3),
    ),
    **dict.fromkeys(
        (
            "$arrayElemAt", "$atan2", "$cmp", "$divide", "$eq", "$gt", "$gte", "$in", "$log",
            "$lt", "$lte", "$mod", "$ne", "$pow", "$setDifference", "$setIsSubset", "$split",
            "$strcasecmp", "$subtract",
        ),
        (2,),
    ),
    **dict.fromkeys(("$round", "$trunc"), (1, 2)),
    **dict.fromkeys(("$range", "$slice"), (2, 3)),
    **dict.fromkeys(("$indexOfArray", "$indexOfBytes", "$indexOfCP"), (2, 3, 4)),
    **dict.fromkeys(("$cond", "$substr", "$substrBytes", "$substrCP"), (3,)),
}  # fmt: skip
"""How many operands in an array; one that is not listed takes one."""

WORDS: dict[str, list[Any]] = {
    "as": ["x", "this", "y", "X", ""],
    "chars": [" ", "ab", "", "é"],
    "field": ["a", "b", "$a", "a.b", "", {"$literal": "$a"}],
    "format": [
        "base64", "base64url", "hex", "utf8", "uuid", "auto", "%Y-%m-%dT%H:%M:%S.%LZ", "%G %V %u",
        "%j %U %w", "%z", "%Z", "%b %B", "%%", "%", "%q", "x",
    ],
    "isoDayOfWeek": [1, 7, 0, 8],
    "isoWeek": [1, 53, 0, -5],
    "lang": ["js"],
    "method": ["approximate", "discrete"],
    "options": ["i", "m", "s", "x", "imsx", "g", ""],
    "p": [[0.5], [0, 1], [0.25, 0.9], [], [2]],
    "regex": ["a", "(a|b)+", "^", "[", r"\d+", Regex("b", "i"), "(?<n>a)"],
    "sortBy": [1, -1, {"a": 1}, {"a.b": -1, "b": 1}, 0, {}],
    "startOfWeek": ["monday", "sun", "Fri", "x"],
    "timezone": ["Europe/Berlin", "America/New_York", "+05:30", "-0330", "UTC", "GMT", "Moon"],
    "to": [
        "double", "string", "objectId", "bool", "date", "int", "long", "decimal", "binData",
        1, 2, 7, 8, 9, 16, 18, 19, 5, {"type": "binData", "subtype": 4}, "null", "x",
    ],
    "unit": [
        "year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "x",
    ],
}  # fmt: skip
"""What an argument is mostly one of."""

DATES = [DatetimeMS(ms) for ms in (0, -1, 1_700_000_000_123, 951_782_400_000, -62_135_596_800_000)]
TEXTS = [
    "", "a", "b", "ab", "Ab", "é😀", "a b", "12", "-3.5", "1e400", "0x1f", "2024-02-29T12:00:00Z",
    "2024-01-01", "5ab9cbfa31c2ab715d42129e", "aGk=", "c" * 30, "running dogs", "$a", "a.b",
]  # fmt: skip
SCALARS: list[Any] = [
    0, 1, 2, -1, 3, 7, 31, 64, 2**31 - 1, -(2**31), Int64(0), Int64(1), Int64(2**63 - 1),
    Int64(-(2**63)), 0.0, -0.0, 1.0, 1.5, -2.5, 1e300, 5e-324, float("inf"), float("-inf"),
    float("nan"), Decimal128("0"), Decimal128("1.10"), Decimal128("-2.5"), Decimal128("1E+6000"),
    Decimal128("9.999999999999999999999999999999999E+6144"), Decimal128("1E-6176"),
    Decimal128("NaN"), Decimal128("Infinity"), *TEXTS, None, True, False, MinKey(), MaxKey(),
    *DATES, ObjectId(b"\x01" * 12), Timestamp(1, 2), Timestamp(0, 0), Binary(b""),
    Binary(b"\xff\x01"), Binary(b"\x01" * 16, 4), Regex("a", "i"), Code("x"), Code("y", {"a": 1}),
]  # fmt: skip
PATHS = ["a", "b", "a.b", "a.0", "a.1.b", "b.a", "a.b.0", "_id", "c", "a.a.a"]
UPDATE_PATHS = [*PATHS, "a.$", "a.$[]", "a.$[e]", "a.$[e].b", "a.$[].b", "b.$[]", "a.$.b", "d.e.f"]
VARIABLES = [
    "$a", "$b", "$a.b", "$a.0", "$_id", "$$ROOT", "$$CURRENT", "$$REMOVE", "$$NOW", "$$this",
    "$$value", "$$x", "$$CLUSTER_TIME", "$$USER_ROLES", "$missing", "$$nope", "$", "$a.",
]  # fmt: skip
SHAPES = ["Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "X"]
NUMBERS = [0, 1, 10, -10, 90, -90, 180, -180, 45.5, 1e-9, 200, float("nan")]


@dataclass
class Statement:
    """One statement, and what it is about.

    Attributes:
        kind: filter, schema, update, projection, expression or sort.
        name: The operator.
        spec: The specification itself.
        documents: What it is tried on.
        collation: A collation or None.
        array_filters: For updates.

    """

    kind: str
    name: str
    spec: Any
    documents: list[Document]
    collation: Document | None
    array_filters: list[Any] | None = None
    used: set[tuple[str, str]] = field(default_factory=set)


def statement(number: int) -> Statement:
    """Make a statement; all of a row of `len(NAMES)` numbers are about different operators."""
    kind, name = NAMES[number % len(NAMES)]
    return _Maker(Random(f"query language {number}")).statement(kind, name)


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.used: set[tuple[str, str]] = set()

    # -- values ---------------------------------------------------------------------------------

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    def one(self, choices: Any) -> Any:
        return self.random.choice(list(choices))

    def value(self, depth: int = 2) -> Any:
        """Any value; numbers and short texts, documents and arrays that paths lead into."""
        if depth and self.chance(0.4):
            if self.chance(0.5):
                return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
            return self.document(depth - 1)
        return self.one(SCALARS) if self.chance(0.8) else self.random.randrange(-5, 50)

    def document(self, depth: int = 2) -> Document:
        names = self.random.sample(["a", "b", "c", "0", "x", "$x", ""], self.random.randrange(3))
        return {name: self.value(depth) for name in names}

    def stored(self) -> Document:
        """Make a document as a collection holds it."""
        return {"_id": 1, **{name: self.value(3) for name in "abc" if self.chance(0.7)}}

    # -- filters --------------------------------------------------------------------------------

    def filter(self, depth: int = 2) -> Document:
        """Make conditions on a few fields."""
        out: Document = {}
        for _ in range(self.random.randrange(1, 3)):
            if depth and self.chance(0.2):
                out.update(self.pathless(self.one(PATHLESS), depth - 1))
            elif self.chance(0.3):
                out[self.one(PATHS)] = self.value()
            else:
                out[self.one(PATHS)] = self.condition(depth)
        return out

    def condition(self, depth: int) -> Document:
        """Make operators under a field."""
        names = [self.one(FIELD) for _ in range(self.random.choice((1, 1, 2)))]
        return {name: self.operand(name, depth) for name in names}

    def operand(self, name: str, depth: int) -> Any:
        self.used.add(("filter", name))
        make = _OPERANDS.get(name)
        if make is None or self.chance(0.05):
            return self.value()
        return make(self, max(depth - 1, 0))

    def pathless(self, name: str, depth: int) -> Document:
        """Make a condition that stands by itself."""
        self.used.add(("filter", name))
        make = _OPERANDS.get(name)
        return {name: self.value() if make is None or self.chance(0.05) else make(self, depth)}

    def filters(self, depth: int) -> list[Any]:
        return [self.filter(depth) for _ in range(self.random.choice((1, 2, 2, 3, 0)))]

    def position(self) -> list[Any]:
        return [self.one(NUMBERS), self.one(NUMBERS[:-1])]

    def ring(self) -> list[Any]:
        points = [self.position() for _ in range(self.random.randrange(3, 6))]
        return [*points, points[0]]

    def geometry(self) -> Any:
        shape = self.one(SHAPES)
        coordinates: Any = {
            "Point": self.position,
            "LineString": lambda: [self.position() for _ in range(3)],
            "MultiPoint": lambda: [self.position() for _ in range(2)],
            "Polygon": lambda: [self.ring() for _ in range(self.random.choice((1, 2)))],
            "MultiLineString": lambda: [[self.position(), self.position()]],
            "MultiPolygon": lambda: [[self.ring()]],
        }.get(shape, self.value)()
        return {"type": shape, "coordinates": coordinates}

    def region(self) -> Document:
        centre = [self.position(), self.one(NUMBERS)]
        forms: list[Document] = [
            {"$geometry": self.geometry()},
            {"$box": [self.position(), self.position()]},
            {"$polygon": [self.position() for _ in range(4)]},
            {"$center": centre},
            {"$centerSphere": centre},
        ]
        return self.one(forms)

    def near(self) -> Any:
        point: Any = {"type": "Point", "coordinates": self.position()}
        found: Document = {"$geometry": point}
        if self.chance(0.5):
            found["$maxDistance"] = self.one(NUMBERS)
        if self.chance(0.3):
            found["$minDistance"] = self.one(NUMBERS)
        return found if self.chance(0.8) else self.position()

    def schema(self, depth: int) -> Any:
        return {
            name: self.keyword(name, depth)
            for name in self.random.sample(sorted(KEYWORDS), self.random.randrange(3))
        }

    def keyword(self, name: str, depth: int) -> Any:
        self.used.add(("schema", name))
        inner = (lambda: self.schema(depth - 1)) if depth else dict
        if name in ("allOf", "anyOf", "oneOf"):
            return [inner() for _ in range(self.random.randrange(1, 3))]
        if name in ("additionalItems", "additionalProperties", "items", "not"):
            return self.one([True, False, inner(), [inner()]])
        if name in ("properties", "patternProperties", "dependencies"):
            return {self.one(["a", "b", "^a", "["]): self.one([inner(), ["b"]])}
        if name.startswith(("max", "min")) or name == "multipleOf":
            return self.one([0, 1, 2, 3.0, -1, 1.5, Decimal128("2"), "x", float("nan")])
        choices: dict[str, list[Any]] = {
            "bsonType": ["int", ["string", "number"], "array", "object", "x", []],
            "enum": [[1, "a", None], [], [1, 1.0]],
            "exclusiveMaximum": [True, False, 1],
            "exclusiveMinimum": [True, False, 1],
            "pattern": ["^a", "[", ""],
            "required": [["a"], ["a", "b"], [], ["a", "a"], "a"],
            "type": ["string", "number", "integer", ["object", "null"], "x"],
            "uniqueItems": [True, False, 1],
        }
        return self.one(choices[name]) if name in choices else self.value(1)

    # -- expressions ----------------------------------------------------------------------------

    def expression(self, depth: int = 2) -> Any:
        if depth and self.chance(0.55):
            return self.operator(self.one(EXPRESSIONS), depth - 1)
        if self.chance(0.5):
            return self.one(VARIABLES[:7] if self.chance(0.8) else VARIABLES)
        if self.chance(0.15):
            return [self.expression(0) for _ in range(self.random.randrange(4))]
        value = self.value(1)
        plain = not isinstance(value, (dict, list))
        return value if plain and self.chance(0.9) else {"$literal": value}

    def operator(self, name: str, depth: int) -> Document:
        self.used.add(("expression", name))
        if self.chance(0.04):
            return {name: self.value()}
        if name in ARGUMENTS and self.chance(0.95):
            return {name: self.arguments(name, depth)}
        if name in ("$const", "$literal"):
            return {name: self.value()}
        if name == "$meta":
            return {name: self.one(["textScore", "indexKey", "recordId", "geoNearDistance", "x"])}
        if name in ("$rand", "$sampleRate"):
            return {name: {} if name == "$rand" else self.one([0.5, 0, 1, 2])}
        count = self.random.choice(COUNTS.get(name, (1,)))
        operands = [self.expression(depth) for _ in range(count)]
        return {name: operands[0] if count == 1 and self.chance(0.7) else operands}

    def arguments(self, name: str, depth: int) -> Document:
        out: Document = {}
        for argument in ARGUMENTS[name]:
            if argument.endswith("?") and self.chance(0.5):
                continue
            out[argument.rstrip("?")] = self.argument(name, argument.rstrip("?"), depth)
        if self.chance(0.03):
            out["nope"] = 1
        return out

    def argument(self, name: str, argument: str, depth: int) -> Any:
        if argument in ("date", "startDate", "endDate") and self.chance(0.7):
            return self.one(DATES)
        if argument == "branches":
            return [
                {"case": self.expression(depth), "then": self.expression(depth)}
                for _ in range(self.random.randrange(1, 3))
            ]
        if argument == "vars":
            return {self.one(["x", "y", "CURRENT", "X"]): self.expression(depth)}
        if argument in ("n", "amount", "binSize", "limit") and self.chance(0.7):
            return self.one([1, 2, 0, -1, Int64(3), 1.0, 1.5, 10**6])
        if argument == "inputs" or (argument == "input" and self.chance(0.4)):
            return [self.expression(depth) for _ in range(self.random.randrange(4))]
        if argument in WORDS and self.chance(0.85):
            return self.one(WORDS[argument])
        return self.expression(depth)

    # -- updates --------------------------------------------------------------------------------

    def modifier(self, name: str) -> Document:
        self.used.add(("update", name))
        if self.chance(0.03):
            return {name: self.value()}
        paths = [self.update_path() for _ in range(self.random.choice((1, 2)))]
        return {name: {path: self.new_value(name) for path in paths}}

    def update_path(self) -> str:
        path: str = self.one(UPDATE_PATHS)
        for name in POSITIONAL:
            if name in path.split("."):
                self.used.add(("update", name))
        return path

    def new_value(self, name: str) -> Any:
        if name in ("$push", "$addToSet") and self.chance(0.7):
            return self.each(name)
        choices: dict[str, Callable[[], Any]] = {
            "$bit": lambda: {self.one(["and", "or", "xor", "nor"]): self.one([1, Int64(6), 1.5])},
            "$currentDate": lambda: self.one(
                [True, False, {"$type": "date"}, {"$type": "timestamp"}, {"$type": 1}, 1]
            ),
            "$inc": lambda: self.one(SCALARS[:32]),
            "$mul": lambda: self.one(SCALARS[:32]),
            "$pop": lambda: self.one([1, -1, 0, 1.0, Int64(-1), "x"]),
            "$pull": lambda: self.one([self.value(), self.condition(1), self.filter(1)]),
            "$pullAll": lambda: [self.value(1) for _ in range(3)],
            "$rename": lambda: self.one([*PATHS, "a.$", "", 1]),
        }
        return choices.get(name, self.value)()

    def each(self, name: str) -> Document:
        out: Document = {"$each": [self.value(1) for _ in range(self.random.randrange(4))]}
        if name == "$push":
            if self.chance(0.5):
                out["$slice"] = self.one([0, 1, -2, 5, Int64(1), 1.0, 1.5, "x"])
            if self.chance(0.5):
                out["$sort"] = self.one([1, -1, {"a": 1}, {"a.b": -1, "b": 1}, 0, {}, "x"])
            if self.chance(0.4):
                out["$position"] = self.one([0, 1, -1, 99, Int64(1), 1.5])
        self.used.update(("update", part) for part in out)
        return out

    def update(self, name: str) -> Any:
        if name in ARRAY_MODIFIERS:
            out = {"$push": {self.update_path(): self.each("$push")}}
            next(iter(out["$push"].values()))[name] = self.each("$push").get(name, 1)
            self.used.add(("update", name))
            return out
        if name in POSITIONAL:
            self.used.add(("update", name))
            path = self.one([f"a.{name}", f"a.{name}.b", f"a.b.{name}", f"a.{name}.0"])
            modifier = self.one(MODIFIERS)
            self.used.add(("update", modifier))
            return {modifier: {path: self.new_value(modifier)}}
        update = self.modifier(name)
        while self.chance(0.3):
            update.update(self.modifier(self.one(MODIFIERS)))
        return update

    def pipeline(self) -> list[Any]:
        stages = []
        for _ in range(self.random.randrange(1, 3)):
            stage = self.one(["$set", "$unset", "$project", "$replaceWith", "$addFields"])
            if stage == "$unset":
                stages.append({stage: self.one([*PATHS, ["a", "b"]])})
            elif stage == "$replaceWith":
                stages.append({stage: self.expression()})
            else:
                stages.append({stage: {self.one(PATHS): self.expression()}})
        return stages

    def array_filters(self) -> list[Any] | None:
        if self.chance(0.3):
            return None
        inner = self.condition(1)
        return [self.one([{"e": inner}, {"e.b": inner}, {"e": self.value(1)}, {"f": 1}, {}])]

    # -- the rest -------------------------------------------------------------------------------

    def projection(self, name: str) -> Document:
        self.used.add(("projection", name))
        special: Document = {
            "$": {self.one(["a.$", "b.$", "a.b.$"]): 1},
            "$elemMatch": {self.one(PATHS): {"$elemMatch": self.filter(1)}},
            "$meta": {"m": {"$meta": self.one(["textScore", "recordId", "sortKey", "x"])}},
            "$slice": {self.one(PATHS): {"$slice": self.one([1, -1, 0, [1, 1], [-2, 1], [], "x"])}},
        }[name]
        for _ in range(self.random.randrange(3)):
            special.update({self.one(PATHS): self.one([0, 1, True, {"b": 1}, self.expression()])})
        return special

    def sort(self, name: str) -> Document:
        self.used.add(("sort", name))
        first: Any = {"$meta": self.one(["textScore", "x"])} if name == "$meta" else int(name)
        out = {self.one(PATHS): first}
        while self.chance(0.5):
            out[self.one(PATHS)] = self.one([1, -1, 1.0, 0, "x", {"$meta": "textScore"}])
        return out

    def collation(self) -> Document | None:
        if self.chance(0.7):
            return None
        out: Document = {"locale": self.one(LOCALES)}
        options: dict[str, list[Any]] = {
            "alternate": ["shifted", "non-ignorable"],
            "backwards": [True, False],
            "caseFirst": ["upper", "lower", "off"],
            "caseLevel": [True, False],
            "maxVariable": ["punct", "space"],
            "normalization": [True, False],
            "numericOrdering": [True, False],
            "strength": [1, 2, 3, 4, 5],
        }
        for name in self.random.sample(sorted(options), 2):
            out[name] = self.one(options[name])
        return out

    def statement(self, kind: str, name: str) -> Statement:
        array_filters: list[Any] | None = None
        spec: Any
        if kind == "filter":
            if name in PATHLESS:
                spec = self.pathless(name, 2)
            else:
                spec = {self.one(PATHS): {name: self.operand(name, 2)}}
                if self.chance(0.3):
                    spec.update(self.filter(1))
        elif kind == "schema":
            spec = {"$jsonSchema": {name: self.keyword(name, 2), **self.schema(1)}}
        elif kind == "update":
            spec = self.update(name)
            array_filters = self.array_filters()
            if self.chance(0.1):
                spec = self.pipeline()
        elif kind == "projection":
            spec = self.projection(name)
        elif kind == "expression":
            spec = self.operator(name, 2)
        else:
            spec = self.sort(name)
        documents = [self.stored() for _ in range(4)]
        collation = self.collation()
        return Statement(kind, name, spec, documents, collation, array_filters, self.used)


def _values(maker: _Maker, depth: int) -> list[Any]:
    return [maker.value(1) for _ in range(maker.random.randrange(4))]


def _mask(maker: _Maker, _depth: int) -> Any:
    return maker.one([0, 5, Int64(2**40), [0, 3], [70], Binary(b"\x05"), -1, 1.5, ["x"]])


_OPERANDS: dict[str, Callable[[_Maker, int], Any]] = {
    "$all": lambda m, d: m.one([_values(m, d), [{"$elemMatch": m.condition(0)}]]),
    "$alwaysFalse": lambda m, d: m.one([1, 1.0, 0]),
    "$alwaysTrue": lambda m, d: m.one([1, 1.0, 0]),
    "$and": _Maker.filters,
    "$bitsAllClear": _mask,
    "$bitsAllSet": _mask,
    "$bitsAnyClear": _mask,
    "$bitsAnySet": _mask,
    "$elemMatch": lambda m, d: m.condition(d) if m.chance(0.5) else m.filter(d),
    "$exists": lambda m, d: m.one([True, False, 1, 0, None, "x"]),
    "$expr": lambda m, d: m.expression(),
    "$geoIntersects": lambda m, d: m.region(),
    "$geoNear": lambda m, d: m.near(),
    "$geoWithin": lambda m, d: m.region(),
    "$in": lambda m, d: [*_values(m, d), *([Regex("^a")] if m.chance(0.3) else [])],
    "$jsonSchema": lambda m, d: m.schema(2),
    "$mod": lambda m, d: m.one([[2, 1], [2.5, 1], [0, 1], [2], [1, 2, 3], ["x", 1], [Int64(3), 0]]),
    "$near": lambda m, d: m.near(),
    "$nearSphere": lambda m, d: m.near(),
    "$nin": _values,
    "$nor": _Maker.filters,
    "$not": lambda m, d: m.one([m.condition(d), Regex("a"), {"$not": {"$gt": 1}}]),
    "$options": lambda m, d: m.one(["i", "imsx", "q", 1]),
    "$or": _Maker.filters,
    "$regex": lambda m, d: m.one(["a", "^a.*b$", "(a|b)+c", "[", Regex("a", "i"), "(?i)x", 1, ""]),
    "$sampleRate": lambda m, d: m.one([0.5, 0, 1, 1.5, "x"]),
    "$size": lambda m, d: m.one([0, 1, 2, 2.0, Int64(3), -1, 1.5, "x"]),
    "$text": lambda m, d: {"$search": m.one(['dog "a b" -cat', "", 1]), "$language": "en"},
    "$type": lambda m, d: m.one(["int", "number", 2, -1, ["array", 10], "x", 99, [], 1.5]),
    "$within": lambda m, d: m.region(),
}
"""How operands of a query operator are made; one that is not listed takes any value."""
