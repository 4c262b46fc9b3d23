"""Cluster time and operation time in replies."""

from __future__ import annotations

from typing import Any

from servers import RawClient, Server


def test_no_answer_tells_an_earlier_time_than_one_before(server: Server, db: Any) -> None:
    client = RawClient(("127.0.0.1", server.port))
    commands = [
        {"insert": "c", "documents": [{}]}, {"nosuch": 1}, {"insert": "c", "documents": [{}]},
        {"ping": 1}, {"insert": "c", "documents": [{}]}, {"find": "c"}, {"hello": 1},
    ]
    times = []
    for command in commands:
        reply = client.command({**command, "$db": db.name})
        times.append((reply["operationTime"], reply["$clusterTime"]["clusterTime"]))
    assert [time for time, _ in times] == sorted(time for time, _ in times)
    assert [time for _, time in times] == sorted(time for _, time in times)
