"""The list of known differences: cases that fail, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("known_differences.txt")
_DASH: Final = " — "


def read(text: str) -> dict[str, str]:
    """Read lines `folder/file: description — reason`; ValueError for any other."""
    known: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, dash, reason = line.rpartition(_DASH)
        if not dash or not reason.strip() or ": " not in name:
            raise ValueError(f"not `folder/file: description{_DASH}reason`: {line}")
        if name in known:
            raise ValueError(f"listed twice: {name}")
        known[name] = reason.strip()
    return known


def known_differences() -> dict[str, str]:
    """Return reasons by the names of cases."""
    return read(FILE.read_text(encoding="utf-8"))
