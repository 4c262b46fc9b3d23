"""`validate`: whether a collection's records, indexes and validator agree.

Writers are not held up: every record and every index entry is judged within one turn of the
loop, against the state of that moment, so what changes in between disturbs nothing.
"""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_store.care import verify_files
from psdb_store.collection import Collection, Index
from psdb_store.record import Record
from shardsvr.collections import existing_collection, member_of
from shardsvr.commands.rebuild import rebuild_indexes

_ERRORS_MAX: Final = 20
"""Errors of one kind that are told in full."""


def _check_options(args: Document) -> None:
    for name in ("full", "repair"):
        if args.get("background") and args.get(name):
            raise MongoError(
                Code.COMMAND_NOT_SUPPORTED,
                "Running the validate command with both { background: true } and "
                f"{{ {name}: true }} is not supported",
            )
    others = [name for name in ("background", "full", "repair") if args.get(name)]
    if args.get("metadata") and others:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Running the validate command with { metadata: true } is not supported with any "
            "other options",
        )
    if args.get("checkBSONConformance") and args.get("repair"):
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Running the validate command with both { checkBSONConformance: true } and "
            "{ repair: true } is not supported",
        )


def conforms(raw: bytes) -> bool:
    """Tell whether a document keeps BSON's finer rules: unique names, arrays numbered from 0."""
    pending = [(raw, False)]
    while pending:
        document, is_array = pending.pop()
        seen: dict[str, None] = {}
        for at, (name, kind, start, end) in enumerate(bson_codec.iterate(document)):
            if name in seen or (is_array and name != str(at)):
                return False
            seen[name] = None
            if kind in (_OBJECT, _ARRAY):
                pending.append((document[start:end], kind == _ARRAY))
    return True


_OBJECT: Final = 0x03
_ARRAY: Final = 0x04


class Validation:
    """One run over a collection."""

    def __init__(self, request: Request, collection: Collection) -> None:
        self._op = request.op
        self._member = member_of(request)
        self._env = self._member.env()
        self.collection = collection
        self.indexes = dict(collection.indexes)
        self.problems: dict[str, list[str]] = {name: [] for name in self.indexes}
        self._keys = dict.fromkeys(self.indexes, 0)
        self.extra: list[Document] = []
        self.missing: list[Document] = []
        self.records = self.unreadable = self.unfit = self.nonconformant = 0
        self.damage: list[str] = []
        self.repaired = False
        self._conformance = bool(request.args.get("checkBSONConformance"))

    async def run(self) -> None:
        """Look at every record, then at every entry."""
        collection = self.collection
        began = self._member.engine.log_end
        after: int | None = None
        while batch := collection.scan(after, YIELD_DOCUMENTS):
            after = batch[-1].rid
            for record in batch:
                self._record(record)
            await self._turn(len(batch))
        for name, index in self.indexes.items():
            if name == "_id_":
                if index.entry_count != collection.count:
                    self.problems[name].append(
                        f"{index.entry_count} keys for {collection.count} documents"
                    )
                continue
            if self._member.engine.log_end == began and self._keys[name] == index.entry_count:
                continue  # every key was found, and there are no more entries than keys
            last: tuple[bytes, int] | None = None
            while entries := index.scan(b"", b"", after=last, limit=YIELD_DOCUMENTS):
                last = entries[-1]
                for key, rid in entries:
                    self._entry(index, key, rid)
                await self._turn(len(entries))

    async def check_files(self) -> None:
        """Read the collection's file and the journal again: checksums, digest, hash chain."""
        try:
            await verify_files(self._member.engine, self.collection)
        except MongoError as error:
            self.damage.append(error.message)

    def repair(self) -> None:
        """Build the indexes anew where one is wrong."""
        if any(self.problems.values()):
            rebuild_indexes(self.collection)
            self.repaired = True

    async def _turn(self, count: int) -> None:
        await self._op.checkpoint(count)
        if self.collection.dropped:
            raise MongoError(
                Code.NAMESPACE_NOT_FOUND, f"Collection {self.collection.ns} was dropped"
            )

    def _live(self, name: str) -> bool:
        return self.collection.indexes.get(name) is self.indexes[name]

    def _record(self, record: Record) -> None:
        self.records += 1
        try:
            document = bson_codec.decode(record.raw)
        except MongoError:
            self.unreadable += 1
            return
        if self._conformance and not conforms(record.raw):
            self.nonconformant += 1
        validator = self._member.validators.filter_of(self.collection)
        if validator is not None and not validator.matches(document, self._env):
            self.unfit += 1
        for name, index in self.indexes.items():
            if not self._live(name):
                continue
            for key in index.keys_of(document):
                self._keys[name] += 1
                if not index.holds(key, record.rid):
                    self.problems[name].append("a document's key is missing")
                    self.missing.append({"indexName": name, "recordId": Int64(record.rid)})

    def _entry(self, index: Index, key: bytes, rid: int) -> None:
        if not self._live(index.name) or not index.holds(key, rid):
            return
        record = self.collection.get(rid)
        if record is None or key not in index.keys_of(record.document()):
            self.problems[index.name].append("a key belongs to no document")
            self.extra.append({"indexName": index.name, "recordId": Int64(rid)})

    def reply(self) -> Document:
        """Return what was found."""
        collection = self.collection
        errors = [
            f"index {name}: {problem}"
            for name, problems in self.problems.items() for problem in problems[:_ERRORS_MAX]
        ]
        errors += self.damage
        if self.unreadable:
            errors.append(f"{self.unreadable} documents are not valid BSON")
        warnings = []
        if self.unfit:
            warnings.append(
                "Detected one or more documents not compliant with the collection's schema. "
                "Check logs for log id 5363500."
            )
        if self.nonconformant:
            warnings.append(
                "Detected one or more documents in this collection not conformant to BSON "
                "specifications. For more info, see logs with log id 6825900"
            )
        if self.repaired:
            warnings.append("The indexes were built anew.")
        return {
            "ns": collection.ns,
            "uuid": collection.uuid,
            "nInvalidDocuments": Int64(self.unreadable),
            "nNonCompliantDocuments": Int64(self.unfit + self.nonconformant),
            "nrecords": Int64(self.records),
            "nIndexes": len(self.indexes),
            "keysPerIndex": {
                name: Int64(index.entry_count) for name, index in self.indexes.items()
            },
            "indexDetails": {
                name: {"valid": not problems} for name, problems in self.problems.items()
            },
            "valid": not errors or (self.repaired and not self.damage and not self.unreadable),
            "repaired": self.repaired,
            "warnings": warnings,
            "errors": errors,
            "extraIndexEntries": self.extra[:_ERRORS_MAX],
            "missingIndexEntries": self.missing[:_ERRORS_MAX],
            "corruptRecords": [],
        }


async def validate(request: Request) -> Reply:
    """Check that a collection's records, indexes and validator agree."""
    args: dict[str, Any] = request.args
    _check_options(args)
    validation = Validation(request, existing_collection(request))
    if not args.get("metadata"):
        await validation.run()
    if args.get("full"):
        await validation.check_files()
    if args.get("repair"):
        validation.repair()
    return validation.reply()


COMMANDS = (
    Command(
        "validate", validate,
        (
            Field("full", "safe bool"),
            Field("repair", "safe bool"),
            Field("metadata", "safe bool"),
            Field("checkBSONConformance", "safe bool"),
            Field("background", "safe bool"),
            Field("scandata", "safe bool"),
        ),
        help="Check that a collection's records and indexes agree.",
    ),
)
