"""What is made of the rows: failures by cause, the time left, what is read seldom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.operate.summary import _Seldom, group_failures, left_s
from worker.queue.claims import JobRow

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROW = JobRow("id", "failed", 0, None, "Sorry.", None, None, NOW, NOW, NOW)


def test_failures_are_grouped_by_code_the_most_first() -> None:
    codes = ["storage.bucket", "voice.model", "voice.model"]
    rows = [replace(ROW, job_id=str(number), error_code=code) for number, code in enumerate(codes)]
    found = [(group.code, group.jobs, group.newest.job_id) for group in group_failures(rows)]
    assert found == [("voice.model", 2, "1"), ("storage.bucket", 1, "0")]


def test_failures_without_codes_are_grouped_by_their_message() -> None:
    rows = [replace(ROW, error=error) for error in ("Sorry.", "Too long.", "Sorry.", None)]
    found = {(group.newest.error, group.code): group.jobs for group in group_failures(rows)}
    assert found == {("Sorry.", None): 2, ("Too long.", None): 1, (None, None): 1}


@pytest.mark.parametrize(
    ("progress", "gone_s", "expected"), [(50, 60, 60.0), (20, 60, 240.0), (100, 60, 0.0), (4, 60, None), (0, 60, None)]
)
def test_the_time_left_follows_from_what_was_done(progress: int, gone_s: int, expected: float | None) -> None:
    started_at = NOW - timedelta(seconds=gone_s)
    assert left_s(replace(ROW, status="processing", progress=progress, started_at=started_at), NOW) == expected


def test_no_time_left_is_told_of_what_does_not_run_or_tells_nonsense() -> None:
    running = replace(ROW, status="processing", progress=50)
    assert left_s(replace(ROW, progress=50), NOW) is None
    assert left_s(replace(running, started_at=None), NOW) is None
    assert left_s(replace(running, started_at=NOW + timedelta(hours=1)), NOW) is None
    assert left_s(replace(running, progress=700), NOW) is None


def test_what_is_read_seldom_waits_for_a_change_or_its_time() -> None:
    now, reads = [100.0], [0]

    def read() -> int:
        reads[0] += 1
        now[0] += 0.1  # it takes so long
        return reads[0]

    seldom = _Seldom(read, lambda: now[0])
    assert [seldom.read(of=1), seldom.read(of=1), seldom.read(of=2)] == [1, 1, 1]
    now[0] += 5.0  # fifty times as long as it took
    assert [seldom.read(of=1), seldom.read(of=2), seldom.read(of=2)] == [1, 2, 2]
    now[0] += 30.0
    assert seldom.read(of=2) == 3
