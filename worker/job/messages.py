"""The messages between a worker and a job process: plain data that can be pickled."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker import errors
from worker.config import Config
from worker.errors import Interrupted, ResourceError, TransientError, WorkerError
from worker.logs import where

# No space, no quota, no memory, no file descriptors.
_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class JobInput:
    """What was claimed: the row's ids and its payload.

    Attributes
    ----------
    payload_text : str or None
        The row's JSON. Customers write it, so only the job process parses it.
    """

    job_id: str
    track_id: str | None
    user_id: str | None
    payload_text: str | None
    attempt: int = 1

    @property
    def payload(self) -> Mapping[str, Any]:
        """The payload as an object; empty if the row has none.

        Raises
        ------
        JobError
            If the text is not JSON that Python can hold.
        """
        from worker.payload.aliases import load_payload

        return load_payload(self.payload_text) if self.payload_text is not None else {}


@dataclass(frozen=True)
class JobOutput:
    """The result of a job.

    Attributes
    ----------
    result : dict
        For the row's `result`, in both vocabularies of the app.
    track : dict
        Columns for the row in `tracks`.
    summary : dict
        For the job's summary line in the log: stage times, loudness, peak.
    """

    result: dict[str, Any]
    track: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """The first message to a job process.

    Attributes
    ----------
    function : str
        ``module:function``, called with `job_input`, `config`, the `Channel` and `folder`.
    folder : Path
        The job's own folder; the worker removes it.
    memory_bytes : int
        The job's memory limit.
    """

    function: str
    job_input: JobInput
    config: Config
    folder: Path
    memory_bytes: int


@dataclass(frozen=True)
class Progress:
    """The job's progress."""

    percent: int
    stage: str


@dataclass(frozen=True)
class MayPublish:
    """Asks whether the claim still holds. The answer is a `ClaimStatus` as text."""


@dataclass(frozen=True)
class AskTrack:
    """Asks for the job's row in `tracks`. The answer is a mapping with JSON columns as text, or None."""


@dataclass(frozen=True)
class AskCatalogue:
    """Asks for a piece in the music catalogue, by id or slug. The answer is its `url`, or None."""

    reference: str


@dataclass(frozen=True)
class AskCharacters:
    """Asks whether the customer may have so many more characters spoken. The answer is True or False."""

    characters: int


@dataclass(frozen=True)
class Answer:
    """The worker's answer to a question; `value` is a `Failed` if the worker could not find out."""

    value: object


@dataclass(frozen=True)
class Uploaded:
    """A file that the job has put into storage."""

    bucket: str
    key: str


@dataclass(frozen=True)
class Failed:
    """An error as plain data, since exceptions with arguments of their own cannot be pickled."""

    name: str
    message: str
    code: str
    customer_message: str | None
    retry_after_s: float | None

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Convert an exception."""
        if isinstance(error, WorkerError):
            return cls(type(error).__name__, error.message, error.code, error.customer_message, error.retry_after_s)
        if isinstance(error, Interrupted):
            return cls(type(error).__name__, str(error), "", None, None)
        if isinstance(error, MemoryError):
            return cls("ResourceError", "the render ran out of memory", "resource.memory", None, None)
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return cls("ResourceError", f"the machine is used up: {error.strerror}", "resource.machine", None, None)
        # The error's text may quote the payload, so only its type and place are kept.
        return cls("TransientError", f"a bug, or an error nobody has sorted: {where(error)}", "worker.bug", None, None)

    def error(self) -> WorkerError | Interrupted:
        """Convert it back into an exception."""
        kind = getattr(errors, self.name, TransientError)
        if issubclass(kind, Interrupted):
            return kind(self.message)
        error: WorkerError = kind(
            self.message,
            code=self.code,
            customer_message=self.customer_message,
            retry_after_s=self.retry_after_s,
        )
        return error


Question = MayPublish | AskTrack | AskCatalogue | AskCharacters
Message = Progress | Question | Uploaded | Failed | JobOutput


def out_of_memory(found_bytes: int, limit_bytes: int) -> ResourceError:
    """Return the error of a job that exceeded its memory limit."""
    return ResourceError(
        f"the render took {found_bytes >> 20} MB of memory; {limit_bytes >> 20} MB are allowed", code="resource.memory"
    )
