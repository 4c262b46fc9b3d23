"""What retryable writes leave behind: per session the last number and its statements' results."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from psdb_base.bson_codec import decode, encode
from psdb_base.extjson import document_line, from_json
from psdb_base.values import Document

_LINES: Final[dict[bytes, bytes]] = {}
_LINES_MAX: Final = 256
_LINE_RESULT_BYTES_MAX: Final = 64


Run: TypeAlias = tuple[int, int, bytes]
"""The first and last of neighbouring statements with the same result, and that result as BSON."""


class SessionRecord:
    """A session's last transaction number and the results of its statements. Immutable.

    A command of many entries makes a chain of records, each with its entry's statements; they
    are joined when somebody asks for them, which only a retry, a checkpoint and a migration do.

    Attributes:
        txn_number: The highest `txnNumber` seen.
        last_use: Wall time of the last entry, milliseconds since 1970.
        own: Statements of this record's entry.
        earlier: The record of the number's earlier entries that is not joined yet.

    """

    __slots__ = ("earlier", "last_use", "own", "txn_number")

    def __init__(
        self, txn_number: int, runs: list[Run], last_use: int, earlier: SessionRecord | None = None
    ) -> None:
        self.txn_number = txn_number
        self.last_use = last_use
        self.own = runs
        self.earlier = earlier

    @property
    def runs(self) -> list[Run]:
        """The statements' results, those of later entries behind the others."""
        if self.earlier is not None:
            parts: list[list[Run]] = []
            record: SessionRecord | None = self
            while record is not None:
                parts.append(record.own)
                record = record.earlier
            joined: list[Run] = []
            for part in reversed(parts):
                for run in part:
                    add_run(joined, run)
            self.own, self.earlier = joined, None
        return self.own

    @property
    def statements(self) -> dict[int, Document]:
        """Result by statement id, made anew each time."""
        return unpack_runs(self.runs)

    def following(self, txn_number: int, runs: list[Run], last_use: int) -> SessionRecord:
        """Return the record after one more entry of the session."""
        earlier = self if txn_number == self.txn_number else None
        return SessionRecord(txn_number, runs, last_use, earlier)


class SessionTable:
    """Session records by the session id's bytes."""

    def __init__(self) -> None:
        self._records: dict[bytes, SessionRecord] = {}
        self._unsaved: dict[bytes, None] = {}

    def get(self, lsid: bytes) -> SessionRecord | None:
        """Return a session's record, None when it wrote nothing retryable."""
        return self._records.get(lsid)

    def __len__(self) -> int:
        return len(self._records)

    def snapshot(self) -> dict[bytes, SessionRecord]:
        """Return a copy of the table (the records are immutable)."""
        return dict(self._records)

    def take_unsaved(self) -> list[bytes]:
        """Return the sessions that changed since the last call; the caller saves them."""
        unsaved, self._unsaved = self._unsaved, {}
        return list(unsaved)

    def give_back(self, lsids: list[bytes]) -> None:
        """Note that sessions were not saved after all."""
        self._unsaved = dict.fromkeys(lsids) | self._unsaved

    def note(
        self, lsid: bytes, txn_number: int, runs: list[Run], wall_ms: int
    ) -> SessionRecord | None:
        """Add an entry's statements; return the record as it was before."""
        before = self._records.get(lsid)
        self._unsaved[lsid] = None
        if before is None:
            self._records[lsid] = SessionRecord(txn_number, runs, wall_ms)
        else:
            self._records[lsid] = before.following(txn_number, runs, wall_ms)
        return before

    def put(self, lsid: bytes, record: SessionRecord | None) -> None:
        """Set a session's record as it was before an undone entry; None takes it away."""
        self._unsaved[lsid] = None
        if record is None:
            self._records.pop(lsid, None)
        else:
            self._records[lsid] = record

    def load(self, records: dict[bytes, SessionRecord]) -> None:
        """Begin with what a checkpoint saved."""
        self._records = records

    def idle_since(self, wall_ms: int) -> list[bytes]:
        """Return the sessions whose last entry is older than this wall time."""
        return [lsid for lsid, record in self._records.items() if record.last_use < wall_ms]


def add_run(runs: list[Run], run: Run) -> None:
    """Put a run at the end, joined with the last one where it goes on with the same result."""
    if runs:
        first, last, result = runs[-1]
        if run[0] == last + 1 and run[2] == result:
            runs[-1] = (first, run[1], result)
            return
    runs.append(run)


def pack_statements(statements: dict[int, Document]) -> list[Run]:
    """Join results by statement id into runs."""
    runs: list[Run] = []
    for number, result in statements.items():
        add_run(runs, (number, number, encode(result)))
    return runs


def unpack_runs(runs: list[Run]) -> dict[int, Document]:
    """Return results by statement id; those of one run are one object."""
    statements: dict[int, Document] = {}
    for first, last, raw in runs:
        statements.update(dict.fromkeys(range(first, last + 1), decode(raw)))
    return statements


def runs_json(runs: list[Run]) -> bytes:
    """Write runs as a JSON list of `[first, last, result]`."""
    return b"[%b]" % b",".join(
        [b"[%d,%d,%b]" % (first, last, _result_line(raw)) for first, last, raw in runs]
    )


def _result_line(raw: bytes) -> bytes:
    """Write one result; those of most statements are the same few."""
    line = _LINES.get(raw)
    if line is None:
        line = document_line(raw, decode(raw))
        if len(raw) <= _LINE_RESULT_BYTES_MAX and len(_LINES) < _LINES_MAX:
            _LINES[raw] = line
    return line


def read_runs(parsed: list[Any]) -> list[Run]:
    """Turn parsed `[first, last, result]` lists back into runs."""
    return [(first, last, encode(from_json(value))) for first, last, value in parsed]
