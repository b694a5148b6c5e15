"""E-mails about jobs, through Resend: to the owner when a track is ready; to the operators when a job has failed for
good, when its track was delivered without its music, and when jobs wait for something that must be fixed.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger

from worker.backoff import RetryPolicy, retry_after_s, with_retries
from worker.config import Config
from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.queue.claims import Cause, JobRow
from worker.queue.retry import LIMIT_CODE
from worker.service.email import Email, cause_email, failed_email, ready_email, without_music_email
from worker.service.observers import JobObserver
from worker.service.runner import JobResult
from worker.supabase_access import supabase_of

if TYPE_CHECKING:  # loaded with the first e-mail
    import httpx

_RETRIES = RetryPolicy(failures=3)
_TOTAL_S = 20.0

T = TypeVar("T")


class EmailNotifier(JobObserver):
    """Sends e-mails, each in a thread of its own, so that no job waits for one.

    Nothing is sent unless RESEND_API_KEY and RESEND_FROM are set, and nothing to operators without OPS_EMAIL. An e-mail
    that cannot be sent is logged, without an address, and changes nothing else. `find` looks up the row of a job that
    was given up; `request_s` is the timeout of one request.
    """

    def __init__(
        self,
        config: Config,
        find: Callable[[str], JobRow | None],
        *,
        request_s: float = 8.0,
        retry_policy: RetryPolicy = _RETRIES,
    ) -> None:
        self._config = config
        self._find = find
        self._request_s = request_s
        self._retry_policy = retry_policy

    def ended(self, result: JobResult) -> None:
        """Send what the outcome calls for."""
        claim, to = result.claim, self._config.ops_email
        job = f"job {claim.job_id}"
        why = result.summary.get("without_music")
        if result.outcome == "completed":
            self._start(job, lambda: self._ready_email(result))
            if to is not None and why is not None:
                self._start(job, lambda: without_music_email(to, claim, message=str(why)))
        elif to is not None and result.outcome in ("failed", "poison"):
            self._start(
                job,
                lambda: failed_email(
                    to,
                    job_id=claim.job_id,
                    code="poison" if result.outcome == "poison" else getattr(result.error, "code", "error"),
                    message=str(result.error or ""),
                    attempts=claim.attempt,
                    track_id=claim.track_id,
                    user_id=claim.user_id,
                ),
            )

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        """Tell the operators of a job that failed without a worker."""
        if (to := self._config.ops_email) is not None:
            self._start(f"job {job_id}", lambda: self._given_up_email(to, job_id, outcome, why))

    def must_be_fixed(self, cause: Cause) -> None:
        """Tell the operators of a new cause."""
        self._write_of(cause, is_fixed=False)

    def fixed(self, cause: Cause) -> None:
        """Tell the operators that it is gone."""
        self._write_of(cause, is_fixed=True)

    def _write_of(self, cause: Cause, *, is_fixed: bool) -> None:
        if (to := self._config.ops_email) is not None:
            self._start(f"cause {cause.name}", lambda: cause_email(to, cause, is_fixed=is_fixed))

    def _ready_email(self, result: JobResult) -> Email | None:
        address = self._owner_address(result.claim.user_id)
        if address is None:
            logger.info("job {}: no e-mail, its owner has no confirmed address", result.claim.job_id)
            return None
        return ready_email(address, job_id=result.claim.job_id, summary=result.summary, app_url=self._config.app_url)

    def _given_up_email(self, to: str, job_id: str, outcome: str, why: str) -> Email:
        try:
            row = self._find(job_id)
        except WorkerError:
            row = None
        return failed_email(
            to,
            job_id=job_id,
            code=(row.error_code if row else None) or ("poison" if outcome == "poison" else LIMIT_CODE),
            message=why,
            attempts=row.attempt if row else None,
            track_id=row.track_id if row else None,
        )

    def _start(self, about: str, write: Callable[[], Email | None]) -> None:
        threading.Thread(target=self._send, args=(about, write), name="e-mail").start()

    def _send(self, about: str, write: Callable[[], Email | None]) -> bool:
        """Write and send an e-mail; return whether it was sent. Every failure ends here, in the log."""
        key, sender = self._config.resend_api_key, self._config.resend_from
        if key is None or sender is None:
            return False
        try:
            email = write()
            if email is None:
                return False
            body = {"from": sender, "to": [email.to], "subject": email.subject, "text": email.text, "html": email.html}
            headers = {"Authorization": f"Bearer {key.get_secret_value()}", "Idempotency-Key": email.key}
            self._repeated(lambda: self._post(headers, body))
        except (WorkerError, OSError, ValueError, TypeError, AttributeError) as error:
            # TypeError, AttributeError: a service's answer has an unexpected shape.
            reason = error.message if isinstance(error, WorkerError) else type(error).__name__
            logger.warning("{}: no e-mail: {}", about, reason)
            return False
        logger.info("{}: e-mail sent", about)
        return True

    def _post(self, headers: dict[str, str], body: Mapping[str, object]) -> None:
        url = f"{self._config.resend_api_url.rstrip('/')}/emails"
        response = self._request("POST", url, "Resend", headers=headers, json=body)
        name = _error_name(response)
        if not response.is_success:
            said = f"Resend answers {name or 'an error'} ({response.status_code})"  # its message may quote the address
            raise TransientError(said) if name == "concurrent_idempotent_requests" else ConfigurationError(said)
        if name is None:
            raise TransientError("Resend's answer is not JSON")

    def _owner_address(self, user_id: str | None) -> str | None:
        """Ask Supabase's auth for a user's address; None if there is no such user, no address, or it is not confirmed.

        Anybody can sign up with a stranger's address. `confirmed_at` says nothing of it: a phone sets it, too.

        One GET by httpx: the SDK, supabase_auth, takes 18 MB more.
        """
        supabase = supabase_of(self._config)
        if supabase is None or user_id is None:
            return None
        url = f"{supabase.origin}/auth/v1/admin/users/{uuid.UUID(user_id)}"
        response = self._repeated(lambda: self._request("GET", url, "auth", headers=supabase.headers()))
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise ConfigurationError(f"auth answers {response.status_code}; check SUPABASE_SERVICE_ROLE_KEY")
        user = response.json()
        is_confirmed = bool(user.get("email_confirmed_at")) and not user.get("deleted_at")
        return str(user.get("email") or "") or None if is_confirmed else None

    def _repeated(self, action: Callable[[], T]) -> T:
        return with_retries(action, retry_policy=self._retry_policy, deadline=time.monotonic() + _TOTAL_S)

    def _request(self, method: str, url: str, service: str, **options: Any) -> httpx.Response:
        """Send a request; no answer, 5xx and 429 are transient, but Resend's daily and monthly quotas are not."""
        import httpx

        from worker.tls_context import TLS_CONTEXT

        try:
            response = httpx.request(method, url, timeout=self._request_s, verify=TLS_CONTEXT, **options)
        except httpx.HTTPError as error:
            raise TransientError(f"{service} does not answer: {type(error).__name__}") from error
        if response.status_code >= 500 or response.status_code == 429:
            if "quota" in (_error_name(response) or ""):
                raise ConfigurationError(f"{service} answers {_error_name(response)} ({response.status_code})")
            wait_s = retry_after_s(response.headers.get("retry-after"))
            raise TransientError(f"{service} answers {response.status_code}", retry_after_s=wait_s)
        return response


def _error_name(response: httpx.Response) -> str | None:
    """Read the `name` of Resend's error; empty if there is none, None if the body is not JSON."""
    try:
        body = response.json()
    except ValueError:
        return None
    return str(body.get("name", "")) if isinstance(body, dict) else ""
