"""The file `sessions/<number>.jsonl`: the records of retryable writes as of the last checkpoint.

- the header, first: `{"c":…,"psdb":"sessions","format":1}`;
- a session: `{"c":…,"lsid":"<hex>","txnNumber":…,"lastUse":…,"statements":[[first,last,result]]}`;
  a later line for the same session replaces it;
- one that is no longer kept: `{"c":…,"gone":"<hex>"}`.

A checkpoint appends the sessions that changed; when most lines are superseded it writes a new file.
As with data files the manifest says how many bytes count, and what follows them is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from psdb_store.cold import Cold
from psdb_store.datafile import FORMAT, DataFile, blocks, check_header, parse_block
from psdb_store.file_writer import FileWriter, file_fields
from psdb_store.lines import seal
from psdb_store.loading import open_data_file
from psdb_store.sessions import SessionRecord, SessionTable, read_runs, runs_json

if TYPE_CHECKING:
    from psdb_base.world import Disk
    from psdb_store.engine import Engine
    from psdb_store.options import StoreOptions

FOLDER: Final = "sessions"


class SessionFile:
    """What a checkpoint needs to know of the file.

    Args:
        data: The file that the manifest names, None when it names none.

    """

    def __init__(self, data: DataFile | None = None) -> None:
        self._data = data

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The file's part of the manifest."""
        return [] if self._data is None else [file_fields(self._data)]

    async def save(
        self, engine: Engine, changed: list[bytes], records: dict[bytes, SessionRecord],
        take_number: Callable[[], int],
    ) -> str | None:
        """Make the sessions that changed durable; return the path of a file that was replaced.

        Args:
            engine: The store.
            changed: Sessions that differ from what the file has.
            records: All sessions as the checkpoint saves them.
            take_number: Gives a new file's number.

        """
        if not changed:
            return None
        old = self._data
        afresh = old is None or _is_garbage(old, len(changed), len(records), engine.options)
        writer = FileWriter(engine, None if afresh else old, FOLDER, take_number)
        if afresh:
            changed = list(records)
            await writer.add(seal(b'"psdb":"sessions","format":%d}' % FORMAT), 0)
        slice_documents = engine.options.slice_documents
        for number, lsid in enumerate(changed, 1):
            await writer.add(_line(lsid, records.get(lsid)), 1)
            if not number % slice_documents:
                await asyncio.sleep(0)
        await writer.finish()
        self._data = writer.data
        return old.path if old is not None and afresh else None


async def load_sessions(
    disk: Disk, cold: Cold, entry: dict[str, Any], options: StoreOptions, table: SessionTable
) -> SessionFile:
    """Read the file that the manifest names into the table.

    Raises StorageDamagedError.
    """
    data = await open_data_file(disk, cold, entry, options)
    path = cold.full_path(data.path)
    records: dict[bytes, SessionRecord] = {}
    begun = False
    async for block in blocks(disk, path, data.size, options.block_bytes):
        if not begun:
            begun = True
            header, _, block = block.partition(b"\n")
            check_header(path, header, "sessions")
        if block:
            _take(records, block)
        await asyncio.sleep(0)
    table.load(records)
    return SessionFile(data)


def _take(records: dict[bytes, SessionRecord], block: bytes) -> None:
    for _line_bytes, row in parse_block(block):
        gone = row.get("gone")
        if gone is not None:
            records.pop(bytes.fromhex(gone), None)
        else:
            records[bytes.fromhex(row["lsid"])] = session_record(row)


def session_record(row: dict[str, Any]) -> SessionRecord:
    """Return the record of a session's parsed line."""
    return SessionRecord(row["txnNumber"], read_runs(row["statements"]), row["lastUse"])


def _line(lsid: bytes, record: SessionRecord | None) -> bytes:
    if record is None:
        return seal(b'"gone":"%b"}' % lsid.hex().encode())
    return seal(
        b'"lsid":"%b","txnNumber":%d,"lastUse":%d,"statements":%b}'
        % (lsid.hex().encode(), record.txn_number, record.last_use, runs_json(record.runs))
    )


def _is_garbage(data: DataFile, more: int, live: int, options: StoreOptions) -> bool:
    """Tell whether most of the file would be superseded lines, by the average line's size."""
    garbage = data.size * (1 - live / (data.lines + more))
    return garbage >= options.compact_garbage_bytes and garbage * 2 >= data.size
