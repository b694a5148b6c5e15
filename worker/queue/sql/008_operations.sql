-- What operators' commands call, and what keeps a job's story. Each function that is given ids answers with an object: by id
-- whether it was done, and the row's status before, or the SQLSTATE of a trigger of the app's that refused one row.

-- Note an attempt that has ended. A story that cannot be kept must not cost the job, so no failure leaves this function.
-- Of each job the last hundred are kept; of a purged one nothing more.
CREATE OR REPLACE FUNCTION public.worker_note_attempt(
    p_job_id uuid, p_attempt integer, p_worker text, p_started_at timestamptz, p_outcome text, p_code text,
    p_report jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_run integer;
BEGIN
    IF EXISTS (SELECT FROM public.audio_job_queue q WHERE q.id = p_job_id AND q.purged_at IS NOT NULL) THEN
        RETURN;
    END IF;
    SELECT coalesce(max(a.run), 0) + 1 INTO v_run FROM public.worker_attempts a WHERE a.job_id = p_job_id;
    INSERT INTO public.worker_attempts
        (job_id, run, attempt, worker, started_at, ended_at, outcome, code, error, report)
    VALUES (p_job_id, v_run, p_attempt, p_worker, p_started_at, pg_catalog.clock_timestamp(), p_outcome, p_code,
            p_report ->> 'error', coalesce(p_report - 'error', '{}'));
    IF v_run > 100 THEN
        DELETE FROM public.worker_attempts a WHERE a.job_id = p_job_id AND a.run <= v_run - 100;
    END IF;
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;

-- End an attempt and note it, in one transaction: p_action is the function that ends it (finish, retry, fail, release, park),
-- p_arguments what that one is given besides job and token. With the action 'cancel', a cancelled job's last attempt is noted.
CREATE OR REPLACE FUNCTION public.worker_end(
    p_job_id uuid, p_token uuid, p_action text, p_arguments jsonb, p_outcome text, p_report jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_job record;
    v_running boolean;
    v_claim_status text;
BEGIN
    SELECT q.status::text AS status, q.attempt, q.claimed_by, q.started_at INTO v_job FROM public.audio_job_queue q
     WHERE q.id = p_job_id AND q.claim_token = p_token
       FOR UPDATE;
    v_running := FOUND AND v_job.status = 'processing';
    CASE p_action
        WHEN 'finish' THEN
            v_claim_status := public.worker_finish(p_job_id, p_token, p_arguments -> 'p_result', p_arguments -> 'p_track');
        WHEN 'retry' THEN
            v_claim_status := public.worker_retry(
                p_job_id, p_token, p_arguments ->> 'p_code', (p_arguments ->> 'p_delay_s')::pg_catalog.float8,
                (p_arguments ->> 'p_crashed')::pg_catalog.bool);
        WHEN 'fail' THEN
            v_claim_status := public.worker_fail(
                p_job_id, p_token, p_arguments ->> 'p_code', p_arguments ->> 'p_error',
                (p_arguments ->> 'p_crashed')::pg_catalog.bool);
        WHEN 'release' THEN
            v_claim_status := public.worker_release(
                p_job_id, p_token, p_arguments ->> 'p_code', (p_arguments ->> 'p_delay_s')::pg_catalog.float8);
        WHEN 'park' THEN
            v_claim_status := public.worker_park(
                p_job_id, p_token, p_arguments ->> 'p_code', p_arguments ->> 'p_cause', p_arguments ->> 'p_message',
                (p_arguments ->> 'p_delay_s')::pg_catalog.float8);
        WHEN 'cancel' THEN
            v_claim_status := public.worker_standing(p_job_id, p_token);
            IF v_job.status = 'cancelled'
               AND NOT EXISTS (SELECT FROM public.worker_attempts a
                                WHERE a.job_id = p_job_id AND a.started_at = v_job.started_at) THEN
                PERFORM public.worker_note_attempt(
                    p_job_id, v_job.attempt, v_job.claimed_by, v_job.started_at, p_outcome, NULL, p_report);
            END IF;
    END CASE;
    IF v_running AND v_claim_status = 'held' THEN
        PERFORM public.worker_note_attempt(
            p_job_id, v_job.attempt, v_job.claimed_by, v_job.started_at, p_outcome, p_arguments ->> 'p_code', p_report);
    END IF;
    RETURN v_claim_status;
END $$;

-- The attempts of a job, oldest first.
CREATE OR REPLACE FUNCTION public.worker_attempts_of(p_job_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT coalesce(
        pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_object(
                'number', a.attempt, 'worker', a.worker, 'started_at', a.started_at, 'ended_at', a.ended_at,
                'outcome', a.outcome, 'code', a.code, 'error', a.error, 'report', a.report)
            ORDER BY a.run),
        '[]')
      FROM public.worker_attempts a WHERE a.job_id = p_job_id
$$;

-- Do one thing to each of these jobs: 'cancel', 'retry', 'purge', or 'priority' with p_value. Ended jobs are retried and purged,
-- a completed or purged one is not retried; only jobs that have not ended are cancelled, or given a priority. Each
-- job's row is locked and its status read anew, so that what a worker does at the same moment comes before or after.
CREATE OR REPLACE FUNCTION public.worker_operate(p_action text, p_ids jsonb, p_value integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_now timestamptz := pg_catalog.clock_timestamp();
    v_emptied text;
    v_name text;
    v_id uuid;
    v_status text;
    v_purged_at timestamptz;
    v_ended boolean;
    v_done boolean;
    v_answer jsonb := '{}';
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.format('%I = ''{}'',', a.attname), ' ') INTO v_emptied
      FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = 'public.audio_job_queue'::pg_catalog.regclass AND NOT a.attisdropped
       AND a.attname IN ('payload', 'job_data');
    -- in the order of their ids: of two calls at once neither waits for the other in a circle
    FOR v_name IN SELECT DISTINCT n FROM pg_catalog.jsonb_array_elements_text(p_ids) n ORDER BY n LOOP
        v_status := NULL;
        v_done := false;
        BEGIN
            v_id := v_name;
            SELECT q.status::text, q.purged_at INTO v_status, v_purged_at FROM public.audio_job_queue q
             WHERE q.id = v_id FOR UPDATE;
            IF NOT FOUND THEN
                v_answer := v_answer || pg_catalog.jsonb_build_object(
                    v_name, pg_catalog.jsonb_build_object('done', false, 'status', NULL));
                CONTINUE;
            END IF;
            v_ended := v_status IN ('completed', 'failed', 'cancelled');
            v_done := CASE p_action WHEN 'retry' THEN v_status IN ('failed', 'cancelled') AND v_purged_at IS NULL
                                    WHEN 'purge' THEN v_ended
                                    ELSE NOT v_ended END;
            IF v_done THEN
                CASE p_action
                    WHEN 'cancel' THEN
                        UPDATE public.audio_job_queue SET status = 'cancelled', updated_at = v_now WHERE id = v_id;
                    WHEN 'retry' THEN
                        UPDATE public.audio_job_queue
                           SET status = 'pending', progress = 0, stage = NULL, result = NULL, error = NULL,
                               error_code = NULL, started_at = NULL, completed_at = NULL, updated_at = v_now,
                               attempt = 0, crash_count = 0, release_count = 0, run_after = NULL
                         WHERE id = v_id;
                    WHEN 'purge' THEN
                        EXECUTE pg_catalog.format(
                            'UPDATE public.audio_job_queue SET %s purged_at = coalesce(purged_at, $2) WHERE id = $1', v_emptied)
                          USING v_id, v_now;
                        DELETE FROM public.worker_attempts WHERE job_id = v_id;
                    WHEN 'priority' THEN
                        UPDATE public.audio_job_queue SET priority = p_value WHERE id = v_id;
                END CASE;
            END IF;
            v_answer := v_answer || pg_catalog.jsonb_build_object(v_name, pg_catalog.jsonb_build_object(
                'done', v_done,
                'status', CASE WHEN p_action = 'retry' AND v_purged_at IS NOT NULL THEN 'purged' ELSE v_status END));
        EXCEPTION WHEN OTHERS THEN
            v_answer := v_answer || pg_catalog.jsonb_build_object(v_name, pg_catalog.jsonb_build_object(
                'done', false, 'status', v_status, 'refused', SQLSTATE));
        END;
    END LOOP;
    RETURN v_answer;
END $$;

-- Ids of failed jobs, newest first: all, or those whose error code is p_code or begins with it and a dot.
CREATE OR REPLACE FUNCTION public.worker_failed(p_code text, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
    SELECT coalesce(pg_catalog.jsonb_agg(f.id), '[]')
      FROM (SELECT q.id FROM public.audio_job_queue q
             WHERE q.status = 'failed' AND q.purged_at IS NULL
               AND (p_code IS NULL OR q.error_code = p_code OR pg_catalog.starts_with(q.error_code, p_code || '.'))
             ORDER BY q.created_at DESC LIMIT p_limit) f
$$;

-- Purge jobs that ended so many seconds ago, oldest first, p_limit at most; answers how many there were.
CREATE OR REPLACE FUNCTION public.worker_purge_older(p_older_s double precision, p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_before timestamptz := pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => p_older_s);
    v_ids jsonb;
BEGIN
    SELECT pg_catalog.jsonb_agg(f.id) INTO v_ids
      FROM (SELECT q.id FROM public.audio_job_queue q
             WHERE q.purged_at IS NULL AND q.created_at < v_before
               AND q.status::text IN ('completed', 'failed', 'cancelled')
               AND coalesce(q.completed_at, q.updated_at, q.created_at) < v_before
             ORDER BY q.created_at LIMIT p_limit FOR UPDATE SKIP LOCKED) f;
    RETURN (SELECT pg_catalog.count(*) FROM pg_catalog.jsonb_each(public.worker_operate('purge', v_ids, NULL)) e
             WHERE (e.value ->> 'done')::pg_catalog.bool);
END $$;

-- Pause the queue: no claim is handed out, running jobs finish. With a null reason resume it, and notify. Answers whether
-- that changed anything.
CREATE OR REPLACE FUNCTION public.worker_pause(p_reason text, p_by text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_was_paused boolean;
BEGIN
    INSERT INTO public.worker_settings DEFAULT VALUES ON CONFLICT DO NOTHING;
    SELECT s.paused_at IS NOT NULL INTO v_was_paused FROM public.worker_settings s FOR UPDATE;
    UPDATE public.worker_settings
       SET paused_at = CASE WHEN p_reason IS NOT NULL THEN coalesce(paused_at, pg_catalog.clock_timestamp()) END,
           paused_by = CASE WHEN p_reason IS NOT NULL THEN p_by END,
           reason = p_reason;
    IF p_reason IS NULL AND v_was_paused THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN v_was_paused = (p_reason IS NULL);
END $$;

-- Whether the queue is paused, the number of jobs by status, and when the oldest one that could be claimed was inserted.
-- Jobs that wait or run are counted; ended ones, too, up to 20,000 of a status: beyond that the number is the
-- planner's estimate, since counting two million rows takes a second.
CREATE OR REPLACE FUNCTION public.worker_state() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_status text;
    v_count bigint;
    v_counts jsonb := '{}';
    v_plan json;
BEGIN
    FOREACH v_status IN ARRAY ARRAY['pending', 'processing', 'completed', 'failed', 'cancelled'] LOOP
        BEGIN
            EXECUTE pg_catalog.format(
                'SELECT pg_catalog.count(*) FROM (SELECT FROM public.audio_job_queue q WHERE q.status = %L %s) c',
                v_status, CASE WHEN v_status IN ('completed', 'failed', 'cancelled') THEN 'LIMIT 20000' END)
               INTO v_count;
            IF v_count >= 20000 AND v_status IN ('completed', 'failed', 'cancelled') THEN
                EXECUTE pg_catalog.format(
                    'EXPLAIN (FORMAT JSON) SELECT FROM public.audio_job_queue q WHERE q.status = %L', v_status)
                   INTO v_plan;
                v_count := greatest(v_count, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::pg_catalog.int8);
            END IF;
        EXCEPTION WHEN invalid_text_representation THEN
            v_count := 0;  -- an enum that has no such word
        END;
        v_counts := v_counts || pg_catalog.jsonb_build_object(v_status, v_count);
    END LOOP;
    RETURN (
        SELECT pg_catalog.jsonb_build_object(
            'paused_at', s.paused_at, 'paused_by', s.paused_by, 'reason', s.reason, 'counts', v_counts,
            'oldest_waiting_at',
            (SELECT min(q.created_at) FROM public.audio_job_queue q
              WHERE q.status = 'pending' AND q.parked_cause IS NULL
                AND (q.run_after IS NULL OR q.run_after <= pg_catalog.clock_timestamp())))
          FROM (SELECT) AS one LEFT JOIN public.worker_settings s ON true);
END $$;
