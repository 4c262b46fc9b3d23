"""What a schema is made of once it is parsed: rules that hold or explain why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.filters.types import type_code

Check: TypeAlias = Callable[[Any], bool]
Explain: TypeAlias = Callable[[Any], Document]


@dataclass(frozen=True, slots=True)
class Rule:
    """One keyword of a schema.

    Args:
        name: The keyword, as `operatorName` shows it.
        check: Tells whether a value keeps the rule (values of other types keep it).
        explain: Describes, for a value that breaks it, what is wrong, without `operatorName`.
        applies: Type codes that the rule speaks of; empty for every type.
        mismatch: Describes a value of another type where the schema states one of `applies`.

    """

    name: str
    check: Check
    explain: Explain
    applies: tuple[int, ...] = ()
    mismatch: Explain | None = None

    def details(self, value: Any) -> Document:
        """Return the error details of a value that breaks the rule."""
        return {"operatorName": self.name, **self.explain(value)}


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled schema: all its rules must hold."""

    rules: tuple[Rule, ...]
    title: str | None = None
    description: str | None = None
    stated: int | None = None
    """The first type code of `type` or `bsonType`."""

    def validates(self, value: Any) -> bool:
        """Tell whether a value keeps all rules."""
        for rule in self.rules:  # noqa: SIM110 -- a generator would cost a frame
            if not rule.check(value):
                return False
        return True

    def broken(self, value: Any) -> list[Document]:
        """Return the details of each rule that a value breaks."""
        out = []
        for rule in self.rules:
            if not rule.check(value):
                out.append(rule.details(value))
            elif self._mismatched(rule, value):
                assert rule.mismatch is not None
                out.append({"operatorName": rule.name, **rule.mismatch(value)})
        return out

    def _mismatched(self, rule: Rule, value: Any) -> bool:
        """Tell that a rule on the stated type met a value of another one."""
        if rule.mismatch is None or self.stated not in rule.applies:
            return False
        return type_code(value) not in rule.applies

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


def simple(
    name: str,
    specified: Document,
    check: Check,
    reason: str,
    applies: tuple[int, ...] = (),
    expected: tuple[str, ...] = (),
) -> Rule:
    """Make a rule whose failure is told by a sentence and the value.

    `expected` names the types that are told of where a value has another one.
    """

    def explain(value: Any) -> Document:
        return {"specifiedAs": specified, "reason": reason, "consideredValue": value}

    def mismatch(value: Any) -> Document:
        many = len(expected) > 1
        return {
            "specifiedAs": specified,
            "reason": "type did not match",
            "consideredType": type_name(value),
            ("expectedTypes" if many else "expectedType"): list(expected) if many else expected[0],
            "consideredValue": value,
        }

    return Rule(name, check, explain, applies, mismatch if expected else explain)
