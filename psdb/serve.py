"""Running a server: event loop, world, listening, signals, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world
from psdb_base.values import Document
from psdb_base.world import World
from psdb_server.node import Node
from psdb_server.process_info import memory_total_bytes
from psdb_store.options import StoreOptions
from psdb_wire.server import Server

EXIT_CANNOT_LISTEN: Final = 48
EXIT_CANNOT_OPEN: Final = 100
EXIT_FAILED: Final = 1
EXIT_BAD_OPTIONS: Final = 2
_CACHE_BYTES_MIN: Final = 256 * 2**20
_SERVICES: Final = {"router": "R", "shardsvr": "S", "configsvr": "S"}


def serve(options: argparse.Namespace, document: Document) -> int:
    """Run the server that a command line asks for until SIGTERM or SIGINT."""
    if getattr(options, "dbpath", None):
        options.dbpath = str(Path(options.dbpath).absolute())
    return _run(_serve(options, document))


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return int(uvloop.run(work))


async def _serve(options: argparse.Namespace, document: Document) -> int:
    try:
        log = _log(options)
        world = real_world(log=log)
        nodes, start, stop = _make(world, options, document)
    except OSError as error:
        sys.stderr.write(f"Error: cannot write the log {options.logpath}: {error.strerror}\n")
        return EXIT_FAILED
    except MongoError as error:
        sys.stderr.write(f"Error: {error.message}\n")
        return EXIT_BAD_OPTIONS
    front = nodes[0]
    _name(nodes, options.port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, log.rotate)
    if options.supervised:
        _stop_at_end_of_input(loop, stopped)
    front.request_stop, front.rotate_log = stopped.set, log.rotate
    world.log.write("I", "CONTROL", 23285, "PSDB starting", {
        "role": options.command, "dbPath": getattr(options, "dbpath", None),
    })
    try:
        await start()
    except MongoError as error:
        world.log.write("F", "STORAGE", 28595, "Cannot start", {"error": str(error)})
        sys.stderr.write(f"psdb: {error}\n")
        return EXIT_CANNOT_OPEN
    except OSError as error:
        world.log.write("F", "STORAGE", 28595, "Cannot start", {"error": str(error)})
        sys.stderr.write(f"psdb: cannot open the dbpath {options.dbpath}: {error}\n")
        return EXIT_CANNOT_OPEN
    gc.collect()
    gc.freeze()
    server = Server(world, front.handler)
    front.server = server
    try:
        port = await _listen(server, options)
    except OSError as error:
        world.log.write("E", "NETWORK", 23024, "Failed to set up listener", {"error": str(error)})
        sys.stderr.write(f"psdb: cannot listen on port {options.port}: {error}\n")
        await stop()
        return EXIT_CANNOT_LISTEN
    _name(nodes, port)
    _announce(world, options, port)
    await stopped.wait()
    world.log.write("I", "CONTROL", 23378, "Signal received, stopping", {})
    code = 0
    try:
        await stop()
    except MongoError as error:
        # What was acknowledged is in the journal: the next start applies it.
        code = EXIT_FAILED
        failed = {"error": str(error)}
        world.log.write("E", "CONTROL", 7100008, "The last checkpoint failed", failed)
    world.log.write("I", "CONTROL", 23138, "Shutting down", {"exitCode": code})
    return code


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Stop when the process that started this one is gone: its end of the pipe closes then."""

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stopped.set()

    loop.add_reader(sys.stdin.fileno(), readable)


def _log(options: argparse.Namespace) -> RealLog:
    log = RealLog(RealClock(), sys.stdout, service=_SERVICES.get(options.command, "-"))
    log.set_verbosity("", options.verbose)
    if options.logpath:
        log.open_file(options.logpath)
    return log


def _name(nodes: list[Node], port: int) -> None:
    """Tell all nodes of the process by which name they are reached."""
    for node in nodes:
        node.host = f"localhost:{port}"


def _make(
    world: World, options: argparse.Namespace, document: Document
) -> tuple[list[Node], Any, Any]:
    """Make the nodes; return them, first the one that listens, and what starts and stops them."""
    from router.shards import connect_over_network

    if options.command == "up":
        from psdb.cluster import LocalCluster
        from psdb.layout import holds_processes

        if holds_processes(Path(options.dbpath)):
            raise MongoError(
                Code.BAD_VALUE,
                f"{options.dbpath} holds a cluster of several processes: start it with the "
                "numbers it was made with",
            )
        cluster = LocalCluster(world, document, options.dbpath)
        for one in cluster.members:
            one.store_options = store_options(options)
        return [cluster.router, *cluster.members], cluster.start, cluster.stop
    if options.command == "router":
        from router.server import Router

        config = connect_over_network(world, options.configdb)
        router = Router(world, document, config, lambda host: connect_over_network(world, host))
        return [router], router.start, router.stop
    if options.command == "configsvr":
        from configsvr.server import ConfigServer

        config_server = ConfigServer(world, document, options.dbpath)
        config_server.store_options = store_options(options)
        config_server.connect = lambda host: connect_over_network(world, host)
        return [config_server], config_server.start, config_server.stop
    from shardsvr.commands.table import MEMBER_COMMANDS
    from shardsvr.member import Member

    member = Member(world, MEMBER_COMMANDS, document, options.dbpath)
    member.store_options = store_options(options)
    member.connect = lambda host: connect_over_network(world, host)
    return [member], member.start, member.stop


def store_options(options: argparse.Namespace) -> StoreOptions:
    """Take the store's settings from the command line."""
    if options.wiredTigerCacheSizeGB is not None:
        cache_bytes = int(options.wiredTigerCacheSizeGB * 2**30)
    elif options.cacheSizeMB is not None:
        cache_bytes = options.cacheSizeMB * 2**20
    else:
        cache_bytes = max((memory_total_bytes() - 2**30) // 2, _CACHE_BYTES_MIN)
    # Records make no cycles: the collector need not look at them again and again.
    settings = StoreOptions(freeze_gc=True, cache_bytes=cache_bytes)
    if options.oplogSize is not None:
        settings = replace(settings, oplog_bytes=options.oplogSize * 2**20)
    if options.oplogMinRetentionHours is not None:
        kept_ms = int(options.oplogMinRetentionHours * 3_600_000)
        settings = replace(settings, oplog_retention_ms=kept_ms)
    return settings


async def _listen(server: Server, options: argparse.Namespace) -> int:
    """Listen on all addresses asked for; return the port."""
    addresses = ["0.0.0.0"] if options.bind_ip_all else options.bind_ip.split(",")  # noqa: S104
    port = options.port
    for address in addresses:
        port = await server.listen(address.strip(), port)
    return int(port)


def _announce(world: World, options: argparse.Namespace, port: int) -> None:
    """Write the lines that harnesses wait for."""
    world.log.write(
        "W", "CONTROL", 22120, "Access control is not enabled for the database. Read and write "
        "access to data and configuration is unrestricted", {},
    )
    if not getattr(options, "replSet", ""):
        world.log.write(
            "I", "REPL", 21331,
            "transition to primary complete; database writes are now permitted", {},
        )
    world.log.write(
        "I", "NETWORK", 23016, "Waiting for connections", {"port": port, "ssl": "off"}
    )
    if options.command == "up":
        sys.stdout.write(f"PSDB is ready: mongodb://127.0.0.1:{port}\n")
        sys.stdout.flush()

