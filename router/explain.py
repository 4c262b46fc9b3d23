"""Explain output as a mongos gives it: the shard's plan inside a SINGLE_SHARD stage."""

from __future__ import annotations

from psdb_base.limits import MONGODB_VERSION
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
    for name in ("queryShapeHash", "serverParameters", "command"):
        if name in document:
            result[name] = document[name]
    return result


def merged(
    parts: dict[str, Document], hosts: dict[str, str], host: str, command: Document
) -> Document:
    """Put the shards' explain replies together.

    Args:
        parts: The replies by shard.
        hosts: The shards' connection strings.
        host: The router's `host:port`.
        command: What is explained.

    """
    many = len(parts) > 1
    stage = "SINGLE_SHARD"
    if many:
        stage = "SHARD_MERGE_SORT" if command.get("sort") else "SHARD_MERGE"
    planners = []
    for shard, part in parts.items():
        planners.append({
            "explainVersion": part.get("explainVersion", "1"), "shardName": shard,
            "connectionString": hosts[shard], "serverInfo": part.get("serverInfo", {}),
            **part.get("queryPlanner", {}),
        })
    result: Document = {
        "explainVersion": "1",
        "queryPlanner": {"winningPlan": {"stage": stage, "shards": planners}},
    }
    if all("executionStats" in part for part in parts.values()):
        names = ("nReturned", "executionTimeMillis", "totalKeysExamined", "totalDocsExamined")
        totals = {
            name: sum(part["executionStats"].get(name, 0) for part in parts.values())
            for name in names
        }
        result["executionStats"] = {
            **totals,
            "executionStages": {
                "stage": stage, **totals,
                "shards": [
                    {"shardName": shard, **part["executionStats"]} for shard, part in parts.items()
                ],
            },
        }
    result["serverInfo"] = {"host": host.rpartition(":")[0], "version": MONGODB_VERSION}
    result["command"] = command
    return result
