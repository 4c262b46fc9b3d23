"""Folder names for databases and collections: every legal name gets a safe one.

Small letters, digits, `_`, `-` and inner dots stand for themselves; every other byte of the
UTF-8 name is written `%xx` (capitals too: file systems that ignore case must not join `a` and
`A`). Names that Windows reserves get their first letter escaped. A result above 120 bytes is
cut at 80 and ends in `%~` and a hash of the whole name; `%~` is never made by escaping.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_RESERVED: Final = frozenset(
    ["aux", "con", "nul", "prn"]
    + [f"com{digit}" for digit in range(10)]
    + [f"lpt{digit}" for digit in range(10)]
)
_LONGEST_BYTES: Final = 120
_KEPT_BYTES: Final = 80


def folder_name(name: str) -> str:
    """Return the file name that stands for a database's or collection's name."""
    raw = name.encode("utf-8", "surrogatepass")
    last = len(raw) - 1
    parts = [
        chr(byte)
        if byte in _PLAIN and not (byte == 0x2E and position in (0, last))
        else f"%{byte:02x}"
        for position, byte in enumerate(raw)
    ]
    if name.partition(".")[0] in _RESERVED:
        parts[0] = f"%{raw[0]:02x}"
    escaped = "".join(parts)
    if len(escaped) <= _LONGEST_BYTES:
        return escaped
    kept = escaped[:_KEPT_BYTES]
    cut = kept.rfind("%", _KEPT_BYTES - 2)
    digest = blake2b(raw, digest_size=16).hexdigest()
    return f"{kept[:cut] if cut >= 0 else kept}%~{digest}"
