"""One job from its claim to its end: its process, its heartbeat, and the outcome in the queue."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from worker.config import Config
from worker.errors import (
    Cancelled,
    Interrupted,
    JobError,
    Kind,
    LeaseLost,
    ResourceError,
    ShuttingDown,
    TransientError,
    WorkerError,
)
from worker.job.memory import kills_by_the_kernel
from worker.job.messages import (
    AskCatalogue,
    AskCharacters,
    AskTrack,
    Failed,
    JobInput,
    JobOutput,
    MayPublish,
    Progress,
    Question,
    Uploaded,
    out_of_memory,
)
from worker.job.process import ForkServer, JobProcess
from worker.job.workspace import job_folder
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim, ClaimStatus, Outcome
from worker.queue.retry import MAX_ATTEMPTS
from worker.queue.service import Queue
from worker.service.heartbeat import Heartbeat, WorkerTimings
from worker.service.stopping import Stopping

_CHECK_S = 0.25  # between checks of the claim and of memory
_RETRY_FOR_S = 30.0
_SHUTDOWN_RETRY_FOR_S = 3.0
_ESTIMABLE_PERCENT = 5  # from here on the time left can be estimated


class CrashError(TransientError):
    """The job process died, or hung, without a result; the third time the job is poison."""

    default_code = "worker.crashed"


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes
    ----------
    outcome : str
        completed, or one of `Outcome`: retried, failed, poison, released, cancelled, lost.
    error : Exception or None
        The `WorkerError` or `Interrupted` that ended the attempt.
    summary : dict
        Figures of the job, for the log.
    seconds : float
        Since the claim.
    """

    claim: Claim
    outcome: str
    error: Exception | None
    summary: dict[str, object]
    seconds: float


@dataclass(frozen=True)
class WorkerContext:
    """What all jobs of a worker share.

    Attributes
    ----------
    function : str
        ``module:function`` that the job process calls.
    folder : Path
        Parent of the jobs' folders.
    memory_limit_bytes : int
        Of a job and everything it starts.
    """

    queue: Queue
    config: Config
    timings: WorkerTimings
    function: str
    fork_server: ForkServer
    folder: Path
    memory_limit_bytes: int
    stopping: Stopping


@dataclass
class RunningJob:
    """A claimed job, run by `run` in a thread of the worker.

    Parameters
    ----------
    context : WorkerContext
    claim : Claim
    claimed_at : float
        On the monotonic clock, before the claim was sent.
    """

    context: WorkerContext
    claim: Claim
    claimed_at: float
    started_at: float = field(default_factory=time.monotonic)
    percent: int = 0
    stage: str | None = None
    session: int | None = None
    uploads: list[Uploaded] = field(default_factory=list)
    _heartbeat: Heartbeat | None = None

    def check_now(self) -> None:
        """Check the row at once, since the customer may have cancelled."""
        if self._heartbeat is not None:
            self._heartbeat.check_now()

    def run(self) -> JobResult:
        """Run the job to its end, and write the outcome into the queue."""
        error: Exception | None = None
        summary: dict[str, object] = {}
        try:
            result = self._render()
        except (WorkerError, Interrupted) as stop:
            outcome, error = self._resolve_failure(stop), stop
            if outcome == Outcome.CANCELLED.value:
                self._unpublish()
        else:
            summary = dict(result.summary)
            outcome, error = self._finish(result)
        return JobResult(self.claim, outcome, error, summary, time.monotonic() - self.started_at)

    def _render(self) -> JobOutput:
        """Run the job in a process of its own, with a heartbeat."""
        context = self.context
        _check_claim(self.claim)
        try:
            with (
                Heartbeat(context.queue, self.claim, context.timings, claimed_at=self.claimed_at) as heartbeat,
                job_folder(context.folder) as folder,
            ):
                self._heartbeat = heartbeat
                self._check(heartbeat)
                result = self._in_process(folder, heartbeat)
                self._check(heartbeat, done=True)
                return result
        except OSError as error:  # no space for a folder, or no file descriptors
            raise Failed.of(error).error() from None
        finally:
            self._heartbeat = None

    def _in_process(self, folder: Path, heartbeat: Heartbeat) -> JobOutput:
        context, claim = self.context, self.claim
        kills = kills_by_the_kernel()
        job = JobProcess(
            context.fork_server,
            context.function,
            job_input=JobInput(claim.job_id, claim.track_id, claim.user_id, claim.payload_text, claim.attempt),
            config=context.config,
            folder=folder,
            memory_bytes=context.memory_limit_bytes,
        )
        try:
            result = self._receive(job, heartbeat)
        finally:
            ending = job.close()
            self.session = None
            self.uploads += [message for message in job.unread if isinstance(message, Uploaded)]
        if result is not None:
            return result
        if job.was_killed and kills_by_the_kernel() > kills:
            raise ResourceError("the kernel ended the render for want of memory", code="resource.memory")
        raise CrashError(f"the render's process died: {ending}")

    def _receive(self, job: JobProcess, heartbeat: Heartbeat) -> JobOutput | None:
        """Handle the job's messages until its result; None if it has died without one."""
        self.session = job.pid
        received_at = time.monotonic()
        while True:
            messages = job.messages(_CHECK_S)
            if messages is None:
                return None
            if messages:
                received_at = time.monotonic()
            for message in messages:
                match message:
                    case Progress():
                        self.percent, self.stage = message.percent, message.stage
                        heartbeat.report(message.percent, message.stage)
                    case MayPublish() | AskTrack() | AskCatalogue() | AskCharacters():
                        job.answer(self._look_up(message, heartbeat))
                    case Uploaded():
                        self.uploads.append(message)
                    case Failed():
                        raise message.error()
                    case JobOutput():
                        return message
            self._check(heartbeat)
            if time.monotonic() - received_at > self.context.timings.silent_s:
                raise CrashError(f"the render has said nothing for {self.context.timings.silent_s:.0f} s")
            found = job.memory_bytes()
            if found > self.context.memory_limit_bytes:
                raise out_of_memory(found, self.context.memory_limit_bytes)

    def _look_up(self, question: Question, heartbeat: Heartbeat) -> object:
        """Ask the database for the job; a failure is sent to the job as the answer."""
        queue = self.context.queue
        try:
            match question:
                case MayPublish():
                    return self._claim_status(heartbeat)
                case AskTrack():
                    return queue.track_row(self.claim)
                case AskCatalogue():
                    return queue.catalogue(self.claim, question.reference)
                case AskCharacters():
                    limit = self.context.config.max_characters_per_day
                    return limit is None or queue.may_speak(self.claim, question.characters, limit=limit)
        except WorkerError as error:
            return Failed.of(error)

    def _claim_status(self, heartbeat: Heartbeat) -> str:
        """Ask the database whether the claim holds, before something is published."""
        claim_status = heartbeat.check(lambda: self.context.stopping.seconds > self.context.timings.finish_within_s)
        if claim_status is None:
            raise ShuttingDown
        return claim_status.value

    def _check(self, heartbeat: Heartbeat, *, done: bool = False) -> None:
        """Raise if the claim is gone, or the worker is stopping and the job would take too long."""
        if heartbeat.claim_status is ClaimStatus.CANCELLED:
            raise Cancelled
        if heartbeat.claim_status is ClaimStatus.LOST:
            raise LeaseLost
        left_s = self.context.timings.finish_within_s - self.context.stopping.seconds
        if self.context.stopping.is_set() and not done and self._time_left_s() > left_s:
            raise ShuttingDown

    def _time_left_s(self) -> float:
        """Estimate how long the job still takes; infinite while it has hardly begun."""
        if self.percent < _ESTIMABLE_PERCENT:
            return math.inf
        return (time.monotonic() - self.started_at) * (100 - self.percent) / self.percent

    def _finish(self, result: JobOutput) -> tuple[str, Exception | None]:
        try:
            claim_status = self.context.queue.finish(
                self.claim, result=result.result, track=result.track, retry_for_s=self._retry_for_s()
            )
        except WorkerError as error:
            return self._resolve_failure(error), error
        if claim_status is ClaimStatus.HELD:
            return "completed", None
        if claim_status is ClaimStatus.CANCELLED:
            self._unpublish()
            return claim_status.value, Cancelled()
        return claim_status.value, LeaseLost()

    def _unpublish(self) -> None:
        """Remove what a cancelled job has uploaded. The files of a lost job belong to the worker that has it now."""
        if not self.uploads:
            return
        from worker.storage.choose import open_storage

        try:
            storage = open_storage(self.context.config)
            try:
                for upload in self.uploads:
                    storage.remove(upload.bucket, [upload.key])
            finally:
                storage.close()
        except WorkerError as error:
            logger.bind(event="unpublish.failed", job=self.claim.job_id).warning(
                "the files of a cancelled job were not removed: {}", error.message
            )

    def _resolve_failure(self, error: WorkerError | Interrupted) -> str:
        crashed = isinstance(error, CrashError)
        if self.context.stopping.is_set() and isinstance(error, WorkerError) and error.kind is Kind.TRANSIENT:
            # Heroku sends SIGTERM to every process of a dyno, which may be the cause of the failure.
            error, crashed = ShuttingDown(), False
        try:
            return self.context.queue.resolve_failure(
                self.claim, error, crashed=crashed, retry_for_s=self._retry_for_s()
            ).value
        except WorkerError as failure:
            # The lease expires and another worker claims the job: nothing is lost.
            logger.bind(event="settle.failed", job=self.claim.job_id).warning(
                "the outcome could not be written: {}", failure.message
            )
            return Outcome.LOST.value

    def _retry_for_s(self) -> float:
        return _SHUTDOWN_RETRY_FOR_S if self.context.stopping.is_set() else _RETRY_FOR_S


def _check_claim(claim: Claim) -> None:
    """Check a claim before a process is started for it.

    Raises
    ------
    JobError
        If the payload is over the limit, or a customer has set the row back to pending too often.
    """
    if claim.payload_bytes is not None:
        raise JobError(
            f"the payload has {claim.payload_bytes} bytes or more, allowed are at most {PAYLOAD_LIMIT_BYTES}",
            code="job.too_large",
            customer_message="This order is too large to be made. Please shorten the script, or contact support.",
        )
    if claim.attempt > MAX_ATTEMPTS:
        raise JobError(
            f"attempt {claim.attempt}: the row was set back to pending again and again, by its owner",
            code="attempts",
            customer_message="This order has been tried too often. Please contact support.",
        )
