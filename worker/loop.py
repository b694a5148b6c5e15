"""The worker: takes orders, runs them, rescues what dead workers left, and stops when it is told to."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from worker.child import DEFAULT_JOB, warm_up
from worker.claims import Claim
from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.heartbeat import Rhythm
from worker.memory import job_memory_limit_bytes
from worker.queue import Queue
from worker.running import FOLDER_PREFIX, Ended, RunningJob

_STALE_FOLDER_S = 24 * 3600.0
_BACKOFF_S = (5.0, 300.0)  # after a configuration error: the first wait, and the longest
_DRAIN_POLL_S = 1.0
_JITTER = 0.2
_SUMMARY = ("stages", "lufs", "dbtp", "duration_s", "speech_cache")  # of a job's figures, in its log line


def worker_name(config: Config) -> str:
    """Name this worker: WORKER_NAME, the dyno, or host and process."""
    return config.worker_name or config.dyno or f"{socket.gethostname()}-{os.getpid()}"


@dataclass
class State:
    """What the worker is doing, for /health, /metrics and the status page. Written by the loop, read by anybody."""

    name: str
    mode: str
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


class Worker:
    """The polling loop.

    Parameters
    ----------
    config : Config
    queue : Queue
    drain : bool
        Stop when the queue is empty.
    job : str
        ``module:function`` run in the child.
    rhythm : Rhythm
    on_ended : callable, optional
        Called with each job's `Ended`.
    """

    def __init__(
        self,
        config: Config,
        queue: Queue,
        *,
        drain: bool = False,
        job: str = DEFAULT_JOB,
        rhythm: Rhythm | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._config = config
        self._queue = queue
        self._drain = drain
        self._job = job
        self._rhythm = rhythm or Rhythm()
        self._watch = watch or Watch()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._backoff_s = 0.0
        self._memory_limit_bytes = job_memory_limit_bytes(config)
        self.state = State(worker_name(config), queue.describe())

    def wake(self) -> None:
        """Look for orders now; from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more and come to an end; from any thread or a signal handler, as often as you like."""
        self.state.stopping = True
        self._stopping.set()
        self._wake.set()

    def cancelled(self, job_id: str) -> None:
        """Hear that an order was cancelled."""
        for running in list(self.state.running):
            if running.claim.job_id == job_id:
                running.cancelled()

    def run(self) -> None:
        """Work until `stop` is called, or, draining, until the queue is empty."""
        remove_stale_folders()
        warm_up()
        rescue_at = time.monotonic()
        with ThreadPoolExecutor(self._config.worker_concurrency, thread_name_prefix="job") as pool:
            jobs: set[Future[None]] = set()
            while not self._stopping.is_set():
                self.state.looped_at = time.monotonic()
                if time.monotonic() >= rescue_at:
                    self._rescue()
                    rescue_at = time.monotonic() + self._rhythm.rescue_s * random.uniform(1, 1 + _JITTER)
                self._wake.clear()
                jobs = {job for job in jobs if not job.done()}
                more = self._cycle(pool, jobs)
                if self._drain and not jobs and not more and self._is_empty():
                    break
                if not more:
                    self._wake.wait(self._pause_s(rescue_at))
        self.state.looped_at = time.monotonic()

    def _cycle(self, pool: ThreadPoolExecutor, jobs: set[Future[None]]) -> bool:
        """Claim up to a cycle's worth of orders; whether there may be more to take at once."""
        for _ in range(self._config.max_jobs_per_cycle):
            if len(jobs) >= self._config.worker_concurrency or self._stopping.is_set():
                return False
            claim = self._claim()
            if claim is None:
                return False
            self.state.claimed += 1
            jobs.add(pool.submit(self._run, claim))
        return True

    def _claim(self) -> Claim | None:
        if self._backoff_s and self.state.trouble is None:
            self._backoff_s = 0.0
        try:
            return self._queue.claim()
        except ConfigurationError as error:
            self._back_off(error)
        except WorkerError as error:
            logger.bind(event="claim.failed").warning("the queue does not answer: {}", error.message)
        return None

    def _run(self, claim: Claim) -> None:
        running = RunningJob(
            self._queue,
            claim,
            self._config,
            self._rhythm,
            self._job,
            self._memory_limit_bytes,
            self._stopping,
        )
        self.state.running.append(running)
        try:
            self._ended(running.run())
        except Exception:  # noqa: BLE001 - one job must never end the worker
            # A bug of ours. The lease runs out and the order is taken up again.
            logger.bind(event="job.bug", job=claim.job_id).exception("job {}: the worker failed", claim.job_id)
        finally:
            self.state.running.remove(running)
            self._wake.set()

    def _ended(self, ended: Ended) -> None:
        self.state.outcomes[ended.outcome] = self.state.outcomes.get(ended.outcome, 0) + 1
        if isinstance(ended.error, ConfigurationError):
            self._back_off(ended.error)
        elif ended.outcome == "completed":
            self.state.trouble, self._backoff_s = None, 0.0
        self._watch.ended(ended)

    def _back_off(self, error: ConfigurationError) -> None:
        self.state.trouble = error.message
        self._backoff_s = min(max(2 * self._backoff_s, _BACKOFF_S[0]), _BACKOFF_S[1])
        logger.bind(event="configuration").error(
            "needs mending: {} (next try in {:.0f} s)", error.message, self._backoff_s
        )

    def _rescue(self) -> None:
        try:
            rescued = self._queue.rescue()
        except WorkerError as error:
            logger.bind(event="rescue.failed").warning("rescue: {}", error.message)
            return
        if rescued:
            self.state.rescued += rescued
            logger.bind(event="rescued", count=rescued).info("rescued {} orders of dead workers", rescued)

    def _is_empty(self) -> bool:
        try:
            return self._queue.depth()["pending"] == 0
        except WorkerError as error:
            logger.bind(event="depth.failed").warning("the queue does not answer: {}", error.message)
            return False

    def _pause_s(self, rescue_at: float) -> float:
        poll_s = self._config.poll_interval_ms / 1000
        pause_s = _DRAIN_POLL_S if self._drain else poll_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        return max(self._backoff_s, min(pause_s, max(rescue_at - time.monotonic(), 0.05)))


class Watch:
    """Hears how each job ended; what hears more is a subclass."""

    def ended(self, ended: Ended) -> None:
        """Write the one summary line of a job."""
        claim = ended.claim
        line = logger.bind(
            event="job",
            job=claim.job_id,
            track=claim.track_id,
            attempt=claim.attempt,
            outcome=ended.outcome,
            seconds=round(ended.seconds, 3),
            waited_s=round(claim.waited_s, 3),
            **{key: ended.summary[key] for key in _SUMMARY if key in ended.summary},
        )
        reason = f": {ended.error}" if ended.error is not None and str(ended.error) else ""
        level = "INFO" if ended.outcome in ("completed", "released", "cancelled") else "WARNING"
        line.log(level, "job {} {} in {:.2f} s{}", claim.job_id, ended.outcome, ended.seconds, reason)


def remove_stale_folders() -> None:
    """Remove what jobs of workers that were killed have left in the temporary folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_FOLDER_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
