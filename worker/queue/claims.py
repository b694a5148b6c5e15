"""Plain values of the queue, shared by both modes: claims, their status, outcomes, rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

PAYLOAD_LIMIT_BYTES = 1_000_000  # of its JSON text; the app's payloads are a hundredth of that


@dataclass(frozen=True)
class Claim:
    """One claimed job, held until the lease ends.

    Parameters
    ----------
    job_id : str
        The row's id.
    token : str
        The fence of every write: the claim token in leased mode, the row's `started_at` in plain mode.
    attempt : int
        1 for the first.
    track_id, user_id : str or None
    payload_text : str or None
        JSON text, which only the job process parses. None where the row has none, or where it is over the limit.
    waited_s : float
        From when the job was due until it was claimed, by the database's clock.
    crashes : int
        How often a job process or a worker has died over this job before.
    last_error_code : str or None
        How the attempt before this one ended.
    payload_bytes : int or None
        Size of a payload that is over the limit and so was not read; None where it was.
    probed_cause : str or None
        The cause under which the job was parked, where this claim is a probe of it.
    parked_since : datetime or None
        When its waiting began, where plain mode has noted that; in leased mode the database knows.
    """

    job_id: str
    token: str
    attempt: int
    track_id: str | None
    user_id: str | None
    payload_text: str | None
    waited_s: float
    crashes: int = 0
    last_error_code: str | None = None
    payload_bytes: int | None = None
    probed_cause: str | None = None
    parked_since: datetime | None = None


class ClaimStatus(StrEnum):
    """What the row says of a claim."""

    HELD = "held"
    CANCELLED = "cancelled"
    LOST = "lost"


class Outcome(StrEnum):
    """What `Queue.resolve_failure` did with a job whose attempt ended in an error."""

    FAILED = "failed"
    POISON = "poison"
    RETRIED = "retried"
    RELEASED = "released"
    PARKED = "parked"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True)
class Rescued:
    """Jobs whose worker has died, by id: back in the queue, or failed since too many workers have died over them.

    `overdue`: parked jobs that have failed, since they have waited for longer than CONFIGURATION_LIMIT_H, by id with
    the names of their causes.
    """

    put_back: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    overdue: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cause:
    """Something that an operator must fix, and how many jobs wait for it; `message` is for operators."""

    name: str
    message: str
    since: datetime
    jobs: int

    @property
    def code(self) -> str:
        """What is wrong, without what it is wrong with: names no bucket, no model, no customer's thing."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Backlog:
    """How many jobs have not ended, and for how long the oldest has been due that nothing keeps waiting.

    `pending` are those not `parked`. In plain mode `parked` are this worker's own.
    """

    pending: int
    processing: int
    parked: int
    oldest_s: float


@dataclass(frozen=True)
class JobRow:
    """One line of `mindscript-worker jobs`. In plain mode the table has no error code, attempt, worker or cause."""

    job_id: str
    status: str
    progress: int
    stage: str | None
    error: str | None
    track_id: str | None
    created_at: datetime | None
    error_code: str | None
    attempt: int | None
    claimed_by: str | None
    parked_cause: str | None = None
