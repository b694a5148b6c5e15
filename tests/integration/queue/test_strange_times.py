"""Times that customers can write and no datetime holds: none stops the queue, none gives a job another turn."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
from database import Databases, Variant, execute, new_track, payload_of, row_of
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY, Postgrest

from worker.config import Config
from worker.errors import JobError
from worker.queue.service import Queue, open_queue

USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "customer"))
TIMES = ("-infinity", "infinity", "0044-03-15 BC", "20000-01-01", None)


@pytest.fixture(params=["leased-postgres", "leased-http", "plain-postgres", "plain-http"])
def opened(request: pytest.FixtureRequest, databases: Databases) -> Iterator[tuple[Queue, str]]:
    mode, transport = request.param.split("-")
    dsn = databases.new(Variant("completing", "production", "payload", "enum", leased=mode == "leased"))
    execute(dsn, "INSERT INTO auth.users (id) VALUES (%s)", USER)
    with ExitStack() as stack:
        config = Config(database_url=dsn)
        if transport == "http":
            url = stack.enter_context(serve({"/rest/v1": Postgrest(dsn)}))
            config = Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY)
        queue = open_queue(config, worker_name="w")
        stack.callback(queue.close)
        yield queue, dsn
    databases.release(dsn)


def as_customer(dsn: str, statement: str, *parameters: object) -> None:
    with psycopg.connect(dsn, autocommit=True) as page:
        page.execute("SET ROLE authenticated")
        page.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (USER,))
        page.execute(statement, parameters)


def ordered(dsn: str, at: str | None) -> str:
    """A customer's job; the time in every column of one."""
    job_id = str(uuid.uuid4())
    as_customer(
        dsn,
        "INSERT INTO audio_job_queue (id, user_id, track_id, payload, created_at, started_at, completed_at)"
        " VALUES (%s, %s, %s, '{}', %s, %s, %s)",
        job_id,
        USER,
        new_track(dsn, USER),
        at,
        at,
        at,
    )
    return job_id


def test_no_time_of_a_customer_s_stops_the_queue(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    ids = {ordered(dsn, at) for at in TIMES} | {queue.enqueue({"n": 1})}
    assert {row.row.job_id for row in queue.listed("waiting", limit=50)} == ids
    assert queue.queue_state().counts["pending"] == len(ids)
    assert queue.backlog(queue.causes()).pending == len(ids)
    for _ in ids:
        claim = queue.claim()
        assert claim is not None
        queue.rescue_jobs()
        queue.resolve_failure(claim, JobError("bad", code="job.invalid"))
    assert queue.claim() is None
    assert {row.row.job_id for row in queue.listed("failed", limit=50)} == ids
    queue.count_older(timedelta(days=1))


def test_a_time_that_the_app_wrote_does_not_stop_it_either(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    for at in TIMES:
        execute(dsn, "INSERT INTO audio_job_queue (payload, created_at) VALUES ('{}', %s)", at)
    claims = [queue.claim() for _ in range(len(TIMES))]
    assert all(claim is not None and claim.waited_s >= 0 for claim in claims)


@pytest.mark.parametrize("opened", ["leased-postgres"], indirect=True)
def test_a_customer_cannot_make_a_job_older(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    first = queue.enqueue({"n": 1})
    mine = ordered(dsn, "2001-01-01")
    as_customer(dsn, "UPDATE audio_job_queue SET created_at = '2001-01-01', turn_at = '2001-01-01' WHERE id = %s", mine)
    claims = [queue.claim() for _ in range(2)]
    assert [claim and claim.job_id for claim in claims] == [first, mine]


@pytest.mark.parametrize("opened", ["leased-postgres"], indirect=True)
def test_a_customer_cannot_take_spoken_characters_out_of_a_day(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    done, after = ordered(dsn, None), ordered(dsn, None)
    claim = queue.claim()
    assert claim is not None
    assert claim.job_id == done
    assert queue.may_speak(claim, 900, limit=1000)
    queue.finish(claim, result={}, track={})
    as_customer(dsn, "UPDATE audio_job_queue SET started_at = '2001-01-01' WHERE id = %s", done)
    as_customer(dsn, "UPDATE audio_job_queue SET started_at = NULL, status = 'cancelled' WHERE id = %s", done)
    claim = queue.claim()
    assert claim is not None
    assert claim.job_id == after
    assert not queue.may_speak(claim, 900, limit=1000)


@pytest.mark.parametrize("opened", ["leased-postgres"], indirect=True)
def test_a_purged_job_that_is_used_again_is_forgotten_too(opened: tuple[Queue, str]) -> None:
    queue, dsn = opened
    job_id = ordered(dsn, None)
    claim = queue.claim()
    assert claim is not None
    queue.resolve_failure(claim, JobError("bad", code="job.invalid"))
    assert queue.purge([job_id])[job_id].done
    as_customer(dsn, "UPDATE audio_job_queue SET status = 'pending', payload = %s WHERE id = %s", '{"s": 1}', job_id)
    claim = queue.claim()
    assert claim is not None
    assert payload_of(claim) == {"s": 1}
    queue.resolve_failure(claim, JobError("bad", code="job.invalid"))
    assert [attempt.code for attempt in queue.attempts(job_id)] == ["job.invalid"]
    assert queue.forget(USER).purged == (job_id,)
    assert row_of(dsn, job_id)["payload"] == {}
