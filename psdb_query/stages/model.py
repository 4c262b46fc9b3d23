"""Stages as objects: what each must say of itself, and how it runs.

A stage is made once from its specification and never changes; all state of an execution lives
in `run`, so one compiled pipeline may be run many times, also at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psdb_base.limits import SORT_MEMORY_BYTES_MAX, YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.context import CompileContext, Env
from psdb_query.sizes import check_expanded
from psdb_query.stages.meta import MetaBatch, per_document
from psdb_query.stages.ports import Batch, PipelinePorts

if TYPE_CHECKING:
    from psdb_query.geo.regions import NearPoint

EVERYTHING: Final[frozenset[str]] = frozenset(("",))
"""As paths: the whole document."""
NOTHING: Final[frozenset[str]] = frozenset()

SUB_PIPELINE_DEPTH_MAX: Final = 20
BATCH_DOCUMENTS: Final = 1024
"""Stages that make more documents than they read hand them on in batches of about this many."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a pipeline.

    Args:
        ports: The server.
        env: Variables by name.
        allow_disk_use: Blocking stages may spill; if not, 292 beyond `memory_bytes`.
        memory_bytes: What one blocking stage may hold.
        nearest_first: The source gives what a leading `$geoNear` asks for, in its order: the
            field and the point it measured by.
        scripted: Expressions may call scripts: they are evaluated through `ports.apply`.

    """

    ports: PipelinePorts
    env: Env
    allow_disk_use: bool = True
    memory_bytes: int = SORT_MEMORY_BYTES_MAX
    nearest_first: tuple[str, NearPoint] | None = None
    scripted: bool = False

    def binding(self, values: Mapping[str, Any]) -> Run:
        """Return this run with further variables."""
        return replace(self, env={**self.env, **values})


@dataclass(frozen=True, slots=True)
class StageContext:
    """Where a stage stands while it is compiled.

    Args:
        expressions: Context of its expressions and filters.
        database: The database the command runs in.
        collection: Its collection; None for `{aggregate: 1}`.
        place: `top`, or the stage whose sub-pipeline this is (`$facet`, `$lookup`,
            `$unionWith`), or `view` or `update`.
        depth: How deep sub-pipelines are nested.
        compile: Compiles a sub-pipeline (given here to keep stages free of the table).
        options: Settings of the server that change compilation, such as the random port.

    """

    expressions: CompileContext
    database: str
    collection: str | None
    place: str
    depth: int
    compile: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Modified:
    """What a stage does to the fields of the documents that pass through it.

    Args:
        everything: Documents come out as new ones: nothing of the old is where it was, save
            `renames` and `kept`.
        paths: Paths that are changed, set or removed (if not `everything`). A dotted path that
            is written counts as its first name: on the way arrays and scalars may be replaced.
        kept: With `everything`: paths that come out untouched (an inclusive `$project`).
        renames: New path → old path, for fields that only move and whose values stay as they
            are (both without arrays on the way, as far as the names tell).

    """

    everything: bool = False
    paths: frozenset[str] = NOTHING
    kept: frozenset[str] = NOTHING
    renames: Mapping[str, str] = field(default_factory=dict)


def written(*paths: str | None) -> Modified:
    """Return what writing to these dotted paths does."""
    return Modified(paths=frozenset(path.partition(".")[0] for path in paths if path))


UNMODIFIED: Final = Modified()
REPLACED: Final = Modified(everything=True)


class Stage:
    """A compiled stage. Subclasses override what differs from a one-to-one pass.

    Attributes:
        name: The stage's row in the table.
        reads: Paths it reads of its input; `""` is the whole document.
        closed: What comes out depends on `reads` only (`$group`, an inclusive `$project`).

    """

    name: str = ""
    reads: frozenset[str] = NOTHING
    closed: bool = False

    def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Take the batches of `source` and give this stage's."""
        raise NotImplementedError

    def serialize(self) -> Document:
        """Return the stage as `explain` shows it and as another member can compile it."""
        raise NotImplementedError

    def wire(self) -> list[Document]:
        """Return the stages that another member compiles into the same (place `internal`)."""
        return [self.serialize()]

    def modified(self) -> Modified:
        """Tell what happens to the fields of documents."""
        return UNMODIFIED

    @property
    def one_to_one(self) -> bool:
        """Each document gives exactly one, in its place, whatever the others are."""
        return False

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """Other collections it reads or writes, as (database, collection)."""
        return ()


class Transform(Stage):
    """A stage that maps each document to none, one or several, without memory.

    Attributes:
        guarded: Documents may have grown through many stages; those that come out are checked.

    """

    guarded: bool = False

    def transform(self, batch: Batch, env: Env) -> Batch:
        """Return what comes out for a batch."""
        raise NotImplementedError

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Transform batch by batch; metadata follow their documents."""
        transform, env, checkpoint = self.transform, run.env, run.ports.checkpoint
        async for batch in _small(source):
            await checkpoint(len(batch))
            if type(batch) is MetaBatch:
                work: Callable[[], Batch] = partial(per_document, transform, batch, env)
                result = await run.ports.apply(work) if run.scripted else work()
            elif run.scripted:
                result = await run.ports.apply(partial(transform, batch, env))
            else:
                result = transform(batch, env)
            if self.guarded:
                for document in result:
                    check_expanded(document, self.name)
            if result:
                yield result


async def _small(source: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Part large batches (of groups, of a sort): others have a turn between two parts."""
    async for batch in source:
        if len(batch) <= YIELD_DOCUMENTS or type(batch) is MetaBatch:
            yield batch
            continue
        for at in range(0, len(batch), YIELD_DOCUMENTS):
            yield batch[at : at + YIELD_DOCUMENTS]


async def close(source: AsyncIterator[Batch]) -> None:
    """Give up a source, which may or may not have been read to its end."""
    closer = getattr(source, "aclose", None)
    if closer is not None:
        await closer()


async def empty() -> AsyncIterator[Batch]:
    """Give nothing."""
    return
    yield []


async def rechunk(documents: Batch, size: int = BATCH_DOCUMENTS) -> AsyncIterator[Batch]:
    """Give a list as batches."""
    if type(documents) is MetaBatch:
        for at in range(0, len(documents), size):
            yield documents.cut(at, at + size)
        return
    for at in range(0, len(documents), size):
        yield documents[at : at + size]
