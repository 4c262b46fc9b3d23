"""The replica set's configuration: what `replSetInitiate` and `replSetReconfig` take.

A configuration is a document, checked here and kept in the log by entries of kind `config`. Beside
what clients see it holds each member's id (`memberIds`: `_id` to the id of the dbpath): a folder
that was emptied is another member, whatever its address. Field names, bounds and messages are those
of MongoDB's manual ("Replica Set Configuration").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bson.int64 import Int64
from bson.objectid import ObjectId

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.fields import CHECKS, Field, FieldSet, is_number

MEMBERS_MAX: Final = 50
VOTERS_MAX: Final = 7
PRIORITY_MAX: Final = 1000
MEMBER_IDS: Final = "memberIds"
"""Field of the stored document that clients do not see."""

_CONFIG_FIELDS: Final = FieldSet(
    "ReplSetConfig",
    (
        Field("_id", "string", required=True),
        Field("version", "int"),
        Field("term", "int"),
        Field("configsvr", "bool"),
        Field("protocolVersion", "int"),
        Field("writeConcernMajorityJournalDefault", "bool"),
        Field("members", "objects", required=True),
        Field("settings", "object"),
        Field(MEMBER_IDS, "object"),
    ),
)
_MEMBER_FIELDS: Final = FieldSet(
    "MemberConfig",
    (
        Field("_id", "int", required=True),
        Field("host", "string", required=True),
        Field("arbiterOnly", "safe bool"),
        Field("buildIndexes", "safe bool"),
        Field("hidden", "safe bool"),
        Field("newlyAdded", "safe bool"),
        Field("priority", "number"),
        Field("tags", "object"),
        Field("secondaryDelaySecs", "int"),
        Field("slaveDelay", "int"),
        Field("votes", "number"),
    ),
)
_SETTINGS_FIELDS: Final = FieldSet(
    "ReplSetConfigSettings",
    (
        Field("chainingAllowed", "safe bool"),
        Field("heartbeatIntervalMillis", "int"),
        Field("heartbeatTimeoutSecs", "int"),
        Field("electionTimeoutMillis", "int"),
        Field("catchUpTimeoutMillis", "int"),
        Field("catchUpTakeoverDelayMillis", "int"),
        Field("getLastErrorDefaults", "object"),
        Field("getLastErrorModes", "object"),
        Field("replicaSetId"),
    ),
)
_SETTINGS_DEFAULTS: Final[Document] = {
    "chainingAllowed": True,
    "heartbeatIntervalMillis": 2000,
    "heartbeatTimeoutSecs": 10,
    "electionTimeoutMillis": 1000,
    "catchUpTimeoutMillis": -1,
    "catchUpTakeoverDelayMillis": 30000,
    "getLastErrorModes": {},
    "getLastErrorDefaults": {"w": 1, "wtimeout": 0},
}


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """One member's row.

    Attributes:
        id: Its number in the configuration.
        host: `name:port`.
        member_id: The id of its dbpath, "" while it is not known.
        newly_added: It has no vote yet because it has not caught up.
        votes: 0 or 1 as the client set it, whether newly added or not.

    """

    id: int
    host: str
    hidden: bool = False
    priority: float = 1
    tags: Document = field(default_factory=dict)
    votes: int = 1
    newly_added: bool = False
    member_id: str = ""

    @property
    def is_voter(self) -> bool:
        """Whether its vote counts now."""
        return self.votes == 1 and not self.newly_added and bool(self.member_id)

    def document(self, *, internal: bool) -> Document:
        """Return the row in MongoDB's order."""
        row: Document = {
            "_id": self.id, "host": self.host, "arbiterOnly": False, "buildIndexes": True,
            "hidden": self.hidden, "priority": _tidy(self.priority), "tags": dict(self.tags),
            "secondaryDelaySecs": Int64(0), "votes": self.votes,
        }
        if internal and self.newly_added:
            row["newlyAdded"] = True
        return row


def _tidy(number: float) -> Any:
    return int(number) if number == int(number) else number


@dataclass(frozen=True, slots=True)
class ReplSetConfig:
    """A whole configuration, checked.

    Attributes:
        name: The set's name.
        version: Ascends with each change.
        term: Term of the leader that logged it, -1 for a forced one.
        set_id: Made once, by `replSetInitiate`.
        members: In the client's order.
        settings: Given ones and defaults.
        configsvr: The set is a cluster's config servers.

    """

    name: str
    version: int
    term: int
    set_id: ObjectId | None
    members: tuple[MemberConfig, ...]
    settings: Document
    configsvr: bool = False

    # -- reading ---------------------------------------------------------------------------------

    @classmethod
    def parse(cls, document: Document) -> ReplSetConfig:
        """Check a document alone (not against the set's state).

        Raises MongoError 93 InvalidReplicaSetConfig.
        """
        try:
            return cls._parse(document)
        except MongoError as error:
            raise MongoError(Code.INVALID_REPLICA_SET_CONFIG, error.message) from error

    @classmethod
    def _parse(cls, document: Document) -> ReplSetConfig:
        given = _CONFIG_FIELDS.parse(document)
        if not given["_id"]:
            raise _bad("Replica set configuration must have non-empty '_id' field")
        version = given.get("version", 1)
        if not 1 <= version <= 2**31 - 1:
            raise _bad(f"BSON field 'version' value must be >= 1, actual value '{version}'")
        if given.get("protocolVersion", 1) != 1:
            raise _bad(
                f"Support for replication protocol version {given['protocolVersion']} was removed "
                "in MongoDB 4.0. Downgrade to MongoDB version 3.6 and upgrade your protocol "
                "version to 1 before upgrading your MongoDB version"
            )
        if given.get("writeConcernMajorityJournalDefault", True) is not True:
            raise _bad("writeConcernMajorityJournalDefault: false is not supported by PSDB")
        ids = given.get(MEMBER_IDS, {})
        settings, set_id = _parse_settings(given.get("settings", {}))
        members = tuple(
            _parse_member(row, str(ids.get(str(row.get("_id")), ""))) for row in given["members"]
        )
        config = cls(
            given["_id"], version, given.get("term", -1), set_id, members, settings,
            given.get("configsvr", False),
        )
        config._check()
        return config

    def _check(self) -> None:
        """Check what holds between the rows."""
        count = len(self.members)
        if not 1 <= count <= MEMBERS_MAX:
            raise _bad(
                f"Replica set configuration contains {count} members, but must have at least 1 and "
                f"no more than  {MEMBERS_MAX}"
            )
        self._check_unique()
        votes = sum(member.votes for member in self.members)
        if votes > VOTERS_MAX:
            raise _bad(
                f"Replica set configuration contains {votes} voting members, but must be at least "
                f"1 and no more than {VOTERS_MAX}"
            )
        if not votes:
            raise _bad("Replica set configuration must contain at least 1 voting member")
        if not any(member.priority > 0 for member in self.members):
            raise _bad(
                "Replica set configuration must contain at least one non-arbiter member with "
                "priority > 0"
            )
        self._check_modes()

    def _check_unique(self) -> None:
        for place, member in enumerate(self.members):
            for other_place in range(place):
                other = self.members[other_place]
                if member.id == other.id:
                    raise _bad(
                        f"Found two member configurations with same _id field, members."
                        f"{other_place}._id == members.{place}._id == {member.id}"
                    )
                if member.host == other.host:
                    raise _bad(
                        f"Found two member configurations with same host field, members."
                        f"{other_place}.host == members.{place}.host == {member.host}"
                    )
        local = [member.host for member in self.members if _is_local(member.host)]
        if local and len(local) != len(self.members):
            raise _bad(
                "Either all host names in a replica set configuration must be localhost "
                f"references, or none must be; found {len(local)} out of {len(self.members)}"
            )

    def _check_modes(self) -> None:
        for mode, constraints in self.settings["getLastErrorModes"].items():
            if mode in ("majority", "$majority") or mode.startswith("$"):
                raise _bad(f"Write concern mode '{mode}' is reserved")
            rows = CHECKS["object"](constraints, f"settings.getLastErrorModes.{mode}")
            for tag, least in rows.items():
                if not is_number(least) or int(least) <= 0:
                    raise _bad(
                        f"Value of settings.getLastErrorModes.{mode}.{tag} must be positive, but "
                        f"found {least}"
                    )
                values = {member.tags[tag] for member in self.members if tag in member.tags}
                if not values:
                    raise MongoError(
                        Code.NO_SUCH_KEY, f"Replica set configuration has no tag '{tag}'"
                    )

    # -- writing ---------------------------------------------------------------------------------

    def document(self, *, internal: bool = False) -> Document:
        """Return the whole document, as clients see it or as the log keeps it."""
        settings: Document = {
            name: dict(value) if type(value) is dict else value
            for name, value in self.settings.items()
        }
        if self.set_id is not None:
            settings["replicaSetId"] = self.set_id
        document: Document = {
            "_id": self.name, "version": self.version, "term": Int64(self.term),
            "members": [member.document(internal=internal) for member in self.members],
        }
        if self.configsvr:
            document["configsvr"] = True
        document |= {
            "protocolVersion": Int64(1), "writeConcernMajorityJournalDefault": True,
            "settings": settings,
        }
        if internal:
            document[MEMBER_IDS] = {
                str(member.id): member.member_id for member in self.members if member.member_id
            }
        return document

    # -- asking ----------------------------------------------------------------------------------

    @property
    def voters(self) -> list[MemberConfig]:
        """Members whose vote counts."""
        return [member for member in self.members if member.is_voter]

    @property
    def majority(self) -> int:
        """How many voters are a majority."""
        return len(self.voters) // 2 + 1

    def by_member_id(self, member_id: str) -> MemberConfig | None:
        """Find a row by the id of a dbpath."""
        for member in self.members:
            if member.member_id == member_id:
                return member
        return None

    def by_host(self, host: str) -> MemberConfig | None:
        """Find a row by address."""
        for member in self.members:
            if member.host == host:
                return member
        return None


def _parse_member(row: Document, member_id: str) -> MemberConfig:
    given = _MEMBER_FIELDS.parse(row)
    _refuse_unsupported(given)
    identifier, host = given["_id"], given["host"]
    if not 0 <= identifier <= 255:
        raise _bad(f"BSON field '_id' value must be >= 0 and <= 255, actual value '{identifier}'")
    name, _, port = host.rpartition(":")
    if not name:
        host, name, port = f"{host}:27017", host, "27017"
    if not name or not port.isdigit() or not 0 < int(port) < 65536:
        raise _bad(f"Invalid host in replica set configuration: {given['host']}")
    votes = int(given.get("votes", 1))
    if votes not in (0, 1):
        raise _bad(f"votes field value is {votes} but must be 0 or 1")
    priority = float(given.get("priority", 1))
    if not 0 <= priority <= PRIORITY_MAX:
        raise _bad(f"Member priority must be between 0 and {PRIORITY_MAX}, found {_tidy(priority)}")
    hidden = given.get("hidden", False)
    if priority and hidden:
        raise _bad("priority must be 0 when hidden=true")
    if priority and not votes:
        raise _bad(f"priority must be 0 when non-voting (votes:0), found {_tidy(priority)}")
    tags = given.get("tags", {})
    for tag, value in tags.items():
        CHECKS["string"](value, f"tags.{tag}")
    return MemberConfig(
        identifier, host, hidden, priority, dict(tags), votes,
        given.get("newlyAdded", False), member_id,
    )


def _refuse_unsupported(given: Document) -> None:
    if given.get("arbiterOnly"):
        raise _bad("arbiters are not supported by PSDB: every member holds the data")
    if given.get("secondaryDelaySecs") or given.get("slaveDelay"):
        raise _bad("delayed members (secondaryDelaySecs) are not supported by PSDB")
    if given.get("buildIndexes", True) is False:
        raise _bad("buildIndexes: false is not supported by PSDB")


def _parse_settings(document: Document) -> tuple[Document, ObjectId | None]:
    given = _SETTINGS_FIELDS.parse(document)
    set_id = given.pop("replicaSetId", None)
    if set_id is not None and type(set_id) is not ObjectId:
        raise _bad("replicaSetId field value of settings must be an ObjectId")
    for name in ("heartbeatIntervalMillis", "heartbeatTimeoutSecs", "electionTimeoutMillis"):
        if given.get(name, 1) <= 0:
            raise _bad(f"BSON field '{name}' value must be > 0, actual value '{given[name]}'")
    if not given.get("chainingAllowed", True):
        given["chainingAllowed"] = False  # members replicate from the primary in any case
    defaults = given.get("getLastErrorDefaults")
    if defaults is not None and dict(defaults) != {"w": 1, "wtimeout": 0}:
        raise _bad(
            "Default write concerns set with settings.getLastErrorDefaults are no longer "
            "supported. Use the setDefaultRWConcern command instead."
        )
    settings = {**_SETTINGS_DEFAULTS, **given}
    return settings, set_id


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    return name in ("localhost", "::1") or name.startswith("127.")


def _bad(message: str) -> MongoError:
    return MongoError(Code.BAD_VALUE, message)
