"""One job from its claim to its end: its process, its heartbeat, and the outcome in the queue."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from worker.config import Config
from worker.cores import available_cores
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
from worker.ffmpeg.program import FOUND_FFMPEGS
from worker.job.memory import kills_by_the_kernel
from worker.job.messages import (
    Assignment,
    Failed,
    JobInput,
    JobOutput,
    Length,
    Loaded,
    PlaceDone,
    Progress,
    Question,
    Uploaded,
)
from worker.job.process import ForkServer, JobProcess
from worker.job.workspace import job_folder
from worker.masks import mask_error
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, AttemptReport, Claim, ClaimStatus, Outcome
from worker.queue.retry import MAX_ATTEMPTS, runs_alone
from worker.queue.service import Queue
from worker.service.attempt_report import attempt_report
from worker.service.deadline import SILENT_CODE, Deadline
from worker.service.heartbeat import Heartbeat, WorkerTimings
from worker.service.stopping import Stopping

_CHECK_S = 0.25  # between checks of the claim and of memory
_RETRY_FOR_S = 30.0
_SHUTDOWN_RETRY_FOR_S = 3.0
_ESTIMABLE_PERCENT = 5  # from here on the time left can be estimated


class CrashError(TransientError):
    """The job process died without a result; the third time the job is poison."""

    default_code = "worker.crashed"


@dataclass(frozen=True)
class JobResult:
    """How a job ended: `outcome` is completed, or one of `Outcome`.

    `error` is the `WorkerError` or `Interrupted` that ended the attempt, `summary` the job's figures for the log,
    `seconds` the time since the claim.
    """

    claim: Claim
    outcome: str
    error: Exception | None
    summary: dict[str, object]
    seconds: float


@dataclass(frozen=True)
class WorkerContext:
    """What all jobs of a worker share.

    `function` is the ``module:function`` that the job process calls, `folder` the parent of the jobs' folders,
    `memory_limit_bytes` the limit of a job and everything it starts, `running` the jobs that have begun.
    """

    queue: Queue
    config: Config
    timings: WorkerTimings
    function: str
    fork_server: ForkServer
    folder: Path
    memory_limit_bytes: int
    stopping: Stopping
    running: list[RunningJob] = field(default_factory=list)


class RunningJob:
    """A claimed job, run by `run` in a thread of the worker.

    `claimed_at` is on the monotonic clock, before the claim was sent. `percent` and `stage` are as the job process
    reported them last; `session` is that process's.
    """

    def __init__(self, context: WorkerContext, claim: Claim, claimed_at: float) -> None:
        self.context = context
        self.claim = claim
        self.started_at = time.monotonic()
        self.percent = 0
        self.stage: str | None = None
        self.session: int | None = None
        self.runs_alone = runs_alone(claim)
        self._uploads: list[Uploaded] = []
        self._stages: dict[str, float] = {}  # seconds, of those that are over
        self._stage_at = self.started_at
        self._heartbeat = Heartbeat(context.queue, claim, context.timings, claimed_at=claimed_at)

    def check_now(self) -> None:
        """Check the row at once, since the customer may have cancelled."""
        self._heartbeat.check_now()

    def run(self) -> JobResult:
        """Run the job to its end, and write the outcome into the queue."""
        error: Exception | None = None
        summary: dict[str, object] = {}
        try:
            output = self._render()
            summary = output.summary
            outcome = self._finish(output)
        except (WorkerError, Interrupted) as stop:
            outcome, error = self._resolve_failure(stop), stop
        finally:
            self.context.queue.end_places(self.claim)
        if outcome == Outcome.CANCELLED:
            error = error or Cancelled()
            self._unpublish()
        return JobResult(self.claim, outcome, error, summary, time.monotonic() - self.started_at)

    def _render(self) -> JobOutput:
        """Run the job in a process of its own, with a heartbeat."""
        _check_claim(self.claim)
        try:
            with self._heartbeat, job_folder(self.context.folder) as folder:
                self._check()
                self._wait_to_be_alone()
                output = self._in_process(folder)
                self._check(done=True)
                return output
        except OSError as error:  # no space for a folder, or no file descriptors
            raise Failed.of(error).error from None

    def _wait_to_be_alone(self) -> None:
        """Wait for the other jobs to end, where this one needs the worker to itself; no more are claimed meanwhile."""
        while self.runs_alone and any(job is not self for job in list(self.context.running)):
            time.sleep(_CHECK_S)
            self._check()

    def _in_process(self, folder: Path) -> JobOutput:
        context, claim = self.context, self.claim
        kills = kills_by_the_kernel()
        job_input = JobInput(
            claim.job_id,
            claim.track_id,
            claim.user_id,
            claim.payload_text,
            claim.attempt,
            claim.waited_s,
            is_probe=claim.probed_cause is not None,
        )
        assignment = Assignment(
            context.function, job_input, self._config(), folder, context.memory_limit_bytes, dict(FOUND_FFMPEGS)
        )
        job = JobProcess(context.fork_server, assignment)
        try:
            output = self._receive(job)
        finally:
            ending = job.close()
            self.session = None
            self._uploads += [message for message in job.unread if isinstance(message, Uploaded)]
        if output is not None:
            return output
        if job.was_killed and kills_by_the_kernel() > kills:
            raise ResourceError("the kernel ended the render for want of memory", code="resource.memory")
        raise CrashError(f"the render's process died: {ending}")

    def _config(self) -> Config:
        """The configuration of the job's process: it has all cores, or its share of them beside other jobs.

        On two cores, two jobs of all threads each did fewer tracks an hour, at more CPU
        (docs/explanation/performance.md).
        """
        config = self.context.config
        if config.render_threads is not None:
            return config
        threads = max(1, available_cores() // len(self.context.running))
        return config.model_copy(update={"render_threads": threads})

    def _receive(self, job: JobProcess) -> JobOutput | None:
        """Handle the job's messages until its result; None if it has died without one."""
        self.session = job.pid
        limit_bytes, silent_s = self.context.memory_limit_bytes, self.context.timings.silent_s
        received_at = time.monotonic()
        deadline = Deadline(self.context.config)
        while (messages := job.messages(_CHECK_S)) is not None:
            if messages:
                received_at = time.monotonic()
            for message in messages:
                match message:
                    case Progress():
                        self._enter(message.stage)
                        self.percent = message.percent
                        self._heartbeat.report(message.percent, message.stage)
                    case Length():
                        deadline.knows_length(message.seconds)
                    case Question():
                        answer = self._look_up(message)
                        if message.what == "place":
                            deadline.asked_for_a_place(taken=answer is True)
                        job.answer(answer)
                    case PlaceDone():
                        self._give_place_back(message.place)
                    case Uploaded():
                        self._uploads.append(message)
                    case Loaded():
                        self.context.fork_server.want_loaded(message.names)
                    case Failed():
                        raise message.error
                    case JobOutput():
                        return message
            self._check()
            deadline.check(self.stage)
            if time.monotonic() - received_at > silent_s:
                raise TransientError(f"the render has said nothing for {silent_s:.0f} s", code=SILENT_CODE)
            found_bytes = job.memory_bytes()
            if found_bytes > limit_bytes:
                raise ResourceError(
                    f"the render took {found_bytes >> 20} MB of memory; {limit_bytes >> 20} MB are allowed",
                    code="resource.memory",
                )
        return None

    def _enter(self, stage: str | None) -> None:
        """Count the time of the stage that is left."""
        now = time.monotonic()
        if self.stage is not None:
            self._stages[self.stage] = self._stages.get(self.stage, 0.0) + now - self._stage_at
        self.stage, self._stage_at = stage, now

    def _report(self, summary: Mapping[str, object], error: Exception | None) -> AttemptReport:
        self._enter(self.stage)
        return attempt_report(summary, error, self._stages)

    def _look_up(self, question: Question) -> object:
        """Ask the database for the job; a failure is sent to the job as the answer."""
        queue, claim, timings = self.context.queue, self.claim, self.context.timings
        try:
            match question.what:
                case "claim":
                    status = self._heartbeat.check(lambda: self.context.stopping.seconds > timings.finish_within_s)
                    if status is None:
                        raise ShuttingDown
                    return status.value
                case "track":
                    return queue.track_row(claim)
                case "catalogue":
                    return queue.catalogue(claim, question.about)
                case "characters":
                    limit = self.context.config.max_characters_per_day
                    return limit is None or queue.may_speak(claim, question.about, limit=limit)
                case "place":
                    wanted = question.about
                    return queue.take_place(claim, wanted.account, most=wanted.most, place=wanted.place)
        except WorkerError as error:
            return Failed.of(error)

    def _give_place_back(self, place: str) -> None:
        """Failing that, it comes back by itself when the job ends, or when it is too old."""
        try:
            self.context.queue.give_place(self.claim, place)
        except WorkerError as error:
            logger.bind(event="place.failed", job=self.claim.job_id).debug("a place was kept: {}", error.message)

    def _check(self, *, done: bool = False) -> None:
        """Raise if the claim is gone, or the worker is stopping and the job would take too long."""
        if self._heartbeat.claim_status is ClaimStatus.CANCELLED:
            raise Cancelled
        if self._heartbeat.claim_status is ClaimStatus.LOST:
            raise LeaseLost
        stopping = self.context.stopping
        left_s = self.context.timings.finish_within_s - stopping.seconds
        if stopping.is_set() and not done and self._time_left_s() > left_s:
            raise ShuttingDown

    def _time_left_s(self) -> float:
        """Estimate how long the job still takes; infinite while it has hardly begun."""
        if self.percent < _ESTIMABLE_PERCENT:
            return math.inf
        return (time.monotonic() - self.started_at) * (100 - self.percent) / self.percent

    def _finish(self, output: JobOutput) -> str:
        claim_status = self.context.queue.finish(
            self.claim,
            result=output.result,
            track=output.track,
            report=self._report(output.summary, None),
            retry_for_s=self._retry_for_s(),
        )
        if claim_status is ClaimStatus.LOST:
            raise LeaseLost
        if claim_status is ClaimStatus.CANCELLED:
            raise Cancelled
        return "completed"

    def _unpublish(self) -> None:
        """Remove what a cancelled job has uploaded. The files of a lost job belong to the worker that has it now."""
        if not self._uploads:
            return
        from worker.storage.choose import open_storage

        try:
            with closing(open_storage(self.context.config)) as storage:
                for upload in self._uploads:
                    storage.remove(upload.bucket, [upload.key])
        except WorkerError as error:
            logger.bind(event="unpublish.failed", job=self.claim.job_id).warning(
                "the files of a cancelled job were not removed: {}", error.message
            )

    def _resolve_failure(self, error: WorkerError | Interrupted) -> str:
        crashed = isinstance(error, CrashError)
        if self.context.stopping.is_set() and isinstance(error, WorkerError) and error.kind is Kind.TRANSIENT:
            # Heroku sends SIGTERM to every process of a dyno, which may be the cause of the failure.
            error, crashed = ShuttingDown(), False
        mask_error(error, written=self.claim.payload_text)  # the report has its words, too
        try:
            return self.context.queue.resolve_failure(
                self.claim,
                error,
                crashed=crashed,
                report=self._report({}, error),
                retry_for_s=self._retry_for_s(),
            ).value
        except WorkerError as failure:
            # The lease expires and another worker claims the job: nothing is lost.
            mask_error(failure, written=self.claim.payload_text)  # a trigger may quote the row
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
