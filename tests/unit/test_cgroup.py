"""What a container leaves: cores and memory of cgroup v2, else v1, else the machine's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker import cores
from worker.config import Config
from worker.job import memory

MB = 1 << 20


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /sys/fs/cgroup, on a machine of eight cores."""
    for module, name in ((cores, "_CGROUP_V2_MAX"), (cores, "_CGROUP_V1_QUOTA"), (cores, "_CGROUP_V1_PERIOD")):
        place = tmp_path / getattr(module, name).relative_to("/sys/fs/cgroup")
        place.parent.mkdir(exist_ok=True)
        monkeypatch.setattr(module, name, place)
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("100000 100000", 1), ("150000 100000", 2), ("20000 100000", 1), ("1600000 100000", 8)],
)
def test_cores_are_those_of_the_quota(cgroup, quota, expected):
    (cgroup / "cpu.max").write_text(f"{quota}\n")
    assert cores.available_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_cores_of_cgroup_v1(cgroup, quota, expected):
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cores.available_cores() == expected


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_job_may_take_what_the_container_leaves_beside_the_worker(cgroup, name):
    (cgroup / name).write_text(f"{512 * MB}\n")
    assert memory.job_memory_limit_bytes(Config(), cgroup=cgroup) == 392 * MB
    assert memory.job_memory_limit_bytes(Config(worker_concurrency=2), cgroup=cgroup) == 196 * MB
    assert memory.job_memory_limit_bytes(Config(memory_limit_mb=300), cgroup=cgroup) == 300 * MB


@pytest.mark.parametrize("limit", [None, "max", str(2**63 - 4096)])
def test_without_a_limit_it_is_the_machines(cgroup, limit):
    if limit is not None:
        (cgroup / "memory.max").write_text(limit)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    assert memory.job_memory_limit_bytes(Config(), cgroup=cgroup) == machine * 3 // 4 - 120 * MB
