"""The docs' SQL, run as it stands there. pg_cron, pg_net and Vault are stand-ins with those extensions' signatures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import psycopg
import pytest
from database import ROLES, VARIANTS, Databases, execute
from paths import ROOT
from pydantic import SecretStr
from servers import postgres_server, wanted_versions

from worker.cli import migrate as commands
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.queue.migrate import migrate
from worker.queue.service import open_queue

DOCS = ROOT / "docs"
REPLACE = "howto/replace-the-old-worker.md"
SCHEDULE = "howto/wake-on-a-schedule.md"
ROLL_BACK = "howto/roll-back.md"
LEASED = "howto/use-leased-mode.md"
ENDED = "howto/read-how-a-job-ended.md"
MONITOR = "howto/monitor.md"
SECURE = "howto/secure.md"
INSERT = "howto/insert-a-job.md"

# pg_cron 1.6: cron.schedule(name, schedule, command), cron.unschedule(name) or (id). pg_net 0.14: net.http_post.
# supabase_vault 0.3: create_secret, update_secret, the view decrypted_secrets.
EXTENSIONS = """
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigserial PRIMARY KEY, schedule text NOT NULL, command text NOT NULL,
    nodename text DEFAULT 'localhost', nodeport int DEFAULT 5432, database text DEFAULT current_database(),
    username text DEFAULT current_user, active boolean DEFAULT true, jobname text UNIQUE);
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO cron.job (jobname, schedule, command) VALUES (job_name, schedule, command)
    ON CONFLICT (jobname) DO UPDATE SET schedule = excluded.schedule, command = excluded.command RETURNING jobid $$;
CREATE FUNCTION cron.unschedule(gone text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM cron.job WHERE jobname = gone;
    IF NOT FOUND THEN RAISE EXCEPTION 'could not find valid entry for job ''%''', gone; END IF;
    RETURN true; END $$;
CREATE FUNCTION cron.unschedule(gone bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM cron.job WHERE jobid = gone;
    IF NOT FOUND THEN RAISE EXCEPTION 'could not find valid entry for job ''%''', gone; END IF;
    RETURN true; END $$;
CREATE SCHEMA net;
CREATE TABLE net.posted (id bigserial, url text, body jsonb, params jsonb, headers jsonb, timeout int);
CREATE TABLE net._http_response (id bigint, status_code int, content_type text, headers jsonb, content text,
    timed_out boolean, error_msg text, created timestamptz DEFAULT now());
CREATE FUNCTION net.http_post(url text, body jsonb DEFAULT '{}', params jsonb DEFAULT '{}',
    headers jsonb DEFAULT '{"Content-Type": "application/json"}', timeout_milliseconds int DEFAULT 5000)
    RETURNS bigint LANGUAGE sql AS $$ INSERT INTO net.posted (url, body, params, headers, timeout)
    VALUES (url, body, params, headers, timeout_milliseconds) RETURNING id $$;
CREATE SCHEMA vault;
CREATE TABLE vault.secrets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE,
    description text DEFAULT '', secret text NOT NULL);
CREATE VIEW vault.decrypted_secrets AS
    SELECT id, name, description, secret, secret AS decrypted_secret FROM vault.secrets;
CREATE FUNCTION vault.create_secret(new_secret text, new_name text DEFAULT NULL, new_description text DEFAULT '',
    new_key_id uuid DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO vault.secrets (secret, name, description)
    VALUES (new_secret, new_name, new_description) RETURNING id $$;
CREATE FUNCTION vault.update_secret(secret_id uuid, new_secret text DEFAULT NULL, new_name text DEFAULT NULL,
    new_description text DEFAULT NULL, new_key_id uuid DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    UPDATE vault.secrets SET secret = coalesce(new_secret, secret) WHERE id = secret_id $$;
CREATE SCHEMA storage;
CREATE TABLE storage.buckets (id text PRIMARY KEY, allowed_mime_types text[]);
INSERT INTO storage.buckets VALUES ('audio-renders', '{audio/mpeg}');
"""

OLD_JOBS = """
SELECT cron.schedule('process-audio-jobs', '* * * * *',
    $$SELECT net.http_post('https://x.example/functions/v1/audio-processor')$$);
SELECT cron.schedule('another-name', '* * * * *',
    $$SELECT net.http_post(url := current_setting('app.url') || '/functions/v1/audio-processor-worker')$$);
SELECT cron.schedule('reset-stuck', '*/5 * * * *', $$UPDATE audio_job_queue SET status = 'pending'
    WHERE status = 'processing' AND started_at < now() - interval '10 minutes'$$);
SELECT cron.schedule('of-the-app', '0 3 * * *', $$SELECT 1$$);
"""


def blocks(page: str) -> list[str]:
    """The SQL of a page, block by block, indented ones too."""
    found = re.findall(r"^( *)```sql\n(.*?)^\1```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def block_with(page: str, words: str) -> str:
    (found,) = [block for block in blocks(page) if words in block]
    return found


def jobs(dsn: str) -> dict[str, str]:
    return {row["jobname"]: row["command"] for row in execute(dsn, "SELECT jobname, command FROM cron.job")}


@pytest.fixture(scope="module", params=wanted_versions(), ids=lambda version: f"postgres{version}")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """In this file: on each of the servers that Supabase runs, instead of the session's newest."""
    with postgres_server(request.param) as server:
        execute(server.dsn, ROLES)
        yield Databases(server)


@pytest.fixture(params=VARIANTS[::3], ids=str)
def supabase(databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of production's with the extensions and the old worker's cron jobs."""
    dsn = databases.new(request.param)
    execute(dsn, EXTENSIONS)
    execute(dsn, OLD_JOBS)
    yield dsn
    databases.release(dsn)


def test_every_block_runs_in_the_order_of_its_page(supabase):
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert {page for page in pages if blocks(page)} == {
        REPLACE, SCHEDULE, ROLL_BACK, LEASED, ENDED, MONITOR, SECURE, INSERT,
    }  # fmt: skip
    for page in (REPLACE, SCHEDULE, ROLL_BACK):
        for block in blocks(page):
            execute(supabase, block)
    migrate(supabase)
    for page in (ENDED, MONITOR, LEASED):  # those of the other pages are in tests of their own
        for block in blocks(page):
            execute(supabase, block)


def test_a_job_is_inserted_as_the_page_says(leased_dsn):
    track = execute(leased_dsn, "INSERT INTO tracks (title) VALUES ('t') RETURNING id")[0]["id"]
    (block,) = blocks(INSERT)
    (row,) = execute(leased_dsn, block.replace("0" * 8 + "-0000-0000-0000-" + "0" * 12, str(track)))
    queue = open_queue(Config(database_url=SecretStr(leased_dsn)), worker_name="test")
    claim = queue.claim()
    assert claim is not None
    assert (claim.job_id, claim.track_id) == (str(row["id"]), str(track))
    assert parse_job(claim.payload_text).duration_min == 10
    queue.close()


def test_the_old_worker_is_stopped_and_nothing_of_the_apps(supabase):
    gone = execute(supabase, block_with(REPLACE, "cron.unschedule"))
    assert {row["jobname"] for row in gone} == {"process-audio-jobs", "another-name", "reset-stuck"}
    assert execute(supabase, block_with(REPLACE, "cron.unschedule")) == []  # again is harmless
    assert set(jobs(supabase)) == {"of-the-app"}


def test_the_schedule_wakes_with_the_vaults_token_when_a_job_waits(supabase):
    execute(supabase, block_with(SCHEDULE, "create_secret"))
    execute(supabase, block_with(SCHEDULE, "/process'"))
    assert set(jobs(supabase)) == {
        "process-audio-jobs", "another-name", "reset-stuck", "of-the-app",
    }  # fmt: skip  # replaced, not doubled
    command = jobs(supabase)["process-audio-jobs"]
    assert "THE-WORKER-TOKEN" not in command

    execute(supabase, command)
    assert execute(supabase, "SELECT * FROM net.posted") == []
    execute(supabase, "INSERT INTO audio_job_queue DEFAULT VALUES")
    execute(supabase, command)
    execute(supabase, block_with(SCHEDULE, "update_secret"))
    execute(supabase, command)
    first, second = execute(supabase, "SELECT * FROM net.posted ORDER BY id")
    assert first["url"].endswith("/process")
    assert first["headers"]["Authorization"] == "Bearer THE-WORKER-TOKEN"
    assert second["headers"]["Authorization"] == "Bearer THE-NEW-TOKEN"


def test_the_roll_back_calls_the_function_again(supabase):
    execute(supabase, block_with(REPLACE, "cron.unschedule"))
    execute(supabase, block_with(ROLL_BACK, "functions/v1"))
    execute(supabase, "SELECT vault.create_secret('the key', 'service_role_key')")
    execute(supabase, jobs(supabase)["process-audio-jobs"])
    (call,) = execute(supabase, "SELECT * FROM net.posted")
    assert call["url"].endswith("/functions/v1/audio-processor")
    assert call["headers"]["Authorization"] == "Bearer the key"


def test_going_back_from_leased_mode_leaves_a_plain_one(supabase):
    migrate(supabase)
    before = open_queue(Config(database_url=supabase), worker_name="test")
    execute(supabase, block_with(LEASED, "DROP TRIGGER"))
    after = open_queue(Config(database_url=supabase), worker_name="test")
    assert (before.mode, after.mode) == ("leased", "plain")
    before.close()
    after.close()


def test_a_roll_back_outlasts_the_next_deploy(supabase, capsys):
    config = Config(database_url=SecretStr(supabase))
    assert commands.migrate(config, only_print=False, release=True) == 0
    execute(supabase, block_with(LEASED, "DROP TRIGGER"))
    assert commands.migrate(Config(), only_print=False, release=True) == 0  # the next deploy, as the page has it
    assert "left as it is" in capsys.readouterr().out
    assert open_queue(config, worker_name="test").mode == "plain"
    assert commands.migrate(config, only_print=False, release=True) == 0  # what the page warns of
    assert open_queue(config, worker_name="test").mode == "leased"


def test_the_query_shows_a_claim_by_the_old_function(supabase):
    look = block_with(REPLACE, "last_claim")
    execute(supabase, "INSERT INTO audio_job_queue DEFAULT VALUES")
    assert [row["status"] for row in execute(supabase, look)] == ["pending"]
    (taken,) = execute(supabase, "SELECT job_id FROM get_next_pending_job()")
    assert [str(row["status"]) for row in execute(supabase, look)] == ["processing"]
    execute(supabase, "UPDATE audio_job_queue SET status = 'failed', error = 'x', completed_at = now()")
    (failed,) = execute(supabase, block_with(REPLACE, "7 days"))
    assert (failed["id"], failed["error"]) == (taken["job_id"], "x")


def test_a_requeued_job_gets_fresh_attempts(leased_dsn):
    queue = open_queue(Config(database_url=leased_dsn), worker_name="test")
    job_id = queue.enqueue({"durationMin": 1})
    queue.resolve_failure(queue.claim(), JobError("no"), crashed=False)
    execute(
        leased_dsn,
        block_with(ENDED, "SET status = 'pending'").replace("0" * 8 + "-0000-0000-0000-" + "0" * 12, job_id),
    )
    claim = queue.claim()
    assert (claim.job_id, claim.attempt) == (job_id, 1)
    queue.close()


def test_a_customer_can_cancel_and_change_nothing_else(supabase):
    customer = "00000000-0000-0000-0000-000000000001"
    execute(supabase, "INSERT INTO auth.users (id) VALUES (%s)", customer)
    execute(supabase, "INSERT INTO audio_job_queue (user_id) VALUES (%s)", customer)
    execute(supabase, "CREATE POLICY own ON audio_job_queue FOR ALL TO authenticated USING (user_id = auth.uid())")
    with psycopg.connect(supabase, autocommit=True) as connection:
        connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (customer,))
        connection.execute("SET ROLE authenticated")
        connection.execute("UPDATE audio_job_queue SET started_at = now(), stage = 'mine'")
        execute(supabase, block_with(SECURE, "GRANT UPDATE (status)"))
        for forbidden in ("started_at = now()", "stage = 'mine'", "status = 'pending', progress = 3"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"UPDATE audio_job_queue SET {forbidden}")
        connection.execute("UPDATE audio_job_queue SET status = 'cancelled'")
        connection.execute("INSERT INTO audio_job_queue (user_id) VALUES (%s)", (customer,))
    assert execute(supabase, "SELECT count(*) AS n FROM audio_job_queue WHERE status = 'cancelled'")[0]["n"] == 1


def test_nobody_creates_in_public_after_the_line_of_the_page(leased_dsn):
    def may_create():
        rows = execute(leased_dsn, block_with(SECURE, "has_schema_privilege"))
        return {row["rolname"] for row in rows} & {"anon", "authenticated", "service_role"}

    execute(leased_dsn, "GRANT CREATE ON SCHEMA public TO PUBLIC")  # as it is before 15
    assert may_create() == {"anon", "authenticated", "service_role"}
    execute(leased_dsn, block_with(SECURE, "REVOKE CREATE"))
    assert may_create() == set()
    with psycopg.connect(leased_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")


def test_the_role_of_the_security_page_can_work_and_do_nothing_else(leased_dsn):
    execute(leased_dsn, block_with(SECURE, "CREATE ROLE"))
    try:
        job_id = execute(leased_dsn, "INSERT INTO audio_job_queue (payload) VALUES (%s) RETURNING id", json.dumps({}))[
            0
        ]["id"]
        dsn = re.sub(r"//[^@]*@", "//mindscript_worker@", leased_dsn)
        queue = open_queue(Config(database_url=dsn), worker_name="test")
        assert queue.mode == "leased"
        claim = queue.claim()
        assert claim.job_id == str(job_id)
        queue.heartbeat(claim, progress=1, stage="x")
        queue.finish(claim, result={"url": "x"}, track={})
        queue.rescue_jobs()
        assert queue.job(claim.job_id).status == "completed"
        assert queue.depth()["completed"] == 1
        queue.close()
        with psycopg.connect(dsn, autocommit=True) as connection:
            for forbidden in (
                "UPDATE audio_job_queue SET status = 'pending'",
                "INSERT INTO audio_job_queue DEFAULT VALUES",
                "SELECT * FROM tracks",
                "DROP FUNCTION worker_version()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)
    finally:
        execute(Databases.superuser(leased_dsn), "DROP OWNED BY mindscript_worker")
        execute(Databases.superuser(leased_dsn), "DROP ROLE mindscript_worker")
