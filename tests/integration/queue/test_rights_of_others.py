"""What others may do in the app's database; what `doctor` and `migrate` tell of it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import Any

import psycopg
import pytest
from database import Databases, Variant, execute, new_track
from paths import ROOT
from production import OWNER, PLATFORM
from standins.queued_jobs import customer
from standins.supabase import supabase_standin

from worker.cli import doctor
from worker.cli.doctor_database import Finding
from worker.config import Config
from worker.queue.examine import examined, exposed_functions, public_may_create, try_endings, try_leased_endings
from worker.queue.migrate import migrate
from worker.queue.plain_dialect import DIALECTS

EACH_SERVER = True


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
