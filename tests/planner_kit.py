"""A collection in memory, without an engine, for tests of the planner."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS

from psdb_base import bson_codec, order
from psdb_base.values import MISSING, Document
from psdb_query.context import DEFAULT_CONTEXT, CompileContext, Env, make_env
from psdb_query.filters import compile_filter
from psdb_query.projection import compile_projection
from psdb_query.sorting import compile_sort
from psdb_store.collection import Collection
from psdb_store.index_kinds import make_index
from psdb_store.record import Record
from psdb_store.unit import plan_change, plan_keys
from shardsvr.planning import Plan, plan_query

ENV: Env = make_env(DatetimeMS(1_700_000_000_000))


class Kit:
    """A collection with documents and indexes, changed by hand."""

    def __init__(self, documents: list[Document] = [], indexes: list[Document] = []) -> None:  # noqa: B006
        self.collection = Collection("test", "c", bytes(16), {})
        self.add_index({"key": {"_id": 1}, "name": "_id_"})
        for spec in indexes:
            self.add_index(spec)
        for document in documents:
            self.insert(document)

    def add_index(self, spec: Document) -> None:
        named = {"name": "_".join(f"{k}_{v}" for k, v in spec["key"].items()), **spec}
        index = make_index(self.collection, {"v": 2, **named}, 0)
        records = list(self.collection.records.values())
        self.collection.indexes[named["name"]] = index
        self.collection.index_list_changed()
        if named["name"] == "_id_":
            self.collection.id_index = index
            return
        for record in records:
            keys, paths = index.keys_and_paths(record.document())
            index.note_paths(paths)
            index.add(keys, record.rid)

    def insert(self, document: Document) -> Record:
        collection = self.collection
        rid = collection.next_rid
        document = {"_id": rid, **document}
        planned = plan_keys(collection, document, rid)
        record = Record(rid, bson_codec.encode(document), 0)
        collection.put(record, order.key(document["_id"]), None)
        for index, keys, paths in planned:
            index.note_paths(paths)
            index.add(keys, rid)
        return record

    def update(self, record: Record, document: Document) -> Record:
        collection = self.collection
        old = record.document()
        document = {"_id": old["_id"], **document}
        planned = plan_change(collection, old, document, record.rid)
        new = Record(record.rid, bson_codec.encode(document), 0)
        collection.replace(new, record)
        for index, removed, added, paths in planned:
            index.note_paths(paths)
            index.discard(removed, record.rid)
            index.add(added, record.rid)
        return new

    def delete(self, record: Record) -> None:
        document = record.document()
        for index in self.collection.secondary:
            index.discard(index.keys_of(document), record.rid)
        self.collection.take_out(record, order.key(document.get("_id", MISSING)), 0)

    def plan(
        self, query: Document, *, sort: Document | None = None,
        projection: Document | None = None, env: Env = ENV,
        context: CompileContext = DEFAULT_CONTEXT, **options: Any,
    ) -> Plan:
        chosen = compile_filter(query, context)
        return plan_query(
            self.collection,
            chosen,
            env,
            sort=None if sort is None else compile_sort(sort, context),
            collation=context.collation,
            projection=(
                None if projection is None
                else compile_projection(projection, context, chosen)
            ),
            **options,
        )

    def find(self, query: Document, *, batch: int = 7, **options: Any) -> list[Document]:
        return run(self.plan(query, **options), batch)

    def ids(self, query: Document, **options: Any) -> list[Any]:
        return [document["_id"] for document in self.find(query, **options)]

    def explain(
        self, query: Document, verbosity: str = "executionStats", **options: Any
    ) -> Document:
        return self.plan(query, **options).explain(verbosity)

    def winning(self, query: Document, **options: Any) -> Document:
        plan: Document = self.explain(query, "queryPlanner", **options)["queryPlanner"][
            "winningPlan"
        ]
        return plan


def run(plan: Plan, batch: int = 7) -> list[Document]:
    """Run a plan to its end."""
    execution = plan.open()
    found: list[Document] = []
    while not execution.done:
        found += [record.document() for record in execution.next_batch(batch)]
    return found


def stages_of(plan: Document) -> list[str]:
    """Names of the stages of a plan, from the top down, branches one after the other."""
    names = [plan["stage"]]
    for child in [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", []):
        names += stages_of(child)
    return names
