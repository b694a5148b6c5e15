"""The worker's state, for /health, /ready, /metrics and the status page."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from worker.masks import masked
from worker.queue.claims import Backlog, Cause
from worker.service.runner import RunningJob
from worker.service.trouble import OwnTroubles

ALIVE_S = 120.0  # a loop that has not run for so long has hung; its waits are a quarter of this at most

HANGS = "hangs"
STOPPING = "stopping"


@dataclass(frozen=True)
class Report:
    """The code of what is wrong, None where all is well; and the facts, which are for who has the token."""

    code: str | None
    facts: dict[str, Any]


@dataclass
class State:
    """Written by the loop, read by any thread.

    `queue` is the queue's description. `own` has what must be fixed before more jobs are claimed, `causes` what parked
    jobs wait for. `backlog` is the queue's as it was last counted; None: not counted, or the queue does not answer.
    `listening` tells whether the listener is connected.
    """

    name: str
    queue: str
    started_at: float = field(default_factory=time.time)
    looped_at: float = field(default_factory=time.monotonic)
    claimed: int = 0
    rescued: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    own: OwnTroubles = field(default_factory=OwnTroubles)
    backlog: Backlog | None = None
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
        return self.alive and not self.stopping and not self.own.causes

    @property
    def trouble(self) -> str | None:
        """All that an operator must fix, in words; None: nothing."""
        told = [cause.message for cause in self.own.causes]
        told += [f"{cause.message} (jobs that wait: {cause.jobs})" for cause in self.causes]
        return masked("; ".join(told)) or None

    def health(self) -> Report:
        """The answer of /health."""
        facts = {
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
        return Report(None if self.alive else HANGS, facts)

    def readiness(self) -> Report:
        """The answer of /ready: with the token all causes; the code is of what keeps this worker from claiming."""
        own = self.own.causes
        facts = {
            "ready": self.ready,
            "stopping": self.stopping,
            "trouble": self.trouble,
            "causes": [
                {
                    "cause": cause.name,
                    "code": cause.code,
                    "since": cause.since.isoformat(timespec="seconds"),
                    "jobs": cause.jobs,
                    "stops_this_worker": cause in own,
                    "message": masked(cause.message),
                }
                for cause in (*own, *self.causes)
            ],
        }
        return Report(None if self.ready else self._unready_code(), facts)

    def _unready_code(self) -> str:
        if not self.alive:
            return HANGS
        return next((cause.code for cause in self.own.causes), STOPPING)
