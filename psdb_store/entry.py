"""Log entries: what a journal line says, how it is made and how it is read.

The fields of a line, in this order, after the checksum (see `lines` and `segments`):

| field | meaning |
|---|---|
| `index`, `term` | place in the log; the leader's term |
| `time` | cluster time, `{"$timestamp":{"t","i"}}`, strictly ascending |
| `wall` | the leader's wall clock, ms since 1970 |
| `commit` | the leader's commit index when it made the line |
| `kind` | `noop`, `config`, `write`, `catalogue` (later `prepare`, `commit`, `abort`, `partial`) |
| `effects` | list, below |
| `lsid`, `txnNumber`, `statements` | of a retryable write: hex, number, `[first, last, result]`s |
| `previous` | hash of the entry line before |

An effect has `op`, `ns` (`db.collection`), `ui` (the collection's uuid, hex) and

- `op` `i`: `rid` (record number), `o` (the document);
- `op` `u`: `rid` and either `o` (the whole new document) or `k` (`{"_id"}`) and `diff`;
- `op` `d`: `rid`, `k`;
- `op` `c`: `o`, a catalogue change, see `catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from bson.timestamp import Timestamp

from psdb_base.extjson import from_json, raw_from_line
from psdb_base.values import Document
from psdb_store.sessions import Run, read_runs, runs_json, unpack_runs

KINDS: Final = (
    "abort", "catalogue", "commit", "config", "noop", "partial", "prepare", "write",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Effect:
    """One change to one record, or one catalogue change.

    Attributes:
        op: `i`, `u`, `d` or `c`.
        ns: Namespace.
        uuid: The collection's uuid, sixteen bytes.
        body: The effect as parsed JSON.

    """

    op: str
    ns: str
    uuid: bytes
    body: dict[str, Any]

    @property
    def rid(self) -> int:
        """Number of the record; 0 for a catalogue change."""
        return int(self.body.get("rid", 0))

    @property
    def raw(self) -> bytes | None:
        """BSON of the whole document (or catalogue change), None where only a diff is known."""
        return raw_from_line(self.body["o"]) if "o" in self.body else None

    @property
    def document(self) -> Document | None:
        """The whole document (or catalogue change), None where only a diff is known."""
        return from_json(self.body["o"]) if "o" in self.body else None

    @property
    def diff(self) -> Document | None:
        """What changed, for `psdb_base.diff.apply`; None where the whole document is given."""
        return from_json(self.body["diff"]) if "diff" in self.body else None

    @property
    def document_key(self) -> Document:
        """`{_id: …}` of the record, empty for a catalogue change."""
        if "k" in self.body:
            return from_json(self.body["k"])
        if self.op == "c":
            return {}
        whole = from_json(self.body["o"])
        return {"_id": whole["_id"]} if "_id" in whole else {}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log, read back.

    Attributes:
        line: The line's bytes, without newline.
        body: The line as parsed JSON.

    """

    line: bytes
    body: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, line: bytes) -> LogEntry:
        """Read a verified line."""
        return cls(line, orjson.loads(line))

    @property
    def index(self) -> int:
        """Place in the log."""
        return int(self.body["index"])

    @property
    def term(self) -> int:
        """Term of the leader that made it."""
        return int(self.body["term"])

    @property
    def time(self) -> Timestamp:
        """Cluster time."""
        stamp = self.body["time"]["$timestamp"]
        return Timestamp(stamp["t"], stamp["i"])

    @property
    def wall(self) -> int:
        """Wall time at the leader, milliseconds since 1970."""
        return int(self.body["wall"])

    @property
    def commit(self) -> int:
        """The leader's commit index when it made the line."""
        return int(self.body["commit"])

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return str(self.body["kind"])

    @property
    def effects(self) -> list[Effect]:
        """What it changed, in order."""
        return [
            Effect(body["op"], body["ns"], bytes.fromhex(body["ui"]), body)
            for body in self.body["effects"]
        ]

    @property
    def lsid(self) -> bytes | None:
        """Session id of a retryable write."""
        lsid = self.body.get("lsid")
        return None if lsid is None else bytes.fromhex(lsid)

    @property
    def txn_number(self) -> int | None:
        """Transaction number of a retryable write."""
        return self.body.get("txnNumber")

    @property
    def runs(self) -> list[Run]:
        """Results of statements."""
        return read_runs(self.body.get("statements", []))

    @property
    def statements(self) -> dict[int, Document]:
        """Results by statement id."""
        return unpack_runs(self.runs)


def membership_in(line: bytes) -> tuple[int, Document]:
    """Return index and configuration of an entry that holds one (`is_membership`)."""
    entry = LogEntry.parse(line)
    change = entry.effects[0].document
    assert change is not None
    return entry.index, change["membership"]


@dataclass(frozen=True, slots=True)
class SessionPart:
    """The part of an entry that makes a write retryable."""

    lsid: bytes
    txn_number: int
    runs: list[Run]


def entry_fields(
    index: int,
    term: int,
    time: Timestamp,
    wall_ms: int,
    commit: int,
    kind: str,
    effects: list[bytes],
    session: SessionPart | None,
) -> bytes:
    """Write an entry's fields up to `previous`, which the journal adds."""
    head = (
        b'"index":%d,"term":%d,"time":{"$timestamp":{"t":%d,"i":%d}},"wall":%d,"commit":%d,'
        b'"kind":"%b","effects":[%b]'
        % (
            index, term, time.time, time.inc, wall_ms, commit,
            kind.encode(), b",".join(effects),
        )
    )  # fmt: skip
    if session is None:
        return head
    return b'%b,"lsid":"%b","txnNumber":%d,"statements":%b' % (
        head,
        session.lsid.hex().encode(),
        session.txn_number,
        runs_json(session.runs),
    )
