"""Time-series collections: what they take, and what may be done to them.

A measurement is a record of its own; there are no buckets inside (docs/decisions). What clients
see is MongoDB's view of measurements: the time is always a date, an `_id` need not be unique,
updates touch the metadata only (manual: "Time Series Collection Limitations").
"""

from __future__ import annotations

from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.updates import Update
from psdb_server.fields import CHECKS, is_number
from psdb_store.collection import Collection
from shardsvr.collections import BUCKETS

SPAN_SECONDS: Final = {"hours": 2_592_000, "minutes": 86_400, "seconds": 3_600}
_SPAN_SECONDS_MAX: Final = 31_536_000
_FIELDS: Final = (
    "bucketMaxSpanSeconds", "bucketRoundingSeconds", "granularity", "metaField", "timeField",
)


def time_series_options(command: str, spec: Document) -> Document:
    """Return a checked `timeseries` option with its defaults.

    Args:
        command: `create`, or what else the option belongs to.
        spec: As given.

    Raises:
        MongoError: 72, 73, 14, 2, 40414, 40415.

    """
    for name in spec:
        if name not in _FIELDS:
            raise MongoError(
                40415, f"BSON field '{command}.timeseries.{name}' is an unknown field."
            )
    if "timeField" not in spec:
        raise MongoError(
            40414,
            f"BSON field '{command}.timeseries.timeField' is missing but a required field",
        )
    options: Document = {"timeField": _field_name(command, spec, "timeField")}
    if "metaField" in spec:
        options["metaField"] = _field_name(command, spec, "metaField")
        if options["metaField"] in ("_id", options["timeField"]):
            raise MongoError(
                Code.INVALID_OPTIONS,
                'The \'metaField\' cannot be "_id" or the same as the \'timeField\'',
            )
    return options | _bucketing(command, spec)


def _field_name(command: str, spec: Document, name: str) -> str:
    value: str = CHECKS["string"](spec[name], f"{command}.timeseries.{name}")
    if not value or "." in value or value.startswith("$") or "\0" in value:
        raise MongoError(
            Code.INVALID_OPTIONS,
            f"'{name}' must be a top-level field and not contain a '.'",
        )
    if name == "timeField" and value == "_id":
        raise MongoError(Code.INVALID_OPTIONS, "The 'timeField' cannot be \"_id\"")
    return value


def _bucketing(command: str, spec: Document) -> Document:
    """Return granularity and span; both are kept for clients, as there are no buckets."""
    granularity = spec.get("granularity")
    if granularity is not None and granularity not in SPAN_SECONDS:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{granularity}' for field '{command}.timeseries.granularity' is "
            "not a valid value.",
        )
    spans = [spec.get(name) for name in ("bucketMaxSpanSeconds", "bucketRoundingSeconds")]
    if spans == [None, None]:
        name = granularity or "seconds"
        return {"granularity": name, "bucketMaxSpanSeconds": SPAN_SECONDS[name]}
    if granularity is not None and spans[1] is None and spans[0] == SPAN_SECONDS[granularity]:
        return {"granularity": granularity, "bucketMaxSpanSeconds": spans[0]}
    if granularity is not None:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Timeseries 'bucketMaxSpanSeconds' and 'bucketRoundingSeconds' cannot be set with "
            "'granularity'",
        )
    if None in spans or spans[0] != spans[1]:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Timeseries 'bucketMaxSpanSeconds' and 'bucketRoundingSeconds' need to be set alone "
            "and be equal",
        )
    seconds = CHECKS["int"](spans[0], f"{command}.timeseries.bucketMaxSpanSeconds")
    if not 1 <= seconds <= _SPAN_SECONDS_MAX:
        raise MongoError(
            51024,
            f"BSON field 'bucketMaxSpanSeconds' value must be >= 1 and <= {_SPAN_SECONDS_MAX}, "
            f"actual value '{seconds}'",
        )
    return {"bucketMaxSpanSeconds": seconds, "bucketRoundingSeconds": seconds}


def coarser(was: Document, change: Document) -> Document:
    """Return the `timeseries` option after a `collMod`, which may only make it coarser."""
    for name in change:
        if name not in ("bucketMaxSpanSeconds", "bucketRoundingSeconds", "granularity"):
            raise MongoError(40415, f"BSON field 'collMod.timeseries.{name}' is an unknown field.")
    spec: Document = {"timeField": was["timeField"], **change}
    changed = time_series_options("collMod", spec)
    if changed["bucketMaxSpanSeconds"] < was["bucketMaxSpanSeconds"]:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Invalid transition for timeseries.granularity. Can only transition from 'seconds' to "
            "'minutes' or 'minutes' to 'hours', and to no shorter span.",
        )
    kept: Document = {name: was[name] for name in ("timeField", "metaField") if name in was}
    return {**kept, **{name: changed[name] for name in changed if name != "timeField"}}


def check_measurement(collection: Collection, document: Document) -> None:
    """Raise 2 for a document without a date in the time field."""
    name = collection.options["timeseries"]["timeField"]
    if type(document.get(name)) is not DatetimeMS:
        raise MongoError(
            Code.BAD_VALUE,
            f"'{name}' must be present and contain a valid BSON UTC datetime value",
        )


def check_update(
    collection: Collection, spec: Document, update: Update, *, multi: bool, upsert: bool
) -> None:
    """Raise for an update that goes beyond the metadata.

    Args:
        collection: A time-series collection.
        spec: The filter.
        update: The compiled update.
        multi: It is of all that match.
        upsert: It may insert.

    """
    if not multi:
        raise _refused("Cannot perform a non-multi update on a time-series collection")
    if upsert:
        raise _refused("Cannot perform an upsert on a time-series collection")
    if update.kind != "operators":
        raise _refused(
            "Cannot perform an update on a time-series collection with a pipeline or replacement"
        )
    meta = collection.options["timeseries"].get("metaField")
    if meta is None:
        raise _refused(
            "Cannot perform an update on a time-series collection that does not have a metaField"
        )
    for path in _paths_of(spec):
        if path.partition(".")[0] != meta:
            raise _refused(
                "Cannot perform an update on a time-series collection when querying on a field "
                f"that is not the metaField '{meta}': {path}"
            )
    for name in sorted(update.names or ()):
        if name != meta:
            raise _refused(
                "Cannot perform an update on a time-series collection which updates a field "
                f"that is not the metaField '{meta}': {name}"
            )


def _paths_of(spec: Any) -> list[str]:
    """Return the paths that a filter names."""
    found: list[str] = []
    for name, value in spec.items():
        if name in ("$and", "$nor", "$or"):
            for branch in value if type(value) is list else ():
                found += _paths_of(branch)
        elif name != "$comment":
            found.append(name)
    return found


def _refused(message: str) -> MongoError:
    return MongoError(Code.INVALID_OPTIONS, message)


def check_index(collection: Collection, spec: Document) -> None:
    """Raise for an index that a time-series collection may not have."""
    if spec.get("unique"):
        raise _refused("Unique indexes are not supported on time-series collections")
    for kind in spec["key"].values():
        if kind == "text" or kind == "2d":
            raise _refused(f"{kind} indexes are not supported on time-series collections")
    time_field = collection.options["timeseries"]["timeField"]
    if "expireAfterSeconds" in spec and list(spec["key"]) != [time_field]:
        raise _refused("TTL indexes on time-series collections have to be on the time field")


def first_index(options: Document) -> Document | None:
    """Return the index that a new collection with a metaField gets by itself."""
    meta = options["timeseries"].get("metaField")
    if meta is None:
        return None
    time_field = options["timeseries"]["timeField"]
    return {
        "v": 2, "key": {meta: 1, time_field: 1}, "name": f"{meta}_1_{time_field}_1",
    }


def describe(collection: Collection) -> Document:
    """Return the row that `listCollections` shows of the collection of buckets."""
    return {
        "name": f"{BUCKETS}{collection.name}",
        "type": "collection",
        "options": {"clusteredIndex": True, **collection.options},
        "info": {"readOnly": False, "uuid": collection.uuid},
    }


def expiry(command: str, value: Any) -> int | None:
    """Return `expireAfterSeconds` of a collection in seconds, None for "off"."""
    if value == "off" and command == "collMod":
        return None
    if not is_number(value):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{command}.expireAfterSeconds' is the wrong type '{type_name(value)}', "
            "expected types '[string, int, decimal, double, long]'",
        )
    seconds: int = CHECKS["int"](value, f"{command}.expireAfterSeconds")
    check_seconds(seconds)
    return seconds


def check_seconds(seconds: float) -> None:
    """Refuse an `expireAfterSeconds` out of range."""
    if not 0 <= seconds <= 2**31 - 1:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "TTL index 'expireAfterSeconds' option must be within an acceptable range, try a "
            f"different number than {seconds}",
        )

