"""House rules as tests: sizes, banned calls, sorted tables."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "configsvr", "psdb", "psdb_base", "psdb_query", "psdb_raft", "psdb_server", "psdb_store",
    "psdb_wire", "router", "shardsvr",
)
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100
PRAGMA = re.compile(r"  # (type: ignore|noqa).*")

# What is banned, and the modules that own it.
REAL_WORLD = {
    "psdb_base/real_disk.py", "psdb_base/real_log.py", "psdb_base/real_pulses.py",
    "psdb_base/real_world.py",
}
PROCESS = {
    "psdb_server/process_info.py", "psdb/nursery.py", "psdb/ping.py", "psdb/serve.py",
    "psdb/supervisor.py",
}
CLIENTS = {"psdb/initiate.py", "psdb/status.py"}
SCRIPTS = {"psdb_base/script_worker/__main__.py"}  # a program of its own
"""Programs that ask running servers from outside: they wait in real time."""
BANNED_CALLS = {
    "asyncio.wait": set(),
    "datetime.now": set(),
    "datetime.utcnow": set(),
    "eval": set(),
    "exec": set(),
    "open": REAL_WORLD,
    "print": set(),
    "random.random": set(),
    "time.monotonic": REAL_WORLD | CLIENTS,
    "time.sleep": CLIENTS | SCRIPTS,
    "time.time": REAL_WORLD,
    "time.time_ns": REAL_WORLD,
    "uuid.uuid4": set(),
}
BANNED_IMPORTS = {
    "os": REAL_WORLD | PROCESS | SCRIPTS,
    "pickle": set(),
    "random": {"psdb_base/world.py"},
    "secrets": REAL_WORLD,
    "shutil": REAL_WORLD,
    "socket": REAL_WORLD | PROCESS,
    "subprocess": PROCESS | {"psdb_base/real_scripts.py"},
    "tempfile": set(),
    "threading": REAL_WORLD | SCRIPTS,
    "time": REAL_WORLD | CLIENTS | SCRIPTS,
    "uuid": set(),
}
SORTED_TABLES = (
    ("psdb_query.accumulators.table", "ACCUMULATORS"),
    ("psdb_query.expressions.table", "OPERATORS"),
    ("psdb_query.expressions.table", "SYSTEM_VARIABLES"),
    ("psdb_query.filters.parse", "FIELD"),
    ("psdb_query.filters.parse", "PATHLESS"),
    ("psdb_query.stages.table", "STAGES"),
    ("psdb_query.updates.table", "MODIFIERS"),
    ("psdb_query.windows.table", "FUNCTIONS"),
    ("psdb_server.fail_points", "NAMES"),
    ("psdb_server.fields", "CHECKS"),
    ("psdb_server.parameters", "PARAMETERS"),
    ("router.routes", "ROUTES"),
    ("router.table", "ROUTER_COMMANDS"),
    ("shardsvr.commands.table", "MEMBER_COMMANDS"),
)


def sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_files_and_lines_are_short() -> None:
    wrong = []
    for name, text in sources():
        lines = text.splitlines()
        if len(lines) > FILE_LINES_MAX:
            wrong.append(f"{name} has {len(lines)} lines")
        wrong += [
            f"{name}:{number} has {len(line)} columns"
            for number, line in enumerate(lines, 1)
            if len(PRAGMA.sub("", line)) > LINE_COLUMNS_MAX
        ]
    assert not wrong, "\n".join(wrong)


def test_functions_fit_a_screen() -> None:
    wrong = []
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    wrong.append(f"{name}:{node.lineno} {node.name} has {size} lines")
    assert not wrong, "\n".join(wrong)


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def test_the_outside_is_reached_through_the_world_only() -> None:
    wrong = []
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                if name not in BANNED_CALLS.get(called, {name}):
                    wrong.append(f"{name}:{node.lineno} calls {called}")
            elif isinstance(node, ast.Import):
                wrong += [
                    f"{name}:{node.lineno} imports {alias.name}" for alias in node.names
                    if name not in BANNED_IMPORTS.get(alias.name.split(".")[0], {name})
                ]
            elif isinstance(node, ast.ImportFrom):
                if name not in BANNED_IMPORTS.get((node.module or "").split(".")[0], {name}):
                    wrong.append(f"{name}:{node.lineno} imports from {node.module}")
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{name}:{node.lineno} has a bare except")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("module", "table"), SORTED_TABLES)
def test_tables_are_sorted(module: str, table: str) -> None:
    names = list(getattr(importlib.import_module(module), table))
    assert names == sorted(names)


def test_no_leftovers() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    wrong = [
        f"{name}: {mark}" for name, text in sources() for mark in marks if f" {mark}" in text
    ]
    assert not wrong, "\n".join(wrong)


def test_the_version_is_said_once() -> None:
    from psdb_base.version import PSDB_VERSION

    assert f'version = "{PSDB_VERSION}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
