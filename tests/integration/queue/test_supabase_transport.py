"""The real supabase-py against PostgREST's wire forms: lost answers, stale caches, refusals, gateways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
from database import Databases, Variant, execute, new_track, payload_of, rescued_by, row_of
from pydantic import SecretStr
from standins.http_server import Response, as_json, serve
from standins.postgrest import ANON_KEY, SERVICE_KEY, Postgrest, refused

from worker.config import Config
from worker.errors import ConfigurationError, ShuttingDown, TransientError
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue, open_queue
from worker.queue.supabase import SupabaseTransport
from worker.supabase_access import Supabase


@pytest.fixture
def project(leased_dsn: str) -> Iterator[tuple[Postgrest, str]]:
    postgrest = Postgrest(leased_dsn)
    with serve({"/rest/v1": postgrest}) as url:
        yield postgrest, url


@pytest.fixture
def jobs(project: tuple[Postgrest, str]) -> Iterator[Queue]:
    queue = opened(project[1])
    yield queue
    queue.close()


def opened(url: str, key: str = SERVICE_KEY) -> Queue:
    return open_queue(Config(supabase_url=url, supabase_service_role_key=key), worker_name="w")


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def test_leased_mode_in_full(jobs: Queue, leased_dsn: str) -> None:
    assert (jobs.mode, jobs.transport) == ("leased", "supabase")
    ids = [jobs.enqueue({"n": n}, track_id=new_track(leased_dsn)) for n in range(4)]
    claim = claimed(jobs)
    assert (claim.job_id, payload_of(claim), claim.attempt) == (ids[0], {"n": 0}, 1)
    assert jobs.heartbeat(claim, progress=30, stage="Mixing") is ClaimStatus.HELD
    assert jobs.claim_status(claim) is ClaimStatus.HELD
    written = {"audio_url": "a", "duration_seconds": 60, "status": "published"}
    assert jobs.finish(claim, result={"url": "a"}, track=written) is ClaimStatus.HELD
    assert jobs.resolve_failure(claimed(jobs), TransientError("x")) is Outcome.RETRIED
    assert jobs.resolve_failure(claimed(jobs), ShuttingDown()) is Outcome.RELEASED
    execute(leased_dsn, "UPDATE audio_job_queue SET lease_expires_at = now() WHERE status = 'processing'")
    assert rescued_by(jobs) == 0
    claim = claimed(jobs)
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", claim.job_id)
    assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.CANCELLED
    assert jobs.depth() == {"pending": 2, "processing": 0, "completed": 1, "failed": 0, "cancelled": 1}
    waiting = [each.row for each in jobs.listed("waiting", limit=2)]
    assert {row.job_id for row in waiting} < set(ids)
    assert [row.created_at for row in waiting] == sorted(row.created_at for row in waiting if row.created_at)
    assert all(row.created_at is not None and row.created_at.tzinfo is not None for row in waiting)
    (after,) = execute(leased_dsn, "SELECT audio_url, duration_seconds, status FROM tracks WHERE status = 'published'")
    assert after == written


def test_a_lost_claim_answer_is_recovered(project: tuple[Postgrest, str], jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    jobs.enqueue({})
    project[0].drop_answer_to("rpc/worker_claim")
    with pytest.raises(TransientError):
        jobs.claim()
    assert row_of(leased_dsn, job_id)["status"] == "processing"
    claim = claimed(jobs)
    assert (claim.job_id, claim.attempt) == (job_id, 1)


def test_a_lost_finish_answer_is_asked_for_again(project: tuple[Postgrest, str], jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    project[0].drop_answer_to("rpc/worker_end")
    assert jobs.finish(claim, result={"a": 1}, track={}) is ClaimStatus.HELD
    assert project[0].asked.count("POST rpc/worker_end") == 2
    assert row_of(leased_dsn, claim.job_id)["result"] == {"a": 1}


@pytest.mark.parametrize(
    "answer",
    [
        Response(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}),
        Response(520, b""),
        as_json(503, {"message": "name resolution failed"}),
        refused(503, "PGRST002", "Could not query the database for the schema cache. Retrying."),
        refused(504, "PGRST003", "Timed out acquiring connection from connection pool."),
        refused(500, "40001", "could not serialize access due to concurrent update"),
        refused(500, "57014", "canceling statement due to statement timeout"),
        refused(503, "53300", "too many connections"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:16].decode()}",
)
def test_what_passes_is_transient(project: tuple[Postgrest, str], jobs: Queue, answer: Response) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    project[0].answer_next(answer)
    with pytest.raises(TransientError):
        jobs.heartbeat(claim, progress=1, stage="s")
    project[0].answer_next(answer, answer)
    assert jobs.finish(claim, result={}, track={}) is ClaimStatus.HELD, "the last write is tried again"


def test_a_stale_schema_cache_costs_no_job(project: tuple[Postgrest, str], jobs: Queue, leased_dsn: str) -> None:
    """PGRST202 is a matter of configuration: said loudly, and nothing is failed for it."""
    jobs.enqueue({})
    claim = claimed(jobs)
    for function in ("worker_heartbeat", "worker_end"):
        project[0].forget_function(function)
    with pytest.raises(ConfigurationError, match="schema cache"):
        jobs.heartbeat(claim, progress=1, stage="s")
    with pytest.raises(ConfigurationError, match="schema cache"):
        jobs.finish(claim, result={}, track={})
    assert row_of(leased_dsn, claim.job_id)["status"] == "processing"
    project[0].reload()
    assert jobs.finish(claim, result={}, track={}) is ClaimStatus.HELD


def test_a_refused_key_names_the_variable(project: tuple[Postgrest, str]) -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        opened(project[1], key="not-the-key")


def test_the_anon_key_is_refused(project: tuple[Postgrest, str]) -> None:
    with pytest.raises(ConfigurationError, match="service_role key"):
        opened(project[1], key=ANON_KEY)


def test_a_server_that_is_not_there_is_transient() -> None:
    with serve({}) as url:
        pass
    with pytest.raises(TransientError, match="does not answer"):
        opened(url)


def test_half_a_configuration_names_the_missing_half() -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY is not set"):
        open_queue(Config(supabase_url="http://127.0.0.1:1"), worker_name="w")
    with pytest.raises(ConfigurationError, match="SUPABASE_URL is not set"):
        open_queue(Config(supabase_service_role_key="k"), worker_name="w")
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not set"):
        open_queue(Config(), worker_name="w")


def test_plain_mode_in_a_claim_whose_second_half_fails(databases: Databases) -> None:
    """The claim went through, reading the row did not: the next claim returns that row, not a second one."""
    dsn = databases.new(Variant())
    postgrest = Postgrest(dsn)
    with serve({"/rest/v1": postgrest}) as url:
        queue = opened(url)
        assert queue.mode == "plain"
        ids = [queue.enqueue({"n": n}) for n in range(2)]
        postgrest.drop_answer_to("audio_job_queue")
        with pytest.raises(TransientError):
            queue.claim()
        assert [claimed(queue).job_id for _ in range(2)] == ids
        queue.close()
    databases.release(dsn)


def test_the_probe_for_the_dialect_writes_nothing(databases: Databases) -> None:
    dsn = databases.new(Variant(dialect="production"))
    execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}')")
    before = execute(dsn, "SELECT * FROM audio_job_queue")
    with serve({"/rest/v1": Postgrest(dsn)}) as url:
        opened(url).close()
    assert execute(dsn, "SELECT * FROM audio_job_queue") == before
    databases.release(dsn)


def test_the_clock_is_the_servers(project: tuple[Postgrest, str]) -> None:
    def wrong_clock(request: object) -> Response:
        return as_json(200, [], Date="Mon, 01 Jan 2035 00:00:00 GMT")

    with serve({"/rest/v1": wrong_clock}) as url:
        transport = SupabaseTransport(Supabase(url, SecretStr(SERVICE_KEY)))
        assert abs((transport.now() - datetime(2035, 1, 1, tzinfo=UTC)).total_seconds()) < 60
        transport.close()


def test_an_answer_without_end_is_given_up() -> None:
    """Customers can write large rows; a claim reads one with a gateway that knows no casts."""
    sent = [0]

    class Endless:
        def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None:
            handler.close_connection = True
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.end_headers()
            with contextlib.suppress(OSError):
                while sent[0] < 100_000_000:
                    sent[0] += handler.wfile.write(b"[" * 65_536)

    with serve({"": Endless()}) as url, pytest.raises(TransientError):
        opened(url)
    assert sent[0] < 50_000_000
