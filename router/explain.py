"""Explain output as a mongos gives it: the shard's plan inside a SINGLE_SHARD stage."""

from __future__ import annotations

from psdb_base.values import Document

_TIMES = ("$clusterTime", "operationTime", "ok")


def as_router(document: Document, shard: str, host: str) -> Document:
    """Wrap a shard's explain reply.

    Args:
        document: The shard's reply.
        shard: The shard's name.
        host: The router's `host:port`.

    """
    document = {name: value for name, value in document.items() if name not in _TIMES}
    planner = document.get("queryPlanner")
    if planner is None:
        return {"shards": {shard: document}} | {
            name: document[name] for name in ("serverInfo", "command") if name in document
        }
    server = document.get("serverInfo", {})
    result: Document = {
        "explainVersion": document.get("explainVersion", "1"),
        "queryPlanner": {
            "winningPlan": {
                "stage": "SINGLE_SHARD",
                "shards": [
                    {
                        "explainVersion": document.get("explainVersion", "1"),
                        "shardName": shard,
                        "connectionString": shard,
                        "serverInfo": server,
                        **planner,
                    }
                ],
            }
        },
    }
    statistics = document.get("executionStats")
    if statistics is not None:
        totals = {
            name: statistics.get(name, 0)
            for name in (
                "nReturned", "executionTimeMillis", "totalKeysExamined", "totalDocsExamined",
            )
        }
        result["executionStats"] = {
            **totals,
            "executionStages": {
                "stage": "SINGLE_SHARD",
                **totals,
                "shards": [{"shardName": shard, **statistics}],
            },
        }
    result["serverInfo"] = {**server, "host": host.rpartition(":")[0]}
    for name in ("serverParameters", "command"):
        if name in document:
            result[name] = document[name]
    return result
