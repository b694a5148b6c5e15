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
