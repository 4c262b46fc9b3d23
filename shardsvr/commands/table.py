"""The commands a member answers."""

from __future__ import annotations

from typing import Final

from psdb_server.command import CommandTable, make_table
from psdb_server.common.table import COMMON, NOT_YET
from shardsvr.commands import (
    aggregate,
    backup,
    bulk_write,
    catalogue,
    cluster_settings,
    count_distinct,
    cursor_commands,
    db_hash,
    delete,
    explain,
    find,
    find_and_modify,
    identity,
    indexes,
    insert,
    inspection,
    maintenance,
    map_reduce,
    plan_cache,
    profile,
    query_settings,
    rebuild,
    sharding,
    stats,
    update,
    validate,
)
from shardsvr.replication import commands as replication

_OF_ROUTERS: Final = frozenset({
    "abortMoveCollection", "abortReshardCollection", "abortUnshardCollection", "addShardToZone",
    "balancerCollectionStatus", "balancerStart", "balancerStatus", "balancerStop",
    "checkMetadataConsistency", "cleanupReshardCollection", "clearJumboFlag",
    "commitReshardCollection", "configureCollectionBalancing", "enableSharding",
    "mergeAllChunksOnShard", "mergeChunks", "moveChunk", "moveCollection", "movePrimary",
    "moveRange", "refineCollectionShardKey", "removeShard", "removeShardFromZone",
    "reshardCollection", "setAllowMigrations", "shardCollection", "split",
    "transitionFromDedicatedConfigServer", "transitionToDedicatedConfigServer",
    "unshardCollection", "updateZoneKeyRange",
})  # fmt: skip
"""A member does not know these commands at all, as in MongoDB."""

MEMBER_COMMANDS: Final[CommandTable] = make_table(
    tuple(row for row in NOT_YET if row.name not in _OF_ROUTERS),
    COMMON,
    aggregate.COMMANDS,
    backup.COMMANDS,
    bulk_write.COMMANDS,
    catalogue.COMMANDS,
    cluster_settings.COMMANDS,
    count_distinct.COMMANDS,
    cursor_commands.COMMANDS,
    db_hash.COMMANDS,
    delete.COMMANDS,
    explain.COMMANDS,
    find.COMMANDS,
    find_and_modify.COMMANDS,
    identity.COMMANDS,
    indexes.COMMANDS,
    inspection.COMMANDS,
    insert.COMMANDS,
    maintenance.COMMANDS,
    map_reduce.COMMANDS,
    plan_cache.COMMANDS,
    profile.COMMANDS,
    query_settings.COMMANDS,
    rebuild.COMMANDS,
    replication.COMMANDS,
    sharding.COMMANDS,
    stats.COMMANDS,
    update.COMMANDS,
    validate.COMMANDS,
)
