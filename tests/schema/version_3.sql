-- The worker's schema 3, as its last release migrated to it; each part is a transaction of its own there.
-- 001_tables.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

DO $$
DECLARE
    v_found text;
BEGIN
    SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname) INTO v_found
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname IN ('audio_job_queue', 'tracks') AND c.relkind IN ('r', 'p', 'v', 'f')
       AND n.nspname <> 'public' AND n.nspname !~ '^pg_'
       AND (to_regclass('public.' || c.relname) IS NULL OR to_regclass(c.relname) = c.oid);
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'the app has % and the worker works on schema public only; nothing was changed', v_found
            USING ERRCODE = 'invalid_schema_name',
                  HINT = 'ALTER TABLE ... SET SCHEMA public, or connect to the database of the app''s public schema';
    END IF;
END $$;

-- The web app's two tables and three functions, only where they are missing: a live database is left as it is.

DO $$
DECLARE
    v_made text[] := '{}';
    v_function text;
    v_role text;
BEGIN
    IF to_regclass('public.tracks') IS NULL THEN
        CREATE TABLE public.tracks (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            title text,
            status text NOT NULL DEFAULT 'draft',
            audio_url text,
            preview_url text,
            duration_seconds integer,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        ALTER TABLE public.tracks ENABLE ROW LEVEL SECURITY;
        IF to_regclass('auth.users') IS NOT NULL THEN
            ALTER TABLE public.tracks
                ADD FOREIGN KEY (user_id) REFERENCES auth.users (id) ON DELETE CASCADE;
        END IF;
        IF to_regprocedure('auth.uid()') IS NOT NULL THEN
            CREATE POLICY "Owners read their tracks" ON public.tracks FOR SELECT USING (user_id = auth.uid());
        END IF;
        IF to_regrole('service_role') IS NOT NULL THEN
            GRANT ALL ON public.tracks TO service_role;
        END IF;
    END IF;

    IF to_regclass('public.audio_job_queue') IS NULL THEN
        CREATE TABLE public.audio_job_queue (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            track_id uuid REFERENCES public.tracks (id) ON DELETE CASCADE,
            user_id uuid,
            status text NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
            progress integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
            stage text,
            payload jsonb,
            result jsonb,
            error text,
            started_at timestamptz,
            completed_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        ALTER TABLE public.audio_job_queue ENABLE ROW LEVEL SECURITY;
        IF to_regclass('auth.users') IS NOT NULL THEN
            ALTER TABLE public.audio_job_queue
                ADD FOREIGN KEY (user_id) REFERENCES auth.users (id) ON DELETE CASCADE;
        END IF;
        IF to_regprocedure('auth.uid()') IS NOT NULL THEN
            CREATE POLICY "Owners read their jobs" ON public.audio_job_queue
                FOR SELECT USING (user_id = auth.uid());
        END IF;
        IF to_regrole('service_role') IS NOT NULL THEN
            GRANT ALL ON public.audio_job_queue TO service_role;
        END IF;

        CREATE OR REPLACE FUNCTION public.audio_job_queue_touch() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $touch$
        BEGIN
            NEW.updated_at := clock_timestamp();
            RETURN NEW;
        END $touch$;
        CREATE TRIGGER audio_job_queue_touch BEFORE UPDATE ON public.audio_job_queue
            FOR EACH ROW EXECUTE FUNCTION public.audio_job_queue_touch();
    END IF;

    IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'get_next_pending_job'
                   AND pronamespace = 'public'::regnamespace) THEN
        CREATE FUNCTION public.get_next_pending_job()
        RETURNS TABLE (job_id uuid, track_id uuid, user_id uuid, payload jsonb)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $claim$
        #variable_conflict use_column
        DECLARE
            v_id uuid;
        BEGIN
            SELECT q.id INTO v_id FROM public.audio_job_queue q
             WHERE q.status = 'pending'
             ORDER BY q.created_at LIMIT 1 FOR UPDATE SKIP LOCKED;
            RETURN QUERY
                UPDATE public.audio_job_queue q
                   SET status = 'processing', started_at = clock_timestamp()
                 WHERE q.id = v_id
             RETURNING q.id, q.track_id, q.user_id, q.payload;
        END $claim$;
        v_made := v_made || 'public.get_next_pending_job()'::text;
    END IF;

    IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'update_job_progress'
                   AND pronamespace = 'public'::regnamespace) THEN
        CREATE FUNCTION public.update_job_progress(p_job_id uuid, p_progress integer, p_stage text DEFAULT NULL)
        RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $progress$
        BEGIN
            UPDATE public.audio_job_queue
               SET progress = p_progress, stage = p_stage, updated_at = clock_timestamp()
             WHERE id = p_job_id;
        END $progress$;
        v_made := v_made || 'public.update_job_progress(uuid, integer, text)'::text;
    END IF;

    IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'complete_job'
                   AND pronamespace = 'public'::regnamespace) THEN
        CREATE FUNCTION public.complete_job(p_job_id uuid, p_result jsonb, p_error text DEFAULT NULL)
        RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $complete$
        BEGIN
            IF p_error IS NULL THEN
                UPDATE public.audio_job_queue
                   SET status = 'completed', progress = 100, result = p_result, error = NULL,
                       completed_at = clock_timestamp()
                 WHERE id = p_job_id;
            ELSE
                UPDATE public.audio_job_queue
                   SET status = 'failed', error = p_error, completed_at = clock_timestamp()
                 WHERE id = p_job_id;
            END IF;
        END $complete$;
        v_made := v_made || 'public.complete_job(uuid, jsonb, text)'::text;
    END IF;

    -- Ours are for the server side only; Supabase grants new functions to anon and authenticated by default.
    FOREACH v_function IN ARRAY v_made LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated'] LOOP
            IF to_regrole(v_role) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', v_function, v_role);
            END IF;
        END LOOP;
        IF to_regrole('service_role') IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', v_function);
        END IF;
    END LOOP;
END $$;

COMMIT;

-- 002_lease_columns.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- The columns of a lease, and the indexes of the queue.
--
-- One ALTER TABLE with constant defaults: no row is rewritten, and the exclusive lock lasts milliseconds. It is not even
-- asked for when the columns are there. Building an index reads the table once and
-- holds back writers that long, so on a table over 256 MB (without its out-of-line values) it is left to a person.

DO $$
DECLARE
    v_index text[];
BEGIN
    IF 9 > (SELECT count(*) FROM pg_attribute
             WHERE attrelid = 'public.audio_job_queue'::regclass AND NOT attisdropped
               AND attname IN ('attempt', 'claim_token', 'claimed_by', 'lease_expires_at', 'run_after',
                               'crash_count', 'release_count', 'error_code', 'spoken_characters')) THEN
        ALTER TABLE public.audio_job_queue
            ADD COLUMN IF NOT EXISTS attempt integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS claim_token uuid,
            ADD COLUMN IF NOT EXISTS claimed_by text,
            ADD COLUMN IF NOT EXISTS lease_expires_at timestamptz,
            ADD COLUMN IF NOT EXISTS run_after timestamptz,
            ADD COLUMN IF NOT EXISTS crash_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS release_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS error_code text,
            ADD COLUMN IF NOT EXISTS spoken_characters integer NOT NULL DEFAULT 0;
    END IF;

    FOREACH v_index SLICE 1 IN ARRAY ARRAY[
        ['audio_job_queue_due', 'ON public.audio_job_queue (created_at, id) WHERE status = ''pending'''],
        ['audio_job_queue_held', 'ON public.audio_job_queue (claim_token) WHERE status = ''processing'''],
        ['audio_job_queue_by_track', 'ON public.audio_job_queue (track_id, created_at)'],
        ['audio_job_queue_spoken', 'ON public.audio_job_queue (user_id, started_at) WHERE spoken_characters > 0']
    ] LOOP
        IF to_regclass('public.' || v_index[1]) IS NOT NULL THEN
            CONTINUE;
        ELSIF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                v_index[1], v_index[2];
        ELSE
            EXECUTE format('CREATE INDEX %I %s', v_index[1], v_index[2]);
        END IF;
    END LOOP;
END $$;

COMMIT;

-- 003_parking_columns.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- What parked jobs need: two columns and a table of causes; and the table of places at voice services. The columns are added
-- as in 002_lease_columns.sql. Their indexes follow in two more transactions: a lock of this one would be held that long.
--
-- A job is parked while it waits for something that an operator must fix. It is then pending with a cause in
-- `parked_cause`; `parked_since` is when its waiting began, and stays until the job ends.

DO $$
DECLARE
    v_table text;
    v_role text;
BEGIN
    IF 2 > (SELECT count(*) FROM pg_attribute
             WHERE attrelid = 'public.audio_job_queue'::regclass AND NOT attisdropped
               AND attname IN ('parked_cause', 'parked_since')) THEN
        ALTER TABLE public.audio_job_queue
            ADD COLUMN IF NOT EXISTS parked_cause text,
            ADD COLUMN IF NOT EXISTS parked_since timestamptz;
    END IF;

    IF to_regclass('public.worker_causes') IS NULL THEN
        CREATE TABLE public.worker_causes (
            cause text PRIMARY KEY,
            since timestamptz NOT NULL,
            message text NOT NULL,
            next_probe_at timestamptz NOT NULL,
            probes integer NOT NULL
        );
    END IF;

    -- Places at voice services: one row for each request that is under way, where their number is limited.
    IF to_regclass('public.worker_places') IS NULL THEN
        CREATE TABLE public.worker_places (
            place uuid PRIMARY KEY,
            account text NOT NULL,
            job_id uuid NOT NULL,
            claim_token uuid NOT NULL,
            taken_at timestamptz NOT NULL
        );
    END IF;

    -- Nobody but the functions: Supabase grants new tables to all three roles by default.
    FOREACH v_table IN ARRAY ARRAY['worker_causes', 'worker_places'] LOOP
        IF NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = ('public.' || v_table)::regclass) THEN
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_table);
            EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', v_table);
            FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
                IF to_regrole(v_role) IS NOT NULL THEN
                    EXECUTE format('REVOKE ALL ON public.%I FROM %I', v_table, v_role);
                END IF;
            END LOOP;
        END IF;
    END LOOP;
END $$;

COMMIT;

-- 004_ready_index.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- The index of a claim: jobs that are neither parked nor begun, oldest first, however many are parked before them.
-- Made as those of 002_lease_columns.sql, in a transaction of its own, so that nobody waits for two indexes at once.

DO $$
BEGIN
    IF to_regclass('public.audio_job_queue_ready') IS NULL THEN
        IF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                'audio_job_queue_ready', 'ON public.audio_job_queue (created_at, id) WHERE status = ''pending'' AND parked_cause IS NULL';
        ELSE
            CREATE INDEX audio_job_queue_ready
                ON public.audio_job_queue (created_at, id) WHERE status = 'pending' AND parked_cause IS NULL;
        END IF;
    END IF;
END $$;

COMMIT;

-- 005_parked_index.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- The index of parked jobs: those of a cause, oldest first, and whether one of them is being done.
-- Made as those of 002_lease_columns.sql, in a transaction of its own, so that nobody waits for two indexes at once.

DO $$
BEGIN
    IF to_regclass('public.audio_job_queue_parked') IS NULL THEN
        IF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                'audio_job_queue_parked', 'ON public.audio_job_queue (parked_cause, status, created_at, id) WHERE parked_cause IS NOT NULL';
        ELSE
            CREATE INDEX audio_job_queue_parked
                ON public.audio_job_queue (parked_cause, status, created_at, id) WHERE parked_cause IS NOT NULL;
        END IF;
    END IF;
END $$;

COMMIT;

-- 006_parking.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- Parked jobs. A job that meets something which an operator must fix (a dead model, a refused key, a missing bucket)
-- waits under its cause, so that it keeps no other job from being done. Of each cause one job at a time is tried, the
-- probe; when a probe completes, all jobs of its cause are freed. A probe keeps its `parked_cause` while it is processing.
--
-- Locks are taken in one order: the job's row, then the cause's. Where many rows are written, locked ones are passed over.

-- How long a cause rests after so many probes in a row that met it again.
CREATE OR REPLACE FUNCTION public.worker_probe_pause(p_probes integer) RETURNS interval
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT pg_catalog.make_interval(secs => least(600, 30 * pg_catalog.power(2::pg_catalog.float8, least(p_probes, 5))))
$$;

-- A probe has ended in another way than by meeting its cause again, so nothing is known of it: the pauses begin anew.
CREATE OR REPLACE FUNCTION public.worker_probe_over(p_cause text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    UPDATE public.worker_causes
       SET probes = 0, next_probe_at = pg_catalog.clock_timestamp() + public.worker_probe_pause(0)
     WHERE cause = p_cause
$$;

-- Park the job under its cause; the attempt is not counted. `parked_since` stays as it was when the job was parked first.
CREATE OR REPLACE FUNCTION public.worker_park(
    p_job_id uuid, p_token uuid, p_code text, p_cause text, p_message text, p_delay_s double precision) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_least interval := pg_catalog.make_interval(secs => p_delay_s);
    v_before text;
BEGIN
    SELECT q.parked_cause INTO v_before FROM public.audio_job_queue q
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing';
    UPDATE public.audio_job_queue
       SET status = 'pending', attempt = greatest(0, attempt - 1), release_count = release_count + 1,
           error_code = p_code, run_after = v_now, parked_cause = p_cause, parked_since = coalesce(parked_since, v_now),
           started_at = NULL, progress = 0, stage = 'Waiting to try again', updated_at = v_now,
           claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF NOT FOUND THEN
        RETURN public.worker_standing(p_job_id, p_token);
    END IF;
    INSERT INTO public.worker_causes AS c (cause, since, message, next_probe_at, probes)
    VALUES (p_cause, v_now, p_message, v_now + greatest(public.worker_probe_pause(0), v_least), 0)
        ON CONFLICT (cause) DO UPDATE
       SET message = excluded.message,
           probes = CASE WHEN v_before = p_cause THEN c.probes + 1 ELSE c.probes END,
           next_probe_at = CASE WHEN v_before = p_cause
                                THEN v_now + greatest(public.worker_probe_pause(c.probes + 1), v_least)
                                ELSE c.next_probe_at END;
    IF v_before <> p_cause THEN
        PERFORM public.worker_probe_over(v_before);
    END IF;
    RETURN 'held';
END $$;

-- Free all jobs of a cause; answers how many. An operator may call it, too. A trigger of the app's that fails over one
-- row must not cost the job whose end frees them: then `worker_end_parked` frees them one by one, since their cause is
-- gone.
CREATE OR REPLACE FUNCTION public.worker_free(p_cause text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_freed integer := 0;
BEGIN
    DELETE FROM public.worker_causes WHERE cause = p_cause;
    BEGIN
        UPDATE public.audio_job_queue SET parked_cause = NULL, run_after = v_now
         WHERE id IN (SELECT q.id FROM public.audio_job_queue q
                       WHERE q.parked_cause = p_cause AND q.status = 'pending' FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS v_freed = ROW_COUNT;
    EXCEPTION WHEN OTHERS THEN
        v_freed := 0;
    END;
    IF v_freed > 0 THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN v_freed;
END $$;

-- Fail the jobs that have waited for longer than the limit, free those whose cause is gone, forget causes without jobs.
-- Answers with the failed ones and their causes, and with the rows that could not be written, as `worker_rescue` does.
CREATE OR REPLACE FUNCTION public.worker_end_parked(p_limit_s double precision, p_error text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_row record;
    v_failed jsonb := '{}';
    v_freed integer := 0;
    v_refused jsonb := '[]';
BEGIN
    FOR v_row IN
        SELECT q.id, q.parked_cause, q.parked_since < v_now - pg_catalog.make_interval(secs => p_limit_s) AS is_over
          FROM public.audio_job_queue q
         WHERE q.status = 'pending' AND q.parked_cause IS NOT NULL
           AND (q.parked_since < v_now - pg_catalog.make_interval(secs => p_limit_s)
                OR NOT EXISTS (SELECT FROM public.worker_causes c WHERE c.cause = q.parked_cause))
         ORDER BY q.parked_since LIMIT 200 FOR UPDATE OF q SKIP LOCKED
    LOOP
        BEGIN
            IF v_row.is_over THEN
                UPDATE public.audio_job_queue
                   SET status = 'failed', error = p_error, error_code = 'configuration.limit',
                       completed_at = v_now, updated_at = v_now
                 WHERE id = v_row.id;
                v_failed := v_failed || pg_catalog.jsonb_build_object(v_row.id, v_row.parked_cause);
            ELSE
                UPDATE public.audio_job_queue SET parked_cause = NULL, run_after = v_now WHERE id = v_row.id;
                v_freed := v_freed + 1;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            v_refused := v_refused || pg_catalog.jsonb_build_object('id', v_row.id, 'sqlstate', SQLSTATE);
        END;
    END LOOP;
    DELETE FROM public.worker_causes c
     WHERE NOT EXISTS (SELECT FROM public.audio_job_queue q WHERE q.parked_cause = c.cause);
    IF v_freed > 0 THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN pg_catalog.jsonb_build_object('failed', v_failed, 'refused', v_refused);
END $$;

-- The causes that jobs wait for, oldest first, with how many wait.
CREATE OR REPLACE FUNCTION public.worker_parked() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT coalesce(
        pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_object(
                'cause', c.cause, 'since', c.since, 'message', c.message,
                'jobs', (SELECT pg_catalog.count(*) FROM public.audio_job_queue q
                          WHERE q.parked_cause = c.cause AND q.status = 'pending'))
            ORDER BY c.since, c.cause),
        '[]')
      FROM public.worker_causes c
$$;

COMMIT;

-- 007_functions.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- The functions that leased workers call. Every time is the database's, every write is fenced by the claim's token, and each function
-- that ends or holds a job returns the claim's status: 'held' (done), 'cancelled' (by the customer) or 'lost' (another
-- worker has claimed the row).
--
-- search_path: the app's own triggers run inside these functions and name their tables without a schema, so `public` and
-- Supabase's `extensions` are on it. pg_temp is last: left out it would come first, and a caller's temporary types
-- would be used with our rights. All names of ours are qualified.
--
-- Status is compared with literals, so that text and enum columns both work; 'cancelled' as text, since some enums have
-- no such word.

-- The status of a claim.
CREATE OR REPLACE FUNCTION public.worker_standing(p_job_id uuid, p_token uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT coalesce(
        (SELECT CASE WHEN q.status::text = 'cancelled' THEN 'cancelled'
                     WHEN q.status = 'processing' AND q.claim_token = p_token THEN 'held'
                     ELSE 'lost' END
           FROM public.audio_job_queue q WHERE q.id = p_job_id),
        'lost')
$$;

-- A row's payload as text, if that is no longer than the limit; else what is known of its size. The stored size comes
-- first: it is known without unpacking the value, and is never larger than its text. Then the size unpacked, as an
-- array holds it: at most four times the text (a list of digits), so that 57 MB that were compressed away are known
-- for too large in a seventh of the time that their text would take.
CREATE OR REPLACE FUNCTION public.worker_payload(
    p_job_id uuid, p_limit_bytes integer, OUT payload_text text, OUT payload_bytes integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_column name;
BEGIN
    -- older databases have job_data instead of payload, some have both
    FOR v_column IN
        SELECT a.attname FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = 'public.audio_job_queue'::pg_catalog.regclass AND NOT a.attisdropped
           AND a.attname IN ('payload', 'job_data')
         ORDER BY a.attname DESC
    LOOP
        EXECUTE pg_catalog.format('SELECT pg_catalog.pg_column_size(q.%I) FROM public.audio_job_queue q WHERE q.id = $1', v_column)
           INTO payload_bytes USING p_job_id;
        IF payload_bytes <= p_limit_bytes THEN
            EXECUTE pg_catalog.format(
                'SELECT pg_catalog.pg_column_size(ARRAY[q.%I]) FROM public.audio_job_queue q WHERE q.id = $1', v_column)
               INTO payload_bytes USING p_job_id;
            IF payload_bytes / 8 > p_limit_bytes THEN
                RETURN;
            END IF;
            EXECUTE pg_catalog.format('SELECT q.%I::pg_catalog.text FROM public.audio_job_queue q WHERE q.id = $1', v_column)
               INTO payload_text USING p_job_id;
            payload_bytes := pg_catalog.octet_length(payload_text);
        END IF;
        IF payload_bytes > p_limit_bytes THEN
            payload_text := NULL;
            RETURN;
        END IF;
        payload_bytes := NULL;
        IF payload_text <> 'null' THEN
            RETURN;
        END IF;
    END LOOP;
    payload_text := NULL;
END $$;

-- Take the next job that is due; NULL when there is none. First a probe, of a cause whose pause is over and none of whose
-- jobs is being done; else the oldest job that is not parked. The caller makes the token: when an answer is lost on its
-- way, asking again with the same token gets the same row. A payload over the limit is not read: the worker fails that
-- job.
CREATE OR REPLACE FUNCTION public.worker_claim(
    p_token uuid, p_worker text, p_lease_s double precision, p_payload_limit_bytes integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_lease timestamptz := v_now + pg_catalog.make_interval(secs => p_lease_s);
    v_id uuid;
    v_due timestamptz;  -- of a probe: since when it is
    v_cause record;
    v_row record;
BEGIN
    UPDATE public.audio_job_queue q SET lease_expires_at = v_lease
     WHERE q.claim_token = p_token AND q.status = 'processing'
    RETURNING q.id, q.track_id, q.user_id, q.attempt, q.crash_count, q.error_code, q.started_at, q.created_at,
              q.run_after, q.parked_cause
         INTO v_row;

    IF NOT FOUND THEN
        -- The cause's row is locked and written, so that of two claims at the same moment one gets the probe.
        FOR v_cause IN
            SELECT c.cause, c.next_probe_at, c.probes FROM public.worker_causes c
             WHERE c.next_probe_at <= v_now
               AND NOT EXISTS (SELECT FROM public.audio_job_queue q
                                WHERE q.parked_cause = c.cause AND q.status = 'processing')
             ORDER BY c.next_probe_at FOR UPDATE SKIP LOCKED
        LOOP
            SELECT q.id INTO v_id FROM public.audio_job_queue q
             WHERE q.parked_cause = v_cause.cause AND q.status = 'pending'
               AND (q.run_after IS NULL OR q.run_after <= v_now)
             ORDER BY q.created_at, q.id
             LIMIT 1 FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                v_due := v_cause.next_probe_at;
                UPDATE public.worker_causes SET next_probe_at = v_now + public.worker_probe_pause(v_cause.probes)
                 WHERE cause = v_cause.cause;
                EXIT;
            END IF;
        END LOOP;
        IF v_id IS NULL THEN
            SELECT q.id INTO v_id FROM public.audio_job_queue q
             WHERE q.status = 'pending' AND q.parked_cause IS NULL AND (q.run_after IS NULL OR q.run_after <= v_now)
             ORDER BY q.created_at, q.id
             LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        IF v_id IS NULL THEN
            RETURN NULL;
        END IF;
        UPDATE public.audio_job_queue q
           SET status = 'processing', started_at = v_now, completed_at = NULL, error = NULL,
               progress = 0, stage = NULL, attempt = q.attempt + 1, run_after = coalesce(v_due, q.run_after),
               claim_token = p_token, claimed_by = p_worker, lease_expires_at = v_lease
         WHERE q.id = v_id
        RETURNING q.id, q.track_id, q.user_id, q.attempt, q.crash_count, q.error_code, q.started_at, q.created_at,
              q.run_after, q.parked_cause
             INTO v_row;
    END IF;

    RETURN (
        SELECT pg_catalog.jsonb_build_object(
            'job_id', v_row.id,
            'track_id', v_row.track_id,
            'user_id', v_row.user_id,
            'payload_text', p.payload_text,
            'payload_bytes', p.payload_bytes,
            'attempt', v_row.attempt,
            'crashes', v_row.crash_count,
            'last_error_code', v_row.error_code,
            'probed_cause', v_row.parked_cause,
            'waited_s', greatest(0, extract(epoch FROM v_row.started_at - greatest(v_row.created_at, v_row.run_after))))
          FROM public.worker_payload(v_row.id, p_payload_limit_bytes) p);
END $$;

-- As workers of schema 1 call it: the payload as JSON, whatever its size.
CREATE OR REPLACE FUNCTION public.worker_claim(p_token uuid, p_worker text, p_lease_s double precision) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_claim jsonb := public.worker_claim(p_token, p_worker, p_lease_s, 2000000000);
BEGIN
    RETURN v_claim || pg_catalog.jsonb_build_object('payload', (v_claim ->> 'payload_text')::pg_catalog.jsonb);
END $$;

-- The job's row in `tracks`, if it is the same customer's: texts as they are, JSON as text, since customers write it.
CREATE OR REPLACE FUNCTION public.worker_track(p_job_id uuid, p_token uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT (SELECT pg_catalog.jsonb_object_agg(
                       e.key,
                       CASE WHEN pg_catalog.jsonb_typeof(e.value) IN ('object', 'array')
                            THEN pg_catalog.to_jsonb(e.value::pg_catalog.text) ELSE e.value END)
              FROM pg_catalog.jsonb_each(pg_catalog.to_jsonb(t)) e
             WHERE e.key IN ('id', 'title', 'cover_image_url', 'script', 'start_delay_seconds', 'voice_config',
                             'music_config', 'frequency_config', 'output_config'))
      FROM public.audio_job_queue q JOIN public.tracks t ON t.id = q.track_id
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing'
       AND t.user_id IS NOT DISTINCT FROM q.user_id
$$;

-- Where the music catalogue has a piece, by id or slug.
CREATE OR REPLACE FUNCTION public.worker_catalogue(p_job_id uuid, p_token uuid, p_reference text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_url text;
BEGIN
    IF pg_catalog.to_regclass('public.background_tracks') IS NULL OR public.worker_standing(p_job_id, p_token) <> 'held' THEN
        RETURN NULL;
    END IF;
    -- as JSON, since some databases lack `slug` or `is_active`
    EXECUTE $q$
        SELECT j.piece ->> 'url'
          FROM (SELECT pg_catalog.to_jsonb(b) AS piece FROM public.background_tracks b) j
         WHERE (j.piece ->> 'id' = pg_catalog.lower($1) OR j.piece ->> 'slug' = $1)
           AND coalesce(j.piece ->> 'is_active', 'true') = 'true'
         ORDER BY (j.piece ->> 'id' = pg_catalog.lower($1)) DESC LIMIT 1
    $q$ INTO v_url USING p_reference;
    RETURN nullif(v_url, '');
END $$;

-- Whether the customer's jobs of the last 24 hours leave room for so many more spoken characters; noted if they do.
CREATE OR REPLACE FUNCTION public.worker_may_speak(
    p_job_id uuid, p_token uuid, p_characters integer, p_limit integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_user uuid;
    v_spoken bigint;
BEGIN
    SELECT q.user_id INTO v_user FROM public.audio_job_queue q
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- one job of a customer at a time
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('mindscript spoken ' || v_user::pg_catalog.text, 0));
    SELECT coalesce(pg_catalog.sum(q.spoken_characters), 0) INTO v_spoken FROM public.audio_job_queue q
     WHERE q.user_id = v_user AND q.spoken_characters > 0 AND q.id <> p_job_id
       AND q.started_at >= pg_catalog.clock_timestamp() - pg_catalog.make_interval(hours => 24);
    IF v_spoken + p_characters > p_limit THEN
        RETURN false;
    END IF;
    -- a later attempt asks for less where the cache has what an earlier one was given, and that was paid all the same
    UPDATE public.audio_job_queue SET spoken_characters = greatest(spoken_characters, p_characters)
     WHERE id = p_job_id AND claim_token = p_token;
    RETURN true;
END $$;

-- Take one of p_most places of an account for a request, unless all are taken. The caller makes the place's name, so that
-- asking again after a lost answer takes no second one. A place ends with the claim that it was taken for, so those of a
-- killed worker come back when its lease has run out; and after ten minutes, which is longer than any request lasts.
CREATE OR REPLACE FUNCTION public.worker_take_place(
    p_job_id uuid, p_token uuid, p_account text, p_most integer, p_place uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz;
BEGIN
    -- one of an account at a time
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('mindscript place ' || p_account, 0));
    v_now := pg_catalog.clock_timestamp();
    DELETE FROM public.worker_places p
     WHERE p.account = p_account
       AND (p.taken_at < v_now - pg_catalog.make_interval(mins => 10)
            OR NOT EXISTS (SELECT FROM public.audio_job_queue q
                            WHERE q.id = p.job_id AND q.claim_token = p.claim_token AND q.status = 'processing'
                              AND q.lease_expires_at > v_now));
    IF EXISTS (SELECT FROM public.worker_places WHERE place = p_place) THEN
        RETURN true;
    END IF;
    IF public.worker_standing(p_job_id, p_token) <> 'held'
       OR (SELECT pg_catalog.count(*) FROM public.worker_places p WHERE p.account = p_account) >= p_most THEN
        RETURN false;
    END IF;
    INSERT INTO public.worker_places VALUES (p_place, p_account, p_job_id, p_token, v_now);
    RETURN true;
END $$;

-- Give a place back.
CREATE OR REPLACE FUNCTION public.worker_give_place(p_job_id uuid, p_token uuid, p_place uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    DELETE FROM public.worker_places WHERE place = p_place AND job_id = p_job_id AND claim_token = p_token;
    RETURN FOUND;
END $$;

-- Extend the lease; write progress and stage.
CREATE OR REPLACE FUNCTION public.worker_heartbeat(
    p_job_id uuid, p_token uuid, p_lease_s double precision, p_progress integer, p_stage text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
BEGIN
    UPDATE public.audio_job_queue
       SET lease_expires_at = v_now + pg_catalog.make_interval(secs => p_lease_s),
           progress = least(100, greatest(0, coalesce(p_progress, progress))),
           stage = coalesce(p_stage, stage), updated_at = v_now
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Put the job back with this attempt not counted: shutdown, a wait for a place, something wrong
-- with the worker's machine. A parked job stays parked.
CREATE OR REPLACE FUNCTION public.worker_release(
    p_job_id uuid, p_token uuid, p_code text, p_delay_s double precision) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_cause text;
BEGIN
    UPDATE public.audio_job_queue
       SET status = 'pending', attempt = greatest(0, attempt - 1), release_count = release_count + 1,
           error_code = p_code, run_after = v_now + pg_catalog.make_interval(secs => p_delay_s),
           started_at = NULL, progress = 0, stage = NULL, updated_at = v_now,
           claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing'
    RETURNING parked_cause INTO v_cause;
    IF FOUND THEN
        IF v_cause IS NOT NULL THEN
            PERFORM public.worker_probe_over(v_cause);
        END IF;
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Put the job back for another attempt after a delay. A parked job stays parked.
CREATE OR REPLACE FUNCTION public.worker_retry(
    p_job_id uuid, p_token uuid, p_code text, p_delay_s double precision, p_crashed boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_cause text;
BEGIN
    UPDATE public.audio_job_queue
       SET status = 'pending', crash_count = crash_count + p_crashed::pg_catalog.int4,
           error_code = p_code, run_after = v_now + pg_catalog.make_interval(secs => p_delay_s),
           started_at = NULL, progress = 0, stage = 'Waiting to try again', updated_at = v_now,
           claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing'
    RETURNING parked_cause INTO v_cause;
    IF FOUND THEN
        IF v_cause IS NOT NULL THEN
            PERFORM public.worker_probe_over(v_cause);
        END IF;
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Give up. The token stays, so that a repeated call after a lost answer returns 'held'.
CREATE OR REPLACE FUNCTION public.worker_fail(
    p_job_id uuid, p_token uuid, p_code text, p_error text, p_crashed boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_cause text;
BEGIN
    SELECT q.parked_cause INTO v_cause FROM public.audio_job_queue q
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing';
    UPDATE public.audio_job_queue
       SET status = 'failed', error = p_error, error_code = p_code,
           crash_count = crash_count + p_crashed::pg_catalog.int4,
           completed_at = v_now, updated_at = v_now, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND THEN
        IF v_cause IS NOT NULL THEN
            PERFORM public.worker_probe_over(v_cause);
        END IF;
        RETURN 'held';
    END IF;
    IF EXISTS (SELECT FROM public.audio_job_queue
                         WHERE id = p_job_id AND claim_token = p_token AND status = 'failed') THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- The track row and the end of the job in one transaction. Only those columns of p_track that the table has are written
-- (preview_url came late), only to a track of the same customer's, and only if the job has not been superseded: if the
-- customer has no younger job for the same track that has completed, runs or waits. A probe that ends here
-- frees all jobs of its cause. The token stays: a repeated call after a lost answer returns 'held' and writes nothing.
CREATE OR REPLACE FUNCTION public.worker_finish(
    p_job_id uuid, p_token uuid, p_result jsonb, p_track jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_job record;
    v_superseded boolean;
    v_assignments text;
BEGIN
    SELECT q.track_id, q.user_id, q.created_at, q.parked_cause INTO v_job FROM public.audio_job_queue q
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing'
       FOR UPDATE;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM public.audio_job_queue
                    WHERE id = p_job_id AND claim_token = p_token AND status = 'completed') THEN
            RETURN 'held';
        END IF;
        RETURN public.worker_standing(p_job_id, p_token);
    END IF;

    v_superseded := v_job.track_id IS NOT NULL AND EXISTS (
        SELECT FROM public.audio_job_queue y
         WHERE y.track_id = v_job.track_id AND y.user_id IS NOT DISTINCT FROM v_job.user_id AND y.id <> p_job_id
           AND y.created_at > v_job.created_at AND y.status IN ('pending', 'processing', 'completed'));
    UPDATE public.audio_job_queue q
       SET status = 'completed', progress = 100, stage = 'Complete', error = NULL, error_code = NULL,
           result = CASE WHEN v_superseded THEN p_result || '{"superseded": true}' ELSE p_result END,
           completed_at = v_now, updated_at = v_now, lease_expires_at = NULL
     WHERE q.id = p_job_id;
    IF v_job.parked_cause IS NOT NULL THEN
        PERFORM public.worker_free(v_job.parked_cause);
    END IF;
    IF v_superseded OR v_job.track_id IS NULL THEN
        RETURN 'held';
    END IF;

    SELECT pg_catalog.string_agg(
               CASE WHEN a.attname = 'updated_at' THEN 'updated_at = pg_catalog.clock_timestamp()'
                    ELSE pg_catalog.format('%I = %L', a.attname, p_track ->> a.attname::pg_catalog.text) END, ', ')
      INTO v_assignments
      FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = pg_catalog.to_regclass('public.tracks') AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname NOT IN ('id', 'user_id')
       AND (pg_catalog.jsonb_exists(p_track, a.attname::pg_catalog.text) OR a.attname = 'updated_at');
    IF v_assignments IS NOT NULL THEN
        EXECUTE pg_catalog.format(
            'UPDATE public.tracks SET %s WHERE id = $1 AND user_id IS NOT DISTINCT FROM $2', v_assignments)
          USING v_job.track_id, v_job.user_id;
    END IF;
    RETURN 'held';
END $$;

-- Rescue the jobs of dead workers. A leased row is dead when its lease has run out, a row claimed by a worker that knows
-- no leases when nobody has touched it for ten minutes. Either death counts as a crash; too many and the job is given
-- up. Answers with the ids of both kinds, and with the rows that could not be written: a trigger of the app's that fails
-- over one row must not keep the others from being rescued.
CREATE OR REPLACE FUNCTION public.worker_rescue(
    p_max_crashes integer, p_max_attempts integer, p_error text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_row record;
    v_code text;
    v_put_back uuid[] := '{}';
    v_given_up uuid[] := '{}';
    v_refused jsonb := '[]';
BEGIN
    FOR v_row IN
        SELECT q.id, q.crash_count + 1 AS crashes, q.attempt, q.parked_cause FROM public.audio_job_queue q
         WHERE q.status = 'processing'
           AND (q.lease_expires_at < v_now
                OR q.lease_expires_at IS NULL
                   AND coalesce(q.updated_at, q.started_at, q.created_at) < v_now - pg_catalog.make_interval(mins => 10))
         ORDER BY q.id LIMIT 200 FOR UPDATE SKIP LOCKED
    LOOP
        v_code := CASE WHEN v_row.crashes >= p_max_crashes THEN 'poison'
                       WHEN v_row.attempt >= p_max_attempts THEN 'attempts' END;
        BEGIN
            IF v_code IS NULL THEN
                UPDATE public.audio_job_queue
                   SET status = 'pending', crash_count = v_row.crashes, error_code = 'crash', run_after = v_now,
                       started_at = NULL, progress = 0, stage = NULL, updated_at = v_now,
                       claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
                 WHERE id = v_row.id;
                v_put_back := v_put_back || v_row.id;
            ELSE
                UPDATE public.audio_job_queue
                   SET status = 'failed', crash_count = v_row.crashes, error_code = v_code, error = p_error,
                       completed_at = v_now, updated_at = v_now, claim_token = NULL, lease_expires_at = NULL
                 WHERE id = v_row.id;
                v_given_up := v_given_up || v_row.id;
            END IF;
            IF v_row.parked_cause IS NOT NULL THEN
                PERFORM public.worker_probe_over(v_row.parked_cause);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            v_refused := v_refused || pg_catalog.jsonb_build_object('id', v_row.id, 'sqlstate', SQLSTATE);
        END;
    END LOOP;
    RETURN pg_catalog.jsonb_build_object(
        'put_back', pg_catalog.to_jsonb(v_put_back), 'given_up', pg_catalog.to_jsonb(v_given_up), 'refused', v_refused);
END $$;

COMMIT;

-- 008_triggers.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- The fence against workers that know no leases, the guard of the worker's columns, and NOTIFY for those that listen.

-- The worker's columns change only by its functions, which run as the owner of the table. Any other writer of a row (the
-- app, a customer through row-level security, a plain worker) leaves them as they are.
CREATE OR REPLACE FUNCTION public.worker_columns() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF pg_catalog.pg_has_role(
           (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.spoken_characters := 0;
        NEW.claim_token := NULL;
        NEW.claimed_by := NULL;
        NEW.lease_expires_at := NULL;
        NEW.run_after := NULL;
        NEW.error_code := NULL;
        NEW.parked_cause := NULL;
        NEW.parked_since := NULL;
    ELSE
        NEW.attempt := OLD.attempt;
        NEW.crash_count := OLD.crash_count;
        NEW.release_count := OLD.release_count;
        NEW.spoken_characters := OLD.spoken_characters;
        NEW.claim_token := OLD.claim_token;
        NEW.claimed_by := OLD.claimed_by;
        NEW.lease_expires_at := OLD.lease_expires_at;
        NEW.run_after := OLD.run_after;
        NEW.error_code := OLD.error_code;
        NEW.parked_cause := OLD.parked_cause;
        NEW.parked_since := OLD.parked_since;
    END IF;
    RETURN NEW;
END $$;

-- When somebody requeues or claims a row without a token (the old edge function's reset, a plain worker's claim, a
-- person), the old claim's token is removed from the row, and that worker's next write answers 'lost'.
CREATE OR REPLACE FUNCTION public.worker_fence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF NEW.status = 'pending' OR NEW.status = 'processing' THEN
        IF NEW.claim_token IS NOT DISTINCT FROM OLD.claim_token THEN
            NEW.claim_token := NULL;
            NEW.claimed_by := NULL;
            NEW.lease_expires_at := NULL;
        END IF;
    END IF;
    IF NEW.status::text IN ('completed', 'failed', 'cancelled') THEN
        -- However a job ends, it does not wait any more. So one that is requeued is not parked.
        NEW.parked_cause := NULL;
        NEW.parked_since := NULL;
    END IF;
    IF NEW.status = 'pending' AND OLD.status::text IN ('completed', 'failed', 'cancelled')
       AND NOT pg_catalog.row_security_active(TG_RELID) THEN
        -- Requeued, by the app or a person: five new attempts. A customer's own row keeps its attempts.
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.error_code := NULL;
        NEW.run_after := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE status = 'pending') THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF NEW.status::text = 'cancelled' THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'cancel ' || NEW.id);
    ELSIF NEW.parked_cause IS NULL
          AND (NEW.run_after IS NULL OR NEW.run_after <= pg_catalog.clock_timestamp()) THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
    -- Triggers fire in the order of their names: worker_columns comes before worker_fence, which removes tokens.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_columns'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_columns BEFORE INSERT OR UPDATE ON public.audio_job_queue
            FOR EACH ROW EXECUTE FUNCTION public.worker_columns();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_fence'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_fence BEFORE UPDATE ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.started_at IS DISTINCT FROM NEW.started_at)
            EXECUTE FUNCTION public.worker_fence();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_insert'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_insert AFTER INSERT ON public.audio_job_queue
            REFERENCING NEW TABLE AS fresh
            FOR EACH STATEMENT EXECUTE FUNCTION public.worker_notify_insert();
    END IF;
    -- By row, since a list of columns and a transition table do not go together; heartbeats must not notify.
    -- A thousand rows put back by one statement are one notification: equal ones of a transaction are merged.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_status'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_status AFTER UPDATE OF status ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status::text IN ('pending', 'cancelled'))
            EXECUTE FUNCTION public.worker_notify_status();
    END IF;
END $$;

COMMIT;

-- 009_grants.sql
BEGIN;
SET LOCAL lock_timeout = '3s';

-- Only the server side may call these. Supabase grants new functions to anon and authenticated by default, so taking
-- the right from PUBLIC is not enough. Last of all the version, which is how a worker finds the leased mode.

CREATE OR REPLACE FUNCTION public.worker_version() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$ SELECT 3 $$;

DO $$
DECLARE
    v_functions text[];
    v_function text;
    v_role text;
BEGIN
    SELECT array_agg(p.oid::regprocedure::text) INTO v_functions FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace
       AND p.proname IN ('worker_version', 'worker_standing', 'worker_payload', 'worker_claim', 'worker_track',
                         'worker_catalogue', 'worker_may_speak', 'worker_take_place', 'worker_give_place',
                         'worker_heartbeat', 'worker_release',
                         'worker_retry', 'worker_fail', 'worker_finish', 'worker_rescue', 'worker_probe_pause',
                         'worker_probe_over', 'worker_park', 'worker_free', 'worker_end_parked', 'worker_parked',
                         'worker_columns', 'worker_fence', 'worker_notify_insert', 'worker_notify_status');
    FOREACH v_function IN ARRAY v_functions LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated'] LOOP
            IF to_regrole(v_role) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', v_function, v_role);
            END IF;
        END LOOP;
        IF to_regrole('service_role') IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', v_function);
        END IF;
    END LOOP;

    -- A role of the operator's own that may claim may call the functions that are new in this schema, too.
    FOR v_role IN
        SELECT r.rolname FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
         WHERE p.oid = 'public.worker_claim(uuid, text, double precision, integer)'::regprocedure
           AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
    LOOP
        FOREACH v_function IN ARRAY v_functions LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function, v_role);
        END LOOP;
    END LOOP;
END $$;

-- PostgREST keeps a list of functions; this makes it read them again. Without a PostgREST it does nothing.
NOTIFY pgrst, 'reload schema';

COMMIT;

