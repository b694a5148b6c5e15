"""The lease of one running job, kept by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from worker.errors import WorkerError
from worker.logs import where
from worker.queue.claims import Claim, ClaimStatus
from worker.queue.service import Queue

_AGAIN_S = 0.5
_LAST_CALL_S = 1.0


@dataclass(frozen=True)
class WorkerTimings:
    """How often a worker does what, in seconds. The defaults are production's; tests are in more of a hurry.

    The lease itself, 60 s, is the queue's (`open_queue`).

    Attributes
    ----------
    beat_s : float
        Between heartbeats; a plain row is touched as often.
    look_s : float
        Between looks at whether the customer has cancelled.
    lost_after_s : float
        Without a heartbeat for so long the job counts as lost: less than the lease, so that nobody else has it yet.
    rescue_s : float
        At most between rescues of what dead workers have left.
    finish_within_s : float
        On SIGTERM a job that needs no longer may finish.
    silent_s : float
        A job that has said nothing for so long hangs: an upload over a very poor line says less than any other stage.
    """

    heartbeat_s: float = 15.0
    check_s: float = 3.0
    lost_after_s: float = 45.0
    rescue_s: float = 15.0
    finish_within_s: float = 18.0
    silent_s: float = 3600.0


class Heartbeat:
    """Beats while the job runs, and knows when the job is not ours any more. Use in a ``with``.

    Parameters
    ----------
    queue : Queue
    claim : Claim
    rhythm : Rhythm
    claimed_at : float
        On the monotonic clock, before the claim was sent: the lease is no longer than from there.
    """

    def __init__(self, queue: Queue, claim: Claim, timings: WorkerTimings, *, claimed_at: float) -> None:
        self._queue = queue
        self._claim = claim
        self._rhythm = timings
        self._log = logger.bind(job=claim.job_id)
        self._progress: tuple[int, str | None] = (0, None)
        self._heard_at = claimed_at
        self._verdict = ClaimStatus.HELD
        self._wake = threading.Event()
        self._stopping = False
        self._beating = threading.Lock()  # the thread and `check` never overlap
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.job_id[:8]}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.set()
        # A call that hangs is left to its own limit: it is fenced by the token.
        self._thread.join(_LAST_CALL_S)

    @property
    def claim_status(self) -> ClaimStatus:
        """What the row last said; LOST when it has not been heard for too long."""
        if self._verdict is ClaimStatus.HELD and time.monotonic() - self._heard_at > self._rhythm.lost_after_s:
            return ClaimStatus.LOST
        return self._verdict

    def report(self, percent: int, stage: str) -> None:
        """Note progress for the next heartbeat; a new stage is written at once."""
        new_stage = stage != self._progress[1]
        self._progress = (percent, stage)
        if new_stage:
            self._wake.set()

    def check_now(self) -> None:
        """Look at the row at once: somebody said that it was cancelled."""
        self._wake.set()

    def check(self, give_up: Callable[[], bool]) -> ClaimStatus | None:
        """Beat now and say how the claim stands.

        While the database does not answer it is asked again, until the job counts as lost, or until `give_up` says
        so: None, nobody knows.
        """
        while self.claim_status is ClaimStatus.HELD and not self._beat():
            if give_up():
                return None
            time.sleep(_AGAIN_S)
        return self.claim_status

    def _run(self) -> None:
        beat_at = time.monotonic() + self._rhythm.check_s
        while not self._stopping and self._verdict is ClaimStatus.HELD:
            woken = self._wake.wait(self._rhythm.check_s)
            self._wake.clear()
            if self._stopping:
                return
            if woken or time.monotonic() >= beat_at:
                if self._beat():
                    beat_at = time.monotonic() + self._rhythm.heartbeat_s
            else:
                self._look()

    def _beat(self) -> bool:
        """Write a heartbeat; whether the database answered."""
        with self._beating:
            percent, stage = self._progress
            asked_at = time.monotonic()  # the lease is no longer than from here
            try:
                claim_status = self._queue.heartbeat(self._claim, progress=percent, stage=stage)
            except WorkerError as error:
                self._log.bind(event="heartbeat.failed").warning("heartbeat: {}", error.message)
                return False
            except Exception as error:  # noqa: BLE001 - a bug must not end the thread that keeps the lease
                self._log.bind(event="heartbeat.bug").opt(exception=error).error("heartbeat: a bug, {}", where(error))
                return False
            self._heard_at = asked_at
            self._hear(claim_status)
            return True

    def _look(self) -> None:
        try:
            self._hear(self._queue.claim_status(self._claim))
        except WorkerError as error:
            self._log.bind(event="look.failed").debug("look: {}", error.message)
        except Exception as error:  # noqa: BLE001 - as above
            self._log.bind(event="look.bug").opt(exception=error).error("look: a bug, {}", where(error))

    def _hear(self, claim_status: ClaimStatus) -> None:
        if claim_status is not ClaimStatus.HELD and self._verdict is ClaimStatus.HELD:
            self._verdict = claim_status
