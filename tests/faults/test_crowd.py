"""Many orders, many workers, and the resets of old."""

from __future__ import annotations

import statistics
import time

import pytest
from database import execute
from field import Field, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_ten_thousand_jobs_at_once_with_eight_workers(field: Field) -> None:
    total = 10_000
    workers = [field.worker(poll_interval_ms=500, max_jobs_per_cycle=100, log_level="ERROR") for _ in range(8)]
    eventually(lambda: _connections(field) >= 16)  # each has its queue's and its listener's
    at = time.monotonic()
    field.enqueue(total)
    eventually(lambda: field.left() == 0, 600, every_s=0.5)
    took = time.monotonic() - at
    each = [row["n"] for row in execute(field.dsn, "SELECT count(*) n FROM book WHERE what = 'ended' GROUP BY worker")]
    attempts = execute(field.dsn, "SELECT max(attempt) n FROM audio_job_queue")[0]["n"]
    stories = execute(
        field.dsn,
        "SELECT a.* FROM worker_attempts a JOIN audio_job_queue q ON q.id = a.job_id WHERE q.attempt > 1 ORDER BY run",
    )
    assert all(worker.stop() == 0 for worker in workers)
    counts = field.count(
        say="10,000 rows inserted at once, 8 workers",
        must="every job is made once, at the first attempt; no worker starves",
        seconds=round(took, 1),
        a_second=round(total / took),
        fewest_by_a_worker=min(each),
        most_by_a_worker=max(each),
        most_attempts=attempts,
    )
    assert counts["ended once"] == total
    assert attempts == 1, stories
    assert len(each) == 8


def _connections(field: Field) -> int:
    return int(execute(field.dsn, "SELECT count(*) n FROM pg_stat_activity WHERE application_name LIKE 'w%%'")[0]["n"])


def test_the_old_ten_minute_reset_during_a_live_render(field: Field, plain_field: Field) -> None:
    """By `updated_at` it never takes a live render, which is touched; by `started_at` it does, and it ends once."""
    places = {"leased": field, "plain": plain_field}
    workers = []
    for place in places.values():
        place.enqueue(do="sleep", seconds=45)
        workers.append(place.worker(poll_interval_ms=1000))  # production's timings
    oldest = dict.fromkeys(places, 0.0)
    until = time.monotonic() + 45
    while time.monotonic() < until:
        for name, place in places.items():
            row = execute(
                place.dsn,
                "SELECT extract(epoch FROM clock_timestamp() - updated_at) AS age FROM audio_job_queue"
                " WHERE status = 'processing' AND started_at < clock_timestamp() - interval '1 second'",
            )
            oldest[name] = max(oldest[name], *(float(found["age"]) for found in row), 0.0)
        time.sleep(0.25)
    for name, place in places.items():
        place.wait_until_all_ended(60)
        place.count(
            say=f"a live render under the old reset by updated_at ({name} mode)",
            must="its row is touched at least every 20 s, so it is never ten minutes old",
            longest_untouched_s=round(oldest[name], 1),
        )
        assert 0 < oldest[name] <= 20
    for name, place in places.items():
        resets = 3
        (job,) = place.enqueue(do="sleep", seconds=1.5)
        for _ in range(resets):
            eventually(lambda place=place, job=job: place.stage(job) == "Sleeping")  # type: ignore[misc]
            execute(
                place.dsn,
                "UPDATE audio_job_queue SET status = 'pending', started_at = NULL, stage = NULL"
                " WHERE status = 'processing' AND started_at < clock_timestamp() - interval '10 milliseconds'",
            )
        place.wait_until_all_ended(60)
        place.count(
            say=f"the old reset by started_at takes a live render away, {resets} times ({name} mode)",
            must="the first holder writes nothing more; the job ends once",
            resets=resets,
        )
    assert all(worker.stop() == 0 for worker in workers)


def test_pickup_with_a_crowd_of_idle_workers(field: Field) -> None:
    """Eight wake up for each job; one has it."""
    workers = [field.worker() for _ in range(8)]
    eventually(lambda: _connections(field) >= 16)
    eventually(lambda: all("listener: up" in worker.text() for worker in workers))
    for _ in range(60):
        field.enqueue()
        time.sleep(0.1)
    field.wait_until_all_ended(60)
    waits = [
        1000 * float(row["wait"])
        for row in execute(
            field.dsn,
            "SELECT extract(epoch FROM b.at - q.created_at) AS wait FROM audio_job_queue q"
            " JOIN book b ON b.job = q.id AND b.what = 'processing'",
        )
    ]
    assert all(worker.stop() == 0 for worker in workers)
    field.count(
        say="60 jobs one by one, 8 workers listening",
        must="picked up with a median of 20 ms, 300 ms at most; each by one",
        median_ms=round(statistics.median(waits), 1),
        slowest_ms=round(max(waits), 1),
    )
