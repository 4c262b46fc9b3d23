"""Keywords on objects and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.describe import type_name
from psdb_query.jsonschema import operands
from psdb_query.jsonschema.rules import Rule, Schema, simple

Parse: TypeAlias = Callable[[Document], Schema]


def _nested(value: Any, keyword: str, name: str, parse: Parse) -> Schema:
    if value.__class__ is not dict:
        message = f"Nested schema for $jsonSchema property '{name}' must be an object"
        if keyword == "patternProperties":
            message = (
                f"$jsonSchema keyword '{keyword}' has property '{name}' which is not an object"
            )
        raise MongoError(Code.TYPE_MISMATCH, message)
    return parse(value)


def properties_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `properties`: schemas of the fields that are there."""
    schemas = {
        name: _nested(value, keyword, name, parse)
        for name, value in operands.document(spec, keyword).items()
    }
    pairs = list(schemas.items())

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return True
        for name, schema in pairs:
            item = value.get(name, MISSING)
            if item is not MISSING and not schema.validates(item):
                return False
        return True

    def explain(value: Any) -> Document:
        return {
            "propertiesNotSatisfied": [
                {
                    "propertyName": name,
                    **schema.labels(),
                    "details": schema.broken(value[name]),
                }
                for name, schema in pairs
                if name in value and not schema.validates(value[name])
            ]
        }

    return Rule(keyword, check, explain)


def required_rule(spec: Document, keyword: str) -> Rule:
    """Compile `required`."""
    names = operands.strings(spec[keyword], keyword)

    def check(value: Any) -> bool:
        return value.__class__ is not dict or all(name in value for name in names)

    def explain(value: Any) -> Document:
        missing = sorted(name for name in names if name not in value)
        return {"specifiedAs": {keyword: names}, "missingProperties": missing}

    return Rule(keyword, check, explain)


def property_count_rule(spec: Document, keyword: str) -> Rule:
    """Compile `minProperties` or `maxProperties`."""
    limit = operands.count(spec, keyword)
    least = keyword == "minProperties"

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return True
        return len(value) >= limit if least else len(value) <= limit

    def explain(value: Any) -> Document:
        return {
            "specifiedAs": {keyword: spec[keyword]},
            "reason": "specified number of properties was not satisfied",
            "numberOfProperties": len(value),
        }

    return Rule(keyword, check, explain)


class _Patterns:
    """`patternProperties` and who is left for `additionalProperties`."""

    def __init__(self, spec: Document, parse: Parse) -> None:
        from psdb_query.regex_engine import compile_regex

        self.named = frozenset(spec.get("properties", ()))
        self.patterns = []
        if "patternProperties" in spec:
            for pattern, value in operands.document(spec, "patternProperties").items():
                schema = _nested(value, "patternProperties", pattern, parse)
                self.patterns.append((pattern, compile_regex(pattern).test, schema))

    def failures(self, value: Document) -> list[tuple[str, str, Schema]]:
        return [
            (name, pattern, schema)
            for name, item in value.items()
            for pattern, found, schema in self.patterns
            if found(name) and not schema.validates(item)
        ]

    def additional(self, value: Document) -> list[str]:
        return [
            name
            for name in value
            if name not in self.named and not any(found(name) for _, found, _ in self.patterns)
        ]


def pattern_properties_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `patternProperties`: schemas of fields by a pattern of their names."""
    patterns = _Patterns(spec, parse)

    def check(value: Any) -> bool:
        return value.__class__ is not dict or not patterns.failures(value)

    def explain(value: Any) -> Document:
        return {
            "details": [
                {
                    "propertyName": name,
                    "regexMatched": pattern,
                    **schema.labels(),
                    "details": schema.broken(value[name]),
                }
                for name, pattern, schema in patterns.failures(value)
            ]
        }

    return Rule(keyword, check, explain)


def additional_properties_rule(spec: Document, keyword: str, parse: Parse) -> Rule | None:
    """Compile `additionalProperties`: false, or a schema for what is not named."""
    operand = spec[keyword]
    if operand.__class__ not in (bool, dict):
        operands.mismatch(keyword, "must be an object or a boolean")
    if operand is True:
        return None
    patterns = _Patterns(spec, parse)
    if operand is False:

        def explain_names(value: Any) -> Document:
            names = patterns.additional(value)
            return {"specifiedAs": {keyword: False}, keyword: names}

        return Rule(
            keyword,
            lambda value: value.__class__ is not dict or not patterns.additional(value),
            explain_names,
        )
    schema = parse(operand)

    def failing(value: Any) -> str | None:
        if value.__class__ is dict:
            for name in patterns.additional(value):
                if not schema.validates(value[name]):
                    return name
        return None

    def explain(value: Any) -> Document:
        name = failing(value)
        assert name is not None
        return {
            "reason": "at least one additional property did not match the subschema",
            "failingProperty": name,
            "details": schema.broken(value[name]),
        }

    return Rule(keyword, lambda value: failing(value) is None, explain)


def dependencies_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `dependencies`: what must hold if a field is there."""
    needs: list[tuple[str, list[str] | Schema]] = []
    for name, value in operands.document(spec, keyword).items():
        if value.__class__ is dict:
            needs.append((name, parse(value)))
        elif value.__class__ is list:
            needs.append((name, _dependency_names(name, value)))
        else:
            message = (
                f"property '{name}' in $jsonSchema keyword 'dependencies' must be either an object "
                "or an array"
            )
            raise MongoError(Code.TYPE_MISMATCH, message)

    def failing(value: Document) -> list[Document]:
        out: list[Document] = []
        for name, need in needs:
            if name not in value:
                continue
            if isinstance(need, Schema):
                if not need.validates(value):
                    out.append({"conditionalProperty": name, "details": need.broken(value)})
            else:
                missing = [other for other in need if other not in value]
                if missing:
                    out.append({"conditionalProperty": name, "missingProperties": missing})
        return out

    return Rule(
        keyword,
        lambda value: value.__class__ is not dict or not failing(value),
        lambda value: {"failingDependencies": failing(value)},
    )


def _dependency_names(name: str, value: list[Any]) -> list[str]:
    where = "in $jsonSchema keyword 'dependencies'"
    if not value:
        message = f"property '{name}' {where} cannot be an empty array"
        raise MongoError(Code.FAILED_TO_PARSE, message)
    for item in value:
        if item.__class__ is not str:
            message = (
                f"array '{name}' {where} can only contain strings, but found element of type: "
                + type_name(item)
            )
            raise MongoError(Code.TYPE_MISMATCH, message)
        if value.count(item) > 1:
            message = f"array '{name}' {where} contains duplicate element: {item}"
            raise MongoError(Code.FAILED_TO_PARSE, message)
    return list(value)


# Arrays.


def item_count_rule(spec: Document, keyword: str) -> Rule:
    """Compile `minItems` or `maxItems`."""
    limit = operands.count(spec, keyword)
    least = keyword == "minItems"

    def check(value: Any) -> bool:
        if value.__class__ is not list:
            return True
        return len(value) >= limit if least else len(value) <= limit

    reason = "array did not match specified length"
    return simple(keyword, {keyword: spec[keyword]}, check, reason, (4,), ("array",))


def unique_rule(spec: Document, keyword: str) -> Rule | None:
    """Compile `uniqueItems`."""
    if not operands.boolean(spec, keyword):
        return None

    def duplicate(value: Any) -> Any:
        if value.__class__ is list:
            seen: set[bytes] = set()
            for item in value:
                key = operands.unordered_key(item)
                if key in seen:
                    return item
                seen.add(key)
        return MISSING

    def explain(value: Any) -> Document:
        return {
            "specifiedAs": {keyword: True},
            "reason": "found a duplicate item",
            "consideredValue": value,
            "duplicatedValue": duplicate(value),
        }

    return Rule(keyword, lambda value: duplicate(value) is MISSING, explain)


def items_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `items`: one schema for all elements, or one for each of the first."""
    operand = spec[keyword]
    if operand.__class__ is list:
        return _tuple_rule(operand, keyword, parse)
    if operand.__class__ is not dict:
        operands.mismatch(keyword, f"must be an array or an object, not {type_name(operand)}")
    sentence = "At least one item did not match the sub-schema"
    return _each_rule(keyword, parse(operand), 0, sentence)


def _each_rule(keyword: str, schema: Schema, start: int, sentence: str) -> Rule:
    def failing(value: Any) -> int | None:
        if value.__class__ is list:
            for index in range(start, len(value)):
                if not schema.validates(value[index]):
                    return index
        return None

    def explain(value: Any) -> Document:
        index = failing(value)
        assert index is not None
        return {
            "reason": sentence,
            "itemIndex": index,
            **schema.labels(),
            "details": schema.broken(value[index]),
        }

    return Rule(keyword, lambda value: failing(value) is None, explain)


def _tuple_rule(operand: list[Any], keyword: str, parse: Parse) -> Rule:
    for item in operand:
        if item.__class__ is not dict:
            operands.mismatch(
                keyword,
                "requires that each element of the array is an object, but found a "
                + type_name(item),
            )
    schemas = [parse(item) for item in operand]

    def failing(value: Any) -> list[int]:
        if value.__class__ is not list:
            return []
        return [
            index
            for index, (schema, item) in enumerate(zip(schemas, value, strict=False))
            if not schema.validates(item)
        ]

    def explain(value: Any) -> Document:
        return {
            "details": [
                {
                    "itemIndex": index,
                    **schemas[index].labels(),
                    "details": schemas[index].broken(value[index]),
                }
                for index in failing(value)
            ]
        }

    return Rule(keyword, lambda value: not failing(value), explain)


def additional_items_rule(spec: Document, keyword: str, parse: Parse) -> Rule | None:
    """Compile `additionalItems`, which speaks of elements behind an array of `items`."""
    operand = spec[keyword]
    if operand.__class__ not in (bool, dict):
        operands.mismatch(
            keyword, f"must be either an object or a boolean, but got a {type_name(operand)}"
        )
    schema = parse(operand) if operand.__class__ is dict else None
    items = spec.get("items")
    if items.__class__ is not list or operand is True:
        return None
    assert isinstance(items, list)
    start = len(items)
    if schema is not None:
        sentence = "At least one additional item did not match the sub-schema"
        return _each_rule(keyword, schema, start, sentence)

    def explain(value: Any) -> Document:
        return {
            "specifiedAs": {keyword: False},
            "reason": "found additional items",
            "additionalItems": value[start:],
        }

    return Rule(keyword, lambda value: value.__class__ is not list or len(value) <= start, explain)


# Combinations of schemas.


def combination_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `allOf`, `anyOf` or `oneOf`."""
    schemas = [parse(item) for item in operands.schemas(spec, keyword)]

    def check(value: Any) -> bool:
        if keyword == "allOf":
            return all(schema.validates(value) for schema in schemas)
        if keyword == "anyOf":
            return any(schema.validates(value) for schema in schemas)
        return sum(schema.validates(value) for schema in schemas) == 1

    def explain(value: Any) -> Document:
        matching = [i for i, schema in enumerate(schemas) if schema.validates(value)]
        if keyword == "oneOf" and matching:
            return {
                "reason": "more than one subschema matched",
                "matchingSchemaIndexes": matching,
            }
        return {
            "schemasNotSatisfied": [
                {"index": index, **schema.labels(), "details": schema.broken(value)}
                for index, schema in enumerate(schemas)
                if index not in matching
            ]
        }

    return Rule(keyword, check, explain)


def not_rule(spec: Document, keyword: str, parse: Parse) -> Rule:
    """Compile `not`."""
    if spec[keyword].__class__ is not dict:
        operands.mismatch(
            keyword, f"must be an object, but found an element of type {type_name(spec[keyword])}"
        )
    schema = parse(spec[keyword])
    return Rule(
        keyword,
        lambda value: not schema.validates(value),
        lambda _value: {"reason": "child expression matched"},
    )
