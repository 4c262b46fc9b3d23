"""Pipelines that run on the router, over documents gathered from the shards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from bson.objectid import ObjectId

from psdb_base.errors import Code, MongoError
from psdb_query.context import Env
from psdb_query.stages.model import Run
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.ports import Batch, ForeignSource, SpillFile

if TYPE_CHECKING:
    from router.server import Router

T = TypeVar("T")


class RowPorts:
    """What a pipeline over rows may use on the router: neither collections nor disk."""

    def __init__(self, router: Router) -> None:
        self.router = router

    async def checkpoint(self, documents: int) -> None:
        """Nothing to yield for: the documents are few."""

    async def apply(self, work: Callable[[], T]) -> T:
        """Do work that may call scripts; the router's own pipelines call none yet."""
        return work()

    def foreign(self, database: str, collection: str) -> ForeignSource:
        """Refuse other collections."""
        raise _refused(f"reading {database}.{collection}")

    def source(
        self, name: str, spec: Any, database: str, collection: str | None,  # noqa: ARG002
    ) -> AsyncIterator[Batch]:
        """Refuse stages that read a server."""
        raise _refused(name)

    def geo_key(self, database: str, collection: str, key: str | None) -> str:  # noqa: ARG002
        """Refuse `$geoNear`."""
        raise _refused("$geoNear")

    async def out(self, target: Any, batches: AsyncIterator[Batch]) -> None:  # noqa: ARG002
        """Refuse `$out`."""
        raise _refused("$out")

    async def merge(self, target: Any, batch: Batch, env: Env) -> None:  # noqa: ARG002
        """Refuse `$merge`."""
        raise _refused("$merge")

    def spill(self) -> SpillFile:
        """Refuse temporary storage."""
        raise _refused("spilling to disk")

    def random(self) -> float:
        """Return a float in [0, 1)."""
        return self.router.world.random.random()

    def new_object_id(self) -> ObjectId:
        """Make an ObjectId."""
        return self.router.world.random.object_id()


def _refused(what: str) -> MongoError:
    return MongoError(
        Code.NOT_IMPLEMENTED, f"{what} in a pipeline on the router is not supported by PSDB yet"
    )


async def run_over_rows(router: Router, pipeline: Pipeline, rows: Batch, env: Env) -> Batch:
    """Run a pipeline over rows and return what comes out."""
    result: Batch = []
    async for batch in pipeline.run(_once(rows), Run(RowPorts(router), env)):
        result += batch
    return result


async def _once(rows: Batch) -> AsyncIterator[Batch]:
    if rows:
        yield rows
