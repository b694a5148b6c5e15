-- The worker's schema 1, as its last release migrated to it; each part is a transaction of its own there.
-- 001_tables
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
        LANGUAGE plpgsql SET search_path = '' AS $touch$
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
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $claim$
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
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $progress$
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
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $complete$
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
-- 002_lease_columns
-- The columns of a lease, and the two indexes of the queue.
--
-- One ALTER TABLE with constant defaults: no row is rewritten, and the exclusive lock lasts milliseconds. It is not even
-- asked for when the columns are there. The indexes hold only unfinished rows; building one reads the table once and
-- holds back writers that long, so on a table over 256 MB (without its out-of-line values) it is left to a person.

DO $$
DECLARE
    v_index text[];
BEGIN
    IF 8 > (SELECT count(*) FROM pg_attribute
             WHERE attrelid = 'public.audio_job_queue'::regclass AND NOT attisdropped
               AND attname IN ('attempt', 'claim_token', 'claimed_by', 'lease_expires_at', 'run_after',
                               'crash_count', 'release_count', 'error_code')) THEN
        ALTER TABLE public.audio_job_queue
            ADD COLUMN IF NOT EXISTS attempt integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS claim_token uuid,
            ADD COLUMN IF NOT EXISTS claimed_by text,
            ADD COLUMN IF NOT EXISTS lease_expires_at timestamptz,
            ADD COLUMN IF NOT EXISTS run_after timestamptz,
            ADD COLUMN IF NOT EXISTS crash_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS release_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS error_code text;
    END IF;

    FOREACH v_index SLICE 1 IN ARRAY ARRAY[
        ['audio_job_queue_due', 'ON public.audio_job_queue (created_at, id) WHERE status = ''pending'''],
        ['audio_job_queue_held', 'ON public.audio_job_queue (claim_token) WHERE status = ''processing''']
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
-- 003_functions
-- What leased workers call. Every time is the database's, every write is fenced by the claim's token, and each function
-- answers with a word: 'held' (done), 'cancelled' (the customer's doing) or 'lost' (the row is not the caller's any more).
-- Status is compared with literals only, so that text and enum columns both work.

-- What the row says about a claim.
CREATE OR REPLACE FUNCTION public.worker_standing(p_job_id uuid, p_token uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(
        (SELECT CASE WHEN q.status = 'cancelled' THEN 'cancelled'
                     WHEN q.status = 'processing' AND q.claim_token = p_token THEN 'held'
                     ELSE 'lost' END
           FROM public.audio_job_queue q WHERE q.id = p_job_id),
        'lost')
$$;

-- Take the oldest order that is due; NULL when there is none. The caller makes the token: when an answer is lost on its
-- way, asking again with the same token gets the same row.
CREATE OR REPLACE FUNCTION public.worker_claim(p_token uuid, p_worker text, p_lease_s double precision) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_lease timestamptz := v_now + make_interval(secs => p_lease_s);
    v_id uuid;
    v_row jsonb;
BEGIN
    UPDATE public.audio_job_queue q SET lease_expires_at = v_lease
     WHERE q.claim_token = p_token AND q.status = 'processing'
    RETURNING to_jsonb(q) INTO v_row;

    IF v_row IS NULL THEN
        SELECT q.id INTO v_id FROM public.audio_job_queue q
         WHERE q.status = 'pending' AND (q.run_after IS NULL OR q.run_after <= v_now)
         ORDER BY q.created_at, q.id
         LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        UPDATE public.audio_job_queue q
           SET status = 'processing', started_at = v_now, completed_at = NULL, error = NULL,
               progress = 0, stage = NULL, attempt = q.attempt + 1,
               claim_token = p_token, claimed_by = p_worker, lease_expires_at = v_lease
         WHERE q.id = v_id
        RETURNING to_jsonb(q) INTO v_row;
    END IF;

    RETURN jsonb_build_object(
        'job_id', v_row -> 'id',
        'track_id', v_row -> 'track_id',
        'user_id', v_row -> 'user_id',
        -- older databases have job_data instead of payload, some have both
        'payload', coalesce(nullif(v_row -> 'payload', 'null'), v_row -> 'job_data'),
        'attempt', v_row -> 'attempt',
        'crashes', v_row -> 'crash_count',
        'last_error_code', v_row -> 'error_code',
        'waited_s', greatest(0, extract(epoch FROM (v_row ->> 'started_at')::timestamptz
            - greatest((v_row ->> 'created_at')::timestamptz, (v_row ->> 'run_after')::timestamptz))));
END $$;

-- Extend the lease; write progress and stage.
CREATE OR REPLACE FUNCTION public.worker_heartbeat(
    p_job_id uuid, p_token uuid, p_lease_s double precision, p_progress integer, p_stage text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    UPDATE public.audio_job_queue
       SET lease_expires_at = v_now + make_interval(secs => p_lease_s),
           progress = least(100, greatest(0, coalesce(p_progress, progress))),
           stage = coalesce(p_stage, stage), updated_at = v_now
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Put the order back with this attempt not counted: shutdown, or something the operator must mend.
CREATE OR REPLACE FUNCTION public.worker_release(
    p_job_id uuid, p_token uuid, p_code text, p_delay_s double precision) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    UPDATE public.audio_job_queue
       SET status = 'pending', attempt = greatest(0, attempt - 1), release_count = release_count + 1,
           error_code = p_code, run_after = v_now + make_interval(secs => p_delay_s),
           started_at = NULL, progress = 0, stage = NULL, updated_at = v_now,
           claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Put the order back for another attempt after a delay.
CREATE OR REPLACE FUNCTION public.worker_retry(
    p_job_id uuid, p_token uuid, p_code text, p_delay_s double precision, p_crashed boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    UPDATE public.audio_job_queue
       SET status = 'pending', crash_count = crash_count + p_crashed::integer,
           error_code = p_code, run_after = v_now + make_interval(secs => p_delay_s),
           started_at = NULL, progress = 0, stage = 'Waiting to try again', updated_at = v_now,
           claim_token = NULL, claimed_by = NULL, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- Give up. The token stays, so that asking again after a lost answer says 'held'.
CREATE OR REPLACE FUNCTION public.worker_fail(
    p_job_id uuid, p_token uuid, p_code text, p_error text, p_crashed boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    UPDATE public.audio_job_queue
       SET status = 'failed', error = p_error, error_code = p_code,
           crash_count = crash_count + p_crashed::integer,
           completed_at = v_now, updated_at = v_now, lease_expires_at = NULL
     WHERE id = p_job_id AND claim_token = p_token AND status = 'processing';
    IF FOUND OR EXISTS (SELECT FROM public.audio_job_queue
                         WHERE id = p_job_id AND claim_token = p_token AND status = 'failed') THEN
        RETURN 'held';
    END IF;
    RETURN public.worker_standing(p_job_id, p_token);
END $$;

-- The track row and the end of the order in one transaction. Only those columns of p_track that the table has are
-- written (preview_url came late). The token stays: asking again after a lost answer says 'held' and writes nothing.
CREATE OR REPLACE FUNCTION public.worker_finish(
    p_job_id uuid, p_token uuid, p_result jsonb, p_track jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_track uuid;
    v_assignments text;
BEGIN
    UPDATE public.audio_job_queue q
       SET status = 'completed', progress = 100, result = p_result, error = NULL, error_code = NULL,
           completed_at = v_now, updated_at = v_now, lease_expires_at = NULL
     WHERE q.id = p_job_id AND q.claim_token = p_token AND q.status = 'processing'
    RETURNING q.track_id INTO v_track;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM public.audio_job_queue
                    WHERE id = p_job_id AND claim_token = p_token AND status = 'completed') THEN
            RETURN 'held';
        END IF;
        RETURN public.worker_standing(p_job_id, p_token);
    END IF;

    SELECT string_agg(CASE WHEN a.attname = 'updated_at' THEN 'updated_at = clock_timestamp()'
                           ELSE format('%I = %L', a.attname, p_track ->> a.attname) END, ', ')
      INTO v_assignments
      FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = to_regclass('public.tracks') AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname NOT IN ('id', 'user_id')
       AND (jsonb_exists(p_track, a.attname) OR a.attname = 'updated_at');
    IF v_track IS NOT NULL AND v_assignments IS NOT NULL THEN
        EXECUTE format('UPDATE public.tracks SET %s WHERE id = $1', v_assignments) USING v_track;
    END IF;
    RETURN 'held';
END $$;

-- Put back what dead workers held. A leased row is dead when its lease has run out, a row claimed by a worker that knows
-- no leases when nobody has touched it for ten minutes. Either death counts as a crash; too many and the order is given up. Answers with the ids of both kinds.
CREATE OR REPLACE FUNCTION public.worker_rescue(
    p_max_crashes integer, p_max_attempts integer, p_error text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_row record;
    v_code text;
    v_put_back uuid[] := '{}';
    v_given_up uuid[] := '{}';
BEGIN
    FOR v_row IN
        SELECT q.id, q.crash_count + 1 AS crashes, q.attempt FROM public.audio_job_queue q
         WHERE q.status = 'processing'
           AND (q.lease_expires_at < v_now
                OR q.lease_expires_at IS NULL
                   AND coalesce(q.updated_at, q.started_at, q.created_at) < v_now - interval '10 minutes')
         ORDER BY q.id LIMIT 200 FOR UPDATE SKIP LOCKED
    LOOP
        v_code := CASE WHEN v_row.crashes >= p_max_crashes THEN 'poison'
                       WHEN v_row.attempt >= p_max_attempts THEN 'attempts' END;
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
    END LOOP;
    RETURN jsonb_build_object('put_back', to_jsonb(v_put_back), 'given_up', to_jsonb(v_given_up));
END $$;
-- 004_triggers
-- The fence against workers that know no leases, and the bell for those that listen.

-- A row that somebody puts back or takes without a token of their own (the old edge function's reset, a plain worker's
-- claim, a person) leaves its old holder's hands: that one's token is struck, and its next write says 'lost'.
CREATE OR REPLACE FUNCTION public.worker_fence() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF NEW.status = 'pending' OR NEW.status = 'processing' THEN
        IF NEW.claim_token IS NOT DISTINCT FROM OLD.claim_token THEN
            NEW.claim_token := NULL;
            NEW.claimed_by := NULL;
            NEW.lease_expires_at := NULL;
        END IF;
    END IF;
    IF NEW.status = 'pending' AND OLD.status IN ('completed', 'failed', 'cancelled') THEN
        -- Ordered again: five fresh attempts.
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.error_code := NULL;
        NEW.run_after := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE status = 'pending') THEN
        PERFORM pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF NEW.status = 'cancelled' THEN
        PERFORM pg_notify('mindscript_worker', 'cancel ' || NEW.id);
    ELSIF NEW.run_after IS NULL OR NEW.run_after <= clock_timestamp() THEN
        PERFORM pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
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
    -- By row, since a list of columns and a transition table do not go together; heartbeats must not ring.
    -- A thousand rows put back by one statement are one notification: equal ones of a transaction are merged.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_status'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_status AFTER UPDATE OF status ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status IN ('pending', 'cancelled'))
            EXECUTE FUNCTION public.worker_notify_status();
    END IF;
END $$;
-- 005_grants
-- Only the server side may call these. Supabase grants new functions to anon and authenticated by default, so taking
-- the right from PUBLIC is not enough. Last of all the version, which is how a worker finds the leased mode.

CREATE OR REPLACE FUNCTION public.worker_version() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = '' AS $$ SELECT 1 $$;

DO $$
DECLARE
    v_function text;
    v_role text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace
           AND p.proname IN ('worker_version', 'worker_standing', 'worker_claim', 'worker_heartbeat',
                             'worker_release', 'worker_retry', 'worker_fail', 'worker_finish', 'worker_rescue',
                             'worker_fence', 'worker_notify_insert', 'worker_notify_status')
    LOOP
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

-- PostgREST keeps a list of functions; this makes it look again. Without a PostgREST nobody hears it.
NOTIFY pgrst, 'reload schema';
