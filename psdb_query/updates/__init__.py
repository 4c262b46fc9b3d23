"""Updates: modifiers, replacement documents and pipelines, compiled once and applied often."""

from psdb_query.updates.update import Update, compile_update
from psdb_query.updates.upserts import check_id

__all__ = ["Update", "check_id", "compile_update"]
