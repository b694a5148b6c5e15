"""Waiting out other people's services: the one retry loop of every remote call below the queue."""

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

_LONGEST_WANTED_S = 3600.0


@dataclass(frozen=True)
class RetryPolicy:
    """How long to bear with a service.

    Attributes
    ----------
    failures : int
        This many in a row, without progress between them, are the end.
    first_wait_s, longest_wait_s : float
        Exponential between them, each wait spread over its upper half.
    """

    failures: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0


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
        May be called many times; must be safe to repeat.
    deadline : float
        On the monotonic clock. No wait goes past it.
    progress : callable, optional
        Whatever it returns: when that has changed since the last failure, the count begins anew, so that a
        long upload over a poor line is not given up while it moves.

    Raises
    ------
    TransientError
        The last one, when patience or time is used up. A service that asks for a longer wait than there is
        time ends it at once: the queue waits better than a worker does.
    """
    failures = 0
    stood_at = progress() if progress else None
    while True:
        try:
            return action()
        except TransientError as error:
            now_at = progress() if progress else None
            failures = 1 if now_at != stood_at else failures + 1
            stood_at = now_at
            longest = min(retry_policy.longest_wait_s, retry_policy.first_wait_s * 2.0 ** (failures - 1))
            wait_s = max(longest * random.uniform(0.5, 1.0), error.retry_after_s or 0.0)
            if failures >= retry_policy.failures or time.monotonic() + wait_s > deadline:
                raise
            sleep(wait_s)


def retry_after_s(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110, 10.2.3); None where it makes no sense.

    At most an hour: the wait reaches the queue, and a stranger's server must not park an order for years.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), _LONGEST_WANTED_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST_WANTED_S)
