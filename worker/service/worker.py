"""The worker: takes orders, runs them, rescues what dead workers left, and stops when it is told to."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.job.memory import job_memory_limit_bytes
from worker.job.process import DEFAULT_JOB, ForkServer
from worker.job.workspace import workspace
from worker.logs import where
from worker.queue.claims import Claim
from worker.queue.service import Queue
from worker.service.heartbeat import WorkerTimings
from worker.service.runner import JobResult, RunningJob, WorkerContext
from worker.service.state import State
from worker.service.stopping import Stopping, WakeEvent

_JITTER = 0.2
_RESCUE_SPREAD = (0.8, 0.96)  # of the interval: with the lease's 60 s it stays below 75 s
_DRAIN_POLL_S = 1.0
_LONGEST_WAIT_S = 15.0  # the loop shows that it lives
_BUG_PAUSE_S = 5.0
_FAILED_CLAIM_S = (1.0, 10.0)  # the first wait after the queue did not answer, and the longest
_TROUBLE_S = (5.0, 60.0)  # the same after an error that an operator must mend


def worker_name(config: Config) -> str:
    """Name this worker: WORKER_NAME, the dyno, or host and process."""
    return config.worker_name or config.dyno or f"{socket.gethostname()}-{os.getpid()}"


class JobObserver:
    """Hears how each job ended. This one does nothing with it."""

    def ended(self, ended: JobResult) -> None:
        """Called from the job's thread, once the queue knows."""

    def given_up(self, job_id: str) -> None:
        """Called from the loop, of an order that was failed because workers have died over it; it has no `ended`."""


class Worker:
    """The loop: polls, at most MAX_JOBS_PER_CYCLE orders a cycle, WORKER_CONCURRENCY at a time.

    A cycle begins every POLL_INTERVAL_MS and whenever somebody rings; orders are then claimed as there is room for
    them, until the queue has none or the cycle's share is used up.

    Parameters
    ----------
    config : Config
    queue : Queue
    drain : bool
        Stop when the queue is empty; or when an operator must mend something, since nobody may be there to do it.
    job : str
        ``module:function`` run in the job's process.
    rhythm : Rhythm, optional
    watch : Watch, optional
    """

    def __init__(
        self,
        config: Config,
        queue: Queue,
        *,
        drain: bool = False,
        job: str = DEFAULT_JOB,
        timings: WorkerTimings | None = None,
        watch: JobObserver | None = None,
    ) -> None:
        self._config = config
        self._queue = queue
        self._drain = drain
        self._job = job
        self._rhythm = timings or WorkerTimings()
        self._watch = watch or JobObserver()
        self._bell = WakeEvent()
        self._stopping = Stopping(self._bell)
        self._hinted = True  # somebody says that there may be orders
        self._share = 0  # what is left of this cycle's
        self._cycle_at = 0.0
        self._rescue_at = 0.0
        self._quiet_until = 0.0  # no new cycle before
        self._failed_claims = 0
        self._troubled = False  # in this cycle
        self._troubled_cycles = 0
        self._queue_in_trouble = False
        self._nothing_due = False
        self._jobs: set[Future[None]] = set()
        self.state = State(worker_name(config), queue.describe())

    def wake(self) -> None:
        """Look for orders now; from any thread."""
        self._hinted = True
        self._bell.ring()

    def stop(self) -> None:
        """Claim nothing more and come to an end; from any thread or a signal handler, as often as you like."""
        self.state.stopping = True
        self._stopping.set()

    def cancelled(self, job_id: str) -> None:
        """Hear that an order was cancelled; from any thread."""
        for running in list(self.state.running):
            if running.claim.job_id == job_id:
                running.cancelled()

    def run(self) -> None:
        """Work until `stop` is called, or, draining, until the queue is empty.

        Raises
        ------
        ConfigurationError
            If, draining, something must be mended first.
        """
        with (
            workspace() as folder,
            ForkServer() as fork_server,
            ThreadPoolExecutor(self._config.worker_concurrency, thread_name_prefix="job") as pool,
        ):
            context = WorkerContext(
                queue=self._queue,
                config=self._config,
                timings=self._rhythm,
                function=self._job,
                fork_server=fork_server,
                folder=folder,
                memory_limit_bytes=job_memory_limit_bytes(self._config),
                stopping=self._stopping,
            )
            try:
                while not self._stopping.is_set():
                    self._go_round(lambda claim, at: pool.submit(self._run, RunningJob(context, claim, at)))
                    if self._drained():
                        break
                    self._bell.wait(self._pause_s())
            except BaseException:  # Ctrl-C in a command: whoever waits for us does not want to wait for jobs
                self._stopping.set(at_once=True)
                raise
        if self._drain and self.state.trouble is not None:
            raise ConfigurationError(self.state.trouble)

    def _go_round(self, start: Callable[[Claim, float], Future[None]]) -> None:
        self.state.looped_at = time.monotonic()
        try:
            self._rescue()
            self._take(start)
        except Exception as error:  # noqa: BLE001 - a bug in here must not end the worker
            logger.bind(event="loop.bug").opt(exception=error).error("the loop: a bug, {}; it goes on", where(error))
            self._share = 0
            self._quiet_until = time.monotonic() + _BUG_PAUSE_S

    def _take(self, start: Callable[[Claim, float], Future[None]]) -> None:
        """Claim what this cycle still may, as far as there is room for it."""
        now = time.monotonic()
        if (self._hinted or now >= self._cycle_at) and now >= self._quiet_until:
            self._hinted = False
            self._troubled_cycles += self._troubled
            self._troubled = False
            self._share = self._config.max_jobs_per_cycle
            self._cycle_at = now + self._poll_s()
        while self._share > 0 and self._running() < self._config.worker_concurrency and not self._stopping.is_set():
            asked_at = time.monotonic()
            claim = self._claim()
            if claim is None:
                self._share = 0
                return
            self._share -= 1
            self.state.claimed += 1
            self._jobs.add(start(claim, asked_at))

    def _running(self) -> int:
        self._jobs = {job for job in self._jobs if not job.done()}
        return len(self._jobs)

    def _claim(self) -> Claim | None:
        try:
            claim = self._queue.claim()
        except ConfigurationError as error:
            self._queue_in_trouble = True
            self._in_trouble(error)
            return None
        except WorkerError as error:
            self._cycle_at = time.monotonic() + _growing(_FAILED_CLAIM_S, self._failed_claims)
            self._failed_claims += 1
            logger.bind(event="claim.failed").warning("the queue does not answer: {}", error.message)
            return None
        self._failed_claims = 0
        self._nothing_due = claim is None
        if self._queue_in_trouble:
            self._queue_in_trouble = False
            self._out_of_trouble()
        return claim

    def _run(self, running: RunningJob) -> None:
        self.state.running.append(running)
        job = running.claim.job_id
        logger.bind(event="job.claimed", job=job, attempt=running.claim.attempt).debug("job {} claimed", job)
        try:
            self._ended(running.run())
        except Exception as error:  # noqa: BLE001 - one job must never end the worker
            # Should the order still be ours, its lease runs out and it is taken up again.
            logger.bind(event="worker.bug", job=job).opt(exception=error).error(
                "job {}: a bug in the worker, {}", job, where(error)
            )
        finally:
            self.state.running.remove(running)
            self._bell.ring()

    def _ended(self, ended: JobResult) -> None:
        self.state.outcomes[ended.outcome] = self.state.outcomes.get(ended.outcome, 0) + 1
        if isinstance(ended.error, ConfigurationError):
            self._in_trouble(ended.error)
        elif ended.outcome == "completed" and not self._queue_in_trouble:
            self._out_of_trouble()
        self._watch.ended(ended)

    def _in_trouble(self, error: ConfigurationError) -> None:
        """Have the next cycle wait, longer each time, and say what must be mended.

        The rest of this cycle's share is still taken: other orders may need nothing that is missing.
        """
        self._troubled = True
        pause_s = _growing(_TROUBLE_S, self._troubled_cycles)
        self._quiet_until = time.monotonic() + pause_s
        self._hinted = True  # then look at once
        self.state.trouble = error.message
        logger.bind(event="configuration").error("needs mending: {} (backing off for {:.0f} s)", error.message, pause_s)

    def _out_of_trouble(self) -> None:
        if self.state.trouble is not None:
            logger.bind(event="mended").info("mended: {}", self.state.trouble)
        self.state.trouble = None
        self._troubled = False
        self._troubled_cycles = 0
        self._quiet_until = 0.0

    def _rescue(self) -> None:
        if time.monotonic() < self._rescue_at:
            return
        self._rescue_at = time.monotonic() + self._rhythm.rescue_s * random.uniform(*_RESCUE_SPREAD)
        try:
            rescued = self._queue.rescue_jobs()
        except WorkerError as error:
            logger.bind(event="rescue.failed").warning("rescue: {}", error.message)
            return
        self.state.rescued += len(rescued.put_back) + len(rescued.given_up)
        if rescued.put_back:
            self._hinted = True
        for job_id in rescued.given_up:
            self.state.outcomes["poison"] = self.state.outcomes.get("poison", 0) + 1
            self._watch.given_up(job_id)

    def _drained(self) -> bool:
        """Whether there is nothing left to drain, nor any sense in trying."""
        if not self._drain or self._running() or self._share:
            return False
        if self._queue_in_trouble:
            return True
        if not self._nothing_due:
            return False
        if self.state.trouble is not None:
            return True  # all else is done
        try:
            return self._queue.depth()["pending"] == 0
        except WorkerError as error:
            logger.bind(event="depth.failed").warning("the queue does not answer: {}", error.message)
            return False

    def _poll_s(self) -> float:
        if self._drain:
            return _DRAIN_POLL_S
        return self._config.poll_interval_ms / 1000 * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _pause_s(self) -> float:
        """Until there is something to do, or somebody rings."""
        now = time.monotonic()
        cycle_at = now if self._hinted else self._cycle_at
        return min(max(min(max(cycle_at, self._quiet_until), self._rescue_at) - now, 0.0), _LONGEST_WAIT_S)


def _growing(bounds: tuple[float, float], times: int) -> float:
    """The first wait, doubled each time, up to the longest."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(times, 30))
