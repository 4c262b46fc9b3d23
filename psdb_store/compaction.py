"""Compaction: copy the lines that still count from one data file into a new one.

The file is read twice in blocks: backwards, to find each record's last line (one dictionary entry
per record and one byte per line, for the time it takes), then forwards, to copy those lines as they
are. Nothing is decoded or encoded, and the records in memory are not looked at.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from psdb_store.cold import Offsets
from psdb_store.datafile import THREAD, DataFile, blocks, line_rid

if TYPE_CHECKING:
    from psdb_store.engine import Engine
    from psdb_store.file_writer import FileWriter


async def copy_live(engine: Engine, data: DataFile, writer: FileWriter) -> Offsets:
    """Copy every record's last line, deletions left out, in the order of the file.

    Returns where the lines begin in the new file.
    """
    offsets = Offsets()
    disk, block_bytes = engine.world.disk, engine.options.block_bytes
    path = f"{engine.dbpath}/{data.path}"
    flags = await _live_flags(disk, path, data.size, block_bytes)
    async for block in blocks(disk, path, data.size, block_bytes):
        kept = [line for line in block.split(b"\n")[:-1] if flags.pop()]
        if kept:
            place = writer.position
            for line in kept:
                offsets.put(line_rid(line)[0], place)
                place += len(line) + 1
            await writer.add(b"\n".join(kept) + b"\n", len(kept))
        await asyncio.sleep(0)
    return offsets


async def _live_flags(disk: Any, path: str, size: int, block_bytes: int) -> bytearray:
    """Tell for each line, the last line first, whether it is a record's last word."""
    seen: dict[int, None] = {}
    flags = bytearray()
    async for block in _blocks_back(disk, path, size, block_bytes):
        for line in reversed(block.split(b"\n")[:-1]):
            rid, gone = line_rid(line)
            flags.append(0 if not rid or gone or rid in seen else 1)
            seen[rid] = None
        await asyncio.sleep(0)
    return flags


async def _blocks_back(disk: Any, path: str, size: int, block_bytes: int) -> Any:
    """Yield the first `size` bytes in pieces of whole lines, the last piece first."""
    file = await disk.submit(THREAD, lambda: disk.open(path))
    try:
        end, rest = size, b""
        while end > 0:
            start = max(0, end - block_bytes)
            piece = await disk.submit(THREAD, lambda s=start, e=end: file.read_at(s, e - s))
            piece += rest
            end = start
            if start:
                head, newline, piece = piece.partition(b"\n")
                rest = head + newline
            if piece:
                yield piece
    finally:
        file.close()
