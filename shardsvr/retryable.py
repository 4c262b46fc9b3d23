"""Retryable writes: a statement of a session has its effect once.

A client that saw no answer sends the same `lsid`, `txnNumber` and statement again. The log entry
that holds a statement's effects holds its result too, so the answer to a retry is read from
the session's record and nothing is executed (drivers' "Retryable Writes" specification).
"""

from __future__ import annotations

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Request
from psdb_store.engine import WriteUnit
from shardsvr.collections import member_of


class Retry:
    """The session of one write command; inactive when the command carries no txnNumber."""

    __slots__ = ("_fresh", "_history", "_numbers", "_request", "lsid", "txn_number")

    def __init__(self, request: Request) -> None:
        generic = request.generic
        self.lsid = generic.lsid
        self.txn_number = generic.txn_number
        self._numbers = generic.stmt_ids
        self._request = request
        self._fresh = False
        self._history: dict[int, Document] = {}
        if self.txn_number is None or self.lsid is None:
            return
        record = member_of(request).engine.sessions.get(self.lsid)
        if record is None:
            return
        if self.txn_number < record.txn_number:
            raise MongoError(
                Code.TRANSACTION_TOO_OLD,
                f"Retryable write with txnNumber {self.txn_number} is prohibited on session "
                f"{Binary(self.lsid, 4).as_uuid()} because a newer retryable write with txnNumber "
                f"{record.txn_number} has already started on this session.",
            )
        if self.txn_number == record.txn_number:
            self._history = record.statements

    @property
    def active(self) -> bool:
        """True when the command is a retryable write."""
        return self.txn_number is not None

    def number(self, index: int) -> int:
        """Return the statement id of the statement at `index`."""
        if self._numbers is not None:
            if index >= len(self._numbers):
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    "Number of statement ids must match the number of batch entries",
                )
            return self._numbers[index]
        return index

    def result(self, index: int) -> Document | None:
        """Return the first answer of a statement that was executed already."""
        if self.txn_number is None:
            return None
        return self._history.get(self.number(index))

    def record(self, unit: WriteUnit, index: int, result: Document) -> None:
        """Put a statement's result into the entry that holds its effects."""
        if self.txn_number is not None:
            unit.statement(self.number(index), result)
            self._fresh = True

    def commit(self, unit: WriteUnit) -> int:
        """Append the unit's entry, with the session when there is one."""
        if self.txn_number is not None:
            points = self._request.node.fail_points
            if points.active and self._fresh:
                shown = f"{Binary(self.lsid or b'', 4).hex()}:{self.txn_number}"
                points.on_transactional_write(self._request.connection, shown)
            return unit.commit(lsid=self.lsid, txn_number=self.txn_number)
        return unit.commit()
