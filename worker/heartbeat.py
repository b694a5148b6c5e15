"""The lease of one running job, kept by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from worker.claims import Claim, Standing
from worker.errors import WorkerError
from worker.queue import Queue

_LONGEST_CALL_S = 5.0


@dataclass(frozen=True)
class Rhythm:
    """How often a worker does what, in seconds. The defaults are production's; tests are in more of a hurry.

    Attributes
    ----------
    lease_s : float
        How long a claim is held without a heartbeat (leased mode).
    beat_s : float
        Between heartbeats; a plain row is touched as often.
    look_s : float
        Between looks at whether the customer has cancelled.
    lost_after_s : float
        Without a heartbeat for so long the job counts as lost: less than the lease, so that nobody else has it yet.
    rescue_s : float
        Between rescues of what dead workers have left, with jitter.
    finish_within_s : float
        On SIGTERM a job that needs no longer may finish.
    """

    lease_s: float = 60.0
    beat_s: float = 15.0
    look_s: float = 3.0
    lost_after_s: float = 45.0
    rescue_s: float = 15.0
    finish_within_s: float = 18.0


class Heartbeat:
    """Beats while the job runs, and tells when it is not ours any more.

    Parameters
    ----------
    queue : Queue
    claim : Claim
    rhythm : Rhythm
    on_verdict : callable
        Called from the thread when the standing is no longer HELD.
    """

    def __init__(self, queue: Queue, claim: Claim, rhythm: Rhythm, on_verdict: Callable[[], None]) -> None:
        self._queue = queue
        self._claim = claim
        self._rhythm = rhythm
        self._on_verdict = on_verdict
        self._progress = (0, "Starting")
        self._heard_at = time.monotonic()
        self._verdict = Standing.HELD
        self._wake = threading.Event()
        self._stopping = False
        self._beating = threading.Lock()  # the thread and `check` never overlap
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.job_id[:8]}", daemon=True)
        self._thread.start()

    @property
    def standing(self) -> Standing:
        """What the row last said; LOST when it has not been heard for too long."""
        if self._verdict is Standing.HELD and time.monotonic() - self._heard_at > self._rhythm.lost_after_s:
            return Standing.LOST
        return self._verdict

    def report(self, percent: int, stage: str) -> None:
        """Note progress for the next heartbeat; a new stage is written at once."""
        if stage != self._progress[1]:
            self._wake.set()
        self._progress = (percent, stage)

    def look_now(self) -> None:
        """Look at the row at once: somebody said that it was cancelled."""
        self._wake.set()

    def check(self) -> Standing:
        """Beat now and say how the claim stands; LOST when the database does not say in time."""
        while self.standing is Standing.HELD:
            if self._beat():
                break
            time.sleep(0.5)
        return self.standing

    def stop(self) -> None:
        """End the thread, and wait a while for a call that is under way; one that hangs is fenced by its token."""
        self._stopping = True
        self._wake.set()
        self._thread.join(_LONGEST_CALL_S)

    def _run(self) -> None:
        beat_at = time.monotonic()
        while not self._stopping and self._verdict is Standing.HELD:
            woken = self._wake.wait(self._rhythm.look_s)
            self._wake.clear()
            if self._stopping:
                return
            if woken or time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + self._rhythm.beat_s
            else:
                self._look()

    def _beat(self) -> bool:
        """Write a heartbeat; whether the database answered."""
        with self._beating:
            percent, stage = self._progress
            started_at = time.monotonic()  # the lease is no longer than from here
            try:
                standing = self._queue.beat(self._claim, progress=percent, stage=stage)
            except WorkerError as error:
                logger.bind(event="heartbeat.failed", job=self._claim.job_id).warning("heartbeat: {}", error.message)
                return False
            self._heard_at = started_at
            self._say(standing)
            return True

    def _look(self) -> None:
        try:
            self._say(self._queue.standing(self._claim))
        except WorkerError as error:
            logger.bind(event="look.failed", job=self._claim.job_id).debug("look: {}", error.message)

    def _say(self, standing: Standing) -> None:
        if standing is not Standing.HELD and self._verdict is Standing.HELD:
            self._verdict = standing
            self._on_verdict()
