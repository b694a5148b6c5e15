"""Everything that can go wrong, sorted once.

WorkerError                kind            exit   what the queue does
├── JobError               permanent       2      fails at once; the customer's message is plain
├── MediaError             permanent       3      fails at once
├── TransientError         transient       1      tried again later (honours `retry_after_s`)
├── ConfigurationError     configuration   1      goes back, attempt not counted; the worker backs off, loudly
├── ResourceError          resource        1      one more try, then permanent
├── QualityError           transient       1      the delivered file missed its promise; tried again
└── Interrupted            -               130    not a failure
    ├── Cancelled                                 the customer cancelled the row
    ├── LeaseLost                                 another worker owns the job now
    └── ShuttingDown                              SIGTERM; the job is released
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    CONFIGURATION = "configuration"
    RESOURCE = "resource"


class WorkerError(Exception):
    """A failure that a person is told about.

    Parameters
    ----------
    message : str
        One line for operators and the command line: the field, file or service, what was found, what is allowed.
    code : str
        Short machine-readable cause, such as ``"job.invalid"`` or ``"voice.refused"``; kept in the row's error code.
    customer_message : str, optional
        What the person who ordered the track reads. The default is the message for permanent errors and a
        plain apology for all others, so that no internals leak.
    retry_after_s : float, optional
        The least wait that the failing service asked for.
    """

    kind: ClassVar[Kind] = Kind.TRANSIENT
    exit_status: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        customer_message: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self._customer_message = customer_message
        self.retry_after_s = retry_after_s

    @property
    def customer_message(self) -> str:
        if self._customer_message is not None:
            return self._customer_message
        if self.kind is Kind.PERMANENT:
            return self.message
        return "Something went wrong while your track was being made. Please contact support."


class JobError(WorkerError):
    """The payload cannot be rendered as it stands; names the field."""

    kind = Kind.PERMANENT
    exit_status = 2
    default_code = "job.invalid"


class MediaError(WorkerError):
    """A recording, music file or voice answer that cannot be used; names the file or URL (without its query)."""

    kind = Kind.PERMANENT
    exit_status = 3
    default_code = "media.invalid"


class TransientError(WorkerError):
    """A network or service failure that may pass."""

    kind = Kind.TRANSIENT
    default_code = "service.unavailable"


class ConfigurationError(WorkerError):
    """Something the operator must mend: names the variable, bucket, function or key."""

    kind = Kind.CONFIGURATION
    default_code = "configuration"


class ResourceError(WorkerError):
    """Out of memory or disk."""

    kind = Kind.RESOURCE
    default_code = "resource"


class QualityError(WorkerError):
    """The delivered file, decoded, missed its promise; it was not published."""

    kind = Kind.TRANSIENT
    default_code = "quality"


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for the stop
    """The work was stopped from outside; nothing is published."""

    exit_status: ClassVar[int] = 130


class Cancelled(Interrupted):
    """The customer cancelled the order."""


class LeaseLost(Interrupted):
    """Another worker owns the job now."""


class ShuttingDown(Interrupted):
    """The worker was asked to stop; the job goes back to the queue."""
