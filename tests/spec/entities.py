"""The entities of a case: clients, databases, collections, sessions, buckets and results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from gridfs import GridFSBucket
from pymongo import MongoClient, ReadPreference, WriteConcern, common
from pymongo.client_session import ClientSession, TransactionOptions
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.server_api import ServerApi
from spec.cases import Json
from spec.deployments import Deployment
from spec.events import Observer

_QUICK_SECONDS: Final = 0.03


@contextlib.contextmanager
def quick_heartbeats() -> Iterator[None]:
    """Have clients that are made meanwhile ask often how their servers are.

    As pymongo's own runner does: a client that was told "not primary" has to hear from its monitor
    before it tries again, and by default that takes up to ten seconds. For a case only: the clients
    of all other tests would keep the machine busy with it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "HEARTBEAT_FREQUENCY", _QUICK_SECONDS)
        patch.setattr(common, "MIN_HEARTBEAT_INTERVAL", _QUICK_SECONDS)
        yield


class UnsupportedError(Exception):
    """The driver has no such thing, or this runner has not: the case is skipped."""


class Entities:
    """The entity map of one case.

    Args:
        deployment: Where clients connect to.

    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._items: dict[str, Any] = {}
        self._lsids: dict[str, Any] = {}
        self.observers: dict[str, Observer] = {}

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def add(self, name: str, item: Any) -> None:
        """Store an entity; ValueError when the name is taken."""
        if name in self._items:
            raise ValueError(f"the entity {name} exists already")
        self._items[name] = item

    def lsid(self, name: str) -> Any:
        """Return a session's id, also after its end."""
        return self._lsids[name]

    def session(self, name: str) -> ClientSession:
        """Return a session entity."""
        session = self._items[name]
        if not isinstance(session, ClientSession):
            raise TypeError(f"{name} is not a session")
        return session

    def create(self, specifications: list[Json]) -> None:
        """Create entities in order."""
        for specification in specifications:
            (kind, spec), = specification.items()
            if kind not in _CREATE:
                raise UnsupportedError(f"the runner makes no {kind} entities")
            known, create = _CREATE[kind]
            unknown = sorted(set(spec) - known)
            if unknown:
                raise UnsupportedError(f"the runner does not know {kind} options {unknown}")
            self.add(spec["id"], create(self, spec))

    def close(self) -> None:
        """End sessions, close cursors and clients."""
        for item in reversed(list(self._items.values())):
            if isinstance(item, ClientSession):
                item.end_session()
            elif not isinstance(item, MongoClient) and callable(getattr(item, "close", None)):
                with contextlib.suppress(Exception):
                    item.close()
        for item in self._items.values():
            if isinstance(item, MongoClient):
                item.close()

    # -- one kind each ----------------------------------------------------------------------

    def _client(self, spec: Json) -> MongoClient[Any]:
        observer = Observer(
            spec.get("observeEvents", []), spec.get("ignoreCommandMonitoringEvents", []),
            sensitive=spec.get("observeSensitiveCommands", False),
        )
        self.observers[spec["id"]] = observer
        options = dict(spec.get("uriOptions", {}))
        if "serverApi" in spec:
            options["server_api"] = _server_api(spec["serverApi"])
        return MongoClient(
            self._deployment.uri(all_routers=bool(spec.get("useMultipleMongoses"))),
            event_listeners=observer.listeners(),
            uuidRepresentation="standard", **options,
        )

    def _database(self, spec: Json) -> Database[Any]:
        client: MongoClient[Any] = self[spec["client"]]
        return client.get_database(
            spec["databaseName"], **concerns(spec.get("databaseOptions", {}))
        )

    def _collection(self, spec: Json) -> Collection[Any]:
        database: Database[Any] = self[spec["database"]]
        return database.get_collection(
            spec["collectionName"], **concerns(spec.get("collectionOptions", {}))
        )

    def _session(self, spec: Json) -> ClientSession:
        client: MongoClient[Any] = self[spec["client"]]
        session = client.start_session(**session_options(spec.get("sessionOptions", {})))
        self._lsids[spec["id"]] = session.session_id
        return session

    def _bucket(self, spec: Json) -> GridFSBucket:
        options = dict(spec.get("bucketOptions", {}))
        arguments = concerns({
            name: options.pop(name) for name in list(options)
            if name in ("readPreference", "writeConcern")
        })
        names = {"bucketName": "bucket_name", "chunkSizeBytes": "chunk_size_bytes"}
        if set(options) - set(names):
            raise UnsupportedError(f"the driver's bucket has no {sorted(options)}")
        arguments |= {names[name]: value for name, value in options.items()}
        return GridFSBucket(self[spec["database"]], **arguments)


_CREATE: Final[dict[str, tuple[frozenset[str], Any]]] = {
    "bucket": (frozenset({"id", "database", "bucketOptions"}), Entities._bucket),
    "client": (
        frozenset({
            "id", "ignoreCommandMonitoringEvents", "observeEvents", "observeSensitiveCommands",
            "serverApi", "uriOptions", "useMultipleMongoses",
        }),
        Entities._client,
    ),
    "collection": (
        frozenset({"id", "collectionName", "collectionOptions", "database"}),
        Entities._collection,
    ),
    "database": (
        frozenset({"id", "client", "databaseName", "databaseOptions"}), Entities._database,
    ),
    "session": (frozenset({"id", "client", "sessionOptions"}), Entities._session),
}


def _server_api(spec: Json) -> ServerApi:
    return ServerApi(
        spec["version"], strict=spec.get("strict"),
        deprecation_errors=spec.get("deprecationErrors"),
    )


def read_preference(spec: Json) -> Any:
    """Make the driver's read preference of the common option."""
    from pymongo.read_preferences import make_read_preference, read_pref_mode_from_name

    if set(spec) - {"mode", "tagSets", "maxStalenessSeconds"}:
        raise UnsupportedError(f"the runner does not know the read preference {spec}")
    modes = {
        "nearest": "nearest", "primary": "primary", "primarypreferred": "primaryPreferred",
        "secondary": "secondary", "secondarypreferred": "secondaryPreferred",
    }
    mode = read_pref_mode_from_name(modes[spec["mode"].lower()])
    if mode == ReadPreference.PRIMARY.mode:
        return ReadPreference.PRIMARY
    return make_read_preference(mode, spec.get("tagSets"), spec.get("maxStalenessSeconds", -1))


def write_concern(spec: Json) -> WriteConcern:
    """Make the driver's write concern of the common option."""
    names = {"journal": "j", "w": "w", "wtimeoutMS": "wtimeout"}
    return WriteConcern(**{names[name]: value for name, value in spec.items()})


def read_concern(spec: Json) -> ReadConcern:
    """Make the driver's read concern of the common option."""
    return ReadConcern(**spec)


_CONCERNS: Final = {
    "readConcern": ("read_concern", read_concern),
    "readPreference": ("read_preference", read_preference),
    "writeConcern": ("write_concern", write_concern),
}


def concerns(options: Json) -> dict[str, Any]:
    """Turn read concern, read preference and write concern into the driver's arguments."""
    arguments: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _CONCERNS:
            raise UnsupportedError(f"the driver has no option {name} here")
        python_name, make = _CONCERNS[name]
        arguments[python_name] = make(value)
    return arguments


def session_options(options: Json) -> dict[str, Any]:
    """Turn session options into the driver's arguments."""
    arguments: dict[str, Any] = {}
    for name, value in options.items():
        if name == "defaultTransactionOptions":
            arguments["default_transaction_options"] = TransactionOptions(
                **transaction_options(value)
            )
        elif name in ("causalConsistency", "snapshot"):
            arguments[{"causalConsistency": "causal_consistency"}.get(name, name)] = value
        else:
            raise UnsupportedError(f"the driver has no session option {name}")
    return arguments


def transaction_options(options: Json) -> dict[str, Any]:
    """Turn a transaction's options into the driver's arguments."""
    rest = dict(options)
    arguments = {}
    if "maxCommitTimeMS" in rest:
        arguments["max_commit_time_ms"] = rest.pop("maxCommitTimeMS")
    return arguments | concerns(rest)
