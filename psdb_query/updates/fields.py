"""The field modifiers: `$set`, `$unset`, `$inc`, `$mul`, `$min`, `$max`, `$rename`, dates, `$bit`.

Each `make_*` function reads one field of the modifier's document, `(name, operand, build)`,
and returns its leaf; it raises MongoDB's parse errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING
from psdb_query import numeric
from psdb_query.context import Collation
from psdb_query.describe import type_name
from psdb_query.updates.build import Build
from psdb_query.updates.nodes import Leaf, Path, array_index
from psdb_query.updates.state import REMOVED, State, dotted, element_text

_SCALARS: Final = (str, int, bool, Int64)
"""Types whose values are identical when type and value agree."""


def same(old: Any, new: Any) -> bool:
    """Tell whether two values are the same BSON, type and bytes."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if type(old) in _SCALARS:
        return bool(old == new)
    return order.identical(old, new)


class Set(Leaf):
    """`$set`: the value, whatever was there."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def change(self, old: Any, _state: State, _path: Path) -> Any:
        """Keep the old object when it is the same."""
        return old if same(old, self.value) else self.value

    def create(self, _state: State, _path: Path) -> Any:
        """Give the value."""
        return self.value


class SetOnInsert(Set):
    """`$setOnInsert`: `$set` when an upsert makes the document, otherwise nothing."""

    __slots__ = ()

    def apply(self, old: Any, state: State, path: Path) -> Any:
        """Act on inserts only."""
        return super().apply(old, state, path) if state.is_insert else old

    def block(self, value: Any, state: State, path: Path, rest: Path) -> None:
        """Refuse a path on inserts only."""
        if state.is_insert:
            super().block(value, state, path, rest)


class Unset(Leaf):
    """`$unset`: the field goes; an element of an array becomes null."""

    __slots__ = ()
    creates = False
    tolerant = True

    def change(self, _old: Any, _state: State, _path: Path) -> Any:
        """Remove."""
        return REMOVED


class Arithmetic(Leaf):
    """`$inc` and `$mul`: a number computed from the old one and the operand."""

    __slots__ = ("compute", "initial", "name", "operand")

    def __init__(
        self, name: str, operand: Any, compute: Callable[[Any, Any], Any], initial: Any
    ) -> None:
        self.name = name
        self.operand = operand
        self.compute = compute
        self.initial = initial

    def change(self, old: Any, state: State, path: Path) -> Any:
        """Compute; a result of the same type and value leaves the field untouched."""
        if type(old) not in numeric.RANKS:
            raise MongoError(
                Code.TYPE_MISMATCH,
                f"Cannot apply {self.name} to a value of non-numeric type. "
                f"{{{state.id_text}}} has the field '{path[-1]}' of non-numeric type "
                f"{type_name(old)}",
            )
        new = self.compute(old, self.operand)
        if type(new) is float and type(old) is not float and type(self.operand) is not float:
            raise MongoError(
                Code.BAD_VALUE,
                f"Failed to apply {self.name} operations to current value "
                f"({_number_kind(old)}){old}) for document {{{state.id_text}}}",
            )
        return old if same(old, new) else new

    def create(self, _state: State, _path: Path) -> Any:
        """Give what the operation makes of nothing."""
        return self.initial


def _number_kind(value: Any) -> str:
    return "(NumberInt" if numeric.rank(value) == numeric.INT else "(NumberLong"


class Bound(Leaf):
    """`$min` (`sign` -1) and `$max` (1): the value, if it lies beyond the old one."""

    __slots__ = ("collation", "sign", "value")

    def __init__(self, value: Any, sign: int, collation: Collation | None) -> None:
        self.value = value
        self.sign = sign
        self.collation = collation

    def change(self, old: Any, _state: State, _path: Path) -> Any:
        """Take the value if it is beyond."""
        beyond = order.compare(self.value, old, self.collation) * self.sign > 0
        return self.value if beyond else old

    def create(self, _state: State, _path: Path) -> Any:
        """Give the value."""
        return self.value


class CurrentDate(Leaf):
    """`$currentDate`: the time of the execution."""

    __slots__ = ("timestamp",)

    def __init__(self, *, timestamp: bool) -> None:
        self.timestamp = timestamp

    def change(self, old: Any, state: State, path: Path) -> Any:
        """Set the time."""
        new = self.create(state, path)
        return old if same(old, new) else new

    def create(self, state: State, _path: Path) -> Any:
        """Give the time: the cluster time for a timestamp, where there is one."""
        now = state.env["NOW"]
        if not self.timestamp:
            return now
        found = state.env.get("CLUSTER_TIME")
        return Timestamp(max(int(now) // 1000, 0), 1) if found is None else found


class RenameSource(Leaf):
    """The old name of a `$rename`: removed, if it is there."""

    __slots__ = ()
    creates = False
    tolerant = True

    def change(self, _old: Any, _state: State, _path: Path) -> Any:
        """Remove."""
        return REMOVED


class RenameTarget(Leaf):
    """The new name of a `$rename`: takes the value that the old name has in the document."""

    __slots__ = ("source", "target")

    def __init__(self, source: Path, target: Path) -> None:
        self.source = source
        self.target = target

    def apply(self, old: Any, state: State, _path: Path) -> Any:
        """Take the value; without one nothing happens."""
        value = self._find(state)
        return old if value is MISSING else value

    def block(self, value: Any, state: State, path: Path, rest: Path) -> None:
        """Refuse the path, unless there is nothing to rename."""
        if self._find(state) is not MISSING:
            self._refuse(value, path, rest, state)

    def _find(self, state: State) -> Any:
        """Walk to the old name; arrays on either way are errors."""
        value: Any = state.original
        array: str | None = None
        for at, name in enumerate(self.source):
            if value.__class__ is dict:
                value = value.get(name, MISSING)
            elif value.__class__ is list and (index := array_index(name)) is not None:
                array = self.source[at - 1]
                value = value[index] if index < len(value) else MISSING
            else:
                element = element_text(self.source[at - 1], value)
                raise MongoError(
                    Code.PATH_NOT_VIABLE,
                    f"Cannot use the part ({name}) of ({dotted(self.source)}) "
                    f"to traverse the element ({{{element}}})",
                )
            if value is MISSING:
                return MISSING
        if array is not None:
            self._refuse_array("source", self.source, array, state)
        self._check_target(state)
        return value

    def _check_target(self, state: State) -> None:
        value: Any = state.original
        for at, name in enumerate(self.target):
            if value.__class__ is list:
                self._refuse_array("destination", self.target, self.target[at - 1], state)
            if value.__class__ is not dict:
                return
            value = value.get(name, MISSING)

    @staticmethod
    def _refuse_array(which: str, path: Path, array: str, state: State) -> None:
        raise MongoError(
            Code.BAD_VALUE,
            f"The {which} field cannot be an array element, '{dotted(path)}' in doc with "
            f"{state.id_text} has an array field called '{array}'",
        )


class Bits(Leaf):
    """`$bit`: and, or, xor in the order given."""

    __slots__ = ("steps",)

    def __init__(self, steps: list[tuple[Callable[[int, int], int], int]]) -> None:
        self.steps = steps

    def change(self, old: Any, state: State, path: Path) -> Any:
        """Compute; an int with a long gives a long."""
        if type(old) not in (int, Int64):
            raise MongoError(
                Code.BAD_VALUE,
                "Cannot apply $bit to a value of non-integral type."
                f"{{{state.id_text}}} has the field {path[-1]} of non-integer type "
                f"{type_name(old)}",
            )
        new = self._compute(old)
        return old if same(old, new) else new

    def create(self, _state: State, _path: Path) -> Any:
        """Begin with an int of zero bits."""
        return self._compute(0)

    def _compute(self, value: Any) -> Any:
        widest = numeric.rank(value)
        bits = int(value)
        for operate, operand in self.steps:
            widest = max(widest, numeric.rank(operand))
            bits = operate(bits, int(operand))
        return numeric.whole(bits, widest)


# Reading the operands.


def make_set(_name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$set`."""
    return Set(operand)


def make_set_on_insert(_name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$setOnInsert`."""
    return SetOnInsert(operand)


def make_unset(_name: str, _operand: Any, _build: Build) -> Leaf:
    """Read a field of `$unset`, whose operand means nothing."""
    return Unset()


def make_inc(name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$inc`."""
    _check_number("increment", name, operand)
    return Arithmetic("$inc", operand, numeric.add, operand)


def make_mul(name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$mul`; a field that is not there becomes a zero of the operand's type."""
    _check_number("multiply", name, operand)
    return Arithmetic("$mul", operand, numeric.multiply, numeric.multiply(operand, 0))


def _check_number(verb: str, name: str, operand: Any) -> None:
    if type(operand) not in numeric.RANKS:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"Cannot {verb} with non-numeric argument: {{{element_text(name, operand)}}}",
        )


def make_min(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$min`."""
    return Bound(operand, -1, build.ctx.collation)


def make_max(_name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$max`."""
    return Bound(operand, 1, build.ctx.collation)


_TYPE_WANTED: Final = (
    "The '$type' string field is required to be 'date' or 'timestamp': "
    "{$currentDate: {field : {$type: 'date'}}}"
)


def make_current_date(_name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$currentDate`: a bool, or `{$type: "date" | "timestamp"}`."""
    if type(operand) is bool:
        return CurrentDate(timestamp=False)
    if type(operand) is not dict:
        raise MongoError(
            Code.BAD_VALUE,
            f"{type_name(operand)} is not valid type for $currentDate. Please use a boolean "
            "('true') or a $type expression ({$type: 'timestamp/date'}).",
        )
    for option, value in operand.items():
        if option != "$type":
            raise MongoError(Code.BAD_VALUE, f"Unrecognized $currentDate option: {option}")
        if type(value) is str and value in ("date", "timestamp"):
            return CurrentDate(timestamp=value == "timestamp")
    raise MongoError(Code.BAD_VALUE, _TYPE_WANTED)


def make_rename(name: str, operand: Any, build: Build) -> Leaf:
    """Read a field of `$rename`; its leaf stands at the new name (see `parse.add_rename`)."""
    shown = element_text(name, operand)
    source, target = tuple(name.split(".")), tuple(str(operand).split("."))
    if "\0" in operand:
        raise MongoError(
            Code.BAD_VALUE, "The 'to' field for $rename cannot contain an embedded null byte"
        )
    if source == target:
        raise MongoError(
            Code.BAD_VALUE, f"The source and target field for $rename must differ: {shown}"
        )
    shared = min(len(source), len(target))
    if source[:shared] == target[:shared]:
        raise MongoError(
            Code.BAD_VALUE,
            f"The source and target field for $rename must not be on the same path: {shown}",
        )
    for which, path in (("source", source), ("destination", target)):
        if any(map(build.is_dynamic, path)):
            raise MongoError(
                Code.BAD_VALUE,
                f"The {which} field for $rename may not be dynamic: {dotted(path)}",
            )
    return RenameTarget(source, target)


_BIT_STEPS: Final[dict[str, Callable[[int, int], int]]] = {
    "and": int.__and__,
    "or": int.__or__,
    "xor": int.__xor__,
}
_BIT_FORM: Final = "{$bit: {field: {and/or/xor: #}}"


def make_bit(_name: str, operand: Any, _build: Build) -> Leaf:
    """Read a field of `$bit`: `{and | or | xor: int or long, …}`."""
    if type(operand) is not dict:
        raise MongoError(
            Code.BAD_VALUE,
            f"The $bit modifier is not compatible with a {type_name(operand)}. "
            f"You must pass in an embedded document: {_BIT_FORM}",
        )
    steps: list[tuple[Callable[[int, int], int], int]] = []
    for step, value in operand.items():
        if step not in _BIT_STEPS:
            raise MongoError(
                Code.BAD_VALUE,
                f"The $bit modifier only supports 'and', 'or', and 'xor', not '{step}' which is "
                f"an unknown operator: {{{element_text(step, value)}}}",
            )
        if type(value) not in (int, Int64):
            raise MongoError(
                Code.BAD_VALUE,
                "The $bit modifier field must be an Integer(32/64 bit); a "
                f"'{type_name(value)}' is not supported here: {{{element_text(step, value)}}}",
            )
        steps.append((_BIT_STEPS[step], value))
    if not steps:
        raise MongoError(
            Code.BAD_VALUE,
            "You must pass in at least one bitwise operation. The format is: " + _BIT_FORM,
        )
    return Bits(steps)
