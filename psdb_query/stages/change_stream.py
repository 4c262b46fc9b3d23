"""`$changeStreamSplitLargeEvent`: cut events that are too large for one document.

Each fragment holds whole top-level fields of the event and `splitEvent: {fragment, of}`; the
fragments' resume token is the event's `_id` with the fragment's number beside it, under
`fragmentNum`, which the server's resume understands.
"""

from __future__ import annotations

from typing import Any, Final

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_base.limits import DOCUMENT_BYTES_MAX
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.stages.model import REPLACED, Modified, Stage, StageContext, Transform
from psdb_query.stages.ports import Batch

_ENVELOPE_BYTES: Final = 1024
"""Room for what a fragment has besides its fields."""


class SplitLargeEventStage(Transform):
    """Events, the too large ones in fragments."""

    name = "$changeStreamSplitLargeEvent"

    def __init__(self, limit_bytes: int = DOCUMENT_BYTES_MAX) -> None:
        self.limit_bytes = limit_bytes

    def transform(self, batch: Batch, env: Env) -> Batch:  # noqa: ARG002
        """Split what has to be."""
        result: Batch = []
        for doc in batch:
            if len(bson_codec.encode(doc)) <= self.limit_bytes:
                result.append(doc)
            else:
                result += self._split(doc)
        return result

    def _split(self, doc: Document) -> Batch:
        room = self.limit_bytes - _ENVELOPE_BYTES - len(bson_codec.encode({"": doc.get("_id")}))
        sizes = {
            name: len(bson_codec.encode({name: value}))
            for name, value in doc.items()
            if name != "_id"
        }
        fragments: list[Document] = []
        left = 0
        for name in sorted(sizes, key=sizes.__getitem__):
            if sizes[name] > room:
                raise MongoError(
                    7182500, "Splitting change event failed: fragment for field "
                    f"'{name}' is too large",
                )  # fmt: skip
            if not fragments or sizes[name] > left:
                fragments.append({})
                left = room
            fragments[-1][name] = doc[name]
            left -= sizes[name]
        count = len(fragments)
        return [
            {
                "_id": _fragment_id(doc["_id"], at),
                "splitEvent": {"fragment": at + 1, "of": count},
                **fragment,
            }
            for at, fragment in enumerate(fragments)
        ]

    def modified(self) -> Modified:
        """Fields may be elsewhere."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$changeStreamSplitLargeEvent": {}}


def _fragment_id(token: Any, at: int) -> Any:
    return {**token, "fragmentNum": at} if type(token) is dict else token


def _parse(spec: Any, _context: StageContext) -> list[Stage]:
    if type(spec) is not dict or spec:
        raise MongoError(7182800, "$changeStreamSplitLargeEvent spec should be an empty object")
    return [SplitLargeEventStage()]


PARSERS: Final = {"$changeStreamSplitLargeEvent": _parse}
