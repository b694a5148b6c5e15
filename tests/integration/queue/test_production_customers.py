"""What customers may write in the app's database, and what a key or role sees that row-level security binds."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from app_database import USER, customer, opened
from claiming import claimed
from database import Variant, execute, new_track, row_of, versions_here
from standins.keys import ANON_JWT

from worker.errors import ConfigurationError, JobError, TransientError
from worker.queue.service import ClaimStatus, Outcome


@pytest.mark.parametrize("version", versions_here())
def test_customers_cannot_write_the_workers_columns(databases, made, version) -> None:
    del version
    dsn = made(Variant("completing", "production", "payload", "enum", leased=True))
    track_id = new_track(dsn, USER)
    forged = {
        "attempt": "-5",
        "crash_count": "-5",
        "release_count": "-5",
        "spoken_characters": "-99999",
        "claim_token": f"'{uuid.uuid4()}'",
        "claimed_by": "'me'",
        "lease_expires_at": "'2099-01-01'",
        "run_after": "'2020-01-01'",
        "error_code": "'x'",
    }
    columns, values = ", ".join(forged), ", ".join(forged.values())
    own = f"SELECT {columns} FROM audio_job_queue WHERE id = %s"
    with opened(dsn, "postgres") as queue:
        clean = execute(dsn, own, queue.enqueue({}))[0]
        with customer(dsn, USER) as page:
            job_id = page.execute(
                f"INSERT INTO audio_job_queue (track_id, user_id, payload, {columns})"
                f" VALUES (%s, %s, '{{}}', {values}) RETURNING id",
                (track_id, USER),
            ).fetchone()[0]
            assert execute(dsn, own, job_id)[0] == clean
            execute(dsn, "DELETE FROM audio_job_queue WHERE id <> %s", job_id)
            for _ in range(3):
                claim = claimed(queue)
                assert queue.resolve_failure(claim, TransientError("down")) is Outcome.RETRIED
                execute(dsn, "UPDATE audio_job_queue SET run_after = NULL")
            claim = claimed(queue)
            assert queue.resolve_failure(claim, JobError("bad")) is Outcome.FAILED
            before = execute(dsn, own, job_id)[0]
            for name, value in forged.items():
                page.execute(f"UPDATE audio_job_queue SET {name} = {value} WHERE id = %s", (job_id,))
            assert execute(dsn, own, job_id)[0] == before
            page.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
            assert execute(dsn, own, job_id)[0]["attempt"] == 4, "a customer's own row keeps its attempts"
            claim = claimed(queue)
            assert claim.attempt == 5
            page.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
            assert queue.claim_status(claim) is ClaimStatus.LOST, "requeued by its owner while it ran"
        assert queue.resolve_failure(claimed(queue), JobError("bad")) is Outcome.FAILED
        with psycopg.connect(dsn, autocommit=True) as server_side:
            server_side.execute("SET ROLE service_role")
            server_side.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
        assert claimed(queue).attempt == 1, "ordered again by the app: five fresh attempts"


def test_a_key_or_role_that_cannot_see_its_rows_is_refused(databases, made) -> None:
    dsn = made(Variant())
    with pytest.raises(ConfigurationError, match="anon"), opened(dsn, "supabase", ANON_JWT):
        pass
    databases.execute("CREATE ROLE half_blind LOGIN")
    try:
        execute(dsn, "GRANT SELECT, UPDATE ON audio_job_queue TO half_blind")
        with opened(dsn, "postgres") as queue:
            job_id = queue.enqueue({})
        with opened(dsn.replace("app_owner@", "half_blind@"), "postgres") as queue:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"row-level security"):
                    queue.claim()
        row = row_of(dsn, job_id)
        assert (row["status"], row["started_at"]) == ("pending", None), "taken back in the same transaction"
    finally:
        execute(dsn, "REVOKE ALL ON audio_job_queue FROM half_blind")
        databases.execute("DROP ROLE half_blind")


def test_over_http_a_row_that_cannot_be_seen_is_the_last_one_taken(made) -> None:
    """A key of an unknown kind that turns out to be bound by row-level security must not take one row after another."""
    dsn = made(Variant())
    with opened(dsn, "supabase", "anon-key-for-tests") as queue:
        execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}'), ('{}'), ('{}')")
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="row-level security"):
                queue.claim()
    assert execute(dsn, "SELECT count(*) n FROM audio_job_queue WHERE status = 'processing'")[0]["n"] == 1
