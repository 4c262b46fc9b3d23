"""The log: the shape of a line, what people read, verbosity, files, and never an exception."""

from __future__ import annotations

import io
import json
import re

import pytest
from bson import ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.real_log import LINES_KEPT, STRING_BYTES_MAX, RealLog


class Clock:
    def __init__(self, now=1_700_000_000_123):
        self.now = now

    def now_ms(self):
        return self.now

    def monotonic(self):
        return 0.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_shape_of_a_line():
    stream = io.StringIO()
    log = RealLog(Clock(), stream, service="S")
    log.write("I", "NETWORK", 22943, "Connection accepted", {"ctx": "conn1", "remote": "h:1"})
    log.write("W", "CONTROL", 22120, "Access control is not enabled for the database", {})
    assert stream.getvalue().splitlines()[0] == (
        '{"t":{"$date":"2023-11-14T22:13:20.123+00:00"},"s":"I","c":"NETWORK","id":22943,'
        '"svc":"S","ctx":"conn1","msg":"Connection accepted","attr":{"remote":"h:1"}}'
    )
    second = lines(stream)[1]
    assert list(second) == ["t", "s", "c", "id", "svc", "ctx", "msg"]
    assert second["ctx"] == "main"
    assert [json.loads(line)["id"] for line in log.recent()] == [22943, 22120]
    assert [json.loads(line)["id"] for line in log.warnings()] == [22120]
    assert log.total_lines == 2


def test_the_time_moves_on():
    clock = Clock()
    stream = io.StringIO()
    log = RealLog(clock, stream)
    for now in (0, 999, 1000, 951_782_400_005):
        clock.now = now
        log.write("I", "CONTROL", 1, "x", {})
    assert [line["t"]["$date"] for line in lines(stream)] == [
        "1970-01-01T00:00:00.000+00:00",
        "1970-01-01T00:00:00.999+00:00",
        "1970-01-01T00:00:01.000+00:00",
        "2000-02-29T00:00:00.005+00:00",
    ]


def test_people_on_a_terminal_read_one_line(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    log = RealLog(Clock(), stream)
    log.write("I", "NETWORK", 23016, "Waiting for connections", {"port": 27017, "tls": [1, 2]})
    log.write("W", "CONTROL", 2, "careful", {})
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"22:13:20.123 I  NETWORK  Waiting for connections  port=27017 tls=\[1, 2\]", first
    )
    assert second.startswith("\033[33m")
    assert json.loads(log.recent()[0])["attr"] == {"port": 27017, "tls": [1, 2]}
    structured = Terminal()
    RealLog(Clock(), structured, structured=True).write("I", "C", 1, "x", {})
    assert json.loads(structured.getvalue())["msg"] == "x"


def test_a_client_cannot_steer_the_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    RealLog(Clock(), stream).write(
        "W", "ACCESS", 1, "x", {"app": "\033[2J\n\x07evil", "o": ["\033"]}
    )
    text = stream.getvalue()
    assert "\033" not in text
    assert "\x07" not in text
    assert text.count("\n") == 1


TEXT = st.text(st.characters(codec=None, exclude_categories=[]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary()
    | st.builds(ObjectId)
    | st.just(Timestamp(1, 2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans())
def test_any_attributes_give_one_line_of_json(attr, terminal):
    stream = Terminal() if terminal else io.StringIO()
    log = RealLog(Clock(), stream)
    log.write("I", "COMMAND", 51803, "Slow query", attr)
    (line,) = log.recent()
    assert json.loads(line)["msg"] == "Slow query"
    assert "\n" not in line
    text = stream.getvalue()
    text.encode()
    assert text.count("\n") == 1
    if not terminal:
        assert json.loads(text) == json.loads(line)


def test_values_json_has_no_form_for():
    log = RealLog(Clock())
    cycle = []
    cycle.append(cycle)
    log.write("I", "C", 1, "x", {"id": ObjectId(b"a" * 12), "ts": Timestamp(3, 4)})
    log.write("I", "C", 1, "x", {"cycle": cycle})
    log.write("I", "C", 1, "x", {"nan": float("nan"), "n": 1})
    log.write("I", "C", 1, "x", {"keys": {(1, 2): 3}})
    attrs = [json.loads(line)["attr"] for line in log.recent()]
    assert attrs[0] == {"id": {"$oid": "61" * 12}, "ts": {"$timestamp": {"t": 3, "i": 4}}}
    assert attrs[2] == {"nan": "nan", "n": "1"}


@pytest.mark.parametrize("context", [float("inf"), ObjectId(b"b" * 12), None, {}])
def test_a_context_that_is_no_string(context):
    log = RealLog(Clock())
    log.write("I", "C", 1, "x", {"ctx": context, "n": float("nan")})
    assert json.loads(log.recent()[0])["ctx"] == str(context)


def test_halves_of_surrogate_pairs():
    log = RealLog(Clock())
    log.write("I", "C", 1, "x", {"file": "a\udc80é"})
    (line,) = log.recent()
    line.encode()
    assert json.loads(line)["attr"] == {"file": "a\udc80é"}


def test_long_strings_are_cut():
    log = RealLog(Clock())
    log.write("I", "C", 1, "x", {"long": "y" * (STRING_BYTES_MAX + 5), "short": "z"})
    entry = json.loads(log.recent()[0])
    assert len(entry["attr"]["long"]) == STRING_BYTES_MAX
    assert entry["truncated"] == {"long": {"type": "string", "size": STRING_BYTES_MAX + 5}}
    assert entry["attr"]["short"] == "z"


def test_the_last_lines_are_kept():
    log = RealLog(Clock())
    for i in range(LINES_KEPT + 10):
        log.write("I", "C", i, "x", {})
    kept = [json.loads(line)["id"] for line in log.recent()]
    assert kept == list(range(10, LINES_KEPT + 10))


@pytest.mark.parametrize(
    ("verbosity", "component", "severity", "written"),
    [
        ({}, "QUERY", "D", False),
        ({}, "QUERY", "I", True),
        ({"": 1}, "QUERY", "D", True),
        ({"": 1}, "QUERY", "D1", True),
        ({"": 1}, "QUERY", "D2", False),
        ({"": 9}, "QUERY", "D5", True),
        ({"QUERY": 2}, "QUERY", "D2", True),
        ({"QUERY": 2}, "INDEX", "D1", False),
        ({"": 3, "QUERY": 0}, "QUERY", "D1", False),
        ({"": 3, "QUERY": 0}, "INDEX", "D3", True),
    ],
)
def test_verbosity(verbosity, component, severity, written):
    log = RealLog(Clock())
    for name, level in verbosity.items():
        log.set_verbosity(name, level)
    log.write(severity, component, 1, "x", {})
    assert bool(log.recent()) == written
    if written and severity.startswith("D"):
        assert json.loads(log.recent()[0])["s"] == (severity if severity != "D" else "D1")


def test_taking_a_verbosity_back():
    log = RealLog(Clock())
    log.set_verbosity("QUERY", 2)
    assert log.verbosity == {"QUERY": 2}
    log.set_verbosity("QUERY", -1)
    assert log.verbosity == {}
    assert not log.enabled("QUERY", 1)


def test_a_file_is_private_and_rotates(tmp_path):
    clock = Clock()
    log = RealLog(clock, io.StringIO())
    log.rotate()
    path = tmp_path / "psdb.log"
    log.open_file(str(path))
    log.write("I", "C", 1, "one", {})
    assert path.stat().st_mode & 0o777 == 0o600
    log.rotate()
    log.write("I", "C", 2, "two", {})
    path.rename(tmp_path / "moved")
    log.rotate(rename=False)
    log.write("I", "C", 3, "three", {})
    old = tmp_path / "psdb.log.2023-11-14T22-13-20"
    found = [json.loads(file.read_text())["msg"] for file in (old, tmp_path / "moved", path)]
    assert found == ["one", "two", "three"]
    log.open_file(str(path))
    log.write("I", "C", 4, "four", {})
    assert len(path.read_text().splitlines()) == 2
    log.open_file(str(path), append=False)
    assert path.read_text() == ""


def test_a_log_that_cannot_be_written_is_no_error():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    log = RealLog(Clock(), Full())
    log.write("I", "C", 1, "x", {})
    closed = io.StringIO()
    closed.close()
    log = RealLog(Clock(), structured=True)
    log._stream = closed
    log.write("I", "C", 2, "x", {})
    assert len(log.recent()) == 1
