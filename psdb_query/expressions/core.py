"""Compilation of aggregation expressions into closures.

`compile_expression` turns a specification into an `Expr` once; `Expr.evaluate(doc, env)` then
runs without looking at the specification again. Rules that every family keeps:

- A result that is not there is `MISSING`, never null; operators that give null say so.
- Values are immutable by agreement: a result may share parts with the document or be a
  constant that is handed out again and again. Whoever changes one copies it first.
- A subtree of constants is evaluated at compile time (`Operator.folds`), in dead branches too,
  so its errors surface before any document is read, as MongoDB's optimiser does it.
- `paths` over-approximates what is read from the root document; `""` is the whole of it.
- Operators come from `table` by name; a family is imported when first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bson.decimal128 import Decimal128

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, UNDEFINED
from psdb_query import steps
from psdb_query.context import SCRIPT, CompileContext, Env, Evaluate
from psdb_query.describe import text_of, type_name
from psdb_query.expressions import table
from psdb_query.sizes import check_expanded, repeats

NOTHING: Final[frozenset[str]] = frozenset()
WHOLE: Final[frozenset[str]] = frozenset(("",))
FOLD_STEPS_MAX: Final = 100_000
"""Steps of loops that evaluating a constant may take at compile time; longer ones run later."""
_DOLLAR_NAMES: Final = frozenset(("$db", "$id", "$ref"))
"""The names beginning with `$` that a path may hold: the parts of a DBRef."""


@dataclass(frozen=True, slots=True)
class Expr:
    """A compiled expression.

    Args:
        evaluate: `(current document, environment) -> value or MISSING`; raises MongoError.
        is_constant: Gives `value` for every document and environment.
        paths: Dotted paths read from the root document; `""` stands for the whole document.
        value: The constant, if it is one.
        path: The dotted path, if the expression is a plain field path of the current document.
        variables: Variables read from the environment and bound outside (`NOW`, user names).

    """

    evaluate: Evaluate
    is_constant: bool = False
    paths: frozenset[str] = NOTHING
    value: Any = MISSING
    path: str | None = None
    variables: frozenset[str] = field(default=NOTHING)


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of a family's table.

    Args:
        compile: `(argument, context) -> Expr`; sets `is_constant` if all operands are constants.
        folds: May be evaluated at compile time when its operands are constants.
        api_v1: Belongs to the Stable API, version 1.

    """

    compile: Callable[[Any, CompileContext], Expr]
    folds: bool = True
    api_v1: bool = True


def compile_expression(spec: Any, ctx: CompileContext) -> Expr:
    """Compile any expression: field path, operator, object, array or constant.

    Raises MongoError with MongoDB's code when the expression is malformed, and any error that
    a constant part of it gives when evaluated.
    """
    kind = type(spec)
    if kind is str:
        if spec.startswith("$"):
            return compile_path(spec, ctx)
    elif kind is dict:
        for name in spec:
            if name.startswith("$"):
                operator, argument = _operator_of(spec, ctx)
                return _folded(operator.compile(argument, ctx), ctx, folds=operator.folds)
            break
        return _compile_object(spec, ctx)
    elif kind is list:
        return _compile_array(spec, ctx)
    return constant(spec)


def constant(value: Any) -> Expr:
    """Return the expression that always gives `value` (which may be MISSING)."""
    return Expr(lambda _doc, _env: value, is_constant=True, value=value)


def derive(evaluate: Evaluate, operands: Iterable[Expr]) -> Expr:
    """Return an expression over `operands`: it reads what they read, is constant if they are."""
    is_constant = True
    paths = NOTHING
    variables = NOTHING
    for operand in operands:
        is_constant = is_constant and operand.is_constant
        paths |= operand.paths
        variables |= operand.variables
    return Expr(evaluate, is_constant=is_constant, paths=paths, variables=variables)


def looping(expr: Expr, ctx: CompileContext) -> Expr:
    """Mark an expression that may take long for one document."""
    if ctx.javascript is not None and not expr.is_constant:
        ctx.javascript.used = True
    return replace(expr, variables=expr.variables | {SCRIPT})


def _operator_of(spec: dict[str, Any], ctx: CompileContext) -> tuple[Operator, Any]:
    if len(spec) != 1:
        raise MongoError(
            15983,
            f"an object representing an expression must have exactly one field: {text_of(spec)}",
        )
    ((name, argument),) = spec.items()
    operator = find_operator(name)
    if ctx.api_strict and not operator.api_v1:
        raise MongoError(
            Code.API_STRICT_ERROR,
            f"{name} is not allowed with 'apiStrict: true' in API Version 1",
        )
    return operator, argument


def find_operator(name: str) -> Operator:
    """Return the row of an operator, importing its family.

    Raises MongoError 168 for an unknown name and 238 for one that is known but not supported.
    """
    family = table.OPERATORS.get(name, "")
    if family == "":
        raise MongoError(Code.INVALID_PIPELINE_OPERATOR, f"Unrecognized expression '{name}'")
    if family is not None:
        module = importlib.import_module(f"psdb_query.expressions.{family}")
        rows: dict[str, Operator] = module.OPERATORS
        return rows[name]
    raise MongoError(Code.NOT_IMPLEMENTED, f"The expression '{name}' is not supported")


def _compile_object(spec: dict[str, Any], ctx: CompileContext) -> Expr:
    for name in spec:
        check_field_name(name)
    operands = {name: compile_expression(value, ctx) for name, value in spec.items()}
    pairs = [(name, operand.evaluate) for name, operand in operands.items()]

    def build(doc: Any, env: Env) -> Any:
        result = {}
        for name, evaluate in pairs:
            value = evaluate(doc, env)
            if value is not MISSING:
                result[name] = value
        return result

    return _folded(derive(_checked(build, spec), operands.values()), ctx)


def _compile_array(spec: list[Any], ctx: CompileContext) -> Expr:
    operands = [compile_expression(value, ctx) for value in spec]
    evaluates = [operand.evaluate for operand in operands]

    def build(doc: Any, env: Env) -> Any:
        return [
            None if (value := evaluate(doc, env)) is MISSING else value for evaluate in evaluates
        ]

    return _folded(derive(_checked(build, spec), operands), ctx)


def _checked(build: Evaluate, spec: Any) -> Evaluate:
    """Refuse what became too large by being put into itself twice, again and again.

    Such a value is small in memory, since its parts are shared, and boundless when written.
    """
    if not repeats(spec):
        return build

    def build_and_check(doc: Any, env: Env) -> Any:
        value = build(doc, env)
        check_expanded(value, "An object or array expression")
        return value

    return build_and_check


def _folded(expr: Expr, ctx: CompileContext, *, folds: bool = True) -> Expr:
    if not expr.is_constant:
        return expr
    if folds and ctx.fold:
        if SCRIPT not in expr.variables:
            return constant(expr.evaluate({}, {}))
        try:
            with steps.limited(FOLD_STEPS_MAX):
                return constant(expr.evaluate({}, {}))
        except steps.TooLongError:
            if ctx.javascript is not None:
                ctx.javascript.used = True
    return replace(expr, is_constant=False)


# Field paths and variables.


def check_field_name(name: str) -> None:
    """Refuse what cannot be one component of a field path or a key of an object expression."""
    if not name:
        raise MongoError(15998, "FieldPath field names may not be empty strings.")
    if name.startswith("$") and name not in _DOLLAR_NAMES:
        raise MongoError(
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
        )
    if "\0" in name:
        raise MongoError(16411, "FieldPath field names may not contain '\0'.")
    if "." in name:
        raise MongoError(
            16412,
            "FieldPath field names may not contain '.'. Consider using $getField or $setField.",
        )


def split_path(path: str) -> tuple[str, ...]:
    """Split a dotted path (without `$`) into its checked components.

    Raises MongoError 40352 (empty), 40353 (trailing dot), 15998, 16410, 16411.
    """
    if not path:
        raise MongoError(40352, "FieldPath cannot be constructed with empty string")
    if path.endswith("."):
        raise MongoError(40353, "FieldPath must not end with a '.'.")
    parts = tuple(path.split("."))
    for part in parts:
        check_field_name(part)
    return parts


def compile_path(text: str, ctx: CompileContext) -> Expr:
    """Compile `"$a.b"` or `"$$variable.b"`.

    Raises MongoError 16872 (a lone `$`), those of `split_path`, 9 (bad variable name) and 17276
    (undefined variable).
    """
    if len(text) < 2:
        raise MongoError(16872, "'$' by itself is not a valid FieldPath")
    if text[1] == "$":
        return _compile_variable(text[2:], ctx)
    return _current_path(split_path(text[1:]), ctx)


def _current_path(parts: tuple[str, ...], ctx: CompileContext) -> Expr:
    path = ".".join(parts)
    if ctx.current_rebound:
        walk = walker(parts)
        return Expr(lambda doc, _env: walk(doc), paths=NOTHING, path=path)
    return Expr(document_path(parts), paths=frozenset((path,)), path=path)


def document_path(parts: tuple[str, ...]) -> Evaluate:
    """Return the reader of a path whose first component is looked up in a document.

    Arrays on the way map: the result is the array of what their documents hold. A numeric
    component is a field name and never an index.
    """
    first = parts[0]
    if len(parts) == 1:
        return lambda doc, _env: doc.get(first, MISSING)
    if len(parts) == 2:
        second = parts[1]

        def read_two(doc: Any, _env: Env) -> Any:
            value = doc.get(first, MISSING)
            kind = type(value)
            if kind is dict:
                return value.get(second, MISSING)
            if kind is list:
                return [e[second] for e in value if type(e) is dict and second in e]
            return MISSING

        return read_two
    walk = walker(parts)
    return lambda doc, _env: walk(doc)


def walker(parts: Sequence[str]) -> Callable[[Any], Any]:
    """Return a function that follows `parts` from any value, mapping over arrays of documents."""
    rest = tuple(parts)

    def walk(value: Any) -> Any:
        return walk_path(value, rest, 0)

    return walk


def walk_path(value: Any, parts: tuple[str, ...], start: int) -> Any:
    """Follow `parts[start:]` from `value`; MISSING where the path leaves the documents."""
    count = len(parts)
    while start < count:
        kind = type(value)
        if kind is dict:
            value = value.get(parts[start], MISSING)
            start += 1
        elif kind is list:
            found = (walk_path(e, parts, start) for e in value if type(e) is dict)
            return [e for e in found if e is not MISSING]
        else:
            return MISSING
    return value


def _compile_variable(text: str, ctx: CompileContext) -> Expr:
    name, _, rest = text.partition(".")
    check_readable_name(name)
    if text.endswith("."):
        raise MongoError(40353, "FieldPath must not end with a '.'.")
    parts = split_path(rest) if "." in text else ()
    if name == "CURRENT":
        return _current_path(parts, ctx) if parts else _whole_current(ctx)
    if name == "ROOT":
        return _root_path(parts, ctx)
    if name == "REMOVE":
        return constant(MISSING)
    if name in ctx.variables:
        return _variable_path(name, parts)
    if name in table.SYSTEM_VARIABLES:
        return _system_variable(name, parts)
    raise MongoError(17276, f"Use of undefined variable: {name}")


def _whole_current(ctx: CompileContext) -> Expr:
    paths = NOTHING if ctx.current_rebound else WHOLE
    return Expr(lambda doc, _env: doc, paths=paths)


def _root_path(parts: tuple[str, ...], ctx: CompileContext) -> Expr:
    paths = frozenset((".".join(parts),)) if parts else WHOLE
    if not ctx.current_rebound:
        return _current_path(parts, ctx) if parts else _whole_current(ctx)
    walk = walker(parts)
    return Expr(lambda _doc, env: walk(env["ROOT"]), paths=paths)


def _variable_path(name: str, parts: tuple[str, ...]) -> Expr:
    reads = frozenset((name,))
    if not parts:
        return Expr(lambda _doc, env: env[name], variables=reads)
    return Expr(lambda _doc, env: walk_path(env[name], parts, 0), variables=reads)


def _system_variable(name: str, parts: tuple[str, ...]) -> Expr:
    if not table.SYSTEM_VARIABLES[name]:
        raise MongoError(Code.NOT_IMPLEMENTED, f"The variable '$${name}' is not supported")

    def read(_doc: Any, env: Env) -> Any:
        if name not in env:
            raise MongoError(51144, f"Builtin variable '$${name}' is not available")
        return walk_path(env[name], parts, 0)

    return Expr(read, variables=frozenset((name,)))


def check_readable_name(name: str) -> None:
    """Refuse what cannot be a variable's name where one is read (9 FailedToParse)."""
    _check_name(name, "a variable name", capitals=True)


def check_user_variable(name: str) -> None:
    """Refuse what a user may not bind: anything but `CURRENT` that begins with a capital."""
    if name != "CURRENT":
        _check_name(name, "a user variable name", capitals=False)


def _check_name(name: str, what: str, *, capitals: bool) -> None:
    if not name:
        raise MongoError(Code.FAILED_TO_PARSE, "empty variable names are not allowed")
    first = name[0]
    if first.isascii() and not (first.islower() or (capitals and first.isupper())):
        raise MongoError(
            Code.FAILED_TO_PARSE, f"'{name}' starts with an invalid character for {what}"
        )
    for letter in name:
        if letter.isascii() and not (letter.isalnum() or letter == "_"):
            raise MongoError(
                Code.FAILED_TO_PARSE,
                f"'{name}' contains an invalid character for a variable name: '{letter}'",
            )


# Operands.


def compile_args(
    spec: Any, ctx: CompileContext, name: str, least: int = 0, most: int | None = None
) -> list[Expr]:
    """Compile positional operands; a specification that is no array is the only operand.

    Raises MongoError 16020 when an exact number is missed, 28667 when a range is.
    """
    operands = spec if type(spec) is list else [spec]
    count = len(operands)
    if least == most and count != least:
        raise MongoError(
            16020,
            f"Expression {name} takes exactly {least} arguments. {count} were passed in.",
        )
    if count < least or (most is not None and count > most):
        limit = "no limit" if most is None else str(most)
        raise MongoError(
            28667,
            f"Expression {name} takes at least {least} arguments, and at most {limit}, "
            f"but {count} were passed in.",
        )
    compiled = []
    for operand in operands:  # a comprehension would add a frame to each level of nesting
        compiled.append(compile_expression(operand, ctx))  # noqa: PERF401
    return compiled


def unary(name: str, function: Callable[[Any], Any], *, folds: bool = True) -> Operator:
    """Return the operator of one operand that is `function(value)`."""

    def compile_unary(spec: Any, ctx: CompileContext) -> Expr:
        (operand,) = compile_args(spec, ctx, name, 1, 1)
        inner = operand.evaluate
        return derive(lambda doc, env: function(inner(doc, env)), (operand,))

    return Operator(compile_unary, folds)


def binary(name: str, function: Callable[[Any, Any], Any], *, folds: bool = True) -> Operator:
    """Return the operator of two operands, both always evaluated, that is `function(a, b)`."""

    def compile_binary(spec: Any, ctx: CompileContext) -> Expr:
        left, right = compile_args(spec, ctx, name, 2, 2)
        first, second = left.evaluate, right.evaluate
        return derive(lambda doc, env: function(first(doc, env), second(doc, env)), (left, right))

    return Operator(compile_binary, folds)


def nary(
    name: str,
    function: Callable[[list[Any]], Any],
    least: int = 0,
    most: int | None = None,
    *,
    folds: bool = True,
) -> Operator:
    """Return the operator that is `function([values])`, all operands evaluated in order."""

    def compile_nary(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name, least, most)
        evaluates = [operand.evaluate for operand in operands]
        return derive(
            lambda doc, env: function([evaluate(doc, env) for evaluate in evaluates]), operands
        )

    return Operator(compile_nary, folds)


Complaint = tuple[int, str]
"""An error code and a message in which `{name}`, `{field}` and `{type}` are filled in."""


@dataclass(frozen=True, slots=True)
class Named:
    """The named operands of an operator such as `{$trim: {input: …, chars: …}}`.

    Args:
        name: The operator, with `$`.
        required: Fields that must be there.
        optional: Fields that may be.
        not_object: Raised when the argument is no object.
        unknown: Raised for a field that is neither required nor optional.
        missing: Raised by required field, or under `""` for all others.

    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    not_object: Complaint = (9, "{name} only supports an object as its argument")
    unknown: Complaint = (9, "{name} found an unknown argument: {field}")
    missing: Mapping[str, Complaint] = field(
        default_factory=lambda: {"": (9, "{name} requires '{field}' to be specified")}
    )

    def complain(self, complaint: Complaint, name: str = "", kind: str = "") -> MongoError:
        """Return the error of a complaint, filled in."""
        code, message = complaint
        return MongoError(code, message.format(name=self.name, field=name, type=kind))

    def check(self, spec: Any) -> dict[str, Any]:
        """Return the uncompiled operands by field, checked to be the right ones."""
        if type(spec) is not dict:
            raise self.complain(self.not_object, kind=type_name(spec))
        for name in spec:
            if name not in self.required and name not in self.optional:
                raise self.complain(self.unknown, name, type_name(spec[name]))
        for name in self.required:
            if name not in spec:
                raise self.complain(self.missing.get(name) or self.missing[""], name)
        return spec


def compile_named(spec: Any, ctx: CompileContext, fields: Named) -> dict[str, Expr]:
    """Compile named operands; absent optional ones are absent from the result."""
    return {name: compile_expression(value, ctx) for name, value in fields.check(spec).items()}


def named(
    fields: Named, function: Callable[..., Any], *, folds: bool = True, absent: Any = MISSING
) -> Operator:
    """Return the operator that is `function(*values)` in the order required, then optional.

    An optional operand that the specification leaves out is passed as `absent`.
    """
    order = fields.required + fields.optional

    def compile_all(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_named(spec, ctx, fields)
        evaluates = [operands.get(name, constant(absent)).evaluate for name in order]
        return derive(
            lambda doc, env: function(*[evaluate(doc, env) for evaluate in evaluates]),
            operands.values(),
        )

    return Operator(compile_all, folds)


# Values.


def is_nullish(value: Any) -> bool:
    """Tell whether a value is missing, null or undefined."""
    return value is None or value is MISSING or value is UNDEFINED


def truthy(value: Any) -> bool:
    """Coerce to a boolean as MongoDB does: false are null, missing, undefined, false and zero."""
    if value is True:
        return True
    if not value:  # what is left besides these are empty strings, objects, arrays and bytes
        return not (value is None or value is MISSING or isinstance(value, (int, float)))
    if value is UNDEFINED:
        return False
    if type(value) is Decimal128:
        return not value.to_decimal().is_zero()
    return True
