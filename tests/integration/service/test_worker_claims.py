"""A claim while its job runs: cancelled, lost, reset; heartbeats and uploads, on a real queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from database import execute
from works import HURRY, Works, eventually

from worker.errors import TransientError


def test_cancelling_stops_the_render_and_nothing_is_published(works: Works) -> None:
    ledger = works.folder / "ledger"
    job = works.enqueue(do="sleep", seconds=600, ledger=str(ledger))
    with works.working():
        eventually(lambda: works.row(job)["stage"] == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    assert works.row(job)["status"] == "cancelled"
    assert not ledger.exists()


def test_a_notification_cancels_before_the_next_check(works: Works) -> None:
    works.timings = replace(HURRY, check_s=600, heartbeat_s=600)
    job = works.enqueue(do="sleep", seconds=600)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].stage == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        worker.cancelled(job)
        eventually(lambda: works.outcomes() == ["cancelled"])


def test_uploads_of_a_cancelled_job_are_removed(works: Works) -> None:
    job = works.enqueue(upload="audio-renders/tracks/t/x.mp3", linger=600)
    file = works.folder / "out/audio-renders/tracks/t/x.mp3"
    with works.working():
        eventually(file.exists)
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    assert not file.exists()


def test_uploads_of_a_lost_job_stay(works: Works) -> None:
    """Its name is a hash of its content, so it may be the other worker's."""
    job = works.enqueue(upload="audio-renders/tracks/t/x.mp3", linger=600)
    file = works.folder / "out/audio-renders/tracks/t/x.mp3"
    with works.working() as worker:
        eventually(file.exists)
        worker.state.stopping = True
        execute(works.dsn, "UPDATE audio_job_queue SET claim_token = gen_random_uuid() WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["lost"])
    assert file.exists()


def test_a_reset_of_the_row_ends_the_render(works: Works) -> None:
    """As the old edge function does after ten minutes. The next claim renders the track, once."""
    job = works.enqueue(do="sleep", seconds=600, attempts=1)
    with works.working():
        eventually(lambda: works.row(job)["stage"] == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'pending', started_at = NULL WHERE id = %s", job)
        eventually(lambda: sorted(works.outcomes()) == ["completed", "lost"])
    assert works.row(job)["status"] == "completed"


def test_a_job_without_heartbeats_is_lost_and_writes_nothing(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError("no answer")

    works.timings = replace(HURRY, heartbeat_s=0.1, check_s=0.05, lost_after_s=0.5)
    ledger = works.folder / "ledger"
    job = works.enqueue(do="sleep", seconds=60, ledger=str(ledger))
    with works.working() as worker:
        eventually(lambda: worker.state.running)
        monkeypatch.setattr(works.queue, "heartbeat", away)
        monkeypatch.setattr(works.queue, "claim_status", away)
        eventually(lambda: works.outcomes() == ["lost"])
    assert works.row(job)["status"] == "processing"  # its lease expires; then another worker claims it
    assert not ledger.exists()


def test_heartbeats_survive_a_short_database_outage(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat, failures = works.queue.heartbeat, iter([TransientError("once"), ZeroDivisionError("a bug")])

    def sometimes(*arguments: Any, **more: Any) -> Any:
        for error in failures:
            raise error
        return heartbeat(*arguments, **more)

    monkeypatch.setattr(works.queue, "heartbeat", sometimes)
    works.enqueue(do="sleep", seconds=1.0)
    works.drain()
    assert works.outcomes() == ["completed"]
