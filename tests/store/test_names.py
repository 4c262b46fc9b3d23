"""Folder names: safe everywhere, different for different names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simdisk import SimDisk
from store_kit import by_id, open_engine, put, run

from psdb_base.world import World
from psdb_store.names import folder_name

NAMES = [
    ("users", "users"),
    ("Users", "%55sers"),
    ("a.b-c_1", "a.b-c_1"),
    (".hidden", "%2ehidden"),
    ("ends.", "ends%2e"),
    ("..", "%2e%2e"),
    ("a/b", "a%2fb"),
    ("con", "%63on"),
    ("con.x", "%63on.x"),
    ("console", "console"),
    ("lpt9", "%6cpt9"),
    ("a b", "a%20b"),
    ("é", "%c3%a9"),
    ("100%", "100%25"),
    ("a" * 120, "a" * 120),
]


@pytest.mark.parametrize(("name", "folder"), NAMES)
def test_folder_names(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_long_names_end_in_a_hash() -> None:
    one, two = folder_name("é" * 100 + "1"), folder_name("é" * 100 + "2")
    assert one != two
    assert re.fullmatch(r"(%[0-9a-f]{2}){26}%~[0-9a-f]{32}", one)


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_names_stay_apart_where_case_is_ignored(one: str, two: str) -> None:
    folders = folder_name(one), folder_name(two)
    assert (folders[0].lower() == folders[1].lower()) == (one == two)
    for folder in folders:
        assert re.fullmatch(r"[a-z0-9_\-.%~]+", folder)
        assert len(folder) <= 120
        assert not folder.startswith(".")
        assert not folder.endswith(".")


def test_collections_with_strange_names_survive() -> None:
    names = [name for name, _ in NAMES] + ["é" * 100]

    async def main(world: World) -> None:
        engine = await open_engine(world)
        for number, name in enumerate(names):
            c = await engine.create_collection("d", name, {})
            await put(engine, c, {"_id": number})
        await engine.close()
        engine = await open_engine(world)
        assert [c.name for c in engine.collections("d")] == sorted(names)
        for number, name in enumerate(names):
            c_again = engine.collection("d", name)
            assert c_again is not None
            assert by_id(c_again, number) == {"_id": number}

    run(main, SimDisk())
