"""What `migrate` makes of each older schema while its workers run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from database import Databases, Variant, execute, payload_of, row_of
from limited_role import drop_limited_role, limited_role
from older_schemas import SCHEMA_1, SCHEMA_2, SCHEMA_3

from worker.config import Config
from worker.errors import ConfigurationError
from worker.queue.migrate import migrate
from worker.queue.service import ClaimStatus, Outcome, open_queue

EACH_SERVER = True


def of_schema(databases: Databases, schema: str, version: int) -> tuple[str, Callable[..., Any]]:
    """A database of an older schema, which new workers refuse; and how its own workers call a function."""
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, schema)
    with pytest.raises(ConfigurationError, match=rf"version {version}.*mindscript-worker migrate"):
        open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]

    def old(call: str, *values: Any) -> Any:
        return execute(dsn, f"SELECT public.{call} AS answer", *values)[0]["answer"]

    return dsn, old


def test_migrate_brings_schema_1_up_while_its_workers_run(databases: Databases) -> None:
    dsn, old = of_schema(databases, SCHEMA_1, 1)
    ids = [str(execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES (%s) RETURNING id", text)[0]["id"])
           for text in ('{"n": 0}', '{"n": 1}', '{"n": 2}')]  # fmt: skip
    token = "22222222-2222-2222-2222-222222222222"

    claim = old("worker_claim(p_token => %s, p_worker => 'old', p_lease_s => 60)", token)
    assert (claim["job_id"], claim["payload"]) == (ids[0], {"n": 0})
    migrate(dsn)
    migrate(dsn)
    assert old("worker_heartbeat(%s, %s, 60, 10, 's')", ids[0], token) == "held"
    new = open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]
    mine = new.claim()
    assert mine is not None
    assert (mine.job_id, payload_of(mine)) == (ids[1], {"n": 1})
    other = "33333333-3333-3333-3333-333333333333"
    claim = old("worker_claim(p_token => %s, p_worker => 'old', p_lease_s => 60)", other)
    assert (claim["job_id"], claim["payload"], claim["attempt"]) == (ids[2], {"n": 2}, 1)
    assert old("worker_claim(p_token => %s, p_worker => 'old', p_lease_s => 60)", other)["job_id"] == ids[2]
    assert old("worker_claim(p_token => gen_random_uuid(), p_worker => 'old', p_lease_s => 60)") is None
    assert old("worker_finish(%s, %s, '{\"by\": \"old\"}', '{}')", ids[0], token) == "held"
    assert old("worker_fail(%s, %s, 'x', 'bad', false)", ids[2], other) == "held"
    assert new.finish(mine, result={"by": "new"}, track={}) is ClaimStatus.HELD
    assert [row_of(dsn, job_id)["status"] for job_id in ids] == ["completed", "completed", "failed"]
    assert old("worker_rescue(3, 5, 'sorry')")["put_back"] == []
    new.close()
    databases.release(dsn)


# -- from schema 2


def test_migrate_brings_schema_2_up_while_its_workers_run(databases: Databases) -> None:
    """They release what must be fixed, as ever; a probe that they claim stays parked, or frees the others."""
    dsn, old = of_schema(databases, SCHEMA_2, 2)
    token = "22222222-2222-2222-2222-222222222222"

    def claimed_by_old() -> Any:
        names = "p_token => gen_random_uuid(), p_worker => 'old', p_lease_s => 60, p_payload_limit_bytes => 1000000"
        claim = old(f"worker_claim({names})")
        return claim and (claim["job_id"], str(row_of(dsn, claim["job_id"])["claim_token"]))

    held = str(execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}') RETURNING id")[0]["id"])
    assert old("worker_claim(%s, 'old', 60, 1000000)", token)["job_id"] == held
    migrate(dsn)
    migrate(dsn)
    assert old("worker_heartbeat(%s, %s, 60, 10, 's')", held, token) == "held"
    new = open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]
    dead = [new.enqueue({"n": n}) for n in range(3)]
    for job_id in dead:
        claim = new.claim()
        assert claim is not None
        assert claim.job_id == job_id
        assert new.resolve_failure(claim, ConfigurationError("it has ended", code="voice.model")) is Outcome.PARKED
    healthy = new.enqueue({})
    assert claimed_by_old()[0] == healthy
    assert claimed_by_old() is None
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")
    job_id, its_token = claimed_by_old()
    assert job_id == dead[0]
    assert old("worker_release(%s, %s, 'voice.model', 60)", job_id, its_token) == "held"
    assert claimed_by_old() is None
    assert row_of(dsn, job_id)["parked_cause"] == "voice.model"
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")
    job_id, its_token = claimed_by_old()
    assert job_id == dead[1], "the first one waits for its time"
    assert old("worker_finish(%s, %s, '{}', '{}')", job_id, its_token) == "held"
    assert {claimed_by_old()[0] for _ in range(2)} == {dead[0], dead[2]}
    assert old("worker_rescue(3, 5, 'sorry')")["put_back"] == []
    assert old("worker_finish(%s, %s, '{}', '{}')", held, token) == "held"
    new.close()
    databases.release(dsn)


def test_a_limited_role_of_schema_2_may_call_what_is_new(databases: Databases) -> None:
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_2)
    address = limited_role(databases, dsn)
    try:
        migrate(dsn)
        queue = open_queue(Config(database_url=address), worker_name="limited")  # type: ignore[arg-type]
        execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        claim = queue.claim()
        assert claim is not None
        assert queue.resolve_failure(claim, ConfigurationError("it has ended")) is Outcome.PARKED
        assert [cause.jobs for cause in queue.causes()] == [1]
        assert queue.rescue_jobs().overdue == {}
        queue.close()
    finally:
        drop_limited_role(databases, dsn)
    databases.release(dsn)


# -- from schema 3


def test_migrate_brings_schema_3_up_while_its_workers_run(databases: Databases) -> None:
    """They claim the oldest first, whatever the order of newer ones, and end their jobs without a story."""
    dsn, old = of_schema(databases, SCHEMA_3, 3)

    def insert(minutes: int) -> str:
        payload = f'{{"durationMin": {minutes}}}'
        return str(execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES (%s) RETURNING id", payload)[0]["id"])

    token, other = "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333"
    claim_old = "worker_claim(p_token => %s, p_worker => 'old', p_lease_s => 60, p_payload_limit_bytes => 1000000)"
    held, long = insert(1), insert(480)
    assert old(claim_old, token)["job_id"] == held
    migrate(dsn)
    migrate(dsn)
    new = open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]
    insert(480)
    short = insert(1)
    assert old("worker_heartbeat(%s, %s, 60, 10, 's')", held, token) == "held"
    assert old("worker_finish(%s, %s, '{}', '{}')", held, token) == "held"
    assert new.attempts(held) == []
    mine = new.claim()
    assert mine is not None
    assert mine.job_id == long, "inserted before the migration, so in the order of its insert"
    assert old(claim_old, other)["job_id"] not in (short, long)
    mine = new.claim()
    assert mine is not None
    assert mine.job_id == short
    new.pause_queue("why", by="me")
    assert old(claim_old, "44444444-4444-4444-4444-444444444444") is None
    new.close()
    databases.release(dsn)


def test_the_printed_schema_3_had_an_index_that_is_gone(databases: Databases) -> None:
    dsn = databases.new(Variant())
    execute(dsn, SCHEMA_3)
    ready = "SELECT to_regclass('public.audio_job_queue_ready') IS NOT NULL AS there"
    assert execute(dsn, ready)[0]["there"]
    migrate(dsn)
    assert not execute(dsn, ready)[0]["there"]
    databases.release(dsn)
