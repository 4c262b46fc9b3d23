"""The floors of docs/architecture.md: imports go down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "psdb": 7,
    "router": 6,
    "configsvr": 6,
    "shardsvr": 5,
    "psdb_store": 4,
    "psdb_server": 3,
    "psdb_wire": 2,
    "psdb_query": 2,
    "psdb_raft": 2,
    "psdb_base": 1,
}
EXTRA = {
    # "router meets the others over the wire only" (docs/architecture.md)
    "router": {"shardsvr", "configsvr", "psdb_store"},
}


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Return (line, package) for every import of one of our packages."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            if top in FLOORS:
                found.append((node.lineno, top))
    return found


def packages() -> list[str]:
    return [name for name in FLOORS if (ROOT / name).is_dir()]


@pytest.mark.parametrize("package", packages())
def test_imports_go_down_only(package: str) -> None:
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for line, target in imports_of(path):
            if target == package:
                continue
            if FLOORS[target] >= FLOORS[package] or target in EXTRA.get(package, ()):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_every_package_has_its_floor() -> None:
    found = sorted(
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"
    )
    assert set(found) <= set(FLOORS)
    assert set(found) >= set(FLOORS)
