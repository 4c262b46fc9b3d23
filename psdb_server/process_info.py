"""Facts about this process and machine, read from the operating system when asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base.values import Document

CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def process_id() -> int:
    """Return this process's id."""
    return os.getpid()


def build_environment() -> Document:
    """Return the `buildEnvironment` of `buildInfo`."""
    import platform

    return {
        "distmod": "",
        "distarch": platform.machine(),
        "target_arch": platform.machine(),
        "target_os": sys.platform,
        "python": platform.python_version(),
    }


def memory() -> Document:
    """Return the `mem` section of `serverStatus`, in MiB."""
    resident, virtual = _memory_bytes()
    return {
        "bits": 64,
        "resident": resident // 2**20,
        "virtual": virtual // 2**20,
        "supported": True,
    }


def _memory_bytes() -> tuple[int, int]:
    statm = Path("/proc/self/statm")
    if statm.exists():
        fields = statm.read_text(encoding="ascii").split()
        page = os.sysconf("SC_PAGE_SIZE")
        return int(fields[1]) * page, int(fields[0]) * page
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak if sys.platform == "darwin" else peak * 1024), 0


def memory_total_bytes() -> int:
    """Return the machine's memory, or what this process's container may use of it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = Path(name)
        if limit.exists() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
            return min(total, int(text))
    return total


def cores_available() -> int:
    """Return how many cores this process, or its container, may keep busy; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    if CPU_QUOTA.exists():
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()
        if quota.isdigit():
            return max(1, min(cores, int(quota) // int(period)))
    return cores


def host_info(now: DatetimeMS, host: str) -> Document:
    """Return the reply of `hostInfo`."""
    import platform

    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": {
            "currentTime": now,
            "hostname": host,
            "cpuAddrSize": 64,
            "memSizeMB": Int64(total // 2**20),
            "memLimitMB": Int64(min(total, memory_total_bytes()) // 2**20),
            "numCores": os.cpu_count() or 1,
            "numCoresAvailableToProcess": cores_available(),
            "cpuArch": platform.machine(),
            "numaEnabled": False,
        },
        "os": {
            "type": platform.system(),
            "name": platform.platform(),
            "version": platform.release(),
        },
        "extra": {"pageSize": Int64(os.sysconf("SC_PAGE_SIZE"))},
    }
