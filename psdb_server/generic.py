"""The generic arguments: fields that every command takes, checked at one place."""

from __future__ import annotations

from typing import Any, Final

from bson.binary import Binary
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import Routed, ShardVersion
from psdb_base.values import Document
from psdb_server.command import Command
from psdb_server.fields import CHECKS, is_number, type_name

GENERIC_FIELDS: Final = frozenset(
    {
        "$attempt",
        "$audit",
        "$client",
        "$clusterTime",
        "$configServerState",
        "$configTime",
        "$db",
        "$namespaceVersions",
        "$queryOptions",
        "$readPreference",
        "$replData",
        "$shardRanges",
        "$topologyTime",
        "$upserted",
        "apiDeprecationErrors",
        "apiStrict",
        "apiVersion",
        "autocommit",
        "comment",
        "databaseVersion",
        "lsid",
        "maxTimeMS",
        "maxTimeMSOpOnly",
        "rawData",
        "readConcern",
        "shardVersion",
        "startTransaction",
        "stmtId",
        "stmtIds",
        "txnNumber",
        "writeConcern",
    }
)
READ_CONCERN_LEVELS: Final = ("available", "linearizable", "local", "majority", "snapshot")
MAX_TIME_MS_MAX: Final = 2**31 - 1


class Generic:
    """The generic arguments of one command."""

    __slots__ = (
        "api_strict",
        "autocommit",
        "cluster_time",
        "comment",
        "lsid",
        "max_time_ms",
        "read_concern",
        "read_preference",
        "routed",
        "start_transaction",
        "stmt_ids",
        "txn_number",
        "write_concern",
    )

    def __init__(self) -> None:
        self.api_strict = False
        self.autocommit: bool | None = None
        self.cluster_time: Timestamp | None = None
        self.comment: Any = None
        self.lsid: bytes | None = None
        self.max_time_ms = 0
        self.read_concern: Document = {}
        self.read_preference: Document | None = None
        self.routed: Routed | None = None
        self.start_transaction = False
        self.stmt_ids: list[int] | None = None
        self.txn_number: int | None = None
        self.write_concern: Document = {}


def parse_generic(command: Command, body: Document) -> Generic:
    """Check the generic arguments of `body`.

    Raises:
        MongoError: 14, 40414 and the rest, as MongoDB's generic-argument parser.

    """
    generic = Generic()
    for name, value in body.items():
        parser = _PARSERS.get(name)
        if parser is not None and value is not None:
            parser(generic, value, command)
    if "shardVersion" in body or "databaseVersion" in body or "$namespaceVersions" in body:
        generic.routed = _routed(body)
    if "apiVersion" in body:
        _check_api(generic, command, body)
    elif "apiStrict" in body or "apiDeprecationErrors" in body:
        raise MongoError(
            Code.API_VERSION_ERROR,
            "Provided apiStrict or apiDeprecationErrors without passing apiVersion",
        )
    if generic.txn_number is not None:
        _check_transaction_number(generic, command)
    return generic


def _check_transaction_number(generic: Generic, command: Command) -> None:
    if generic.lsid is None:
        raise MongoError(
            Code.INVALID_OPTIONS, "Transaction number requires a session ID to also be specified"
        )
    if generic.start_transaction or generic.autocommit is not None:
        raise MongoError(
            Code.NOT_IMPLEMENTED, "Multi-document transactions are not supported by PSDB yet"
        )
    if not command.retryable:
        raise MongoError(
            Code.NOT_A_RETRYABLE_WRITE_COMMAND,
            f"txnNumber may only be provided for multi-document transactions and retryable write "
            f"commands. autocommit:false was not provided, and {command.name} is not a retryable "
            f"write command.",
        )


def _check_api(generic: Generic, command: Command, body: Document) -> None:
    version = CHECKS["string"](body["apiVersion"], "apiVersion")
    if version != "1":
        raise MongoError(Code.API_VERSION_ERROR, 'API version must be "1"')
    if generic.api_strict and not command.api_v1:
        raise MongoError(
            Code.API_STRICT_ERROR,
            f"Provided apiStrict:true, but the command {command.name} is not in API Version 1. "
            "Information on supported commands and migrations in API Version 1 can be found at "
            "https://www.mongodb.com/docs/manual/reference/stable-api/",
        )


def parse_lsid(value: Any, path: str = "lsid") -> bytes:
    """Return the sixteen bytes of a session id document `{id: UUID}`."""
    if type(value) is not dict:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{path}' is the wrong type '{type_name(value)}', expected type 'object'",
        )
    if "id" not in value:
        raise MongoError(40414, f"BSON field '{path}.id' is missing but a required field")
    identifier = value["id"]
    if type(identifier) is not Binary or identifier.subtype != 4 or len(identifier) != 16:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{path}.id' is the wrong binData type "
            f"'{type_name(identifier)}', expected type 'UUID'",
        )
    for name in value:
        if name not in ("id", "uid", "txnNumber", "txnUUID"):
            raise MongoError(40415, f"BSON field '{path}.{name}' is an unknown field.")
    return bytes(identifier)


def _routed(body: Document) -> Routed:
    """Read what a router relies on."""
    version = body.get("shardVersion")
    database = body.get("databaseVersion")
    return Routed(
        None if version is None else ShardVersion.parse(version),
        None if database is None else CHECKS["object"](database, "databaseVersion"),
        body.get("$shardRanges"),
        body.get("$namespaceVersions"),
        body.get("$attempt"),
        body.get("$upserted"),
    )


def _lsid(generic: Generic, value: Any, _command: Command) -> None:
    generic.lsid = parse_lsid(value)


def _txn_number(generic: Generic, value: Any, _command: Command) -> None:
    if not is_number(value):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field 'txnNumber' is the wrong type '{type_name(value)}', expected type 'long'",
        )
    generic.txn_number = CHECKS["int"](value, "txnNumber")
    if generic.txn_number < 0:
        raise MongoError(Code.INVALID_OPTIONS, "Transaction number cannot be negative")


def _stmt_ids(generic: Generic, value: Any, _command: Command) -> None:
    items = CHECKS["array"](value, "stmtIds")
    generic.stmt_ids = [CHECKS["int"](item, "stmtIds") for item in items]


def _stmt_id(generic: Generic, value: Any, _command: Command) -> None:
    generic.stmt_ids = [CHECKS["int"](value, "stmtId")]


def _autocommit(generic: Generic, value: Any, _command: Command) -> None:
    generic.autocommit = CHECKS["bool"](value, "autocommit")
    if generic.autocommit:
        raise MongoError(Code.INVALID_OPTIONS, "Specifying autocommit=true is not allowed.")
    if generic.txn_number is None:
        raise MongoError(
            Code.NOT_IMPLEMENTED, "Multi-document transactions are not supported by PSDB yet"
        )


def _start_transaction(generic: Generic, value: Any, _command: Command) -> None:
    generic.start_transaction = CHECKS["bool"](value, "startTransaction")
    if not generic.start_transaction:
        raise MongoError(
            Code.INVALID_OPTIONS, "Specifying startTransaction=false is not allowed."
        )
    raise MongoError(
        Code.NOT_IMPLEMENTED, "Multi-document transactions are not supported by PSDB yet"
    )


def _max_time_ms(generic: Generic, value: Any, _command: Command) -> None:
    if not is_number(value):
        raise MongoError(Code.BAD_VALUE, "maxTimeMS must be a number")
    number = CHECKS["int"](value, "maxTimeMS")
    if not 0 <= number <= MAX_TIME_MS_MAX:
        raise MongoError(
            Code.BAD_VALUE, f"{number} value for maxTimeMS is out of range [0, {MAX_TIME_MS_MAX}]"
        )
    generic.max_time_ms = number


def _comment(generic: Generic, value: Any, _command: Command) -> None:
    generic.comment = value


def _cluster_time(generic: Generic, value: Any, _command: Command) -> None:
    gossip = CHECKS["object"](value, "$clusterTime")
    if "clusterTime" not in gossip:
        raise MongoError(
            40414, "BSON field '$clusterTime.clusterTime' is missing but a required field"
        )
    generic.cluster_time = CHECKS["timestamp"](gossip["clusterTime"], "$clusterTime.clusterTime")


def _read_preference(generic: Generic, value: Any, _command: Command) -> None:
    preference = CHECKS["object"](value, "$readPreference")
    mode = preference.get("mode")
    if mode not in ("nearest", "primary", "primaryPreferred", "secondary", "secondaryPreferred"):
        raise MongoError(
            Code.FAILED_TO_PARSE, f"Could not parse $readPreference mode '{mode}'. Only the modes "
            "'primary', 'primaryPreferred', 'secondary', 'secondaryPreferred', and 'nearest' are "
            "supported."
        )
    _check_staleness(preference, mode)
    generic.read_preference = preference


STALENESS_SECONDS_LEAST: Final = 90


def _check_staleness(preference: Document, mode: str) -> None:
    """Check what stands beside the mode: tags and the largest staleness."""
    tags = CHECKS["objects"](preference.get("tags", []), "$readPreference.tags")
    if mode == "primary" and any(tags):
        raise MongoError(
            Code.BAD_VALUE, "Only empty tags are allowed with primary read preference"
        )
    staleness = preference.get("maxStalenessSeconds")
    if staleness is None:
        return
    seconds = CHECKS["int"](staleness, "$readPreference.maxStalenessSeconds")
    if seconds < 0:
        raise MongoError(Code.BAD_VALUE, "maxStalenessSeconds must be a non-negative integer")
    if seconds and mode == "primary":
        raise MongoError(
            Code.BAD_VALUE, "maxStalenessSeconds can not be set for the primary mode"
        )
    if 0 < seconds < STALENESS_SECONDS_LEAST:
        raise MongoError(
            Code.MAX_STALENESS_OUT_OF_RANGE,
            f"maxStalenessSeconds value can not be less than {STALENESS_SECONDS_LEAST}",
        )


def _api_strict(generic: Generic, value: Any, _command: Command) -> None:
    generic.api_strict = CHECKS["bool"](value, "apiStrict")


def _api_deprecation_errors(_generic: Generic, value: Any, _command: Command) -> None:
    CHECKS["bool"](value, "apiDeprecationErrors")


def _read_concern(generic: Generic, value: Any, command: Command) -> None:
    concern = CHECKS["object"](value, "readConcern")
    for name, item in concern.items():
        if name == "level":
            _check_level(item, concern, command)
        elif name in ("afterClusterTime", "atClusterTime"):
            CHECKS["timestamp"](item, f"readConcern.{name}")
        elif name == "afterOpTime":
            CHECKS["object"](item, f"readConcern.{name}")
        elif name not in ("provenance", "$waitLastStableRecoveryTimestamp"):
            raise MongoError(40415, f"BSON field 'readConcern.{name}' is an unknown field.")
    generic.read_concern = concern


def _check_level(level: Any, concern: Document, command: Command) -> None:
    if CHECKS["string"](level, "readConcern.level") not in READ_CONCERN_LEVELS:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{level}' for field 'readConcern.level' is not a valid value.",
        )
    if level == "snapshot" or "atClusterTime" in concern:
        raise MongoError(
            Code.NOT_IMPLEMENTED, "readConcern level snapshot is not supported by PSDB yet"
        )
    if level != "local" and not command.read_concern:
        raise MongoError(
            Code.INVALID_OPTIONS,
            f'Command {command.name} does not support {{ readConcern: {{ level: "{level}" }} }} '
            ":: caused by :: read concern not supported",
        )


_WRITE_CONCERN_FIELDS: Final = frozenset(
    {"w", "wtimeout", "j", "fsync", "provenance", "getLastError", "wOpTime", "wElectionId"}
)


def _write_concern(generic: Generic, value: Any, command: Command) -> None:
    concern = CHECKS["object"](value, "writeConcern")
    for name in concern:
        if name not in _WRITE_CONCERN_FIELDS:
            raise MongoError(
                Code.FAILED_TO_PARSE, f"unrecognized write concern field: {name}"
            )
    w = concern.get("w", 1)
    if type(w) is dict:
        raise MongoError(Code.NOT_IMPLEMENTED, "writeConcern w by tags is not supported by PSDB")
    if not is_number(w) and type(w) is not str:
        raise MongoError(Code.FAILED_TO_PARSE, "w has to be a number, string, or object; found: "
                         + type_name(w))
    if is_number(w) and not 0 <= CHECKS["int"](w, "writeConcern.w") <= 50:
        raise MongoError(
            Code.FAILED_TO_PARSE, "w has to be a non-negative number and not greater than 50"
        )
    if "j" in concern and type(concern["j"]) is not bool and not is_number(concern["j"]):
        raise MongoError(Code.FAILED_TO_PARSE, "j must be numeric or a boolean value")
    if "wtimeout" in concern and not is_number(concern["wtimeout"]):
        raise MongoError(Code.FAILED_TO_PARSE, "wtimeout must be a number")
    if concern and not command.write_concern:
        raise MongoError(Code.INVALID_OPTIONS, "Command does not support writeConcern")
    generic.write_concern = concern


_PARSERS: Final = {
    "$clusterTime": _cluster_time,
    "$readPreference": _read_preference,
    "apiDeprecationErrors": _api_deprecation_errors,
    "apiStrict": _api_strict,
    "autocommit": _autocommit,
    "comment": _comment,
    "lsid": _lsid,
    "maxTimeMS": _max_time_ms,
    "readConcern": _read_concern,
    "startTransaction": _start_transaction,
    "stmtId": _stmt_id,
    "stmtIds": _stmt_ids,
    "txnNumber": _txn_number,
    "writeConcern": _write_concern,
}
