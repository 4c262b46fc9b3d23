"""Floor 7: the launcher and command line."""

__version__ = "0.1.0"
