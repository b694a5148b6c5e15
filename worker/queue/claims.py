"""What the queue hands out and hears back: plain values, shared by both modes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PAYLOAD_LIMIT_BYTES = 1_000_000  # of its JSON text; the app's own are a hundredth of that


@dataclass(frozen=True)
class Claim:
    """One order, ours until the lease ends.

    Parameters
    ----------
    job_id : str
        The row's id.
    token : str
        What every write is fenced by: the claim token in leased mode, the row's `started_at` in plain mode.
    attempt : int
        1 for the first try.
    track_id, user_id : str or None
    payload_text : str or None
        What the app sent: JSON text, which only the job's process parses. None where the row has none, or where it
        is over the limit.
    waited_s : float
        From when the order was due until it was claimed, by the database's clock.
    crashes : int
        How often a child or a worker has died over this order before.
    last_error_code : str or None
        How the attempt before this one ended.
    payload_bytes : int or None
        Size of a payload that is over the limit and so was not read; None where it was.
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


class ClaimStatus(StrEnum):
    """What the row says about our claim."""

    HELD = "held"
    CANCELLED = "cancelled"
    LOST = "lost"


class Outcome(StrEnum):
    """What `Queue.settle` did with an order whose attempt ended in an error."""

    FAILED = "failed"
    POISON = "poison"
    RETRIED = "retried"
    RELEASED = "released"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True)
class Rescued:
    """Orders whose worker has died, by id: back in the queue, or failed for having killed too many."""

    put_back: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobRow:
    """One line of `mindscript-worker jobs`; times are aware, in the database's clock."""

    job_id: str
    status: str
    progress: int
    stage: str | None
    error: str | None
    error_code: str | None
    track_id: str | None
    attempt: int | None
    claimed_by: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    run_after: datetime | None
