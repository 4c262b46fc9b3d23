"""Floor 7: the launcher and command line."""

from psdb_base.version import PSDB_VERSION as __version__

__all__ = ["__version__"]
