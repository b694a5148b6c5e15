"""What operators do with the queue, in both modes and over both transports; and the story that each job leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
from database import Databases, Variant, execute, new_track, row_of
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY, Postgrest

from worker.config import Config
from worker.errors import Cancelled, ConfigurationError, JobError, ShuttingDown, TransientError
from worker.queue.claims import AttemptReport, Claim, ClaimStatus, Handled, Outcome
from worker.queue.operations import NeedsMigrationError
from worker.queue.service import Queue, open_queue

USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "customer"))
NOBODY = str(uuid.uuid5(uuid.NAMESPACE_DNS, "no job"))
WAYS = [(leased, transport) for leased in (True, False) for transport in ("postgres", "supabase")]
LEASED = [way for way in WAYS if way[0]]
PLAIN = [way for way in WAYS if not way[0]]


@pytest.fixture(params=WAYS, ids=lambda way: f"{'leased' if way[0] else 'plain'}-{way[1]}")
def way(request: pytest.FixtureRequest) -> tuple[bool, str]:
    return request.param


@pytest.fixture
def dsn(databases: Databases, way: tuple[bool, str]) -> Iterator[str]:
    # both columns and both kinds of status between them
    variant = (
        Variant("completing", "production", "payload", "enum") if way[1] == "postgres" else Variant(column="job_data")
    )
    dsn = databases.new(Variant(**{**variant.__dict__, "leased": way[0]}))
    yield dsn
    databases.release(dsn)


@pytest.fixture
def jobs(dsn: str, way: tuple[bool, str]) -> Iterator[Queue]:
    with ExitStack() as stack:
        config = Config(database_url=dsn)
        if way[1] == "supabase":
            url = stack.enter_context(serve({"/rest/v1": Postgrest(dsn)}))
            config = Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY)
        queue = open_queue(config, worker_name="w")
        stack.callback(queue.close)
        yield queue


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def failed(queue: Queue, code: str = "job.invalid") -> str:
    job_id = queue.enqueue({"script": "secret"})
    claim = claimed(queue)
    assert claim.job_id == job_id
    assert queue.resolve_failure(claim, JobError("bad", code=code)) is Outcome.FAILED
    return job_id


def test_cancel_ends_what_waits_and_what_runs(jobs: Queue, dsn: str) -> None:
    done = failed(jobs)
    running = jobs.enqueue({})
    claim = claimed(jobs)
    waiting = jobs.enqueue({})
    assert jobs.cancel([waiting, running, done, NOBODY, running]) == {
        waiting: Handled(True, "pending"),
        running: Handled(True, "processing"),
        done: Handled(False, "failed"),
        NOBODY: Handled(False, None),
    }
    assert jobs.claim_status(claim) is ClaimStatus.CANCELLED
    assert jobs.finish(claim, result={}, track={}) is ClaimStatus.CANCELLED
    assert {row_of(dsn, job_id)["status"] for job_id in (waiting, running)} == {"cancelled"}
    assert jobs.claim() is None


def test_a_cancelled_running_job_notifies_its_worker(jobs: Queue, dsn: str, way: tuple[bool, str]) -> None:
    if not way[0]:
        return  # its worker reads the row every 3 s
    jobs.enqueue({})
    claim = claimed(jobs)
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN mindscript_worker")
        jobs.cancel([claim.job_id])
        assert [note.payload for note in listener.notifies(timeout=60, stop_after=1)] == [f"cancel {claim.job_id}"]


def test_retry_gives_fresh_attempts_to_failed_and_cancelled_jobs(jobs: Queue, dsn: str) -> None:
    again, completed = failed(jobs), jobs.enqueue({})
    assert jobs.finish(claimed(jobs), result={}, track={}) is ClaimStatus.HELD
    stopped = jobs.enqueue({})
    jobs.cancel([stopped])
    running = jobs.enqueue({})
    held = claimed(jobs)
    assert jobs.retry([again, stopped, completed, running, NOBODY]) == {
        again: Handled(True, "failed"),
        stopped: Handled(True, "cancelled"),
        completed: Handled(False, "completed"),
        running: Handled(False, "processing"),
        NOBODY: Handled(False, None),
    }
    assert jobs.claim_status(held) is ClaimStatus.HELD
    row = row_of(dsn, again)
    assert (row["status"], row["error"], row["result"], row["completed_at"]) == ("pending", None, None, None)
    claims = [claimed(jobs), claimed(jobs)]
    assert [(claim.job_id, claim.attempt, claim.crashes) for claim in claims] == [(again, 1, 0), (stopped, 1, 0)]


def test_failed_jobs_are_found_all_or_by_their_code(jobs: Queue, way: tuple[bool, str]) -> None:
    ids = [failed(jobs, code) for code in ("voice.model", "voice.key", "voicemail")]
    if way[0]:
        assert jobs.failed_ids(code="voice.model", limit=9) == [ids[0]]
        assert jobs.failed_ids(code="voice", limit=9) == [ids[1], ids[0]]
    else:
        with pytest.raises(NeedsMigrationError, match=r"error code needs the worker's own columns.*migrate"):
            jobs.failed_ids(code="voice.model", limit=9)
    assert jobs.failed_ids(code=None, limit=2) == [ids[2], ids[1]]


def test_purge_removes_payload_and_story_and_leaves_the_rest(jobs: Queue, dsn: str, way: tuple[bool, str]) -> None:
    done, waiting = failed(jobs), jobs.enqueue({"script": "secret"})
    before = row_of(dsn, done)
    assert jobs.purge([done, waiting]) == {done: Handled(True, "failed"), waiting: Handled(False, "pending")}
    row = row_of(dsn, done)
    column = "payload" if "payload" in row else "job_data"
    changed = {name for name in row if row[name] != before[name]} - {"updated_at"}
    assert changed == {column} | ({"purged_at"} if way[0] else set())
    assert (row[column], row["error"], row["status"]) == ({}, before["error"], "failed")
    assert "secret" in str(row_of(dsn, waiting)[column])
    if way[0]:
        assert jobs.attempts(done) == []
        assert jobs.retry([done]) == {done: Handled(False, "purged")}


def test_purge_older_takes_only_what_ended_before(jobs: Queue, dsn: str) -> None:
    ids = [failed(jobs) for _ in range(5)]
    waiting = jobs.enqueue({"script": "secret"})
    execute(dsn, "ALTER TABLE audio_job_queue DISABLE TRIGGER USER")
    for job_id in (*ids[:3], waiting):
        execute(
            dsn,
            "UPDATE audio_job_queue SET created_at = t, updated_at = t, completed_at = t"
            " FROM (SELECT now() - interval '10 days' AS t) x WHERE id = %s",
            job_id,
        )
    execute(dsn, "ALTER TABLE audio_job_queue ENABLE TRIGGER USER")
    assert jobs.purge_older(timedelta(days=11)) == 0
    assert jobs.purge_older(timedelta(days=9), at_most=2) == 2
    assert jobs.purge_older(timedelta(days=9)) == 1
    assert jobs.purge_older(timedelta(days=9)) == 0
    column = "payload" if jobs.has_column("audio_job_queue", "payload") else "job_data"
    left = execute(dsn, f"SELECT id::text FROM audio_job_queue WHERE {column} <> '{{}}'")
    assert {row["id"] for row in left} == {*ids[3:], waiting}


def test_forget_ends_and_purges_a_customer_s_jobs_only(jobs: Queue, dsn: str) -> None:
    execute(dsn, "INSERT INTO auth.users (id) VALUES (%s)", USER)
    track = new_track(dsn, USER)
    execute(dsn, "UPDATE tracks SET audio_url = 'audio-renders/tracks/new.mp3' WHERE id = %s", track)
    done = jobs.enqueue({"script": "secret"}, track_id=track, user_id=USER)
    assert (
        jobs.finish(claimed(jobs), result={"storagePath": "audio-renders/tracks/old.mp3"}, track={}) is ClaimStatus.HELD
    )
    running = jobs.enqueue({"script": "secret"}, user_id=USER)
    claim = claimed(jobs)
    waiting, other = jobs.enqueue({"script": "secret"}, user_id=USER), jobs.enqueue({"script": "theirs"})
    forgotten = jobs.forget(USER)
    assert set(forgotten.purged) == {done, running, waiting}
    assert forgotten.cancelled == {running: Handled(True, "processing"), waiting: Handled(True, "pending")}
    assert forgotten.left == {}
    told = {job.job_id: job for job in forgotten.jobs}
    assert told[done].audio_url == "audio-renders/tracks/new.mp3"
    assert "old.mp3" in str(told[done].result_text)
    assert all("secret" in str(job.payload_text) for job in forgotten.jobs)
    jobs.resolve_failure(claim, Cancelled(), report=AttemptReport(error="late"))  # its worker has stopped it meanwhile
    assert jobs.forget(USER).jobs == ()
    assert "secret" not in str(execute(dsn, "SELECT * FROM audio_job_queue"))
    assert "theirs" in str(row_of(dsn, other))
    if jobs.mode == "leased":
        assert execute(dsn, "SELECT count(*) AS n FROM worker_attempts")[0]["n"] == 0
    assert execute(dsn, "SELECT audio_url FROM tracks")[0]["audio_url"] is not None


def test_a_paused_queue_hands_out_no_claim(jobs: Queue, dsn: str, way: tuple[bool, str]) -> None:
    if not way[0]:
        for call in (lambda: jobs.pause_queue("why", by="me"), jobs.resume_queue, lambda: jobs.set_priority([], 1)):
            with pytest.raises(NeedsMigrationError, match=r"plain mode.*migrate"):
                call()
        assert jobs.queue_state().paused_at is None
        return
    first, second = jobs.enqueue({}), jobs.enqueue({})
    running = claimed(jobs)
    jobs.pause_queue("the bucket is full", by="me")
    jobs.pause_queue("the bucket is still full", by="you")
    assert jobs.claim() is None
    state = jobs.queue_state()
    assert (state.paused_by, state.reason, state.counts["pending"]) == ("you", "the bucket is still full", 1)
    assert state.paused_at is not None
    assert state.oldest_waiting_at == row_of(dsn, second)["created_at"]
    assert jobs.heartbeat(running, progress=50, stage="s") is ClaimStatus.HELD
    assert jobs.finish(running, result={}, track={}) is ClaimStatus.HELD
    assert running.job_id == first
    assert jobs.resume_queue() is True
    assert jobs.resume_queue() is False
    assert claimed(jobs).job_id == second
    assert jobs.queue_state().oldest_waiting_at is None


def test_higher_priorities_are_claimed_first(jobs: Queue, way: tuple[bool, str]) -> None:
    if not way[0]:
        return
    first, second, third = (jobs.enqueue({}) for _ in range(3))
    done = failed_by_hand(jobs)
    assert jobs.set_priority([third, done], 5) == {third: Handled(True, "pending"), done: Handled(False, "cancelled")}
    jobs.set_priority([first], -1)
    assert [claimed(jobs).job_id for _ in range(3)] == [third, second, first]
    with pytest.raises(ValueError, match="-100 to 100"):
        jobs.set_priority([first], 101)


def failed_by_hand(jobs: Queue) -> str:
    job_id = jobs.enqueue({})
    jobs.cancel([job_id])
    return job_id


def test_each_attempt_leaves_its_story(jobs: Queue, dsn: str, way: tuple[bool, str]) -> None:
    job_id = jobs.enqueue({"script": "secret"})
    if not way[0]:
        with pytest.raises(NeedsMigrationError, match="attempts needs the worker's own columns"):
            jobs.attempts(job_id)
        return
    report = AttemptReport("it broke", {"speak": 1.5}, {"ffmpeg": "9"}, {"lufs": -16.0})
    due = "UPDATE audio_job_queue SET run_after = NULL, lease_expires_at = now() - interval '1 s'"
    endings = [
        (TransientError("x", code="network"), Outcome.RETRIED),
        (ShuttingDown(), Outcome.RELEASED),
        (ConfigurationError("x", code="voice.model"), Outcome.PARKED),
    ]
    for error, outcome in endings:
        assert jobs.resolve_failure(claimed(jobs), error, report=report) is outcome
        execute(dsn, due)
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")
    claimed(jobs)
    execute(dsn, due)
    assert jobs.rescue_jobs().put_back == (job_id,)
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")
    last = claimed(jobs)
    assert jobs.finish(last, result={}, track={}, report=report) is ClaimStatus.HELD
    assert jobs.finish(last, result={}, track={}, report=report) is ClaimStatus.HELD  # after a lost answer
    story = jobs.attempts(job_id)
    assert [(each.number, each.outcome, each.code) for each in story] == [
        (1, "retried", "network"),
        (2, "released", "shutdown"),
        (2, "parked", "voice.model"),
        (2, "died", "crash"),
        (3, "completed", None),
    ]
    assert story[0].report == story[-1].report == report
    assert story[3].report == AttemptReport("its worker died")
    assert {each.worker for each in story} == {"w"}
    assert all(each.started_at is not None and each.started_at <= each.ended_at for each in story)


def test_a_cancelled_attempt_is_noted_once_and_a_lost_one_never(jobs: Queue, dsn: str, way: tuple[bool, str]) -> None:
    if not way[0]:
        return
    jobs.enqueue({})
    claim = claimed(jobs)
    jobs.cancel([claim.job_id])
    for _ in range(2):
        assert jobs.resolve_failure(claim, Cancelled(), report=AttemptReport("cancelled")) is Outcome.CANCELLED
    assert [each.outcome for each in jobs.attempts(claim.job_id)] == ["cancelled"]
    jobs.enqueue({})
    lost = claimed(jobs)
    execute(dsn, "UPDATE audio_job_queue SET claim_token = gen_random_uuid() WHERE id = %s", lost.job_id)
    assert jobs.finish(lost, result={}, track={}, report=AttemptReport("x")) is ClaimStatus.LOST
    assert jobs.attempts(lost.job_id) == []
    assert jobs.attempts(NOBODY) == []


def test_a_trigger_that_refuses_one_row_keeps_no_other_back(jobs: Queue, dsn: str) -> None:
    bad, good = failed(jobs), failed(jobs)
    execute(
        dsn,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF NEW.id = '{bad}' THEN RAISE 'no'; END IF; RETURN NEW; END $$",
    )
    execute(dsn, "CREATE TRIGGER refuse BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert jobs.retry([bad, good]) == {bad: Handled(False, "failed", "P0001"), good: Handled(True, "failed")}
