"""What a schema is made of once it is parsed: rules that hold or explain why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from psdb_base.values import Document

Check: TypeAlias = Callable[[Any], bool]
Explain: TypeAlias = Callable[[Any], Document]


@dataclass(frozen=True, slots=True)
class Rule:
    """One keyword of a schema.

    Args:
        name: The keyword, as `operatorName` shows it.
        check: Tells whether a value keeps the rule (values of other types keep it).
        explain: Describes, for a value that breaks it, what is wrong, without `operatorName`.

    """

    name: str
    check: Check
    explain: Explain

    def details(self, value: Any) -> Document:
        """Return the error details of a value that breaks the rule."""
        return {"operatorName": self.name, **self.explain(value)}


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled schema: all its rules must hold."""

    rules: tuple[Rule, ...]
    title: str | None = None
    description: str | None = None

    def validates(self, value: Any) -> bool:
        """Tell whether a value keeps all rules."""
        for rule in self.rules:  # noqa: SIM110 -- a generator would cost a frame
            if not rule.check(value):
                return False
        return True

    def broken(self, value: Any) -> list[Document]:
        """Return the details of each rule that a value breaks."""
        return [rule.details(value) for rule in self.rules if not rule.check(value)]

    def labels(self) -> Document:
        """Return title and description, where there are any."""
        out: Document = {}
        if self.title is not None:
            out["title"] = self.title
        if self.description is not None:
            out["description"] = self.description
        return out

    def explain(self, document: Document) -> Document:
        """Return the `details` of `errInfo` for a document that breaks the schema."""
        return {
            "operatorName": "$jsonSchema",
            **self.labels(),
            "schemaRulesNotSatisfied": self.broken(document),
        }


def simple(name: str, specified: Document, check: Check, reason: str) -> Rule:
    """Make a rule whose failure is told by a sentence and the value."""

    def explain(value: Any) -> Document:
        return {"specifiedAs": specified, "reason": reason, "consideredValue": value}

    return Rule(name, check, explain)
