"""One line of a PSDB file: valid JSON that carries the checksum of its own bytes.

Every line of every file begins with a field of fixed width,

    {"c":"1a2b3c4d","…

whose eight hex digits are the CRC-32 of all bytes after the field's comma, without the
newline. So one slice verifies a line, and a flipped bit anywhere in it is found.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from zlib import crc32

PREFIX_BYTES: Final = len('{"c":"12345678",')
HASH_ZERO: Final = "0" * 32
"""The hash before the first line of a log."""


def seal(rest: bytes) -> bytes:
    """Make a line, newline included, of what follows the checksum field (no opening brace)."""
    return b'{"c":"%08x",%b\n' % (crc32(rest), rest)


def is_sound(line: bytes) -> bool:
    """Tell whether a line (without its newline) is complete and undamaged."""
    return line[:PREFIX_BYTES] == b'{"c":"%08x",' % crc32(memoryview(line)[PREFIX_BYTES:])


def line_hash(line: bytes) -> str:
    """Hash of a line (without its newline): 16 bytes of BLAKE2b in hex, a link of the chain."""
    return blake2b(line, digest_size=16).hexdigest()
