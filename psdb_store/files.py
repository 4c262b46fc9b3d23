"""Small files replaced whole, and folders made durable."""

from __future__ import annotations

import posixpath
from typing import Any

import orjson

from psdb_base.world import Disk
from psdb_store.failures import StorageDamagedError, newer_format
from psdb_store.lines import is_sound, seal


def make_durable_dirs(disk: Disk, path: str) -> None:
    """Create a folder and its parents, each durable in the one above it."""
    made: list[str] = []
    while path and not disk.exists(path):
        made.append(path)
        path = posixpath.dirname(path)
    if made:
        disk.make_dirs(made[0])
    for name in reversed(made):
        disk.fsync_dir(posixpath.dirname(name) or ".")


def replace_file(disk: Disk, path: str, data: bytes) -> None:
    """Replace a file's content atomically and durably: write aside, fsync, rename, fsync folder."""
    aside = f"{path}.tmp"
    file = disk.open(aside)
    try:
        file.truncate(0)
        file.write(data)
        file.fdatasync()
    finally:
        file.close()
    disk.rename(aside, path)
    disk.fsync_dir(posixpath.dirname(path))


def read_sealed(disk: Disk, path: str, kind: str, known_format: int) -> dict[str, Any] | None:
    """Read a file of one sealed line; None when there is no such file.

    Raises StorageDamagedError when the line is not whole, 12 for a newer format.
    """
    if not disk.exists(path):
        return None
    data = disk.read(path)
    line, newline, rest = data.partition(b"\n")
    if not newline or rest:
        raise StorageDamagedError(path, 1, "the file is damaged (checksum)")
    return parse_sealed(path, line, kind, known_format)


def parse_sealed(path: str, line: bytes, kind: str, known_format: int) -> dict[str, Any]:
    """Read such a line (without newline) from wherever it came.

    Raises as `read_sealed`.
    """
    if not is_sound(line):
        raise StorageDamagedError(path, 1, "the file is damaged (checksum)")
    content: dict[str, Any] = orjson.loads(line)
    if content.get("psdb") != kind:
        raise StorageDamagedError(path, 1, f"this is not a {kind} file")
    if content.get("format") not in range(1, known_format + 1):
        raise newer_format(path, content.get("format"), known_format)
    return content


def sealed(kind: str, format_: int, fields: dict[str, Any]) -> bytes:
    """Make the one line of such a file."""
    return seal(orjson.dumps({"psdb": kind, "format": format_, **fields})[1:])
