"""Cases of pipelines on real clusters of one and of three shards; see `agg_cluster`.

`make test` runs a slice of the cases, each on one shard and on three; the soak runs every case
on every layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from agg_cluster import LAYOUTS, CannotBeStored, Cluster, Layout, check_on, check_random
from agg_kit import Case, Fails
from aggregation import (
    test_agg_buckets,
    test_agg_group,
    test_agg_joins,
    test_agg_laws,
    test_agg_output,
    test_agg_shape,
    test_agg_sort,
    test_agg_windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Doc = dict[str, Any]

CASES: list[Case] = [
    *test_agg_buckets.CASES, *test_agg_group.CASES, *test_agg_joins.CASES,
    *test_agg_output.ERRORS, *test_agg_output.NEAREST, *test_agg_output.SOURCE_ERRORS,
    *test_agg_shape.CASES, *test_agg_sort.CASES, *test_agg_windows.CASES,
]  # fmt: skip
SLICE = 3
EXAMPLES = int(os.environ.get("PSDB_PIPELINES", "40"))


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[int, Cluster]]:
    running = {count: Cluster(count) for count in (1, 3)}
    yield running
    for cluster in running.values():
        cluster.close()


def fits(one: Case) -> bool:
    """Tell whether a case can be put to a server: its scripts are real, and not off."""
    switched_off = isinstance(one.expected, Fails) and one.expected.code == 31264
    return "javascript" not in one.options and not switched_off


def layouts_of(number: int) -> tuple[Layout, Layout]:
    """Return the layouts of one and of three shards that a case of the slice is run on."""
    return LAYOUTS[0], LAYOUTS[1 + number // SLICE % 3]


@pytest.mark.parametrize("number", range(0, len(CASES), SLICE))
def test_case_on_one_and_three_shards(clusters: dict[int, Cluster], number: int) -> None:
    one = CASES[number]
    if not fits(one):
        pytest.skip("not a server's")
    for layout in layouts_of(number):
        check_on(clusters[layout.shards], one, layout)


@pytest.mark.soak
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_case_on_every_layout(clusters: dict[int, Cluster], layout: Layout) -> None:
    """Also tells how many cases no collection can hold, such as those with repeated ids."""
    failed: list[Any] = []
    unfit = 0
    for number, one in enumerate(CASES):
        if not fits(one):
            continue
        try:
            check_on(clusters[layout.shards], one, layout)
        except CannotBeStored:
            unfit += 1
        except Exception as error:
            failed.append((number, one.page, one.pipeline, repr(error)[:500]))
    assert not failed
    assert unfit == 0


@given(test_agg_laws.DOCS, test_agg_laws.PIPELINES, st.sampled_from(LAYOUTS[1:]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_random_pipelines_on_one_and_three_shards(
    clusters: dict[int, Cluster], docs: list[Doc], pipeline: list[Doc], layout: Layout
) -> None:
    one = Case("random", docs, pipeline, [], test_agg_laws.OTHERS)
    for chosen in (LAYOUTS[0], layout):
        check_random(clusters[chosen.shards], one, chosen)
