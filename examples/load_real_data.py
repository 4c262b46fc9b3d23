"""Load real records into a running PSDB: US ZIP codes and the countries of the world.

The ZIP codes come from the PyPI package `zipcodes` (42,789 records), the countries from the npm
package `world-countries` (250 records), if `bash tests/tools.sh` or npm has brought it. Each run
drops the two collections and loads them afresh.

    .venv/bin/python examples/load_real_data.py --uri mongodb://127.0.0.1:27017 --db world
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import zipcodes
from pymongo import ASCENDING, GEOSPHERE, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

Document = dict[str, Any]

COUNTRIES_FILE = Path(__file__).resolve().parents[1] / "node_modules/world-countries/countries.json"
NOT_IMPLEMENTED = 238

ZIP_INDEXES = [
    IndexModel([("state", ASCENDING), ("city", ASCENDING)]),
    IndexModel([("time_zone", ASCENDING)]),
    IndexModel([("area_codes", ASCENDING)]),
    IndexModel([("location", GEOSPHERE)]),
]
COUNTRY_INDEXES = [
    IndexModel([("region", ASCENDING), ("area", ASCENDING)]),
    IndexModel([("name.common", ASCENDING)], unique=True),
    IndexModel([("borders", ASCENDING)]),
    IndexModel([("location", GEOSPHERE)]),
]


def point(longitude: float, latitude: float) -> Document:
    """Return a GeoJSON point."""
    return {"type": "Point", "coordinates": [longitude, latitude]}


def zip_document(record: Document) -> Document:
    """Return a ZIP code record as it is stored: `_id` is the code, empty texts are left out."""
    document = {
        "_id": record["zip_code"],
        "type": record["zip_code_type"],
        "active": record["active"],
        "city": record["city"],
        "acceptable_cities": record["acceptable_cities"],
        "unacceptable_cities": record["unacceptable_cities"],
        "state": record["state"],
        "county": record["county"],
        "time_zone": record["timezone"],
        "area_codes": [int(code) for code in record["area_codes"]],
        "world_region": record["world_region"],
        "country": record["country"],
        "location": point(float(record["long"]), float(record["lat"])),
    }
    return {name: value for name, value in document.items() if value != ""}


def country_document(record: Document) -> Document:
    """Return a country record as it is stored: `_id` is the code of three letters.

    The source says -1 for an area that it does not know; such a field is left out.
    """
    latitude, longitude = record["latlng"]
    document = {"_id": record["cca3"], **record, "area": float(record["area"])}
    document["location"] = point(float(longitude), float(latitude))
    for name in ("cca3", "latlng"):
        del document[name]
    if document["area"] < 0:
        del document["area"]
    return document


def zip_documents() -> list[Document]:
    """Return all ZIP codes, in their order."""
    return [zip_document(record) for record in zipcodes.list_all()]


def country_documents() -> list[Document] | None:
    """Return all countries; None when the npm package is not there."""
    if not COUNTRIES_FILE.exists():
        return None
    records = json.loads(COUNTRIES_FILE.read_text(encoding="utf-8"))
    return [country_document(record) for record in records]


def load(
    collection: Collection[Document], documents: list[Document], indexes: list[IndexModel]
) -> None:
    """Load a collection afresh, create its indexes and say how long that took."""
    begin = time.perf_counter()
    collection.drop()
    collection.insert_many(documents)
    seconds = time.perf_counter() - begin
    print(f"{collection.full_name}: {len(documents):,} documents in {seconds:.1f} s")
    for index in indexes:
        name = index.document["name"]
        try:
            collection.create_indexes([index])
        except OperationFailure as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            print(f"{collection.full_name}: no index {name}: {error.details['errmsg']}")
        else:
            print(f"{collection.full_name}: index {name}")


def main(arguments: list[str] | None = None) -> int:
    """Load both collections; return the exit code."""
    parser = argparse.ArgumentParser(description="Load real records into a running PSDB.")
    parser.add_argument("--uri", default="mongodb://127.0.0.1:27017")
    parser.add_argument("--db", default="world", help="database to load into (%(default)s)")
    options = parser.parse_args(arguments)
    with MongoClient[Document](options.uri, serverSelectionTimeoutMS=5000) as client:
        db = client[options.db]
        load(db.zips, zip_documents(), ZIP_INDEXES)
        countries = country_documents()
        if countries is None:
            print("The npm package world-countries is not there: no countries are loaded.")
        else:
            load(db.countries, countries, COUNTRY_INDEXES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
