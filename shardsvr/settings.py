"""Settings of the whole cluster that members honour: default concerns, parameters, write block.

They are ordinary documents of the `config` database, so they survive restarts and failovers and
every member of a replica set sees them; what was read of one is kept while its record stays the
same. In a sharded cluster the router writes them on the config server and on every shard.

| document | what |
|---|---|
| `config.settings` `ReadWriteConcernDefaults` | as in MongoDB |
| `config.clusterParameters` by parameter name | as in MongoDB |
| `config.user_writes_critical_sections` `""` | `setUserWriteBlockMode`, while it is on |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psdb_base import order
from psdb_base.values import Document

if TYPE_CHECKING:
    from psdb_store.record import Record
    from shardsvr.member import Member

CONCERNS: Final = ("settings", "ReadWriteConcernDefaults")
WRITE_BLOCK: Final = ("user_writes_critical_sections", "")
PARAMETERS: Final = "clusterParameters"
DEFAULT_MAX_TIME: Final = (PARAMETERS, "defaultMaxTimeMS")
_NONE: Final[Document] = {}
_NO_COLLECTIONS: Final[dict[str, Any]] = {}


class Settings:
    """Reads settings from a member's own `config` database, on the way of every command."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._known: dict[tuple[str, str], tuple[Record, Document]] = {}
        self._keys: dict[tuple[str, str], bytes] = {}
        self._shapes: tuple[Document, dict[str, Document]] = (_NONE, {})

    @property
    def any_set(self) -> bool:
        """Whether any setting was ever made that commands have to look up; mostly none was."""
        found = self._member.engine.catalogue.by_name.get("config", _NO_COLLECTIONS)
        return CONCERNS[0] in found or PARAMETERS in found or WRITE_BLOCK[0] in found

    def get(self, place: tuple[str, str]) -> Document:
        """Return a setting's document, {} when it was never set."""
        collection = self._member.engine.collection("config", place[0])
        if collection is None:
            return _NONE
        key = self._keys.get(place)
        if key is None:
            key = self._keys[place] = order.key(place[1])
        record = collection.by_id(key)
        if record is None:
            return _NONE
        known = self._known.get(place)
        if known is None or known[0] is not record:
            known = self._known[place] = (record, dict(record.document()))
        return known[1]

    def query_settings(self) -> dict[str, Document]:
        """Return the rows of the parameter `querySettings` by the hash of their shape."""
        document = self.get((PARAMETERS, "querySettings"))
        if self._shapes[0] is not document:
            rows: list[Document] = document.get("settingsArray", [])
            self._shapes = (document, {row["queryShapeHash"]: row for row in rows})
        return self._shapes[1]

    def all_parameters(self) -> dict[str, Document]:
        """Return the cluster parameters that were set, by name."""
        collection = self._member.engine.collection("config", PARAMETERS)
        if collection is None:
            return {}
        found = [record.document() for record in collection.scan(None, 10_000)]
        return {document["_id"]: document for document in found}

    async def put(self, place: tuple[str, str], document: Document | None) -> None:
        """Replace a setting's document; None takes it away. Durable when this returns."""
        from shardsvr.collections import collection_for_write

        member = self._member
        collection = await collection_for_write(member, "config", place[0])
        with member.engine.unit() as unit:
            if document is None:
                unit.remove(collection, place[1])
            else:
                unit.put(collection, {"_id": place[1], **document})
            unit.commit()
        await member.engine.committed(member.engine.log_end)


def default_concern(settings: Settings, kind: str) -> Document:
    """Return the default read or write concern in force, {} for MongoDB's own.

    Args:
        settings: A member's.
        kind: `defaultReadConcern` or `defaultWriteConcern`.

    """
    concern: Any = settings.get(CONCERNS).get(kind)
    return concern or _NONE
