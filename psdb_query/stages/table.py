"""Every pipeline stage MongoDB knows by name, with what optimiser, router and server must know.

Rows are sorted by name. A row without a module is known and not supported: `missing` is its
answer. A module is imported when a stage of it is first compiled; its `PARSERS` maps the name to
`(specification, StageContext) -> list of Stage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psdb_base.errors import Code, MongoError

SEARCH_MISSING: Final = (
    31082,
    (
        "Using Atlas Search Database Commands and the $listSearchIndexes aggregation stage "
        "requires additional configuration. Please connect to Atlas or an AtlasCLI local "
        "deployment to enable."
    ),
)
"""What MongoDB itself answers for search stages when there is no search server."""


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage.

    Args:
        module: Module of this package that parses it; None when PSDB does not have it.
        on_shard: May run, or run by half, in the part of a pipeline that each shard runs.
        keeps_order: The documents that come out are in the order in which they came.
        first_only: Only as the first stage (else 40602).
        last_only: Only as the last stage (else 40601).
        source: Makes its documents itself instead of reading the collection.
        writes: Writes a collection.
        foreign: Reads or writes other collections.
        on_every_shard: A source whose documents each shard makes its own of.
        in_facet: Allowed inside `$facet` (else 40600).
        in_sub_pipeline: Allowed inside `$lookup` and `$unionWith` (else 51047, 31441).
        in_view: Allowed in the definition of a view (else 167).
        in_transaction: Allowed in a transaction (else 263).
        in_update: Allowed in an update by pipeline.
        changes: Documents come out changed, made or removed other than by choice.
        collectionless: Runs with `{aggregate: 1}` and with nothing else.
        of_change_streams: Only behind `$changeStream` (else 20).
        api_v1: Belongs to the Stable API, version 1.
        missing: Code and message answered when there is no module.

    """

    module: str | None
    on_shard: bool = True
    keeps_order: bool = True
    first_only: bool = False
    last_only: bool = False
    source: bool = False
    on_every_shard: bool = False
    writes: bool = False
    foreign: bool = False
    in_facet: bool = True
    in_sub_pipeline: bool = True
    in_view: bool = True
    in_transaction: bool = True
    in_update: bool = False
    changes: bool = True
    collectionless: bool = False
    of_change_streams: bool = False
    api_v1: bool = True
    missing: tuple[int, str] | None = None


def _server(
    *, in_view: bool = True, collectionless: bool = False, on_every_shard: bool = False
) -> StageDefinition:
    """Return the row of a stage whose documents the server makes."""
    return StageDefinition(
        "sources", on_shard=on_every_shard, first_only=True, source=True, in_facet=False,
        on_every_shard=on_every_shard, in_view=in_view, in_transaction=False,
        collectionless=collectionless, api_v1=False,
    )  # fmt: skip


def _absent(missing: tuple[int, str] | None = None) -> StageDefinition:
    return StageDefinition(None, api_v1=False, missing=missing)


def _grouping(module: str, *, on_shard: bool = True) -> StageDefinition:
    """Return the row of a stage that makes groups."""
    return StageDefinition(module, on_shard=on_shard, keeps_order=False)


STAGES: Final[dict[str, StageDefinition]] = {
    "$addFields": StageDefinition("shape", in_update=True),
    "$bucket": _grouping("bucket"),
    "$bucketAuto": _grouping("bucket_auto", on_shard=False),
    "$changeStream": StageDefinition(
        None, first_only=True, in_facet=False, in_sub_pipeline=False, in_view=False,
        in_transaction=False,
    ),
    "$changeStreamSplitLargeEvent": StageDefinition(
        "change_stream", last_only=True, on_shard=False, in_facet=False, in_sub_pipeline=False,
        in_view=False, of_change_streams=True,
    ),
    "$collStats": _server(on_every_shard=True),
    "$count": _grouping("group"),
    "$currentOp": _server(collectionless=True, in_view=False, on_every_shard=True),
    "$densify": StageDefinition("densify", on_shard=False),
    "$documents": StageDefinition(
        "sources", on_shard=False, first_only=True, source=True, in_facet=False, in_view=False,
        collectionless=True,
    ),
    "$facet": StageDefinition("facet", on_shard=False, keeps_order=False, in_facet=False),
    "$fill": StageDefinition("fill", on_shard=False),
    "$geoNear": StageDefinition("geo_near", first_only=True, keeps_order=False, in_facet=False),
    "$graphLookup": StageDefinition("graph_lookup", on_shard=False, foreign=True),
    "$group": _grouping("group"),
    "$indexStats": _server(on_every_shard=True),
    "$limit": StageDefinition("slicing", changes=False),
    "$listClusterCatalog": _absent(),
    "$listLocalSessions": _server(collectionless=True, in_view=False),
    "$listSampledQueries": _server(collectionless=True, in_view=False),
    "$listSearchIndexes": _absent(SEARCH_MISSING),
    "$listSessions": _server(in_view=False),
    "$lookup": StageDefinition("lookup", on_shard=False, foreign=True),
    "$match": StageDefinition("match", changes=False),
    "$merge": StageDefinition(
        "output", on_shard=False, last_only=True, writes=True, foreign=True, in_facet=False,
        in_sub_pipeline=False, in_view=False, in_transaction=False,
    ),
    "$out": StageDefinition(
        "output", on_shard=False, last_only=True, writes=True, foreign=True, in_facet=False,
        in_sub_pipeline=False, in_view=False, in_transaction=False,
    ),
    "$planCacheStats": _server(on_every_shard=True),
    "$project": StageDefinition("shape", in_update=True),
    "$querySettings": _server(collectionless=True, in_view=False),
    "$queryStats": _server(collectionless=True, in_view=False),
    "$rankFusion": _absent(),
    "$redact": StageDefinition("redact"),
    "$replaceRoot": StageDefinition("shape", in_update=True),
    "$replaceWith": StageDefinition("shape", in_update=True),
    "$rerank": _absent(),
    "$sample": StageDefinition("slicing", keeps_order=False, changes=False),
    "$score": _absent(),
    "$scoreFusion": _absent(),
    "$search": _absent(SEARCH_MISSING),
    "$searchMeta": _absent(SEARCH_MISSING),
    "$set": StageDefinition("shape", in_update=True),
    "$setWindowFields": StageDefinition("set_window_fields", on_shard=False),
    "$shardedDataDistribution": _server(collectionless=True, in_view=False),
    "$skip": StageDefinition("slicing", changes=False),
    "$sort": StageDefinition("sort", keeps_order=False, changes=False),
    "$sortByCount": _grouping("group"),
    "$unionWith": StageDefinition("union_with", on_shard=False, foreign=True),
    "$unset": StageDefinition("shape", in_update=True),
    "$unwind": StageDefinition("unwind"),
    "$vectorSearch": _absent(SEARCH_MISSING),
}  # fmt: skip


def find_stage(name: str) -> StageDefinition:
    """Return the row of a stage.

    Raises MongoError 40324 for an unknown name; what PSDB does not have gives its own answer.
    """
    row = STAGES.get(name)
    if row is None:
        raise MongoError(40324, f"Unrecognized pipeline stage name: '{name}'")
    if row.module is None:
        code, message = row.missing or (
            int(Code.NOT_IMPLEMENTED), f"The stage {name} is not supported",
        )  # fmt: skip
        raise MongoError(code, message)
    return row
