"""Patches modules while they are imported."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class PatchDoesNotFit(Exception):
    """The sources have changed: the text to be replaced is not there once."""


def patched(module: str, patches: list[tuple[str, str]]) -> str:
    """Return a module's source with some texts replaced."""
    text = source_of(module).read_text(encoding="utf-8")
    for old, new in patches:
        if text.count(old) != 1:
            raise PatchDoesNotFit(f"{module}: {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    return text


def source_of(module: str) -> Path:
    """Return the file of one of our modules."""
    path = ROOT / (module.replace(".", "/") + ".py")
    return path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"


class _Loader(importlib.abc.Loader):
    def __init__(self, module: str, patches: list[tuple[str, str]]) -> None:
        self.module = module
        self.patches = patches

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        text = patched(self.module, self.patches)
        exec(compile(text, str(source_of(self.module)), "exec"), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, patches: dict[str, list[tuple[str, str]]]) -> None:
        self.patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.patches:
            return None
        loader = _Loader(fullname, self.patches[fullname])
        return importlib.util.spec_from_loader(fullname, loader)


def plant(patches: tuple[tuple[str, str, str], ...]) -> None:
    """Have these modules patched when they are imported; none of them is yet."""
    by_module: dict[str, list[tuple[str, str]]] = {}
    for module, old, new in patches:
        assert module not in sys.modules, f"{module} is imported already"
        by_module.setdefault(module, []).append((old, new))
    sys.meta_path.insert(0, _Finder(by_module))
