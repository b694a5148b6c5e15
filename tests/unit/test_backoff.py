"""The one retry loop below the queue."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from worker.backoff import RetryPolicy, retry_after_s, with_retries
from worker.errors import ConfigurationError, TransientError


class Service:
    """Fails as it is told, and counts."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def run(service: Service, waits: list[float], *, deadline_s: float = 1e6, **retry_policy: float) -> str:
    return with_retries(
        service,
        retry_policy=RetryPolicy(**retry_policy),  # type: ignore[arg-type]
        deadline=time.monotonic() + deadline_s,
        sleep=waits.append,
    )


def test_waits_grow_to_their_longest() -> None:
    waits: list[float] = []
    service = Service(*[TransientError("x")] * 7)
    assert run(service, waits, failures=8, first_wait_s=1.0, longest_wait_s=8.0) == "done"
    assert service.asked == 8
    for wait, longest in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert longest / 2 <= wait <= longest


def test_patience_ends() -> None:
    service = Service(*[TransientError("x")] * 9)
    with pytest.raises(TransientError):
        run(service, [], failures=3)
    assert service.asked == 3


def test_only_what_may_pass_is_tried_again() -> None:
    service = Service(ConfigurationError("x"))
    with pytest.raises(ConfigurationError):
        run(service, [])
    assert service.asked == 1


def test_a_wanted_wait_is_kept() -> None:
    waits: list[float] = []
    run(Service(TransientError("x", retry_after_s=30.0)), waits)
    assert waits == [30.0]


def test_no_wait_goes_past_the_deadline() -> None:
    waits: list[float] = []
    service = Service(TransientError("x", retry_after_s=30.0))
    with pytest.raises(TransientError):
        run(service, waits, deadline_s=20.0)
    assert waits == []


def test_progress_renews_patience() -> None:
    service = Service(*[TransientError("x")] * 9)
    result = with_retries(
        service,
        retry_policy=RetryPolicy(failures=2),
        deadline=time.monotonic() + 1e6,
        progress=lambda: service.asked,
        sleep=lambda _: None,
    )
    assert result == "done"


def test_retry_after() -> None:
    assert retry_after_s("120") == 120.0
    assert retry_after_s("99999999999") == 3600.0  # nobody may park a job for years
    assert retry_after_s("Fri, 31 Dec 9999 23:59:59 GMT") == 3600.0
    soon = retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert soon is not None
    assert 55.0 < soon <= 60.0
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for nonsense in (None, "", "-5", "nan", "inf", "1e9", "soon"):
        assert retry_after_s(nonsense) is None
