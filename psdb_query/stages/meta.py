"""Metadata beside documents: text scores, distances, sort keys, search scores.

Documents stay plain dicts. A source that has metadata gives `MetaBatch`es: lists of documents
with a list of metadata dicts of the same length beside them. Expressions read metadata from the
environment under `META`, so a stage runs over such a batch document by document, each with its
own environment; pipelines without metadata pay nothing. Blocking stages that keep documents
(`$sort`) carry the metadata along; those that make new ones (`$group`) drop them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, Final

from psdb_base.values import Document
from psdb_query.context import Env

META: Final = "META"
"""Name in the environment of the current document's metadata, `{"textScore": 1.5, …}`."""


SCORE_FIELD: Final = "__psdbTextScore"
"""The field in which a shard sends a document's score to the router, which takes it off again."""


class MetaBatch(list[Document]):
    """A batch with metadata: `meta[i]` belongs to document `i`."""

    __slots__ = ("meta",)

    def __init__(
        self, documents: Iterable[Document] = (), meta: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(documents)
        self.meta: list[dict[str, Any]] = [{} for _ in self] if meta is None else meta

    def append_batch(self, other: MetaBatch) -> None:
        """Add another batch at the end."""
        self.extend(other)
        self.meta.extend(other.meta)

    def cut(self, start: int, stop: int) -> MetaBatch:
        """Return a part of it."""
        return MetaBatch(self[start:stop], self.meta[start:stop])

    def take(self, positions: Iterable[int]) -> MetaBatch:
        """Return the documents at these positions, in this order."""
        chosen = list(positions)
        return MetaBatch([self[at] for at in chosen], [self.meta[at] for at in chosen])


def cut(batch: list[Document], start: int, stop: int) -> list[Document]:
    """Slice a batch, metadata included."""
    return batch.cut(start, stop) if type(batch) is MetaBatch else batch[start:stop]


def envs(batch: list[Document], env: Env) -> Iterable[Env]:
    """Give the environment of each document of a batch."""
    if type(batch) is MetaBatch:
        return ({**env, META: meta} for meta in batch.meta)
    return repeat(env, len(batch))


def per_document(
    transform: Callable[[list[Document], Env], list[Document]], batch: MetaBatch, env: Env
) -> MetaBatch:
    """Run a transformation on each document alone, with its metadata in the environment."""
    result = MetaBatch()
    for document, meta in zip(batch, batch.meta, strict=True):
        made = transform([document], {**env, META: meta})
        result.extend(made)
        result.meta.extend([meta] * len(made))
    return result


def with_scores(batch: list[Document]) -> list[Document]:
    """Take the scores that a shard sent off its documents and put them beside them."""
    if not batch or SCORE_FIELD not in batch[0]:
        return batch
    metas = [{"textScore": document.pop(SCORE_FIELD)} for document in batch]
    return MetaBatch(batch, metas)
