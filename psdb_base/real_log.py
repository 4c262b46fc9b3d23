"""The log: MongoDB's structured JSON, a line an entry; on a terminal, lines for people.

The last lines are kept for `getLog`. A log that cannot be written never stops the node.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from typing import Any, Final, TextIO

from psdb_base.world import Clock

LINES_KEPT: Final = 1024
STRING_BYTES_MAX: Final = 10 * 1024
"""Longer strings are cut (MongoDB's maxLogSizeKB)."""
VERBOSITY_MAX: Final = 5
_FILE_MODE: Final = 0o600

_COLOURS: Final = {"D": "\033[2m", "E": "\033[31m", "F": "\033[31;1m", "W": "\033[33m"}
_COLOUR_OFF: Final = "\033[0m"


def _jsonable(value: Any) -> Any:
    """Return what JSON can hold for a value it cannot: ids and times as in Extended JSON."""
    kind = type(value).__name__
    if kind == "ObjectId":
        return {"$oid": str(value)}
    if kind == "UUID":
        return {"uuid": {"$uuid": str(value)}}
    if kind == "Timestamp":
        return {"$timestamp": {"t": value.time, "i": value.inc}}
    return str(value)


def _cut_strings(attr: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cut overlong strings; return the attributes and what was cut from which."""
    cut: dict[str, Any] = {}
    for name, value in attr.items():
        if type(value) is str and len(value) > STRING_BYTES_MAX:
            cut[name] = {"type": "string", "size": len(value)}
    if not cut:
        return attr, cut
    return {
        name: value[:STRING_BYTES_MAX] if name in cut else value for name, value in attr.items()
    }, cut


def _to_json(entry: dict[str, Any]) -> str:
    try:
        line = json.dumps(
            entry, default=_jsonable, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError, RecursionError):
        # A key that is no string, a NaN, a cycle: the line must come out all the same.
        attr = {str(name): str(value) for name, value in entry["attr"].items()}
        line = json.dumps({**entry, "attr": attr}, ensure_ascii=False, separators=(",", ":"))
    if line.isascii():
        return line
    # Halves of surrogate pairs (from file names) have no UTF-8, but JSON has an escape for them.
    return line.encode("utf-8", "backslashreplace").decode()


def _detail(value: Any) -> str:
    if type(value) is str:
        return value
    try:
        return json.dumps(value, default=_jsonable, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)


class RealLog:
    """Writes to a stream or, by `open_file`, to a file.

    Args:
        clock: Where the time of a line comes from.
        stream: Open for text; None keeps lines in memory only.
        service: `svc` of each line: `S` shard, `R` router, `-` neither.
        structured: JSON lines; None chooses them unless the stream is a terminal.

    """

    def __init__(
        self,
        clock: Clock,
        stream: TextIO | None = None,
        *,
        service: str = "-",
        structured: bool | None = None,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._service = service
        self._path = ""
        is_terminal = bool(stream is not None and stream.isatty())
        self._structured = not is_terminal if structured is None else structured
        self._colours = is_terminal and "NO_COLOR" not in os.environ
        self._recent: deque[str] = deque(maxlen=LINES_KEPT)
        self._warnings: deque[str] = deque(maxlen=LINES_KEPT)
        self._verbosity: dict[str, int] = {}
        self._second = -1
        self._second_text = ""
        self.total_lines = 0

    def write(
        self,
        severity: str,
        component: str,
        id_: int,
        message: str,
        attr: dict[str, Any],
    ) -> None:
        """Write one line; `D` and `D1` to `D5` only at that verbosity of the component.

        An attribute named `ctx` becomes the line's `ctx` field (`conn12`).
        """
        if severity[0] == "D":
            level = int(severity[1:] or 1)
            if not self.enabled(component, level):
                return
            severity = f"D{level}"
        attr, cut = _cut_strings(attr)
        now = self._now()
        entry: dict[str, Any] = {
            "t": {"$date": now},
            "s": severity,
            "c": component,
            "id": id_,
            "svc": self._service,
            "ctx": str(attr.get("ctx", "main")),
            "msg": message,
        }
        if "ctx" in attr:
            attr = {name: value for name, value in attr.items() if name != "ctx"}
        if attr:
            entry["attr"] = attr
        if cut:
            entry["truncated"] = cut
        line = _to_json(entry)
        self.total_lines += 1
        self._recent.append(line)
        if severity == "W":
            self._warnings.append(line)
        if self._stream is not None:
            self._emit(line if self._structured else self._readable(entry))

    def _emit(self, line: str) -> None:
        assert self._stream is not None
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # a full disk or a closed pipe; the node goes on and `getLog` still has it

    def _readable(self, entry: dict[str, Any]) -> str:
        attr = entry.get("attr", {})
        text = f"{entry['t']['$date'][11:23]} {entry['s']:2} {entry['c']:8} {entry['msg']}"
        if attr:
            details = " ".join(f"{name}={_detail(value)}" for name, value in attr.items())
            text = f"{text}  {details}"
        # What comes from a client must not steer the terminal.
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        colour = _COLOURS.get(entry["s"][0]) if self._colours else None
        return f"{colour}{text}{_COLOUR_OFF}" if colour else text

    def _now(self) -> str:
        seconds, milliseconds = divmod(self._clock.now_ms(), 1000)
        if seconds != self._second:
            self._second = seconds
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{self._second_text}.{milliseconds:03d}+00:00"

    # -- verbosity ----------------------------------------------------------------------------

    def enabled(self, component: str, level: int) -> bool:
        """Tell whether lines of this debug level are written for the component."""
        verbosity = self._verbosity.get(component)
        if verbosity is None:
            verbosity = self._verbosity.get("", 0)
        return level <= verbosity

    def set_verbosity(self, component: str, level: int) -> None:
        """Write debug lines up to a level, 0 to 5; component "" is the default of all others.

        Level -1 takes a component's own setting back.
        """
        if level < 0:
            self._verbosity.pop(component, None)
        else:
            self._verbosity[component] = min(level, VERBOSITY_MAX)

    @property
    def verbosity(self) -> dict[str, int]:
        """The levels that were set, by component; "" is the default."""
        return dict(self._verbosity)

    # -- getLog and files ---------------------------------------------------------------------

    def recent(self) -> list[str]:
        """Return the last lines as JSON, oldest first."""
        return list(self._recent)

    def warnings(self) -> list[str]:
        """Return the last warnings as JSON, oldest first."""
        return list(self._warnings)

    def open_file(self, path: str, *, append: bool = True) -> None:
        """Write to a file from now on, mode 0600, in JSON. OSError when it cannot be opened."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        descriptor = os.open(path, flags, _FILE_MODE)
        old, was_file = self._stream, bool(self._path)
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8")
        self._path = path
        self._structured = True
        self._colours = False
        if was_file and old is not None:
            old.close()

    def rotate(self, *, rename: bool = True) -> None:
        """Begin a new log file (SIGUSR1, `logRotate`).

        The old one is renamed to carry the time; with `rename` False somebody else did that
        and the file is only opened again. A log that is no file is left alone.
        """
        if not self._path:
            return
        if rename:
            target = f"{self._path}.{self._now()[:19].replace(':', '-')}"
            number = 1
            while os.path.exists(target if number == 1 else f"{target}-{number}"):  # noqa: PTH110
                number += 1  # the one before was within this second
            if number > 1:
                target = f"{target}-{number}"
            os.replace(self._path, target)  # noqa: PTH105 -- paths are strings
        self.open_file(self._path)

    def set_service(self, service: str) -> None:
        """Set the `svc` field of the lines to come."""
        self._service = service
