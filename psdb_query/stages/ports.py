"""What a pipeline asks of its server: yields, other collections, writes, spill, chance.

The query language does no I/O of its own. Whoever runs a pipeline passes one object that keeps
`PipelinePorts`; parts that a pipeline does not use are never called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from bson.objectid import ObjectId

from psdb_base.values import Document
from psdb_query.context import Collation, Env

if TYPE_CHECKING:
    from psdb_query.stages.output import MergeTarget, OutTarget
    from psdb_query.stages.pipeline import Pipeline

T = TypeVar("T")

Batch: TypeAlias = list[Document]
"""Documents on their way through a pipeline: never empty, never changed by who did not make it.

A batch that is a `MetaBatch` has metadata beside its documents (see `psdb_query.stages.meta`).
"""


class ForeignSource(Protocol):
    """Another collection or view (resolved by the server), as `$lookup` and the like read it."""

    def run(self, pipeline: Pipeline, env: Env) -> AsyncIterator[Batch]:
        """Run a compiled pipeline over it; `env` holds the variables the pipeline reads."""
        ...

    async def lookup(
        self, path: str, values: list[Any], collation: Collation | None
    ) -> Batch | None:
        """Fetch by index all documents whose `path` may equal (as a match does) one of `values`.

        None means that no index of this collation serves, and the caller scans. More documents
        than asked for do no harm; none may be given twice.
        """
        ...


class SpillFile(Protocol):
    """Temporary storage of one blocking stage, gone when it is closed."""

    async def append(self, data: bytes) -> int:
        """Add bytes at the end; return their offset."""
        ...

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Read back what was appended there."""
        ...

    async def close(self) -> None:
        """Give the space back; called once, also when the pipeline is abandoned."""
        ...


class PipelinePorts(Protocol):
    """The server as one running pipeline sees it."""

    async def checkpoint(self, documents: int) -> None:
        """Count documents worked on; yield now and then; raise when killed or out of time."""
        ...

    async def apply(self, work: Callable[[], T]) -> T:
        """Do work that calls scripts away from the loop; used when `Run.scripted`."""
        ...

    def foreign(self, database: str, collection: str) -> ForeignSource:
        """Open another collection or view; one that does not exist is empty."""
        ...

    def source(
        self, name: str, spec: Any, database: str, collection: str | None
    ) -> AsyncIterator[Batch]:
        """Produce the documents of a stage that reads the server itself (`$collStats`, …)."""
        ...

    async def out(self, target: OutTarget, batches: AsyncIterator[Batch]) -> None:
        """Replace the target collection by the documents, atomically at the end."""
        ...

    async def merge(self, target: MergeTarget, batch: Batch, env: Env) -> None:
        """Write one batch into the target as `MergeTarget.statements` says."""
        ...

    def geo_key(self, database: str, collection: str, key: str | None) -> str:
        """Return the field whose geospatial index answers a `$geoNear`; `key` if it has one.

        Raises 27 IndexNotFound (no such index), 2 or 27 when there is more than one to choose.
        """
        ...

    def spill(self) -> SpillFile:
        """Open temporary storage."""
        ...

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def new_object_id(self) -> ObjectId:
        """Make a fresh ObjectId."""
        ...
