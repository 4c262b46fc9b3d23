"""The drivers' BSON corpus: every valid case survives bit for bit, every invalid one is refused.

The corpus is not part of the repository; `PSDB_SPEC_TESTS` names the folder of specification
tests, by default `../shared/spec-tests` beside the repository.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import orjson
import pytest

from psdb_base import bson_codec, exact_codec, extjson
from psdb_base.errors import Code, MongoError

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = (
    Path(os.environ.get("PSDB_SPEC_TESTS", _ROOT.parent / "shared" / "spec-tests"))
    / "bson-corpus"
    / "tests"
)

if not _FOLDER.is_dir():
    pytest.skip(f"no BSON corpus in {_FOLDER}; set PSDB_SPEC_TESTS", allow_module_level=True)

_FILES = {path.stem: json.loads(path.read_text()) for path in sorted(_FOLDER.glob("*.json"))}


def _cases(kind: str) -> list[object]:
    return [
        pytest.param(case, id=f"{stem}: {case['description']}")
        for stem, file in _FILES.items()
        for case in file.get(kind, ())
    ]


def _accepted_json(text: str) -> bool:
    try:
        bson_codec.encode(extjson.from_json(orjson.loads(text)))
    except (MongoError, orjson.JSONDecodeError):
        return False
    return True


def test_corpus_is_whole() -> None:
    kinds = ("valid", "decodeErrors", "parseErrors")
    counts = [sum(len(file.get(kind, ())) for file in _FILES.values()) for kind in kinds]
    assert counts == [728, 75, 180]


@pytest.mark.parametrize("case", _cases("valid"))
def test_valid_bytes_survive(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["canonical_bson"])
    doc = bson_codec.decode(raw)
    assert bson_codec.encode(doc) == raw
    assert exact_codec.encode(exact_codec.decode(raw, 200), 200) == raw
    line = extjson.document_line(raw, doc)
    assert b"\n" not in line
    assert extjson.raw_from_line(json.loads(line)) == raw
    assert extjson.raw_from_line(orjson.loads(line)) == raw
    assert bson_codec.encode(extjson.from_json(orjson.loads(line))) == raw


@pytest.mark.parametrize("case", [p for p in _cases("valid") if "degenerate_bson" in p.values[0]])
def test_degenerate_bytes_survive_in_lines(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["degenerate_bson"])
    doc = bson_codec.decode(raw)
    assert extjson.raw_from_line(orjson.loads(extjson.document_line(raw, doc))) == raw
    canonical = bson_codec.decode(bytes.fromhex(case["canonical_bson"]))
    assert extjson.from_json(orjson.loads(extjson.to_json(doc))) == canonical


@pytest.mark.parametrize("case", _cases("valid"))
def test_extended_json_means_the_bytes(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["canonical_bson"])
    if not case.get("lossy"):
        assert bson_codec.encode(extjson.from_json(orjson.loads(case["canonical_extjson"]))) == raw
        rendered = orjson.loads(extjson.to_json(bson_codec.decode(raw)))
        assert bson_codec.encode(extjson.from_json(rendered)) == raw
    if "degenerate_extjson" in case:
        text = case["degenerate_extjson"]
        assert bson_codec.encode(extjson.from_json(orjson.loads(text))) == raw


@pytest.mark.parametrize("case", _cases("decodeErrors"))
def test_invalid_bytes_are_refused(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["bson"])
    with pytest.raises(MongoError) as caught:
        bson_codec.decode(raw)
    assert caught.value.code == Code.INVALID_BSON


@pytest.mark.parametrize("case", _cases("parseErrors"))
def test_invalid_extended_json_is_refused(case: dict[str, str]) -> None:
    text = case["string"]
    if not text.lstrip().startswith("{"):
        text = json.dumps({"d": {"$numberDecimal": text}})
    assert not _accepted_json(text)
