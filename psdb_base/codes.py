"""MongoDB's error codes that have names, from its public table of error codes.

One row a code, sorted by number; `Code` is the Python spelling of the same rows. Codes without
a name are plain integers in the code that raises them (`MongoError(40415, …)`).
"""

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """A named error code, in capitals: `BadValue` is `Code.BAD_VALUE`."""

    OK = 0
    INTERNAL_ERROR = 1
    BAD_VALUE = 2
    NO_SUCH_KEY = 4
    GRAPH_CONTAINS_CYCLE = 5
    HOST_UNREACHABLE = 6
    HOST_NOT_FOUND = 7
    UNKNOWN_ERROR = 8
    FAILED_TO_PARSE = 9
    CANNOT_MUTATE_OBJECT = 10
    USER_NOT_FOUND = 11
    UNSUPPORTED_FORMAT = 12
    UNAUTHORIZED = 13
    TYPE_MISMATCH = 14
    OVERFLOW = 15
    INVALID_LENGTH = 16
    PROTOCOL_ERROR = 17
    AUTHENTICATION_FAILED = 18
    CANNOT_REUSE_OBJECT = 19
    ILLEGAL_OPERATION = 20
    EMPTY_ARRAY_OPERATION = 21
    INVALID_BSON = 22
    ALREADY_INITIALIZED = 23
    LOCK_TIMEOUT = 24
    REMOTE_VALIDATION_ERROR = 25
    NAMESPACE_NOT_FOUND = 26
    INDEX_NOT_FOUND = 27
    PATH_NOT_VIABLE = 28
    NON_EXISTENT_PATH = 29
    INVALID_PATH = 30
    ROLE_NOT_FOUND = 31
    ROLES_NOT_RELATED = 32
    PRIVILEGE_NOT_FOUND = 33
    CANNOT_BACKFILL_ARRAY = 34
    REMOTE_CHANGE_DETECTED = 36
    FILE_RENAME_FAILED = 37
    FILE_NOT_OPEN = 38
    FILE_STREAM_FAILED = 39
    CONFLICTING_UPDATE_OPERATORS = 40
    FILE_ALREADY_OPEN = 41
    LOG_WRITE_FAILED = 42
    CURSOR_NOT_FOUND = 43
    USER_DATA_INCONSISTENT = 45
    LOCK_BUSY = 46
    NO_MATCHING_DOCUMENT = 47
    NAMESPACE_EXISTS = 48
    INVALID_ROLE_MODIFICATION = 49
    MAX_TIME_MS_EXPIRED = 50
    MANUAL_INTERVENTION_REQUIRED = 51
    DOLLAR_PREFIXED_FIELD_NAME = 52
    INVALID_ID_FIELD = 53
    NOT_SINGLE_VALUE_FIELD = 54
    INVALID_DB_REF = 55
    EMPTY_FIELD_NAME = 56
    DOTTED_FIELD_NAME = 57
    ROLE_MODIFICATION_FAILED = 58
    COMMAND_NOT_FOUND = 59
    SHARD_KEY_NOT_FOUND = 61
    OPLOG_OPERATION_UNSUPPORTED = 62
    STALE_SHARD_VERSION = 63
    WRITE_CONCERN_TIMEOUT = 64
    MULTIPLE_ERRORS_OCCURRED = 65
    IMMUTABLE_FIELD = 66
    CANNOT_CREATE_INDEX = 67
    INDEX_ALREADY_EXISTS = 68
    AUTH_SCHEMA_INCOMPATIBLE = 69
    SHARD_NOT_FOUND = 70
    REPLICA_SET_NOT_FOUND = 71
    INVALID_OPTIONS = 72
    INVALID_NAMESPACE = 73
    NODE_NOT_FOUND = 74
    WRITE_CONCERN_LEGACY_OK = 75
    NO_REPLICATION_ENABLED = 76
    OPERATION_INCOMPLETE = 77
    COMMAND_RESULT_SCHEMA_VIOLATION = 78
    UNKNOWN_REPL_WRITE_CONCERN = 79
    ROLE_DATA_INCONSISTENT = 80
    NO_MATCH_PARSE_CONTEXT = 81
    NO_PROGRESS_MADE = 82
    REMOTE_RESULTS_UNAVAILABLE = 83
    INDEX_OPTIONS_CONFLICT = 85
    INDEX_KEY_SPECS_CONFLICT = 86
    CANNOT_SPLIT = 87
    NETWORK_TIMEOUT = 89
    CALLBACK_CANCELED = 90
    SHUTDOWN_IN_PROGRESS = 91
    SECONDARY_AHEAD_OF_PRIMARY = 92
    INVALID_REPLICA_SET_CONFIG = 93
    NOT_YET_INITIALIZED = 94
    NOT_SECONDARY = 95
    OPERATION_FAILED = 96
    NO_PROJECTION_FOUND = 97
    DB_PATH_IN_USE = 98
    UNSATISFIABLE_WRITE_CONCERN = 100
    OUTDATED_CLIENT = 101
    INCOMPATIBLE_AUDIT_METADATA = 102
    NEW_REPLICA_SET_CONFIGURATION_INCOMPATIBLE = 103
    NODE_NOT_ELECTABLE = 104
    INCOMPATIBLE_SHARDING_METADATA = 105
    DISTRIBUTED_CLOCK_SKEWED = 106
    LOCK_FAILED = 107
    INCONSISTENT_REPLICA_SET_NAMES = 108
    CONFIGURATION_IN_PROGRESS = 109
    CANNOT_INITIALIZE_NODE_WITH_DATA = 110
    NOT_EXACT_VALUE_FIELD = 111
    WRITE_CONFLICT = 112
    INITIAL_SYNC_FAILURE = 113
    INITIAL_SYNC_OPLOG_SOURCE_MISSING = 114
    COMMAND_NOT_SUPPORTED = 115
    DOC_TOO_LARGE_FOR_CAPPED = 116
    CONFLICTING_OPERATION_IN_PROGRESS = 117
    NAMESPACE_NOT_SHARDED = 118
    INVALID_SYNC_SOURCE = 119
    OPLOG_START_MISSING = 120
    DOCUMENT_VALIDATION_FAILURE = 121
    NOT_A_REPLICA_SET = 123
    INCOMPATIBLE_ELECTION_PROTOCOL = 124
    COMMAND_FAILED = 125
    RPC_PROTOCOL_NEGOTIATION_FAILED = 126
    UNRECOVERABLE_ROLLBACK_ERROR = 127
    LOCK_NOT_FOUND = 128
    LOCK_STATE_CHANGE_FAILED = 129
    SYMBOL_NOT_FOUND = 130
    FAILED_TO_SATISFY_READ_PREFERENCE = 133
    READ_CONCERN_MAJORITY_NOT_AVAILABLE_YET = 134
    STALE_TERM = 135
    CAPPED_POSITION_LOST = 136
    INCOMPATIBLE_SHARDING_CONFIG_VERSION = 137
    REMOTE_OPLOG_STALE = 138
    JS_INTERPRETER_FAILURE = 139
    INVALID_SSL_CONFIGURATION = 140
    SSL_HANDSHAKE_FAILED = 141
    JS_UNCATCHABLE_ERROR = 142
    CURSOR_IN_USE = 143
    INCOMPATIBLE_CATALOG_MANAGER = 144
    POOLED_CONNECTIONS_DROPPED = 145
    EXCEEDED_MEMORY_LIMIT = 146
    Z_LIB_ERROR = 147
    READ_CONCERN_MAJORITY_NOT_ENABLED = 148
    NO_CONFIG_PRIMARY = 149
    STALE_EPOCH = 150
    OPERATION_CANNOT_BE_BATCHED = 151
    OPLOG_OUT_OF_ORDER = 152
    CHUNK_TOO_BIG = 153
    INCONSISTENT_SHARD_IDENTITY = 154
    CANNOT_APPLY_OPLOG_WHILE_PRIMARY = 155
    CAN_REPAIR_TO_DOWNGRADE = 157
    MUST_UPGRADE = 158
    DURATION_OVERFLOW = 159
    MAX_STALENESS_OUT_OF_RANGE = 160
    INCOMPATIBLE_COLLATION_VERSION = 161
    COLLECTION_IS_EMPTY = 162
    ZONE_STILL_IN_USE = 163
    INITIAL_SYNC_ACTIVE = 164
    VIEW_DEPTH_LIMIT_EXCEEDED = 165
    COMMAND_NOT_SUPPORTED_ON_VIEW = 166
    OPTION_NOT_SUPPORTED_ON_VIEW = 167
    INVALID_PIPELINE_OPERATOR = 168
    COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD = 169
    TOO_MANY_MATCHING_DOCUMENTS = 170
    CANNOT_INDEX_PARALLEL_ARRAYS = 171
    TRANSPORT_SESSION_CLOSED = 172
    TRANSPORT_SESSION_NOT_FOUND = 173
    TRANSPORT_SESSION_UNKNOWN = 174
    QUERY_PLAN_KILLED = 175
    FILE_OPEN_FAILED = 176
    ZONE_NOT_FOUND = 177
    RANGE_OVERLAP_CONFLICT = 178
    WINDOWS_PDH_ERROR = 179
    BAD_PERF_COUNTER_PATH = 180
    AMBIGUOUS_INDEX_KEY_PATTERN = 181
    INVALID_VIEW_DEFINITION = 182
    CLIENT_METADATA_MISSING_FIELD = 183
    CLIENT_METADATA_APP_NAME_TOO_LARGE = 184
    CLIENT_METADATA_DOCUMENT_TOO_LARGE = 185
    CLIENT_METADATA_CANNOT_BE_MUTATED = 186
    LINEARIZABLE_READ_CONCERN_ERROR = 187
    INCOMPATIBLE_SERVER_VERSION = 188
    PRIMARY_STEPPED_DOWN = 189
    MASTER_SLAVE_CONNECTION_FAILURE = 190
    FAIL_POINT_ENABLED = 192
    NO_SHARDING_ENABLED = 193
    BALANCER_INTERRUPTED = 194
    VIEW_PIPELINE_MAX_SIZE_EXCEEDED = 195
    INVALID_INDEX_SPECIFICATION_OPTION = 197
    REPLICA_SET_MONITOR_REMOVED = 199
    CHUNK_RANGE_CLEANUP_PENDING = 200
    CANNOT_BUILD_INDEX_KEYS = 201
    NETWORK_INTERFACE_EXCEEDED_TIME_LIMIT = 202
    SHARDING_STATE_NOT_INITIALIZED = 203
    TIME_PROOF_MISMATCH = 204
    CLUSTER_TIME_FAILS_RATE_LIMITER = 205
    NO_SUCH_SESSION = 206
    INVALID_UUID = 207
    TOO_MANY_LOCKS = 208
    STALE_CLUSTER_TIME = 209
    CANNOT_VERIFY_AND_SIGN_LOGICAL_TIME = 210
    KEY_NOT_FOUND = 211
    INCOMPATIBLE_ROLLBACK_ALGORITHM = 212
    DUPLICATE_SESSION = 213
    AUTHENTICATION_RESTRICTION_UNMET = 214
    DATABASE_DROP_PENDING = 215
    ELECTION_IN_PROGRESS = 216
    INCOMPLETE_TRANSACTION_HISTORY = 217
    UPDATE_OPERATION_FAILED = 218
    FTDC_PATH_NOT_SET = 219
    FTDC_PATH_ALREADY_SET = 220
    INDEX_MODIFIED = 221
    CLOSE_CHANGE_STREAM = 222
    ILLEGAL_OP_MSG_FLAG = 223
    QUERY_FEATURE_NOT_ALLOWED = 224
    TRANSACTION_TOO_OLD = 225
    ATOMICITY_FAILURE = 226
    CANNOT_IMPLICITLY_CREATE_COLLECTION = 227
    SESSION_TRANSFER_INCOMPLETE = 228
    MUST_DOWNGRADE = 229
    DNS_HOST_NOT_FOUND = 230
    DNS_PROTOCOL_ERROR = 231
    MAX_SUB_PIPELINE_DEPTH_EXCEEDED = 232
    TOO_MANY_DOCUMENT_SEQUENCES = 233
    RETRY_CHANGE_STREAM = 234
    INTERNAL_ERROR_NOT_SUPPORTED = 235
    FOR_TESTING_ERROR_EXTRA_INFO = 236
    CURSOR_KILLED = 237
    NOT_IMPLEMENTED = 238
    SNAPSHOT_TOO_OLD = 239
    DNS_RECORD_TYPE_MISMATCH = 240
    CONVERSION_FAILURE = 241
    CANNOT_CREATE_COLLECTION = 242
    INCOMPATIBLE_WITH_UPGRADED_SERVER = 243
    BROKEN_PROMISE = 245
    SNAPSHOT_UNAVAILABLE = 246
    PRODUCER_CONSUMER_QUEUE_BATCH_TOO_LARGE = 247
    PRODUCER_CONSUMER_QUEUE_END_CLOSED = 248
    STALE_DB_VERSION = 249
    STALE_CHUNK_HISTORY = 250
    NO_SUCH_TRANSACTION = 251
    REENTRANCY_NOT_ALLOWED = 252
    FREE_MON_HTTP_IN_FLIGHT = 253
    FREE_MON_HTTP_TEMPORARY_FAILURE = 254
    FREE_MON_HTTP_PERMANENT_FAILURE = 255
    TRANSACTION_COMMITTED = 256
    TRANSACTION_TOO_LARGE = 257
    UNKNOWN_FEATURE_COMPATIBILITY_VERSION = 258
    KEYED_EXECUTOR_RETRY = 259
    INVALID_RESUME_TOKEN = 260
    TOO_MANY_LOGICAL_SESSIONS = 261
    EXCEEDED_TIME_LIMIT = 262
    OPERATION_NOT_SUPPORTED_IN_TRANSACTION = 263
    TOO_MANY_FILES_OPEN = 264
    ORPHANED_RANGE_CLEAN_UP_FAILED = 265
    FAIL_POINT_SET_FAILED = 266
    PREPARED_TRANSACTION_IN_PROGRESS = 267
    CANNOT_BACKUP = 268
    DATA_MODIFIED_BY_REPAIR = 269
    REPAIRED_REPLICA_SET_NODE = 270
    JS_INTERPRETER_FAILURE_WITH_STACK = 271
    MIGRATION_CONFLICT = 272
    PRODUCER_CONSUMER_QUEUE_PRODUCER_QUEUE_DEPTH_EXCEEDED = 273
    PRODUCER_CONSUMER_QUEUE_CONSUMED = 274
    EXCHANGE_PASSTHROUGH = 275
    INDEX_BUILD_ABORTED = 276
    ALARM_ALREADY_FULFILLED = 277
    UNSATISFIABLE_COMMIT_QUORUM = 278
    CLIENT_DISCONNECT = 279
    CHANGE_STREAM_FATAL_ERROR = 280
    TRANSACTION_COORDINATOR_STEPPING_DOWN = 281
    TRANSACTION_COORDINATOR_REACHED_ABORT_DECISION = 282
    WOULD_CHANGE_OWNING_SHARD = 283
    FOR_TESTING_ERROR_EXTRA_INFO_WITH_EXTRA_INFO_IN_NAMESPACE = 284
    INDEX_BUILD_ALREADY_IN_PROGRESS = 285
    CHANGE_STREAM_HISTORY_LOST = 286
    TRANSACTION_COORDINATOR_DEADLINE_TASK_CANCELED = 287
    CHECKSUM_MISMATCH = 288
    WAIT_FOR_MAJORITY_SERVICE_EARLIER_OP_TIME_AVAILABLE = 289
    TRANSACTION_EXCEEDED_LIFETIME_LIMIT_SECONDS = 290
    NO_QUERY_EXECUTION_PLANS = 291
    QUERY_EXCEEDED_MEMORY_LIMIT_NO_DISK_USE_ALLOWED = 292
    INVALID_SEED_LIST = 293
    INVALID_TOPOLOGY_TYPE = 294
    INVALID_HEART_BEAT_FREQUENCY = 295
    TOPOLOGY_SET_NAME_REQUIRED = 296
    HIERARCHICAL_ACQUISITION_LEVEL_VIOLATION = 297
    INVALID_SERVER_TYPE = 298
    OCSP_CERTIFICATE_STATUS_REVOKED = 299
    RANGE_DELETION_ABANDONED_BECAUSE_COLLECTION_WITH_UUID_DOES_NOT_EXIST = 300
    DATA_CORRUPTION_DETECTED = 301
    OCSP_CERTIFICATE_STATUS_UNKNOWN = 302
    SPLIT_HORIZON_CHANGE = 303
    SHARD_INVALIDATED_FOR_TARGETING = 304
    RANGE_DELETION_ABANDONED_BECAUSE_TASK_DOCUMENT_DOES_NOT_EXIST = 307
    CURRENT_CONFIG_NOT_COMMITTED_YET = 308
    EXHAUST_COMMAND_FINISHED = 309
    PERIODIC_JOB_IS_STOPPED = 310
    TRANSACTION_COORDINATOR_CANCELED = 311
    OPERATION_IS_KILLED_AND_DELISTED = 312
    RESUMABLE_RANGE_DELETER_DISABLED = 313
    OBJECT_IS_BUSY = 314
    TOO_STALE_TO_SYNC_FROM_SOURCE = 315
    QUERY_TRIAL_RUN_COMPLETED = 316
    CONNECTION_POOL_EXPIRED = 317
    FOR_TESTING_OPTIONAL_ERROR_EXTRA_INFO = 318
    MOVE_PRIMARY_IN_PROGRESS = 319
    TENANT_MIGRATION_CONFLICT = 320
    TENANT_MIGRATION_COMMITTED = 321
    API_VERSION_ERROR = 322
    API_STRICT_ERROR = 323
    API_DEPRECATION_ERROR = 324
    TENANT_MIGRATION_ABORTED = 325
    OPLOG_QUERY_MIN_TS_MISSING = 326
    NO_SUCH_TENANT_MIGRATION = 327
    TENANT_MIGRATION_ACCESS_BLOCKER_SHUTTING_DOWN = 328
    TENANT_MIGRATION_IN_PROGRESS = 329
    SKIP_COMMAND_EXECUTION = 330
    FAILED_TO_RUN_WITH_REPLY_BUILDER = 331
    CANNOT_DOWNGRADE = 332
    SERVICE_EXECUTOR_IN_SHUTDOWN = 333
    MECHANISM_UNAVAILABLE = 334
    TENANT_MIGRATION_FORGOTTEN = 335
    TIMESERIES_BUCKET_CLEARED = 336
    AUTHENTICATION_ABANDONED = 337
    RESHARD_COLLECTION_IN_PROGRESS = 338
    NO_SUCH_RESHARD_COLLECTION = 339
    RESHARD_COLLECTION_COMMITTED = 340
    RESHARD_COLLECTION_ABORTED = 341
    RESHARDING_CRITICAL_SECTION_TIMEOUT = 342
    SHARD_CANNOT_REFRESH_DUE_TO_LOCKS_HELD = 343
    AUDITING_NOT_ENABLED = 344
    RUNTIME_AUDIT_CONFIGURATION_NOT_ENABLED = 345
    CHANGE_STREAM_INVALIDATED = 346
    API_MISMATCH_ERROR = 347
    CHUNK_METADATA_INCONSISTENCY = 348
    LOAD_BALANCER_SUPPORT_MISMATCH = 349
    CURSOR_NOT_CLOSED = 351
    UNSUPPORTED_OP_QUERY_COMMAND = 352
    TRANSACTION_API_MUST_RETRY_TRANSACTION = 357
    TRANSACTION_API_MUST_RETRY_COMMIT = 358
    CANNOT_CONVERT_INDEX_TO_UNIQUE = 359
    FLE_MAX_TAG_LIMIT_EXCEEDED = 360
    NON_CONFORMANT_BSON = 361
    DATABASE_METADATA_REFRESH_CANCELED = 362
    REQUEST_ALREADY_FULFILLED = 363
    RESHARDING_COORDINATOR_SERVICE_CONFLICTING_OPERATION_IN_PROGRESS = 364
    REMOTE_COMMAND_EXECUTION_ERROR = 365
    COLLECTION_IS_EMPTY_LOCALLY = 366
    CONNECTION_ERROR = 367
    CONFLICTING_SERVERLESS_OPERATION = 368
    FLE_TRANSACTION_ABORT = 371
    CANNOT_DROP_SHARD_KEY_INDEX = 372
    USER_WRITES_BLOCKED = 373
    CLOSE_CONNECTION_FOR_SHUTDOWN_COMMAND = 374
    INTERNAL_TRANSACTIONS_EXHAUSTIVE_FIND_HAS_MORE = 375
    TRANSACTION_API_MUST_RETRY_INTERNAL_TRANSACTION = 376
    CLUSTER_ROLE_NOT_SUPPORTED = 377
    FLE_STATE_COLLECTION_CONTENTION = 378
    FLE_COMPACTION_PLACEHOLDER = 379
    FLE_MAX_TAG_LIMIT_EXCEEDED_ON_QUERY = 381
    INDEX_KEY_TOO_LONG = 383
    CANNOT_UPGRADE = 387
    RESUME_TENANT_CHANGE_STREAM = 388
    NATIVE_HTTP_CLIENT_ERROR = 389
    CANNOT_INSERT_TIMESERIES_BUCKETS_WITH_MIXED_SCHEMA = 391
    OFFLINE_VALIDATION_FAILED_TO_COMPLETE = 393
    TIMESERIES_BUCKET_FROZEN = 394
    QUERY_REJECTED_BY_SETTINGS = 396
    DUPLICATE_KEY_ID = 397
    STALE_PRIMARY_CONFIG = 400
    SHARD_REMOVED_ERROR = 406
    SOCKET_EXCEPTION = 9001
    CANNOT_GROW_DOCUMENT_IN_CAPPED_NAMESPACE = 10003
    NOT_WRITABLE_PRIMARY = 10107
    BSON_OBJECT_TOO_LARGE = 10334
    DUPLICATE_KEY = 11000
    INTERRUPTED_AT_SHUTDOWN = 11600
    INTERRUPTED = 11601
    INTERRUPTED_DUE_TO_REPL_STATE_CHANGE = 11602
    BACKGROUND_OPERATION_IN_PROGRESS_FOR_DATABASE = 12586
    BACKGROUND_OPERATION_IN_PROGRESS_FOR_NAMESPACE = 12587
    MERGE_STAGE_NO_MATCHING_DOCUMENT = 13113
    DATABASE_DIFFER_CASE = 13297
    STALE_CONFIG = 13388
    NOT_PRIMARY_NO_SECONDARY_OK = 13435
    NOT_PRIMARY_OR_SECONDARY = 13436
    OUT_OF_DISK_SPACE = 14031
    SEARCH_NOT_ENABLED = 31082
    CLIENT_MARKED_KILLED = 46841
    NOT_A_RETRYABLE_WRITE_COMMAND = 50768


CODE_NAMES: Final[dict[int, str]] = {
    0: "OK",
    1: "InternalError",
    2: "BadValue",
    4: "NoSuchKey",
    5: "GraphContainsCycle",
    6: "HostUnreachable",
    7: "HostNotFound",
    8: "UnknownError",
    9: "FailedToParse",
    10: "CannotMutateObject",
    11: "UserNotFound",
    12: "UnsupportedFormat",
    13: "Unauthorized",
    14: "TypeMismatch",
    15: "Overflow",
    16: "InvalidLength",
    17: "ProtocolError",
    18: "AuthenticationFailed",
    19: "CannotReuseObject",
    20: "IllegalOperation",
    21: "EmptyArrayOperation",
    22: "InvalidBSON",
    23: "AlreadyInitialized",
    24: "LockTimeout",
    25: "RemoteValidationError",
    26: "NamespaceNotFound",
    27: "IndexNotFound",
    28: "PathNotViable",
    29: "NonExistentPath",
    30: "InvalidPath",
    31: "RoleNotFound",
    32: "RolesNotRelated",
    33: "PrivilegeNotFound",
    34: "CannotBackfillArray",
    36: "RemoteChangeDetected",
    37: "FileRenameFailed",
    38: "FileNotOpen",
    39: "FileStreamFailed",
    40: "ConflictingUpdateOperators",
    41: "FileAlreadyOpen",
    42: "LogWriteFailed",
    43: "CursorNotFound",
    45: "UserDataInconsistent",
    46: "LockBusy",
    47: "NoMatchingDocument",
    48: "NamespaceExists",
    49: "InvalidRoleModification",
    50: "MaxTimeMSExpired",
    51: "ManualInterventionRequired",
    52: "DollarPrefixedFieldName",
    53: "InvalidIdField",
    54: "NotSingleValueField",
    55: "InvalidDBRef",
    56: "EmptyFieldName",
    57: "DottedFieldName",
    58: "RoleModificationFailed",
    59: "CommandNotFound",
    61: "ShardKeyNotFound",
    62: "OplogOperationUnsupported",
    63: "StaleShardVersion",
    64: "WriteConcernTimeout",
    65: "MultipleErrorsOccurred",
    66: "ImmutableField",
    67: "CannotCreateIndex",
    68: "IndexAlreadyExists",
    69: "AuthSchemaIncompatible",
    70: "ShardNotFound",
    71: "ReplicaSetNotFound",
    72: "InvalidOptions",
    73: "InvalidNamespace",
    74: "NodeNotFound",
    75: "WriteConcernLegacyOK",
    76: "NoReplicationEnabled",
    77: "OperationIncomplete",
    78: "CommandResultSchemaViolation",
    79: "UnknownReplWriteConcern",
    80: "RoleDataInconsistent",
    81: "NoMatchParseContext",
    82: "NoProgressMade",
    83: "RemoteResultsUnavailable",
    85: "IndexOptionsConflict",
    86: "IndexKeySpecsConflict",
    87: "CannotSplit",
    89: "NetworkTimeout",
    90: "CallbackCanceled",
    91: "ShutdownInProgress",
    92: "SecondaryAheadOfPrimary",
    93: "InvalidReplicaSetConfig",
    94: "NotYetInitialized",
    95: "NotSecondary",
    96: "OperationFailed",
    97: "NoProjectionFound",
    98: "DBPathInUse",
    100: "UnsatisfiableWriteConcern",
    101: "OutdatedClient",
    102: "IncompatibleAuditMetadata",
    103: "NewReplicaSetConfigurationIncompatible",
    104: "NodeNotElectable",
    105: "IncompatibleShardingMetadata",
    106: "DistributedClockSkewed",
    107: "LockFailed",
    108: "InconsistentReplicaSetNames",
    109: "ConfigurationInProgress",
    110: "CannotInitializeNodeWithData",
    111: "NotExactValueField",
    112: "WriteConflict",
    113: "InitialSyncFailure",
    114: "InitialSyncOplogSourceMissing",
    115: "CommandNotSupported",
    116: "DocTooLargeForCapped",
    117: "ConflictingOperationInProgress",
    118: "NamespaceNotSharded",
    119: "InvalidSyncSource",
    120: "OplogStartMissing",
    121: "DocumentValidationFailure",
    123: "NotAReplicaSet",
    124: "IncompatibleElectionProtocol",
    125: "CommandFailed",
    126: "RPCProtocolNegotiationFailed",
    127: "UnrecoverableRollbackError",
    128: "LockNotFound",
    129: "LockStateChangeFailed",
    130: "SymbolNotFound",
    133: "FailedToSatisfyReadPreference",
    134: "ReadConcernMajorityNotAvailableYet",
    135: "StaleTerm",
    136: "CappedPositionLost",
    137: "IncompatibleShardingConfigVersion",
    138: "RemoteOplogStale",
    139: "JSInterpreterFailure",
    140: "InvalidSSLConfiguration",
    141: "SSLHandshakeFailed",
    142: "JSUncatchableError",
    143: "CursorInUse",
    144: "IncompatibleCatalogManager",
    145: "PooledConnectionsDropped",
    146: "ExceededMemoryLimit",
    147: "ZLibError",
    148: "ReadConcernMajorityNotEnabled",
    149: "NoConfigPrimary",
    150: "StaleEpoch",
    151: "OperationCannotBeBatched",
    152: "OplogOutOfOrder",
    153: "ChunkTooBig",
    154: "InconsistentShardIdentity",
    155: "CannotApplyOplogWhilePrimary",
    157: "CanRepairToDowngrade",
    158: "MustUpgrade",
    159: "DurationOverflow",
    160: "MaxStalenessOutOfRange",
    161: "IncompatibleCollationVersion",
    162: "CollectionIsEmpty",
    163: "ZoneStillInUse",
    164: "InitialSyncActive",
    165: "ViewDepthLimitExceeded",
    166: "CommandNotSupportedOnView",
    167: "OptionNotSupportedOnView",
    168: "InvalidPipelineOperator",
    169: "CommandOnShardedViewNotSupportedOnMongod",
    170: "TooManyMatchingDocuments",
    171: "CannotIndexParallelArrays",
    172: "TransportSessionClosed",
    173: "TransportSessionNotFound",
    174: "TransportSessionUnknown",
    175: "QueryPlanKilled",
    176: "FileOpenFailed",
    177: "ZoneNotFound",
    178: "RangeOverlapConflict",
    179: "WindowsPdhError",
    180: "BadPerfCounterPath",
    181: "AmbiguousIndexKeyPattern",
    182: "InvalidViewDefinition",
    183: "ClientMetadataMissingField",
    184: "ClientMetadataAppNameTooLarge",
    185: "ClientMetadataDocumentTooLarge",
    186: "ClientMetadataCannotBeMutated",
    187: "LinearizableReadConcernError",
    188: "IncompatibleServerVersion",
    189: "PrimarySteppedDown",
    190: "MasterSlaveConnectionFailure",
    192: "FailPointEnabled",
    193: "NoShardingEnabled",
    194: "BalancerInterrupted",
    195: "ViewPipelineMaxSizeExceeded",
    197: "InvalidIndexSpecificationOption",
    199: "ReplicaSetMonitorRemoved",
    200: "ChunkRangeCleanupPending",
    201: "CannotBuildIndexKeys",
    202: "NetworkInterfaceExceededTimeLimit",
    203: "ShardingStateNotInitialized",
    204: "TimeProofMismatch",
    205: "ClusterTimeFailsRateLimiter",
    206: "NoSuchSession",
    207: "InvalidUUID",
    208: "TooManyLocks",
    209: "StaleClusterTime",
    210: "CannotVerifyAndSignLogicalTime",
    211: "KeyNotFound",
    212: "IncompatibleRollbackAlgorithm",
    213: "DuplicateSession",
    214: "AuthenticationRestrictionUnmet",
    215: "DatabaseDropPending",
    216: "ElectionInProgress",
    217: "IncompleteTransactionHistory",
    218: "UpdateOperationFailed",
    219: "FTDCPathNotSet",
    220: "FTDCPathAlreadySet",
    221: "IndexModified",
    222: "CloseChangeStream",
    223: "IllegalOpMsgFlag",
    224: "QueryFeatureNotAllowed",
    225: "TransactionTooOld",
    226: "AtomicityFailure",
    227: "CannotImplicitlyCreateCollection",
    228: "SessionTransferIncomplete",
    229: "MustDowngrade",
    230: "DNSHostNotFound",
    231: "DNSProtocolError",
    232: "MaxSubPipelineDepthExceeded",
    233: "TooManyDocumentSequences",
    234: "RetryChangeStream",
    235: "InternalErrorNotSupported",
    236: "ForTestingErrorExtraInfo",
    237: "CursorKilled",
    238: "NotImplemented",
    239: "SnapshotTooOld",
    240: "DNSRecordTypeMismatch",
    241: "ConversionFailure",
    242: "CannotCreateCollection",
    243: "IncompatibleWithUpgradedServer",
    245: "BrokenPromise",
    246: "SnapshotUnavailable",
    247: "ProducerConsumerQueueBatchTooLarge",
    248: "ProducerConsumerQueueEndClosed",
    249: "StaleDbVersion",
    250: "StaleChunkHistory",
    251: "NoSuchTransaction",
    252: "ReentrancyNotAllowed",
    253: "FreeMonHttpInFlight",
    254: "FreeMonHttpTemporaryFailure",
    255: "FreeMonHttpPermanentFailure",
    256: "TransactionCommitted",
    257: "TransactionTooLarge",
    258: "UnknownFeatureCompatibilityVersion",
    259: "KeyedExecutorRetry",
    260: "InvalidResumeToken",
    261: "TooManyLogicalSessions",
    262: "ExceededTimeLimit",
    263: "OperationNotSupportedInTransaction",
    264: "TooManyFilesOpen",
    265: "OrphanedRangeCleanUpFailed",
    266: "FailPointSetFailed",
    267: "PreparedTransactionInProgress",
    268: "CannotBackup",
    269: "DataModifiedByRepair",
    270: "RepairedReplicaSetNode",
    271: "JSInterpreterFailureWithStack",
    272: "MigrationConflict",
    273: "ProducerConsumerQueueProducerQueueDepthExceeded",
    274: "ProducerConsumerQueueConsumed",
    275: "ExchangePassthrough",
    276: "IndexBuildAborted",
    277: "AlarmAlreadyFulfilled",
    278: "UnsatisfiableCommitQuorum",
    279: "ClientDisconnect",
    280: "ChangeStreamFatalError",
    281: "TransactionCoordinatorSteppingDown",
    282: "TransactionCoordinatorReachedAbortDecision",
    283: "WouldChangeOwningShard",
    284: "ForTestingErrorExtraInfoWithExtraInfoInNamespace",
    285: "IndexBuildAlreadyInProgress",
    286: "ChangeStreamHistoryLost",
    287: "TransactionCoordinatorDeadlineTaskCanceled",
    288: "ChecksumMismatch",
    289: "WaitForMajorityServiceEarlierOpTimeAvailable",
    290: "TransactionExceededLifetimeLimitSeconds",
    291: "NoQueryExecutionPlans",
    292: "QueryExceededMemoryLimitNoDiskUseAllowed",
    293: "InvalidSeedList",
    294: "InvalidTopologyType",
    295: "InvalidHeartBeatFrequency",
    296: "TopologySetNameRequired",
    297: "HierarchicalAcquisitionLevelViolation",
    298: "InvalidServerType",
    299: "OCSPCertificateStatusRevoked",
    300: "RangeDeletionAbandonedBecauseCollectionWithUUIDDoesNotExist",
    301: "DataCorruptionDetected",
    302: "OCSPCertificateStatusUnknown",
    303: "SplitHorizonChange",
    304: "ShardInvalidatedForTargeting",
    307: "RangeDeletionAbandonedBecauseTaskDocumentDoesNotExist",
    308: "CurrentConfigNotCommittedYet",
    309: "ExhaustCommandFinished",
    310: "PeriodicJobIsStopped",
    311: "TransactionCoordinatorCanceled",
    312: "OperationIsKilledAndDelisted",
    313: "ResumableRangeDeleterDisabled",
    314: "ObjectIsBusy",
    315: "TooStaleToSyncFromSource",
    316: "QueryTrialRunCompleted",
    317: "ConnectionPoolExpired",
    318: "ForTestingOptionalErrorExtraInfo",
    319: "MovePrimaryInProgress",
    320: "TenantMigrationConflict",
    321: "TenantMigrationCommitted",
    322: "APIVersionError",
    323: "APIStrictError",
    324: "APIDeprecationError",
    325: "TenantMigrationAborted",
    326: "OplogQueryMinTsMissing",
    327: "NoSuchTenantMigration",
    328: "TenantMigrationAccessBlockerShuttingDown",
    329: "TenantMigrationInProgress",
    330: "SkipCommandExecution",
    331: "FailedToRunWithReplyBuilder",
    332: "CannotDowngrade",
    333: "ServiceExecutorInShutdown",
    334: "MechanismUnavailable",
    335: "TenantMigrationForgotten",
    336: "TimeseriesBucketCleared",
    337: "AuthenticationAbandoned",
    338: "ReshardCollectionInProgress",
    339: "NoSuchReshardCollection",
    340: "ReshardCollectionCommitted",
    341: "ReshardCollectionAborted",
    342: "ReshardingCriticalSectionTimeout",
    343: "ShardCannotRefreshDueToLocksHeld",
    344: "AuditingNotEnabled",
    345: "RuntimeAuditConfigurationNotEnabled",
    346: "ChangeStreamInvalidated",
    347: "APIMismatchError",
    348: "ChunkMetadataInconsistency",
    349: "LoadBalancerSupportMismatch",
    351: "CursorNotClosed",
    352: "UnsupportedOpQueryCommand",
    357: "TransactionAPIMustRetryTransaction",
    358: "TransactionAPIMustRetryCommit",
    359: "CannotConvertIndexToUnique",
    360: "FLEMaxTagLimitExceeded",
    361: "NonConformantBSON",
    362: "DatabaseMetadataRefreshCanceled",
    363: "RequestAlreadyFulfilled",
    364: "ReshardingCoordinatorServiceConflictingOperationInProgress",
    365: "RemoteCommandExecutionError",
    366: "CollectionIsEmptyLocally",
    367: "ConnectionError",
    368: "ConflictingServerlessOperation",
    371: "FLETransactionAbort",
    372: "CannotDropShardKeyIndex",
    373: "UserWritesBlocked",
    374: "CloseConnectionForShutdownCommand",
    375: "InternalTransactionsExhaustiveFindHasMore",
    376: "TransactionAPIMustRetryInternalTransaction",
    377: "ClusterRoleNotSupported",
    378: "FLEStateCollectionContention",
    379: "FLECompactionPlaceholder",
    381: "FLEMaxTagLimitExceededOnQuery",
    383: "IndexKeyTooLong",
    387: "CannotUpgrade",
    388: "ResumeTenantChangeStream",
    389: "NativeHttpClientError",
    391: "CannotInsertTimeseriesBucketsWithMixedSchema",
    393: "OfflineValidationFailedToComplete",
    394: "TimeseriesBucketFrozen",
    396: "QueryRejectedBySettings",
    397: "DuplicateKeyId",
    400: "StalePrimaryConfig",
    406: "ShardRemovedError",
    9001: "SocketException",
    10003: "CannotGrowDocumentInCappedNamespace",
    10107: "NotWritablePrimary",
    10334: "BSONObjectTooLarge",
    11000: "DuplicateKey",
    11600: "InterruptedAtShutdown",
    11601: "Interrupted",
    11602: "InterruptedDueToReplStateChange",
    12586: "BackgroundOperationInProgressForDatabase",
    12587: "BackgroundOperationInProgressForNamespace",
    13113: "MergeStageNoMatchingDocument",
    13297: "DatabaseDifferCase",
    13388: "StaleConfig",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
    14031: "OutOfDiskSpace",
    31082: "SearchNotEnabled",
    46841: "ClientMarkedKilled",
    50768: "NotARetryableWriteCommand",
}
