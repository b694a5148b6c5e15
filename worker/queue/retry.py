"""What becomes of a job whose attempt ended in an error: the one place that decides it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.backoff import RetryPolicy
from worker.errors import Cancelled, Kind, LeaseLost, ShuttingDown, WorkerError
from worker.queue.claims import Claim, Outcome

MAX_ATTEMPTS = 5
MAX_CRASHES = 3
JOB_RETRIES = RetryPolicy(first_wait_s=5.0, longest_wait_s=900.0)
# How long a job rests after a configuration error: the first time, and from the second time on. The worker backs off,
# too. A job must rest longer than that, or the worker would claim nothing but a few such jobs, which are the oldest.
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
    """What to do with the row, and the outcome to report.

    Attributes
    ----------
    delay_s : float
        Before the next attempt.
    code : str
        For the row's error code.
    message : str
        For the customer, when the job has failed.
    crashed : bool
        Counts as a crash.
    """

    action: Action
    outcome: Outcome
    code: str = ""
    delay_s: float = 0.0
    message: str = ""
    crashed: bool = False


def decide(claim: Claim, error: Exception, *, crashed: bool = False, jitter: float | None = None) -> Decision:
    """Decide by the error, the attempt and the crashes.

    Parameters
    ----------
    claim : Claim
        Its attempt, crashes and last error code count.
    error : Exception
        A `WorkerError` or `Interrupted`; anything else is a bug in this program and is tried again.
    crashed : bool
        The job process died without a result.
    jitter : float, optional
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
    delay_s = max(JOB_RETRIES.wait_s(claim.attempt, sample=jitter), floor_s or 0.0)
    return Decision(Action.RETRY, Outcome.RETRIED, code, delay_s, crashed=crashed)
