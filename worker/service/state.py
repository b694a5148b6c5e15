"""What a worker is doing, for /health, /ready, /metrics and the status page."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from worker.service.runner import RunningJob

ALIVE_S = 120.0  # a loop that has not gone round for so long hangs: it never waits a quarter as long on purpose


@dataclass
class State:
    """Written by the loop, read by anybody.

    Attributes
    ----------
    name : str
        The worker's.
    queue : str
        Transport, mode and dialect, as `Queue.describe` puts it.
    trouble : str or None
        What an operator must mend before orders are taken up again.
    listening : callable
        Whether NOTIFY is known to arrive.
    """

    name: str
    queue: str
    started_at: float = field(default_factory=time.time)
    looped_at: float = field(default_factory=time.monotonic)
    claimed: int = 0
    rescued: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    trouble: str | None = None
    stopping: bool = False
    listening: Callable[[], bool] = lambda: False
    running: list[RunningJob] = field(default_factory=list)

    @property
    def age_s(self) -> float:
        """Seconds since the loop last went round."""
        return time.monotonic() - self.looped_at

    @property
    def alive(self) -> bool:
        """Whether the loop goes round; while the worker stops it waits for its jobs, and that is well."""
        return self.stopping or self.age_s < ALIVE_S

    @property
    def ready(self) -> bool:
        """Whether the next order would be taken and could be made."""
        return self.alive and not self.stopping and self.trouble is None

    def health(self) -> dict[str, Any]:
        """What /health says."""
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
            "versions": {"worker": version("mindscript-audio-worker"), "python": platform.python_version()},
        }

    def readiness(self) -> dict[str, Any]:
        """What /ready says."""
        return {"ready": self.ready, "stopping": self.stopping, "trouble": self.trouble}
