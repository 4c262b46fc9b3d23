"""Document validation: the `validator` option of a collection (manual: "Schema Validation")."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.world import Log
from psdb_query.context import CompileContext, Env
from psdb_query.filters import Filter, compile_filter
from psdb_store.collection import Collection


class Validators:
    """Compiled validators, kept while a collection's options stay the same."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = log
        self._compiled: dict[bytes, tuple[Document, Filter]] = {}

    def filter_of(self, collection: Collection) -> Filter | None:
        """Return the collection's compiled validator, None without one."""
        spec = collection.options.get("validator")
        if not spec:
            return None
        key = bytes(collection.uuid)
        known = self._compiled.get(key)
        if known is None or known[0] is not spec:
            known = (spec, compile_filter(spec, CompileContext()))
            self._compiled[key] = known
        return known[1]

    def check(
        self, collection: Collection, document: Document, env: Env, old: Document | None = None
    ) -> None:
        """Raise 121 when a document to be written fails the validator.

        Args:
            collection: Where it is written.
            document: The document as it would be stored.
            env: Runtime variables.
            old: The document before an update; at level `moderate` one that failed already may
                go on failing.

        """
        validator = self.filter_of(collection)
        if validator is None or validator.matches(document, env):
            return
        options = collection.options
        level = options.get("validationLevel", "strict")
        if level == "off":
            return
        if level == "moderate" and old is not None and not validator.matches(old, env):
            return
        action = options.get("validationAction", "error")
        if action != "error" and self.log is not None:
            # Never the document: the log holds no data.
            self.log.write(
                "W", "STORAGE", 20294, "Document would fail validation",
                {"namespace": collection.ns, "action": action},
            )
        if action == "warn":
            return
        raise MongoError(
            Code.DOCUMENT_VALIDATION_FAILURE,
            "Document failed validation",
            extra={"errInfo": validator.explain_failure(document, env)},
        )

