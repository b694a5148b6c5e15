"""All errors, sorted by what the queue does with the job.

WorkerError                kind            exit   what the queue does
├── JobError               permanent       2      the job fails at once; the customer's message is plain
├── MediaError             permanent       3      the job fails at once
├── TransientError         transient       1      retried later, after `retry_after_s` at least
│   └── WaitError          transient       1      released, attempt not counted, until there is a place or a fallback
├── ConfigurationError     configuration   1      parked under its cause, attempt not counted
│   └── MachineError       configuration   1      released, attempt not counted; the worker backs off
├── ResourceError          resource        1      retried once, then fails
├── QualityError           transient       1      the delivered file missed its targets; retried
└── Interrupted            -               130    not a failure
    ├── Cancelled                                 the customer cancelled the job
    ├── LeaseLost                                 another worker has the job now
    └── ShuttingDown                              SIGTERM; the job is released
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, ClassVar

_UNNAMEABLE = re.compile(r"[^\w.:*+@-]+", re.ASCII)
_LONGEST_NAME = 64


class Kind(StrEnum):
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    CONFIGURATION = "configuration"
    RESOURCE = "resource"


class WorkerError(Exception):
    """A failure with a message for operators and one for the customer.

    Parameters
    ----------
    message : str
        One line for operators and the command line: field, file or service; what was found; what is allowed.
    code : str
        Short machine-readable cause, such as ``"job.invalid"`` or ``"voice.refused"``; kept in the row's error code.
    customer_message : str, optional
        What the customer reads. By default the message of a permanent error, and a plain apology for all others, so
        that no internals leak.
    retry_after_s : float, optional
        The shortest wait that the failing service asked for.
    mistakes : iterable of str, optional
        All that is wrong, a line each, where it is more than one thing. The message then has the first one and counts
        the others: it goes into the row.
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
        mistakes: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self._customer_message = customer_message
        self.retry_after_s = retry_after_s
        self.mistakes = tuple(mistakes)

    def reword(self, reworded: Callable[[str], str]) -> None:
        """Change both messages, as `worker.masks` does before they leave."""
        self.message = reworded(self.message)
        self.args = (self.message,)
        if self._customer_message is not None:
            self._customer_message = reworded(self._customer_message)
        self.mistakes = tuple(map(reworded, self.mistakes))

    @property
    def lines(self) -> tuple[str, ...]:
        """What a person at a terminal reads, one thing to put right a line."""
        return self.mistakes or (self.message,)

    @property
    def customer_message(self) -> str:
        if self._customer_message is not None:
            return self._customer_message
        if self.kind is Kind.PERMANENT:
            return self.message
        return "Something went wrong while your track was being made. Please contact support."


class JobError(WorkerError):
    """The payload cannot be rendered; names the field."""

    kind = Kind.PERMANENT
    exit_status = 2
    default_code = "job.invalid"


class MediaError(WorkerError):
    """A recording, a music file or a voice's answer cannot be used; names the file or URL (without its query)."""

    kind = Kind.PERMANENT
    exit_status = 3
    default_code = "media.invalid"


class TransientError(WorkerError):
    """A failure of the network or of a service; a retry may succeed."""

    kind = Kind.TRANSIENT
    default_code = "service.unavailable"


class WaitError(TransientError):
    """Nothing failed: there is no place at a service yet, or its outage is too short for a fallback; see `decide`."""

    default_code = "service.busy"


class ConfigurationError(WorkerError):
    """An operator must fix something; names the variable, bucket, function or key.

    Parameters
    ----------
    about : iterable of str
        What must be fixed: a variable's name, a bucket, or a provider, a model and a voice. Never a secret, and nothing
        that a customer may choose at will: all jobs with the same cause wait for one probe.

    Attributes
    ----------
    cause : str
        What the job waits for, such as ``"openai/tts-1/voice.model"``: `about` and the code.
    """

    kind = Kind.CONFIGURATION
    default_code = "configuration"

    def __init__(self, message: str, *, about: Iterable[str] = (), **options: Any) -> None:
        super().__init__(message, **options)
        names = (_UNNAMEABLE.sub("-", name)[:_LONGEST_NAME] for name in about)
        self.cause = "/".join((*names, self.code))


class MachineError(ConfigurationError):
    """No job can be done on this worker's machine; another worker may do them."""

    default_code = "configuration.machine"


class ResourceError(WorkerError):
    """Out of memory or disk."""

    kind = Kind.RESOURCE
    default_code = "resource"


class QualityError(WorkerError):
    """The delivered file, decoded, missed its targets; it was not published."""

    kind = Kind.TRANSIENT
    default_code = "quality"


class Interrupted(Exception):  # noqa: N818 - not an error: the stop was requested
    """The work was stopped from outside; nothing is published."""

    exit_status: ClassVar[int] = 130


class Cancelled(Interrupted):
    """The customer cancelled the job."""


class LeaseLost(Interrupted):
    """Another worker has the job now."""


class ShuttingDown(Interrupted):
    """The worker was asked to stop; the job is released."""
