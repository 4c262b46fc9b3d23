"""`$redact`: prune documents and sub-documents by an expression over each of them."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import Env
from psdb_query.describe import text_of
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.stages.model import EVERYTHING, REPLACED, Modified, Stage, StageContext, Transform
from psdb_query.stages.ports import Batch

_DECISIONS: Final = {"DESCEND": "descend", "KEEP": "keep", "PRUNE": "prune"}
"""The variables that only this stage has, and what they stand for."""


class RedactStage(Transform):
    """Documents without the parts that the expression prunes."""

    name = "$redact"
    reads = EVERYTHING

    def __init__(self, spec: Any, expression: Expr) -> None:
        self.spec = spec
        self.expression = expression

    def transform(self, batch: Batch, env: Env) -> Batch:
        """Redact each document."""
        result = []
        for doc in batch:
            kept = self._redact(doc, {**env, **_DECISIONS, "ROOT": doc})
            if kept is not MISSING:
                result.append(kept)
        return result

    def _redact(self, doc: Document, env: Env) -> Any:
        """Decide on one document; MISSING when it is pruned."""
        decision = self.expression.evaluate(doc, env)
        if decision == "keep":
            return doc
        if decision == "prune":
            return MISSING
        if decision == "descend":
            result = {}
            for name, value in doc.items():
                kept = self._descend(value, env)
                if kept is not MISSING:
                    result[name] = kept
            return result
        raise MongoError(
            17053,
            "$redact's expression should not return anything aside from the variables $$KEEP, "
            f"$$DESCEND, and $$PRUNE, but returned {text_of(decision)}",
        )

    def _descend(self, value: Any, env: Env) -> Any:
        kind = type(value)
        if kind is dict:
            return self._redact(value, env)
        if kind is list:
            found = (self._descend(element, env) for element in value)
            return [element for element in found if element is not MISSING]
        return value

    def modified(self) -> Modified:
        """Any field may be gone."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$redact": self.spec}


def _parse_redact(spec: Any, context: StageContext) -> list[Stage]:
    ctx = context.expressions.rebinding_current(*_DECISIONS)
    return [RedactStage(spec, compile_expression(spec, ctx))]


PARSERS: Final = {"$redact": _parse_redact}
