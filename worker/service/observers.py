"""The one line in the log that tells how a job went."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loguru import logger

from worker.logs import where
from worker.service.runner import JobResult
from worker.service.worker import JobObserver

_FIGURES = ("stages", "lufs", "dbtp", "duration_s", "speech_cache")
_AS_IT_SHOULD = ("completed", "released", "cancelled")


class JobLog(JobObserver):
    """Writes it: order, attempt, stage times, loudness, peak, outcome."""

    def ended(self, ended: JobResult) -> None:
        """Write the line of one job."""
        claim, error = ended.claim, ended.error
        line = logger.bind(
            event="job",
            job=claim.job_id,
            track=claim.track_id,
            attempt=claim.attempt,
            outcome=ended.outcome,
            seconds=round(ended.seconds, 3),
            waited_s=round(claim.waited_s, 3),
            **{name: ended.summary[name] for name in _FIGURES if name in ended.summary},
            **({} if error is None else {"code": getattr(error, "code", type(error).__name__)}),
        )
        reason = f": {error}" if error is not None and str(error) else ""
        level = "INFO" if ended.outcome in _AS_IT_SHOULD else "WARNING"
        line.log(level, "job {} {} in {:.2f} s{}", claim.job_id, ended.outcome, ended.seconds, reason)


class JobObservers(JobObserver):
    """Several at once; one that fails does not keep the others from hearing.

    Parameters
    ----------
    watches : sequence of Watch
        May grow while nobody works yet.
    """

    def __init__(self, watches: Sequence[JobObserver]) -> None:
        self._watches = watches

    def ended(self, ended: JobResult) -> None:
        """Tell all of them."""
        self._tell(lambda watch: watch.ended(ended))

    def given_up(self, job_id: str) -> None:
        """Tell all of them."""
        self._tell(lambda watch: watch.given_up(job_id))

    def _tell(self, tell: Callable[[JobObserver], None]) -> None:
        for watch in self._watches:
            try:
                tell(watch)
            except Exception as error:  # noqa: BLE001 - a letter or a metric must not cost anything
                name = type(watch).__name__
                logger.bind(event="watch.bug").opt(exception=error).error("{} failed: {}", name, where(error))
