"""The memory limit of a job: less than what would get the worker killed."""

from __future__ import annotations

import os
from pathlib import Path

from worker.config import Config

_CGROUP = Path("/sys/fs/cgroup")
_KILLS = (_CGROUP / "memory.events", Path("/proc/vmstat"))  # the container's, else the machine's
_RESERVE_BYTES = 120 << 20  # for the worker itself and its fork server
_LEAST_BYTES = 128 << 20


def job_memory_limit_bytes(config: Config, *, cgroup: Path = _CGROUP) -> int:
    """MEMORY_LIMIT_MB, or a job's share of what the container (else 3/4 of the machine) has beside the worker."""
    if config.memory_limit_mb is not None:
        return config.memory_limit_mb << 20
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    container = _container_bytes(cgroup)
    whole = container if container is not None and container < machine else machine * 3 // 4
    return max((whole - _RESERVE_BYTES) // config.worker_concurrency, _LEAST_BYTES)


def kills_by_the_kernel() -> int:
    """Count the processes that the kernel has killed for lack of memory (``oom_kill``); 0 if there is no counter."""
    for path in _KILLS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _container_bytes(cgroup: Path) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((cgroup / name).read_text())
        except (OSError, ValueError):  # no such cgroup, or "max"
            continue
    return None
