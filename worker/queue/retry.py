"""What becomes of an order whose attempt ended in an error; the one place that decides it. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from worker.errors import Cancelled, Kind, LeaseLost, ShuttingDown, WorkerError
from worker.queue.claims import Claim, Outcome

MAX_ATTEMPTS = 5
MAX_CRASHES = 3
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 900.0
# How long an order rests while an operator mends what is missing, and from the second time on. The worker backs off
# besides; an order must rest longer than that, or a few such orders, being the oldest, would be all that it takes.
_CONFIGURATION_WAITS_S = (60.0, 300.0)
APOLOGY = WorkerError("").customer_message


class Action(StrEnum):
    """What is written to the row."""

    NOTHING = "nothing"
    RETRY = "retry"
    RELEASE = "release"
    FAIL = "fail"


@dataclass(frozen=True)
class Decision:
    """What to do with the row, and the word for it.

    Attributes
    ----------
    delay_s : float
        Before the next attempt.
    code : str
        For the row's error code.
    message : str
        For the customer, when the order has failed.
    crashed : bool
        Counts as a crash.
    """

    action: Action
    outcome: Outcome
    code: str = ""
    delay_s: float = 0.0
    message: str = ""
    crashed: bool = False


def wait_s(attempt: int, *, jitter: float) -> float:
    """The pause after failed attempt number `attempt` (from 1): exponential, capped, spread by `jitter` in [0, 1)."""
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 20))
    return longest * (0.5 + 0.5 * jitter)


def decide(claim: Claim, error: Exception, *, crashed: bool = False, jitter: float | None = None) -> Decision:
    """Sort an attempt's end.

    Parameters
    ----------
    claim : Claim
        Its attempt, crashes and last error code count.
    error : Exception
        A `WorkerError` or `Interrupted`; anything else is a bug of ours and is tried again.
    crashed : bool
        The child died instead of reporting.
    luck : float, optional
        In [0, 1), for tests.
    """
    if isinstance(error, Cancelled):
        return Decision(Action.NOTHING, Outcome.CANCELLED)
    if isinstance(error, LeaseLost):
        return Decision(Action.NOTHING, Outcome.LOST)
    if isinstance(error, ShuttingDown):
        return Decision(Action.RELEASE, Outcome.RELEASED, "shutdown")
    if isinstance(error, WorkerError):
        kind, code, message, floor_s = error.kind, error.code, error.customer_message, error.retry_after_s
    else:
        kind, code, message, floor_s = Kind.TRANSIENT, "internal", APOLOGY, None
    if crashed and claim.crashes + 1 >= MAX_CRASHES:
        return Decision(Action.FAIL, Outcome.POISON, "poison", message=APOLOGY, crashed=True)
    if kind is Kind.CONFIGURATION:
        rest_s = _CONFIGURATION_WAITS_S[claim.last_error_code == code]
        return Decision(Action.RELEASE, Outcome.RELEASED, code, max(floor_s or 0.0, rest_s))
    if kind is Kind.RESOURCE and not code.startswith("resource"):
        code = f"resource.{code}"
    again = (claim.last_error_code or "").startswith("resource")
    given_up = kind is Kind.PERMANENT or (kind is Kind.RESOURCE and again) or claim.attempt >= MAX_ATTEMPTS
    if given_up:
        return Decision(Action.FAIL, Outcome.FAILED, code, message=message, crashed=crashed)
    jitter = random.random() if jitter is None else jitter
    delay_s = max(wait_s(claim.attempt, jitter=jitter), floor_s or 0.0)
    return Decision(Action.RETRY, Outcome.RETRIED, code, delay_s, crashed=crashed)
