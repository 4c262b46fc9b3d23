"""`docs/compatibility.md` is what its generator makes of the code and of a running server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient
from servers import Server

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load("generate")
probes = load("probes")


@pytest.fixture(scope="module")
def answers(server: Server) -> Iterator[Any]:
    with MongoClient(server.uri) as client:
        yield probes.ask(client.psdb_probes)


def test_the_page_is_what_the_code_says(answers: Any) -> None:
    written = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8").splitlines()
    made = generate.page(generate.build(answers)).splitlines()
    changed = [f"- {line}" for line in written if line not in made]
    changed += [f"+ {line}" for line in made if line not in written]
    assert written == made, "run docs/generate.py:\n" + "\n".join(changed)


def test_refusals_are_mongodb_errors_with_a_code(answers: Any) -> None:
    texts = [text for section in answers.values() for text in section.values() if text]
    assert texts
    assert all(text.endswith(")") and "InternalError" not in text for text in texts)
    assert not [text for text in texts if text.endswith("(1)")]


def test_a_name_that_nobody_listed_is_noticed(
    answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psdb_query.updates import table

    monkeypatch.setitem(table.MODIFIERS, "$nobody", table.MODIFIERS["$set"])
    with pytest.raises(SystemExit, match=r"update_operators: \$nobody"):
        generate.build(answers)


def test_what_the_tables_lose_the_page_loses(
    answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psdb_query.expressions import table

    monkeypatch.setitem(table.OPERATORS, "$add", None)
    expressions, = [s for s in generate.build(answers) if s.title == "Expressions"]
    assert ("arithmetic", "$add") in [(g, e.name) for g, e in expressions.of("no")]
    assert ("arithmetic", "$subtract") in [(g, e.name) for g, e in expressions.of("yes")]


def test_the_readmes_table_of_speed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = {
        "ping": {"null_us": 50.0, "psdb_us": 60.0, "ratio": 1.2},
        "filtered_scan": {"psdb_ms": 100.0, "documents_per_second": 1e6},
        "start": {"seconds": 0.3, "resident_mb": 50.0},
    }
    made = generate.with_speed(readme, results)
    assert "| `ping` | 50 µs | 60 µs | 1.2 |" in made
    assert "1,000,000 documents a second" in made
    assert "0.30 s and 50 MiB" in made
    assert generate.with_speed(made, results) == made
    assert made.split(generate.BEGIN)[0] == readme.split(generate.BEGIN)[0]
    assert made.split(generate.END)[1] == readme.split(generate.END)[1]
