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

-- The id of the next job that is not parked, its row locked. Each query below reads one end of one index, and is held to that
-- whatever the planner believes of a table that has just been filled: else it sorts all that wait.
CREATE OR REPLACE FUNCTION public.worker_next(p_now timestamptz, p_order text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp
SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
DECLARE
    v_id uuid;
    v_oldest timestamptz;
BEGIN
    IF p_order = 'fair' THEN
        SELECT q.created_at INTO v_oldest FROM public.audio_job_queue q
         WHERE q.status = 'pending' AND q.parked_cause IS NULL AND (q.run_after IS NULL OR q.run_after <= p_now)
         ORDER BY q.priority DESC, q.created_at, q.id LIMIT 1;
        IF v_oldest > p_now - pg_catalog.make_interval(hours => 1) THEN
            SELECT q.id INTO v_id FROM public.audio_job_queue q
             WHERE q.status = 'pending' AND q.parked_cause IS NULL AND (q.run_after IS NULL OR q.run_after <= p_now)
             ORDER BY q.priority DESC, coalesce(q.turn_at, q.created_at), q.id
             LIMIT 1 FOR UPDATE SKIP LOCKED;
            RETURN v_id;
        END IF;
    END IF;
    SELECT q.id INTO v_id FROM public.audio_job_queue q
     WHERE q.status = 'pending' AND q.parked_cause IS NULL AND (q.run_after IS NULL OR q.run_after <= p_now)
     ORDER BY q.priority DESC, q.created_at, q.id
     LIMIT 1 FOR UPDATE SKIP LOCKED;
    RETURN v_id;
END $$;

-- Take the next job that is due; NULL when there is none, or the queue is paused. First a probe, of a cause whose pause is over
-- and none of whose jobs is being done; else, of the highest priority, the first job that is not parked. That is the
-- oldest in the order 'fifo'; in the order 'fair' the one whose turn comes first, unless the oldest has waited for an
-- hour: what comes after a job then overtakes it no more, so none waits more than an hour longer than first in,
-- first out would have it wait. The caller makes the token: when an answer is lost on its
-- way, asking again with the same token gets the same row. A payload over the limit is not read: the worker fails that
-- job.
CREATE OR REPLACE FUNCTION public.worker_claim(
    p_token uuid, p_worker text, p_lease_s double precision, p_payload_limit_bytes integer, p_order text) RETURNS jsonb
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
        IF EXISTS (SELECT FROM public.worker_settings s WHERE s.paused_at IS NOT NULL) THEN
            RETURN NULL;
        END IF;
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
            v_id := public.worker_next(v_now, p_order);
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
            -- customers can write `created_at`: of an infinite one nothing can be subtracted
            'waited_s', CASE WHEN pg_catalog.isfinite(greatest(v_row.created_at, v_row.run_after))
                             THEN greatest(0, extract(epoch FROM v_row.started_at - greatest(v_row.created_at, v_row.run_after)))
                             ELSE 0 END)
          FROM public.worker_payload(v_row.id, p_payload_limit_bytes) p);
END $$;

-- As workers of schema 2 and 3 call it: the oldest first.
CREATE OR REPLACE FUNCTION public.worker_claim(
    p_token uuid, p_worker text, p_lease_s double precision, p_payload_limit_bytes integer) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT public.worker_claim(p_token, p_worker, p_lease_s, p_payload_limit_bytes, 'fifo')
$$;

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
-- up. A job that ran beside others of the same process is not charged: nobody knows which of them it died over. Its
-- code is `crash.shared`, and the worker that claims it next runs it alone. The tokens of a process begin alike. A
-- neighbour whose lease has not run out yet is marked, since it would look alone once this row has been put back.
-- Answers with the ids of both kinds, and with the rows that could not be written: a trigger of the app's that fails
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
        SELECT q.id, q.crash_count + 1 AS crashes, q.attempt, q.parked_cause, q.claimed_by, q.started_at, q.claim_token,
               (q.error_code = 'crash.beside' OR EXISTS (
                   SELECT FROM public.audio_job_queue o
                    WHERE o.status = 'processing' AND o.id <> q.id
                      AND pg_catalog.left(o.claim_token::text, 18) = pg_catalog.left(q.claim_token::text, 18))) IS TRUE
                   AS shared
          FROM public.audio_job_queue q
         WHERE q.status = 'processing'
           AND (q.lease_expires_at < v_now
                OR q.lease_expires_at IS NULL
                   AND coalesce(q.updated_at, q.started_at, q.created_at) < v_now - pg_catalog.make_interval(mins => 10))
         ORDER BY q.id LIMIT 200 FOR UPDATE SKIP LOCKED
    LOOP
        IF v_row.shared THEN
            v_row.crashes := v_row.crashes - 1;
            BEGIN
                UPDATE public.audio_job_queue SET error_code = 'crash.beside'
                 WHERE id IN (SELECT o.id FROM public.audio_job_queue o
                               WHERE o.status = 'processing' AND o.lease_expires_at >= v_now
                                 AND pg_catalog.left(o.claim_token::text, 18)
                                     = pg_catalog.left(v_row.claim_token::text, 18)
                                 FOR UPDATE SKIP LOCKED);
            EXCEPTION WHEN OTHERS THEN
                NULL; -- a trigger of the app's: then the neighbour is charged
            END;
        END IF;
        v_code := CASE WHEN v_row.crashes >= p_max_crashes THEN 'poison'
                       WHEN v_row.attempt >= p_max_attempts THEN 'attempts' END;
        BEGIN
            IF v_code IS NULL THEN
                UPDATE public.audio_job_queue
                   SET status = 'pending', crash_count = v_row.crashes, run_after = v_now,
                       error_code = CASE WHEN v_row.shared THEN 'crash.shared' ELSE 'crash' END,
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
            PERFORM public.worker_note_attempt(
                v_row.id, v_row.attempt, v_row.claimed_by, v_row.started_at, 'died',
                coalesce(v_code, CASE WHEN v_row.shared THEN 'crash.shared' ELSE 'crash' END),
                '{"error": "its worker died"}');
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
