"""What the rows tell of the work that is done: completed jobs, the workers' signs of life, failures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from operating import Operator, operator, operator_at

from worker.errors import MediaError
from worker.queue.activity import SignOfLife
from worker.queue.claims import Outcome
from worker.queue.service import Queue

__all__ = ["operator", "operator_at"]


@pytest.fixture
def jobs(operator: Operator) -> Iterator[Queue]:
    queue = operator.queue()  # of a worker named w
    yield queue
    queue.close()


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def test_completed_jobs_are_counted_by_when_they_ended(operator: Operator, jobs: Queue) -> None:
    for status, ended in (("completed", 0.5), ("completed", 2), ("completed", 50), ("failed", 0.5)):
        operator.job(status, created_at=ago(days=9), completed_at=ago(hours=ended))
    operator.job("completed")  # of an app that notes no time
    assert [jobs.completed_within(timedelta(hours=hours)) for hours in (1, 24, 72)] == [1, 2, 3]


def test_a_worker_s_last_sign_of_life_is_on_its_rows(operator: Operator, jobs: Queue) -> None:
    job = operator.job()
    claim = jobs.claim()
    assert claim is not None
    if operator.mode == "plain":
        assert jobs.signs_of_life(limit=10) is None
        return
    (held,) = jobs.signs_of_life(limit=10) or ()
    assert (held.worker, held.running) == ("w", 1)
    jobs.heartbeat(claim, progress=10, stage="speak")
    (later,) = jobs.signs_of_life(limit=10) or ()
    assert later.seen_at > held.seen_at
    assert jobs.resolve_failure(claim, MediaError("x", code="media.empty")) is Outcome.FAILED
    ended = jobs.job(job)
    assert ended is not None
    assert jobs.signs_of_life(limit=10) == [SignOfLife("w", ended.completed_at, 0)]  # type: ignore[arg-type]


def test_failures_are_the_newest_that_were_not_purged(operator: Operator, jobs: Queue) -> None:
    oldest, middle, newest = (operator.job("failed", created_at=ago(hours=hours)) for hours in (3, 2, 1))
    operator.job("cancelled")
    assert [row.job_id for row in jobs.failures(limit=2)] == [newest, middle]
    jobs.purge([middle])
    expected = [newest, oldest] if operator.mode == "leased" else [newest, middle, oldest]
    assert [row.job_id for row in jobs.failures(limit=10)] == expected
