"""What keeps this worker from claiming jobs, by cause. A cause is gone when what it is about has been seen to work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.errors import ConfigurationError
from worker.queue.claims import Cause


@dataclass
class _Met:
    """A cause, when it was met last (on the monotonic clock), and the jobs that met it; none: the queue did."""

    cause: Cause
    last_at: float = 0.0
    jobs: set[str] = field(default_factory=set)


class OwnTroubles:
    """The causes that this worker itself has met: its queue's and its machine's. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: dict[str, _Met] = {}

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All of them, oldest first."""
        with self._lock:
            return tuple(met.cause for met in self._met.values())

    @property
    def of_queue(self) -> bool:
        """Whether the queue refuses claims."""
        with self._lock:
            return any(not met.jobs for met in self._met.values())

    def meet(self, error: ConfigurationError, *, job_id: str | None = None) -> None:
        """Note that a job has met it on this machine; without a job, that a claim has."""
        with self._lock:
            since = self._met[error.cause].cause.since if error.cause in self._met else datetime.now(UTC)
            met = self._met.setdefault(error.cause, _Met(Cause(error.cause, error.message, since, 0)))
            met.cause = Cause(error.cause, error.message, since, 0)
            met.last_at = time.monotonic()
            met.jobs |= {job_id} if job_id is not None else set()

    def claim_answered(self) -> list[Cause]:
        """A claim works: what claims have met is gone; returns that."""
        return self._drop(lambda met: not met.jobs)

    def job_completed(self, job_id: str, *, started_at: float) -> list[Cause]:
        """A job works: returns what is gone by that.

        It shows that the machine does jobs, if it began after the cause was met last. Where only a part of something is
        missing (an encoder of FFmpeg: the cause has a name before its code), only a job that has met that shows it.
        """
        return self._drop(
            lambda met: (
                bool(met.jobs) and started_at > met.last_at and ("/" not in met.cause.name or job_id in met.jobs)
            )
        )

    def _drop(self, is_gone: Callable[[_Met], bool]) -> list[Cause]:
        with self._lock:
            gone = [met.cause for met in self._met.values() if is_gone(met)]
            for cause in gone:
                del self._met[cause.name]
        return gone
