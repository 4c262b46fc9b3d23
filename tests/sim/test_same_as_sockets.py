"""The simulated transports behave as real sockets do: the same scripts on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from sim.loop import SimLoop, run
from sim.network import Fabric
from sim.recorder import Recorder

from psdb_base.real_world import RealNetwork
from psdb_base.world import Network

Script = Callable[[Recorder, Recorder], Coroutine[Any, Any, None]]
BIG = 8_000_000
"""More than the buffers of a socket and its kernel hold."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what must happen."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def play(network: Network, near_network: Network, host: str, script: Script) -> None:
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder(half_open=True))
        return accepted[0]

    listener = await network.listen("127.0.0.1", 0, accept)
    near = cast("Recorder", await near_network.connect(host, listener.port, Recorder))
    await until(lambda: bool(accepted and accepted[0].calls))
    await script(near, accepted[0])
    for end in (near, accepted[0]):
        end.transport.abort()
    listener.close()
    await until(lambda: near.calls[-1] in {"lost", "reset"})


@pytest.fixture(params=["simulated", "real"])
def player(request: pytest.FixtureRequest) -> Callable[[Script], None]:
    def simulated(script: Script) -> None:
        loop = SimLoop(1)
        fabric = Fabric(loop, 1)
        run(loop, play(fabric.network("b"), fabric.network("a"), "b", script))

    def real(script: Script) -> None:
        network = RealNetwork()
        asyncio.run(play(network, network, "127.0.0.1", script))

    return simulated if request.param == "simulated" else real


def test_what_is_written_before_a_close_arrives(player: Callable[[Script], None]) -> None:
    async def script(near: Recorder, far: Recorder) -> None:
        near.transport.write(b"x" * 100_000)
        near.transport.close()
        assert near.transport.is_closing()
        await until(lambda: "eof" in far.calls)
        assert len(far.data) == 100_000
        await until(lambda: "lost" in near.calls)
        assert (near.calls[0], near.calls[-1]) == ("made", "lost")
        assert "eof" not in near.calls

    player(script)


def test_after_write_eof_the_other_way_stays_open(player: Callable[[Script], None]) -> None:
    async def script(near: Recorder, far: Recorder) -> None:
        assert near.transport.can_write_eof()
        near.transport.write_eof()
        await until(lambda: "eof" in far.calls)
        assert not far.transport.is_closing()
        far.transport.write(b"answer")
        far.transport.close()
        await until(lambda: "lost" in near.calls)
        assert near.data == b"answer"
        assert near.calls == ["made", "eof", "lost"]

    player(script)


def test_a_full_connection_pauses_and_resumes_its_writer(player: Callable[[Script], None]) -> None:
    async def script(near: Recorder, far: Recorder) -> None:
        far.transport.pause_reading()
        near.transport.write(b"x" * BIG)
        assert near.calls == ["made", "pause"]
        assert near.transport.get_write_buffer_size() > 0
        assert not far.data
        far.transport.resume_reading()
        await until(lambda: near.calls == ["made", "pause", "resume"])
        await until(lambda: len(far.data) == BIG)

    player(script)


def test_an_abort_tells_both_ends(player: Callable[[Script], None]) -> None:
    async def script(near: Recorder, far: Recorder) -> None:
        far.transport.pause_reading()
        near.transport.write(b"x" * BIG)
        near.transport.abort()
        await until(lambda: "lost" in near.calls)
        far.transport.resume_reading()
        await until(lambda: far.calls[-1] in {"eof", "lost", "reset"})
        assert len(far.data) < BIG
        near.transport.write(b"nobody hears this")

    player(script)


def test_a_close_by_one_end_closes_the_other(player: Callable[[Script], None]) -> None:
    async def script(near: Recorder, far: Recorder) -> None:
        far.transport.close()
        await until(lambda: "lost" in near.calls)
        assert near.calls == ["made", "eof", "lost"]
        await until(lambda: "lost" in far.calls)
        assert far.calls == ["made", "lost"]
        near.transport.close()
        near.transport.abort()

    player(script)
