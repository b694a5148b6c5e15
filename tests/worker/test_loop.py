"""The loop on a real queue, with small jobs in real processes: what is taken, when, and what becomes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from database import execute, row_of
from processes import children as started
from standins.jobs import PERFORM

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue import retry
from worker.queue.service import Queue, open_queue
from worker.service import worker as loop
from worker.service.heartbeat import WorkerTimings
from worker.service.runner import JobResult
from worker.service.worker import JobObserver, Worker

HURRY = WorkerTimings(heartbeat_s=0.3, check_s=0.1, lost_after_s=20.0, rescue_s=0.3, finish_within_s=1.0)


class Heard(JobObserver):
    def __init__(self) -> None:
        self.all: list[JobResult] = []

    def ended(self, ended: JobResult) -> None:
        self.all.append(ended)


@dataclass
class Works:
    """A worker in a thread, and the queue it works on."""

    dsn: str
    folder: Path
    queue: Queue
    config: Config
    timings: WorkerTimings = HURRY
    heard: Heard = field(default_factory=Heard)
    worker: Worker | None = None

    def order(self, **payload: object) -> str:
        return self.queue.enqueue(payload)

    def set(self, **settings: object) -> None:
        self.config = self.config.model_copy(update=settings)

    def make(self, *, drain: bool = False) -> Worker:
        self.worker = Worker(self.config, self.queue, drain=drain, job=PERFORM, timings=self.timings, watch=self.heard)
        return self.worker

    def drain(self) -> None:
        self.make(drain=True).run()

    @contextmanager
    def working(self) -> Iterator[Worker]:
        worker = self.make()
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(90)
            assert not thread.is_alive()

    def row(self, job_id: str) -> dict[str, Any]:
        return row_of(self.dsn, job_id)

    def statuses(self) -> list[str]:
        return [row["status"] for row in execute(self.dsn, "SELECT status FROM audio_job_queue ORDER BY created_at")]

    def outcomes(self) -> list[str]:
        return [ended.outcome for ended in self.heard.all]


@pytest.fixture
def works(leased_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(retry, "_CONFIGURATION_WAITS_S", (1.0, 1.0))
    monkeypatch.setattr(loop, "_TROUBLE_S", (0.4, 0.8))
    monkeypatch.setattr(loop, "_DRAIN_POLL_S", 0.1)
    config = Config(database_url=leased_dsn, poll_interval_ms=100, storage_dir=tmp_path / "out")
    queue = open_queue(config, worker_name="w")
    yield Works(leased_dsn, tmp_path, queue, config)
    queue.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def test_orders_are_made_and_their_ends_written(works: Works) -> None:
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
    assert works.heard.all[0].summary["lufs"] == -16.0


def test_a_cycle_takes_no_more_than_its_share_until_the_next(works: Works) -> None:
    works.set(poll_interval_ms=600_000, max_jobs_per_cycle=3)
    for _ in range(7):
        works.order()
    with works.working() as worker:
        eventually(lambda: works.outcomes().count("completed") == 3)
        time.sleep(0.3)
        assert works.statuses().count("pending") == 4
        worker.wake()
        eventually(lambda: works.outcomes().count("completed") == 6)
        time.sleep(0.1)
        assert works.statuses().count("pending") == 1


def test_polling_finds_what_nobody_told_of(works: Works) -> None:
    with works.working():
        eventually(lambda: works.worker is not None and works.worker.state.age_s < 0.1)
        time.sleep(0.3)
        works.order()
        eventually(lambda: works.outcomes() == ["completed"])


def test_as_many_at_a_time_as_configured(works: Works) -> None:
    works.set(worker_concurrency=2)
    for _ in range(4):
        works.order(do="sleep", seconds=0.4)
    most = 0
    with works.working() as worker:
        while len(works.heard.all) < 4:
            most = max(most, len(worker.state.running))
            time.sleep(0.01)
    assert most == 2


def test_draining_waits_for_retries_and_stops_when_all_is_done(works: Works) -> None:
    job = works.order(do="fail", error="TransientError", attempts=2)
    works.drain()
    assert works.outcomes() == ["retried", "retried", "completed"]
    assert works.row(job)["attempt"] == 3


def test_a_permanent_error_fails_at_once_with_the_customers_message(works: Works) -> None:
    job = works.order(do="fail", error="JobError", message="durationMin: 900 is too long")
    works.drain()
    row = works.row(job)
    assert (row["status"], row["error"], row["error_code"]) == ("failed", "durationMin: 900 is too long", "test.asked")


def test_a_bug_is_tried_again_and_its_words_reach_nobody(works: Works) -> None:
    job = works.order(do="bug", script="I sleep well")
    works.drain()
    row = works.row(job)
    assert (row["status"], row["attempt"]) == ("failed", 5)
    assert "I sleep well" not in f"{row['error']} {row['error_code']}" + "".join(
        str(ended.error) for ended in works.heard.all
    )


@pytest.mark.parametrize("do", ["kill self", "exit", "segfault"])
def test_the_third_crash_is_poison_and_the_neighbours_finish(works: Works, do: str) -> None:
    bad = works.order(do=do)
    good = [works.order() for _ in range(3)]
    works.drain()
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("failed", "poison", 3)
    assert all(works.row(job)["status"] == "completed" for job in good)


@pytest.mark.parametrize("do", ["allocate", "allocate apart"])
def test_a_job_without_end_of_memory_gets_one_more_try(works: Works, do: str) -> None:
    """In one process the kernel's limit ends it, in many the worker's watch."""
    works.set(memory_limit_mb=160)
    bad, good = works.order(do=do), works.order()
    works.drain()
    assert works.outcomes().count("retried") == 1
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "resource.memory", 2)
    assert works.row(good)["status"] == "completed"


def test_a_job_that_hangs_counts_as_crashed(works: Works) -> None:
    works.timings = WorkerTimings(check_s=0.1, silent_s=4.0)
    job = works.order(do="silent", seconds=600, attempts=1)
    works.drain()
    assert works.outcomes() == ["retried", "completed"]
    assert works.row(job)["crash_count"] == 1


def test_a_job_may_kill_the_nursery(works: Works) -> None:
    """Its process's parent. The worker has another one made."""
    job, neighbour = works.order(do="kill parent"), works.order()
    works.drain()
    assert [works.row(name)["status"] for name in (job, neighbour)] == ["completed", "completed"]


def test_a_matter_of_configuration_counts_no_attempt_and_holds_the_worker_back(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_TROUBLE_S", (600.0, 600.0))  # longer than any machine dawdles
    works.set(max_jobs_per_cycle=1, poll_interval_ms=600_000)  # a cycle begun beside the job has a share of its own
    job = works.order(do="fail", error="ConfigurationError", message="OPENAI_API_KEY was refused")
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["released"])
        assert worker.state.trouble == "OPENAI_API_KEY was refused"
        assert not worker.state.ready
        row = works.row(job)
        assert (row["status"], row["attempt"]) == ("pending", 0)
        works.order()
        worker.wake()
        time.sleep(0.3)
        assert works.outcomes() == ["released"], "nothing is taken while the worker backs off"


def test_after_backing_off_the_worker_goes_on_by_itself_and_is_ready_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_CONFIGURATION_WAITS_S", (600.0, 600.0))  # it is not in trouble again
    works.set(max_jobs_per_cycle=1)
    works.order(do="fail", error="ConfigurationError", message="OPENAI_API_KEY was refused")
    good = works.order()
    with works.working() as worker:
        eventually(lambda: works.row(good)["status"] == "completed")
        eventually(lambda: worker.state.ready)


def test_orders_that_need_nothing_of_what_is_missing_are_made_all_the_same(works: Works) -> None:
    """Three that cannot be made, being the oldest, do not keep the others from being taken, ever."""
    works.set(max_jobs_per_cycle=4)
    for _ in range(3):
        works.order(do="fail", error="ConfigurationError", message="OPENAI_API_KEY was refused")
    good = [works.order() for _ in range(4)]
    with works.working():
        eventually(lambda: all(works.row(job)["status"] == "completed" for job in good))


def test_draining_does_not_wait_for_an_operator(works: Works) -> None:
    works.order(do="fail", error="ConfigurationError", message="FFMPEG is missing")
    good = works.order()
    with pytest.raises(ConfigurationError, match="FFMPEG is missing"):
        works.drain()
    assert works.row(good)["status"] in ("pending", "completed")


def test_cancelling_stops_the_render_and_nothing_is_published(works: Works) -> None:
    ledger = works.folder / "ledger"
    job = works.order(do="sleep", seconds=600, ledger=str(ledger))
    with works.working():
        eventually(lambda: works.row(job)["stage"] == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    assert works.row(job)["status"] == "cancelled"
    assert not ledger.exists()


def test_a_word_of_the_listener_cancels_without_waiting_for_the_next_look(works: Works) -> None:
    works.timings = WorkerTimings(check_s=600, heartbeat_s=600)
    job = works.order(do="sleep", seconds=600)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].stage == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        worker.cancelled(job)
        eventually(lambda: works.outcomes() == ["cancelled"])


def test_what_was_uploaded_is_taken_back_when_the_customer_cancels(works: Works) -> None:
    job = works.order(upload="audio-renders/tracks/t/x.mp3", linger=600)
    file = works.folder / "out/audio-renders/tracks/t/x.mp3"
    with works.working():
        eventually(file.exists)
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    assert not file.exists()


def test_what_was_uploaded_stays_when_another_worker_has_the_job(works: Works) -> None:
    """Its name is made of its content: it may be the other one's already."""
    job = works.order(upload="audio-renders/tracks/t/x.mp3", linger=600)
    file = works.folder / "out/audio-renders/tracks/t/x.mp3"
    with works.working() as worker:
        eventually(file.exists)
        worker.state.stopping = True
        execute(works.dsn, "UPDATE audio_job_queue SET claim_token = gen_random_uuid() WHERE id = %s", job)
        eventually(lambda: works.outcomes() == ["lost"])
    assert file.exists()


def test_a_reset_by_somebody_else_ends_the_render(works: Works) -> None:
    """As the old edge function's after ten minutes. The next claim makes the track, once."""
    job = works.order(do="sleep", seconds=600, attempts=1)
    with works.working():
        eventually(lambda: works.row(job)["stage"] == "Sleeping")
        execute(works.dsn, "UPDATE audio_job_queue SET status = 'pending', started_at = NULL WHERE id = %s", job)
        eventually(lambda: sorted(works.outcomes()) == ["completed", "lost"])
    assert works.row(job)["status"] == "completed"


def test_without_a_heartbeat_the_job_is_given_up_and_nothing_is_finished(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError("no answer")

    works.timings = WorkerTimings(heartbeat_s=0.1, check_s=0.05, lost_after_s=0.5)
    ledger = works.folder / "ledger"
    job = works.order(do="sleep", seconds=2, ledger=str(ledger))
    with works.working() as worker:
        eventually(lambda: worker.state.running)
        monkeypatch.setattr(works.queue, "heartbeat", away)
        monkeypatch.setattr(works.queue, "claim_status", away)
        eventually(lambda: works.outcomes() == ["lost"])
    assert works.row(job)["status"] == "processing"  # its lease runs out; then any worker takes it up
    assert not ledger.exists()


def test_heartbeats_outlast_a_database_that_is_away_for_a_moment(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat, failures = works.queue.heartbeat, iter([TransientError("once"), ZeroDivisionError("a bug")])

    def sometimes(*arguments: Any, **more: Any) -> Any:
        for error in failures:
            raise error
        return heartbeat(*arguments, **more)

    monkeypatch.setattr(works.queue, "heartbeat", sometimes)
    works.order(do="sleep", seconds=1.0)
    works.drain()
    assert works.outcomes() == ["completed"]


def test_progress_reaches_the_row_while_the_job_runs(works: Works) -> None:
    job = works.order(do="sleep", seconds=600)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].stage == "Sleeping")
        before = works.row(job)["lease_expires_at"]
        eventually(lambda: works.row(job)["lease_expires_at"] > before)
        assert works.row(job)["stage"] == "Sleeping"


def test_orders_of_dead_workers_are_rescued(works: Works) -> None:
    dead = open_queue(works.config, worker_name="dead", lease_s=0.2)
    job = works.order()
    assert dead.claim() is not None
    dead.close()
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["completed"])
        assert worker.state.rescued == 1
    assert works.row(job)["crash_count"] == 1


def test_stopping_releases_what_takes_longer_and_finishes_what_does_not(works: Works) -> None:
    works.timings = WorkerTimings(check_s=0.1, finish_within_s=4.0)
    works.set(worker_concurrency=2)
    long, short = works.order(do="sleep", seconds=600), works.order(do="sleep", seconds=1.5)
    waiting = works.order()
    with works.working() as worker:
        eventually(lambda: any(job.claim.job_id == short and job.percent > 45 for job in worker.state.running))
        worker.stop()
        worker.stop()
    assert sorted(works.outcomes()) == ["completed", "released"]
    row = works.row(long)
    assert (row["status"], row["attempt"], row["error_code"]) == ("pending", 0, "shutdown")
    assert works.row(short)["status"] == "completed"
    assert works.row(waiting)["status"] == "pending"


def test_a_failure_on_the_way_out_costs_no_attempt(works: Works) -> None:
    """A SIGTERM to everybody may be what it failed of."""
    job = works.order(do=["sleep", "kill self"], seconds=0.5)
    works.timings = WorkerTimings(finish_within_s=60)
    with works.working() as worker:
        eventually(lambda: worker.state.running and worker.state.running[0].percent > 10)
        worker.stop()
    row = works.row(job)
    assert (row["status"], row["attempt"], row["crash_count"]) == ("pending", 0, 0)


def test_the_loop_goes_on_whatever_a_claim_does(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_FAILED_CLAIM_S", (0.05, 0.1))
    monkeypatch.setattr(loop, "_BUG_PAUSE_S", 0.05)
    claim = works.queue.claim
    failures = iter([TransientError("no answer"), ConfigurationError("refused"), ZeroDivisionError("a bug")])

    def sometimes() -> Any:
        for error in failures:
            raise error
        return claim()

    monkeypatch.setattr(works.queue, "claim", sometimes)
    works.order()
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["completed"])
        assert worker.state.trouble is None


def test_a_watch_that_fails_costs_nothing(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_ended: JobResult) -> None:
        works.heard.all.append(_ended)
        raise ZeroDivisionError

    monkeypatch.setattr(works.heard, "ended", fail)
    works.order()
    works.order()
    works.drain()
    assert works.statuses() == ["completed", "completed"]


def test_nothing_stays_behind(works: Works, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "tmp"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    children = len(started())
    works.order(do="sleep", seconds=0.1)
    works.order(do="kill self", attempts=1)
    works.drain()
    assert list(root.iterdir()) == []
    assert len(started()) == children


def test_payloads_that_python_cannot_load_fail_alone(works: Works) -> None:
    """Valid jsonb; each is parsed in its own job's process, so nobody waits for it and no crash is counted."""
    hostile = {
        "nested": "'{\"x\":' || repeat('[', 2000) || repeat(']', 2000) || '}'",
        "digits": "'{\"x\":' || repeat('9', 5000) || '}'",
        "a list": "'[1, 2]'",
        "a word": "'\"x\"'",
    }
    good = [works.order() for _ in range(2)]
    for text in hostile.values():
        execute(works.dsn, f"INSERT INTO audio_job_queue (payload) VALUES (({text})::jsonb)")
    good.append(works.order())
    works.drain()
    assert works.statuses() == ["completed"] * 2 + ["failed"] * len(hostile) + ["completed"]
    rows = execute(works.dsn, "SELECT error_code, crash_count, attempt FROM audio_job_queue WHERE status = 'failed'")
    assert [tuple(row.values()) for row in rows] == [("job.invalid", 0, 1)] * len(hostile)


def test_a_payload_that_is_too_large_fails_before_a_process_starts(works: Works) -> None:
    execute(works.dsn, "INSERT INTO audio_job_queue (payload) VALUES (jsonb_build_object('x', repeat('y', 50000000)))")
    works.order()
    works.drain()
    assert works.statuses() == ["failed", "completed"]
    row = execute(works.dsn, "SELECT error, error_code FROM audio_job_queue WHERE status = 'failed'")[0]
    assert row["error_code"] == "job.too_large"
    assert "too large" in row["error"]
    assert works.heard.all[0].claim.payload_text is None


def test_a_row_its_owner_resets_again_and_again_is_refused(works: Works) -> None:
    job = works.order()
    execute(works.dsn, "UPDATE audio_job_queue SET attempt = 5 WHERE id = %s", job)
    works.drain()
    assert (works.row(job)["status"], works.row(job)["error_code"]) == ("failed", "attempts")
