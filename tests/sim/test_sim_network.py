"""The simulated network keeps asyncio's contract of transports, and fails as networks do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from sim.loop import OWNER, SimLoop, run
from sim.network import Conditions, Fabric
from sim.recorder import Recorder

Script = Callable[[Fabric, Recorder, Recorder], Coroutine[Any, Any, None]]


def play(script: Script, *, half_open: bool = False, **conditions: Any) -> None:
    """Run a script over one connection: fabric, the near end, the far end."""
    loop = SimLoop(1)

    async def main() -> None:
        fabric = Fabric(loop, 1, Conditions(**conditions))
        accepted: list[Recorder] = []

        def accept() -> Recorder:
            accepted.append(Recorder(half_open=half_open))
            return accepted[0]

        await fabric.network("b").listen("0.0.0.0", 5, accept)
        near = cast("Recorder", await fabric.network("a").connect("b", 5, Recorder))
        await asyncio.sleep(0.1)
        await script(fabric, near, accepted[0])

    run(loop, main())


@pytest.mark.parametrize("split", [0.0, 0.5, 1.0])
def test_bytes_come_whole_and_in_order(split: float) -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        rng = random.Random(1)
        sent = [rng.randbytes(rng.randrange(1, 3000)) for _ in range(20)]
        for data in sent:
            near.transport.write(data)
            await asyncio.sleep(rng.random() * 0.002)
        await asyncio.sleep(1)
        assert bytes(far.data) == b"".join(sent)
        assert (far.pieces > 40) == (split == 1.0)

    play(script, split=split)


def test_ends_know_their_addresses() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        assert near.transport.get_extra_info("peername") == ("b", 5)
        assert far.transport.get_extra_info("sockname") == ("b", 5)
        assert far.transport.get_extra_info("peername")[0] == "a"
        assert far.transport.get_extra_info("socket", 7) == 7

    play(script)


def test_a_close_lets_what_was_written_arrive() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        near.transport.write(b"x" * 1000)
        near.transport.close()
        near.transport.write(b"too late")
        await asyncio.sleep(1)
        assert far.data == b"x" * 1000
        assert far.calls == ["made", "eof", "lost"]
        assert near.calls == ["made", "lost"]

    play(script)


def test_a_half_closed_connection_still_answers() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        near.transport.write_eof()
        await asyncio.sleep(0.1)
        far.transport.write(b"answer")
        far.transport.close()
        await asyncio.sleep(0.1)
        assert near.data == b"answer"
        assert near.calls == ["made", "eof", "lost"]
        assert far.calls == ["made", "eof", "lost"]

    play(script, half_open=True)


def test_an_abort_resets_the_peer() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        near.transport.abort()
        await asyncio.sleep(5)
        assert near.calls == ["made", "lost"]
        assert far.calls == ["made", "reset"]

    play(script)


def test_a_write_to_a_closed_end_is_answered_with_a_reset() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        far.transport.close()
        await asyncio.sleep(0)
        near.transport.write(b"x")
        await asyncio.sleep(1)
        assert near.calls in (["made", "reset"], ["made", "eof", "lost"])
        assert not far.data

    play(script)


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        far.transport.pause_reading()
        assert not far.transport.is_reading()
        near.transport.write(b"x" * 200_000)
        assert near.calls == ["made", "pause"]
        await asyncio.sleep(1)
        assert not far.data
        assert near.transport.get_write_buffer_size() == 200_000
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert len(far.data) == 200_000
        assert near.calls == ["made", "pause", "resume"]

    play(script)


def test_a_cut_keeps_what_is_under_way_until_it_is_healed() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        fabric.cut("a", "b", both=False)
        near.transport.write(b"to")
        far.transport.write(b"fro")
        await asyncio.sleep(1)
        assert (bytes(near.data), bytes(far.data)) == (b"fro", b"")
        fabric.heal("a", "b")
        await asyncio.sleep(1)
        assert far.data == b"to"

    play(script)


def test_a_reset_does_not_pass_a_cut() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        fabric.cut("a", "b")
        near.transport.abort()
        await asyncio.sleep(3)
        assert far.calls == ["made"]
        fabric.heal()
        await asyncio.sleep(1)
        assert far.calls == ["made", "reset"]

    play(script, silent=0.0)


def test_dropped_connections_are_lost_at_both_ends() -> None:
    async def script(fabric: Fabric, near: Recorder, far: Recorder) -> None:
        fabric.drop()
        await asyncio.sleep(5)
        assert near.calls == far.calls == ["made", "reset"]

    play(script)


def test_a_connection_needs_somebody_who_listens() -> None:
    loop = SimLoop(1)

    async def main() -> None:
        fabric = Fabric(loop, 1, Conditions(silent=0.0))
        network = fabric.network("a")
        with pytest.raises(ConnectionRefusedError):
            await network.connect("b", 5, Recorder)
        listener = await fabric.network("b").listen("127.0.0.1", 0, Recorder)
        await network.connect("b", listener.port, Recorder)
        with pytest.raises(OSError, match="in use"):
            await fabric.network("b").listen("b", listener.port, Recorder)
        with pytest.raises(OSError, match="Cannot assign"):
            await fabric.network("b").listen("elsewhere", 0, Recorder)
        fabric.cut("b", "a", both=False)
        with pytest.raises(TimeoutError):
            await network.connect("b", listener.port, Recorder)
        fabric.heal()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await network.connect("b", listener.port, Recorder)

    run(loop, main())


def test_a_machine_without_power_is_silent_and_its_peers_learn_of_it() -> None:
    loop = SimLoop(1)
    far: list[Recorder] = []

    def accept() -> Recorder:
        far.append(Recorder())
        return far[0]

    async def main() -> None:
        fabric = Fabric(loop, 1)
        owner = loop.owner("b")
        await loop.run_for(owner, fabric.network("b").listen("", 5, accept))
        near = cast("Recorder", await fabric.network("a").connect("b", 5, Recorder))
        near.transport.write(b"before")
        await asyncio.sleep(0.1)
        assert OWNER.get().name == "outside"
        owner.power_off()
        fabric.power_off(owner)
        near.transport.write(b"after")
        await asyncio.sleep(5)
        assert far[0].data == b"before"
        assert far[0].calls == ["made"]
        assert near.calls == ["made", "reset"]
        with pytest.raises(OSError, match=r"refused|No route"):
            await fabric.network("a").connect("b", 5, Recorder)

    run(loop, main())
