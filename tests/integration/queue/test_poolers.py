"""PgBouncer between the worker and its database: transaction and session mode work, statement mode says so and ends."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from database import Databases, Variant, age_row, database_name, execute, new_track, row_of
from production import OWNER
from pydantic import SecretStr
from servers import PoolMode, Server, need_pgbouncer, pgbouncer, postgres_server, wanted_versions

from worker.cli import doctor_queue
from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError
from worker.queue import address, indexes
from worker.queue import listener as listen
from worker.queue.claims import ClaimStatus
from worker.queue.listener import TIMINGS, Listener, ListenerTimings, why_polling
from worker.queue.migrate import migrate
from worker.queue.retry import Outcome
from worker.queue.service import Queue, open_queue

LONG_S = 30.0  # far beyond what anything here takes


@dataclass(frozen=True)
class Poolers:
    """A server, and a PgBouncer of each mode in front of it."""

    server: Server
    databases: Databases
    transaction: Server
    session: Server
    statement: Server

    def dsn(self, mode: PoolMode, database: str) -> str:
        pooler: Server = getattr(self, mode)
        return pooler.tcp_dsn(database, user=OWNER) + "?pgbouncer=true&connection_limit=1"


@pytest.fixture(scope="module", params=wanted_versions(), ids=lambda version: f"postgres{version}")
def poolers(request: pytest.FixtureRequest) -> Iterator[Poolers]:
    need_pgbouncer()
    with (
        postgres_server(request.param) as server,
        pgbouncer(server, "transaction") as transaction,
        pgbouncer(server, "session") as session,
        pgbouncer(server, "statement") as statement,
    ):
        yield Poolers(server, Databases(server, server.version), transaction, session, statement)


@contextmanager
def a_database(poolers: Poolers, kind: str) -> Iterator[tuple[str, str]]:
    """Name and direct address of a fresh database of production, "plain" or "leased" (migrated)."""
    direct = poolers.databases.new(Variant("lacking", "production", leased=kind == "leased"))
    yield database_name(direct), direct
    poolers.databases.release(direct)


@contextmanager
def opened(dsn: str) -> Iterator[Queue]:
    found = open_queue(Config(database_url=SecretStr(dsn)), worker_name="w")
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("kind", ["plain", "leased"])
def test_claim_beat_finish_fail_retry_and_rescue(poolers: Poolers, mode: PoolMode, kind: str) -> None:
    with a_database(poolers, kind) as (name, direct), opened(poolers.dsn(mode, name)) as jobs:
        assert jobs.mode == kind
        finished, failed, retried, rescued = (
            jobs.enqueue({"script": text}, track_id=new_track(direct)) for text in ("finish", "fail", "retry", "rescue")
        )
        claims = [jobs.claim() for _ in range(4)]
        by_id = {claim.job_id: claim for claim in claims if claim is not None}
        assert set(by_id) == {finished, failed, retried, rescued}
        assert jobs.claim() is None
        for claim in by_id.values():
            assert jobs.heartbeat(claim, progress=5, stage="Finalizing") is ClaimStatus.HELD
        result = {"audioUrl": "x", "duration": 1}
        held = jobs.finish(
            by_id[finished], result=result, track={"audio_url": "audio-renders/x", "status": "published"}
        )
        assert held is ClaimStatus.HELD
        assert jobs.resolve_failure(by_id[failed], JobError("no")) is Outcome.FAILED
        assert jobs.resolve_failure(by_id[retried], TransientError("later")) is Outcome.RETRIED
        if kind == "leased":
            execute(
                direct, "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 s' WHERE id = %s", rescued
            )
        else:
            age_row(direct, "11 minutes")
        assert rescued in jobs.rescue_jobs().put_back
        assert row_of(direct, finished)["status"] == "completed"
        assert row_of(direct, failed)["status"] == "failed"
        assert execute(direct, "SELECT count(*) n FROM tracks WHERE status = 'published'")[0]["n"] == 1


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_indexes_are_made_concurrently_through_a_pooler(
    poolers: Poolers, mode: PoolMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "SMALL_TABLE_BYTES", -1)
    with a_database(poolers, "plain") as (name, direct):
        migrate(poolers.dsn(mode, name))
        made = execute(direct, "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'audio_job_queue_%'")
        assert {row["indexname"] for row in made} >= {index.full_name for index in indexes.INDEXES}


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("kind", ["plain", "leased"])
def test_migrate_runs_twice_through_a_pooler(poolers: Poolers, mode: PoolMode, kind: str) -> None:
    with a_database(poolers, kind) as (name, _):
        assert migrate(poolers.dsn(mode, name)) == migrate(poolers.dsn(mode, name))
        with opened(poolers.dsn(mode, name)) as jobs:
            assert jobs.mode == "leased"


@contextmanager
def listening(dsn: str, timings: ListenerTimings = TIMINGS) -> Iterator[tuple[Listener, queue.Queue[str]]]:
    wakes: queue.Queue[str] = queue.Queue()
    listener = Listener(dsn, on_wake=lambda: wakes.put("wake"), on_cancel=wakes.put, timings=timings)
    listener.start()
    try:
        yield listener, wakes
    finally:
        listener.stop()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def test_session_mode_wakes(poolers: Poolers) -> None:
    with a_database(poolers, "leased") as (name, direct), listening(poolers.dsn("session", name)) as (listener, wakes):
        assert wakes.get(timeout=LONG_S) == "wake"  # the one after connecting
        assert listener.up
        execute(direct, "INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        assert wakes.get(timeout=LONG_S) == "wake"


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_other_modes_are_found_out_said_and_polled(
    poolers: Poolers, mode: PoolMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(listen.logger, "warning", lambda text, *values: said.append(text.format(*values)))
    with a_database(poolers, "leased") as (name, direct):
        with listening(poolers.dsn(mode, name), ListenerTimings(nonce_s=0.5)) as (listener, wakes):
            eventually(lambda: bool(said))
            assert "as behind a transaction pooler; polling only" in said[0]
            assert not listener.up
            assert wakes.empty()
        # No connection that other clients of the pooler get may bring them our notifications.
        listened = "SELECT pg_listening_channels() AS channel"
        for _ in range(3):
            with psycopg.connect(getattr(poolers, mode).tcp_dsn(name), autocommit=True) as other:
                assert listen.CHANNEL not in [channel for (channel,) in other.execute(listened)]
        assert execute(direct, "SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.further
def test_the_port_of_supabase_s_transaction_pooler_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "connect", lambda *_, **__: pytest.fail("tried"))
    reason = why_polling("postgresql://u@127.0.0.1:6543/postgres", application="test")
    assert reason is not None
    assert "port 6543 is a transaction pooler" in reason


@pytest.mark.parametrize(("mode", "wakes"), [("transaction", False), ("session", True)])
def test_doctor_says_what_the_listener_would_find(
    poolers: Poolers, mode: PoolMode, wakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings = ListenerTimings(nonce_s=LONG_S if wakes else 0.5)
    with a_database(poolers, "leased") as (name, _):
        config = Config(database_url=SecretStr(poolers.dsn(mode, name)))
        with opened(poolers.dsn(mode, name)) as jobs:
            found = doctor_queue.waking(config, jobs, timings)
            assert (found.good, "by NOTIFY" in found.says) == ((True, True) if wakes else (None, False))
            monkeypatch.setattr(
                listen, "read", lambda dsn: replace(address.read(dsn), kind="transaction pooler", port=6543)
            )
            assert "port 6543 is a transaction pooler" in doctor_queue.waking(config, jobs, timings).says


def test_statement_mode_stops_plain_mode_and_migrate_with_a_line(poolers: Poolers) -> None:
    with a_database(poolers, "plain") as (name, direct):
        with opened(poolers.dsn("statement", name)) as jobs:
            job_id = jobs.enqueue({"script": "a"})
            with pytest.raises(ConfigurationError, match="statement mode") as raised:
                jobs.claim()
            assert raised.value.code == "configuration.database"
        assert row_of(direct, job_id)["status"] == "pending"
        with pytest.raises(ConfigurationError, match="statement mode"):
            migrate(poolers.dsn("statement", name))


def test_draining_in_statement_mode_ends_with_an_error(poolers: Poolers, tmp_path: Path) -> None:
    with a_database(poolers, "plain") as (name, direct):
        execute(direct, "INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        environment = {"DATABASE_URL": poolers.dsn("statement", name), "STORAGE_DIR": str(tmp_path), "PORT": ""}
        ended = subprocess.run(
            [sys.executable, "-m", "worker", "work", "--drain"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert ended.returncode == 1
        assert "its statement mode allows no transactions" in ended.stdout + ended.stderr


def test_a_pooler_that_refuses_a_parameter_is_a_configuration_error(poolers: Poolers) -> None:
    dsn = poolers.transaction.tcp_dsn() + "?options=-c%20search_path%3Dapp"
    with pytest.raises(ConfigurationError, match="startup parameter"):
        open_queue(Config(database_url=SecretStr(dsn)), worker_name="w")
