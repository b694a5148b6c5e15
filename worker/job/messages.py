"""The messages between a worker and a job process: plain data that can be pickled."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worker import errors
from worker.config import Config
from worker.errors import ConfigurationError, Interrupted, ResourceError, TransientError, WorkerError
from worker.ffmpeg.program import Ffmpeg
from worker.logs import where
from worker.masks import mask_error

# No space, no quota, no memory, no file descriptors.
_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class JobInput:
    """What was claimed: the row's ids and its JSON, which customers write, so that only the job process parses it.

    `waited_s` is how long the job has waited, by the claim; a probe was parked, and finds out whether that can end.
    """

    job_id: str
    track_id: str | None
    user_id: str | None
    payload_text: str | None
    attempt: int = 1
    waited_s: float = 0.0
    is_probe: bool = False

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
    """The result of a job: the row's `result` in both vocabularies of the app, and columns for the row in `tracks`.

    `summary` is for the job's line in the log: stage times, loudness, peak.
    """

    result: dict[str, Any]
    track: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """The first message to a job process.

    `function` is a ``module:function``, called with `job_input`, `config`, the `Channel` and the job's own `folder`,
    which the worker removes. `memory_bytes` limits the job: the kernel bounds what one process may map, the worker
    checks what all of them hold. `ffmpegs` are those that the worker has found.
    """

    function: str
    job_input: JobInput
    config: Config
    folder: Path
    memory_bytes: int
    ffmpegs: Mapping[str | None, Ffmpeg] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """The job's progress."""

    percent: int
    stage: str


@dataclass(frozen=True)
class Length:
    """How long the track is to be, as far as the payload says; the job's deadline follows from it."""

    seconds: float


@dataclass(frozen=True)
class Question:
    """Asks the worker, which asks the database.

    Attributes
    ----------
    what : str
        ``"claim"``: whether the claim still holds; the answer is a `ClaimStatus` as text. ``"track"``: the job's row in
        `tracks`, JSON columns as text, or None. ``"catalogue"``: the `url` of a piece in the music catalogue, or None.
        ``"characters"``: whether the customer may have so many more characters spoken. ``"place"``: whether there was
        a place at a voice service, which is then taken.
    about : str or int or PlaceWanted or None
        The piece's id or slug; the number of characters; the place.
    """

    what: Literal["claim", "track", "catalogue", "characters", "place"]
    about: Any = None


@dataclass(frozen=True)
class PlaceWanted:
    """One of `most` places of an account, by a name that the job has made up."""

    account: str
    most: int
    place: str


@dataclass(frozen=True)
class PlaceDone:
    """A place that the job gives back."""

    place: str


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
class Loaded:
    """The large modules that the job has loaded (`worker.job.large_modules`)."""

    names: frozenset[str]


@dataclass(frozen=True)
class Failed:
    """An error of a class that both processes know."""

    error: WorkerError | Interrupted

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Sort an exception, its words masked. Of an unknown one, only its type and place are kept."""
        failed = cls._sorted(error)
        mask_error(failed.error)
        return failed

    @classmethod
    def _sorted(cls, error: BaseException) -> Failed:
        if type(error).__module__ == errors.__name__ and isinstance(error, WorkerError | Interrupted):
            return cls(error)
        if isinstance(error, WorkerError):  # as the nearest class of `worker.errors`: it has the same kind
            kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
            known: WorkerError = kind(
                error.message,
                code=error.code,
                customer_message=error.customer_message,
                retry_after_s=error.retry_after_s,
            )
            if isinstance(known, ConfigurationError) and isinstance(error, ConfigurationError):
                known.cause = error.cause
            return cls(known)
        if isinstance(error, MemoryError):
            return cls(ResourceError("the render ran out of memory", code="resource.memory"))
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return cls(ResourceError(f"the machine is used up: {error.strerror}", code="resource.machine"))
        return cls(TransientError(f"a bug, or an error nobody has sorted: {where(error)}", code="worker.bug"))


Message = Progress | Length | Question | PlaceDone | Uploaded | Loaded | Failed | JobOutput
