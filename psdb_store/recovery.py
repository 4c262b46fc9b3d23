"""Opening the journal after whatever happened: verify, cut a torn tail, refuse damage."""

from __future__ import annotations

import asyncio
import posixpath
from dataclasses import dataclass
from typing import Final

from psdb_base.world import Disk, World
from psdb_store.failures import StorageDamagedError
from psdb_store.journal import THREAD, Journal
from psdb_store.options import StoreOptions
from psdb_store.segments import (
    NAME,
    START,
    Position,
    Scan,
    Segment,
    entry_index,
    entry_term,
    header_line,
    parse_header,
    refuse_or_cut,
    segment_name,
)

NEW_SUFFIX: Final = ".new"
"""Ends the name of a segment that an installed snapshot brings; see `snapshot`."""
_HEADER_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found.

    Attributes:
        journal: Ready to append.
        lines: Entry lines above the manifest's index, without newline, verified.
        base: The manifest's position: the first of the lines comes after it.
        commit: Highest commit index seen in the log.
        cut: File and line at which a torn tail was cut, None when there was none.

    """

    journal: Journal
    lines: list[bytes]
    base: Position
    commit: int
    cut: tuple[str, int, str] | None


async def open_journal(
    world: World, folder: str, options: StoreOptions, base: Position
) -> Opened:
    """Recover the journal in `folder`, of which all up to `base` is in the data files.

    Raises StorageDamagedError when something durable is damaged or missing.
    """
    disk = world.disk
    disk.make_dirs(folder)
    finish_install(disk, folder, base)
    # A process that was killed may have left bytes that were not synced: what they say is relied
    # on from here on. All but the newest segment were durable before the next was begun.
    newest = [f"{folder}/{name}" for name in disk.list(folder) if NAME.fullmatch(name)][-1:]

    def refresh() -> None:
        for path in newest:
            disk.refresh(path)

    await disk.submit(THREAD, refresh)
    segments, torn = _read_headers(disk, folder, base)
    if not segments:
        if base.index:
            path = f"{folder}/{torn[0]}" if torn else folder
            raise StorageDamagedError(path, 1 if torn else 0, "the journal's header is missing")
        _remove_torn(disk, folder, torn, base, base)
        torn = []
        first = _first_segment(world, folder)
        segments = [first]
    start = _start_segment(segments, base, folder)
    scan = Scan(segments[start].before, base.index)
    cut = await _scan(disk, folder, segments, start, scan, base, torn)
    _check_base(scan, segments[start], folder, base)
    path = f"{folder}/{segments[-1].name}"
    file = disk.open(path)

    def secure() -> None:
        if file.size() > segments[-1].size:
            # Durable before the next segment is begun: what was cut would stand in its way.
            file.truncate(segments[-1].size)
            file.fdatasync()
        # Names of that process are relied on as well.
        disk.fsync_dir(folder)
        disk.fsync_dir(posixpath.dirname(folder))

    await disk.submit(THREAD, secure)
    journal = Journal(world, folder, options, segments, file, scan.end)
    return Opened(journal, scan.lines, base, scan.commit, cut)


def finish_install(disk: Disk, folder: str, base: Position) -> None:
    """Put the log of an installed snapshot in place, or remove that of an unfinished one."""
    for name in disk.list(folder):
        if not name.endswith(NEW_SUFFIX):
            continue
        path = f"{folder}/{name}"
        segment = parse_header(path, _first_line(disk, path))
        if segment is None or segment.before != base:
            disk.remove(path)
            continue
        for other in disk.list(folder):
            if NAME.fullmatch(other):
                disk.remove(f"{folder}/{other}")
        # For good: one that came back beside the new segment might be newer than it.
        disk.fsync_dir(folder)
        disk.rename(path, f"{folder}/{segment.name}")
        disk.fsync_dir(folder)


def _first_segment(world: World, folder: str) -> Segment:
    """Create the segment that begins with entry 1; made durable with the rest of the opening."""
    segment = Segment(segment_name(1), START, None, world.clock.now_ms())
    head = header_line(segment)
    file = world.disk.open(f"{folder}/{segment.name}")
    file.truncate(0)
    file.write(head)
    file.close()
    segment.size = len(head)
    return segment


def _read_headers(disk: Disk, folder: str, base: Position) -> tuple[list[Segment], list[str]]:
    """Read all headers; return the segments that form one chain, and names of torn files.

    Only the newest file may lack its header (a crash while it was made); what a lost removal
    brought back before the chain is removed.
    """
    names = [name for name in disk.list(folder) if NAME.fullmatch(name)]
    chain: list[Segment] = []
    torn: list[str] = []
    for name in reversed(names):
        path = f"{folder}/{name}"
        segment = parse_header(path, _first_line(disk, path))
        if segment is not None and segment.name != name:
            segment = None
        if not chain and segment is None and not torn:
            torn.append(name)
        elif not chain and segment is not None:
            segment.size = _size(disk, path)
            chain.append(segment)
        elif chain[:1] and chain[0].previous == name[:16]:
            if segment is None:
                raise StorageDamagedError(path, 1, "the header line is damaged")
            segment.size = _size(disk, path)
            chain.insert(0, segment)
        elif chain and chain[0].before.index <= base.index:
            disk.remove(path)
        else:
            raise StorageDamagedError(path, 1, "this segment does not continue the log")
    return chain, torn


def _first_line(disk: Disk, path: str) -> bytes:
    file = disk.open(path)
    try:
        line, newline, _ = file.read_at(0, _HEADER_BYTES_MAX).partition(b"\n")
        return line if newline else b""
    finally:
        file.close()


def _size(disk: Disk, path: str) -> int:
    file = disk.open(path)
    try:
        return file.size()
    finally:
        file.close()


def _start_segment(segments: list[Segment], base: Position, folder: str) -> int:
    """Return which segment holds the entry after `base`."""
    for place in range(len(segments) - 1, -1, -1):
        if segments[place].before.index <= base.index:
            return place
    raise StorageDamagedError(
        f"{folder}/{segments[0].name}", 1,
        f"the journal begins after entry {segments[0].before.index}, "
        f"the data files end at entry {base.index}",
    )


async def _scan(
    disk: Disk,
    folder: str,
    segments: list[Segment],
    start: int,
    scan: Scan,
    base: Position,
    torn: list[str],
) -> tuple[str, int, str] | None:
    """Verify the segments from `start` on; cut the log at a torn line or refuse."""
    for place in range(start, len(segments)):
        segment = segments[place]
        path = f"{folder}/{segment.name}"
        if scan.end != segment.before:
            raise StorageDamagedError(path, 1, f"the log ends at entry {scan.end.index} before it")
        data: bytes = await disk.submit(THREAD, lambda path=path: disk.read(path))  # type: ignore[misc]
        scan.segment(path, segment, data)
        await asyncio.sleep(0)
        if scan.bad is not None:
            later = [disk.read(f"{folder}/{other.name}") for other in segments[place + 1 :]]
            later += [disk.read(f"{folder}/{name}") for name in torn]
            refuse_or_cut(scan, [data[scan.bad[2] :], *later], base.index)
            for other in segments[place + 1 :]:
                disk.remove(f"{folder}/{other.name}")
            del segments[place + 1 :]
            break
    if torn:
        _remove_torn(disk, folder, torn, scan.end, base)
    if scan.bad is None:
        return (f"{folder}/{torn[0]}", 1, "the header line is incomplete") if torn else None
    path, number, _, reason = scan.bad
    return path, number, reason


def _remove_torn(
    disk: Disk, folder: str, torn: list[str], end: Position, base: Position
) -> None:
    """Remove the newest file whose header is torn, unless it held durable entries."""
    for name in torn:
        path = f"{folder}/{name}"
        probe = Scan(end, base.index, bad=(path, 1, 0, "the header line is damaged"))
        refuse_or_cut(probe, [disk.read(path)], base.index)
        disk.remove(path)


def _check_base(scan: Scan, segment: Segment, folder: str, base: Position) -> None:
    """Refuse a log that ends before the data files do."""
    if scan.end.index < base.index:
        raise StorageDamagedError(
            f"{folder}/{segment.name}", 0,
            f"the log ends at entry {scan.end.index}, the data files at entry {base.index}",
        )


def recovered_terms(
    opened: Opened, known: list[tuple[int, int]]
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Find out the terms of the log's entries.

    Args:
        opened: The log as it was found.
        known: The runs of terms that the manifest names.

    Returns the position before the log and the runs of terms in it, as far as they are known.
    """
    before = opened.journal.segments[0].before if known else opened.base
    runs = [(first, term) for first, term in known if first > before.index]
    older = [term for first, term in known if first <= before.index + 1]
    if older and (not runs or runs[0][0] > before.index + 1):
        runs.insert(0, (before.index + 1, older[-1]))
    if before.index >= opened.base.index:
        runs = []
    elif not runs or runs[0][0] != before.index + 1:
        before, runs = opened.base, []  # the manifest knows less than the log holds
    for line in opened.lines:
        term = entry_term(line)
        if not runs or runs[-1][1] != term:
            runs.append((entry_index(line), term))
    return (before.index, before.term), runs
