"""The worker's loop: claim jobs, run them, rescue the jobs of dead workers, stop when asked to."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from operator import methodcaller

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, MachineError, WorkerError
from worker.job.memory import job_memory_limit_bytes
from worker.job.process import DEFAULT_JOB, ForkServer
from worker.job.workspace import workspace
from worker.logs import where
from worker.queue.claims import Cause, Claim, Outcome
from worker.queue.retry import runs_alone
from worker.queue.service import Queue
from worker.service.heartbeat import WORKER_TIMINGS, WorkerTimings
from worker.service.observers import JobObserver
from worker.service.runner import JobResult, RunningJob, WorkerContext
from worker.service.state import State
from worker.service.stopping import Stopping, WakeEvent
from worker.service.upkeep import Upkeep

_DIED = "the workers that had it have died over it too often"
_JITTER = 0.2
_LONGEST_WAIT_S = 15.0  # /health shows when the loop last ran


def worker_name(config: Config) -> str:
    """Name this worker: WORKER_NAME, the dyno, or host and process."""
    return config.worker_name or config.dyno or f"{socket.gethostname()}-{os.getpid()}"


class Worker:
    """Polls the queue, at most MAX_JOBS_PER_CYCLE jobs in each cycle, and runs WORKER_CONCURRENCY jobs at a time.

    A cycle begins every POLL_INTERVAL_MS, and at each wake event. Jobs are then claimed while there is room for them,
    until the queue has none or the cycle's limit is reached. Jobs that were parked do not count towards it.

    Parameters
    ----------
    drain : bool
        Stop when the queue is empty, but for jobs that wait for an operator, since there may be none.
    job : str
        ``module:function`` that the job process calls.
    observers : sequence of JobObserver
        Called in this order. One that raises does not affect the others.
    open_fork_server : callable
        Gives, for `job`, what its processes are forked from. Tests have one for many workers.
    """

    def __init__(
        self,
        config: Config,
        queue: Queue,
        *,
        drain: bool = False,
        job: str = DEFAULT_JOB,
        timings: WorkerTimings = WORKER_TIMINGS,
        observers: Sequence[JobObserver] = (),
        open_fork_server: Callable[[str], AbstractContextManager[ForkServer]] = ForkServer,
    ) -> None:
        self._config = config
        self._queue = queue
        self._drain = drain
        self._job = job
        self._timings = timings
        self._observers = list(observers)
        self._open_fork_server = open_fork_server
        self._wake_event = WakeEvent()
        self._stopping = Stopping(self._wake_event)
        self._poll_at_once = True
        self._claims_left = 0  # in this cycle
        self._next_cycle_at = 0.0
        self._backoff_until = 0.0  # no new cycle before
        self._failed_claims = 0
        self._cycle_had_trouble = False
        self._troubled_cycles = 0
        self._nothing_due = False
        self._one_runs_alone = False  # of the running jobs, the one that was claimed last
        self._jobs: set[Future[bool]] = set()
        self._telling = threading.Lock()  # of causes
        self.state = State(worker_name(config), queue.description)
        self._upkeep = Upkeep(config, queue, self.state, timings, purges=not drain)

    def observe(self, observer: JobObserver) -> None:
        """Add an observer, before `run`."""
        self._observers.append(observer)

    def count_backlog(self) -> None:
        """From now on, count the jobs of the queue now and then, for metrics; before `run`."""
        self._upkeep.want_backlog()

    def wake(self) -> None:
        """Poll now; from any thread."""
        self._poll_at_once = True
        self._wake_event.set()

    def stop(self) -> None:
        """Claim nothing more, end the running jobs and return from `run`; from any thread or a signal handler."""
        self.state.stopping = True
        self._stopping.set()

    def cancelled(self, job_id: str) -> None:
        """Check at once whether a job was cancelled; from any thread."""
        for running in list(self.state.running):
            if running.claim.job_id == job_id:
                running.check_now()

    def run(self) -> None:
        """Work until `stop` is called, or, draining, until the queue is empty.

        Raises
        ------
        ConfigurationError
            If, draining, an operator must fix something first.
        """
        with (
            workspace() as folder,
            self._open_fork_server(self._job) as fork_server,
            ThreadPoolExecutor(self._config.worker_concurrency, thread_name_prefix="job") as pool,
        ):
            context = WorkerContext(
                self._queue,
                self._config,
                self._timings,
                function=self._job,
                fork_server=fork_server,
                folder=folder,
                memory_limit_bytes=job_memory_limit_bytes(self._config),
                stopping=self._stopping,
                running=self.state.running,
            )
            try:
                while not self._stopping.is_set():
                    self._iterate(lambda claim, at: pool.submit(self._run, self._begun(context, claim, at)))
                    if self._drained():
                        break
                    if not self._running():
                        fork_server.rest(after_s=self._timings.rest_s)
                    self._wake_event.wait(self._pause_s())
            except BaseException:  # Ctrl-C in a command: nobody wants to wait for running jobs
                self._stopping.set(at_once=True)
                raise
        if self._drain and self.state.trouble is not None:
            raise ConfigurationError(self.state.trouble)

    def _iterate(self, start: Callable[[Claim, float], Future[bool]]) -> None:
        self.state.looped_at = time.monotonic()
        try:
            self._rescue()
            self._claim_jobs(start)
            self._upkeep.count()
            self._upkeep.purge()
        except Exception as error:  # noqa: BLE001 - a bug here must not end the worker
            logger.bind(event="loop.bug").opt(exception=error).error("a bug in the loop, {}; it goes on", where(error))
            self._claims_left = 0
            self._backoff_until = time.monotonic() + self._timings.bug_pause_s

    def _claim_jobs(self, start: Callable[[Claim, float], Future[bool]]) -> None:
        """Begin a cycle if it is time; claim and start as many jobs as the cycle and the pool allow."""
        now = time.monotonic()
        if now >= self._next_cycle():
            self._poll_at_once = False
            self._troubled_cycles += self._cycle_had_trouble
            self._cycle_had_trouble = False
            self._claims_left = self._config.max_jobs_per_cycle
            self._next_cycle_at = now + self._poll_s()
        while self._has_room() and self._claims_left > 0 and not self._stopping.is_set():
            sent_at = time.monotonic()
            claim = self._claim()
            if claim is None:
                self._claims_left = 0
                return
            self._one_runs_alone = runs_alone(claim)
            self._claims_left -= 1
            self.state.claimed += 1
            job = start(claim, sent_at)
            self._jobs.add(job)
            job.add_done_callback(lambda _: self._wake_event.set())

    def _next_cycle(self) -> float:
        return max(0.0 if self._poll_at_once else self._next_cycle_at, self._backoff_until)

    def _has_room(self) -> bool:
        running = self._running()
        return running < self._config.worker_concurrency and not (running and self._one_runs_alone)

    def _running(self) -> int:
        """Count the running jobs; those that were parked meanwhile give their claims back to the cycle."""
        ended = {job for job in self._jobs if job.done()}
        self._jobs -= ended
        self._claims_left += sum(job.result() for job in ended)
        return len(self._jobs)

    def _claim(self) -> Claim | None:
        try:
            claim = self._queue.claim()
        except ConfigurationError as error:
            self._back_off(error)
            return None
        except WorkerError as error:
            self._failed_claims += 1
            self._next_cycle_at = time.monotonic() + self._timings.failed_claims.wait_s(self._failed_claims)
            logger.bind(event="claim.failed").warning("the queue does not answer: {}", error.message)
            return None
        self._failed_claims = 0
        self._nothing_due = claim is None
        self._fixed(self.state.own.claim_answered())
        return claim

    def _begun(self, context: WorkerContext, claim: Claim, claimed_at: float) -> RunningJob:
        running = RunningJob(context, claim, claimed_at)
        self.state.running.append(running)  # before its thread starts: another job may wait to be alone
        return running

    def _run(self, running: RunningJob) -> bool:
        """Run a job to its end; return whether it was parked."""
        job = running.claim.job_id
        logger.bind(event="job.claimed", job=job, attempt=running.claim.attempt).debug("job {} claimed", job)
        parked = False
        try:
            result = running.run()
            parked = result.outcome == Outcome.PARKED
            self._ended(result)
        except Exception as error:  # noqa: BLE001 - one job must never end the worker
            # If the job is still ours, its lease expires and it is claimed again.
            logger.bind(event="worker.bug", job=job).opt(exception=error).error(
                "job {}: a bug in the worker, {}", job, where(error)
            )
        finally:
            self.state.running.remove(running)
        return parked

    def _ended(self, result: JobResult) -> None:
        if isinstance(result.error, MachineError):
            self._back_off(result.error, job_id=result.claim.job_id)
        elif result.outcome == "completed":
            started_at = time.monotonic() - result.seconds
            self._fixed(self.state.own.job_completed(result.claim.job_id, started_at=started_at))
        known = [cause.name for cause in self.state.causes]
        is_new = isinstance(result.error, ConfigurationError) and result.error.cause not in known
        if result.claim.probed_cause is not None or (result.outcome == Outcome.PARKED and is_new):
            self._look_at_causes()
        self._report(result.outcome, methodcaller("ended", result))

    def _report(self, outcome: str, call: Callable[[JobObserver], None]) -> None:
        """Count an outcome and call the observers: the one place that every job's end passes."""
        self.state.outcomes[outcome] = self.state.outcomes.get(outcome, 0) + 1
        self._tell(call)

    def _tell(self, call: Callable[[JobObserver], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception as error:  # noqa: BLE001 - an e-mail or a metric must not cost anything
                name = type(observer).__name__
                logger.bind(event="watch.bug").opt(exception=error).error("{} failed: {}", name, where(error))

    def _look_at_causes(self) -> None:
        """Read what parked jobs wait for; tell once of each cause that is new, and of each that is gone."""
        with self._telling:
            try:
                causes = self._queue.causes()
            except WorkerError as error:
                logger.bind(event="causes.failed").warning("the queue does not answer: {}", error.message)
                return
            before, self.state.causes = self.state.causes, tuple(causes)
            names, names_before = ({cause.name for cause in each} for each in (causes, before))
            for cause in causes:
                if cause.name not in names_before:
                    logger.bind(event="configuration", cause=cause.name).error("must be fixed: {}", cause.message)
                    self._tell(methodcaller("must_be_fixed", cause))
            for cause in before:
                if cause.name not in names:
                    logger.bind(event="mended", cause=cause.name).info("no job waits any more: {}", cause.message)
                    self._tell(methodcaller("fixed", cause))

    def _back_off(self, error: ConfigurationError, *, job_id: str | None = None) -> None:
        """Delay the next cycle, longer each time, and log what must be fixed: the queue, or this machine."""
        self._cycle_had_trouble = True
        pause_s = self._timings.trouble.wait_s(self._troubled_cycles + 1)
        self._backoff_until = time.monotonic() + pause_s
        self._poll_at_once = True  # as soon as the pause is over
        self.state.own.meet(error, job_id=job_id)
        logger.bind(event="configuration").error("must be fixed: {} (backing off for {:.0f} s)", error.message, pause_s)

    def _fixed(self, gone: Sequence[Cause]) -> None:
        """Log what this worker has seen to work again; back off no longer once nothing is left."""
        for cause in gone:
            logger.bind(event="mended").info("fixed: {}", cause.message)
        if not gone or self.state.own.causes:
            return
        self._cycle_had_trouble = False
        self._troubled_cycles = 0
        self._backoff_until = 0.0

    def _rescue(self) -> None:
        rescued = self._upkeep.rescue()
        if rescued is None:
            return
        if rescued.put_back:
            self._poll_at_once = True
        for job_id in rescued.given_up:
            self._report("poison", methodcaller("given_up", job_id, "poison", _DIED))
        for job_id, cause in rescued.overdue.items():
            why = f"it was parked for longer than CONFIGURATION_LIMIT_H, last for {cause}"
            self._report("failed", methodcaller("given_up", job_id, "failed", why))
        self._look_at_causes()

    def _drained(self) -> bool:
        """Whether, draining, the queue is empty, or what is left cannot be done."""
        if not self._drain or self._running() or self._claims_left:
            return False
        if self.state.own.of_queue:
            return True
        if not self._nothing_due:
            return False
        if self.state.own.causes:
            return True  # no other job can be done here
        self._look_at_causes()
        try:
            state = self._queue.queue_state()
        except WorkerError as error:
            logger.bind(event="depth.failed").warning("the queue does not answer: {}", error.message)
            return False
        if state.paused_at is not None:
            logger.bind(event="queue.paused").warning("the queue is paused by {}: {}", state.paused_by, state.reason)
            return True
        return state.counts["pending"] <= sum(cause.jobs for cause in self.state.causes)

    def _poll_s(self) -> float:
        if self._drain:
            return self._timings.drain_poll_s
        return self._config.poll_interval_ms / 1000 * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _pause_s(self) -> float:
        """Seconds until the next cycle or rescue."""
        next_at = min(self._next_cycle(), self._upkeep.next_at)
        return min(max(next_at - time.monotonic(), 0.0), _LONGEST_WAIT_S)
