"""Where the specification tests come from: files of the unified format, read into cases.

The data are not part of the repository. `PSDB_SPEC_TESTS` names their folder; without it
`../shared/spec-tests` beside the repository is taken when it exists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bson import json_util
from bson.binary import UuidRepresentation

ROOT: Final = Path(__file__).resolve().parents[2]
HOW_TO_GET_THEM: Final = (
    "no specification tests: `git clone https://github.com/mongodb/specifications` and set "
    "PSDB_SPEC_TESTS to its folder `source`"
)
SCHEMA_MAJOR: Final = 1
SCHEMA_MINOR_MAX: Final = 27
_JSON: Final = json_util.JSONOptions(
    tz_aware=False, uuid_representation=UuidRepresentation.STANDARD, document_class=dict
)
# File-level keys of the format; another key means another format.
_KEYS: Final = frozenset({
    "_yamlAnchors", "createEntities", "description", "initialData", "runOnRequirements",
    "schemaVersion", "tests",
})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One test of one file.

    Attributes:
        folder: The specification, such as `crud`.
        file: The file's name without its ending.
        source: The file's whole content.
        test: The one entry of its `tests`.

    """

    folder: str
    file: str
    source: Json
    test: Json

    @property
    def name(self) -> str:
        """As the list of known differences names it."""
        return f"{self.folder}/{self.file}: {self.test['description']}"

    @property
    def requirements(self) -> list[list[Json]]:
        """Lists of alternatives; one of each list must be met."""
        both = (self.source.get("runOnRequirements"), self.test.get("runOnRequirements"))
        return [alternatives for alternatives in both if alternatives]


def tests_folder() -> Path | None:
    """Return the folder of the specifications, None when there is none."""
    named = os.environ.get("PSDB_SPEC_TESTS")
    folder = Path(named) if named else ROOT.parent / "shared" / "spec-tests"
    return folder if folder.is_dir() else None


def parse(text: str) -> Json:
    """Parse a file's Extended JSON."""
    parsed: Json = json_util.loads(text, json_options=_JSON)
    return parsed


def check_schema(source: Json) -> None:
    """Raise ValueError for a file of a schema this runner does not know."""
    numbers = [int(part) for part in source["schemaVersion"].split(".")]
    if numbers[0] != SCHEMA_MAJOR or numbers[1] > SCHEMA_MINOR_MAX:
        raise ValueError(f"schemaVersion {source['schemaVersion']} is not supported")
    unknown = sorted(set(source) - _KEYS)
    if unknown:
        raise ValueError(f"unknown keys: {unknown}")


def cases(folder: str) -> Iterator[Case]:
    """Yield the cases of a specification's unified tests, in the order of their names."""
    root = tests_folder()
    if root is None:
        return
    for path in sorted((root / folder).rglob("*.json")):
        source = parse(path.read_text(encoding="utf-8"))
        if "schemaVersion" not in source:
            continue  # a driver's unit test, such as the parsing of connection strings
        check_schema(source)
        for test in source["tests"]:
            yield Case(folder, path.stem, source, test)
