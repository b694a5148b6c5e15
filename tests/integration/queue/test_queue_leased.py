"""Leased mode on a real Postgres: one holder at a time, whatever happens to the others."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from claiming import claimed, due_now, expire
from database import Databases, Variant, execute, new_track, payload_of, rescued_by, row_of
from figures import tell
from standins.proxy import Proxy

from worker.config import Config
from worker.embedded.postgres import embedded_postgres
from worker.errors import Cancelled, JobError, MachineError, ResourceError, ShuttingDown, TransientError
from worker.queue.leased import LeasedQueue
from worker.queue.migrate import migrate
from worker.queue.postgres import PostgresTransport
from worker.queue.retry import Action, Decision
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue, open_queue

Open = Callable[..., Queue]


def test_a_job_goes_through(jobs: Queue, leased_dsn: str) -> None:
    track = execute(leased_dsn, "INSERT INTO tracks (title) VALUES ('t') RETURNING id")[0]["id"]
    job_id = jobs.enqueue({"script": "Breathe."}, track_id=str(track))
    assert jobs.mode == "leased"
    assert jobs.depth() == {"pending": 1, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0}
    claim = claimed(jobs)
    assert (claim.job_id, claim.attempt, payload_of(claim), claim.track_id) == (
        job_id, 1, {"script": "Breathe."}, str(track),
    )  # fmt: skip
    assert 0 <= claim.waited_s < 60
    assert jobs.heartbeat(claim, progress=40, stage="Mixing") is ClaimStatus.HELD
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["progress"], row["stage"], row["claimed_by"]) == (
        "processing",
        40,
        "Mixing",
        "first",
    )
    written = {
        "audio_url": "audio-renders/x.mp3",
        "duration_seconds": 300,
        "status": "published",
        "no_such": 1,
    }
    assert jobs.finish(claim, result={"url": "x", "durationMs": 1}, track=written) is ClaimStatus.HELD
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["progress"], row["result"]) == (
        "completed",
        100,
        {"url": "x", "durationMs": 1},
    )
    assert row["completed_at"] is not None
    after = execute(leased_dsn, "SELECT * FROM tracks")[0]
    assert (after["audio_url"], after["duration_seconds"], after["status"]) == (
        "audio-renders/x.mp3",
        300,
        "published",
    )
    assert after["updated_at"] > after["created_at"]
    assert jobs.claim() is None


def test_oldest_due_first_and_nothing_before_its_time(jobs: Queue, leased_dsn: str) -> None:
    ids = [jobs.enqueue({"n": n}) for n in range(4)]
    execute(leased_dsn, "UPDATE audio_job_queue SET run_after = now() + interval '1 hour' WHERE id = %s", ids[1])
    assert [claimed(jobs).job_id for _ in range(3)] == [ids[0], ids[2], ids[3]]
    assert jobs.claim() is None


@pytest.mark.parametrize("trials", [300, pytest.param(10_000, marks=pytest.mark.faults)])
def test_a_worker_that_lost_its_lease_writes_nothing(leased_dsn: str, trials: int) -> None:
    """Every kind of write with a stale token, in every state that the row can be in meanwhile."""
    mode = LeasedQueue(PostgresTransport(leased_dsn, application="t"), worker_name="w", lease_s=60)
    job_id = str(execute(leased_dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}') RETURNING id")[0]["id"])
    states = ("pending", "processing", "completed", "failed", "cancelled")
    jitter = random.Random(7)
    accepted = 0
    for trial in range(trials):
        stale = Claim(job_id, str(uuid.uuid4()), 1, None, None, None, 0.0)
        if trial % 5 == 0:
            execute(
                leased_dsn,
                "UPDATE audio_job_queue SET status = %s, claim_token = gen_random_uuid(),"
                " lease_expires_at = now() + interval '1 minute'",
                jitter.choice(states),
            )
            before = row_of(leased_dsn, job_id)
        write = jitter.choice(
            [
                lambda c: mode.heartbeat(c, progress=99, stage="stolen"),
                lambda c: mode.write_decision(c, Decision(Action.RELEASE, Outcome.RELEASED, "stolen")),
                lambda c: mode.write_decision(c, Decision(Action.RETRY, Outcome.RETRIED, "stolen", crashed=True)),
                lambda c: mode.write_decision(c, Decision(Action.FAIL, Outcome.FAILED, "stolen", message="stolen")),
                lambda c: mode.finish(c, result={"stolen": True}, track={"audio_url": "stolen"}),
            ]
        )
        claim_status = write(stale)
        expected = ClaimStatus.CANCELLED if before["status"] == "cancelled" else ClaimStatus.LOST
        accepted += claim_status is not expected or row_of(leased_dsn, job_id) != before
    mode.close()
    tell(
        "writes of a worker that lost its lease",
        must="none is accepted: not a column of the row changes",
        trials=trials,
        accepted=accepted,
    )
    assert accepted == 0


def test_a_lost_claim_answer_is_recovered(leased_dsn: str) -> None:
    with Proxy(leased_dsn) as proxy:
        jobs = open_queue(Config(database_url=proxy.dsn), worker_name="w")
        ids = {jobs.enqueue({"n": n}) for n in range(2)}
        proxy.swallow_next_answer()
        with pytest.raises(TransientError):
            jobs.claim()
        held = execute(leased_dsn, "SELECT id, attempt FROM audio_job_queue WHERE status = 'processing'")
        assert len(held) == 1, "the claim was committed, its answer was lost"
        claim = claimed(jobs)
        assert (claim.job_id, claim.attempt) == (str(held[0]["id"]), 1)
        assert {claim.job_id, claimed(jobs).job_id} == ids
        jobs.close()


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_a_lost_answer_to_the_last_write_is_asked_for_again(leased_dsn: str, end: str) -> None:
    with Proxy(leased_dsn) as proxy:
        jobs = open_queue(Config(database_url=proxy.dsn), worker_name="w")
        jobs.enqueue({})
        claim = claimed(jobs)
        proxy.swallow_next_answer()
        if end == "finish":
            assert jobs.finish(claim, result={"a": 1}, track={}) is ClaimStatus.HELD
        else:
            assert jobs.resolve_failure(claim, JobError("bad")) is Outcome.FAILED
        assert row_of(leased_dsn, claim.job_id)["status"] == ("completed" if end == "finish" else "failed")
        jobs.close()


def test_eight_workers_claim_five_hundred_jobs_each_once(leased_dsn: str) -> None:
    execute(leased_dsn, "INSERT INTO audio_job_queue (payload) SELECT '{}' FROM generate_series(1, 500)")

    def take_all(number: int) -> list[str]:
        queue = open_queue(Config(database_url=leased_dsn), worker_name=f"w{number}")
        taken = []
        while claim := queue.claim():
            taken.append(claim.job_id)
            assert queue.finish(claim, result={}, track={}) is ClaimStatus.HELD
        queue.close()
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = Counter(job_id for ids in pool.map(take_all, range(8)) for job_id in ids)
    assert len(taken) == 500
    assert set(taken.values()) == {1}
    assert execute(leased_dsn, "SELECT count(*) n FROM audio_job_queue WHERE status = 'completed'")[0]["n"] == 500


def test_transient_errors_wait_and_then_give_up(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    for attempt in range(1, 6):
        claim = claimed(jobs)
        assert claim.attempt == attempt
        outcome = jobs.resolve_failure(claim, TransientError("provider down", code="voice.down"))
        if attempt < 5:
            assert outcome is Outcome.RETRIED
            assert jobs.claim() is None, "not before its time"
            left = execute(leased_dsn, "SELECT extract(epoch FROM run_after - now()) s FROM audio_job_queue")[0]["s"]
            assert 2.5 * 2 ** (attempt - 1) - 2 < left <= 5 * 2 ** (attempt - 1)
            due_now(leased_dsn)
        else:
            assert outcome is Outcome.FAILED
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "voice.down", 5)
    assert "provider" not in row["error"], "what the customer reads tells nothing of the inside"


def test_a_wait_and_a_shutdown_do_not_count_as_attempts(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    for _ in range(7):
        claim = claimed(jobs)
        assert claim.attempt == 1
        assert jobs.resolve_failure(claim, MachineError("no FFmpeg")) is Outcome.RELEASED
        assert jobs.claim() is None
        due_now(leased_dsn)
    assert jobs.resolve_failure(claimed(jobs), ShuttingDown()) is Outcome.RELEASED
    assert claimed(jobs).attempt == 1
    assert row_of(leased_dsn, job_id)["release_count"] == 8


def test_out_of_memory_gets_one_more_try(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    assert jobs.resolve_failure(claimed(jobs), ResourceError("child out of memory")) is Outcome.RETRIED
    due_now(leased_dsn)
    assert jobs.resolve_failure(claimed(jobs), ResourceError("child out of memory")) is Outcome.FAILED


def test_a_cancelled_job_stays_cancelled(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    claim = claimed(jobs)
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
    assert jobs.claim_status(claim) is ClaimStatus.CANCELLED
    assert jobs.heartbeat(claim, progress=70, stage="s") is ClaimStatus.CANCELLED
    assert jobs.resolve_failure(claim, TransientError("x")) is Outcome.CANCELLED
    assert jobs.resolve_failure(claim, Cancelled()) is Outcome.CANCELLED
    assert jobs.finish(claim, result={}, track={"status": "published"}) is ClaimStatus.CANCELLED
    assert rescued_by(jobs) == 0
    assert jobs.claim() is None
    assert row_of(leased_dsn, job_id)["status"] == "cancelled"


@pytest.mark.parametrize("restarts", [1, pytest.param(20, marks=pytest.mark.faults)])
def test_a_database_that_is_shot_during_finish(restarts: int, server_folder: Path) -> None:
    """As `pg_ctl restart -m immediate`: it ends once, whether the answer, the commit or nothing got through."""
    jitter = random.Random(3)
    with embedded_postgres(server_folder / "server", settings={"fsync": "off"}) as server:
        migrate(server.dsn)
        jobs = open_queue(Config(database_url=server.dsn), worker_name="w")
        execute(server.dsn, "CREATE TABLE ends (id uuid)")
        execute(
            server.dsn,
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO public.ends VALUES (NEW.id); RETURN NULL; END'",
        )
        execute(
            server.dsn,
            "CREATE TRIGGER note AFTER UPDATE ON audio_job_queue FOR EACH ROW"
            " WHEN (NEW.status = 'completed') EXECUTE FUNCTION note()",
        )
        ended: Counter[int] = Counter()
        for _ in range(restarts):
            job_id = jobs.enqueue({})
            claim = claimed(jobs)
            pid = server.pid
            assert pid is not None
            shot = threading.Timer(jitter.uniform(0, 0.003), os.kill, (pid, signal.SIGQUIT))
            shot.start()
            assert jobs.finish(claim, result={"a": 1}, track={}) is ClaimStatus.HELD
            shot.join()
            while server.pid in (None, pid):
                time.sleep(0.01)
            jobs.finish(claim, result={"a": 2}, track={})  # changes nothing, but the server answers after it
            ended[execute(server.dsn, "SELECT count(*) n FROM ends WHERE id = %s", job_id)[0]["n"]] += 1
            assert row_of(server.dsn, job_id)["result"] == {"a": 1}
        jobs.close()
    tell(
        "the server shot (as by pg_ctl restart -m immediate) within 3 ms of the start of finish",
        must="finish outlasts it; the job ends once",
        jobs_in=ended.total(),
        ended_once=ended[1],
        ended_twice=ended.total() - ended[1] - ended[0],
        lost=ended[0],
    )
    assert ended == {1: restarts}


def test_a_job_that_is_deleted_is_lost(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    execute(leased_dsn, "DELETE FROM audio_job_queue")
    assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.LOST
    assert jobs.finish(claim, result={}, track={}) is ClaimStatus.LOST


@pytest.mark.parametrize(
    "variant",
    [Variant("lacking", "production", "job_data", "enum"), Variant("completing", preview_url=False)],
    ids=str,
)
def test_a_migrated_production_database_in_every_way_of_ending(databases: Databases, variant: Variant) -> None:
    dsn = databases.new(variant)
    migrate(dsn)
    queue = open_queue(Config(database_url=dsn), worker_name="w")
    assert queue.mode == "leased"
    ids = [queue.enqueue({"n": n}, track_id=new_track(dsn)) for n in range(4)]
    track_values = {"audio_url": "a", "preview_url": "p", "duration_seconds": 9, "status": "published"}
    claim = claimed(queue)
    assert payload_of(claim) == {"n": 0}
    assert queue.heartbeat(claim, progress=5, stage="s") is ClaimStatus.HELD
    assert queue.finish(claim, result={"url": "u"}, track=track_values) is ClaimStatus.HELD
    assert queue.resolve_failure(claimed(queue), JobError("field x")) is Outcome.FAILED
    assert queue.resolve_failure(claimed(queue), TransientError("t")) is Outcome.RETRIED
    assert queue.resolve_failure(claimed(queue), ShuttingDown()) is Outcome.RELEASED
    claimed(queue)
    expire(dsn)
    assert rescued_by(queue) == 1
    statuses = {str(row["id"]): row["status"] for row in execute(dsn, "SELECT id, status::text FROM audio_job_queue")}
    assert [statuses[job_id] for job_id in ids] == ["completed", "failed", "pending", "pending"]
    (after,) = execute(dsn, "SELECT * FROM tracks WHERE status = 'published'")
    assert (after["audio_url"], after["duration_seconds"]) == ("a", 9)
    assert after.get("preview_url") == ("p" if variant.preview_url else None)
    queue.close()
    databases.release(dsn)
