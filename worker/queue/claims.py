"""Plain values of the queue, shared by both modes: claims, their status, outcomes, rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
    """One line of `mindscript-worker jobs`. In plain mode the table has nothing from the error code on.

    `length_s` is what the payload asks for, None where it does not say; `run_after` when a job that waits for another
    attempt is due; `purged_at` when payload and attempts were removed.
    """

    job_id: str
    status: str
    progress: int
    stage: str | None
    error: str | None
    track_id: str | None
    user_id: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    error_code: str | None = None
    attempt: int | None = None
    claimed_by: str | None = None
    parked_cause: str | None = None
    run_after: datetime | None = None
    priority: int | None = None
    length_s: int | None = None
    purged_at: datetime | None = None


@dataclass(frozen=True)
class AttemptReport:
    """What a worker tells of an attempt when it ends: `error` for operators, secrets masked; nothing of the script.

    `stages` are seconds by stage, `versions` of the programs that made the track, `figures` loudness, length, cost.
    """

    error: str | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One run of a job that has ended; `report` is empty where its worker has died or is of an older release.

    `number` is the attempt as it was counted: a released or parked one has the number of the one after it. `outcome` is
    completed, one of `Outcome`, or died, for one whose worker has died.
    """

    number: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime
    outcome: str
    code: str | None
    report: AttemptReport


@dataclass(frozen=True)
class Handled:
    """What became of one job that an operator named.

    `status` is the row's before; None: there is no such job. Where `done` is false, it is what stood in the way, or
    ``purged``, or `refused` is the SQLSTATE of a trigger or constraint of the app's.
    """

    done: bool
    status: str | None
    refused: str | None = None


@dataclass(frozen=True)
class CustomerJob:
    """A job of a customer who is to be forgotten, as it was before. Customers can write every column of it.

    `result_text` names the files that the job has made, `audio_url` and `preview_url` are those of the track as it is.
    """

    job_id: str
    status: str
    track_id: str | None
    payload_text: str | None
    result_text: str | None
    audio_url: str | None
    preview_url: str | None


@dataclass(frozen=True)
class Forgotten:
    """What `Queue.forget` did: `cancelled` had not ended before, `left` could not be cancelled or purged."""

    jobs: tuple[CustomerJob, ...]
    purged: tuple[str, ...]
    cancelled: Mapping[str, Handled]
    left: Mapping[str, Handled]


@dataclass(frozen=True)
class QueueState:
    """Whether claims are handed out, and how many jobs there are of each status; see `Queue.depth`.

    `oldest_waiting_at` is when the oldest job that is due, and not parked, was inserted.
    """

    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    counts: Mapping[str, int]
    oldest_waiting_at: datetime | None
