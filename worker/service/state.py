"""The worker's state, for /health, /ready, /metrics and the status page."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from worker.masks import masked
from worker.queue.claims import Cause
from worker.service.runner import RunningJob

ALIVE_S = 120.0  # a loop that has not run for so long has hung; its waits are a quarter of this at most


@dataclass
class State:
    """Written by the loop, read by any thread.

    `queue` is the queue's description. `own_trouble` is what must be fixed before more jobs are claimed, `causes`
    what parked jobs wait for. `listening` tells whether the listener is connected.
    """

    name: str
    queue: str
    started_at: float = field(default_factory=time.time)
    looped_at: float = field(default_factory=time.monotonic)
    claimed: int = 0
    rescued: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    own_trouble: str | None = None
    causes: tuple[Cause, ...] = ()
    stopping: bool = False
    listening: Callable[[], bool] = lambda: False
    running: list[RunningJob] = field(default_factory=list)

    @property
    def age_s(self) -> float:
        """Seconds since the loop last ran."""
        return time.monotonic() - self.looped_at

    @property
    def alive(self) -> bool:
        """Whether the loop runs, or the worker is stopping and waits for its jobs."""
        return self.stopping or self.age_s < ALIVE_S

    @property
    def ready(self) -> bool:
        """Whether the worker would claim the next job; jobs that are parked do not keep it from that."""
        return self.alive and not self.stopping and self.own_trouble is None

    @property
    def trouble(self) -> str | None:
        """All that an operator must fix, in words; None: nothing."""
        told = [] if self.own_trouble is None else [self.own_trouble]
        told += [f"{cause.message} (jobs that wait: {cause.jobs})" for cause in self.causes]
        return masked("; ".join(told)) or None

    def health(self) -> dict[str, Any]:
        """The answer of /health."""
        return {
            "status": "stopping" if self.stopping else "ok" if self.alive else "hangs",
            "worker": self.name,
            "queue": self.queue,
            "listener": self.listening(),
            "loop_age_s": round(self.age_s, 1),
            "uptime_s": round(time.time() - self.started_at),
            "jobs": [
                {
                    "id": job.claim.job_id,
                    "attempt": job.claim.attempt,
                    "stage": job.stage,
                    "percent": job.percent,
                    "seconds": round(time.monotonic() - job.started_at, 1),
                }
                for job in list(self.running)
            ],
            "claimed": self.claimed,
            "outcomes": dict(self.outcomes),
            "rescued": self.rescued,
            "trouble": self.trouble,
            "parked": {cause.name: cause.jobs for cause in self.causes},
            "versions": {"worker": version("mindscript-audio-worker"), "python": platform.python_version()},
        }

    def readiness(self) -> dict[str, Any]:
        """The answer of /ready."""
        return {"ready": self.ready, "stopping": self.stopping, "trouble": self.trouble}
