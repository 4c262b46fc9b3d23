"""What the log says when a member leaves office."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from replication.test_interruptions import Node, begin, until

from psdb_base.errors import Code, MongoError


def _reasons(node: Node) -> list[dict[str, Any]]:
    """Return the `attr` of each time that a member left office, without what varies."""
    lines = [json.loads(line) for line in node.member.world.log.recent()]
    left = [line["attr"] for line in lines if line["id"] == 21358]
    for attr in left:
        assert attr.pop("term") > 0
        assert attr.pop("oldState") == "PRIMARY"
        assert attr.pop("newState") == "SECONDARY"
    return left


@pytest.mark.parametrize("how", ["replSetStepDown", "stopping", "the disk failed"])
def test_a_member_of_its_own_says_why(tmp_path: Path, how: str) -> None:
    async def main() -> None:
        (only,) = await begin(tmp_path, 1)
        if how == "replSetStepDown":
            await only.done("admin", {"replSetStepDown": 1, "force": True})
            await until(lambda: not only.member.is_primary)
        elif how == "the disk failed":
            only.member.engine.fail_disk(MongoError(Code.INTERNAL_ERROR, "gone"), "the log")
            await until(lambda: not only.member.is_primary)
        await only.member.stop()
        assert _reasons(only)[:1] == [{"reason": how}]

    asyncio.run(main())


def test_who_hands_over_says_to_whom(tmp_path: Path) -> None:
    async def main() -> None:
        primary, other = await begin(tmp_path)
        await primary.done("admin", {"replSetStepDown": 30})
        await until(lambda: not primary.member.is_primary)
        assert _reasons(primary) == [{"reason": "handed over", "member": other.host}]
        await primary.member.stop()
        await other.member.stop()

    asyncio.run(main())
