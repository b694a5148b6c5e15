"""One job from its claim to its end: the child, its lease, and what is written about how it went."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from worker.child import Child, Failed, MayPublish, Message, Progress, out_of_memory
from worker.claims import Claim, Outcome, Standing
from worker.config import Config
from worker.errors import (
    Cancelled,
    Interrupted,
    LeaseLost,
    ShuttingDown,
    TransientError,
    WorkerError,
)
from worker.fulfil import Fulfilled, Order
from worker.heartbeat import Heartbeat, Rhythm
from worker.queue import Queue

FOLDER_PREFIX = "mindscript-job-"
_TICK_S = 0.5
_MEMORY_TICK_S = 1.0
_SETTLE_PATIENCE_S = 30.0
_SHUTDOWN_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes
    ----------
    outcome : str
        completed, retried, failed, poison, released, cancelled or lost.
    error : Exception or None
    summary : dict
        Figures of the child's for the log.
    seconds : float
    """

    claim: Claim
    outcome: str
    error: Exception | None
    summary: dict[str, object]
    seconds: float


@dataclass
class RunningJob:
    """A claimed job, run by `run` in a thread of the worker.

    Parameters
    ----------
    queue : Queue
    claim : Claim
    config : Config
    rhythm : Rhythm
    job : str
        ``module:function`` that the child calls.
    memory_limit_bytes : int
        Of the child and all it starts.
    stopping : threading.Event
        Set when the worker shuts down.
    """

    queue: Queue
    claim: Claim
    config: Config
    rhythm: Rhythm
    job: str
    memory_limit_bytes: int
    stopping: threading.Event
    started_at: float = field(default_factory=time.monotonic)
    percent: int = 0
    stage: str = "Starting"
    _heartbeat: Heartbeat | None = None
    _stopping_at: float | None = None

    def cancelled(self) -> None:
        """Hear that the customer may have cancelled: the row is looked at, at once."""
        if self._heartbeat is not None:
            self._heartbeat.look_now()

    def run(self) -> Ended:
        """Run the job to its end, and write that end into the queue."""
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._heartbeat = Heartbeat(self.queue, self.claim, self.rhythm, on_verdict=lambda: None)
        try:
            result, error, crashed = self._in_child(folder)
        finally:
            self._heartbeat.stop()
            shutil.rmtree(folder, ignore_errors=True)
        if result is not None:
            outcome, error = self._finish(result)
            summary: dict[str, object] = dict(result.summary)
        else:
            outcome, summary = self._settle(error or TransientError("the child said nothing"), crashed), {}
        return Ended(self.claim, outcome, error, summary, time.monotonic() - self.started_at)

    def _in_child(self, folder: Path) -> tuple[Fulfilled | None, Exception | None, bool]:
        """Run the child; its result, or its error and whether it crashed."""
        claim = self.claim
        order = Order(claim.job_id, claim.track_id, claim.user_id, claim.payload, claim.attempt)
        child = Child(self.job, order, self.config, folder)
        last: Message | None = None
        memory_at = time.monotonic() + _MEMORY_TICK_S
        try:
            while True:
                messages = child.messages(_TICK_S)
                if messages is None:
                    break
                for message in messages:
                    if isinstance(message, Progress):
                        self._note(message)
                    elif isinstance(message, MayPublish):
                        child.answer(self._beat())
                    else:
                        last = message
                if last is not None:
                    break
                self._go_on()
                if time.monotonic() >= memory_at:
                    memory_at = time.monotonic() + _MEMORY_TICK_S
                    found = child.memory_bytes()
                    if found > self.memory_limit_bytes:
                        raise out_of_memory(found, self.memory_limit_bytes)
        except (Interrupted, WorkerError) as stop:
            child.kill()
            return None, stop, False
        finally:
            how = child.close()
        if isinstance(last, Fulfilled):
            return last, None, False
        if isinstance(last, Failed):
            return None, last.error(), False
        return None, TransientError(f"the render's process died: {how}", code="worker.crashed"), True

    def _note(self, progress: Progress) -> None:
        self.percent, self.stage = progress.percent, progress.stage
        if self._heartbeat is not None:
            self._heartbeat.report(progress.percent, progress.stage)

    def _beat(self) -> str:
        return (self._heartbeat.check() if self._heartbeat is not None else Standing.LOST).value

    def _go_on(self) -> None:
        """Raise when there is no point in going on."""
        standing = self._heartbeat.standing if self._heartbeat is not None else Standing.LOST
        if standing is Standing.CANCELLED:
            raise Cancelled
        if standing is Standing.LOST:
            raise LeaseLost
        if self.stopping.is_set() and self._rest_s() > self.rhythm.finish_within_s - self._stopping_s():
            raise ShuttingDown

    def _rest_s(self) -> float:
        """Estimate how long the job still takes; unknown is for ever."""
        if self.percent < 5:
            return float("inf")
        return (time.monotonic() - self.started_at) * (100 - self.percent) / self.percent

    def _stopping_s(self) -> float:
        """Seconds since the worker was first seen to stop."""
        if self._stopping_at is None:
            self._stopping_at = time.monotonic()
        return time.monotonic() - self._stopping_at

    def _finish(self, result: Fulfilled) -> tuple[str, Exception | None]:
        try:
            standing = self.queue.finish(
                self.claim, result=result.result, track=result.track, patience_s=self._patience_s()
            )
        except WorkerError as error:
            return self._settle(error, crashed=False), error
        if standing is Standing.HELD:
            return "completed", None
        if standing is Standing.CANCELLED:
            self._unpublish(result)
        return standing.value, None

    def _unpublish(self, result: Fulfilled) -> None:
        """Take back what a cancelled job has uploaded. A lost job's files belong to whoever has it now."""
        from worker.storage import open_storage

        try:
            storage = open_storage(self.config)
            try:
                for bucket, key in result.uploads:
                    storage.remove(bucket, [key])
            finally:
                storage.close()
        except WorkerError as error:
            logger.bind(event="unpublish.failed", job=self.claim.job_id).warning("unpublish: {}", error.message)

    def _settle(self, error: Exception, crashed: bool) -> str:
        if isinstance(error, LeaseLost):
            return Outcome.LOST.value
        try:
            return self.queue.settle(self.claim, error, crashed=crashed, patience_s=self._patience_s()).value
        except WorkerError as failure:
            # The lease runs out and any worker takes the order up again: nothing is lost.
            logger.bind(event="settle.failed", job=self.claim.job_id).warning("settle: {}", failure.message)
            return Outcome.LOST.value

    def _patience_s(self) -> float:
        return _SHUTDOWN_PATIENCE_S if self.stopping.is_set() else _SETTLE_PATIENCE_S
