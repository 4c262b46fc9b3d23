"""What collections hold before a case, and what they must hold after it."""

from __future__ import annotations

from typing import Any

from bson import encode
from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from spec.cases import Json
from spec.deployments import Deployment


def _collection(deployment: Deployment, spec: Json) -> Collection[Any]:
    return deployment.client[spec["databaseName"]].get_collection(
        spec["collectionName"], read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority"), read_concern=ReadConcern("local"),
    )


def set_up(deployment: Deployment, data: list[Json]) -> None:
    """Drop and fill collections (`initialData`)."""
    for spec in data:
        collection = _collection(deployment, spec)
        collection.drop()
        options = spec.get("createOptions", {})
        documents = spec["documents"]
        if options or not documents:
            collection.database.create_collection(
                collection.name, write_concern=collection.write_concern, check_exists=False,
                **options,
            )
        if documents:
            collection.insert_many(documents)


def _normal(value: Any) -> Any:
    """Order the fields of documents, at every level, by name."""
    if isinstance(value, dict):
        return {name: _normal(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return value


def check_outcome(deployment: Deployment, expected: list[Json]) -> None:
    """Raise AssertionError where a collection's content is not the expected one.

    Documents must be the same to the byte but for the order of their fields, so that a number
    of another width is a difference.
    """
    for spec in expected:
        collection = _collection(deployment, spec)
        found = list(collection.find({}, sort={"_id": 1}))
        assert len(found) == len(spec["documents"]), (
            f"{collection.full_name}: {spec['documents']} are expected, got {found}"
        )
        for wanted, document in zip(spec["documents"], found, strict=True):
            assert encode(_normal(wanted)) == encode(_normal(document)), (
                f"{collection.full_name}: {wanted} is expected, got {document}"
            )
