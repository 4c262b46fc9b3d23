"""Bugs that seeds of simulated replica sets found, each as the shortest script that shows it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_raft.messages import InstallSnapshot
from shardsvr.replication import snapshots
from shardsvr.replication.replica_set import ReplicaSet


def test_seed_18_a_snapshot_that_failed_is_ordered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The core ordered it anew at once, while the transfer that had failed was not forgotten."""
    monkeypatch.setattr(snapshots, "_PAUSE_SECONDS", 0.0)

    async def main() -> None:
        ended: list[int | None] = []
        third = asyncio.get_running_loop().create_future()

        def finished(member_id: str, index: int | None) -> None:
            ended.append(index)
            if len(ended) < 3:
                sender.send(member_id)
            else:
                third.set_result(None)

        async def refuse(*_: object) -> int:
            raise MongoError(Code.HOST_UNREACHABLE, "gone")

        replica_set: Any = SimpleNamespace(
            driver=SimpleNamespace(snapshot_finished=finished),
            member=SimpleNamespace(
                world=SimpleNamespace(log=SimpleNamespace(write=lambda *_: None))
            ),
            address=lambda _: "there:1",
        )
        sender = snapshots.Snapshots(replica_set)
        monkeypatch.setattr(sender, "_transfer", refuse)
        sender.send("other")
        async with asyncio.timeout(10):
            await third
        assert ended == [None] * 3

    asyncio.run(main())


def test_seed_18_who_waits_for_a_time_moves_the_log_of_the_store_that_is() -> None:
    """A snapshot was installed and office won meanwhile: the old store got the entry."""

    async def main() -> None:
        appended: list[str] = []

        def engine(name: str, seconds: int) -> Any:
            return SimpleNamespace(
                last_timestamp=Timestamp(seconds, 1), append_noop=lambda: appended.append(name)
            )

        member = SimpleNamespace(
            engine=engine("old", 1),
            world=SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: 0.0)),
        )

        async def progress() -> None:
            member.engine, replica_set.is_primary = engine("new", 2), True

        replica_set: Any = SimpleNamespace(
            member=member, is_primary=False, leader=None, progress=progress
        )
        request: Any = SimpleNamespace(op=SimpleNamespace(check=lambda: None))
        await ReplicaSet.wait_for_time(replica_set, request, Timestamp(3, 1))
        assert appended == ["new"]

    asyncio.run(main())


@pytest.mark.parametrize("again", [False, True])
def test_seed_182_a_snapshot_does_not_end_in_another_term_than_it_began(
    monkeypatch: pytest.MonkeyPatch, *, again: bool,
) -> None:
    """Office was lost while the last piece went out: the end named the sender as the new leader."""

    async def main() -> None:
        core = SimpleNamespace(is_leader=True, term=4)
        asked: list[str] = []

        async def request(_host: str, command: dict[str, Any], _seconds: float) -> None:
            asked.append(next(iter(command)))
            core.term, core.is_leader = 5, again

        pinned = SimpleNamespace(
            line=b"{}", files=[], manifest={}, release=lambda: None,
            position=SimpleNamespace(index=1),
        )

        async def pin(_: object) -> Any:
            return pinned

        monkeypatch.setattr(snapshots.snapshot, "pin", pin)
        monkeypatch.setattr(snapshots, "membership_of", lambda _: (1, {}))
        replica_set: Any = SimpleNamespace(
            driver=SimpleNamespace(
                core=core, engine=SimpleNamespace(member=SimpleNamespace(id="a"))
            ),
            peers=SimpleNamespace(request=request),
        )
        sender = snapshots.Snapshots(replica_set)
        end = InstallSnapshot(
            group="g", sender="a", to="b", term=5, index=1, index_term=1, config_index=1, config={}
        )
        monkeypatch.setattr(sender, "_message", lambda *_: end)
        with pytest.raises(MongoError) as caught:
            await sender._transfer("b", "there:1")
        assert caught.value.code == Code.NOT_WRITABLE_PRIMARY
        assert asked == ["_replSetSnapshot"]

    asyncio.run(main())
