"""What is called when a job has ended; and the first of it, the log's summary line."""

from __future__ import annotations

from loguru import logger

from worker.queue.claims import Cause
from worker.service.runner import JobResult

_FIGURES = ("stages", "lufs", "dbtp", "duration_s", "speech_cache")
_EXPECTED = ("completed", "released", "parked", "cancelled")


class JobObserver:
    """Called when jobs end, and when something must be fixed for them. This one does nothing."""

    def ended(self, result: JobResult) -> None:
        """Called in the job's thread, once the queue has the outcome."""

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        """Called by the loop for a job that no worker has now; `ended` is not called for it.

        Its outcome is poison, or failed, since it was parked for too long; `why` is for operators.
        """

    def must_be_fixed(self, cause: Cause) -> None:
        """Called once for each cause that jobs wait for, by each worker."""

    def fixed(self, cause: Cause) -> None:
        """Called once when no job waits for it any more."""


class JobLog(JobObserver):
    """Logs one line for each job: attempt, outcome, stage times, loudness, peak."""

    def ended(self, result: JobResult) -> None:
        """Log the line."""
        claim, error = result.claim, result.error
        line = logger.bind(
            event="job",
            job=claim.job_id,
            track=claim.track_id,
            attempt=claim.attempt,
            outcome=result.outcome,
            seconds=round(result.seconds, 3),
            waited_s=round(claim.waited_s, 3),
            **{name: result.summary[name] for name in _FIGURES if name in result.summary},
            **({} if error is None else {"code": getattr(error, "code", type(error).__name__)}),
        )
        reason = f": {error}" if error is not None and str(error) else ""
        level = "INFO" if result.outcome in _EXPECTED else "WARNING"
        line.log(level, "job {} {} in {:.2f} s{}", claim.job_id, result.outcome, result.seconds, reason)
