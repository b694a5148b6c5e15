"""The web app's database as it stands in production, before and after the worker's migration; for the tests.

Written from what the app's own SQL does: its tables, enums, row-level security, default grants, triggers and functions,
in the variants that are met. The role that owns it is no superuser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OWNER = "app_owner"  # as Supabase's `postgres`: owns the tables, makes roles, is no superuser
GATEWAY = "authenticator"  # who PostgREST connects as, to become one of the three below

ROLES = f"""
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF to_regrole(r) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        END IF;
    END LOOP;
    ALTER ROLE service_role BYPASSRLS;
    ALTER ROLE authenticated SET statement_timeout = '8s';
    ALTER ROLE service_role SET statement_timeout = '20s';
    IF to_regrole('{OWNER}') IS NULL THEN
        CREATE ROLE {OWNER} LOGIN CREATEROLE;
        CREATE ROLE {GATEWAY} LOGIN NOINHERIT;
        GRANT anon, authenticated, service_role TO {GATEWAY};
        GRANT anon, authenticated, service_role TO {OWNER} WITH ADMIN OPTION;
    END IF;
END $$;
"""


@dataclass(frozen=True)
class Variant:
    """One of the databases met in production.

    Attributes
    ----------
    complete : {"plain", "lacking", "completing"}
        What `complete_job` does beside ending the row, where the result has a `url`, and on an error: nothing; an
        update of the track that needs a type and columns which are not there; the same where they are, so that the
        track ends `completed`.
    dialect : {"guide", "production"}
        Names of the functions' arguments.
    column : {"payload", "job_data"}
    status : {"text", "enum"}
        Type of `audio_job_queue.status`.
    preview_url : bool
        Whether `tracks` has that column.
    leased : bool
        After the worker's migration.
    """

    complete: Literal["plain", "lacking", "completing"] = "plain"
    dialect: Literal["guide", "production"] = "guide"
    column: Literal["payload", "job_data"] = "payload"
    status: Literal["text", "enum"] = "text"
    preview_url: bool = True
    leased: bool = False

    def __str__(self) -> str:
        mode = "leased" if self.leased else "plain"
        return f"{self.complete}-{self.dialect}-{self.column}-{self.status}-{mode}"


# Every pair of values of the first four stands in one of these at least.
VARIANTS = (
    Variant("plain", "guide", "payload", "text"),
    Variant("plain", "production", "job_data", "enum"),
    Variant("lacking", "guide", "job_data", "text"),
    Variant("lacking", "production", "payload", "enum"),
    Variant("completing", "guide", "payload", "enum"),
    Variant("completing", "production", "job_data", "text"),
)

# Superuser's work, as Supabase does it before the app comes: its schemas, and who may do what by default.
PLATFORM = f"""
ALTER SCHEMA public OWNER TO {OWNER};
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role, {GATEWAY};
CREATE SCHEMA extensions AUTHORIZATION {OWNER};
GRANT USAGE ON SCHEMA extensions TO PUBLIC;
CREATE FUNCTION extensions.uuid_generate_v4() RETURNS uuid LANGUAGE sql AS $$ SELECT gen_random_uuid() $$;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text, email_confirmed_at timestamptz);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, {OWNER};
GRANT ALL ON auth.users TO {OWNER};
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
"""


def app_schema(variant: Variant) -> str:
    """The app's own SQL, run by the owner."""
    return "\n".join(
        (_tables(variant), _policies(), _triggers(), _claim(variant), _progress(variant), _complete(variant))
    )


def _tables(variant: Variant) -> str:
    labels = "'pending', 'processing', 'completed', 'failed', 'cancelled'"
    job_enum = f"CREATE TYPE job_status AS ENUM ({labels});" if variant.status == "enum" else ""
    job_status = "job_status" if variant.status == "enum" else f"text CHECK (status IN ({labels}))"
    track_enum = track_more = ""
    track_status = "text"
    if variant.complete == "completing":
        track_enum = "CREATE TYPE track_status AS ENUM ('draft', 'processing', 'completed', 'failed', 'published');"
        track_status, track_more = "track_status", "duration integer, file_size bigint,"
    return f"""
{job_enum}
{track_enum}
CREATE TABLE tracks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES auth.users(id) ON DELETE CASCADE,
    title text, cover_image_url text, script text,
    voice_config jsonb, music_config jsonb, frequency_config jsonb, output_config jsonb,
    start_delay_seconds integer, {track_more}
    audio_url text, {"preview_url text," if variant.preview_url else ""}
    duration_seconds integer, status {track_status} DEFAULT 'draft',
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE background_tracks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text UNIQUE, title text, url text,
    is_active boolean DEFAULT true);
CREATE TABLE notifications_queue (
    id uuid PRIMARY KEY, user_id uuid, type text NOT NULL, data jsonb, created_at timestamptz DEFAULT now());
CREATE TABLE audio_job_queue (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    track_id uuid REFERENCES tracks(id) ON DELETE CASCADE,
    user_id uuid REFERENCES auth.users(id) ON DELETE CASCADE,
    status {job_status} DEFAULT 'pending',
    progress integer DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    stage text, {variant.column} jsonb, result jsonb, error text,
    started_at timestamptz, completed_at timestamptz,
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE job_queue (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text DEFAULT 'pending', result jsonb);
"""


def _policies() -> str:
    """Customers order for their own tracks, and write any column of their own rows."""
    return """
ALTER TABLE audio_job_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE tracks ENABLE ROW LEVEL SECURITY;
ALTER TABLE background_tracks ENABLE ROW LEVEL SECURITY;
ALTER TABLE notifications_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users see their jobs" ON audio_job_queue FOR SELECT TO authenticated USING (auth.uid() = user_id);
CREATE POLICY "Users order for their tracks" ON audio_job_queue FOR INSERT TO authenticated
    WITH CHECK (auth.uid() = user_id
                AND EXISTS (SELECT FROM tracks t WHERE t.id = track_id AND t.user_id = auth.uid()));
CREATE POLICY "Users update their jobs" ON audio_job_queue FOR UPDATE TO authenticated USING (auth.uid() = user_id);
CREATE POLICY "Users see their tracks" ON tracks FOR SELECT TO authenticated USING (auth.uid() = user_id);
CREATE POLICY "Users make tracks" ON tracks FOR INSERT TO authenticated WITH CHECK (auth.uid() = user_id);
CREATE POLICY "Users update their tracks" ON tracks FOR UPDATE TO authenticated USING (auth.uid() = user_id);
CREATE POLICY "Everybody sees the catalogue" ON background_tracks FOR SELECT USING (is_active);
"""


def _triggers() -> str:
    """Plain plpgsql without a search_path of its own, which names tables and extensions without a schema."""
    return """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION notify_job_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IN ('completed', 'failed') AND NEW.status IS DISTINCT FROM OLD.status THEN
        INSERT INTO notifications_queue (id, user_id, type, data)
        VALUES (uuid_generate_v4(), NEW.user_id, 'job_' || NEW.status,
                jsonb_build_object('job_id', NEW.id, 'track_id', NEW.track_id, 'error', NEW.error));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notify_job_end AFTER UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION notify_job_end();
"""


def _claim(variant: Variant) -> str:
    return f"""
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
"""


def _names(variant: Variant) -> tuple[str, str, str, str, str]:
    """Of the job, progress, stage, result, error."""
    if variant.dialect == "guide":
        return "p_job_id", "p_progress", "p_stage", "p_result", "p_error"
    return "job_id", "new_progress", "new_stage", "job_result", "job_error"


def _progress(variant: Variant) -> str:
    job, progress, stage, _, _ = _names(variant)
    return f"""
CREATE FUNCTION update_job_progress({job} uuid, {progress} integer, {stage} text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE audio_job_queue SET progress = {progress}, stage = {stage} WHERE id = update_job_progress.{job};
END $$;
"""


def _complete(variant: Variant) -> str:
    """The function that ends a row, and an older one of the same name, which belongs to another table."""
    job, _, _, result, error = _names(variant)
    track_done = track_failed = ""
    preview = f"preview_url = {result} ->> 'preview_url'," if variant.preview_url else ""
    if variant.complete != "plain":
        track_done = f"""
        IF {result} ->> 'url' IS NOT NULL THEN
            UPDATE tracks t
               SET audio_url = {result} ->> 'url', {preview}
                   status = 'completed'::track_status, duration = ({result} ->> 'duration')::integer,
                   file_size = ({result} ->> 'size')::bigint
              FROM audio_job_queue q WHERE q.id = complete_job.{job} AND t.id = q.track_id;
        END IF;"""
        track_failed = f"""
        UPDATE tracks t SET status = 'failed'::track_status
          FROM audio_job_queue q WHERE q.id = complete_job.{job} AND t.id = q.track_id;"""
    return f"""
CREATE FUNCTION complete_job({job} uuid, {result} jsonb, {error} text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF {error} IS NULL THEN
        UPDATE audio_job_queue SET status = 'completed', progress = 100, result = {result}, completed_at = now()
         WHERE id = complete_job.{job};{track_done}
    ELSE
        UPDATE audio_job_queue SET status = 'failed', error = {error}, completed_at = now()
         WHERE id = complete_job.{job};{track_failed}
    END IF;
END $$;
CREATE FUNCTION complete_job(p_job_id uuid, p_result jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE job_queue SET status = 'done', result = p_result WHERE id = p_job_id;
END $$;
"""
