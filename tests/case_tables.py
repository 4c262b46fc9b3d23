"""The rows of the data-driven tests, by kind: for counting them and for running some by wire."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

TESTS: Final = Path(__file__).resolve().parent
LEAST_FIELDS: Final = 3
"""A row says at least what goes in, what is asked and what comes out."""


def modules(folder: str) -> Iterator[ModuleType]:
    """Import the test modules of a folder."""
    for path in sorted((TESTS / folder).glob("test_*.py")):
        name = f"case_tables_{folder}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def rows(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Give the rows of a module's tests as (name of the test, row)."""
    for name, test in list(vars(module).items()):
        if not name.startswith("test_"):
            continue
        for mark in getattr(test, "pytestmark", ()):
            if mark.name != "parametrize":
                continue
            for values in mark.args[1]:
                row = getattr(values, "values", values)
                if callable(row):
                    row = values
                if type(row) is tuple and len(row) == 1:
                    row = row[0]
                yield name, row


def is_case(row: Any) -> bool:
    """Tell whether a row is a case, and not just one value that a test is repeated for."""
    return (type(row) is tuple and len(row) >= LEAST_FIELDS) or hasattr(row, "page")
