"""The heartbeat of one running job: a thread that extends its lease and checks for a cancellation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from loguru import logger

from worker.backoff import RetryPolicy
from worker.errors import WorkerError
from worker.logs import where
from worker.masks import mask_error
from worker.queue.claims import Claim, ClaimStatus
from worker.queue.service import Queue

_REPEAT_S = 0.5
_JOIN_S = 1.0


@dataclass(frozen=True)
class WorkerTimings:
    """How often a worker does what. The defaults are for production; tests use shorter ones.

    The lease itself, 60 s, belongs to the queue (`open_queue`).
    """

    heartbeat_s: float = 15.0  # between heartbeats; in plain mode a heartbeat updates the row, too
    check_s: float = 3.0  # between checks whether the customer has cancelled
    # A job without a heartbeat for so long counts as lost. Shorter than the lease: no other worker has it yet.
    lost_after_s: float = 45.0
    rescue_s: float = 15.0  # at most between rescues of the jobs of dead workers
    count_s: float = 20.0  # at least between counts of the queue's jobs, for metrics
    finish_within_s: float = 18.0  # after SIGTERM, a job that is expected to take no longer may finish
    # A job that has sent no message for so long has hung. An upload over a very slow connection sends the fewest.
    silent_s: float = 3600.0
    # Before the next cycle, where the queue has not answered; after an error that an operator must fix.
    failed_claims: RetryPolicy = field(default=RetryPolicy(first_wait_s=1.0, longest_wait_s=10.0, jitter=0.0))
    trouble: RetryPolicy = field(default=RetryPolicy(first_wait_s=5.0, longest_wait_s=60.0, jitter=0.0))
    bug_pause_s: float = 5.0  # after a bug in the loop
    drain_poll_s: float = 1.0  # between polls of a worker that drains the queue
    rest_s: float = 300.0  # without a job, after which the fork server ends


WORKER_TIMINGS = WorkerTimings()


class Heartbeat:
    """Sends heartbeats while the job runs, and keeps the claim's status. Use in a ``with``.

    `claimed_at` is on the monotonic clock, before the claim was sent: the lease began no earlier.
    """

    def __init__(self, queue: Queue, claim: Claim, timings: WorkerTimings, *, claimed_at: float) -> None:
        self._queue = queue
        self._claim = claim
        self._timings = timings
        self._log = logger.bind(job=claim.job_id)
        self._progress: tuple[int, str | None] = (0, None)
        self._confirmed_at = claimed_at
        self._status = ClaimStatus.HELD
        self._wake = threading.Event()
        self._stopping = False
        self._sending = threading.Lock()  # the thread and `check` take turns
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.job_id[:8]}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.set()
        # A call that hangs ends by its own timeout; its write is fenced by the token.
        self._thread.join(_JOIN_S)

    @property
    def claim_status(self) -> ClaimStatus:
        """The status when the database last answered; LOST if that is too long ago."""
        if self._status is ClaimStatus.HELD and time.monotonic() - self._confirmed_at > self._timings.lost_after_s:
            return ClaimStatus.LOST
        return self._status

    def report(self, percent: int, stage: str) -> None:
        """Store progress for the next heartbeat; a new stage is written at once."""
        new_stage = stage != self._progress[1]
        self._progress = (percent, stage)
        if new_stage:
            self._wake.set()

    def check_now(self) -> None:
        """Send a heartbeat at once, since the job may have been cancelled."""
        self._wake.set()

    def check(self, give_up: Callable[[], bool]) -> ClaimStatus | None:
        """Send a heartbeat now and return the claim's status.

        Repeated while the database does not answer, until the job counts as lost; None if `give_up` returns True
        before that.
        """
        while self.claim_status is ClaimStatus.HELD and not self._send():
            if give_up():
                return None
            time.sleep(_REPEAT_S)
        return self.claim_status

    def _run(self) -> None:
        next_at = time.monotonic() + self._timings.check_s
        while not self._stopping and self._status is ClaimStatus.HELD:
            woken = self._wake.wait(self._timings.check_s)
            self._wake.clear()
            if self._stopping:
                return
            if woken or time.monotonic() >= next_at:
                if self._send():
                    next_at = time.monotonic() + self._timings.heartbeat_s
            else:
                self._check_row()

    def _send(self) -> bool:
        """Send a heartbeat; return whether the database answered."""
        with self._sending:
            percent, stage = self._progress
            sent_at = time.monotonic()  # the lease is extended from no earlier
            try:
                claim_status = self._queue.heartbeat(self._claim, progress=percent, stage=stage)
            except WorkerError as error:
                mask_error(error, written=self._claim.payload_text)  # a trigger may quote the row
                self._log.bind(event="heartbeat.failed").warning("the heartbeat failed: {}", error.message)
                return False
            except Exception as error:  # noqa: BLE001 - a bug must not end this thread
                bug = self._log.bind(event="heartbeat.bug").opt(exception=error)
                bug.error("the heartbeat failed: a bug, {}", where(error))
                return False
            self._confirmed_at = sent_at
            self._update(claim_status)
            return True

    def _check_row(self) -> None:
        try:
            self._update(self._queue.claim_status(self._claim))
        except WorkerError as error:
            self._log.bind(event="look.failed").debug("the check of the row failed: {}", error.message)
        except Exception as error:  # noqa: BLE001 - as above
            bug = self._log.bind(event="look.bug").opt(exception=error)
            bug.error("the check of the row failed: a bug, {}", where(error))

    def _update(self, claim_status: ClaimStatus) -> None:
        if self._status is ClaimStatus.HELD:  # once it is gone, it stays gone
            self._status = claim_status
