"""Serve a cluster of several shards in one process: `python serve_local.py DBPATH SHARDS ROUTERS`.

Prints the routers' ports on a line and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

from psdb.cluster import LocalCluster
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world
from psdb_wire.server import Server


async def main(dbpath: str, shards: int, routers: int) -> None:
    world = real_world(log=RealLog(RealClock(), sys.stderr, service="-"))
    cluster = LocalCluster(world, {}, dbpath, shards)
    await cluster.start()
    fronts = [cluster.router]
    for _ in range(routers - 1):
        fronts.append(cluster.make_router(world, {}))
        await fronts[-1].start()
    ports = []
    for router in fronts:
        router.server = Server(world, router.handle)
        port = await router.server.listen("127.0.0.1", 0)
        router.host = f"localhost:{port}"
        ports.append(str(port))
    sys.stdout.write(" ".join(ports) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
