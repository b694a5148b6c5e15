"""What the queue says when the database misbehaves: dropped, half-open, refusing, restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from database import TERMINATE_CLIENTS, Databases, database_name, execute, row_of
from standins.proxy import HalfOpen, Proxy

from worker import backoff
from worker.config import Config
from worker.errors import ConfigurationError, Kind, TransientError
from worker.queue.migrate import migrate
from worker.queue.service import WRITE_RETRIES, Claim, ClaimStatus, Queue, open_queue
from worker.queue.transport import POSTGRES_LIMITS, PostgresLimits, classify


@pytest.fixture
def jobs(leased_dsn: str) -> Iterator[Queue]:
    queue = opened(leased_dsn)
    yield queue
    queue.close()


def opened(dsn: str, *, limits: PostgresLimits = POSTGRES_LIMITS) -> Queue:
    return open_queue(Config(database_url=dsn), worker_name="w", limits=limits)


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def terminate_all(dsn: str) -> None:
    execute(dsn, TERMINATE_CLIENTS, database_name(dsn))
    eventually(lambda: connections(dsn) == 0)  # a server's process takes a moment to end


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def connections(dsn: str) -> int:
    return int(execute(dsn, "SELECT count(*) n FROM pg_stat_activity WHERE application_name = 'w'")[0]["n"])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("08006", "transient"), ("08001", "transient"), ("40001", "transient"), ("40P01", "transient"),
        ("53100", "transient"), ("53300", "transient"), ("57P01", "transient"), ("57P03", "transient"),
        ("57014", "transient"), ("55P03", "transient"), ("XX000", "transient"), ("23514", "configuration"),
        ("28P01", "configuration"), ("28000", "configuration"), ("3D000", "configuration"),
        ("42501", "configuration"), ("42883", "configuration"), ("42P01", "configuration"),
        ("42703", "configuration"), ("PGRST202", "configuration"), ("PGRST301", "configuration"),
        ("PGRST204", "configuration"), ("PGRST000", "transient"), ("PGRST003", "transient"),
    ],
)  # fmt: skip
def test_every_database_failure_is_transient_or_configuration(code: str, kind: str) -> None:
    error = classify("words of the database", code=code)
    assert error.kind is Kind(kind)
    assert "words of the database" in error.message


@pytest.mark.parametrize(("status", "kind"), [(401, "configuration"), (403, "configuration"), (500, "transient")])
def test_gateway_answers_without_a_code(status: int, kind: str) -> None:
    assert classify("", status=status).kind is Kind(kind)


def test_idle_connections_that_the_server_closed_are_not_used(jobs: Queue, leased_dsn: str) -> None:
    """An idle worker does not notice a restart at all."""
    jobs.enqueue({})
    terminate_all(leased_dsn)
    claim = claimed(jobs)
    terminate_all(leased_dsn)
    assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD


def test_a_statement_that_is_cut_off_is_transient_and_the_next_one_works(leased_dsn: str) -> None:
    with Proxy(leased_dsn) as proxy:
        jobs = opened(proxy.dsn)
        jobs.enqueue({})
        claim = claimed(jobs)
        proxy.swallow_next_answer()
        with pytest.raises(TransientError):
            jobs.heartbeat(claim, progress=1, stage="s")
        assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD
        jobs.close()


def test_a_half_open_connection_ends_a_call_in_time(leased_dsn: str) -> None:
    """Bytes are acknowledged and nobody answers: keepalives see nothing wrong with that."""
    with Proxy(leased_dsn) as proxy:
        jobs = opened(proxy.dsn, limits=PostgresLimits(call_s=2.0))
        jobs.enqueue({})
        claim = claimed(jobs)
        proxy.stall()
        with pytest.raises(TransientError):
            jobs.heartbeat(claim, progress=1, stage="s")
        proxy.resume()
        assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD
        jobs.close()


def test_a_half_open_connection_that_was_idle_fails_no_call(leased_dsn: str) -> None:
    """It is asked first, and all that were made with it are dropped with it: a new one is used."""
    with HalfOpen(leased_dsn) as proxy:
        jobs = opened(proxy.dsn, limits=PostgresLimits(ask_after_s=0.1, ask_s=0.2))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: jobs.now(), range(50)))
        jobs.enqueue({})
        time.sleep(0.2)
        proxy.freeze()
        claim = claimed(jobs)
        assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD
        jobs.close()


def test_finish_outlasts_a_database_that_is_away(
    databases: Databases, jobs: Queue, leased_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    name = database_name(leased_dsn)
    databases.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    databases.execute(TERMINATE_CLIENTS, name)
    with pytest.raises(TransientError):
        jobs.finish(claim, result={}, track={}, retry_for_s=0)
    back = threading.Timer(0.6, databases.execute, (f"ALTER DATABASE {name} ALLOW_CONNECTIONS true",))
    back.start()
    assert jobs.finish(claim, result={"a": 1}, track={}) is ClaimStatus.HELD
    back.join()
    assert row_of(leased_dsn, claim.job_id)["result"] == {"a": 1}


def test_writes_are_repeated_until_their_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on a clock of the test's own: nothing is really waited for."""
    clock = [0.0]

    class Time:
        monotonic = staticmethod(lambda: clock[0])

        @staticmethod
        def sleep(seconds: float) -> None:
            clock[0] += seconds

    monkeypatch.setattr(backoff, "time", Time)
    tries = []

    def write() -> None:
        tries.append(clock[0])
        raise TransientError("away")

    with pytest.raises(TransientError):
        backoff.with_retries(write, retry_policy=replace(WRITE_RETRIES, jitter=0.0), deadline=10.0, sleep=Time.sleep)
    assert tries == pytest.approx([0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1, 9.1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dbname": "no_such_database"}, "does not exist"),
        ({"user": "nobody_we_know"}, "does not exist"),
    ],
)
def test_refused_credentials_name_the_variable(leased_dsn: str, change: dict[str, str], words: str) -> None:
    dsn = psycopg.conninfo.make_conninfo(leased_dsn, **change)
    with pytest.raises(ConfigurationError, match=f"{words}.*DATABASE_URL"):
        opened(dsn)


@pytest.mark.parametrize("call", [opened, migrate])
def test_an_address_that_is_none_is_not_repeated(call: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        call("postgresql//user:secret@host/database")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_role_without_rights_is_told_so(databases: Databases, leased_dsn: str) -> None:
    databases.execute("CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(ConfigurationError, match="permission denied"):
            opened(leased_dsn.replace("app_owner@", "stranger@"))
    finally:
        databases.execute("DROP ROLE stranger")


def test_an_older_schema_asks_for_migrate(leased_dsn: str) -> None:
    execute(leased_dsn, "CREATE OR REPLACE FUNCTION worker_version() RETURNS int LANGUAGE sql AS 'SELECT 0'")
    with pytest.raises(ConfigurationError, match="migrate"):
        opened(leased_dsn)


def test_threads_do_not_wait_for_each_other(jobs: Queue, leased_dsn: str) -> None:
    """A heartbeat must go out while another thread's call hangs on a lock."""
    first, second = (jobs.enqueue({"n": n}) for n in range(2))
    claims = {claim.job_id: claim for claim in (claimed(jobs), claimed(jobs))}
    with psycopg.connect(leased_dsn) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("SELECT FROM audio_job_queue WHERE id = %s FOR UPDATE", (first,))
        hanging = pool.submit(jobs.heartbeat, claims[first], progress=1, stage="s")
        for _ in range(20):
            assert jobs.heartbeat(claims[second], progress=1, stage="s") is ClaimStatus.HELD
        assert not hanging.done()
        blocker.rollback()
        assert hanging.result(30) is ClaimStatus.HELD


def test_connections_do_not_pile_up(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: jobs.heartbeat(claim, progress=n % 100, stage="s"), range(200)))
    assert 1 <= connections(leased_dsn) <= 4
    jobs.close()
    eventually(lambda: connections(leased_dsn) == 0)
