"""The manifest: which files hold the state at which log index. Replaced atomically.

`manifest.json` is one line:

| field | meaning |
|---|---|
| `psdb`, `format` | "manifest", 2 |
| `index`, `term`, `hash` | the log position whose state the files hold |
| `time` | cluster time of that entry, `{"$timestamp":{"t","i"}}` |
| `nextFile` | number of the next data file |
| `membership` | the replica set's configuration at that index (null for a group of one) |
| `membershipIndex` | index of the entry that brought it; absent without one, and in older files |
| `terms` | `[first index, term]` of each run of log entries of one term up to `index` |
| `prepared` | prepared transactions (empty until there are any) |
| `collections` | list: `ns`, `uuid`, `options`, `indexes`, `nextRid`, `count`, `dataSize`, `files`|
| `files` | list (of one): `path`, `bytes`, `lines`, `digest` |
| `sessions` | list (of one, or none yet) as `files`: the file of retryable writes |

Format 1 had the sessions' own lines in `sessions`; it is still read. Options and index
specifications are Extended JSON as documents are.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from bson.timestamp import Timestamp

from psdb_base.bson_codec import encode
from psdb_base.extjson import document_line
from psdb_base.values import Document
from psdb_base.world import Disk
from psdb_store.document_json import read_document
from psdb_store.files import read_sealed
from psdb_store.lines import seal
from psdb_store.segments import START, Position

FORMAT: Final = 2
NAME: Final = "manifest.json"


def empty() -> dict[str, Any]:
    """Return what a missing manifest stands for."""
    return {
        "index": START.index, "term": START.term, "hash": START.hash, "nextFile": 1,
        "time": {"$timestamp": {"t": 0, "i": 0}},
        "collections": [], "sessions": [], "membership": None, "prepared": [],
    }  # fmt: skip


def read_manifest(disk: Disk, dbpath: str) -> dict[str, Any]:
    """Read the manifest; damage and newer formats raise."""
    return read_sealed(disk, f"{dbpath}/{NAME}", "manifest", FORMAT) or empty()


def position_of(manifest: dict[str, Any]) -> Position:
    """Return the log position of a manifest."""
    return Position(manifest["index"], manifest["term"], manifest["hash"])


def membership_of(manifest: dict[str, Any]) -> tuple[int, Document] | None:
    """Return the replica set's configuration in a manifest, and the index of its entry.

    An older manifest does not name that index; its own is the nearest that is known.
    """
    value = manifest["membership"]
    if value is None:
        return None
    return manifest.get("membershipIndex", manifest["index"]), read_document(dict(value))[1]


def document_fragment(doc: Document) -> orjson.Fragment:
    """Return a document's JSON for embedding."""
    return orjson.Fragment(document_line(encode(doc), doc))


def files_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return path, bytes and digest of every file that a manifest names."""
    files = [file for c in manifest["collections"] for file in c["files"]]
    return files + [row for row in manifest["sessions"] if "path" in row]


def is_inside(path: str) -> bool:
    """Tell whether a file that a manifest names lies where such files do."""
    return path.startswith(("data/", "sessions/")) and ".." not in path.split("/")


def manifest_line(
    position: Position,
    time: Timestamp,
    next_file: int,
    collections: list[dict[str, Any]],
    sessions: list[dict[str, Any]],
    membership: tuple[int, Document] | None,
    terms: list[tuple[int, int]],
) -> bytes:
    """Make the manifest's line."""
    fields = {
        "psdb": "manifest", "format": FORMAT,
        "index": position.index, "term": position.term, "hash": position.hash,
        "time": {"$timestamp": {"t": time.time, "i": time.inc}},
        "nextFile": next_file,
        "membership": None if membership is None else document_fragment(membership[1]),
        **({} if membership is None else {"membershipIndex": membership[0]}),
        "terms": terms, "prepared": [], "collections": collections, "sessions": sessions,
    }  # fmt: skip
    return seal(orjson.dumps(fields)[1:])
