"""One job from its claim to its end: its process, its lease, and what is written about how it went."""

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
from worker.job.channel import (
    AskCatalogue,
    AskCharacters,
    AskTrack,
    Failed,
    MayPublish,
    Progress,
    Question,
    Uploaded,
    out_of_memory,
)
from worker.job.memory import kills_by_the_kernel
from worker.job.process import ForkServer, JobProcess, no_process
from worker.job.run import JobInput, JobOutput
from worker.job.workspace import job_folder
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim, ClaimStatus, Outcome
from worker.queue.retry import MAX_ATTEMPTS
from worker.queue.service import Queue
from worker.service.heartbeat import Heartbeat, WorkerTimings
from worker.service.stopping import Stopping

_TICK_S = 0.25  # of looks at standing and memory
_SETTLE_PATIENCE_S = 30.0
_SHUTDOWN_PATIENCE_S = 3.0
_TELLING_PERCENT = 5  # from here on the rest can be estimated


class CrashError(TransientError):
    """The job's process died, or hung, instead of reporting; the third time the order is given up."""

    default_code = "worker.crashed"


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes
    ----------
    outcome : str
        completed, or one of `Outcome`: retried, failed, poison, released, cancelled, lost.
    error : Exception or None
        A `WorkerError` or `Interrupted` where the attempt came to nothing.
    summary : dict
        Figures from the job, for the log.
    seconds : float
        From the claim on.
    """

    claim: Claim
    outcome: str
    error: Exception | None
    summary: dict[str, object]
    seconds: float


@dataclass(frozen=True)
class WorkerContext:
    """What every job of a worker is done with.

    Attributes
    ----------
    function : str
        ``module:function`` that the job's process calls.
    folder : Path
        Where jobs have their folders.
    memory_limit_bytes : int
        Of a job and all it starts.
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
    shop : Shop
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

    def cancelled(self) -> None:
        """Hear that the customer may have cancelled: the row is looked at, at once."""
        if self._heartbeat is not None:
            self._heartbeat.check_now()

    def run(self) -> JobResult:
        """Run the job to its end, and write that end into the queue."""
        error: Exception | None = None
        summary: dict[str, object] = {}
        try:
            result = self._render()
        except (WorkerError, Interrupted) as stop:
            outcome, error = self._settle(stop), stop
            if outcome == Outcome.CANCELLED.value:
                self._unpublish()
        else:
            summary = dict(result.summary)
            outcome, error = self._finish(result)
        return JobResult(self.claim, outcome, error, summary, time.monotonic() - self.started_at)

    def _render(self) -> JobOutput:
        """Have the job done in a process of its own, the lease kept meanwhile."""
        context = self.context
        _check_claim(self.claim)
        try:
            with (
                Heartbeat(context.queue, self.claim, context.timings, claimed_at=self.claimed_at) as heartbeat,
                job_folder(context.folder) as folder,
            ):
                self._heartbeat = heartbeat
                self._go_on(heartbeat)
                result = self._in_process(folder, heartbeat)
                self._go_on(heartbeat, done=True)
                return result
        except OSError as error:  # no room for a folder, no descriptors left
            raise Failed.of(error).error() from None
        finally:
            self._heartbeat = None

    def _in_process(self, folder: Path, heartbeat: Heartbeat) -> JobOutput:
        context, claim = self.context, self.claim
        kills = kills_by_the_kernel()
        child = JobProcess(
            context.fork_server,
            context.function,
            order=JobInput(claim.job_id, claim.track_id, claim.user_id, claim.payload_text, claim.attempt),
            config=context.config,
            folder=folder,
            memory_bytes=context.memory_limit_bytes,
        )
        try:
            result = self._listen(child, heartbeat)
        finally:
            ending = child.close()
            self.session = None
            self.uploads += [message for message in child.unread if isinstance(message, Uploaded)]
        if result is not None:
            return result
        if child.pid is None:
            raise no_process("the nursery could not fork")
        if child.was_killed and kills_by_the_kernel() > kills:
            raise ResourceError("the kernel ended the render for want of memory", code="resource.memory")
        raise CrashError(f"the render's process died: {ending}")

    def _listen(self, child: JobProcess, heartbeat: Heartbeat) -> JobOutput | None:
        """Hear the job out; None when it has died without a result."""
        heard_at = time.monotonic()
        while True:
            messages = child.messages(_TICK_S)
            if messages is None:
                return None
            self.session = child.pid
            if messages:
                heard_at = time.monotonic()
            for message in messages:
                match message:
                    case Progress():
                        self.percent, self.stage = message.percent, message.stage
                        heartbeat.report(message.percent, message.stage)
                    case MayPublish():
                        child.answer(self._check(heartbeat))
                    case AskTrack() | AskCatalogue() | AskCharacters():
                        child.answer(self._look_up(message))
                    case Uploaded():
                        self.uploads.append(message)
                    case Failed():
                        raise message.error()
                    case JobOutput():
                        return message
            self._go_on(heartbeat)
            if time.monotonic() - heard_at > self.context.timings.silent_s:
                raise CrashError(f"the render has said nothing for {self.context.timings.silent_s:.0f} s")
            found = child.memory_bytes()
            if found > self.context.memory_limit_bytes:
                raise out_of_memory(found, self.context.memory_limit_bytes)

    def _check(self, heartbeat: Heartbeat) -> str:
        """Ask the database whether the job is still ours, before something is published."""
        claim_status = heartbeat.check(lambda: self.context.stopping.seconds > self.context.timings.finish_within_s)
        if claim_status is None:
            raise ShuttingDown
        return claim_status.value

    def _look_up(self, question: Question) -> object:
        """Ask the database what the job wants to know; a failure travels to the job as its answer."""
        queue = self.context.queue
        try:
            match question:
                case AskTrack():
                    return queue.track_row(self.claim)
                case AskCatalogue():
                    return queue.catalogue(self.claim, question.reference)
                case AskCharacters():
                    limit = self.context.config.max_characters_per_day
                    return limit is None or queue.may_speak(self.claim, question.characters, limit=limit)
        except WorkerError as error:
            return Failed.of(error)

    def _go_on(self, heartbeat: Heartbeat, *, done: bool = False) -> None:
        """Raise when there is no point in going on."""
        if heartbeat.claim_status is ClaimStatus.CANCELLED:
            raise Cancelled
        if heartbeat.claim_status is ClaimStatus.LOST:
            raise LeaseLost
        left_s = self.context.timings.finish_within_s - self.context.stopping.seconds
        if self.context.stopping.is_set() and not done and self._rest_s() > left_s:
            raise ShuttingDown

    def _rest_s(self) -> float:
        """Estimate how long the job still takes; for ever, as long as there is nothing to tell by."""
        if self.percent < _TELLING_PERCENT:
            return math.inf
        return (time.monotonic() - self.started_at) * (100 - self.percent) / self.percent

    def _finish(self, result: JobOutput) -> tuple[str, Exception | None]:
        try:
            claim_status = self.context.queue.finish(
                self.claim, result=result.result, track=result.track, retry_for_s=self._patience_s()
            )
        except WorkerError as error:
            return self._settle(error), error
        if claim_status is ClaimStatus.HELD:
            return "completed", None
        if claim_status is ClaimStatus.CANCELLED:
            self._unpublish()
            return claim_status.value, Cancelled()
        return claim_status.value, LeaseLost()

    def _unpublish(self) -> None:
        """Take back what a cancelled job has uploaded. A lost job's files belong to whoever has it now."""
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
            logger.bind(event="unpublish.failed", job=self.claim.job_id).warning("unpublish: {}", error.message)

    def _settle(self, error: WorkerError | Interrupted) -> str:
        crashed = isinstance(error, CrashError)
        if self.context.stopping.is_set() and isinstance(error, WorkerError) and error.kind is Kind.TRANSIENT:
            # Heroku tells every process of a dyno to stop: what fails now may have failed for that.
            error, crashed = ShuttingDown(), False
        try:
            return self.context.queue.resolve_failure(
                self.claim, error, crashed=crashed, retry_for_s=self._patience_s()
            ).value
        except WorkerError as failure:
            # The lease runs out and any worker takes the order up again: nothing is lost.
            logger.bind(event="settle.failed", job=self.claim.job_id).warning("settle: {}", failure.message)
            return Outcome.LOST.value

    def _patience_s(self) -> float:
        return _SHUTDOWN_PATIENCE_S if self.context.stopping.is_set() else _SETTLE_PATIENCE_S


def _check_claim(claim: Claim) -> None:
    """Refuse what must not be started.

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
