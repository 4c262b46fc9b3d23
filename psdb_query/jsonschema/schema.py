"""The table of `$jsonSchema` keywords and the parser over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.jsonschema import containers, operands, scalars
from psdb_query.jsonschema.containers import Parse
from psdb_query.jsonschema.rules import Rule, Schema

__all__ = ["KEYWORDS", "Schema", "parse_schema"]

Compile: TypeAlias = Callable[[Document, str, Parse], "Rule | None"]

_DEPTH_MAX: Final = 100


def _scalar(compile_rule: Callable[[Document, str], Rule | None]) -> Compile:
    return lambda spec, keyword, _parse: compile_rule(spec, keyword)


def _text(spec: Document, keyword: str, _parse: Parse) -> None:
    if spec[keyword].__class__ is not str:
        operands.mismatch(keyword, "must be of type string")


def _exclusive(spec: Document, keyword: str, _parse: Parse) -> None:
    scalars.exclusive_check(spec, keyword)


def _unsupported(_spec: Document, keyword: str, _parse: Parse) -> None:
    message = f"$jsonSchema keyword '{keyword}' is not currently supported"
    raise MongoError(Code.FAILED_TO_PARSE, message)


def _encrypt_metadata(spec: Document, keyword: str, _parse: Parse) -> None:
    operands.document(spec, keyword)


KEYWORDS: Final[dict[str, Compile]] = {
    "$ref": _unsupported,
    "$schema": _unsupported,
    "additionalItems": containers.additional_items_rule,
    "additionalProperties": containers.additional_properties_rule,
    "allOf": containers.combination_rule,
    "anyOf": containers.combination_rule,
    "bsonType": _scalar(scalars.type_rule),
    "default": _unsupported,
    "definitions": _unsupported,
    "dependencies": containers.dependencies_rule,
    "description": _text,
    "encrypt": _scalar(scalars.encrypt_rule),
    "encryptMetadata": _encrypt_metadata,
    "enum": _scalar(scalars.enum_rule),
    "exclusiveMaximum": _exclusive,
    "exclusiveMinimum": _exclusive,
    "format": _unsupported,
    "id": _unsupported,
    "items": containers.items_rule,
    "maxItems": _scalar(containers.item_count_rule),
    "maxLength": _scalar(scalars.length_rule),
    "maxProperties": _scalar(containers.property_count_rule),
    "maximum": _scalar(scalars.limit_rule),
    "minItems": _scalar(containers.item_count_rule),
    "minLength": _scalar(scalars.length_rule),
    "minProperties": _scalar(containers.property_count_rule),
    "minimum": _scalar(scalars.limit_rule),
    "multipleOf": _scalar(scalars.multiple_rule),
    "not": containers.not_rule,
    "oneOf": containers.combination_rule,
    "pattern": _scalar(scalars.pattern_rule),
    "patternProperties": containers.pattern_properties_rule,
    "properties": containers.properties_rule,
    "required": _scalar(containers.required_rule),
    "title": _text,
    "type": _scalar(scalars.type_rule),
    "uniqueItems": _scalar(containers.unique_rule),
}

_ORDER: Final = (
    "pattern",
    "maxLength",
    "minLength",
    "multipleOf",
    "maximum",
    "minimum",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "additionalItems",
    "encrypt",
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "dependencies",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "enum",
    "type",
    "bsonType",
)
"""The order in which failures are reported, whatever the order of the schema's fields."""


def parse_schema(spec: Document) -> Schema:
    """Parse a schema.

    Raises MongoError: 9 for an unknown or unsupported keyword or an invalid operand, 14 for an
    operand of the wrong type, 2 for an unknown type name.
    """
    return _parse(spec, 0)


def _parse(spec: Document, depth: int) -> Schema:
    if depth > _DEPTH_MAX:
        message = f"Maximum depth of nested $jsonSchema exceeded: {_DEPTH_MAX}"
        raise MongoError(Code.FAILED_TO_PARSE, message)
    for keyword in spec:
        if keyword not in KEYWORDS:
            raise MongoError(Code.FAILED_TO_PARSE, f"Unknown $jsonSchema keyword: {keyword}")
    if "type" in spec and "bsonType" in spec:
        message = "Cannot specify both $jsonSchema keywords 'type' and 'bsonType'"
        raise MongoError(Code.FAILED_TO_PARSE, message)

    def parse_nested(nested: Document) -> Schema:
        return _parse(nested, depth + 1)

    found: dict[str, Rule] = {}
    for keyword in spec:
        rule = KEYWORDS[keyword](spec, keyword, parse_nested)
        if rule is not None:
            found[keyword] = rule
    rules = tuple(found[keyword] for keyword in _ORDER if keyword in found)
    return Schema(rules, spec.get("title"), spec.get("description"), scalars.stated_type(spec))
