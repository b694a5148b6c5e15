"""How often, and after which waits, a call to a service is repeated: the one retry policy and its loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from worker.errors import TransientError

T = TypeVar("T")

_LONGEST_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is tried, and the waits between the tries.

    Attributes
    ----------
    failures : int or None
        After so many failures in a row, without progress between them, the last error is raised. None: only time ends
        the tries.
    first_wait_s, longest_wait_s : float
        The wait doubles from the first to the longest.
    jitter : float
        Share of each wait that is random, so that workers do not come back all at once.
    """

    failures: int | None = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0
    jitter: float = 0.5

    def wait_s(self, failures: int, *, sample: float | None = None) -> float:
        """The wait after so many failures in a row (from 1); `sample` in [0, 1) stands in for chance in tests."""
        longest_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
        return longest_s * (1 - self.jitter * (1 - (random.random() if sample is None else sample)))


def with_retries(
    action: Callable[[], T],
    *,
    retry_policy: RetryPolicy,
    deadline: float,
    progress: Callable[[], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call `action` until it returns; only a `TransientError` is tried again.

    Parameters
    ----------
    action : callable
        Must be safe to repeat.
    deadline : float
        On the monotonic clock. No wait goes past it.
    progress : callable, optional
        When its result has changed since the last failure, the failures are counted anew. So a long upload over a poor
        connection is not given up while it moves.

    Raises
    ------
    TransientError
        The last one, when failures or time are used up. A service that asks for a longer wait than there is
        time ends it at once: the job can wait in the queue without a worker.
    """
    failures = 0
    reached = progress() if progress else None
    while True:
        try:
            return action()
        except TransientError as error:
            before, reached = reached, progress() if progress else None
            failures = 1 if reached != before else failures + 1
            wait_s = max(retry_policy.wait_s(failures), error.retry_after_s or 0.0)
            if failures == retry_policy.failures or time.monotonic() + wait_s > deadline:
                raise
            sleep(wait_s)


def retry_after_s(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110, 10.2.3); None where it makes no sense.

    At most an hour: the wait reaches the queue, and a foreign server must not park a job for years.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), _LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST_RETRY_AFTER_S)
