"""Figures of a store, as `serverStatus` shows them; sizes in bytes."""

from __future__ import annotations

from typing import Final

from bson.int64 import Int64

from psdb_base.values import Document
from psdb_store.catalogue import Catalogue
from psdb_store.cold import Cold
from psdb_store.journal import Journal
from psdb_store.versions import Versions

RECORD_OVERHEAD_BYTES: Final = 250
"""What CPython takes for each record beside its bytes and its `_id` entry, measured."""


def sizes(catalogue: Catalogue, cold: Cold) -> Document:
    """Say how much there is, on disk and in memory."""
    collections = catalogue.all()
    documents = sum(c.count for c in collections)
    data_bytes = sum(c.data_size_bytes for c in collections)
    index_bytes = sum(c.index_size_bytes for c in collections)
    record_bytes = data_bytes - cold.cold_bytes
    return {
        "collections": len(collections),
        "documents": Int64(documents),
        "dataSize": Int64(data_bytes),
        "storageSize": Int64(sum(c.storage_size_bytes for c in collections)),
        "indexSize": Int64(index_bytes),
        "cache": {
            "maxBytes": Int64(cold.bytes_max),
            "recordBytes": Int64(record_bytes),
            "unsavedRecordBytes": Int64(record_bytes - cold.resident_bytes),
            "recordOverheadBytes": Int64(documents * RECORD_OVERHEAD_BYTES),
            "indexBytes": Int64(index_bytes),
            "coldRecords": Int64(cold.records),
            "coldBytes": Int64(cold.cold_bytes),
            "recordsReadBack": Int64(cold.reads),
            "recordsEvicted": Int64(cold.evictions),
        },
    }


def log(journal: Journal, versions: Versions, commit_index: int, term: int) -> Document:
    """Say how far the log is."""
    return {
        "first": Int64(journal.first_index),
        "end": Int64(journal.end.index),
        "durable": Int64(journal.durable.index),
        "committed": Int64(commit_index),
        "term": Int64(term),
        "bytes": Int64(journal.size_bytes),
        "uncommittedBytes": Int64(versions.tail_bytes),
    }
