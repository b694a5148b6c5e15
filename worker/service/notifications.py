"""E-mails about jobs: to the owner when a track is ready; to the operators when a job has failed for good, or its track
was delivered without its music.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from loguru import logger

from worker.config import Config
from worker.errors import WorkerError
from worker.queue.claims import JobRow
from worker.service.email import Email, failed_email, owner_address, ready_email, send_email, without_music_email
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
        claim, to, summary = result.claim, self._config.ops_email, result.summary
        if result.outcome == "completed":
            self._start(claim.job_id, lambda: self._ready_email(result))
            if to is not None and summary.get("without_music") is not None:
                why = str(summary["without_music"])
                self._start(claim.job_id, lambda: without_music_email(to, claim, message=why))
        elif to is not None and result.outcome in ("failed", "poison"):
            code = "poison" if result.outcome == "poison" else getattr(result.error, "code", "error")
            self._start(
                claim.job_id,
                lambda: failed_email(
                    to,
                    job_id=claim.job_id,
                    code=code,
                    message=str(result.error or ""),
                    attempts=claim.attempt,
                    track_id=claim.track_id,
                    user_id=claim.user_id,
                ),
            )

    def given_up(self, job_id: str) -> None:
        """Tell the operators of a job that was given up after its workers had died."""
        if (to := self._config.ops_email) is not None:
            self._start(job_id, lambda: self._given_up_email(to, job_id))

    def _ready_email(self, result: JobResult) -> Email | None:
        address = owner_address(self._config, result.claim.user_id, request_s=self._request_s)
        if address is None:
            logger.info("job {}: no e-mail, its owner has no address", result.claim.job_id)
            return None
        return ready_email(address, job_id=result.claim.job_id, summary=result.summary, app_url=self._config.app_url)

    def _given_up_email(self, to: str, job_id: str) -> Email:
        try:
            row = self._find(job_id)
        except WorkerError:
            row = None
        return failed_email(
            to,
            job_id=job_id,
            code=(row.error_code if row is not None else None) or "poison",
            message="the workers that had it have died over it too often",
            attempts=row.attempt if row is not None else None,
            track_id=row.track_id if row is not None else None,
        )

    def _start(self, job_id: str, write: Callable[[], Email | None]) -> None:
        threading.Thread(target=self._send, args=(job_id, write), name="e-mail").start()

    def _send(self, job_id: str, write: Callable[[], Email | None]) -> bool:
        """Write and send an e-mail; return whether it was sent. Every failure ends here, in the log."""
        if self._config.resend_api_key is None or self._config.resend_from is None:
            return False
        try:
            email = write()
            if email is None:
                return False
            send_email(self._config, email, request_s=self._request_s)
        except (WorkerError, OSError, ValueError, TypeError, AttributeError) as error:
            # TypeError, AttributeError: a service's answer has an unexpected shape.
            reason = error.message if isinstance(error, WorkerError) else type(error).__name__
            logger.warning("job {}: no e-mail: {}", job_id, reason)
            return False
        logger.info("job {}: e-mail sent", job_id)
        return True
