"""The errors of Supabase Storage: the one place that sorts its answers. Pure.

Storage answers most failures with HTTP 400 and the true status in the body, as text:
``{"statusCode": "404", "error": "not_found", "message": "Object not found"}``; the resumable (TUS) routes use
true statuses and bare text; the gateway before it has forms of its own. (supabase/storage on GitHub:
src/internal/errors/codes.ts, src/http/error-handler.ts.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.backoff import retry_after_s
from worker.errors import ConfigurationError, TransientError, WorkerError
from worker.untrusted_json import read_json

BUCKET_MISSING = "storage.bucket"
CREDENTIALS = "storage.credentials"
TOO_LARGE = "storage.size"
MIME_REFUSED = "storage.mime"
# 423: another request holds the object's lock; 408 and 425 ask for a repetition.
_PASSING = (408, 423, 425, 429)
_LONGEST_MESSAGE = 200


class ObjectMissing(Exception):  # noqa: N818 - an answer, not a failure; every caller decides what it means
    """There is no such object."""


class ObjectTaken(Exception):  # noqa: N818 - likewise
    """There is something already: an object of that name, or another offset of the upload."""


@dataclass(frozen=True)
class Answer:
    """A failed answer in one form.

    The status is the true one: of the body where it has one, else of HTTP; the code is Storage's word for it, such as
    ``NoSuchBucket``, and empty where there is none.
    """

    status: int
    code: str
    message: str
    retry_after_s: float | None = None


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read an answer of any of these forms.

    Parameters
    ----------
    headers : mapping
        Names in lower case, or a mapping that does not mind.
    """
    wait_s = retry_after_s(headers.get("retry-after"))
    text = body[:4096].decode("utf-8", errors="replace")
    said = read_json(text)
    if not isinstance(said, dict):
        return Answer(status, "", _one_line(text), wait_s)
    inner = str(said.get("statusCode", ""))
    code = said.get("code") or said.get("error") or ""
    message = said.get("message") or said.get("msg") or code
    return Answer(int(inner) if inner.isdecimal() else status, str(code), _one_line(str(message)), wait_s)


def sort_answer(
    answer: Answer, *, bucket: str, key: str = "", content_type: str = ""
) -> WorkerError | ObjectMissing | ObjectTaken:
    """Decide what a failed answer means.

    Returns
    -------
    ConfigurationError
        For what an operator must change, naming the setting.
    TransientError
        For what may pass, and for whatever is not known: neither may fail a job at once.
    ObjectMissing, ObjectTaken
        For the caller to judge.
    """
    status, code, message = answer.status, answer.code, answer.message
    words = f"{code} {message}".lower()
    place = f"{bucket}/{key}" if key else f"bucket {bucket!r}"
    if status >= 500 or status in _PASSING:
        return TransientError(
            f"Storage, {place}: {message or 'no message'} ({status})",
            code="storage.unavailable",
            retry_after_s=answer.retry_after_s,
        )
    if "bucket not found" in words or code == "NoSuchBucket":
        return ConfigurationError(
            f"Storage has no bucket {bucket!r}; create it in the dashboard under Storage, or check SUPABASE_URL",
            code=BUCKET_MISSING,
            about=(bucket,),
        )
    if status == 413 or "exceeded the maximum allowed size" in words:
        return ConfigurationError(
            f"Storage: the file is too large for bucket {bucket!r} ({message})", code=TOO_LARGE, about=(bucket,)
        )
    if status == 415 or "mime" in words:
        return ConfigurationError(
            f"Storage: bucket {bucket!r} does not take {content_type or 'this type'} ({message}); add it to "
            "the bucket's allowed MIME types: dashboard, Storage, the bucket, Edit",
            code=MIME_REFUSED,
            about=(bucket,),
        )
    if status in (401, 403) or any(word in words for word in ("jwt", "jws", "api key", "signature")):
        return ConfigurationError(
            f"Storage refused us at {place} ({message}); SUPABASE_SERVICE_ROLE_KEY must be the service role "
            "key of the project at SUPABASE_URL",
            code=CREDENTIALS,
            about=("SUPABASE_SERVICE_ROLE_KEY",),
        )
    if code == "TenantNotFound" or "no route matched" in words or (status == 404 and "route" in words):
        return ConfigurationError(
            f"SUPABASE_URL leads to no Supabase Storage ({message})", code="storage.address", about=("SUPABASE_URL",)
        )
    if 300 <= status < 400:
        return ConfigurationError(
            f"SUPABASE_URL answers with a redirect ({status}), which is not followed with the key; give the final URL",
            code="storage.address",
            about=("SUPABASE_URL",),
        )
    if status == 409:
        return ObjectTaken(message)
    if status in (404, 410):
        return ObjectMissing(message)
    return TransientError(
        f"Storage, {place}: {message or 'no message'} ({status})",
        code="storage.unexpected",
        retry_after_s=answer.retry_after_s,
    )


def unanswered(error: Exception) -> TransientError:
    """The error for a request that got no answer."""
    return TransientError(f"Storage does not answer: {type(error).__name__}: {error}", code="storage.unavailable")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_MESSAGE]
