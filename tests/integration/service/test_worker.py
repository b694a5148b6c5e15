"""The worker's loop on a real queue, with small jobs in real processes: claims, outcomes, cancelling, stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from database import execute, row_of
from processes import children as started
from pydantic import SecretStr
from standins.jobs import PERFORM

from worker.backoff import RetryPolicy
from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue.retry import JobRetries
from worker.queue.service import Cause, Queue, open_queue
from worker.service.heartbeat import WorkerTimings
from worker.service.observers import JobObserver
from worker.service.runner import JobResult
from worker.service.worker import Worker

HURRY = WorkerTimings(
    heartbeat_s=0.3,
    check_s=0.1,
    lost_after_s=20.0,
    rescue_s=0.3,
    finish_within_s=1.0,
    trouble=RetryPolicy(first_wait_s=0.4, longest_wait_s=0.8, jitter=0.0),
    drain_poll_s=0.1,
)


class Recorder(JobObserver):
    def __init__(self) -> None:
        self.all: list[JobResult] = []
        self.told: list[tuple[str, str]] = []

    def ended(self, ended: JobResult) -> None:
        self.all.append(ended)

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        del why
        self.told.append((outcome, job_id))

    def must_be_fixed(self, cause: Cause) -> None:
        self.told.append(("must be fixed", cause.name))

    def fixed(self, cause: Cause) -> None:
        self.told.append(("fixed", cause.name))


@dataclass
class Works:
    """A worker in a thread, and its queue."""

    dsn: str
    folder: Path
    queue: Queue
    config: Config
    timings: WorkerTimings = HURRY
    observer: Recorder = field(default_factory=Recorder)
    worker: Worker | None = None

    def enqueue(self, **payload: object) -> str:
        return self.queue.enqueue(payload)

    def set(self, **settings: object) -> None:
        self.config = self.config.model_copy(update=settings)

    def make(self, *, drain: bool = False) -> Worker:
        self.worker = Worker(
            self.config, self.queue, drain=drain, job=PERFORM, timings=self.timings, observers=[self.observer]
        )
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
        return [ended.outcome for ended in self.observer.all]


@pytest.fixture
def works(leased_dsn: str, tmp_path: Path) -> Iterator[Works]:
    config = Config(database_url=leased_dsn, poll_interval_ms=100, storage_dir=tmp_path / "out")
    policy = RetryPolicy(first_wait_s=0.1, longest_wait_s=900.0)
    retries = JobRetries(policy, machine_s=1.0, machine_again_s=1.0)
    queue = open_queue(config, worker_name="w", retries=retries)
    yield Works(leased_dsn, tmp_path, queue, config)
    queue.close()


def probe_now(dsn: str) -> None:
    """Have the pauses of all causes end."""
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


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


def test_what_a_trigger_quotes_of_a_payload_is_in_no_attempt(works: Works) -> None:
    job = works.enqueue(do="nothing", script="Gwendolyn sleeps soundly")
    execute(
        works.dsn,
        "CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.status = 'completed' THEN RAISE 'no: %', NEW.payload; END IF; RETURN NEW; END $$",
    )
    execute(works.dsn, "CREATE TRIGGER quote BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION quote()")
    with pytest.raises(ConfigurationError):
        works.drain()
    (attempt,) = works.queue.attempts(job)
    assert attempt.report.error is not None
    assert "P0001" in attempt.report.error
    assert "Gwendolyn" not in attempt.report.error


def test_each_attempt_leaves_its_story_with_secrets_masked(works: Works) -> None:
    works.set(openai_api_key=SecretStr("a-key-of-no-known-form"))
    deeds = ["sleep", "fail"]
    job = works.enqueue(
        do=deeds, seconds=0.2, error="TransientError", message="a-key-of-no-known-form \x1b", attempts=1
    )
    works.drain()
    first, second = works.queue.attempts(job)
    assert (first.number, first.outcome) == (1, "retried")
    assert first.report.error == "<text of 24 characters>", "nothing of a key, nor what a terminal obeys"
    assert list(first.report.stages) == ["Sleeping"]
    assert (second.number, second.outcome, second.report.error) == (2, "completed", None)
    assert (second.report.figures["lufs"], second.report.figures["dbtp"]) == (-16.0, -1.5)
    assert "worker" in second.report.versions
    assert "a-key" not in str(execute(works.dsn, "SELECT * FROM worker_attempts"))


def test_a_cancelled_job_s_worker_tells_how_far_it_came(works: Works) -> None:
    job = works.enqueue(do="wait", until=str(works.folder / "never"))
    with works.working() as worker:
        eventually(lambda: [job.stage for job in worker.state.running] == ["Waiting"])
        works.queue.cancel([job])
        worker.cancelled(job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    (attempt,) = works.queue.attempts(job)
    assert (attempt.outcome, list(attempt.report.stages)) == ("cancelled", ["Waiting"])


def test_a_worker_purges_by_itself_what_is_too_old(works: Works) -> None:
    works.set(purge_after_d=30)
    old, young = works.enqueue(), works.enqueue()
    works.drain()
    execute(
        works.dsn,
        "UPDATE audio_job_queue SET created_at = now() - interval '31 days', completed_at = now() - interval '31 days'"
        " WHERE id = %s",
        old,
    )
    with works.working():
        eventually(lambda: works.row(old)["purged_at"] is not None)
    assert works.row(young)["purged_at"] is None
    assert works.queue.attempts(old) == []


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


def test_drain_waits_for_retries_and_stops_when_empty(works: Works) -> None:
    job = works.enqueue(do="fail", error="TransientError", attempts=2)
    works.drain()
    assert works.outcomes() == ["retried", "retried", "completed"]
    assert works.row(job)["attempt"] == 3


def test_a_permanent_error_fails_at_once_with_the_customers_message(works: Works) -> None:
    job = works.enqueue(do="fail", error="JobError", message=["bpm:", "900", "is", "too", "long"])
    works.drain()
    row = works.row(job)
    assert (row["status"], row["error"], row["error_code"]) == ("failed", "bpm: 900 is too long", "test.asked")


def test_a_bug_is_retried_and_its_text_is_not_logged(works: Works) -> None:
    job = works.enqueue(do="bug", script="I sleep well")
    works.drain()
    row = works.row(job)
    assert (row["status"], row["attempt"]) == ("failed", 2)
    assert "I sleep well" not in f"{row['error']} {row['error_code']}" + "".join(
        str(ended.error) for ended in works.observer.all
    )


@pytest.mark.parametrize("do", ["kill self", "exit", "segfault"])
def test_the_third_crash_is_poison_and_other_jobs_finish(works: Works, do: str) -> None:
    bad = works.enqueue(do=do)
    good = [works.enqueue() for _ in range(3)]
    works.drain()
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("failed", "poison", 3)
    assert all(works.row(job)["status"] == "completed" for job in good)


@pytest.mark.parametrize("do", ["allocate", "allocate apart"])
def test_out_of_memory_is_retried_once(works: Works, do: str) -> None:
    """In one process RLIMIT_DATA ends it, in several the worker's check."""
    works.set(memory_limit_mb=160)
    bad, good = works.enqueue(do=do), works.enqueue()
    works.drain()
    assert works.outcomes().count("retried") == 1
    row = works.row(bad)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "resource.memory", 2)
    assert works.row(good)["status"] == "completed"


def test_a_job_that_hangs_is_stopped_and_tried_again(works: Works) -> None:
    works.timings = replace(HURRY, silent_s=4.0)
    job = works.enqueue(do="silent", seconds=600, attempts=1)
    works.drain()
    assert works.outcomes() == ["retried", "completed"]
    assert [getattr(ended.error, "code", None) for ended in works.observer.all] == ["job.silent", None]
    assert works.row(job)["crash_count"] == 0


def test_a_job_over_its_deadline_is_stopped_with_all_it_started(works: Works) -> None:
    """It tells of progress all the time, so nothing else would stop it."""
    works.set(job_deadline_min=0.02)
    note = works.folder / "note"
    job = works.enqueue(do="family", seconds=600, note=str(note))
    works.drain()
    row = works.row(job)
    assert works.outcomes() == ["retried", "failed"]
    assert (row["status"], row["error_code"], row["attempt"], row["crash_count"]) == ("failed", "job.deadline", 2, 0)
    assert row["error"] == "Your track took too long to be made. Please contact support."
    assert "JOB_DEADLINE_MIN" in str(works.observer.all[-1].error)
    assert not any(Path(f"/proc/{pid}").exists() for pid in note.read_text().split())


def test_a_job_that_a_worker_died_beside_runs_alone(works: Works) -> None:
    """It waits for the one before it, with its lease kept; the one behind it is not claimed meanwhile."""
    works.set(worker_concurrency=3)
    gate = works.folder / "gate"
    first, suspect = works.enqueue(do="wait", until=str(gate)), works.enqueue()
    execute(works.dsn, "UPDATE audio_job_queue SET error_code = 'crash.shared' WHERE id = %s", suspect)
    behind = works.enqueue()
    leases: set[object] = set()
    with works.working():
        while len(leases) < 4:  # heartbeats
            row = works.row(suspect)
            assert (row["status"], row["stage"]) in (("pending", None), ("processing", None))
            leases |= {row["lease_expires_at"]}
            time.sleep(0.01)
        assert works.row(behind)["status"] == "pending"
        gate.touch()
        eventually(lambda: len(works.outcomes()) == 3)
    assert attempts(works) == [(first, "completed"), (suspect, "completed"), (behind, "completed")]


def test_a_longer_track_may_work_for_longer(works: Works) -> None:
    """2 s at most for a track of no length; one of 60 s may take 122 s."""
    works.set(job_deadline_min=2 / 60)
    works.enqueue(do="sleep", seconds=4, length=60)
    works.drain()
    assert works.outcomes() == ["completed"]


def test_the_fork_server_is_replaced_when_a_job_kills_it(works: Works) -> None:
    job, neighbour = works.enqueue(do="kill parent"), works.enqueue()
    works.drain()
    assert [works.row(name)["status"] for name in (job, neighbour)] == ["completed", "completed"]


def dead(works: Works, model: str = "tts-1", **more: object) -> str:
    """A job on a model that has ended."""
    about = ["openai", model]
    return works.enqueue(
        do="fail", error="ConfigurationError", message=f"{model} has ended".split(), about=about, **more
    )


def attempts(works: Works) -> list[tuple[str, str]]:
    return [(ended.claim.job_id, ended.outcome) for ended in works.observer.all]


def test_healthy_jobs_do_not_wait_for_dead_ones(works: Works) -> None:
    """Each dead one is tried once; a cycle of two, with no other for an hour, still gets through all of them."""
    works.set(max_jobs_per_cycle=2, poll_interval_ms=600_000)
    dead_ones = [dead(works) for _ in range(6)]
    good = [works.enqueue() for _ in range(2)]
    with works.working() as worker:
        eventually(lambda: works.outcomes().count("completed") == 2)
        assert attempts(works) == [(job, "parked") for job in dead_ones] + [(job, "completed") for job in good]
        assert worker.state.ready, "the next job would be claimed"
        assert [cause.name for cause in worker.state.causes] == ["openai/tts-1/test.asked"]
        assert "tts-1 has ended" in str(worker.state.trouble)
    assert {works.row(job)["attempt"] for job in dead_ones} == {0}


def test_what_must_be_fixed_is_told_once_for_each_cause(works: Works) -> None:
    fixed = works.folder / "fixed"
    jobs = [dead(works, model, fixed_by=str(fixed)) for model in ("tts-1", "tts-1-hd") for _ in range(3)]
    with works.working():
        eventually(lambda: works.outcomes().count("parked") == 6)
        causes = {f"openai/{model}/test.asked" for model in ("tts-1", "tts-1-hd")}
        eventually(lambda: len(works.observer.told) == 2)
        assert set(works.observer.told) == {("must be fixed", name) for name in causes}
        fixed.touch()
        probe_now(works.dsn)
        eventually(lambda: works.outcomes().count("completed") == 6)
        eventually(lambda: len(works.observer.told) == 4)
        assert set(works.observer.told[2:]) == {("fixed", name) for name in causes}
        eventually(lambda: works.worker is not None and works.worker.state.trouble is None)
    assert works.outcomes() == ["parked"] * 6 + ["completed"] * 6
    assert {works.row(job)["attempt"] for job in jobs} == {1}


def test_a_probe_that_meets_its_cause_again_is_the_only_one(works: Works) -> None:
    jobs = [dead(works) for _ in range(3)]
    with works.working():
        eventually(lambda: works.outcomes() == ["parked"] * 3)
        probe_now(works.dsn)
        eventually(lambda: len(works.observer.all) == 4)
        works.enqueue()
        eventually(lambda: works.outcomes() == ["parked"] * 4 + ["completed"])
    assert attempts(works)[3] == (jobs[0], "parked")


def test_a_job_that_was_parked_for_too_long_is_told_of(works: Works) -> None:
    job = dead(works)
    with works.working():
        eventually(lambda: works.outcomes() == ["parked"])
        execute(works.dsn, "UPDATE audio_job_queue SET parked_since = now() - interval '49 hours'")
        eventually(lambda: works.row(job)["status"] == "failed")
        eventually(lambda: ("failed", job) in works.observer.told)
    assert works.row(job)["error_code"] == "configuration.limit"


def test_a_machine_that_can_do_no_job_releases_it_and_backs_off(works: Works) -> None:
    works.timings = replace(
        HURRY, trouble=RetryPolicy(first_wait_s=600.0, longest_wait_s=600.0)
    )  # longer than any test run
    works.set(max_jobs_per_cycle=1, poll_interval_ms=600_000)  # so that no other cycle begins during the job
    job = works.enqueue(do="fail", error="MachineError", message=["there", "is", "no", "FFmpeg"])
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["released"])
        assert worker.state.trouble == "there is no FFmpeg"
        assert not worker.state.ready
        row = works.row(job)
        assert (row["status"], row["attempt"], row["parked_cause"]) == ("pending", 0, None)
        works.enqueue()
        worker.wake()
        time.sleep(0.3)
        assert works.outcomes() == ["released"], "nothing is claimed while the worker backs off"


def test_the_worker_is_ready_again_after_backing_off(works: Works) -> None:
    works.queue.retries = replace(works.queue.retries, machine_s=600.0)  # so that it has no further trouble
    works.set(max_jobs_per_cycle=1)
    works.enqueue(do="fail", error="MachineError", message=["there", "is", "no", "FFmpeg"])
    good = works.enqueue()
    with works.working() as worker:
        eventually(lambda: works.row(good)["status"] == "completed")
        eventually(lambda: worker.state.ready)


def test_trouble_is_mended_by_its_own_cause_only(works: Works) -> None:
    """Neither by claims, nor by jobs that do not need what is missing; then by the job that does."""
    fixed = works.folder / "fixed"
    works.set(max_jobs_per_cycle=1)
    machine = {"do": "fail", "error": "MachineError", "message": "no such encoder", "fixed_by": str(fixed)}
    works.enqueue(**machine, about=["encoder"])
    with works.working() as worker:
        eventually(lambda: works.outcomes()[:1] == ["released"])
        good = works.enqueue()
        eventually(lambda: works.row(good)["status"] == "completed")
        assert [cause.name for cause in worker.state.own.causes] == ["encoder/test.asked"]
        assert worker.state.readiness().code == "test.asked"
        fixed.touch()
        eventually(lambda: worker.state.ready)
    assert works.outcomes().count("completed") == 2


def test_drain_ends_when_only_parked_jobs_are_left(works: Works) -> None:
    job = dead(works)
    retried = works.enqueue(do="fail", error="TransientError", attempts=2)
    with pytest.raises(ConfigurationError, match="tts-1 has ended"):
        works.drain()
    assert works.row(retried)["status"] == "completed"
    assert works.row(job)["status"] == "pending"
    assert works.outcomes().count("parked") == 1


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


def test_payloads_that_python_cannot_load_fail_alone(works: Works) -> None:
    """Valid jsonb; each is parsed in its own job process, so no other job waits and no crash is counted."""
    hostile = {
        "nested": "'{\"x\":' || repeat('[', 2000) || repeat(']', 2000) || '}'",
        "digits": "'{\"x\":' || repeat('9', 5000) || '}'",
        "a list": "'[1, 2]'",
        "a word": "'\"x\"'",
    }
    good = [works.enqueue() for _ in range(2)]
    for text in hostile.values():
        execute(works.dsn, f"INSERT INTO audio_job_queue (payload) VALUES (({text})::jsonb)")
    good.append(works.enqueue())
    works.drain()
    assert works.statuses() == ["completed"] * 2 + ["failed"] * len(hostile) + ["completed"]
    rows = execute(works.dsn, "SELECT error_code, crash_count, attempt FROM audio_job_queue WHERE status = 'failed'")
    assert [tuple(row.values()) for row in rows] == [("job.invalid", 0, 1)] * len(hostile)


def test_a_payload_that_is_too_large_fails_before_a_process_starts(works: Works) -> None:
    execute(works.dsn, "INSERT INTO audio_job_queue (payload) VALUES (jsonb_build_object('x', repeat('y', 50000000)))")
    works.enqueue()
    works.drain()
    assert works.statuses() == ["failed", "completed"]
    row = execute(works.dsn, "SELECT error, error_code FROM audio_job_queue WHERE status = 'failed'")[0]
    assert row["error_code"] == "job.too_large"
    assert "too large" in row["error"]
    assert works.observer.all[0].claim.payload_text is None


def test_a_row_that_is_reset_too_often_fails(works: Works) -> None:
    job = works.enqueue()
    execute(works.dsn, "UPDATE audio_job_queue SET attempt = 5 WHERE id = %s", job)
    works.drain()
    assert (works.row(job)["status"], works.row(job)["error_code"]) == ("failed", "attempts")
