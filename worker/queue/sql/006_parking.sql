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
