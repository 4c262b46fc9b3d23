"""How many cases with documented results there are."""

from __future__ import annotations

from case_tables import is_case, modules, rows


def count(folder: str) -> int:
    return sum(is_case(row) for module in modules(folder) for _name, row in rows(module))


def test_cases_of_the_query_language() -> None:
    assert count("query") >= 2500


def test_cases_of_aggregation() -> None:
    assert count("aggregation") >= 800
