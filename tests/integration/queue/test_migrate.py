"""The migration: from nothing, onto the app's database in each variant, twice, and while jobs are being worked on."""

from __future__ import annotations

import threading

import psycopg
import pytest
from database import VARIANTS, Databases, Variant, execute, payload_of, rescued_by, row_of
from paths import ROOT

from worker.backoff import RetryPolicy
from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.queue.migrate import migrate, migration_sql, scripts
from worker.queue.service import ClaimStatus, open_queue

FUNCTIONS = {
    "worker_version", "worker_standing", "worker_payload", "worker_claim", "worker_track", "worker_catalogue",
    "worker_may_speak", "worker_heartbeat", "worker_release", "worker_retry", "worker_fail", "worker_finish",
    "worker_rescue", "worker_probe_pause", "worker_probe_over", "worker_park", "worker_free", "worker_end_parked",
    "worker_parked", "worker_take_place", "worker_give_place", "worker_columns", "worker_fence",
    "worker_notify_insert", "worker_notify_status", "worker_next", "worker_note_attempt", "worker_end",
    "worker_attempts_of", "worker_operate", "worker_failed", "worker_purge_older", "worker_pause", "worker_state",
    "worker_length", "worker_turn",
}  # fmt: skip


def shape(dsn: str) -> list[dict[str, object]]:
    """Everything that a migration could change, in order."""
    return execute(
        dsn,
        """SELECT 'column' AS kind, table_name || '.' || column_name AS name,
                  concat_ws(' ', data_type, is_nullable, column_default) AS what
             FROM information_schema.columns WHERE table_schema = 'public'
           UNION ALL SELECT 'function', p.oid::regprocedure::text, concat(md5(prosrc), proacl) FROM pg_proc p
            WHERE pronamespace = 'public'::regnamespace
           UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
           UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
           ORDER BY 1, 2""",
    )


def names(dsn: str, kind: str) -> set[str]:
    return {str(item["name"]).split("(")[0] for item in shape(dsn) if item["kind"] == kind}


def test_from_nothing_it_makes_everything(empty_dsn: str) -> None:
    assert migrate(empty_dsn) == tuple(name for name, _ in scripts())
    assert names(empty_dsn, "function") >= FUNCTIONS | {
        "get_next_pending_job", "update_job_progress", "complete_job",
    }  # fmt: skip
    queue = open_queue(Config(database_url=empty_dsn), worker_name="w")
    assert queue.mode == "leased"
    queue.enqueue({"script": "hi"})
    claim = queue.claim()
    assert claim is not None
    assert payload_of(claim) == {"script": "hi"}
    queue.close()


def test_the_second_time_changes_nothing_and_asks_for_no_exclusive_lock(empty_dsn: str) -> None:
    migrate(empty_dsn)
    before = shape(empty_dsn)
    with psycopg.connect(empty_dsn) as busy:
        busy.execute("INSERT INTO audio_job_queue (payload) VALUES ('{}')")  # a writer, its transaction open
        migrate(empty_dsn)
    assert shape(empty_dsn) == before


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_onto_the_apps_database_only_adding(databases: Databases, variant: Variant) -> None:
    dsn = databases.new(variant)
    before = {(item["kind"], item["name"]): item["what"] for item in shape(dsn)}
    execute(dsn, "INSERT INTO audio_job_queue (stage) VALUES ('queued')")
    row = execute(dsn, "SELECT * FROM audio_job_queue")[0]
    migrate(dsn)
    after = {(item["kind"], item["name"]): item["what"] for item in shape(dsn)}
    assert {key: after[key] for key in before} == before, "what the app has is as it was"
    new = {str(name) for kind, name in after.keys() - before.keys() if kind == "column"}
    added = {name.split(".")[1] for name in new if name.startswith("audio_job_queue.")}
    assert added == {
        "attempt", "claim_token", "claimed_by", "lease_expires_at", "run_after", "crash_count",
        "release_count", "error_code", "spoken_characters", "parked_cause", "parked_since", "priority", "length_s",
        "turn_at", "purged_at",
    }  # fmt: skip
    assert row.items() <= execute(dsn, "SELECT * FROM audio_job_queue")[0].items()
    migrate(dsn)
    assert {(item["kind"], item["name"]): item["what"] for item in shape(dsn)} == after
    databases.release(dsn)


def test_running_jobs_are_finished_by_the_plain_worker_that_holds_them(databases: Databases) -> None:
    dsn = databases.new(Variant("completing", "production", "job_data", "enum"))
    plain = open_queue(Config(database_url=dsn), worker_name="old")
    plain.enqueue({"n": 1})
    claim = plain.claim()
    assert claim is not None
    migrate(dsn)
    leased = open_queue(Config(database_url=dsn), worker_name="new")
    assert (plain.mode, leased.mode) == ("plain", "leased")
    assert leased.claim() is None
    assert rescued_by(leased) == 0
    assert plain.heartbeat(claim, progress=50, stage="s") is ClaimStatus.HELD
    assert plain.finish(claim, result={"a": 1}, track={}) is ClaimStatus.HELD
    assert row_of(dsn, claim.job_id)["status"] == "completed"
    for queue in (plain, leased):
        queue.close()
    databases.release(dsn)


def test_two_at_once_take_turns(empty_dsn: str) -> None:
    failed: list[Exception] = []

    def run() -> None:
        try:
            migrate(empty_dsn)
        except TransientError as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_busy_table_is_waited_for_in_short_turns(databases: Databases) -> None:
    """An ALTER that queued for its lock without a limit would hold up every reader behind it."""
    dsn = databases.new(Variant())
    with psycopg.connect(dsn) as busy:
        busy.execute("LOCK TABLE audio_job_queue IN ACCESS SHARE MODE")  # a long report
        policy = RetryPolicy(failures=None, first_wait_s=0.05, longest_wait_s=0.05)
        migrating = threading.Thread(target=migrate, args=(dsn,), kwargs={"retry_policy": policy, "lock_limit_s": 0.2})
        migrating.start()
        migrating.join(1.0)
        assert migrating.is_alive()
    migrating.join(30)
    assert names(dsn, "function") >= FUNCTIONS
    databases.release(dsn)


def test_a_table_that_stays_locked_is_reported(databases: Databases) -> None:
    dsn = databases.new(Variant())
    with psycopg.connect(dsn) as busy:
        busy.execute("LOCK TABLE audio_job_queue IN ACCESS SHARE MODE")
        with pytest.raises(TransientError, match="lock timeout"):
            migrate(dsn, retry_policy=RetryPolicy(failures=2, first_wait_s=0.01), lock_limit_s=0.05)
    databases.release(dsn)


def test_the_printed_text_does_the_same(databases: Databases, empty_dsn: str) -> None:
    """As Supabase's SQL editor runs it: one text, many statements."""
    execute(empty_dsn, migration_sql().encode())
    other = databases.new("laptop")
    assert shape(empty_dsn) == shape(other)
    databases.release(other)


def test_the_way_back_in_the_docs_leads_to_plain_mode(leased_dsn: str) -> None:
    page = ROOT.joinpath("docs", "howto", "use-leased-mode.md").read_text(encoding="utf-8")
    execute(leased_dsn, page.split("## Going back")[1].split("```sql")[1].split("```")[0].encode())
    queue = open_queue(Config(database_url=leased_dsn), worker_name="w")
    assert queue.mode == "plain"
    queue.enqueue({})
    claim = queue.claim()
    assert claim is not None
    assert queue.finish(claim, result={}, track={}) is ClaimStatus.HELD
    queue.close()
    migrate(leased_dsn)  # and forth again


@pytest.mark.parametrize("kind", ["laptop", Variant()], ids=str)
def test_only_the_service_role_may_execute(databases: Databases, kind: object) -> None:
    dsn = databases.new(kind)  # type: ignore[arg-type]
    migrate(dsn)
    allowed = execute(
        dsn,
        """SELECT p.proname, r.rolname FROM pg_proc p, pg_roles r
            WHERE p.proname LIKE 'worker\\_%' AND r.rolname IN ('anon', 'authenticated', 'service_role')
              AND has_function_privilege(r.oid, p.oid, 'EXECUTE')""",
    )
    assert {row["rolname"] for row in allowed} == {"service_role"}
    assert {row["proname"] for row in allowed} == FUNCTIONS
    with psycopg.connect(dsn) as connection:
        connection.execute("SET ROLE anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT worker_claim(gen_random_uuid(), 'another worker', 60)")
    databases.release(dsn)


def test_a_hostile_schema_on_the_search_path_is_not_used(leased_dsn: str) -> None:
    execute(leased_dsn, "CREATE SCHEMA evil")
    execute(leased_dsn, "CREATE TABLE evil.audio_job_queue (LIKE public.audio_job_queue INCLUDING ALL)")
    execute(leased_dsn, "INSERT INTO evil.audio_job_queue (payload) VALUES ('{}')")
    with psycopg.connect(leased_dsn, autocommit=True) as connection:
        connection.execute("SET search_path = evil, public")
        answer = connection.execute("SELECT worker_claim(gen_random_uuid(), 'w', 60)").fetchone()
    assert answer == (None,)


def test_a_role_that_may_not_alter_the_table_is_told_so(databases: Databases) -> None:
    dsn = databases.new(Variant())
    execute(dsn, "CREATE ROLE weak LOGIN")
    execute(dsn, "GRANT CREATE ON SCHEMA public TO weak")
    with pytest.raises(ConfigurationError, match="owns audio_job_queue"):
        migrate(dsn.replace("app_owner@", "weak@"))
    execute(dsn, "REVOKE CREATE ON SCHEMA public FROM weak")
    databases.execute("DROP ROLE weak")
    databases.release(dsn)
