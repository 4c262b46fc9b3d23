"""Journal segments: their names, header lines, local lines, and the scan that verifies them.

A segment `journal/<first index, 16 digits>.jsonl` holds, a line each:

- the header, first: `{"c":…,"psdb":"journal","format":1,"first":…,"previousIndex":…,
  "previousTerm":…,"previousHash":…,"previousSegment":…,"wall":…}`;
- entries: `{"c":…,"index":…,…,"previous":"<hash of the entry before>"}`, see `entry`;
- local lines, outside the hash chain: `{"c":…,"local":{"durable":…,"commit":…}}`.

The scan decides between two kinds of a bad line. If anything sound says that the index expected
there was durable (the manifest, a later local line, a later header), the file was damaged and
is refused with file and line. Otherwise a crash tore the tail, and the log is cut there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from psdb_store.failures import StorageDamagedError, newer_format
from psdb_store.lines import HASH_ZERO, PREFIX_BYTES, is_sound, line_hash, seal

FORMAT: Final = 1
NAME: Final = re.compile(r"\d{16}\.jsonl")

_ENTRY: Final = b'"index":'
_LOCAL: Final = b'"local":'
_HEADER: Final = b'"psdb":"journal",'
_LOCAL_SHAPE: Final = re.compile(
    rb'\{"c":"[0-9a-f]{8}","local":\{"durable":(\d+),"commit":\d+\}\}\n'
)
_INDEX_AT: Final = PREFIX_BYTES + len(_ENTRY)
_PREVIOUS_BYTES: Final = len(f'"previous":"{HASH_ZERO}"}}')
_MARK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: an entry's index, its term, the hash of its line."""

    index: int
    term: int
    hash: str


START: Final = Position(0, 0, HASH_ZERO)
"""Before the first entry."""


@dataclass(slots=True)
class Segment:
    """One file of the journal.

    Attributes:
        name: File name.
        before: Position of the last entry before this segment.
        wall_ms: Wall time of its creation.
        size: Bytes, header included.
        marks: Some (index, offset) pairs, ascending, where reading may begin.

    """

    name: str
    before: Position
    previous: str | None
    wall_ms: int
    size: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)

    def mark(self, index: int, offset: int) -> None:
        """Note where an entry's line begins, if the last mark is far enough away."""
        if not self.marks or offset - self.marks[-1][1] >= _MARK_BYTES:
            self.marks.append((index, offset))

    def offset_before(self, index: int) -> int:
        """Return an offset at or before the entry's line where a line begins."""
        found = 0
        for marked, offset in self.marks:
            if marked > index:
                break
            found = offset
        return found


def segment_name(first_index: int) -> str:
    """File name of the segment that begins with this entry."""
    return f"{first_index:016d}.jsonl"


def header_line(segment: Segment) -> bytes:
    """Make a segment's first line."""
    header = {
        "psdb": "journal",
        "format": FORMAT,
        "first": segment.before.index + 1,
        "previousIndex": segment.before.index,
        "previousTerm": segment.before.term,
        "previousHash": segment.before.hash,
        "previousSegment": segment.previous,
        "wall": segment.wall_ms,
    }
    return seal(orjson.dumps(header)[1:])


def local_line(durable: int, commit: int) -> bytes:
    """Make the line that says how much of the log is known to be durable and committed."""
    return seal(b'"local":{"durable":%d,"commit":%d}}' % (durable, commit))


def parse_header(path: str, line: bytes) -> Segment | None:
    """Read a header line (without newline); None when it is damaged or none."""
    if not is_sound(line) or not line.startswith(_HEADER, PREFIX_BYTES):
        return None
    header: dict[str, Any] = orjson.loads(line)
    if header["format"] != FORMAT:
        raise newer_format(path, header["format"], FORMAT)
    before = Position(header["previousIndex"], header["previousTerm"], header["previousHash"])
    name = segment_name(before.index + 1)
    return Segment(name, before, header["previousSegment"], header["wall"])


def entry_index(line: bytes) -> int:
    """Return the index that an entry's line carries; 0 for any other line."""
    if not line.startswith(_ENTRY, PREFIX_BYTES):
        return 0
    return int(line[_INDEX_AT : line.index(b",", _INDEX_AT)])


def entry_term(line: bytes) -> int:
    """Return the term in an entry's line."""
    start = line.index(b'"term":', _INDEX_AT) + 7
    return int(line[start : line.index(b",", start)])


def entry_commit(line: bytes) -> int:
    """Return the leader's commit index in an entry's line."""
    start = line.index(b'"commit":', _INDEX_AT) + 9
    return int(line[start : line.index(b",", start)])


def is_membership(line: bytes) -> bool:
    """Tell whether an entry's line holds a configuration of the replica set."""
    return _is_of(line, b'"config"')


def is_catalogue(line: bytes) -> bool:
    """Tell whether an entry's line holds catalogue changes."""
    return _is_of(line, b'"catalogue"')


def _is_of(line: bytes, kind: bytes) -> bool:
    # Only numbers stand before the kind, so the first such text is the field itself.
    return line.startswith(kind, line.index(b'"kind":', _INDEX_AT) + 7)


def entry_previous(line: bytes) -> str:
    """Return the hash of the line before, as an entry's line gives it."""
    return line[-_PREVIOUS_BYTES + 12 : -2].decode("latin-1")


def durable_evidence(data: bytes) -> int:
    """Return the highest index that a sound line in `data` says was durable; 0 when none does.

    Local lines are looked for by their shape, not at line starts only: the newline before one may
    be what is damaged. Nothing within an entry looks like one, since no entry ends that way.
    """
    evidence = 0
    for found in _LOCAL_SHAPE.finditer(data):
        if is_sound(found[0][:-1]):
            evidence = max(evidence, int(found[1]))
    header = data.partition(b"\n")[0]
    if header.startswith(_HEADER, PREFIX_BYTES) and is_sound(header):
        evidence = max(evidence, int(orjson.loads(header)["previousIndex"]))
    return evidence


@dataclass(slots=True)
class Scan:
    """The state of a scan over the segments' lines, in order.

    Attributes:
        end: Position of the last good entry.
        commit: Highest commit index seen in sound lines.
        keep_after: Lines of entries above this index are kept in `lines`.
        lines: The kept lines, without newline.
        bad: Path, line number from 1, offset and reason of the first bad line; None if none.

    """

    end: Position
    keep_after: int
    commit: int = 0
    lines: list[bytes] = field(default_factory=list)
    bad: tuple[str, int, int, str] | None = None

    def segment(self, path: str, segment: Segment, data: bytes) -> None:
        """Verify a whole segment whose header was read; stop at the first bad line."""
        lines = data.split(b"\n")
        offset = len(lines[0]) + 1
        complete = len(lines) - 1
        for number in range(1, complete):
            line = lines[number]
            reason = self._line(line, segment, offset)
            if reason:
                self.bad = (path, number + 1, offset, reason)
                segment.size = offset
                return
            offset += len(line) + 1
        segment.size = offset
        if lines[complete]:
            self.bad = (path, complete + 1, offset, "the last line is incomplete")

    def _line(self, line: bytes, segment: Segment, offset: int) -> str:
        if not is_sound(line):
            return "the line is damaged (checksum)"
        if line.startswith(_LOCAL, PREFIX_BYTES):
            self.commit = max(self.commit, orjson.loads(line)["local"]["commit"])
            return ""
        index = entry_index(line)
        if index != self.end.index + 1:
            return f"expected entry {self.end.index + 1}, found {index or 'none'}"
        if entry_previous(line) != self.end.hash:
            return f"entry {index} does not continue the hash chain"
        self.end = Position(index, entry_term(line), line_hash(line))
        segment.mark(index, offset)
        if index > self.keep_after:
            self.commit = max(self.commit, entry_commit(line))
            self.lines.append(line)
        return ""


def refuse_or_cut(scan: Scan, rest: list[bytes], known_durable: int) -> None:
    """Raise when the scan's bad line lies at or before an index known to be durable.

    Args:
        scan: A scan that found a bad line.
        rest: What follows it: the remaining bytes of its segment, and all later segments.
        known_durable: Index of the manifest.

    """
    assert scan.bad is not None
    path, number, _, reason = scan.bad
    evidence = known_durable
    for data in rest:
        evidence = max(evidence, durable_evidence(data))
    if evidence > scan.end.index:
        raise StorageDamagedError(
            path, number, f"{reason}; the log is known to be durable up to entry {evidence}"
        )
