"""What a role with fewer rights can make of the worker's functions; and what `doctor` and `migrate` tell of others."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from database import Databases, Variant, execute, new_track, payload_of, row_of
from paths import ROOT
from production import OWNER, PLATFORM
from standins.queued_jobs import customer
from standins.supabase import supabase_standin

from worker.cli import doctor
from worker.cli.doctor_database import Finding
from worker.config import Config
from worker.errors import ConfigurationError
from worker.queue.examine import examined, exposed_functions, public_may_create, try_endings, try_leased_endings
from worker.queue.migrate import migrate
from worker.queue.plain_dialect import DIALECTS
from worker.queue.service import ClaimStatus, Outcome, open_queue

EACH_SERVER = True

SCHEMA_1, SCHEMA_2, SCHEMA_3 = (
    (ROOT / "tests" / "schema" / f"version_{number}.sql").read_bytes() for number in (1, 2, 3)
)
SEARCH_PATH = "search_path=pg_catalog, public, extensions, pg_temp"
LEASED = Variant("completing", "production", "payload", "enum", leased=True)


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    dsn = databases.new(LEASED)
    yield dsn
    databases.release(dsn)


def limited_role(databases: Databases, dsn: str) -> str:
    """Make the role of docs/howto/secure.md, as it stands there; its address."""
    page = (ROOT / "docs" / "howto" / "secure.md").read_text(encoding="utf-8")
    (block,) = (text for text in re.findall(r"```sql\n(.*?)```", page, re.S) if "CREATE ROLE mindscript_worker" in text)
    execute(databases.superuser(dsn), block.encode())
    return dsn.replace("app_owner@", "mindscript_worker@")


def drop_limited_role(databases: Databases, dsn: str) -> None:
    execute(databases.superuser(dsn), "DROP OWNED BY mindscript_worker")
    databases.execute("DROP ROLE mindscript_worker")


def test_every_function_has_the_search_path_that_triggers_need(databases: Databases, dsn: str) -> None:
    laptop = databases.new("laptop")
    for database, pattern in ((dsn, "worker\\_%"), (laptop, "%")):
        rows = execute(
            database,
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE %s",
            pattern,
        )
        assert len(rows) >= 25
        assert {row["proname"]: row["proconfig"] for row in rows if row["proconfig"][:1] != [SEARCH_PATH]} == {}
    databases.release(laptop)


# -- a caller's temporary types

# A domain of the name of every type that the functions use; its check runs as whoever makes a value of it.
_TRAPS = """
CREATE TEMP TABLE stolen (who name, type text);
CREATE FUNCTION pg_temp.took(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_temp.stolen VALUES (current_user, what);
    RETURN true;
END $$;
GRANT ALL ON pg_temp.stolen TO PUBLIC;
GRANT EXECUTE ON FUNCTION pg_temp.took TO PUBLIC;
"""
_TYPES = (
    "timestamptz",
    "uuid",
    "text",
    "jsonb",
    "name",
    "regclass",
    "int4",
    "float8",
    "bool",
    "interval",
    "int8",
    "oid",
)
_CALLS = (
    "worker_version()",
    "worker_claim(gen_random_uuid(), 'w', 60)",
    "worker_claim('11111111-1111-1111-1111-111111111111', 'w', 60, 1000000)",
    "worker_standing({job}, '11111111-1111-1111-1111-111111111111')",
    "worker_payload({job}, 1000000)",
    "worker_track({job}, '11111111-1111-1111-1111-111111111111')",
    "worker_catalogue({job}, '11111111-1111-1111-1111-111111111111', 'x')",
    "worker_may_speak({job}, '11111111-1111-1111-1111-111111111111', 1, 1000)",
    "worker_heartbeat({job}, '11111111-1111-1111-1111-111111111111', 60, 1, 's')",
    "worker_rescue(3, 5, 'sorry')",
    "worker_retry({job}, gen_random_uuid(), 'x', 1, false)",
    "worker_release({job}, gen_random_uuid(), 'x', 1)",
    "worker_fail({job}, gen_random_uuid(), 'x', 'y', false)",
    "worker_park({job}, '11111111-1111-1111-1111-111111111111', 'x', 'model', 'dead', 0)",
    "worker_park({job}, gen_random_uuid(), 'x', 'model', 'dead', 0)",
    "worker_probe_pause(1)",
    "worker_take_place({job}, '11111111-1111-1111-1111-111111111111', 'a', 2, gen_random_uuid())",
    "worker_give_place({job}, '11111111-1111-1111-1111-111111111111', gen_random_uuid())",
    "worker_probe_over('model')",
    "worker_end_parked(1000, 'sorry')",
    "worker_parked()",
    "worker_free('model')",
    "worker_claim('11111111-1111-1111-1111-111111111111', 'w', 60, 1000000)",
    "worker_finish({job}, '11111111-1111-1111-1111-111111111111', '{{}}', '{{}}')",
    "worker_operate('retry', '[\"{id}\"]', 0)",
    "worker_claim('22222222-2222-2222-2222-222222222222', 'w', 60, 1000000, 'fair')",
    "worker_end({job}, '22222222-2222-2222-2222-222222222222', 'retry',"
    ' \'{{"p_code": "x", "p_delay_s": 0, "p_crashed": false}}\', \'retried\', \'{{}}\')',
    "worker_next(pg_catalog.now(), 'fair')",
    "worker_note_attempt({job}, 1, 'w', pg_catalog.now(), 'died', 'crash', '{{}}')",
    "worker_attempts_of({job})",
    "worker_operate('cancel', '[\"{id}\"]', 0)",
    "worker_operate('purge', '[\"{id}\"]', 0)",
    "worker_failed('x', 10)",
    "worker_purge_older(0, 10)",
    "worker_pause('why', 'me')",
    "worker_pause(NULL, NULL)",
    "worker_state()",
    "worker_length('{{\"durationMin\": 1}}')",
)


def stolen(dsn: str, role: str | None) -> set[tuple[str, str]]:
    """Call every function with traps set; whose rights the traps ran with, and by which type."""
    owner = dsn.replace("mindscript_worker@", "app_owner@")
    track = new_track(owner)
    execute(owner, "INSERT INTO audio_job_queue (payload, track_id) VALUES ('{}', %s), ('{}', NULL)", track)
    job = str(execute(owner, "SELECT id FROM audio_job_queue WHERE track_id IS NOT NULL")[0]["id"])
    with psycopg.connect(dsn, autocommit=True) as connection:
        if role is not None:
            connection.execute(f"SET ROLE {role}".encode())
        connection.execute(_TRAPS)
        for name in _TYPES:
            check = f"CHECK (pg_temp.took('{name}') OR VALUE IS NULL)"
            connection.execute(f"CREATE DOMAIN pg_temp.{name} AS pg_catalog.{name} {check}".encode())
        for call in _CALLS:
            try:
                connection.execute(("SELECT public." + call.format(job=f"'{job}'", id=job)).encode())
            except psycopg.errors.UndefinedFunction:
                continue  # schema 1 has fewer
        rows = connection.execute("SELECT DISTINCT who, type FROM pg_temp.stolen").fetchall()
    return {(str(who), str(kind)) for who, kind in rows}


@pytest.mark.parametrize("who", ["the documented limited role", "service_role"])
def test_temporary_types_of_a_caller_are_not_used(databases: Databases, dsn: str, who: str) -> None:
    if who == "service_role":
        assert stolen(dsn, "service_role") == set()
        return
    address = limited_role(databases, dsn)
    try:
        assert stolen(address, None) == set()
    finally:
        drop_limited_role(databases, dsn)


def test_those_traps_worked_in_schema_1(databases: Databases) -> None:
    """The attack is a real one: the functions of schema 1 fall for it."""
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_1)
    assert ("app_owner", "timestamptz") in stolen(dsn, "service_role")
    databases.release(dsn)


# -- from schema 1


def test_migrate_brings_schema_1_up_while_its_workers_run(databases: Databases) -> None:
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_1)
    with pytest.raises(ConfigurationError, match=r"version 1.*mindscript-worker migrate"):
        open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]
    ids = [str(execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES (%s) RETURNING id", text)[0]["id"])
           for text in ('{"n": 0}', '{"n": 1}', '{"n": 2}')]  # fmt: skip
    token = "22222222-2222-2222-2222-222222222222"

    def old(call: str, *values: Any) -> Any:
        return execute(dsn, f"SELECT public.{call} AS answer", *values)[0]["answer"]

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
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_2)
    with pytest.raises(ConfigurationError, match=r"version 2.*mindscript-worker migrate"):
        open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]
    token = "22222222-2222-2222-2222-222222222222"

    def old(call: str, *values: Any) -> Any:
        return execute(dsn, f"SELECT public.{call} AS answer", *values)[0]["answer"]

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
    dsn = databases.new(Variant("completing", "production", "payload", "enum"))
    execute(dsn, SCHEMA_3)
    with pytest.raises(ConfigurationError, match=r"version 3.*mindscript-worker migrate"):
        open_queue(Config(database_url=dsn), worker_name="new")  # type: ignore[arg-type]

    def old(call: str, *values: Any) -> Any:
        return execute(dsn, f"SELECT public.{call} AS answer", *values)[0]["answer"]

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


# -- what others may do


def test_functions_that_anybody_may_call_are_listed_with_their_revoke(databases: Databases, dsn: str) -> None:
    """The app's three stay open by Supabase's default grants: one of them hands out other customers' scripts."""
    execute(dsn, 'INSERT INTO audio_job_queue (payload) VALUES (\'{"script": "mine"}\')')
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE anon")
        assert connection.execute("SELECT payload FROM get_next_pending_job()").fetchone() == ({"script": "mine"},)
    with examined(dsn) as connection:
        found = exposed_functions(connection)
        assert [signature.split("(")[0] for signature in found] == [
            "complete_job", "complete_job", "get_next_pending_job", "update_job_progress",
        ]  # fmt: skip
    with supabase_standin(dsn) as project:
        exposed = [finding.says for finding in all_findings(project, dsn) if finding.what == "exposed"]
    assert len(exposed) == len(found)
    assert all(signature in says and "REVOKE" in says for signature, says in zip(found, exposed, strict=True))
    printed = subprocess.run(
        [sys.executable, "-m", "worker", "migrate"],
        env={"PYTHONPATH": str(ROOT), "DATABASE_URL": dsn, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    statements = [line for line in printed.splitlines() if line.startswith("REVOKE")]
    assert len(statements) == len(found)
    for statement in statements:
        execute(dsn, statement)
    with examined(dsn) as connection:
        assert exposed_functions(connection) == []
    allowed = "SELECT has_function_privilege('service_role', 'get_next_pending_job()', 'EXECUTE') AS may"
    assert execute(dsn, allowed)[0]["may"]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_function_open_to_either_role_is_listed(databases: Databases, dsn: str, role: str) -> None:
    for other in ("PUBLIC", "anon", "authenticated"):
        execute(dsn, f"REVOKE EXECUTE ON FUNCTION get_next_pending_job() FROM {other}")
    with examined(dsn) as connection:
        assert "get_next_pending_job()" not in exposed_functions(connection)
    execute(dsn, f"GRANT EXECUTE ON FUNCTION get_next_pending_job() TO {role}")
    with examined(dsn) as connection:
        assert "get_next_pending_job()" in exposed_functions(connection)


@pytest.mark.parametrize(
    ("complete", "says", "good"),
    [
        ("plain", "ends the row and no more", True),
        ("lacking", "needs what is not there", None),
        ("completing", "sets the track 'completed'", True),
    ],
)
@pytest.mark.parametrize("rows", ["a row", "no row"])
def test_doctor_tries_complete_job_and_leaves_nothing(databases: Databases, complete, says, good, rows) -> None:
    dsn = databases.new(Variant(complete))
    if rows == "a row":
        execute(dsn, "INSERT INTO audio_job_queue (track_id, result) VALUES (%s, '{\"a\": 1}')", new_track(dsn))
    tables = ("audio_job_queue", "tracks", "notifications_queue")
    before = [execute(dsn, f"SELECT * FROM {name}") for name in tables]
    with supabase_standin(dsn) as project:
        found = findings(project, dsn)
    if rows == "a row":
        assert says in found["endings"].says
        assert found["endings"].good is good
    assert [execute(dsn, f"SELECT * FROM {name}") for name in tables] == before
    databases.release(dsn)


def test_doctor_finds_a_trigger_that_fails_over_every_end(databases: Databases, dsn: str) -> None:
    with examined(dsn) as connection:
        tried = try_leased_endings(connection)
        assert tried is not None
        assert [ending.status for ending in tried.values()] == ["completed", "failed"]
    execute(dsn, "ALTER TABLE notifications_queue ADD COLUMN needed text NOT NULL")
    with supabase_standin(dsn) as project:
        found = findings(project, dsn)
    assert found["endings"].good is False
    assert "needed" in found["endings"].says
    with examined(dsn) as connection:
        endings = try_endings(connection, DIALECTS[1])
        assert endings is not None
        assert endings["result"].sqlstate == endings["error"].sqlstate == "23502"


def test_doctor_says_what_a_signed_in_customer_can_do(databases: Databases, dsn: str) -> None:
    with supabase_standin(dsn) as project:
        found = all_findings(project, dsn)
        rights = [finding.says for finding in found if finding.what == "customers"]
        assert any("UPDATE where (auth.uid() = user_id)" in says for says in rights)
        assert any("INSERT where" in says and "'Users order for their tracks'" in says for says in rights)
        assert not any("DELETE" in says for says in rights)
        assert [finding.says for finding in found if finding.what == "key"] != []
        execute(dsn, "ALTER TABLE audio_job_queue DISABLE ROW LEVEL SECURITY")
        found = all_findings(project, dsn)
        rights = [finding.says for finding in found if finding.what == "customers"]
        assert any("DELETE on every row" in says for says in rights)
        execute(dsn, "REVOKE ALL ON audio_job_queue FROM authenticated")
        (nothing,) = (finding for finding in all_findings(project, dsn) if finding.what == "customers")
        assert nothing.good is True


def test_schema_public_that_everybody_may_write_is_named(databases: Databases, dsn: str) -> None:
    with examined(dsn) as connection:
        assert not public_may_create(connection)
    execute(dsn, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    with examined(dsn) as connection:
        assert public_may_create(connection)


def all_findings(project: Any, dsn: str) -> list[Finding]:
    config = Config(supabase_url=project.url, supabase_service_role_key=project.key, database_url=dsn)  # type: ignore[arg-type]
    return [finding for group in doctor.examined(config).values() for finding in group]


def findings(project: Any, dsn: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in all_findings(project, dsn)}


def test_customers_may_read_their_rows_in_tables_we_make_and_no_more(databases: Databases) -> None:
    """Where Supabase's default grants are all, and the app's tables are not there yet."""
    dsn = databases.new("empty")
    execute(dsn, PLATFORM)
    ours = dsn.replace("://postgres@", f"://{OWNER}@")
    migrate(ours)
    rights = execute(
        ours,
        """SELECT c.relname AS table, coalesce(r.rolname, 'PUBLIC') AS role, a.privilege_type AS may
             FROM pg_class c CROSS JOIN aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
              AND coalesce(r.rolname, 'PUBLIC') NOT IN ('service_role', %s)
            ORDER BY 1""",
        OWNER,
    )
    assert [tuple(right.values()) for right in rights] == [
        ("audio_job_queue", "authenticated", "SELECT"),
        ("tracks", "authenticated", "SELECT"),
    ]
    mine, other = (customer(ours, str(uuid.uuid4())) for _ in range(2))
    for user_id in (mine, other):
        execute(ours, "INSERT INTO tracks (user_id) VALUES (%s)", user_id)
        execute(ours, "INSERT INTO audio_job_queue (user_id) VALUES (%s)", user_id)
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", [mine])
        for role in ("authenticated", "anon"):
            connection.execute(f"SET ROLE {role}")
            for table in ("tracks", "audio_job_queue"):
                for statement in (f"TRUNCATE {table} CASCADE", f"DELETE FROM {table}"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                        connection.execute(statement)
                if role == "authenticated":
                    assert connection.execute(f"SELECT user_id::text FROM {table}").fetchall() == [(mine,)]
    databases.release(dsn)
