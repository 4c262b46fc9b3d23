"""The consensus core: a deterministic state machine, sans I/O. See `core` for how it works."""

from psdb_raft.core import Raft
from psdb_raft.log import LogTable
from psdb_raft.values import Config, HardState, Member, Position, Ready, Role, Settings

__all__ = [
    "Config", "HardState", "LogTable", "Member", "Position", "Raft", "Ready", "Role", "Settings",
]  # fmt: skip
