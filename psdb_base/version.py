"""PSDB's own version; the one place that says it beside `pyproject.toml` (a test compares)."""

from typing import Final

PSDB_VERSION: Final = "0.1.0"
