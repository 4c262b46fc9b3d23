"""The options of `create`: which there are, what goes together, what is kept of them."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.filters import compile_filter, tree
from psdb_query.filters.filter import walk
from psdb_server.command import Request
from psdb_store.collection import Collection
from shardsvr.capped import capped_options, resized_options
from shardsvr.collections import full_collation, member_of
from shardsvr.timeseries import coarser, expiry, time_series_options

_INTERNAL: Final = ("admin", "config", "local")
_NOT_ON_VIEWS: Final = (
    "capped", "changeStreamPreAndPostImages", "clusteredIndex", "expireAfterSeconds", "idIndex",
    "indexOptionDefaults", "max", "size", "storageEngine", "timeseries", "validationAction",
    "validationLevel", "validator",
)
_NOT_ON_TIME_SERIES: Final = (
    "capped", "changeStreamPreAndPostImages", "clusteredIndex", "idIndex", "max", "pipeline",
    "size", "validationAction", "validationLevel", "validator", "viewOn",
)
_VALIDATION_LEVELS: Final = ("moderate", "off", "strict")
_VALIDATION_ACTIONS: Final = ("error", "errorAndLog", "warn")
_MONGODB_ENGINES: Final = ("inMemory", "wiredTiger")
"""Settings of MongoDB's own engines are kept and shown, and mean nothing here."""
_KEPT: Final = ("indexOptionDefaults", "pipeline", "storageEngine", "temp", "validationAction",
                "validationLevel", "validator", "viewOn")


def checked_options(request: Request) -> Document:
    """Return what the catalogue keeps of the options of `create`.

    Raises:
        MongoError: 72, 2, 14 and others for options that do not exist or do not go together.

    """
    args = request.args
    if "encryptedFields" in args:
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "The collection option 'encryptedFields' is not supported by PSDB yet",
        )
    _check_together(args)
    check_validation(request)
    _check_engines(args)
    options = capped_options(args)
    options |= {key: args[key] for key in args if key in _KEPT}
    if "collation" in args:
        options["collation"] = full_collation(member_of(request), args["collation"])
    if "timeseries" in args:
        options["timeseries"] = time_series_options("create", args["timeseries"])
    if "clusteredIndex" in args:
        options["clusteredIndex"] = clustered_index(args["clusteredIndex"])
    if "expireAfterSeconds" in args:
        if "timeseries" not in args and "clusteredIndex" not in args:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "'expireAfterSeconds' is only supported on time-series collections or when the "
                "'clusteredIndex' option is specified",
            )
        options["expireAfterSeconds"] = expiry("create", args["expireAfterSeconds"])
    if images_wanted(request):
        options["changeStreamPreAndPostImages"] = {"enabled": True}
    return options


def _check_together(args: Document) -> None:
    if "viewOn" in args:
        for name in _NOT_ON_VIEWS:
            if _is_given(args, name):
                raise MongoError(
                    Code.INVALID_OPTIONS, f"option not supported on a view: {name}"
                )
    elif "pipeline" in args:
        raise MongoError(
            Code.INVALID_OPTIONS, "'pipeline' requires 'viewOn' to also be specified"
        )
    if "timeseries" in args:
        for name in _NOT_ON_TIME_SERIES:
            if _is_given(args, name):
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"{name} is not a supported option for a time-series collection",
                )
    if args.get("clusteredIndex"):
        for name in ("capped", "idIndex"):
            if args.get(name):
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"The '{name}' option is not supported with the 'clusteredIndex' option",
                )


def _is_given(args: Document, name: str) -> bool:
    """Tell whether an option is there; drivers write `capped: false` where it is not meant."""
    return bool(args.get(name)) if name == "capped" else name in args


def _check_engines(args: Document) -> None:
    spec = args.get("storageEngine")
    nested = args.get("indexOptionDefaults", {}).get("storageEngine")
    for name in args.get("indexOptionDefaults", {}):
        if name != "storageEngine":
            raise MongoError(
                40415, f"BSON field 'create.indexOptionDefaults.{name}' is an unknown field."
            )
    for engines in (spec, nested):
        for name, value in (engines or {}).items():
            if name not in _MONGODB_ENGINES:
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"{name} is not a registered storage engine for this server",
                )
            if type(value) is not dict:
                raise MongoError(
                    Code.BAD_VALUE, f"'storageEngine.{name}' has to be an embedded document"
                )


def check_validation(request: Request) -> None:
    """Check validator, level and action of `create` or `collMod`."""
    args = request.args
    for name, allowed in (("validationLevel", _VALIDATION_LEVELS),
                          ("validationAction", _VALIDATION_ACTIONS)):
        if name in args and args[name] not in allowed:
            raise MongoError(
                Code.BAD_VALUE,
                f"Enumeration value '{args[name]}' for field '{request.command.name}.{name}' is "
                "not a valid value.",
            )
    if not args.get("validator"):
        return
    if request.db in _INTERNAL:
        raise MongoError(
            Code.INVALID_OPTIONS,
            f"Document validators are not allowed on collection {request.db}.{request.target} "
            f"in the {request.db} internal database",
        )
    if request.target.startswith("system."):
        raise MongoError(
            Code.INVALID_OPTIONS,
            f"Document validators not allowed on system collection {request.db}.{request.target}",
        )
    # With scripts first, so that `$where` is refused for where it stands and not for itself.
    chosen = compile_filter(args["validator"], member_of(request).context(scripts=True))
    for node in walk(chosen.tree):
        if isinstance(node, tree.Near):
            raise MongoError(
                Code.BAD_VALUE,
                "$geoNear, $near, and $nearSphere are not allowed in this context",
            )
        if isinstance(node, tree.Text | tree.Where):
            name = "$text" if isinstance(node, tree.Text) else "$where"
            raise MongoError(Code.BAD_VALUE, f"{name} is not allowed in this context")
    compile_filter(args["validator"], member_of(request).context())


def clustered_index(spec: Any) -> Document:
    """Return a checked `clusteredIndex` as listIndexes shows it, without the mark."""
    if type(spec) is not dict:
        raise MongoError(
            Code.TYPE_MISMATCH, "BSON field 'create.clusteredIndex' has to be a document"
        )
    for name in spec:
        if name not in ("key", "name", "unique", "v"):
            raise MongoError(
                40415, f"BSON field 'create.clusteredIndex.{name}' is an unknown field."
            )
    for name in ("key", "unique"):
        if name not in spec:
            raise MongoError(
                40414, f"BSON field 'create.clusteredIndex.{name}' is missing but a required field"
            )
    if spec["key"] != {"_id": 1}:
        raise MongoError(
            Code.INVALID_INDEX_SPECIFICATION_OPTION,
            "The clusteredIndex option is only supported for key: {_id: 1}",
        )
    if spec["unique"] is not True:
        raise MongoError(
            Code.INVALID_INDEX_SPECIFICATION_OPTION,
            "The clusteredIndex option requires unique: true",
        )
    if spec.get("v", 2) != 2:
        raise MongoError(
            Code.CANNOT_CREATE_INDEX, "The 'clusteredIndex' option requires v: 2"
        )
    name = spec.get("name", "_id_")
    if type(name) is not str or not name:
        raise MongoError(Code.BAD_VALUE, "The name of a clustered index cannot be empty")
    return {"v": 2, "key": {"_id": 1}, "name": name, "unique": True}


def images_wanted(request: Request) -> bool:
    """Return whether `changeStreamPreAndPostImages` is switched on, checking it."""
    spec = request.args.get("changeStreamPreAndPostImages")
    if spec is None:
        return False
    where = f"{request.command.name}.changeStreamPreAndPostImages"
    for name in spec:
        if name != "enabled":
            raise MongoError(40415, f"BSON field '{where}.{name}' is an unknown field.")
    if type(spec.get("enabled")) is not bool:
        raise MongoError(40414, f"BSON field '{where}.enabled' is missing but a required field")
    if spec["enabled"] and request.db in _INTERNAL:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "changeStreamPreAndPostImages option is not supported on collections of internal "
            "databases",
        )
    enabled: bool = spec["enabled"]
    return enabled


def changed_options(request: Request, collection: Collection) -> Document:
    """Return a collection's whole options after a `collMod`; the same when nothing changes."""
    args = request.args
    options = dict(resized_options(collection.options, args) or collection.options)
    if collection.is_view:
        for name in _NOT_ON_VIEWS:
            if _is_given(args, name):
                raise MongoError(
                    Code.INVALID_OPTIONS, f"option not supported on a view: {name}"
                )
    elif "viewOn" in args or "pipeline" in args:
        raise MongoError(
            Code.INVALID_OPTIONS, "'viewOn' and 'pipeline' may only be given for a view"
        )
    for name in ("pipeline", "validationAction", "validationLevel", "validator", "viewOn"):
        if name in args:
            if collection.is_timeseries:
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"option not supported on a time-series collection: {name}",
                )
            options[name] = args[name]
    if options.get("validator") == {}:
        del options["validator"]
    if "timeseries" in args:
        if not collection.is_timeseries:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "option only supported on a time-series collection: timeseries",
            )
        options["timeseries"] = coarser(options["timeseries"], args["timeseries"])
    if "expireAfterSeconds" in args:
        if not collection.is_timeseries and not collection.is_clustered:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "'expireAfterSeconds' is only supported on time-series collections or when the "
                "'clusteredIndex' option is specified",
            )
        options.pop("expireAfterSeconds", None)
        seconds = expiry("collMod", args["expireAfterSeconds"])
        if seconds is not None:
            options["expireAfterSeconds"] = seconds
    if "changeStreamPreAndPostImages" in args:
        if collection.is_timeseries:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "option not supported on a time-series collection: changeStreamPreAndPostImages",
            )
        options.pop("changeStreamPreAndPostImages", None)
        if images_wanted(request):
            options["changeStreamPreAndPostImages"] = {"enabled": True}
    return options
