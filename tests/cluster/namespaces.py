"""Services of a compose file, each in a network namespace of its own, without a container engine.

A bridge in its own namespace stands for the compose network; every service gets a namespace, an
address and its name in all services' hosts file, its own `/data/db` by a mount namespace, and runs
the very command, environment and health check that the file says. The test's process reaches the
services by their addresses. Needs root and `ip`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import yaml

ROOT = Path(__file__).resolve().parents[2]
ETC_NETNS = Path("/etc/netns")


def why_not() -> str | None:
    """Tell why services cannot be run here, None when they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces need the programs ip (iproute2) and unshare (util-linux)"
    probe = f"psdb-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return None


def ip(*arguments: str, inside: str | None = None) -> None:
    """Run `ip`, in a namespace when one is given."""
    where = ["-n", inside] if inside else []
    subprocess.run(["ip", *where, *arguments], check=True, capture_output=True)


def read_compose(*files: Path) -> dict[str, dict[str, Any]]:
    """Return the services of one compose file or of several laid over each other."""
    services: dict[str, dict[str, Any]] = {}
    for file in files:
        services |= yaml.safe_load(file.read_text())["services"]
    return services


class Service:
    """One service in its namespace."""

    def __init__(self, network: Network, name: str, spec: dict[str, Any], number: int) -> None:
        self.network = network
        self.name = name
        self.spec = spec
        self.address = f"{network.prefix}.{number + 10}"
        self.namespace = f"{network.name}-{name}"
        self.log = network.folder / f"{name}.log"
        self.data = network.folder / name
        self.process: subprocess.Popen[bytes] | None = None
        self._plug = f"p{network.number:02x}x{number}"

    def connect(self) -> None:
        """Make the namespace and lay its cable to the bridge."""
        self.data.mkdir(parents=True, exist_ok=True)
        ip("netns", "add", self.namespace)
        ip("link", "set", "lo", "up", inside=self.namespace)
        ip("link", "add", self._plug, "netns", self.network.hub, "type", "veth",
           "peer", "name", "eth0", "netns", self.namespace)
        ip("link", "set", self._plug, "master", "bridge", "up", inside=self.network.hub)
        ip("addr", "add", f"{self.address}/24", "dev", "eth0", inside=self.namespace)
        ip("link", "set", "eth0", "up", inside=self.namespace)

    def _inside(self, command: list[str]) -> list[str]:
        """Return the command line that runs a command as in the service's container."""
        script = 'mount --bind "$0" /data/db && exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "sh", "-c", script,
                str(self.data), *command]

    @property
    def _environment(self) -> dict[str, str]:
        declared = self.spec.get("environment", {})
        if isinstance(declared, list):
            declared = dict(item.split("=", 1) for item in declared)
        path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "HOME": "/data", **{k: str(v) for k, v in declared.items()}}

    def start(self) -> None:
        """Run the service's command."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._inside(self.spec["command"]), stdout=log, stderr=log,
                env=self._environment, start_new_session=True,
            )

    def healthy(self) -> bool:
        """Run the health check once."""
        kind, *command = self.spec["healthcheck"]["test"]
        assert kind == "CMD"
        run = subprocess.run(
            self._inside(command), env=self._environment, capture_output=True, timeout=30
        )
        return run.returncode == 0

    def wait_healthy(self, seconds: float = 60) -> None:
        """Repeat the health check until it passes."""
        deadline = time.monotonic() + seconds
        while not self.healthy():
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended: {self.text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not healthy: {self.text()[-2000:]}"
            time.sleep(0.2)

    def run(self, seconds: float = 180) -> str:
        """Run a one-off service to its end; return what it printed."""
        self.start()
        assert self.process is not None
        code = self.process.wait(seconds)
        assert code == 0, f"{self.name} ended with {code}: {self.text()[-3000:]}"
        return self.text()

    def text(self) -> str:
        """Return what the service has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self, seconds: float = 30) -> int:
        """End it as `docker compose stop` would; return the exit code."""
        return self._signal(signal.SIGTERM, seconds)

    def _signal(self, number: signal.Signals, seconds: float = 10) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        return int(process.returncode)

    def cut_off(self) -> None:
        """Pull the cable."""
        ip("link", "set", self._plug, "down", inside=self.network.hub)

    def plug_in(self) -> None:
        """Put the cable back."""
        ip("link", "set", self._plug, "up", inside=self.network.hub)

    def remove(self) -> None:
        """End it and remove its namespace."""
        self.kill()
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)
        shutil.rmtree(ETC_NETNS / self.namespace, ignore_errors=True)


class Network:
    """The compose network and its services. A context manager that leaves nothing behind."""

    def __init__(self, folder: Path, services: dict[str, dict[str, Any]]) -> None:
        self.folder = folder
        self.number = os.getpid() % 250
        self.prefix = f"10.213.{self.number}"
        self.name = f"psdb{os.getpid()}"
        self.hub = f"{self.name}-hub"
        self.services: dict[str, Service] = {}
        self._made_data: list[Path] = []
        for name, spec in services.items():
            self.declare(name, spec)

    def declare(self, name: str, spec: dict[str, Any]) -> Service:
        """Add a service (as a second compose file does)."""
        service = Service(self, name, spec, len(self.services))
        self.services[name] = service
        return service

    def __enter__(self) -> Self:
        for path in (Path("/data"), Path("/data/db")):
            if not path.exists():
                path.mkdir()
                self._made_data.append(path)
        ip("netns", "add", self.hub)
        ip("link", "add", "bridge", "type", "bridge", inside=self.hub)
        ip("link", "set", "bridge", "up", inside=self.hub)
        outlet = f"psdb{self.number:02x}"
        ip("link", "add", outlet, "type", "veth", "peer", "name", "outlet", "netns", self.hub)
        ip("link", "set", "outlet", "master", "bridge", "up", inside=self.hub)
        ip("addr", "add", f"{self.prefix}.1/24", "dev", outlet)
        ip("link", "set", outlet, "up")
        for service in self.services.values():
            service.connect()
        self.write_hosts()
        return self

    def write_hosts(self) -> None:
        """Give every namespace a hosts file with all services' names."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{service.address} {service.name}" for service in self.services.values()]
        for service in self.services.values():
            folder = ETC_NETNS / service.namespace
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text("\n".join(lines) + "\n")

    def __exit__(self, *_: object) -> None:
        for service in self.services.values():
            service.remove()
        subprocess.run(["ip", "netns", "del", self.hub], capture_output=True)
        for path in reversed(self._made_data):
            path.rmdir()

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def one_offs(self) -> list[Service]:
        """Services that run once: those that are not restarted."""
        return [service for service in self.services.values()
                if str(service.spec.get("restart")) == "no"]

    def daemons(self) -> list[Service]:
        """Services that stay."""
        return [service for service in self.services.values()
                if str(service.spec.get("restart")) != "no"]

    def published(self) -> Iterator[tuple[str, int, Service, int]]:
        """Yield (address, port, service, port inside) of the ports a file publishes."""
        for service in self.services.values():
            for port in service.spec.get("ports", []):
                match = re.fullmatch(r"(?:([\d.]+):)?(\d+):(\d+)", str(port))
                assert match, port
                yield match[1] or "0.0.0.0", int(match[2]), service, int(match[3])
