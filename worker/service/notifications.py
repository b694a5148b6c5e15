"""E-mails about jobs: to the owner when a track is ready; to the operators when a job has failed for good, or its track
was delivered without its music.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from loguru import logger

from worker.config import Config
from worker.errors import WorkerError
from worker.queue.claims import JobRow
from worker.service.email import (
    Email,
    failed_email,
    owner_address,
    ready_email,
    send_email,
    without_music_email,
)
from worker.service.observers import JobObserver
from worker.service.runner import JobResult


class EmailNotifier(JobObserver):
    """Sends e-mails, each in a thread of its own, so that no job waits for one.

    Nothing is sent unless RESEND_API_KEY and RESEND_FROM are set, and nothing to operators without OPS_EMAIL. An e-mail
    that cannot be sent is logged, and changes nothing else.

    Parameters
    ----------
    config : Config
    find : callable
        Looks up the row of a job that was given up.
    request_s : float
        Timeout of one request.
    """

    def __init__(self, config: Config, find: Callable[[str], JobRow | None], *, request_s: float = 8.0) -> None:
        self._config = config
        self._find = find
        self._request_s = request_s

    def ended(self, result: JobResult) -> None:
        """Send what the outcome calls for."""
        if result.outcome == "completed":
            self._start(lambda: self._completed(result))
        elif result.outcome in ("failed", "poison"):
            claim = result.claim
            self._start(
                lambda: self.notify_failed(
                    claim.job_id,
                    code="poison" if result.outcome == "poison" else getattr(result.error, "code", "error"),
                    message=str(result.error or ""),
                    attempts=claim.attempt,
                    track_id=claim.track_id,
                    user_id=claim.user_id,
                )
            )

    def given_up(self, job_id: str) -> None:
        """Tell the operators of a job that was given up after its workers had died."""
        self._start(lambda: self._given_up(job_id))

    def notify_ready(
        self,
        job_id: str,
        *,
        user_id: str | None,
        title: str | None = None,
        duration_s: float | None = None,
        preview_url: str | None = None,
    ) -> bool:
        """Tell the owner that the track is ready; return whether an e-mail was sent. Raises nothing.

        The address comes from Supabase's auth, by `user_id`.
        """

        def write() -> Email | None:
            address = owner_address(self._config, user_id, request_s=self._request_s)
            if address is None:
                logger.info("job {}: no e-mail, its owner has no address", job_id)
                return None
            return ready_email(
                address,
                job_id=job_id,
                title=title,
                duration_s=duration_s,
                preview_url=preview_url,
                app_url=self._config.app_url,
            )

        return self._send(job_id, write)

    def notify_failed(
        self,
        job_id: str,
        *,
        code: str,
        message: str,
        attempts: int | None,
        track_id: str | None = None,
        user_id: str | None = None,
    ) -> bool:
        """Tell the operators that a job has failed for good; return whether an e-mail was sent. Raises nothing."""
        to = self._config.ops_email
        return to is not None and self._send(
            job_id,
            lambda: failed_email(
                to,
                job_id=job_id,
                code=code,
                message=message,
                attempts=attempts,
                track_id=track_id,
                user_id=user_id,
            ),
        )

    def notify_without_music(
        self, job_id: str, *, message: str, track_id: str | None = None, user_id: str | None = None
    ) -> bool:
        """Tell the operators of a track without its music; return whether an e-mail was sent. Raises nothing."""
        to = self._config.ops_email
        return to is not None and self._send(
            job_id,
            lambda: without_music_email(to, job_id=job_id, message=message, track_id=track_id, user_id=user_id),
        )

    def _completed(self, result: JobResult) -> None:
        claim, summary = result.claim, result.summary
        self.notify_ready(
            claim.job_id,
            user_id=claim.user_id,
            title=_text(summary, "title"),
            duration_s=_number(summary, "duration_s"),
            preview_url=_text(summary, "preview_url"),
        )
        if (why := _text(summary, "without_music")) is not None:
            self.notify_without_music(claim.job_id, message=why, track_id=claim.track_id, user_id=claim.user_id)

    def _given_up(self, job_id: str) -> None:
        try:
            row = self._find(job_id)
        except WorkerError:
            row = None
        self.notify_failed(
            job_id,
            code=(row.error_code if row is not None else None) or "poison",
            message="the workers that had it have died over it too often",
            attempts=row.attempt if row is not None else None,
            track_id=row.track_id if row is not None else None,
        )

    def _start(self, notify: Callable[[], object]) -> None:
        threading.Thread(target=notify, name="e-mail").start()

    def _send(self, job_id: str, write: Callable[[], Email | None]) -> bool:
        """Write and send an e-mail; every failure ends here, in the log."""
        if self._config.resend_api_key is None or self._config.resend_from is None:
            return False
        try:
            email = write()
            if email is None:
                return False
            send_email(self._config, email, request_s=self._request_s)
        except (WorkerError, OSError, ValueError, TypeError, AttributeError) as error:
            # TypeError, AttributeError: a service's answer has an unexpected shape.
            said = error.message if isinstance(error, WorkerError) else type(error).__name__
            logger.warning("job {}: no e-mail: {}", job_id, said)
            return False
        logger.info("job {}: e-mail sent", job_id)
        return True


def _text(summary: Mapping[str, object], name: str) -> str | None:
    value = summary.get(name)
    return value if isinstance(value, str) else None


def _number(summary: Mapping[str, object], name: str) -> float | None:
    value = summary.get(name)
    return value if isinstance(value, float) else None
