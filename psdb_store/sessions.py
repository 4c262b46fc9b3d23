"""What retryable writes leave behind: per session the last number and its statements' results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from psdb_base.bson_codec import encode
from psdb_base.extjson import document_line, from_json
from psdb_base.values import Document

_LINES: Final[dict[bytes, bytes]] = {}
_LINES_MAX: Final = 256
_LINE_RESULT_BYTES_MAX: Final = 64


class SessionRecord:
    """A session's last transaction number and the results of its statements. Immutable.

    A command of many entries makes a chain of records, each with its entry's statements; they
    are merged when somebody asks for them, which only a retry and a checkpoint do.

    Attributes:
        txn_number: The highest `txnNumber` seen.
        last_use: Wall time of the last entry, milliseconds since 1970.
        own: Statements of this record's entry.
        earlier: The record of the number's earlier entries that is not merged yet.

    """

    __slots__ = ("earlier", "last_use", "own", "txn_number")

    def __init__(
        self,
        txn_number: int,
        statements: dict[int, Document],
        last_use: int,
        earlier: SessionRecord | None = None,
    ) -> None:
        self.txn_number = txn_number
        self.last_use = last_use
        self.own = statements
        self.earlier = earlier

    @property
    def statements(self) -> dict[int, Document]:
        """Result by statement id."""
        if self.earlier is not None:
            parts: list[dict[int, Document]] = []
            record: SessionRecord | None = self
            while record is not None:
                parts.append(record.own)
                record = record.earlier
            merged: dict[int, Document] = {}
            for part in reversed(parts):
                merged |= part
            self.own, self.earlier = merged, None
        return self.own

    def following(
        self, txn_number: int, statements: dict[int, Document], last_use: int
    ) -> SessionRecord:
        """Return the record after one more entry of the session."""
        earlier = self if txn_number == self.txn_number else None
        return SessionRecord(txn_number, statements, last_use, earlier)


class SessionTable:
    """Session records by the session id's bytes."""

    def __init__(self) -> None:
        self._records: dict[bytes, SessionRecord] = {}

    def get(self, lsid: bytes) -> SessionRecord | None:
        """Return a session's record, None when it wrote nothing retryable."""
        return self._records.get(lsid)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._records)

    def snapshot(self) -> dict[bytes, SessionRecord]:
        """Return a copy of the table (the records are immutable)."""
        return dict(self._records)

    def note(
        self, lsid: bytes, txn_number: int, statements: dict[int, Document], wall_ms: int
    ) -> SessionRecord | None:
        """Add an entry's statements; return the record as it was before."""
        before = self._records.get(lsid)
        if before is None:
            self._records[lsid] = SessionRecord(txn_number, statements, wall_ms)
        else:
            self._records[lsid] = before.following(txn_number, statements, wall_ms)
        return before

    def put(self, lsid: bytes, record: SessionRecord | None) -> None:
        """Set a session's record as it was before an undone entry, or as the manifest has it."""
        if record is None:
            self._records.pop(lsid, None)
        else:
            self._records[lsid] = record

    def idle_since(self, wall_ms: int) -> list[bytes]:
        """Return the sessions whose last entry is older than this wall time."""
        return [lsid for lsid, record in self._records.items() if record.last_use < wall_ms]


def pack_statements(statements: dict[int, Document]) -> list[tuple[int, int, bytes, Document]]:
    """Join runs of neighbouring statements with the same result: (first, last, raw, result)."""
    runs: list[tuple[int, int, bytes, Document]] = []
    for number, result in statements.items():
        raw = encode(result)
        if runs:
            first, last, same, shared = runs[-1]
            if number == last + 1 and same == raw:
                runs[-1] = (first, number, same, shared)
                continue
        runs.append((number, number, raw, result))
    return runs


def statements_json(statements: dict[int, Document]) -> bytes:
    """Write results by statement id as a JSON list of `[first, last, result]`."""
    runs = [
        b"[%d,%d,%b]" % (first, last, _result_line(raw, result))
        for first, last, raw, result in pack_statements(statements)
    ]
    return b"[%b]" % b",".join(runs)


def _result_line(raw: bytes, result: Document) -> bytes:
    """Write one result; those of most statements are the same few."""
    line = _LINES.get(raw)
    if line is None:
        line = document_line(raw, result)
        if len(raw) <= _LINE_RESULT_BYTES_MAX and len(_LINES) < _LINES_MAX:
            _LINES[raw] = line
    return line


def read_statements(runs: list[Any]) -> dict[int, Document]:
    """Turn parsed `[first, last, result]` runs back into results by statement id."""
    statements: dict[int, Document] = {}
    for first, last, value in runs:
        result = from_json(value)
        for number in range(first, last + 1):
            statements[number] = result
    return statements
