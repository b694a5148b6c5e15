"""The worker's loop on a real queue, with small jobs in real processes: claims, draining, stopping, rescues."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from database import execute
from processes import children as started
from works import HURRY, Works, eventually

from worker.backoff import RetryPolicy
from worker.errors import ConfigurationError, TransientError
from worker.job.process import ForkServer
from worker.queue.service import open_queue
from worker.service import runner
from worker.service.runner import JobResult


def test_jobs_are_run_and_their_outcomes_written(works: Works) -> None:
    track = execute(works.dsn, "INSERT INTO tracks (title) VALUES ('t') RETURNING id")[0]["id"]
    job = works.queue.enqueue({"do": "sleep", "seconds": 0.1}, track_id=str(track))
    works.drain()
    row = works.row(job)
    assert (row["status"], row["progress"], row["attempt"]) == ("completed", 100, 1)
    path = f"audio-renders/tracks/{track}/{job}-0.mp3"
    assert (row["result"]["url"], row["stage"]) == (path, "Complete")
    track_row = execute(works.dsn, "SELECT * FROM tracks")[0]
    assert (track_row["audio_url"], track_row["status"]) == (path, "published")
    assert works.outcomes() == ["completed"]
    assert works.observer.all[0].summary["lufs"] == -16.0


def test_a_paused_queue_s_workers_wait_and_wake(works: Works) -> None:
    works.queue.pause_queue("why", by="me")
    works.enqueue()
    with works.working() as worker:
        eventually(lambda: worker.state.looped_at > 0)
        assert works.outcomes() == []
        works.queue.resume_queue()
        eventually(lambda: works.outcomes() == ["completed"])


def test_draining_a_paused_queue_ends(works: Works) -> None:
    works.queue.pause_queue("why", by="me")
    job = works.enqueue()
    works.drain()
    assert works.row(job)["status"] == "pending"


def test_a_cycle_claims_at_most_max_jobs_per_cycle(works: Works) -> None:
    works.set(poll_interval_ms=600_000, max_jobs_per_cycle=3)
    for _ in range(7):
        works.enqueue()
    with works.working() as worker:
        eventually(lambda: works.outcomes().count("completed") == 3)
        time.sleep(0.3)
        assert works.statuses().count("pending") == 4
        worker.wake()
        eventually(lambda: works.outcomes().count("completed") == 6)
        time.sleep(0.1)
        assert works.statuses().count("pending") == 1


def test_polling_finds_jobs_without_a_notification(works: Works) -> None:
    with works.working():
        eventually(lambda: works.worker is not None and works.worker.state.age_s < 0.1)
        time.sleep(0.3)
        works.enqueue()
        eventually(lambda: works.outcomes() == ["completed"])


def test_worker_concurrency_limits_running_jobs(works: Works) -> None:
    works.set(worker_concurrency=2)
    go = works.folder / "go"
    for _ in range(4):
        works.enqueue(do="wait", until=str(go))
    most = 0
    with works.working() as worker:
        eventually(lambda: [job.stage for job in worker.state.running] == ["Waiting", "Waiting"])
        go.touch()
        while len(works.observer.all) < 4:
            most = max(most, len(worker.state.running))
            time.sleep(0.01)
    assert most == 2


def test_jobs_side_by_side_share_the_cores(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "available_cores", lambda: 6)
    works.set(worker_concurrency=2)
    go = works.folder / "go"

    def threads_of_two() -> list[object]:
        go.unlink(missing_ok=True)
        jobs = []
        with works.working() as worker:
            for count in (1, 2):
                jobs.append(works.enqueue(do="wait", until=str(go)))
                worker.wake()
                eventually(lambda count=count: [job.stage for job in worker.state.running] == ["Waiting"] * count)
            go.touch()
            eventually(lambda: not worker.state.running)
        ended = {each.claim.job_id: each.summary["threads"] for each in works.observer.all}
        return [ended[job] for job in jobs]

    assert threads_of_two() == [6, 3], "the first one was alone when it began"
    works.set(render_threads=4)
    assert threads_of_two() == [4, 4]


def test_drain_waits_for_retries_and_stops_when_empty(works: Works) -> None:
    job = works.enqueue(do="fail", error="TransientError", attempts=2)
    works.drain()
    assert works.outcomes() == ["retried", "retried", "completed"]
    assert works.row(job)["attempt"] == 3


def test_progress_reaches_the_row_while_the_job_runs(works: Works) -> None:
    job = works.enqueue(do="sleep", seconds=600)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].stage == "Sleeping")
        before = works.row(job)["lease_expires_at"]
        eventually(lambda: works.row(job)["lease_expires_at"] > before)
        assert works.row(job)["stage"] == "Sleeping"


def test_jobs_of_dead_workers_are_rescued(works: Works) -> None:
    dead = open_queue(works.config, worker_name="dead", lease_s=0.2)
    job = works.enqueue()
    assert dead.claim() is not None
    dead.close()
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["completed"])
        assert worker.state.rescued == 1
    assert works.row(job)["crash_count"] == 1


def test_stopping_finishes_short_jobs_and_releases_long_ones(works: Works) -> None:
    works.timings = replace(HURRY, finish_within_s=20.0)
    works.set(worker_concurrency=2)
    go = works.folder / "go"
    long, short = works.enqueue(do="sleep", seconds=600), works.enqueue(do="wait", until=str(go))
    waiting = works.enqueue()
    with works.working() as worker:
        eventually(lambda: {job.stage for job in worker.state.running} == {"Sleeping", "Waiting"})
        worker.stop()
        worker.stop()
        go.touch()
    assert sorted(works.outcomes()) == ["completed", "released"]
    row = works.row(long)
    assert (row["status"], row["attempt"], row["error_code"]) == ("pending", 0, "shutdown")
    assert works.row(short)["status"] == "completed"
    assert works.row(waiting)["status"] == "pending"


def test_a_failure_while_stopping_costs_no_attempt(works: Works) -> None:
    """A SIGTERM to every process may be its cause."""
    go = works.folder / "go"
    job = works.enqueue(do=["wait", "kill self"], until=str(go))
    works.timings = replace(HURRY, finish_within_s=60)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].stage == "Waiting")
        worker.stop()
        go.touch()
    row = works.row(job)
    assert (row["status"], row["attempt"], row["crash_count"]) == ("pending", 0, 0)


def test_the_loop_survives_errors_of_a_claim(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.timings = replace(HURRY, failed_claims=RetryPolicy(first_wait_s=0.05, longest_wait_s=0.1), bug_pause_s=0.05)
    claim = works.queue.claim
    failures = iter([TransientError("no answer"), ConfigurationError("refused"), ZeroDivisionError("a bug")])

    def sometimes() -> Any:
        for error in failures:
            raise error
        return claim()

    monkeypatch.setattr(works.queue, "claim", sometimes)
    works.enqueue()
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["completed"])
        assert worker.state.trouble is None


def test_an_observer_that_raises_affects_no_job(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_ended: JobResult) -> None:
        works.observer.all.append(_ended)
        raise ZeroDivisionError

    monkeypatch.setattr(works.observer, "ended", fail)
    works.enqueue()
    works.enqueue()
    works.drain()
    assert works.statuses() == ["completed", "completed"]


def test_no_files_and_no_processes_are_left(works: Works, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "tmp"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    children = len(started())
    works.enqueue(do="sleep", seconds=0.1)
    works.enqueue(do="kill self", attempts=1)
    works.drain()
    assert list(root.iterdir()) == []
    assert len(started()) == children


def test_the_worker_remembers_what_large_modules_its_jobs_need(works: Works) -> None:
    works.open_fork_server = ForkServer
    works.enqueue(do="load")
    works.enqueue()
    works.drain()
    first, second = (set(ended.summary["had"]) for ended in works.observer.all)
    assert "websockets.sync.client" in second - first
