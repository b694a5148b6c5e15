"""How long a job may work: the worker stops the job process after that, whatever it does."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.config import Config
from worker.errors import TransientError

DEADLINE_CODE = "job.deadline"
SILENT_CODE = "job.silent"
_ASKS_AGAIN_S = 2.0  # a request that waits for a place asks each half second; one that has stopped asking waits no more


class Deadline:
    """JOB_DEADLINE_MIN, and JOB_DEADLINE_FACTOR times the track's length, of work; waiting for a place does not count.

    Call `check` often: what has passed since the last call was work, or waiting.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._length_s = 0.0
        self._checked_at = clock()
        self._waits_until = 0.0
        self._worked_s = 0.0

    def knows_length(self, length_s: float) -> None:
        """The job has said how long its track is to be."""
        self._length_s = min(max(length_s, 0.0), self._config.max_duration_min * 60)

    def asked_for_a_place(self, *, taken: bool) -> None:
        """A request of the job's has asked for a place at a voice service: it waits until it has one."""
        self._advance()
        self._waits_until = self._checked_at if taken else self._checked_at + _ASKS_AGAIN_S

    @property
    def limit_s(self) -> float:
        """Seconds of work that are allowed."""
        return self._config.job_deadline_min * 60 + self._config.job_deadline_factor * self._length_s

    def check(self, stage: str | None) -> None:
        """Raise if the job has worked for too long.

        Raises
        ------
        TransientError
            With the code ``job.deadline``.
        """
        self._advance()
        if self._worked_s > self.limit_s:
            raise TransientError(
                f"the job was stopped after {self._worked_s:.0f} s of work, at {stage or 'its start'!r}: a track of "
                f"{self._length_s:.0f} s may take {self.limit_s:.0f} s (JOB_DEADLINE_MIN, JOB_DEADLINE_FACTOR)",
                code=DEADLINE_CODE,
                customer_message="Your track took too long to be made. Please contact support.",
            )

    def _advance(self) -> None:
        now = self._clock()
        waited_s = min(max(self._waits_until - self._checked_at, 0.0), now - self._checked_at)
        self._worked_s += now - self._checked_at - waited_s
        self._checked_at = now
