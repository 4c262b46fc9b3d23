"""The catalogue: which collections there are, and the entries that change it.

A catalogue change is an effect `c` of an entry of kind `catalogue`; its `o` is one of

| document | effect |
|---|---|
| `{create: name, options, idIndex?}` | a new collection with the effect's `ui` |
| `{drop: name}` | the collection is gone |
| `{dropDatabase: 1}` | closes an entry that dropped all collections of a database |
| `{renameCollection: ns, to: ns, uuid?}` | new name; a new uuid between databases |
| `{collMod: name, options}` | the collection's whole new options |
| `{collMod: name, index, spec}` | an index's whole new specification |
| `{createIndexes: name, spec}` | a finished index |
| `{dropIndexes: name, index}` | an index is gone |
| `{membership: {…}}` | the replica set's configuration (an entry of kind `config`) |
| `{forgetSessions: [lsid, …]}` | retryable-write records of idle sessions are dropped |

Applying is the same on the leader when the entry is committed, on other members, and in recovery;
only who fills a new index differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psdb_base.values import Document
from psdb_store.collations import compile_collation
from psdb_store.collection import Collection
from psdb_store.datafile import DataFile
from psdb_store.index import IdIndex, Index
from psdb_store.index_kinds import make_index
from psdb_store.sessions import SessionTable

ID_INDEX_SPEC: Final[Document] = {"v": 2, "key": {"_id": 1}, "name": "_id_"}


class Catalogue:
    """All collections, by name and by uuid.

    Attributes:
        by_name: Per database its collections by name.
        by_uuid: Collections by the sixteen bytes of their uuid.
        discarded: Data files of dropped collections, removed after the next checkpoint.

    """

    def __init__(self, sessions: SessionTable) -> None:
        self._sessions = sessions
        self.by_name: dict[str, dict[str, Collection]] = {}
        self.by_uuid: dict[bytes, Collection] = {}
        self.discarded: list[DataFile] = []

    def all(self) -> list[Collection]:
        """Return every collection and view that is kept in files."""
        return [
            c for of_db in self.by_name.values() for c in of_db.values() if not c.virtual
        ]

    def add(self, c: Collection) -> None:
        """Enter a collection under its name and uuid."""
        self.by_name.setdefault(c.db, {})[c.name] = c
        self.by_uuid[bytes(c.uuid)] = c

    def _take_out(self, c: Collection) -> None:
        of_db = self.by_name[c.db]
        del of_db[c.name]
        if not of_db:
            del self.by_name[c.db]
        del self.by_uuid[bytes(c.uuid)]

    # -- applying --------------------------------------------------------------------------------

    def apply(self, ns: str, uuid: bytes, change: Document, wall_ms: int) -> None:
        """Apply one catalogue change; a new index is left empty.

        Args:
            ns: The effect's namespace.
            uuid: The effect's collection.
            change: The effect's `o`.
            wall_ms: The entry's wall time.

        """
        verb = next(iter(change))
        _APPLY[verb](self, ns, uuid, change, wall_ms)

    def _create(self, ns: str, uuid: bytes, change: Document, wall_ms: int) -> None:
        db, _, name = ns.partition(".")
        c = make_collection(db, name, uuid, change["options"])
        if "idIndex" in change:
            attach_index(c, make_index(c, change["idIndex"], wall_ms))
        self.add(c)

    def _drop(self, _ns: str, uuid: bytes, _change: Document, _wall_ms: int) -> None:
        c = self.by_uuid[uuid]
        self._take_out(c)
        c.dropped = True
        c.dirty.clear()
        if c.data is not None:
            c.data.home.drop()
            self.discarded.append(c.data)

    def _rename(self, _ns: str, uuid: bytes, change: Document, _wall_ms: int) -> None:
        c = self.by_uuid[uuid]
        self._take_out(c)
        db, _, name = change["to"].partition(".")
        c.rename(db, name, bytes(change.get("uuid", uuid)))
        self.add(c)

    def _modify(self, _ns: str, uuid: bytes, change: Document, _wall_ms: int) -> None:
        c = self.by_uuid[uuid]
        if "index" in change:
            c.indexes[change["index"]].describe(change["spec"])
        else:
            c.options = change["options"]

    def _create_index(self, _ns: str, uuid: bytes, change: Document, wall_ms: int) -> None:
        c = self.by_uuid[uuid]
        attach_index(c, make_index(c, change["spec"], wall_ms))

    def _drop_index(self, _ns: str, uuid: bytes, change: Document, _wall_ms: int) -> None:
        c = self.by_uuid[uuid]
        del c.indexes[change["index"]]
        c.index_list_changed()

    def _forget_sessions(self, _ns: str, _uuid: bytes, change: Document, _wall_ms: int) -> None:
        for lsid in change["forgetSessions"]:
            self._sessions.put(bytes(lsid), None)

    def _membership(self, _ns: str, _uuid: bytes, _change: Document, _wall_ms: int) -> None:
        """Nothing is left to do: a configuration counts from when it is in the log."""

    def _drop_database(self, _ns: str, _uuid: bytes, _change: Document, _wall_ms: int) -> None:
        """Nothing is left to do: the entry's other effects dropped every collection."""


_Apply = Callable[[Catalogue, str, bytes, Document, int], None]

_APPLY: Final[dict[str, _Apply]] = {
    "collMod": Catalogue._modify,  # noqa: SLF001
    "create": Catalogue._create,  # noqa: SLF001
    "createIndexes": Catalogue._create_index,  # noqa: SLF001
    "drop": Catalogue._drop,  # noqa: SLF001
    "dropDatabase": Catalogue._drop_database,  # noqa: SLF001
    "dropIndexes": Catalogue._drop_index,  # noqa: SLF001
    "forgetSessions": Catalogue._forget_sessions,  # noqa: SLF001
    "membership": Catalogue._membership,  # noqa: SLF001
    "renameCollection": Catalogue._rename,  # noqa: SLF001
}


def make_collection(db: str, name: str, uuid: bytes, options: Document) -> Collection:
    """Make an empty collection without indexes."""
    return Collection(db, name, uuid, options, compile_collation(options.get("collation")))


def attach_index(c: Collection, index: Index) -> None:
    """Enter a ready index into its collection."""
    c.indexes[index.name] = index
    if isinstance(index, IdIndex):
        c.id_index = index
    c.index_list_changed()


def collection_fields(c: Collection, fragment: Callable[[Document], Any]) -> dict[str, Any]:
    """Return a collection's part of the manifest, without its files."""
    return {
        "ns": c.ns,
        "uuid": c.uuid.hex(),
        "options": fragment(c.options),
        "indexes": [fragment(index.spec) for index in c.indexes.values()],
        "nextRid": c.next_rid,
        "count": c.count,
        "dataSize": c.data_size_bytes,
    }
