"""What a worker purges at once: little enough that its loop goes on."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from worker.config import Config
from worker.service import upkeep
from worker.service.heartbeat import WORKER_TIMINGS
from worker.service.state import State
from worker.service.upkeep import Upkeep


class Backlog:
    """A queue with so many jobs to purge."""

    def __init__(self, mode: str, jobs: int) -> None:
        self.mode = mode
        self.jobs = jobs
        self.asked: list[int] = []

    def purge_older(self, than: timedelta, *, at_most: int) -> int:
        assert than == timedelta(days=30)
        self.asked.append(at_most)
        purged = min(self.jobs, at_most)
        self.jobs -= purged
        return purged


@pytest.mark.parametrize(("mode", "at_once"), [("leased", 2000), ("plain", 50)])
def test_many_jobs_are_purged_a_part_a_minute_and_then_hourly(mode: str, at_once: int, monkeypatch: Any) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(upkeep, "time", SimpleNamespace(monotonic=lambda: clock.now))
    queue = Backlog(mode, 2 * at_once + 1)
    purges = Upkeep(Config(purge_after_d=30), queue, State("w", ""), WORKER_TIMINGS, purges=True)  # type: ignore[arg-type]
    for _ in range(40):
        purges.purge()
        clock.now += 61.0
    assert queue.jobs == 0
    assert queue.asked == [at_once] * 3, "the next hour has not come"
