"""Turning what the driver's methods return into the documents that tests expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pymongo import results
from spec.cases import Json
from spec.matching import MISSING


def _insert_one(result: results.InsertOneResult) -> Json:
    return {"insertedId": result.inserted_id}


def _insert_many(result: results.InsertManyResult) -> Json:
    return {
        "insertedCount": len(result.inserted_ids),
        "insertedIds": {str(i): value for i, value in enumerate(result.inserted_ids)},
        "deletedCount": 0,
        "matchedCount": 0,
        "modifiedCount": 0,
        "upsertedCount": 0,
        "upsertedIds": {},
    }


def _update(result: results.UpdateResult) -> Json:
    document: Json = {
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": int(result.did_upsert),
    }
    if result.did_upsert:
        document["upsertedId"] = result.upserted_id
    return document


def _client_update(result: results.UpdateResult) -> Json:
    """Return a row of a client bulk write's results: these have no count of upserts."""
    document = _update(result)
    del document["upsertedCount"]
    return document


def _delete(result: results.DeleteResult) -> Json:
    return {"deletedCount": result.deleted_count}


def _bulk(result: results.BulkWriteResult) -> Json:
    return {
        "deletedCount": result.deleted_count,
        "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
        "upsertedIds": {str(i): value for i, value in (result.upserted_ids or {}).items()},
    }


def _client_bulk(result: results.ClientBulkWriteResult) -> Json:
    document: Json = {
        "deletedCount": result.deleted_count,
        "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
    }
    if result.has_verbose_results:
        rows: tuple[tuple[str, Mapping[int, Any], Callable[[Any], Json]], ...] = (
            ("insertResults", result.insert_results, _insert_one),
            ("updateResults", result.update_results, _client_update),
            ("deleteResults", result.delete_results, _delete),
        )
        for name, by_index, convert in rows:
            document[name] = {str(i): convert(row) for i, row in by_index.items()}
    return document


_CONVERT: Final[dict[type, Callable[[Any], Json]]] = {
    results.BulkWriteResult: _bulk,
    results.ClientBulkWriteResult: _client_bulk,
    results.DeleteResult: _delete,
    results.InsertManyResult: _insert_many,
    results.InsertOneResult: _insert_one,
    results.UpdateResult: _update,
}


def as_document(result: Any) -> Any:
    """Turn a driver's result object into a document; other values stay as they are.

    The result of an unacknowledged write counts as none.
    """
    convert = _CONVERT.get(type(result))
    if convert is None:
        return result
    if not result.acknowledged:
        return {"acknowledged": False}
    return convert(result)


def bulk_details(details: Json) -> Json:
    """Return the result that a bulk write's error carries."""
    return _bulk(results.BulkWriteResult(details, acknowledged=True))


def partial_result(result: Any) -> Any:
    """Return the result that a client bulk write's error carries, MISSING when there is none."""
    return MISSING if result is None else as_document(result)
