"""The plan that is chosen is not much worse than the best there is."""

from __future__ import annotations

import random
from typing import Any

from planner_kit import Kit

from psdb_base.values import Document

CASES = 500
EACH = 5
NATURAL = {"$natural": 1}
SIZES = [150, 400]


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
    for _ in range(chance.choice(SIZES)):
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
    """The best plan is the one that looks at the fewest keys and documents together."""
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
            hinted = [looked(kit, query, hint=name, **options) for name in [NATURAL, *names]]
            best_docs, _keys = min(hinted, key=lambda one: (sum(one), one))
            docs, _keys = looked(kit, query, **options)
            if docs > 3 * best_docs:
                wrong.append((seed, query, options, names, docs, hinted))
    assert not wrong


def looked(kit: Kit, query: Document, **options: Any) -> tuple[int, int]:
    """Return how many documents and keys a query looked at."""
    stats = kit.explain(query, **options)["executionStats"]
    return stats["totalDocsExamined"], stats["totalKeysExamined"]


def test_an_order_is_not_worth_a_whole_collection() -> None:
    # The index on `a` has a first batch long before the one on `c` has all it must sort.
    kit = Kit(
        [{"a": n * 7919 % 20_011, "c": n % 8} for n in range(20_000)],
        [{"key": {"a": 1}}, {"key": {"c": 1}}],
    )
    for c in (3, 4):  # by trial, then with what the cache remembers
        assert looked(kit, {"c": c}, sort={"a": 1}) == (2500, 2500)
    # Where few are wanted it is worth it, and where the sort would not fit into memory.
    docs, _keys = looked(kit, {"c": 3}, sort={"a": 1}, limit=20)
    assert docs < 200
    assert looked(kit, {"c": 3}, sort={"a": 1}, sort_memory_bytes=20_000)[0] == 20_000
    # And where both look at the same.
    assert looked(kit, {"c": {"$lt": 7}}, sort={"a": 1})[0] == 20_000
