"""What is called when a job has ended; and the first of it, the log's summary line."""

from __future__ import annotations

from loguru import logger

from worker.service.runner import JobResult

_FIGURES = ("stages", "lufs", "dbtp", "duration_s", "speech_cache")
_EXPECTED = ("completed", "released", "cancelled")


class JobObserver:
    """Called when jobs end. This one does nothing."""

    def ended(self, result: JobResult) -> None:
        """Called in the job's thread, once the queue has the outcome."""

    def given_up(self, job_id: str) -> None:
        """Called by the loop for a rescued job that has failed as poison; `ended` is not called for it."""


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
