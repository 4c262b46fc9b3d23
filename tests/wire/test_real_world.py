"""The real ports: files and their modes, locks, threads in order, addresses."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
import uvloop

from psdb_base import real_world as module
from psdb_base.real_world import RealDisk, RealNetwork, file_mode, real_world


@pytest.fixture
def disk():
    disk = RealDisk()
    yield disk
    disk.close()


def test_files_are_written_at_their_end(disk, tmp_path):
    path = str(tmp_path / "f")
    file = disk.open(path)
    file.write(b"hello ")
    file.write(b"world")
    assert file.size() == 11
    assert file.read_at(6, 100) == b"world"
    assert file.read_at(0, 5) == b"hello"
    assert file.read_at(11, 5) == b""
    file.truncate(5)
    file.write(b"!")
    file.fdatasync()
    file.close()
    file.close()
    assert disk.read(path) == b"hello!"
    again = disk.open(path)
    again.write(b"?")
    assert again.size() == 7
    again.close()


def test_a_large_write_is_whole(disk, tmp_path):
    data = os.urandom(3_000_000)
    file = disk.open(str(tmp_path / "f"))
    file.write(data)
    assert file.read_at(0, len(data)) == data
    file.close()


def test_short_writes_are_completed(disk, tmp_path, monkeypatch):
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:7])))
    file = disk.open(str(tmp_path / "f"))
    file.write(b"0123456789" * 10)
    file.close()
    assert disk.read(str(tmp_path / "f")) == b"0123456789" * 10


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes(disk, tmp_path, umask):
    old = os.umask(umask)
    try:
        disk.make_dirs(str(tmp_path / "a" / "b" / "c"))
        disk.open(str(tmp_path / "a" / "b" / "f")).close()
        disk.lock(str(tmp_path / "a" / "lock"))()
    finally:
        os.umask(old)
    for folder in ("a", "a/b", "a/b/c"):
        assert file_mode(str(tmp_path / folder)) == 0o700
    for file in ("a/b/f", "a/lock"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600


def test_folders(disk, tmp_path):
    folder = str(tmp_path / "a")
    assert disk.list(folder) == []
    disk.make_dirs(folder)
    disk.make_dirs(folder)
    for name in ("c", "a", "b"):
        disk.open(f"{folder}/{name}").close()
    assert disk.list(folder) == ["a", "b", "c"]
    disk.rename(f"{folder}/a", f"{folder}/c")
    disk.fsync_dir(folder)
    assert disk.list(folder) == ["b", "c"]
    assert disk.exists(f"{folder}/b")
    disk.remove(f"{folder}/b")
    assert not disk.exists(f"{folder}/b")
    disk.remove(f"{folder}/c")
    disk.remove_dir(folder)
    assert not disk.exists(folder)
    with pytest.raises(FileNotFoundError):
        disk.read(folder)


def test_a_file_in_the_way_of_a_folder(disk, tmp_path):
    disk.open(str(tmp_path / "f")).close()
    with pytest.raises(OSError):
        disk.make_dirs(str(tmp_path / "f" / "g"))


def test_symbolic_links_are_not_followed(disk, tmp_path):
    (tmp_path / "target").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        disk.open(str(tmp_path / "link"))
    assert disk.exists(str(tmp_path / "link"))


def test_a_failed_sync_is_final(disk, tmp_path, monkeypatch):
    file = disk.open(str(tmp_path / "f"))

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_sync_data", fail)
    with pytest.raises(OSError, match="Input/output"):
        file.fdatasync()
    monkeypatch.undo()
    for call in (file.fdatasync, lambda: file.write(b"x"), lambda: file.truncate(0)):
        with pytest.raises(OSError, match="earlier sync failed"):
            call()
    file.close()


def test_a_lock_is_taken_once_and_across_processes(disk, tmp_path):
    path = str(tmp_path / "psdb.lock")
    release = disk.lock(path)
    assert disk.read(path) == b"%d\n" % os.getpid()
    with pytest.raises(BlockingIOError):
        disk.lock(path)
    script = (
        "import sys; from psdb_base.real_world import RealDisk\n"
        "try: RealDisk().lock(sys.argv[1])\n"
        "except BlockingIOError: sys.exit(7)\n"
    )
    command = [sys.executable, "-c", script, path]
    assert subprocess.run(command, timeout=60).returncode == 7
    release()
    release()
    assert disk.read(path) == b""
    assert subprocess.run(command, timeout=60).returncode == 0
    disk.lock(path)()


# -- threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_work_is_done_in_order_on_one_thread(disk, run):
    async def main():
        order = []
        threads = set()

        def work(i):
            order.append(i)
            threads.add(threading.current_thread())
            return i * 2

        futures = [disk.submit("log", lambda i=i: work(i)) for i in range(2000)]
        results = [await future for future in futures]
        assert results == [i * 2 for i in range(2000)]
        assert order == list(range(2000))
        assert len(threads) == 1
        assert threading.current_thread() not in threads

    run(main())


def test_threads_of_other_names_do_not_wait(disk):
    async def main():
        gate = threading.Event()
        blocked = disk.submit("slow", gate.wait)
        assert await disk.submit("fast", lambda: "done") == "done"
        assert not blocked.done()
        gate.set()
        assert await blocked

    asyncio.run(main())


def test_what_work_raises_is_raised_where_it_is_awaited(disk):
    def stop():
        raise StopIteration

    def full():
        raise OSError(28, "No space left on device")

    async def main():
        with pytest.raises(OSError, match="No space"):
            await disk.submit("log", full)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await disk.submit("log", stop)
        assert await disk.submit("log", lambda: 1) == 1

    asyncio.run(main())


def test_work_nobody_awaits_any_more_is_done_all_the_same(disk):
    async def main():
        done = []
        gate = threading.Event()
        first = disk.submit("log", gate.wait)
        second = disk.submit("log", lambda: done.append(1))
        first.cancel()
        second.cancel()
        gate.set()
        await disk.submit("log", lambda: done.append(2))
        assert done == [1, 2]

    asyncio.run(main())


def test_a_loop_closed_under_its_work(disk):
    gate = threading.Event()
    done = []

    async def main():
        disk.submit("log", lambda: (gate.wait(), done.append(1)))

    asyncio.run(main())
    gate.set()

    async def later():
        return await disk.submit("log", lambda: list(done))

    assert asyncio.run(later()) == [1]


def test_closing_lets_the_threads_finish(disk):
    done = []

    async def main():
        disk.submit("log", lambda: (time.sleep(0.05), done.append(1)))

    asyncio.run(main())
    disk.close()
    assert done == [1]


# -- network, clock -----------------------------------------------------------------------------


class Recorder(asyncio.Protocol):
    def __init__(self, made):
        self.made = made

    def connection_made(self, transport):
        self.transport = transport
        self.made.append(self)


def no_delay(transport):
    return transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "127.0.0.1")],
)
def test_connections_send_without_delay(run, host, address):
    async def main():
        accepted, opened = [], []
        network = RealNetwork()
        listener = await network.listen(host, 0, lambda: Recorder(accepted))
        client = await network.connect(address, listener.port, lambda: Recorder(opened))
        assert opened == [client]
        while not accepted:
            await asyncio.sleep(0.001)
        assert no_delay(client.transport)
        assert no_delay(accepted[0].transport)
        with pytest.raises(OSError):
            await network.listen(host, listener.port, lambda: Recorder(accepted))
        listener.close()
        client.transport.close()
        with pytest.raises(OSError):
            await network.connect(address, listener.port, lambda: Recorder(opened))

    run(main())


@pytest.mark.parametrize("host", ["::", "::1"])
def test_ipv6(host):
    async def main():
        made = []
        network = RealNetwork()
        try:
            listener = await network.listen(host, 0, lambda: Recorder(made))
        except OSError:
            pytest.skip("no IPv6 here")
        client = await network.connect("::1", listener.port, lambda: Recorder(made))
        while len(made) < 2:
            await asyncio.sleep(0.001)
        assert client in made
        client.transport.close()
        listener.close()

    asyncio.run(main())


def test_a_seed_repeats_the_random_part():
    first, second = real_world(seed=5), real_world(seed=5)
    assert first.random.uuid() == second.random.uuid()
    assert real_world().random.uuid() != real_world().random.uuid()
    assert abs(first.clock.now_ms() - time.time() * 1000) < 5000
    assert first.clock.monotonic() <= first.clock.monotonic()


def test_the_import_is_lean():
    script = (
        "import sys, psdb_base.real_world, psdb_wire.server, psdb_wire.pool\n"
        "heavy = {'zstandard', 'cramjam', 'zlib_ng', 'google_crc32c', 'ssl', 'logging.config'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "zstandard" not in out.stdout
    assert "cramjam" not in out.stdout
    assert "google_crc32c" not in out.stdout


def test_a_nameless_file_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = RealDisk().open_nameless()
    assert list(tmp_path.iterdir()) == []
    file.write(b"abc")
    file.write(b"def")
    assert file.read_at(2, 3) == b"cde"
    assert file.size() == 6
    file.close()
