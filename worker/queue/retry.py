"""What becomes of a job whose attempt ended in an error: the one place that decides it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.backoff import RetryPolicy
from worker.errors import (
    Cancelled,
    ConfigurationError,
    Kind,
    LeaseLost,
    MachineError,
    ShuttingDown,
    WaitError,
    WorkerError,
)
from worker.queue.claims import Claim, Outcome

MAX_ATTEMPTS = 5
MAX_CRASHES = 3
# Bugs, timeouts, and a file that missed its promises: they mostly come again, each time after the whole cost of a job.
TRIED_TWICE = frozenset({"internal", "worker.bug", "job.deadline", "job.silent", "ffmpeg.timeout", "quality"})
APOLOGY = WorkerError("").customer_message
TOO_LATE = (
    "Your track could not be made: something that it needs has not been available for a long time. "
    "Please contact support."
)
LIMIT_CODE = "configuration.limit"  # of a job that has waited for too long
# How long a cause rests between probes that meet it again; `worker_probe_pause` in SQL is the same.
PROBE_PAUSES = RetryPolicy(failures=None, first_wait_s=30.0, longest_wait_s=600.0, jitter=0.0)
# How a worker died over a job: while the job was the only one of its process, or beside others, so that nobody knows
# over which. The next attempt runs alone: then the death is its own, or the job is innocent and ends.
CRASHED_ALONE, CRASHED_BESIDE_OTHERS = "crash", "crash.shared"
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class JobRetries:
    """How long a job waits for its next attempt.

    After a transient failure by `policy`; where it waits for a place, for `waiting_s`; where the worker's machine lacks
    something for `machine_s`, or `machine_again_s` when the job meets the same lack again. The worker backs off, too. A
    job must wait longer than that, or the worker would claim nothing but a few such jobs, which are the oldest. Other
    configuration errors park it, for `parked_limit_s` at most.
    """

    policy: RetryPolicy = field(default=RetryPolicy(first_wait_s=5.0, longest_wait_s=900.0))
    waiting_s: float = 15.0
    machine_s: float = 60.0
    machine_again_s: float = 300.0
    parked_limit_s: float = 48 * 3600.0


JOB_RETRIES = JobRetries()


class Action(StrEnum):
    """What is written to the row."""

    NOTHING = "nothing"
    RETRY = "retry"
    RELEASE = "release"
    PARK = "park"
    FAIL = "fail"


@dataclass(frozen=True)
class Decision:
    """What to do with the row, and the outcome to report.

    `code` is the row's error code, `delay_s` the wait before the next attempt, `message` what the customer reads when
    the job has failed, or operators when it is parked under `cause`; `crashed` counts as a crash.
    """

    action: Action
    outcome: Outcome
    code: str = ""
    delay_s: float = 0.0
    message: str = ""
    crashed: bool = False
    cause: str = ""


def runs_alone(claim: Claim) -> bool:
    """Whether this attempt must have a worker to itself, since a worker has died over the job, or beside it."""
    return claim.last_error_code in (CRASHED_ALONE, CRASHED_BESIDE_OTHERS)


def decide(
    claim: Claim,
    error: Exception,
    *,
    crashed: bool = False,
    retries: JobRetries = JOB_RETRIES,
    jitter: float | None = None,
) -> Decision:
    """Decide by the error, and by the claim's attempt, crashes and last error code.

    `error` is a `WorkerError` or `Interrupted`; anything else is a bug in this program and is tried again. `crashed`:
    the job process died without a result. `jitter`, in [0, 1), is for tests.
    """
    if isinstance(error, Cancelled):
        return Decision(Action.NOTHING, Outcome.CANCELLED)
    if isinstance(error, LeaseLost):
        return Decision(Action.NOTHING, Outcome.LOST)
    if isinstance(error, ShuttingDown):
        return Decision(Action.RELEASE, Outcome.RELEASED, "shutdown")
    if not isinstance(error, WorkerError):
        error = WorkerError("", code="internal")
    if crashed and claim.crashes + 1 >= MAX_CRASHES:
        return Decision(Action.FAIL, Outcome.POISON, "poison", message=APOLOGY, crashed=True)
    code, floor_s = error.code, error.retry_after_s or 0.0
    if isinstance(error, MachineError):
        wait_s = retries.machine_again_s if claim.last_error_code == code else retries.machine_s
        return Decision(Action.RELEASE, Outcome.RELEASED, code, max(floor_s, wait_s))
    if isinstance(error, ConfigurationError):
        message = error.message[:_LONGEST_MESSAGE]
        return Decision(Action.PARK, Outcome.PARKED, code, floor_s, message=message, cause=error.cause)
    if isinstance(error, WaitError):
        return Decision(Action.RELEASE, Outcome.RELEASED, code, max(floor_s, retries.waiting_s))
    if error.kind is Kind.RESOURCE and not code.startswith("resource"):
        code = f"resource.{code}"
    last = claim.last_error_code or ""
    again = error.kind is Kind.RESOURCE and last.startswith("resource")
    again = again or (code in TRIED_TWICE and (last in TRIED_TWICE or claim.attempt > 2))
    if error.kind is Kind.PERMANENT or again or claim.attempt >= MAX_ATTEMPTS:
        return Decision(Action.FAIL, Outcome.FAILED, code, message=error.customer_message, crashed=crashed)
    delay_s = max(retries.policy.wait_s(claim.attempt, sample=jitter), floor_s)
    return Decision(Action.RETRY, Outcome.RETRIED, code, delay_s, crashed=crashed)
