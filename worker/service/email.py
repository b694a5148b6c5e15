"""Write e-mails, and send them through Resend.

No e-mail contains the customer's script, and no error an address.
"""

from __future__ import annotations

import html
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.backoff import RetryPolicy, retry_after_s, with_retries
from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue.claims import Claim
from worker.supabase_access import supabase_of

if TYPE_CHECKING:  # loaded with the first e-mail
    import httpx

_RETRIES = RetryPolicy(failures=3)
_TOTAL_S = 20.0
_LONGEST_MESSAGE = 500
_LONGEST_TITLE = 120


@dataclass(frozen=True)
class Email:
    """An e-mail, ready to send.

    Attributes
    ----------
    key : str
        Idempotency key: within 24 hours, Resend sends requests with the same key once.
    """

    to: str
    subject: str
    text: str
    html: str
    key: str


def ready_email(to: str, *, job_id: str, summary: Mapping[str, object], app_url: str | None) -> Email:
    """Write to the owner that the track is ready. Pure.

    Parameters
    ----------
    summary : mapping
        `JobOutput.summary`, of which this uses title, duration_s and preview_url, if they are there.
    app_url : str or None
        Of the owner's library.
    """
    name = _one_line(str(summary.get("title") or ""), _LONGEST_TITLE)
    called = f"“{name}”" if name else "Your track"
    duration_s = summary.get("duration_s")
    length = f" ({_minutes(duration_s)})" if isinstance(duration_s, float) and duration_s else ""
    line = f"{called}{length} is finished and waiting in your library."
    links = [
        (label, url)
        for label, url in (("Open your library", app_url), ("Hear the preview", summary.get("preview_url")))
        if isinstance(url, str) and url.startswith(("https://", "http://"))
    ]
    return Email(
        to,
        f"{called} is ready",
        "\n\n".join([line, *(f"{label}: {url}" for label, url in links)]) + "\n",
        _page("Your track is ready", [line], links),
        f"track-ready/{job_id}",
    )


def failed_email(
    to: str,
    *,
    job_id: str,
    code: str,
    message: str,
    attempts: int | None,
    track_id: str | None = None,
    user_id: str | None = None,
) -> Email:
    """Write to the operators that a job has failed for good. Pure.

    Parameters
    ----------
    message : str
        The error's line for operators; it must not quote the script.
    """
    code = _one_line(code, _LONGEST_TITLE)
    facts = {
        "Job": job_id,
        "Track": track_id or "none",
        "Customer": user_id or "none",
        "Error": code,
        "Message": _one_line(message, _LONGEST_MESSAGE),
        "Attempts": "unknown" if attempts is None else str(attempts),
    }
    subject = f"Order {job_id} has failed: {code}"
    return _operators_email(to, subject, "An order has failed for good", facts, f"job-failed/{job_id}")


def without_music_email(to: str, claim: Claim, *, message: str) -> Email:
    """Write to the operators that a track was delivered without its music. Pure.

    Parameters
    ----------
    message : str
        Why the music was not available.
    """
    facts = {
        "Job": claim.job_id,
        "Track": claim.track_id or "none",
        "Customer": claim.user_id or "none",
        "Music": _one_line(message, _LONGEST_MESSAGE),
    }
    subject = f"Order {claim.job_id} was delivered without its music"
    heading = "An order was delivered without its music"
    return _operators_email(to, subject, heading, facts, f"job-without-music/{claim.job_id}")


def owner_address(config: Config, user_id: str | None, *, request_s: float) -> str | None:
    """Ask Supabase's auth for a user's address; None if there is no such user, or no address.

    One GET by httpx: the SDK, supabase_auth, takes 18 MB more.

    Raises
    ------
    WorkerError
    ValueError
        If `user_id` is not a UUID.
    """
    supabase = supabase_of(config)
    if supabase is None or user_id is None:
        return None
    url = f"{supabase.origin}/auth/v1/admin/users/{uuid.UUID(user_id)}"

    def ask() -> str | None:
        response = _request("GET", url, "auth", headers=supabase.headers(), timeout=request_s)
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise ConfigurationError(f"auth answers {response.status_code}; check SUPABASE_SERVICE_ROLE_KEY")
        return str(response.json().get("email") or "") or None

    return with_retries(ask, retry_policy=_RETRIES, deadline=time.monotonic() + _TOTAL_S)


def send_email(config: Config, email: Email, *, request_s: float) -> None:
    """Send an e-mail through Resend.

    Parameters
    ----------
    config : Config
        With `resend_api_key` and `resend_from`.
    request_s : float
        Timeout of one request.

    Raises
    ------
    WorkerError
    """
    if config.resend_api_key is None or config.resend_from is None:
        raise ConfigurationError("RESEND_API_KEY and RESEND_FROM are not both set")
    url = f"{config.resend_api_url.rstrip('/')}/emails"
    headers = {"Authorization": f"Bearer {config.resend_api_key.get_secret_value()}", "Idempotency-Key": email.key}
    body = {
        "from": config.resend_from,
        "to": [email.to],
        "subject": email.subject,
        "text": email.text,
        "html": email.html,
    }

    def send() -> None:
        response = _request("POST", url, "Resend", headers=headers, json=body, timeout=request_s)
        name = _error_name(response)
        if response.is_success and name is not None:
            return
        if response.is_success:
            raise TransientError("Resend's answer is not JSON")
        said = f"Resend answers {name or 'an error'} ({response.status_code})"  # its message may quote the address
        raise TransientError(said) if name == "concurrent_idempotent_requests" else ConfigurationError(said)

    with_retries(send, retry_policy=_RETRIES, deadline=time.monotonic() + _TOTAL_S)


def _request(method: str, url: str, service: str, **options: object) -> httpx.Response:
    """Send a request; no answer, 5xx and 429 are transient."""
    import httpx

    try:
        response = httpx.request(method, url, **options)  # type: ignore[arg-type]
    except httpx.HTTPError as error:
        raise TransientError(f"{service} does not answer: {type(error).__name__}") from error
    if response.status_code >= 500 or response.status_code == 429:
        if "quota" in (_error_name(response) or ""):  # Resend's daily and monthly quotas
            raise ConfigurationError(f"{service} answers {_error_name(response)} ({response.status_code})")
        raise TransientError(
            f"{service} answers {response.status_code}",
            retry_after_s=retry_after_s(response.headers.get("retry-after")),
        )
    return response


def _error_name(response: httpx.Response) -> str | None:
    """Read the `name` of Resend's error; empty if there is none, None if the body is not JSON."""
    try:
        body = response.json()
    except ValueError:
        return None
    return str(body.get("name", "")) if isinstance(body, dict) else ""


def _operators_email(to: str, subject: str, heading: str, facts: Mapping[str, str], key: str) -> Email:
    lines = [f"{name}: {value}" for name, value in facts.items()]
    return Email(to, subject, f"{heading}.\n\n" + "\n".join(lines) + "\n", _page(heading, lines, []), key)


def _page(heading: str, lines: list[str], links: list[tuple[str, str]]) -> str:
    paragraphs = [f"<p>{html.escape(line)}</p>" for line in lines]
    paragraphs += [f'<p><a href="{html.escape(url)}">{html.escape(label)}</a></p>' for label, url in links]
    return (
        '<!doctype html><html lang="en"><body style="font-family:sans-serif;line-height:1.5;color:#222">'
        f'<h1 style="font-size:1.2em">{html.escape(heading)}</h1>{"".join(paragraphs)}</body></html>'
    )


def _one_line(text: str, longest: int) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]


def _minutes(seconds: float) -> str:
    whole = round(seconds / 60)
    if whole < 1:
        return "under a minute"
    return f"{whole} minute{'s' if whole > 1 else ''}"
