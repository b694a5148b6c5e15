"""Letters, through Resend: "your track is ready" to its owner; to the operators, that an order has failed, or has been
made without its music.

A letter is never the cause of a failed order: `_quietly` is the one place where its failures end, in the log.
No letter has the customer's script in it, and no log line an address.
"""

from __future__ import annotations

import html
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger

from worker.backoff import RetryPolicy, retry_after_s, with_retries
from worker.config import Config
from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.supabase_access import supabase_of

_PATIENCE = RetryPolicy(failures=3)
_TOTAL_S = 20.0
_REQUEST_S = 8.0
_LONGEST_MESSAGE = 500
_LONGEST_TITLE = 120
# The SDK keeps its key, address and client in module globals.
_sdk = threading.Lock()


@dataclass(frozen=True)
class Email:
    """A letter, ready to go.

    Attributes
    ----------
    key : str
        Resend sends the same key once within 24 hours, however often it is asked.
    """

    to: str
    subject: str
    text: str
    html: str
    key: str


def notify_ready(
    config: Config,
    *,
    job_id: str,
    user_id: str | None,
    title: str | None = None,
    duration_s: float | None = None,
    preview_url: str | None = None,
) -> bool:
    """Tell the owner that the track is ready; whether a letter went out. Raises nothing.

    Does nothing unless RESEND_API_KEY and RESEND_FROM are set. The address comes from Supabase's auth, by
    `user_id`.

    Parameters
    ----------
    title : str, optional
        The track's own, as its owner named it.
    """

    def send() -> bool:
        address = _owner_address(config, user_id)
        if address is None:
            logger.info("job {}: no letter, its owner has no address", job_id)
            return False
        letter = ready_email(
            address,
            job_id=job_id,
            title=title,
            duration_s=duration_s,
            preview_url=preview_url,
            app_url=config.app_url,
        )
        _send(config, letter)
        return True

    return _quietly(config, job_id, send)


def notify_failed(
    config: Config,
    *,
    job_id: str,
    code: str,
    message: str,
    attempts: int | None,
    track_id: str | None = None,
    user_id: str | None = None,
) -> bool:
    """Tell OPS_EMAIL that an order has failed for good; whether a letter went out. Raises nothing.

    Parameters
    ----------
    message : str
        The error's line for operators; it must not quote the script.
    """
    if config.ops_email is None:
        return False
    to = config.ops_email

    def send() -> bool:
        letter = failed_email(
            to,
            job_id=job_id,
            code=code,
            message=message,
            attempts=attempts,
            track_id=track_id,
            user_id=user_id,
        )
        _send(config, letter)
        return True

    return _quietly(config, job_id, send)


def notify_without_music(
    config: Config, *, job_id: str, message: str, track_id: str | None = None, user_id: str | None = None
) -> bool:
    """Tell OPS_EMAIL that an order was delivered without its music; whether a letter went out. Raises nothing.

    Parameters
    ----------
    message : str
        Why the music could not be had, for operators.
    """
    if config.ops_email is None:
        return False
    to = config.ops_email

    def send() -> bool:
        _send(config, without_music_email(to, job_id=job_id, message=message, track_id=track_id, user_id=user_id))
        return True

    return _quietly(config, job_id, send)


def ready_email(
    to: str,
    *,
    job_id: str,
    title: str | None,
    duration_s: float | None,
    preview_url: str | None,
    app_url: str | None,
) -> Email:
    """Write the owner's letter. Pure."""
    name = _one_line(title or "", _LONGEST_TITLE)
    called = f"“{name}”" if name else "Your track"
    length = f" ({_minutes(duration_s)})" if duration_s else ""
    lines = [f"{called}{length} is finished and waiting in your library."]
    links = [
        (label, url)
        for label, url in (("Open your library", app_url), ("Hear the preview", preview_url))
        if url and url.startswith(("https://", "http://"))
    ]
    return Email(
        to,
        f"{called} is ready" if name else "Your track is ready",
        "\n\n".join([*lines, *(f"{label}: {url}" for label, url in links)]) + "\n",
        _page("Your track is ready", lines, links),
        f"track-ready/{job_id}",
    )


def failed_email(
    to: str,
    *,
    job_id: str,
    code: str,
    message: str,
    attempts: int | None,
    track_id: str | None,
    user_id: str | None,
) -> Email:
    """Write the operators' letter. Pure."""
    facts = {
        "Job": job_id,
        "Track": track_id or "none",
        "Customer": user_id or "none",
        "Error": _one_line(code, _LONGEST_TITLE),
        "Message": _one_line(message, _LONGEST_MESSAGE),
        "Attempts": "unknown" if attempts is None else str(attempts),
    }
    return _ops_letter(
        to,
        f"Order {job_id} has failed: {facts['Error']}",
        "An order has failed for good",
        facts,
        f"job-failed/{job_id}",
    )


def without_music_email(to: str, *, job_id: str, message: str, track_id: str | None, user_id: str | None) -> Email:
    """Write the operators' letter about a track that was delivered without its music. Pure."""
    facts = {
        "Job": job_id,
        "Track": track_id or "none",
        "Customer": user_id or "none",
        "Music": _one_line(message, _LONGEST_MESSAGE),
    }
    subject = f"Order {job_id} was delivered without its music"
    return _ops_letter(to, subject, "An order was delivered without its music", facts, f"job-without-music/{job_id}")


def _ops_letter(to: str, subject: str, heading: str, facts: Mapping[str, str], key: str) -> Email:
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


def _quietly(config: Config, job_id: str, send: Callable[[], bool]) -> bool:
    if config.resend_api_key is None or config.resend_from is None:
        return False
    try:
        sent = send()
    except (WorkerError, ImportError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        # TypeError, KeyError, AttributeError: an answer, or an SDK, of another shape than we know.
        said = error.message if isinstance(error, WorkerError) else type(error).__name__
        logger.warning("job {}: no letter: {}", job_id, said)
        return False
    if sent:
        logger.info("job {}: letter sent", job_id)
    return sent


def _owner_address(config: Config, user_id: str | None) -> str | None:
    """Ask Supabase's auth admin API; over httpx, since supabase_auth costs 18 MB more for this one GET."""
    supabase = supabase_of(config)
    if supabase is None or user_id is None:
        return None
    import httpx

    url = f"{supabase.origin}/auth/v1/admin/users/{uuid.UUID(user_id)}"

    def ask() -> str | None:
        try:
            response = httpx.get(url, headers=supabase.headers(), timeout=_REQUEST_S)
        except httpx.HTTPError as error:
            raise TransientError(f"auth does not answer: {type(error).__name__}") from error
        if response.status_code == 404:
            return None
        if response.status_code >= 500 or response.status_code == 429:
            raise TransientError(
                f"auth answers {response.status_code}",
                retry_after_s=retry_after_s(response.headers.get("retry-after")),
            )
        if response.status_code != 200:
            raise ConfigurationError(f"auth answers {response.status_code}; check SUPABASE_SERVICE_ROLE_KEY")
        return str(response.json().get("email") or "") or None

    return with_retries(ask, retry_policy=_PATIENCE, deadline=time.monotonic() + _TOTAL_S)


def _send(config: Config, letter: Email) -> None:
    with_retries(lambda: _send_once(config, letter), retry_policy=_PATIENCE, deadline=time.monotonic() + _TOTAL_S)


def _send_once(config: Config, letter: Email) -> None:
    try:
        import resend
        from resend.exceptions import NoContentError, ResendError
    except ImportError:
        raise ConfigurationError("RESEND_API_KEY is set, but the extra [mail] is not installed") from None
    assert config.resend_api_key is not None  # noqa: S101 - _quietly saw to both
    assert config.resend_from is not None  # noqa: S101
    with _sdk:
        resend.api_key = config.resend_api_key.get_secret_value()
        resend.api_url = config.resend_api_url.rstrip("/")
        resend.default_http_client = _client()
        try:
            resend.Emails.send(
                {
                    "from": config.resend_from,
                    "to": [letter.to],
                    "subject": letter.subject,
                    "text": letter.text,
                    "html": letter.html,
                },
                {"idempotency_key": letter.key},
            )
        except ResendError as error:
            status = int(error.code) if str(error.code).isdecimal() else 0
            said = f"Resend answers {error.error_type} ({error.code})"  # its message may quote the address
            passing = status >= 500 or status == 429 or error.error_type == "concurrent_idempotent_requests"
            if passing and "quota" not in str(error.error_type):
                wait_s = retry_after_s((error.headers or {}).get("retry-after"))
                raise TransientError(said, retry_after_s=wait_s) from error
            raise ConfigurationError(said) from error
        except NoContentError as error:
            raise TransientError("Resend answers nothing") from error


def _client() -> Any:
    """The SDK's own client, over requests, has one limit for everything, of 30 s; ours is the worker's
    httpx.
    """
    import httpx
    from resend.http_client import HTTPClient

    class Client(HTTPClient):
        def request(
            self,
            method: str,
            url: str,
            headers: Mapping[str, str],
            json: Any = None,
            files: Any = None,
            data: Any = None,
        ) -> tuple[bytes, int, Mapping[str, str]]:
            del files, data  # no letter has any
            response = httpx.request(method, url, headers=dict(headers), json=json, timeout=_REQUEST_S)
            return response.content, response.status_code, response.headers

    return Client()
