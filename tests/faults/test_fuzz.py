"""A slice of the message fuzz; `make soak` runs 200,000."""

from __future__ import annotations

import os
from pathlib import Path

import fuzzing
import pytest
from pymongo import MongoClient
from servers import Server

COUNT = int(os.environ.get("PSDB_FUZZ_MESSAGES", "3000"))
SEED = int(os.environ.get("PSDB_FUZZ_SEED", "1"))
GROWTH_BYTES_MAX = 40 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fuzzed_messages_leave_the_server_alive(tmp_path: Path) -> None:
    with Server.up(tmp_path / "data") as server:
        fuzzing.run(server.port, 500, SEED + 1_000_000)
        before = server.resident_bytes()
        fuzzing.run(server.port, COUNT, SEED)
        assert server.process is not None
        assert server.process.poll() is None
        with MongoClient(server.uri, serverSelectionTimeoutMS=5000) as client:
            client.after.c.insert_one({"_id": 1})
            assert client.after.c.find_one({}) == {"_id": 1}
        growth = server.resident_bytes() - before
        assert growth < GROWTH_BYTES_MAX, f"memory grew by {growth / 2**20:.0f} MiB"
        unexpected = [
            line for line in server.log_text().splitlines() if "Unexpected exception" in line
        ]
        assert not unexpected, "\n".join(unexpected[:5])
