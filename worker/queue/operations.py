"""What operators do with the queue: stop, repeat, purge and order jobs, pause all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta

from worker.errors import ConfigurationError
from worker.queue.claims import Attempt, CustomerJob, Forgotten, Handled, QueueState

ENDED = ("completed", "failed", "cancelled")


class NeedsMigrationError(ConfigurationError):
    """Plain mode has no place for what was asked."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs the worker's own columns and functions, and this database has the app's only (plain mode); "
            "run `mindscript-worker migrate`",
            code="configuration.function",
        )


class Operations(ABC):
    """Every method works on both transports, and is fenced as the worker's writes are.

    `ids` are whole ids; the answers have each of them. Each job is written on its own, so one that the app's triggers
    refuse keeps no other one back.
    """

    @abstractmethod
    def attempts(self, job_id: str) -> list[Attempt]:
        """The job's attempts that have ended, oldest first, the last hundred of them.

        Raises
        ------
        NeedsMigrationError
            In plain mode the log is all there is.
        """

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        """Cancel jobs that wait or run; a running one is stopped by its worker within 5 s."""

    @abstractmethod
    def retry(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        """Make failed and cancelled jobs pending again, with five fresh attempts."""

    @abstractmethod
    def purge(self, ids: Sequence[str]) -> Mapping[str, Handled]:
        """Remove payload and attempts of ended jobs; their rows stay, with status, result and error. Never a track."""

    @abstractmethod
    def purge_older(self, than: timedelta, *, at_most: int | None = None) -> int:
        """Purge the jobs that ended before, some hundred in a transaction; returns how many there were."""

    @abstractmethod
    def customer_jobs(self, user_id: str, *, limit: int = 200) -> list[CustomerJob]:
        """Jobs of a customer that have not been purged."""

    def forget(self, user_id: str) -> Forgotten:
        """Cancel a customer's jobs that wait or run, and purge all of them; tracks stay.

        What a running job's worker still holds in memory goes when it has stopped, within 5 s.
        """
        jobs: dict[str, CustomerJob] = {}
        cancelled: dict[str, Handled] = {}
        purged: list[str] = []
        left: dict[str, Handled] = {}
        while found := [job for job in self.customer_jobs(user_id) if job.job_id not in jobs]:
            jobs |= {job.job_id: job for job in found}
            cancelled |= self.cancel([job.job_id for job in found if job.status not in ENDED])
            for job_id, each in self.purge([job.job_id for job in found]).items():
                if each.done:
                    purged.append(job_id)
                else:
                    left[job_id] = each
        return Forgotten(tuple(jobs.values()), tuple(purged), cancelled, left)

    @abstractmethod
    def pause_queue(self, reason: str, *, by: str) -> None:
        """Hand out no claim any more; running jobs finish.

        Raises
        ------
        NeedsMigrationError
            In plain mode.
        """

    @abstractmethod
    def resume_queue(self) -> bool:
        """Hand out claims again, and notify the workers; False if the queue was not paused.

        Raises
        ------
        NeedsMigrationError
            In plain mode.
        """

    @abstractmethod
    def queue_state(self) -> QueueState:
        """Whether the queue is paused, and what is in it; in plain mode it never is."""

    @abstractmethod
    def set_priority(self, ids: Sequence[str], priority: int) -> Mapping[str, Handled]:
        """Set the priority of jobs that have not ended; higher ones are claimed first, 0 is usual.

        Raises
        ------
        NeedsMigrationError
            In plain mode.
        ValueError
            If it is not one of `PRIORITIES`.
        """
