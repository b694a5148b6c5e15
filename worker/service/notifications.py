"""When a letter is written: to the owner of a finished track, to the operators when an order has failed or has been
made without its music.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from worker.config import Config
from worker.errors import WorkerError
from worker.queue.claims import JobRow
from worker.service.email import notify_failed, notify_ready, notify_without_music
from worker.service.runner import JobResult
from worker.service.worker import JobObserver


class EmailNotifier(JobObserver):
    """Writes each in a thread of its own: the post never holds up a job.

    Parameters
    ----------
    config : Config
    find : callable
        Looks up an order that was given up: there was no job of ours to tell about it.
    """

    def __init__(self, config: Config, find: Callable[[str], JobRow | None]) -> None:
        self._config = config
        self._find = find

    def ended(self, ended: JobResult) -> None:
        """Write, if there is something to say."""
        if ended.outcome in ("completed", "failed", "poison"):
            threading.Thread(target=self._write, args=(ended,), name="letter").start()

    def given_up(self, job_id: str) -> None:
        """Write to the operators of an order that its workers have died over."""
        threading.Thread(target=self._write_of_the_dead, args=(job_id,), name="letter").start()

    def _write_of_the_dead(self, job_id: str) -> None:
        try:
            row = self._find(job_id)
        except WorkerError:
            row = None
        notify_failed(
            self._config,
            job_id=job_id,
            code=(row.error_code if row is not None else None) or "poison",
            message="the workers that had it have died over it too often",
            attempts=row.attempt if row is not None else None,
            track_id=row.track_id if row is not None else None,
        )

    def _write(self, ended: JobResult) -> None:
        claim = ended.claim
        if ended.outcome == "completed":
            notify_ready(
                self._config,
                job_id=claim.job_id,
                user_id=claim.user_id,
                title=_text(ended.summary, "title"),
                duration_s=_number(ended.summary, "duration_s"),
                preview_url=_text(ended.summary, "preview_url"),
            )
            if (why := _text(ended.summary, "without_music")) is not None:
                notify_without_music(
                    self._config,
                    job_id=claim.job_id,
                    message=why,
                    track_id=claim.track_id,
                    user_id=claim.user_id,
                )
            return
        notify_failed(
            self._config,
            job_id=claim.job_id,
            code="poison" if ended.outcome == "poison" else getattr(ended.error, "code", "error"),
            message=str(ended.error or ""),
            attempts=claim.attempt,
            track_id=claim.track_id,
            user_id=claim.user_id,
        )


def _text(summary: Mapping[str, object], name: str) -> str | None:
    value = summary.get(name)
    return value if isinstance(value, str) else None


def _number(summary: Mapping[str, object], name: str) -> float | None:
    value = summary.get(name)
    return value if isinstance(value, float) else None
