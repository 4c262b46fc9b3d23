"""Every limit in one place, units last in the name.

Figures that clients see are MongoDB's documented ones ("MongoDB Limits and Thresholds").
"""

from typing import Final

DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest document a client may store."""
DOCUMENT_INTERNAL_BYTES_MAX: Final = DOCUMENT_BYTES_MAX + 16 * 1024
"""Largest document in a reply or between members (a stored document plus its envelope)."""
MESSAGE_BYTES_MAX: Final = 48_000_000
MESSAGE_INTERNAL_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 64 * 1024
"""Largest message between nodes: a client's with what a router adds, or a reply."""
WRITE_BATCH_COUNT_MAX: Final = 100_000
NESTING_PROMISED_MAX: Final = 100
NESTING_STORED_MAX: Final = 180
NESTING_MESSAGE_MAX: Final = 200
NAMESPACE_BYTES_MAX: Final = 255
DATABASE_NAME_BYTES_MAX: Final = 63
INDEXES_PER_COLLECTION_MAX: Final = 64
INDEX_FIELDS_MAX: Final = 32
PIPELINE_STAGES_MAX: Final = 1000
SORT_MEMORY_BYTES_MAX: Final = 100 * 1024 * 1024
REPLY_BATCH_BYTES_MAX: Final = DOCUMENT_BYTES_MAX
FIRST_BATCH_COUNT: Final = 101
CURSOR_IDLE_SECONDS_MAX: Final = 600
SESSION_IDLE_MINUTES: Final = 30
SESSIONS_MAX: Final = 1_000_000
CONNECTIONS_MAX: Final = 65_536
PRE_HELLO_MESSAGE_BYTES_MAX: Final = 64 * 1024
"""Before its first hello a connection may send no larger message than this."""
YIELD_DOCUMENTS: Final = 256
"""Long work gives the loop a turn after this many documents (drawn from the seed in simulation)."""
YIELD_BYTES: Final = 1024 * 1024
"""So does work that encodes documents, after this many bytes."""

WIRE_VERSION_MIN: Final = 0
WIRE_VERSION_MAX: Final = 25
"""MongoDB 8.0."""
MONGODB_VERSION: Final = "8.0.0"
MONGODB_VERSION_ARRAY: Final = (8, 0, 0, 0)
PROFILING_MODES: Final = ("off", "slowOp", "all")
"""`operationProfiling.mode` by profiling level."""
