"""The commands of every role, and the names MongoDB has and PSDB has not yet."""

from __future__ import annotations

from typing import Final

from psdb_server.command import Command
from psdb_server.common import (
    admin_commands,
    authentication,
    fail_point_commands,
    hello,
    info,
    operation_commands,
    parameters,
    search_indexes,
    session_commands,
)

_NOT_YET: Final = (
    "abortMoveCollection", "abortReshardCollection", "abortTransaction", "abortUnshardCollection",
    "addShardToZone", "analyze", "analyzeShardKey", "appendOplogNote", "applyOps", "autoCompact",
    "balancerCollectionStatus", "balancerStart", "balancerStatus", "balancerStop",
    "checkMetadataConsistency", "cleanupOrphaned", "cleanupReshardCollection", "clearJumboFlag",
    "commitReshardCollection", "commitTransaction",
    "configureCollectionBalancing", "configureQueryAnalyzer",
    "coordinateCommitTransaction", "createRole", "createUser",
    "dropAllRolesFromDatabase", "dropAllUsersFromDatabase",
    "dropRole", "dropUser", "enableSharding", "flushRouterConfig",
    "getShardMap",
    "getShardVersion", "grantPrivilegesToRole", "grantRolesToRole", "grantRolesToUser",
    "invalidateUserCache",
    "mergeAllChunksOnShard", "mergeChunks", "moveChunk", "moveCollection",
    "movePrimary", "moveRange",
    "refineCollectionShardKey", "removeShard", "removeShardFromZone",
    "replSetAbortPrimaryCatchUp", "replSetFreeze", "replSetGetConfig", "replSetGetStatus",
    "replSetInitiate", "replSetMaintenance", "replSetReconfig", "replSetResizeOplog",
    "replSetStepDown", "replSetSyncFrom", "reshardCollection", "revokePrivilegesFromRole",
    "revokeRolesFromRole", "revokeRolesFromUser", "rolesInfo", "rotateCertificates",
    "setAllowMigrations",
    "shardCollection", "shardingState", "split",
    "splitVector", "transitionFromDedicatedConfigServer",
    "transitionToDedicatedConfigServer", "unshardCollection", "updateRole",
    "updateUser", "updateZoneKeyRange", "usersInfo",
)

NOT_YET: Final = tuple(
    Command(name, None, help="MongoDB has this command; PSDB does not yet.") for name in _NOT_YET
)
"""Rows without a handler: they answer 238 NotImplemented, where an unknown name answers 59."""

COMMON: Final = (
    *admin_commands.COMMANDS,
    *authentication.COMMANDS,
    *fail_point_commands.COMMANDS,
    *hello.COMMANDS,
    *info.COMMANDS,
    *operation_commands.COMMANDS,
    *parameters.COMMANDS,
    *search_indexes.COMMANDS,
    *session_commands.COMMANDS,
)
