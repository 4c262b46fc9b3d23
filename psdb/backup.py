"""`psdb backup` and `psdb restore`: copies of members' data, each as of one point of its log.

A backup is a folder:

| name | what |
|---|---|
| `backup.json` | `{psdb: "backup", format: 1, cluster, members: [name, …]}`; written last |
| `<member>/manifest.json` | the manifest of a checkpoint |
| `<member>/data/…`, `<member>/sessions/…` | the files it names, exactly the bytes it names |

A running server is asked over the wire and goes on serving; behind a router, all members are
asked while writes are held back for a moment, so that the copy is of one state of the cluster.
Without a server, the dbpath is opened as a start would. What is copied is compared with the
digests in the manifest, at the backup and at the restore.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import orjson

from psdb_base.errors import MongoError
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world
from psdb_base.world import World
from psdb_store.manifest import files_of, is_inside

FORMAT: Final = 1
INDEX: Final = "backup.json"
SINGLE: Final = "member"
"""The name in a backup of a member that stands alone."""
_PIECE_BYTES: Final = 8 * 1024 * 1024


class BackupError(Exception):
    """A backup or a restore that cannot be done; the message says why."""


# -- backup ----------------------------------------------------------------------------------------


def backup(folder: str, uri: str, dbpath: str | None) -> int:
    """Copy a running server's data, or with `dbpath` a stopped one's; return the exit code."""
    from pymongo.errors import PyMongoError

    target = Path(folder)
    try:
        _check_empty(target)
        members = _from_files(target, Path(dbpath)) if dbpath else _from_server(target, uri)
        asyncio.run(_verify_all(target, members))
        index = {
            "psdb": "backup", "format": FORMAT, "cluster": members != [SINGLE],
            "members": members,
        }
        _write(target / INDEX, orjson.dumps(index) + b"\n")
    except (BackupError, MongoError, OSError, PyMongoError) as error:
        sys.stderr.write(f"psdb backup: {error}\n")
        return 1
    sys.stdout.write(f"backed up {', '.join(members)} to {target}\n")
    return 0


def _check_empty(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupError(f"{target} is not an empty folder")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)


def _absolute(path: Path) -> str:
    return str(path.absolute())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(data)
    path.chmod(0o600)


def _from_server(target: Path, uri: str) -> list[str]:
    """Copy from a running member, or from all members behind a router."""
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client:
        admin = client.admin
        if admin.command("hello").get("msg") != "isdbgrid":
            _copy_member(admin.command, target / SINGLE, {}, admin.command("_psdbBackupBegin"))
            return [SINGLE]
        names = ["config", *(row["_id"] for row in admin.command("listShards")["shards"])]
        admin.command("fsync", lock=True)
        try:
            begun = {
                name: admin.command("_psdbBackupBegin", member=name) for name in names
            }
        finally:
            admin.command("fsyncUnlock")
        for name in names:
            _copy_member(admin.command, target / name, {"member": name}, begun[name])
        return names


def _copy_member(
    command: Callable[..., Any], target: Path, of: dict[str, Any], begun: dict[str, Any]
) -> None:
    """Copy a member's manifest and files, then let them go."""
    number = begun["backup"]
    try:
        for at, file in enumerate(begun["files"]):
            path = target / _safe(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("wb") as out:
                offset = 0
                while offset < file["bytes"]:
                    reply = command("_psdbBackupRead", number, file=at, offset=offset, **of)
                    if not reply["data"]:
                        raise BackupError(f"{file['path']} ended early")
                    out.write(reply["data"])
                    offset += len(reply["data"])
            path.chmod(0o600)
        _write(target / "manifest.json", bytes(begun["manifest"]) + b"\n")
    finally:
        command("_psdbBackupEnd", number, **of)


def _safe(path: str) -> str:
    if not is_inside(path):
        raise BackupError(f"the manifest names a path outside: {path}")
    return path


def _from_files(target: Path, dbpath: Path) -> list[str]:
    """Copy a stopped member's dbpath, or those below the folder of `psdb up`."""
    found = _members_below(dbpath)
    if not found:
        raise BackupError(f"{dbpath} is no dbpath")
    for name, path in found.items():
        asyncio.run(_copy_stopped(path, target / name))
    return list(found)


def _members_below(dbpath: Path) -> dict[str, Path]:
    if (dbpath / "journal").is_dir():
        return {SINGLE: dbpath}
    if not dbpath.is_dir():
        return {}
    return {
        path.name: path for path in sorted(dbpath.iterdir()) if (path / "journal").is_dir()
    }


def _world() -> World:
    return real_world(log=RealLog(RealClock(), None))


async def _copy_stopped(dbpath: Path, target: Path) -> None:
    """Open a dbpath as a start does, and copy its state."""
    from psdb_store import snapshot
    from psdb_store.engine import Engine
    from psdb_store.manifest import read_manifest
    from psdb_store.options import StoreOptions

    world = _world()
    source = _absolute(dbpath)
    # Of a replica set's member, only what it knows to be committed counts.
    alone = read_manifest(world.disk, source)["membership"] is None
    options = StoreOptions(background=False, alone=alone)
    engine = await Engine.open(world, source, options=options)
    try:
        await engine.checkpoint()
        pinned = await snapshot.pin(engine)
        for file in pinned.files:
            path = target / _safe(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("wb") as out:
                async for piece in _pieces(pinned, file):
                    out.write(piece)
            path.chmod(0o600)
        _write(target / "manifest.json", pinned.line + b"\n")
        pinned.release()
    finally:
        await engine.close()


async def _pieces(pinned: Any, file: dict[str, Any]) -> AsyncIterator[bytes]:
    offset = 0
    while offset < file["bytes"]:
        piece = await pinned.read(file, offset, _PIECE_BYTES)
        offset += len(piece)
        yield piece


async def _verify_all(target: Path, members: list[str]) -> None:
    for name in members:
        await _verify(target / name)


async def _verify(folder: Path) -> dict[str, Any]:
    """Compare a member's files with its manifest; return the manifest."""
    from psdb_store.datafile import verify
    from psdb_store.manifest import read_manifest
    from psdb_store.options import StoreOptions

    disk = _world().disk
    path = _absolute(folder)
    if not disk.exists(f"{path}/manifest.json"):
        raise BackupError(f"{path}/manifest.json is missing")
    manifest = read_manifest(disk, path)
    for file in files_of(manifest):
        await verify(disk, f"{path}/{_safe(file['path'])}", file, StoreOptions().block_bytes)
    return manifest


# -- restore ---------------------------------------------------------------------------------------


def restore(folder: str, dbpath: str) -> int:
    """Make a dbpath of a backup; return the exit code. The dbpath must be empty."""
    source, target = Path(folder), Path(dbpath)
    try:
        index = _read_index(source)
        _check_empty(target)
        for name in index["members"]:
            into = target / name if index["cluster"] else target
            documents = asyncio.run(_restore_member(source / name, into))
            sys.stdout.write(f"restored {documents} documents to {into}\n")
    except (BackupError, MongoError, OSError) as error:
        sys.stderr.write(f"psdb restore: {error}\n")
        return 1
    return 0


def _read_index(source: Path) -> dict[str, Any]:
    try:
        index = orjson.loads((source / INDEX).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise BackupError(f"{source} is no finished backup: it has no {INDEX}") from None
    except orjson.JSONDecodeError as error:
        raise BackupError(f"{source / INDEX} is damaged: {error}") from None
    if index.get("psdb") != "backup" or index.get("format") != FORMAT:
        raise BackupError(f"{source / INDEX} is not of format {FORMAT}")
    for name in index["members"]:
        if "/" in name or name.startswith("."):
            raise BackupError(f"{source / INDEX} names a path")
    found: dict[str, Any] = index
    return found


async def _restore_member(source: Path, target: Path) -> int:
    """Copy a member's files, make the log's beginning, and start the store once to see it whole.

    The membership of a replica set is left behind: who starts on the copy is a member of its own,
    to be initiated anew.
    """
    from psdb_store.engine import Engine
    from psdb_store.lines import seal
    from psdb_store.manifest import NAME, position_of
    from psdb_store.options import StoreOptions
    from psdb_store.segments import Segment, header_line, segment_name

    manifest = await _verify(source)
    world = _world()
    for file in files_of(manifest):
        path = target / _safe(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (source / file["path"]).open("rb") as data, path.open("wb") as out:
            while piece := data.read(_PIECE_BYTES):
                out.write(piece)
        path.chmod(0o600)
    before = position_of(manifest)
    segment = Segment(segment_name(before.index + 1), before, None, world.clock.now_ms())
    _write(target / "journal" / segment.name, header_line(segment))
    fields = {name: value for name, value in manifest.items() if name != "c"}
    _write(target / NAME, seal(orjson.dumps({**fields, "membership": None})[1:]))
    engine = await Engine.open(
        world, _absolute(target), options=StoreOptions(background=False)
    )
    documents = sum(c.count for c in engine.catalogue.all())
    await engine.close()
    return documents
