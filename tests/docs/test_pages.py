"""The pages of `docs/` against the code they speak of."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README, "architecture.md": ARCHITECTURE, "operations.md": OPERATIONS}


def defined(path: Path) -> set[str]:
    """Return the names a module defines, methods as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{item.name}" for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", ())
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("page", PAGES)
def test_places_in_the_code_exist(page: str) -> None:
    places = re.findall(r"`([\w/.]+\.py)(?::([\w.]+))?`", PAGES[page])
    wrong = []
    for name, place in places:
        path = ROOT / name
        if not path.exists():
            wrong.append(name)
        elif place and place not in defined(path):
            wrong.append(f"{name}:{place}")
    assert not wrong, "\n".join(wrong)
    assert page != "architecture.md" or len(places) > 40


@pytest.mark.parametrize("page", PAGES)
def test_folders_exist(page: str) -> None:
    for name in re.findall(r"`((?:[a-z_]+/)+)`", PAGES[page]):
        assert (ROOT / name).is_dir(), name


def test_every_package_is_described() -> None:
    packages = [path.parent.name for path in ROOT.glob("*/__init__.py")]
    assert len(packages) > 8
    for name in packages:
        assert f"| `{name}` |" in ARCHITECTURE, name


def flags_of(command: str) -> set[str]:
    """Return the flags that `psdb COMMAND --help` shows."""
    from psdb.options import build_parser

    parser = build_parser()
    choices, = (
        action.choices for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        option for action in choices[command]._actions
        if action.help not in (argparse.SUPPRESS, None)
        for option in action.option_strings if option.startswith("--")
    }


def test_every_flag_is_described_and_no_other() -> None:
    shown = {
        flag for command in ("up", "router", "shardsvr", "configsvr") for flag in flags_of(command)
    } - {"--help"}
    table = OPERATIONS.split("\n## Flags", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| `-")]
    described = {flag for row in rows for flag in re.findall(r"--\w+", row.split("|")[1])}
    assert described == shown


def test_defaults_are_the_codes_own() -> None:
    from psdb.options import DEFAULT_PORTS
    from psdb_store.options import StoreOptions

    for port in DEFAULT_PORTS.values():
        assert str(port) in OPERATIONS
    options = StoreOptions()
    assert f"{options.checkpoint_seconds:g} seconds" in OPERATIONS
    assert f"{options.checkpoint_log_bytes // 2**20} MiB" in OPERATIONS
    assert f"{options.oplog_bytes // 2**20} MiB" in OPERATIONS


def test_every_exit_code_is_described() -> None:
    from psdb import cli, options, serve

    codes = {0, 1, options.EXIT_BAD_OPTIONS}
    for module in (cli, serve):
        codes |= {
            value for name, value in vars(module).items()
            if name.startswith("EXIT_") and isinstance(value, int)
        }
    table = OPERATIONS.split("\n## Exit codes", 1)[1].split("\n## ", 1)[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) ", table, re.MULTILINE)} == codes


def test_every_log_id_of_the_store_is_described() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "psdb_store").glob("*.py")
    )
    ids = set(re.findall(r"\b(7100\d{3})\b", text))
    assert ids
    assert ids <= set(re.findall(r"\b(7100\d{3})\b", OPERATIONS))


def test_parameters_that_can_be_set_are_described() -> None:
    from psdb_server.parameters import PARAMETERS

    settable = {name for name, row in PARAMETERS.items() if row.at_startup or row.at_runtime}
    section = OPERATIONS.split("\n## Flags", 1)[1].split("\n## ", 1)[0]
    assert settable <= set(re.findall(r"`(\w+)`", section))
