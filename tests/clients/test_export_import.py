"""`psdb export` and `psdb import`: mongoexport's JSON and CSV there and back."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from pymongo import MongoClient
from servers import Server

from psdb.cli import main

EVERYTHING = {
    "_id": ObjectId("64b0c0ffee0123456789abcd"), "int": 1, "long": Int64(2**40), "double": 1.5,
    "date": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000), "text": 'quotes " and ünïcødé',
    "binary": Binary(b"\x00\xff", 5), "regex": Regex("^a", "i"), "stamp": Timestamp(5, 6),
    "decimal": Decimal128("1.20"), "null": None, "yes": True, "list": [1, [2, {"a": 3}]],
    "object": {"b": 1, "a": 2},
}


@pytest.fixture
def things(server: Server) -> Iterator[Any]:
    with MongoClient(server.uri) as client:
        client.drop_database("tools")
        client.tools.things.insert_many([{"_id": n, "a": n % 3, "b": {"c": n}} for n in range(9)])
        yield client.tools.things
        client.drop_database("tools")


@dataclass
class Done:
    """How a tool ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def psdb(server: Server, tool: str, *arguments: str, stdin: str = "") -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdin", io.StringIO(stdin))
        code = main([tool, "--uri", server.uri, "-d", "tools", *arguments])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("flags", [(), ("--jsonArray",)])
def test_every_type_there_and_back(
    server: Server, things: Any, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    things.insert_one(EVERYTHING)
    out = str(tmp_path / "out.json")
    done = psdb(
        server, "export", "-c", "things", "--jsonFormat", "canonical", "-o", out, *flags
    )
    assert (done.returncode, done.stderr) == (0, "exported 10 records\n")
    done = psdb(server, "import", "-c", "copy", *flags, out)
    assert "10 document(s) imported successfully. 0 document(s) failed" in done.stderr
    copied = things.database.copy.aggregate([{"$sort": {"_id": 1}}])
    assert list(copied) == list(things.aggregate([{"$sort": {"_id": 1}}]))
    types = {"$type": "$long"}
    (row,) = things.database.copy.aggregate([{"$match": {"int": 1}}, {"$project": {"t": types}}])
    assert row["t"] == "long"


def test_which_documents_and_fields(server: Server, things: Any) -> None:
    done = psdb(
        server, "export", "-c", "things", "-q", '{"a": {"$in": [1, 2]}}', "-f", "b.c",
        "--sort", '{"_id": -1}', "--skip", "1", "--limit", "2", "--quiet",
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"_id": 7, "b": {"c": 7}}, {"_id": 5, "b": {"c": 5}},
    ]
    assert done.stderr == ""
    assert psdb(server, "export", "-c", "things", "-q", "{a: }").returncode == 1


def test_csv_there_and_back(server: Server, things: Any, tmp_path: Path) -> None:
    things.insert_one({"_id": "text", "a": "one, two", "b": {"c": 'a "b"'}})
    out = tmp_path / "out.csv"
    done = psdb(
        server, "export", "-c", "things", "--type", "csv", "-f", "_id,a,b.c,none", "-o", str(out)
    )
    assert done.returncode == 0
    assert out.read_text().splitlines()[0] == "_id,a,b.c,none"
    done = psdb(
        server, "import", "-c", "copy", "--type", "csv", "--headerline", "--ignoreBlanks",
        str(out),
    )
    assert done.returncode == 0
    assert list(things.database.copy.find()) == list(things.find())
    assert psdb(server, "export", "-c", "things", "--type", "csv").returncode == 1


def test_modes(server: Server, things: Any) -> None:
    lines = '{"_id": 1, "a": "new"}\n{"_id": 100,\n "a": "new"} {"_id": 2, "x": 1}'
    done = psdb(server, "import", "-c", "things", stdin=lines)
    assert "1 document(s) imported successfully. 2 document(s) failed" in done.stderr
    assert done.returncode == 0
    assert psdb(server, "import", "-c", "things", "--stopOnError", stdin=lines).returncode == 1
    psdb(server, "import", "-c", "things", "--mode", "merge", stdin=lines)
    assert things.find_one(2) == {"_id": 2, "a": 2, "b": {"c": 2}, "x": 1}
    psdb(server, "import", "-c", "things", "--mode", "upsert", stdin=lines)
    assert things.find_one(2) == {"_id": 2, "x": 1}
    by_a = '{"a": "new", "y": 1}'
    psdb(server, "import", "-c", "things", "--mode", "upsert", "--upsertFields", "a", stdin=by_a)
    assert things.find_one({"y": 1})["_id"] == 1
    done = psdb(server, "import", "-c", "things", "--mode", "delete", stdin='{"_id": 2}')
    assert "1 document(s) deleted" in done.stderr
    psdb(server, "import", "-c", "things", "--drop", stdin='{"_id": "only"}')
    assert list(things.find()) == [{"_id": "only"}]


def test_bad_input_is_told(server: Server, things: Any) -> None:
    done = psdb(server, "import", "-c", "things", stdin='{"_id": "x"} {"_id": ')
    assert done.returncode == 1
    assert "document 2 is no valid JSON" in done.stderr
    done = psdb(server, "import", "-c", "things", stdin='[{"_id": "y"}]')
    assert "is no object" in done.stderr
    assert psdb(server, "import", "-c", "things", "/nowhere").returncode == 1
