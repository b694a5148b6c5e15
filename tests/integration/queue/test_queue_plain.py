"""Plain mode: the app's database as it is, in every variant met, over both transports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from app_database import TRANSPORTS, opened
from database import VARIANTS, Databases, Variant, age_row, execute, new_track, payload_of, rescued_by, row_of

from worker.backoff import RetryPolicy
from worker.errors import ConfigurationError, JobError, ShuttingDown, TransientError
from worker.queue.plain import PlainQueue
from worker.queue.plain_dialect import DIALECTS
from worker.queue.postgres import PostgresTransport
from worker.queue.retry import JobRetries, runs_alone
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    dsn = databases.new(Variant())
    yield dsn
    databases.release(dsn)


@pytest.fixture(params=TRANSPORTS)
def jobs(request: pytest.FixtureRequest, dsn: str) -> Iterator[Queue]:
    with opened(dsn, request.param) as queue:
        yield queue


def parking(dsn: str) -> tuple[list[float], Queue]:
    """A queue whose parking goes by the number in the list."""
    clock = [1000.0]
    transport = PostgresTransport(dsn, application="w")
    return clock, PlainQueue(transport, dialect=DIALECTS[0], clock=lambda: clock[0])


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_job_goes_through_in_every_variant(databases: Databases, variant: Variant, transport: str) -> None:
    dsn = databases.new(variant)
    track = new_track(dsn)
    with opened(dsn, transport) as queue:
        assert (queue.mode, queue.transport) == ("plain", transport)
        assert variant.dialect in queue.description
        assert queue.claim() is None
        first, second = (
            queue.enqueue({"script": str(n)}, track_id=each) for n, each in enumerate((track, new_track(dsn)))
        )
        claim = claimed(queue)
        assert (claim.job_id, payload_of(claim), claim.track_id) == (first, {"script": "0"}, track)
        assert queue.heartbeat(claim, progress=30, stage="Mixing") is ClaimStatus.HELD
        row = row_of(dsn, first)
        assert (row["status"], row["progress"], row["stage"]) == ("processing", 30, "Mixing")
        result = {"url": "u", "duration": 60}
        written = {"audio_url": "u", "preview_url": "p", "duration_seconds": 60, "status": "published"}
        assert queue.finish(claim, result=result, track=written) is ClaimStatus.HELD
        assert queue.finish(claim, result=result, track=written) is ClaimStatus.HELD, "asked again after a lost answer"
        row = row_of(dsn, first)
        assert (row["status"], row["progress"], row["result"]) == ("completed", 100, result)
        after = execute(dsn, "SELECT * FROM tracks WHERE id = %s", track)[0]
        assert written.items() <= after.items()
        assert after["updated_at"] > after["created_at"]
        assert queue.resolve_failure(claimed(queue), JobError("durationMin: 999")) is Outcome.FAILED
        row = row_of(dsn, second)
        assert (row["status"], row["error"]) == ("failed", "durationMin: 999")
        assert queue.depth()["completed"] == queue.depth()["failed"] == 1
        listed = {group: [job.row.job_id for job in queue.listed(group, limit=9)] for group in ("done", "failed")}
        assert listed == {"done": [first], "failed": [second]}
    databases.release(dsn)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_track_table_without_preview_url_costs_nothing(databases: Databases, transport: str) -> None:
    dsn = databases.new(Variant(preview_url=False))
    track = str(execute(dsn, "INSERT INTO tracks (title) VALUES ('t') RETURNING id")[0]["id"])
    with opened(dsn, transport) as queue:
        queue.enqueue({}, track_id=track)
        written = {"audio_url": "u", "preview_url": "p", "status": "published"}
        assert queue.finish(claimed(queue), result={}, track=written) is ClaimStatus.HELD
    assert execute(dsn, "SELECT audio_url, status FROM tracks") == [{"audio_url": "u", "status": "published"}]
    databases.release(dsn)


def test_a_job_that_another_took_is_lost(jobs: Queue, dsn: str) -> None:
    """The old edge function resets by started_at, however alive the render is."""
    jobs.enqueue({})
    claim = claimed(jobs)
    execute(dsn, "UPDATE audio_job_queue SET status = 'pending', started_at = NULL")
    assert jobs.claim_status(claim) is ClaimStatus.LOST
    again = claimed(jobs)
    assert jobs.heartbeat(claim, progress=50, stage="late") is ClaimStatus.LOST
    assert jobs.resolve_failure(claim, TransientError("late")) is Outcome.LOST
    assert jobs.resolve_failure(claim, JobError("late")) is Outcome.LOST
    assert jobs.resolve_failure(claim, ShuttingDown()) is Outcome.LOST
    assert jobs.finish(claim, result={"by": "first"}, track={}) is ClaimStatus.LOST
    assert jobs.finish(again, result={"by": "second"}, track={}) is ClaimStatus.HELD
    row = row_of(dsn, claim.job_id)
    assert (row["status"], row["result"], row["progress"]) == ("completed", {"by": "second"}, 100)


def test_a_cancelled_job_stays_cancelled(jobs: Queue, dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    execute(dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
    assert jobs.claim_status(claim) is ClaimStatus.CANCELLED
    assert jobs.heartbeat(claim, progress=50, stage="s") is ClaimStatus.CANCELLED
    assert jobs.resolve_failure(claim, TransientError("x")) is Outcome.CANCELLED
    assert jobs.finish(claim, result={}, track={}) is ClaimStatus.CANCELLED
    assert row_of(dsn, claim.job_id)["status"] == "cancelled"


def test_shutdown_puts_the_job_back_with_its_attempt_not_counted(jobs: Queue, dsn: str) -> None:
    jobs.enqueue({})
    for _ in range(3):
        claim = claimed(jobs)
        assert claim.attempt == 1
        assert jobs.resolve_failure(claim, ShuttingDown()) is Outcome.RELEASED
        row = row_of(dsn, claim.job_id)
        assert (row["status"], row["started_at"], row["progress"]) == ("pending", None, 0)


def test_a_retry_waits_though_the_table_has_no_column_for_it(
    dsn: str,
) -> None:
    """The job is parked: still ours and touched, so that nobody takes it before its time."""
    clock, jobs = parking(dsn)
    job_id = jobs.enqueue({})
    for attempt in range(1, 6):
        claim = claimed(jobs)
        assert claim.attempt == attempt
        outcome = jobs.resolve_failure(claim, TransientError("down"))
        if attempt == 5:
            assert outcome is Outcome.FAILED
            break
        assert outcome is Outcome.RETRIED
        assert jobs.claim() is None
        assert row_of(dsn, job_id)["status"] == "processing"
        assert (jobs.depth()["pending"], jobs.depth()["processing"]) == (1, 0)
        clock[0] += 45
    row = row_of(dsn, job_id)
    assert row["status"] == "failed"
    assert "contact support" in row["error"]


def test_a_job_that_waits_is_touched_and_goes_back_when_the_worker_ends(dsn: str) -> None:
    clock, queue = parking(dsn)
    job_id = queue.enqueue({})
    assert queue.resolve_failure(claimed(queue), ConfigurationError("no key")) is Outcome.PARKED
    age_row(dsn, "5 minutes")
    clock[0] += 16
    rescued_by(queue)
    row = row_of(dsn, job_id)
    assert row["status"] == "processing"
    assert datetime.now(UTC) - row["updated_at"] < timedelta(minutes=1)
    queue.close()
    assert row_of(dsn, job_id)["status"] == "pending"


def test_a_parked_job_that_was_cancelled_is_let_go(dsn: str) -> None:
    clock, queue = parking(dsn)
    job_id = queue.enqueue({})
    queue.resolve_failure(claimed(queue), TransientError("down"))
    execute(dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
    clock[0] += 60
    assert queue.claim() is None
    queue.close()
    assert row_of(dsn, job_id)["status"] == "cancelled"


def test_rescue_takes_jobs_quiet_for_ten_minutes_and_fails_crash_three(jobs: Queue, dsn: str) -> None:
    job_id = jobs.enqueue({})
    for crashes in range(3):
        claim = claimed(jobs)
        assert (claim.crashes, claim.attempt) == (crashes, crashes + 1)
        age_row(dsn, "9 minutes 50 seconds")
        assert rescued_by(jobs) == 0
        age_row(dsn, "10 minutes 10 seconds")
        assert rescued_by(jobs) == 1
        assert rescued_by(jobs) == 0
    row = row_of(dsn, job_id)
    assert row["status"] == "failed"
    assert "contact support" in row["error"]


def test_a_job_that_is_claimed_next_leaves_what_was_noted_of_a_retry(jobs: Queue, dsn: str) -> None:
    job_id, _ = jobs.enqueue({}), jobs.enqueue({})
    assert jobs.resolve_failure(claimed(jobs), TransientError("no answer", code="network")) is Outcome.RETRIED
    claimed(jobs)
    notes = row_of(dsn, job_id)["result"]["worker"]
    assert (notes["attempt"], notes["code"]) == (1, "network")


def test_a_death_beside_others_is_charged_to_none(jobs: Queue, dsn: str) -> None:
    first, second = jobs.enqueue({}), jobs.enqueue({})
    assert [claimed(jobs).job_id, claimed(jobs).job_id] == [first, second]
    age_row(dsn, "10 minutes 10 seconds")
    age_row(dsn, "9 minutes 55 seconds", second)
    assert jobs.rescue_jobs().put_back == (), "the first one waits for its neighbour, which may live"
    age_row(dsn, "10 minutes 10 seconds")
    assert sorted(jobs.rescue_jobs().put_back) == sorted((first, second))
    again = [claimed(jobs), claimed(jobs)]
    assert [(claim.attempt, claim.crashes, claim.last_error_code) for claim in again] == [(2, 0, "crash.shared")] * 2
    assert all(runs_alone(claim) for claim in again)


def test_a_bug_is_tried_twice(jobs: Queue, dsn: str) -> None:
    jobs.retries = JobRetries(RetryPolicy(first_wait_s=0.0))
    bug = TransientError("a bug", code="worker.bug")
    job_id = jobs.enqueue({})
    assert jobs.resolve_failure(claimed(jobs), bug) is Outcome.RETRIED
    again = claimed(jobs)
    assert (again.attempt, again.last_error_code) == (2, "worker.bug")
    assert jobs.resolve_failure(again, bug) is Outcome.FAILED
    assert row_of(dsn, job_id)["status"] == "failed"


def test_one_that_was_left_alone_is_charged(jobs: Queue, dsn: str) -> None:
    job_id, neighbour = jobs.enqueue({}), jobs.enqueue({})
    claims = [claimed(jobs), claimed(jobs)]
    assert jobs.finish(claims[1], result={}, track={}) is ClaimStatus.HELD
    jobs.end_places(claims[1])
    age_row(dsn, "10 minutes 10 seconds")
    assert jobs.rescue_jobs().put_back == (job_id,)
    again = claimed(jobs)
    assert (again.crashes, again.last_error_code, neighbour != job_id) == (1, "crash", True)


def test_a_job_put_back_by_hand_starts_anew(jobs: Queue, dsn: str) -> None:
    jobs.enqueue({})
    for _ in range(3):
        claimed(jobs)
        age_row(dsn, "11 minutes")
        assert rescued_by(jobs) == 1
    execute(dsn, "UPDATE audio_job_queue SET status = 'pending'")
    claim = claimed(jobs)
    assert (claim.attempt, claim.crashes, claim.last_error_code) == (1, 0, None)
    assert jobs.resolve_failure(claim, JobError("bad")) is Outcome.FAILED
    assert row_of(dsn, claim.job_id)["result"] is None


def test_a_live_render_is_not_rescued(jobs: Queue, dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    age_row(dsn, "11 minutes")
    assert jobs.heartbeat(claim, progress=10, stage="s") is ClaimStatus.HELD
    assert rescued_by(jobs) == 0


def test_a_payload_that_is_a_string_of_json_is_understood(jobs: Queue, dsn: str) -> None:
    execute(
        dsn,
        """INSERT INTO audio_job_queue (payload) VALUES ('"{\\"script\\": \\"hi\\"}"'), (NULL)""",
    )
    assert {payload_of(claimed(jobs)).get("script") for _ in range(2)} == {"hi", None}


def test_missing_functions_are_named(databases: Databases) -> None:
    dsn = databases.new("empty")
    for transport in TRANSPORTS:
        with pytest.raises(ConfigurationError, match=r"update_job_progress.*migrate"), opened(dsn, transport):
            pass
    databases.release(dsn)


def test_each_function_may_speak_its_own_dialect(databases: Databases) -> None:
    dsn = databases.new(Variant(dialect="production"))
    execute(dsn, "DROP FUNCTION update_job_progress")
    execute(
        dsn,
        "CREATE FUNCTION update_job_progress(p_job_id uuid, p_progress int, p_stage text) RETURNS void"
        " LANGUAGE sql AS"
        " 'UPDATE audio_job_queue SET progress = p_progress, stage = p_stage WHERE id = p_job_id'",
    )
    for transport in TRANSPORTS:
        with opened(dsn, transport) as queue:
            queue.enqueue({})
            claim = claimed(queue)
            assert queue.heartbeat(claim, progress=33, stage="s") is ClaimStatus.HELD
            assert row_of(dsn, claim.job_id)["progress"] == 33
            assert queue.finish(claim, result={}, track={}) is ClaimStatus.HELD
    databases.release(dsn)
