"""What a worker does for the queue beside its jobs: it rescues those of dead workers, counts and purges."""

from __future__ import annotations

import math
import random
import time
from datetime import timedelta

from loguru import logger

from worker.config import Config
from worker.errors import WorkerError
from worker.queue.claims import Rescued
from worker.queue.service import Queue
from worker.service.heartbeat import WorkerTimings
from worker.service.state import State

_RESCUE_SPREAD = (0.8, 0.96)  # of the interval: with the lease's 60 s a rescue comes within 75 s
_COUNTING = 0.02  # most of the time spent counting the queue's jobs
_PURGE_S = 3600.0  # between purges
_PURGE_SPREAD = (0.8, 1.2)
# Jobs; the loop stands still meanwhile, for a second or two. In plain mode each costs two round trips.
_PURGED_AT_ONCE = {"leased": 2000, "plain": 50}
_PURGES_MORE_S = 60.0  # where so many were purged, there may be more


class Upkeep:
    """Each method does its work if it is time; the worker's loop calls them. What fails is logged, and tried next time.

    Parameters
    ----------
    purges : bool
        Purge what is older than PURGE_AFTER_D, where that is set. A worker that drains leaves it to others.
    """

    def __init__(self, config: Config, queue: Queue, state: State, timings: WorkerTimings, *, purges: bool) -> None:
        self._queue = queue
        self._state = state
        self._timings = timings
        self._purge_after = None if config.purge_after_d is None else timedelta(days=config.purge_after_d)
        self._next_rescue_at = 0.0
        self._next_count_at = math.inf  # until somebody wants to know
        self._next_purge_at = 0.0 if purges and self._purge_after is not None else math.inf

    @property
    def next_at(self) -> float:
        """When the loop must run for it, on the monotonic clock; counting and purging wait for the loop."""
        return self._next_rescue_at

    def want_backlog(self) -> None:
        """From now on, count the jobs of the queue now and then."""
        self._next_count_at = 0.0

    def rescue(self) -> Rescued | None:
        """Put back or give up the jobs of dead workers; None where that was not due, or failed."""
        if time.monotonic() < self._next_rescue_at:
            return None
        self._next_rescue_at = time.monotonic() + self._timings.rescue_s * random.uniform(*_RESCUE_SPREAD)
        try:
            rescued = self._queue.rescue_jobs()
        except WorkerError as error:
            logger.bind(event="rescue.failed").warning("the rescue failed: {}", error.message)
            return None
        self._state.rescued += len(rescued.put_back) + len(rescued.given_up)
        return rescued

    def count(self) -> None:
        """Count what has not ended, for metrics."""
        began = time.monotonic()
        if began < self._next_count_at:
            return
        try:
            self._state.backlog = self._queue.backlog(self._state.causes)
        except WorkerError as error:
            self._state.backlog = None
            logger.bind(event="depth.failed").warning("the queue does not answer: {}", error.message)
        # In plain mode the app's table may have no index, so a count reads all of it.
        now = time.monotonic()
        self._next_count_at = now + max(self._timings.count_s, (now - began) / _COUNTING)

    def purge(self) -> None:
        """Purge ended jobs that are old enough, once an hour, and each minute while there are many."""
        if self._purge_after is None or time.monotonic() < self._next_purge_at:
            return
        self._next_purge_at = time.monotonic() + _PURGE_S * random.uniform(*_PURGE_SPREAD)
        at_most = _PURGED_AT_ONCE[self._queue.mode]
        try:
            purged = self._queue.purge_older(self._purge_after, at_most=at_most)
        except WorkerError as error:
            logger.bind(event="purge.failed").warning("the purge failed: {}", error.message)
            return
        if purged >= at_most:
            self._next_purge_at = time.monotonic() + _PURGES_MORE_S
        if purged:
            logger.bind(event="purged", jobs=purged).info("{} jobs purged: older than PURGE_AFTER_D", purged)
