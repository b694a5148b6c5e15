"""What cloud voices answer when they do not speak, sorted as the queue needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.backoff import retry_after_s
from worker.errors import ConfigurationError, JobError, TransientError, WorkerError

_QUOTA_WORDS = ("insufficient_quota", "quota_exceeded", "exceeded your current quota", "payment_required", "billing")
_VOICE_WORDS = ("voice_not_found", "voice_id", "voice does not exist", "invalid voice", "voice_does_not_exist")
_MODEL_WORDS = ("model_not_found", "unsupported_model", "invalid_model")
_KEY_STATUSES = (401, 402, 403)
_PASSING_STATUSES = (408, 409, 425, 429)
_WRITTEN = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
ENOUGH_TO_TELL = 32
_UNTYPED = ("application/octet-stream", "binary/octet-stream")
_LONGEST_REASON = 200
_A_QUOTE = 16  # characters of the script in a row


def refusal(
    provider: str, variable: str, status: int, body: Any, headers: Mapping[str, str], *, voice_id: str, text: str
) -> WorkerError:
    """Turn an HTTP refusal into the error that says who can mend it.

    Parameters
    ----------
    provider : str
        openai or elevenlabs.
    variable : str
        Name of the key's variable.
    status : int
        HTTP status.
    body : object
        JSON or text; only the service's own reason is taken from it.
    headers : mapping
        Of the answer.
    voice_id : str
        For messages.
    text : str
        What was to be spoken: a reason that quotes it is not passed on.
    """
    reason = _reason(body)
    words = f"{reason} {json.dumps(body, default=str) if isinstance(body, dict | list) else ''}".lower()
    if _quotes(reason, text):
        reason = ""
    says = f"{provider} answered {status}" + (f": {reason}" if reason else "")
    if any(word in words for word in _QUOTA_WORDS):
        return ConfigurationError(f"{says}; the account of {variable} has no credit left", code="voice.quota")
    if status in _KEY_STATUSES:
        return ConfigurationError(f"{says}; check {variable} and what it may do", code="voice.key")
    if (status == 404 and "model" in words) or any(word in words for word in _MODEL_WORDS):
        return ConfigurationError(f"{says}; choose another model (voice.model, OPENAI_TTS_MODEL)", code="voice.model")
    if status == 404 or any(word in words for word in _VOICE_WORDS):
        return JobError(
            f"voice.id: {provider} has no voice {voice_id!r} ({says})",
            code="voice.unknown",
            customer_message="The chosen voice is not available any more. Please choose another voice.",
        )
    if status in _PASSING_STATUSES or status >= 500:
        header = {name.lower(): value for name, value in headers.items()}.get("retry-after")
        return TransientError(says, code="voice.unavailable", retry_after_s=retry_after_s(header))
    return JobError(
        f"script: refused by the voice ({says})",
        code="voice.refused",
        customer_message="The voice service would not read this text. Please change the script and try again.",
    )


def check_type(provider: str, content_type: str | None) -> None:
    """Look at what calls itself speech: bare PCM would take a page of text for noise.

    Raises
    ------
    TransientError
        If it is neither audio nor of no type at all.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("audio/") and kind not in _UNTYPED:
        raise TransientError(f"{provider} answered with {kind}, which is no sound", code="voice.damaged")


def check_samples(provider: str, head: bytes) -> None:
    """Look at the first bytes of what is to be bare samples.

    Raises
    ------
    TransientError
        If they are words.
    """
    if len(head) >= ENOUGH_TO_TELL and all(byte in _WRITTEN for byte in head[:ENOUGH_TO_TELL]):
        raise TransientError(f"{provider} answered with words instead of sound", code="voice.damaged")


def unreachable(provider: str, error: Exception) -> TransientError:
    """Turn a broken connection or a timeout into an error that may pass."""
    return TransientError(f"{provider} cannot be reached: {type(error).__name__}", code="voice.unreachable")


def too_slow(provider: str, seconds: float) -> TransientError:
    """Say that a piece took too long as a whole."""
    return TransientError(f"{provider} did not finish a piece within {seconds:.0f} s", code="voice.slow")


def _quotes(reason: str, text: str) -> bool:
    length = min(_A_QUOTE, len(text))
    return any(text[at : at + length] in reason for at in range(len(text) - length + 1))


def _reason(body: Any) -> str:
    """Find the service's own words in its body, on one line and not too long."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return ""  # a proxy's page: nothing worth quoting
    for key in ("error", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        body = next((body[key] for key in ("message", "msg", "status", "code") if body.get(key)), "")
    return " ".join(str(body).split())[:_LONGEST_REASON]
