"""A real Postgres for the tests: one embedded server a session, a clean database a test.

`databases.new(kind)` gives a clean database: ``"empty"``, ``"leased"``
(migrated on an empty database) or a `Variant` of the production database that the contract describes. Roles
and default grants are those of Supabase: whatever a migration does not revoke, `anon` may do.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from psycopg.rows import dict_row

from worker.queue.claims import Claim
from worker.queue.embedded import EmbeddedPostgres, embedded_postgres
from worker.queue.migrate import migrate

ROLES = """
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        END IF;
    END LOOP;
    ALTER ROLE service_role BYPASSRLS;
END $$;
"""

SUPABASE_GRANTS = """
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
"""


@dataclass(frozen=True)
class Variant:
    """One of the databases met in production; see the queue contract."""

    dialect: Literal["guide", "production"] = "guide"
    column: Literal["payload", "job_data"] = "payload"
    status: Literal["text", "enum"] = "text"
    preview_url: bool = True

    def __str__(self) -> str:
        return f"{self.dialect}-{self.column}-{self.status}"


VARIANTS = tuple(
    Variant(dialect, column, status)
    for dialect in ("guide", "production")
    for column in ("payload", "job_data")
    for status in ("text", "enum")
)


def production_schema(variant: Variant) -> str:
    """The SQL of a database as the web app has it before the worker's migration."""
    guide = variant.dialect == "guide"
    job_id, progress, stage = (
        ("p_job_id", "p_progress", "p_stage") if guide else ("job_id", "new_progress", "new_stage")
    )
    result, error = ("p_result", "p_error") if guide else ("job_result", "job_error")
    kind = "text" if variant.status == "text" else "job_status"
    check = (
        "CHECK (status IN ('pending','processing','completed','failed','cancelled'))"
        if variant.status == "text"
        else ""
    )
    enum = (
        "CREATE TYPE job_status AS ENUM ('pending','processing','completed','failed','cancelled');"
        if variant.status == "enum"
        else ""
    )
    # "in some databases it also copies ... to the track"
    copies = (
        ""
        if guide
        else f"""
    UPDATE tracks t SET audio_url = {result}->>'url', duration_seconds = ({result}->>'duration')::int
      FROM audio_job_queue q WHERE q.id = complete_job.job_id AND t.id = q.track_id AND {error} IS NULL;"""  # noqa: S608
    )
    return f"""
{SUPABASE_GRANTS}
{enum}
CREATE TABLE tracks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES auth.users(id) ON DELETE CASCADE,
    title text, audio_url text, {"preview_url text," if variant.preview_url else ""}
    duration_seconds integer, status text DEFAULT 'draft',
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE audio_job_queue (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    track_id uuid REFERENCES tracks(id) ON DELETE CASCADE,
    user_id uuid REFERENCES auth.users(id) ON DELETE CASCADE,
    status {kind} DEFAULT 'pending' {check},
    progress integer DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    stage text, {variant.column} jsonb, result jsonb, error text,
    started_at timestamptz, completed_at timestamptz,
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
ALTER TABLE audio_job_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE tracks ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION touch();

CREATE FUNCTION get_next_pending_job()
RETURNS TABLE(job_id uuid, track_id uuid, user_id uuid, {variant.column} jsonb)
LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE audio_job_queue q SET status = 'processing', started_at = now()
    WHERE q.id = (SELECT id FROM audio_job_queue WHERE status = 'pending' ORDER BY created_at
                  LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING q.id, q.track_id, q.user_id, q.{variant.column};
END $$;
CREATE FUNCTION update_job_progress({job_id} uuid, {progress} integer, {stage} text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE audio_job_queue SET progress = {progress}, stage = {stage} WHERE id = update_job_progress.{job_id};
END $$;
CREATE FUNCTION complete_job({job_id} uuid, {result} jsonb, {error} text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF {error} IS NULL THEN
        UPDATE audio_job_queue SET status = 'completed', progress = 100, result = {result},
               completed_at = now()
         WHERE id = complete_job.{job_id};
    ELSE
        UPDATE audio_job_queue SET status = 'failed', error = {error}, completed_at = now()
         WHERE id = complete_job.{job_id};
    END IF;{copies}
END $$;
"""  # noqa: S608 - made of this file's own words


_observers: dict[str, psycopg.Connection[dict[str, Any]]] = {}


def execute(dsn: str, statement: str | bytes, *parameters: object) -> list[dict[str, Any]]:
    """Run one statement; the rows it answers with. A connection to each database is kept: a new one costs 5 ms."""
    for last in (False, True):
        observer = _observers.get(dsn)
        if observer is None or observer.closed:
            observer = _observers[dsn] = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        try:
            cursor = observer.execute(statement, parameters or None)
        except psycopg.OperationalError:  # the test has ended it, or its server
            if last or not observer.broken:
                raise
        else:
            return cursor.fetchall() if cursor.description else []
    raise AssertionError


def row_of(dsn: str, job_id: str) -> dict[str, Any]:
    """The order's whole row."""
    return execute(dsn, "SELECT * FROM audio_job_queue WHERE id = %s", job_id)[0]


def payload_of(claim: Claim) -> dict[str, Any]:
    """A claimed order's payload."""
    loaded = json.loads(claim.payload_text or "{}")
    return json.loads(loaded) if isinstance(loaded, str) else loaded


def remove(home: Path) -> None:
    """Delete the folder of an embedded server once that has gone."""
    deadline = time.monotonic() + 30
    while any(home.rglob("postmaster.pid")) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(home)


def age_row(dsn: str, age: str) -> None:
    """Make every row look untouched for `age`; the trigger that sets `updated_at` is put aside meanwhile."""
    execute(dsn, "ALTER TABLE audio_job_queue DISABLE TRIGGER USER")
    execute(dsn, "UPDATE audio_job_queue SET updated_at = clock_timestamp() - %s::interval", age)
    execute(dsn, "ALTER TABLE audio_job_queue ENABLE TRIGGER USER")


Kind = Literal["empty", "leased"] | Variant

# Whatever a test may have changed besides rows.
_SHAPE = """
SELECT md5(concat(
    (SELECT string_agg(concat(proname, prosrc, proconfig, proacl), ',' ORDER BY oid) FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace),
    (SELECT string_agg(concat(tgname, tgenabled), ',' ORDER BY oid) FROM pg_trigger WHERE NOT tgisinternal),
    (SELECT string_agg(concat(attrelid::regclass, attname), ',' ORDER BY attrelid, attnum) FROM pg_attribute
      JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0),
    (SELECT string_agg(nspname, ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_')
)) AS shape"""
_EMPTY = """
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT oid::regclass::text FROM pg_class
              WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, to_regnamespace('auth')) LOOP
        EXECUTE format('DELETE FROM %s', t);
    END LOOP;
END $$"""


class Databases:
    """Databases on one server, used again when a test has left no more than rows behind (making one takes 250
    ms).

    Parameters
    ----------
    server : EmbeddedPostgres
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count()
        self._free: dict[Kind, list[str]] = {}
        self._made: dict[str, tuple[Kind, str]] = {}

    def execute(self, statement: str) -> None:
        """Run a statement on the server, in none of the test's databases."""
        execute(self.server.dsn, statement)

    def new(self, kind: Kind) -> str:
        """A clean database; its address. Give it to `release` afterwards."""
        if self._free.get(kind):
            return self._free[kind].pop()
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        dsn = self.server.dsn.replace("@/postgres?", f"@/{name}?")
        if kind == "leased":
            migrate(dsn)
        elif isinstance(kind, Variant):
            execute(dsn, production_schema(kind))
        self._made[dsn] = (kind, execute(dsn, _SHAPE)[0]["shape"])
        return dsn

    def release(self, dsn: str) -> None:
        """Empty it for the next test, or drop it when more than its rows has changed."""
        name = dsn.split("@/")[1].split("?")[0]
        if (observer := _observers.pop(dsn, None)) is not None:
            observer.close()
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
        )
        kind, shape = self._made[dsn]
        if execute(dsn, _SHAPE)[0]["shape"] == shape:
            execute(dsn, _EMPTY)
            self._free.setdefault(kind, []).append(dsn)
        else:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """For a test's own embedded server; `tmp_path` is 0700, and one started by root would go elsewhere."""
    home = Path(tempfile.mkdtemp(prefix="mindscript-tests-"))
    home.chmod(0o755)
    yield home
    remove(home)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The session's server."""
    home = Path(tempfile.mkdtemp(prefix="mindscript-tests-"))
    home.chmod(0o755)
    unsafe = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
    }
    try:
        with embedded_postgres(home / "server", settings=unsafe) as server:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(ROLES)
            yield server
    finally:
        remove(home)


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    return Databases(postgres)


@pytest.fixture
def empty_dsn(databases: Databases) -> Iterator[str]:
    """An empty database."""
    dsn = databases.new("empty")
    yield dsn
    databases.release(dsn)


@pytest.fixture
def leased_dsn(databases: Databases) -> Iterator[str]:
    """A database made by `migrate` out of nothing."""
    dsn = databases.new("leased")
    yield dsn
    databases.release(dsn)
