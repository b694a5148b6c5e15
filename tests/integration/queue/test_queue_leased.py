"""Leased mode on a real Postgres: one holder at a time, whatever happens to the others."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from database import Databases, Variant, age_row, execute, new_track, payload_of, rescued_by, row_of
from figures import tell
from standins.proxy import Proxy

from worker.config import Config
from worker.embedded.postgres import embedded_postgres
from worker.errors import Cancelled, JobError, MachineError, ResourceError, ShuttingDown, TransientError
from worker.queue.leased import LeasedQueue
from worker.queue.migrate import migrate
from worker.queue.plain import PlainQueue
from worker.queue.plain_dialect import DIALECTS
from worker.queue.postgres import PostgresTransport
from worker.queue.retry import Action, Decision, runs_alone
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue, open_queue

Open = Callable[..., Queue]


@pytest.fixture
def jobs(leased_dsn: str) -> Iterator[Queue]:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="first")
    yield queue
    queue.close()


@pytest.fixture
def others(leased_dsn: str) -> Iterator[Queue]:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="second")
    yield queue
    queue.close()


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def expire(dsn: str, job_id: str | None = None) -> None:
    """Have the leases of all jobs run out, or of one."""
    execute(
        dsn,
        "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 second'"
        " WHERE status = 'processing' AND coalesce(id = %s::uuid, true)",
        job_id,
    )


def due_now(dsn: str) -> None:
    execute(dsn, "UPDATE audio_job_queue SET run_after = now() WHERE status = 'pending'")


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


@pytest.mark.parametrize("races", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_rescue_racing_finish_ends_the_job_once(jobs: Queue, others: Queue, leased_dsn: str, races: int) -> None:
    """The lease has run out: one of them wins. Either it is finished, or it is back and lost to the first."""
    winners: Counter[str] = Counter()
    jitter = random.Random(5)
    for _ in range(races):
        jobs.enqueue({})
        claim = claimed(jobs)
        expire(leased_dsn)
        gate = threading.Barrier(2)

        def finish(claim: Claim = claim, gate: threading.Barrier = gate) -> ClaimStatus:
            gate.wait()
            return jobs.finish(claim, result={"by": "first"}, track={})

        with ThreadPoolExecutor(1) as pool:
            finishing = pool.submit(finish)
            gate.wait()
            time.sleep(jitter.uniform(0, 0.0008))  # finish has more to do before it asks
            rescued = rescued_by(others)
            claim_status = finishing.result()
        row = row_of(leased_dsn, claim.job_id)
        winners["both" if rescued and claim_status is ClaimStatus.HELD else "rescue" if rescued else "finish"] += 1
        if claim_status is ClaimStatus.HELD:
            assert (row["status"], rescued) == ("completed", 0)
        else:
            assert (claim_status, row["status"], rescued, row["result"]) == (ClaimStatus.LOST, "pending", 1, None)
        execute(leased_dsn, "DELETE FROM audio_job_queue")
    tell(
        "rescue racing finish",
        must="one of them wins: the job is finished, or it is back and lost to its first holder",
        races=winners.total(),
        finish_won=winners["finish"],
        rescue_won=winners["rescue"],
        both=winners["both"],
    )
    assert winners["both"] == 0


def test_a_lease_that_ran_out_but_was_not_rescued_is_still_ours(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    expire(leased_dsn)
    assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD
    assert rescued_by(jobs) == 0


def test_rescue_leaves_live_leases_alone_and_counts_the_crash(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    assert rescued_by(others) == 0
    expire(leased_dsn)
    assert rescued_by(others) == 1
    again = claimed(others)
    assert (again.job_id, again.attempt, again.crashes, again.last_error_code) == (
        claim.job_id,
        2,
        1,
        "crash",
    )
    assert jobs.heartbeat(claim, progress=50, stage="late") is ClaimStatus.LOST
    assert jobs.claim_status(claim) is ClaimStatus.LOST
    assert jobs.resolve_failure(claim, ShuttingDown()) is Outcome.LOST
    assert jobs.resolve_failure(claim, TransientError("late")) is Outcome.LOST
    assert jobs.finish(claim, result={"late": 1}, track={}) is ClaimStatus.LOST
    assert others.finish(again, result={"again": 1}, track={}) is ClaimStatus.HELD
    assert row_of(leased_dsn, claim.job_id)["result"] == {"again": 1}


def test_three_dead_workers_are_poison(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    neighbour = jobs.enqueue({})
    for crashes in range(3):
        claim = claimed(jobs)
        assert (claim.job_id, claim.crashes) == (job_id, crashes)
        expire(leased_dsn)
        assert rescued_by(jobs) == 1
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("failed", "poison", 3)
    assert "contact support" in row["error"]
    assert claimed(jobs).job_id == neighbour


def test_a_death_beside_others_is_charged_to_none(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    """Their leases run out one after the other; the last one was no more alone than the first."""
    ids = [jobs.enqueue({}) for _ in range(3)]
    for job_id in ids:
        assert claimed(jobs).job_id == job_id
    for job_id in ids:
        expire(leased_dsn, job_id)
        assert others.rescue_jobs().put_back == (job_id,)
    again = [claimed(others) for _ in ids]
    assert [(claim.attempt, claim.crashes, claim.last_error_code) for claim in again] == [(2, 0, "crash.shared")] * 3
    assert all(runs_alone(claim) for claim in again)


def test_a_death_alone_is_charged_whatever_others_do(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    """Two processes of one name: that another one dies in the same moment, or that one follows it, changes nothing."""
    ids = [jobs.enqueue({}), jobs.enqueue({})]
    claimed(jobs), claimed(others)
    expire(leased_dsn)
    assert sorted(jobs.rescue_jobs().put_back) == sorted(ids)
    again = [claimed(jobs), claimed(others)]
    assert [(claim.crashes, claim.last_error_code) for claim in again] == [(1, "crash")] * 2
    assert all(runs_alone(claim) for claim in again)


def test_a_neighbour_whose_worker_lives_is_not_touched(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    lost, alive = jobs.enqueue({}), jobs.enqueue({})
    claims = {claim.job_id: claim for claim in (claimed(jobs), claimed(jobs))}
    expire(leased_dsn, lost)
    assert others.rescue_jobs().put_back == (lost,)
    assert jobs.heartbeat(claims[alive], progress=1, stage="s") is ClaimStatus.HELD
    assert jobs.finish(claims[alive], result={}, track={}) is ClaimStatus.HELD
    row = row_of(leased_dsn, alive)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("completed", None, 0)


def test_crashes_of_child_and_worker_are_counted_together(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    assert jobs.resolve_failure(claimed(jobs), TransientError("signal 9"), crashed=True) is Outcome.RETRIED
    due_now(leased_dsn)
    claimed(jobs)
    expire(leased_dsn)
    rescued_by(jobs)
    assert jobs.resolve_failure(claimed(jobs), TransientError("signal 9"), crashed=True) is Outcome.POISON
    assert row_of(leased_dsn, job_id)["error_code"] == "poison"


def test_an_attempt_beyond_the_fifth_is_not_made_by_rescue(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    for _ in range(4):
        assert jobs.resolve_failure(claimed(jobs), TransientError("down")) is Outcome.RETRIED
        due_now(leased_dsn)
    assert claimed(jobs).attempt == 5
    expire(leased_dsn)
    assert rescued_by(jobs) == 1
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["error_code"]) == ("failed", "attempts")


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


def test_a_job_put_back_by_hand_gets_five_fresh_attempts(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    for _ in range(3):
        claimed(jobs)
        expire(leased_dsn)
        rescued_by(jobs)
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'pending'")
    claim = claimed(jobs)
    assert (claim.attempt, claim.crashes, claim.last_error_code) == (1, 0, None)


class TestWithWorkersThatKnowNoLeases:
    """The old edge function and plain workers on the migrated table, as during a deploy."""

    @pytest.fixture
    def plain(self, leased_dsn: str) -> Iterator[Queue]:
        transport = PostgresTransport(leased_dsn, application="plain")
        yield PlainQueue(transport, dialect=DIALECTS[1])
        transport.close()

    def test_they_share_the_work(self, jobs: Queue, plain: Queue) -> None:
        ids = [jobs.enqueue({"n": n}) for n in range(4)]
        taken = [claimed(queue) for queue in (jobs, plain, jobs, plain)]
        assert [claim.job_id for claim in taken] == ids
        assert jobs.claim() is None
        assert plain.claim() is None
        for queue, claim in zip((jobs, plain, jobs, plain), taken, strict=True):
            assert queue.heartbeat(claim, progress=9, stage="s") is ClaimStatus.HELD
            assert queue.finish(claim, result={}, track={}) is ClaimStatus.HELD

    @pytest.mark.parametrize("then", ["leased", "plain"])
    def test_the_old_reset_of_a_live_render_takes_it_from_its_holder(
        self, jobs: Queue, others: Queue, plain: Queue, leased_dsn: str, then: str
    ) -> None:
        """By started_at, after ten minutes, however alive: the first holder must not finish any more."""
        jobs.enqueue({})
        claim = claimed(jobs)
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET status = 'pending', started_at = NULL WHERE status = 'processing'",
        )
        assert jobs.claim_status(claim) is ClaimStatus.LOST
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        taker = others if then == "leased" else plain
        again = claimed(taker)
        assert again.job_id == claim.job_id
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        assert jobs.finish(claim, result={"by": "first"}, track={}) is ClaimStatus.LOST
        assert taker.finish(again, result={"by": "second"}, track={}) is ClaimStatus.HELD
        assert row_of(leased_dsn, claim.job_id)["result"] == {"by": "second"}

    def test_a_claim_function_that_takes_stuck_rows_directly_takes_it_too(self, jobs: Queue, leased_dsn: str) -> None:
        jobs.enqueue({})
        claim = claimed(jobs)
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET started_at = clock_timestamp() WHERE status = 'processing'",
        )
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        assert jobs.finish(claim, result={}, track={}) is ClaimStatus.LOST

    def test_a_plain_row_is_rescued_after_ten_quiet_minutes_only(
        self, jobs: Queue, plain: Queue, leased_dsn: str
    ) -> None:
        jobs.enqueue({})
        claim = claimed(plain)
        age_row(leased_dsn, "9 minutes 50 seconds")
        assert rescued_by(jobs) == 0
        age_row(leased_dsn, "10 minutes 10 seconds")
        assert rescued_by(jobs) == 1
        again = claimed(jobs)
        assert (again.job_id, again.crashes) == (claim.job_id, 1)
        assert plain.finish(claim, result={"late": 1}, track={}) is ClaimStatus.LOST
        assert plain.heartbeat(claim, progress=1, stage="late") is ClaimStatus.LOST
        assert jobs.finish(again, result={}, track={}) is ClaimStatus.HELD

    def test_a_plain_workers_stale_progress_does_not_extend_a_lease(
        self, jobs: Queue, plain: Queue, leased_dsn: str
    ) -> None:
        job_id = jobs.enqueue({})
        claimed(jobs)
        expire(leased_dsn)
        execute(leased_dsn, "SELECT update_job_progress(%s, 10, 'old')", job_id)
        assert rescued_by(jobs) == 1


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
