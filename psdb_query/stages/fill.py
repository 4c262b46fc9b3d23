"""`$fill`: null and missing fields get a value, made of `$setWindowFields` and `$addFields`."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.stages.model import Stage, StageContext
from psdb_query.stages.set_window_fields import PARSERS as WINDOWS
from psdb_query.stages.shape import PARSERS as SHAPES
from psdb_query.stages.specs import check_object, check_strings

_METHODS: Final = {"linear": "$linearFill", "locf": "$locf"}


def _parse_fill(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"The $fill stage specification must be an object, found {type_name(spec)}",
        )
    check_object(
        "$fill",
        spec,
        {
            "output": ("object",),
            "partitionBy": ("object", "string"),
            "partitionByFields": ("array",),
            "sortBy": ("object",),
        },
        ("output",),
    )
    output = spec["output"]
    if not output:
        raise MongoError(
            6050203, "The output field in '$fill' must contain an object with at least one element"
        )
    windows: Document = {}
    values: Document = {}
    for field, one in output.items():
        _parse_output(field, one, windows, values)
    window: Document = {"output": windows}
    if "sortBy" in spec:
        window["sortBy"] = spec["sortBy"]
    partition = _partition(spec)
    if partition is not None:
        window["partitionBy"] = partition
    stages: list[Stage] = []
    if windows:
        stages += WINDOWS["$setWindowFields"](window, context)
    if values:
        stages += SHAPES["$addFields"](values, context)
    return stages


def _parse_output(field: str, one: Any, windows: Document, values: Document) -> None:
    if type(one) is not dict:
        raise MongoError(
            6050200, "Each fill output specification must be an object with exactly one field"
        )
    check_object("$fill", one, {"method": ("string",), "value": ()})
    if "method" in one:
        if "value" in one:
            raise MongoError(
                6050201,
                "Each fill output specification must have exactly one of 'method' or 'value' "
                "fields, not both",
            )
        if one["method"] not in _METHODS:
            raise MongoError(6050202, "Method must be either locf or linear")
        windows[field] = {_METHODS[one["method"]]: f"${field}"}
    elif "value" in one:
        values[field] = {"$ifNull": [f"${field}", one["value"]]}


def _partition(spec: Document) -> Any:
    if "partitionBy" in spec:
        if "partitionByFields" in spec:
            raise MongoError(
                6050204,
                "Maximum one of 'partitionBy' and 'partitionByFields can be specified in '$fill'",
            )
        return spec["partitionBy"]
    if "partitionByFields" not in spec:
        return None
    names = check_strings("$fill.partitionByFields", spec["partitionByFields"])
    return {name: f"${name}" for name in names}


PARSERS: Final = {"$fill": _parse_fill}
