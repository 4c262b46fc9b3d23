"""Scripts: named corner cases played on a simulated cluster that is up and registered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from sim.cluster import SimCluster
from sim.loop import SimLoop, run
from sim.network import Fabric

Script = Callable[[SimCluster], Coroutine[Any, Any, None]]


def play(script: Script) -> None:
    """Run a script on a cluster whose shard is registered."""
    loop = SimLoop(1)
    cluster = SimCluster(loop, Fabric(loop, 1), 1)

    async def main() -> None:
        await cluster.start()
        await cluster.add_shard()
        await script(cluster)

    run(loop, main())
