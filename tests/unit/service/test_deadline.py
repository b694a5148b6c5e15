"""What counts against a job's deadline, by a clock that the test turns."""

from __future__ import annotations

import pytest

from worker.config import Config
from worker.errors import TransientError
from worker.service.deadline import Deadline

HALF_S = 0.5


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def passes(clock: Clock, deadline: Deadline, seconds: float) -> None:
    for _ in range(round(seconds / HALF_S)):
        clock.now += HALF_S
        deadline.check("measure")


def test_twice_the_length_and_ten_minutes_by_default() -> None:
    clock = Clock()
    deadline = Deadline(Config(), clock)
    assert deadline.limit_s == 600
    deadline.knows_length(1800)
    assert deadline.limit_s == 4200
    passes(clock, deadline, 4200)
    with pytest.raises(TransientError, match=r"after 4200 s of work, at 'measure': a track of 1800 s may take 4200 s"):
        passes(clock, deadline, 1)


def test_no_job_may_claim_to_be_longer_than_any_track() -> None:
    deadline = Deadline(Config(max_duration_min=30))
    deadline.knows_length(1e12)
    assert deadline.limit_s == 600 + 2 * 1800


def test_waiting_for_a_place_does_not_count() -> None:
    clock = Clock()
    deadline = Deadline(Config(job_deadline_min=1), clock)
    for _ in range(7200):  # an hour of asking each half second
        deadline.asked_for_a_place(taken=False)
        passes(clock, deadline, HALF_S)
    deadline.asked_for_a_place(taken=True)
    passes(clock, deadline, 60)
    with pytest.raises(TransientError) as raised:
        passes(clock, deadline, 1)
    assert raised.value.code == "job.deadline"


def test_a_request_that_asks_no_more_waits_no_more() -> None:
    clock = Clock()
    deadline = Deadline(Config(job_deadline_min=1), clock)
    deadline.asked_for_a_place(taken=False)
    with pytest.raises(TransientError):
        passes(clock, deadline, 63)
