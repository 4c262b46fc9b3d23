"""`kill -9` during a stream of acknowledged inserts: after restart all are there, none twice."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from servers import Server

ROUNDS = int(os.environ.get("PSDB_KILL_ROUNDS", "10"))
WRITERS = 4


class Writer(threading.Thread):
    """Inserts numbered documents until the server is gone; notes what was acknowledged."""

    def __init__(self, uri: str, name: int, round_: int) -> None:
        super().__init__(daemon=True)
        self.uri = uri
        self.key = f"{round_}-{name}"
        self.batch = name % 2 == 1
        self.acknowledged: list[str] = []
        self.started_writing = threading.Event()

    def run(self) -> None:
        client = MongoClient(
            self.uri, retryWrites=False, serverSelectionTimeoutMS=500, socketTimeoutMS=2000
        )
        number = 0
        try:
            while True:
                size = 20 if self.batch else 1
                ids = [f"{self.key}-{number + i}" for i in range(size)]
                client.kill.docs.insert_many([{"_id": i, "pad": "x" * 100} for i in ids])
                self.acknowledged += ids
                number += size
                self.started_writing.set()
        except PyMongoError:
            self.started_writing.set()
        finally:
            client.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_acknowledged_inserts_survive_kill_9(tmp_path: Path) -> None:
    seed = int(os.environ.get("PSDB_SEED", random.SystemRandom().randrange(2**32)))
    print(f"PSDB_SEED={seed}")
    rng = random.Random(seed)
    small = ["--cacheSizeMB", "1"] if seed % 2 else []
    server = Server.up(tmp_path / "data", *small)
    server.start()
    acknowledged: list[str] = []
    try:
        for round_ in range(ROUNDS):
            writers = [Writer(server.uri, name, round_) for name in range(WRITERS)]
            for writer in writers:
                writer.start()
            for writer in writers:
                assert writer.started_writing.wait(20)
            threading.Event().wait(rng.uniform(0.0, 0.4))
            server.kill()
            for writer in writers:
                writer.join(20)
                assert not writer.is_alive()
                acknowledged += writer.acknowledged
            server.start()
            with MongoClient(server.uri) as client:
                there = [d["_id"] for d in client.kill.docs.find({}, {"_id": 1})]
                assert len(there) == len(set(there)), "a document is there twice"
                missing = set(acknowledged) - set(there)
                assert not missing, f"{len(missing)} acknowledged documents are lost"
                assert client.kill.command("validate", "docs")["valid"]
    finally:
        server.stop()
    assert len(acknowledged) >= ROUNDS * WRITERS
