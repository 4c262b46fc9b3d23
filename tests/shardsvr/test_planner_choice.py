"""The plan that is chosen is not much worse than the best there is."""

from __future__ import annotations

import random
from typing import Any

from planner_kit import Kit

from psdb_base.values import Document

CASES = 500
EACH = 5
SLACK = 5


def value(chance: random.Random, kind: int) -> int:
    """Draw a value: few different ones, some, skewed ones, many."""
    if kind == 2:
        return int(chance.expovariate(0.3))
    return chance.randrange((3, 40, 0, 1000)[kind])


def condition(chance: random.Random, kind: int) -> Any:
    low = value(chance, kind)
    return chance.choice([
        low, {"$gte": low}, {"$lt": low}, {"$in": [value(chance, kind) for _ in range(3)]},
        {"$gte": low, "$lte": low + chance.randrange(5)}])


def collection(chance: random.Random, kinds: list[int]) -> tuple[Kit, list[str]]:
    documents = []
    for _ in range(chance.choice([150, 400])):
        document: Document = {
            name: value(chance, kind) for name, kind in zip("abcd", kinds, strict=True)}
        if chance.random() < 0.1:
            document["a"] = [value(chance, kinds[0]) for _ in range(3)]
        documents.append(document)
    indexes: dict[str, Document] = {}
    for _ in range(chance.randrange(1, 5)):
        names = chance.sample("abcd", chance.randrange(1, 4))
        key = {name: chance.choice([1, -1]) for name in names}
        indexes["_".join(f"{k}_{v}" for k, v in key.items())] = key
    return Kit(documents, [{"key": k, "name": n} for n, k in indexes.items()]), list(indexes)


def test_no_plan_looks_at_three_times_the_documents_of_the_best() -> None:
    """Unless the plan with fewer documents works more than the one chosen, keys included."""
    wrong = []
    for seed in range(CASES // EACH):
        chance = random.Random(seed)
        kinds = [chance.randrange(4) for _ in range(4)]
        kit, names = collection(chance, kinds)
        for _ in range(EACH):
            query: Document = {}
            for name in chance.sample("abcd", chance.randrange(1, 4)):
                query[name] = condition(chance, kinds["abcd".index(name)])
            if chance.random() < 0.15:
                query = {"$or": [query, {chance.choice("abcd"): value(chance, 1)}]}
            options = {"sort": {chance.choice("abcd"): 1}} if chance.random() < 0.3 else {}

            def looked(**hint: Any) -> tuple[int, int]:
                stats = kit.explain(query, **options, **hint)["executionStats"]  # noqa: B023
                return stats["totalDocsExamined"], stats["totalKeysExamined"]

            hinted = [looked(hint=name) for name in [{"$natural": 1}, *names]]
            best_docs, best_keys = min(hinted)
            docs, keys = looked()
            if docs > 3 * best_docs + SLACK and docs + keys > best_docs + best_keys:
                wrong.append((seed, query, options, names, docs, hinted))
    assert not wrong
