"""What a command is: a row of a table with declared properties.

The dispatcher, the router and `listCommands` read these properties and never a name.
A handler takes a `Request` and returns a `Reply`: a document, or a `RawReply` whose elements
are BSON already. The node adds `ok`, `$clusterTime` and `operationTime`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psdb_base.values import Document
from psdb_server.fields import Field, FieldSet

if TYPE_CHECKING:
    from psdb_server.generic import Generic
    from psdb_server.node import Node
    from psdb_server.operations import Operation
    from psdb_wire.connection import Connection
    from psdb_wire.frames import Message


@dataclass(slots=True)
class RawReply:
    """A reply whose body is given as encoded BSON elements, without `ok`."""

    elements: bytes


@dataclass(slots=True)
class StreamReply:
    """Replies of one exhaust command, each a document (streaming `hello`)."""

    documents: AsyncIterator[Document]


Reply: TypeAlias = Document | RawReply | StreamReply


@dataclass(slots=True)
class Request:
    """One command on its way: parsed fields, generic arguments, the operation that runs it.

    `args` holds the command's checked fields; `target` is the value of the first field
    (the collection's name for most commands); `sequences` are the raw documents of kind-1
    sections by name.
    """

    node: Node
    command: Command
    name: str
    db: str
    target: Any
    args: Document
    generic: Generic
    body: Document
    sequences: dict[str, list[bytes]]
    message: Message
    connection: Connection
    op: Operation


Handler: TypeAlias = Callable[[Any], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the command table.

    Attributes:
        name: As clients send it.
        run: The handler; None for a command that MongoDB has and PSDB has not yet.
        fields: Fields beside the generic arguments, in the manual's order.
        target: Kind of the first field: `string` for a collection name, else a row of `CHECKS`.
        admin_only: Runs on the admin database only (13 Unauthorized elsewhere).
        writes: Needs the primary and changes data.
        read_concern: Takes a read concern other than local.
        write_concern: Takes a write concern.
        api_v1: Belongs to Stable API version 1.
        secondary_ok: May run on a secondary without the client asking for it.
        retryable: Takes a transaction number outside a transaction.
        strict: Unknown fields are refused (MongoDB's IDL commands); a few are lenient there.
        test_only: There only with `enableTestCommands`.
        quiet: Not shown in the slow-query log.
        passes_lock: `fsync` with lock does not hold it back: `writes` is for its answer's sake,
            which waits for the log; it only reads, or enters the gate itself before it writes.
        help: One line for `listCommands`.

    """

    name: str
    run: Handler | None
    fields: tuple[Field, ...] = ()
    target: str = "any"
    admin_only: bool = False
    writes: bool = False
    read_concern: bool = False
    write_concern: bool = False
    api_v1: bool = False
    secondary_ok: bool = True
    retryable: bool = False
    strict: bool = True
    test_only: bool = False
    quiet: bool = False
    passes_lock: bool = False
    help: str = ""
    field_set: FieldSet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = Field(self.name, self.target)
        field_set = FieldSet(self.name, (first, *self.fields), strict=self.strict)
        object.__setattr__(self, "field_set", field_set)


CommandTable: TypeAlias = dict[str, Command]


def make_table(*groups: tuple[Command, ...]) -> CommandTable:
    """Merge groups of commands into one table sorted by name; a later group overrides."""
    merged = {command.name: command for group in groups for command in group}
    return {name: merged[name] for name in sorted(merged)}


ALIASES: Final[dict[str, str]] = {
    "addshard": "addShard",
    "buildinfo": "buildInfo",
    "collstats": "collStats",
    "datasize": "dataSize",
    "dbhash": "dbHash",
    "dbstats": "dbStats",
    "enablesharding": "enableSharding",
    "findandmodify": "findAndModify",
    "flushrouterconfig": "flushRouterConfig",
    "hostinfo": "hostInfo",
    "ismaster": "isMaster",
    "mapreduce": "mapReduce",
    "movechunk": "moveChunk",
    "moveprimary": "movePrimary",
    "removeshard": "removeShard",
    "shardcollection": "shardCollection",
}
"""Other spellings that drivers and shells send."""


def in_own_spelling(name: str, body: Document) -> Document:
    """Return a command's body with its name as the table spells it."""
    own = ALIASES.get(name, name)
    if own == name:
        return body
    return {own if key == name else key: value for key, value in body.items()}
