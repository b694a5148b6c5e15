-- What operators need: four columns, the table of attempts, the table of settings. The columns are added as in
-- 002_lease_columns.sql.
--
-- `length_s` is the track's length by the payload, `turn_at` when the job will have waited for as long as its track is, but no
-- more than an hour: in fair order the job whose turn comes first is claimed first. `purged_at` is when its payload and
-- attempts were removed.

DO $$
DECLARE
    v_table text;
    v_role text;
BEGIN
    IF 4 > (SELECT count(*) FROM pg_attribute
             WHERE attrelid = 'public.audio_job_queue'::regclass AND NOT attisdropped
               AND attname IN ('priority', 'length_s', 'turn_at', 'purged_at')) THEN
        ALTER TABLE public.audio_job_queue
            ADD COLUMN IF NOT EXISTS priority smallint NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS length_s integer,
            ADD COLUMN IF NOT EXISTS turn_at timestamptz,
            ADD COLUMN IF NOT EXISTS purged_at timestamptz;
    END IF;

    -- One row for each attempt that has ended. It goes with its job's row. `run` counts the rows of a job, `attempt` is
    -- the attempt as the queue counts it; `report` is the worker's: stage times, versions, figures.
    IF to_regclass('public.worker_attempts') IS NULL THEN
        CREATE TABLE public.worker_attempts (
            job_id uuid NOT NULL REFERENCES public.audio_job_queue (id) ON DELETE CASCADE,
            run integer NOT NULL,
            attempt integer NOT NULL,
            worker text,
            started_at timestamptz,
            ended_at timestamptz NOT NULL,
            outcome text NOT NULL,
            code text,
            error text,
            report jsonb NOT NULL DEFAULT '{}',
            PRIMARY KEY (job_id, run)
        );
    END IF;

    -- No row, or one. The queue is paused while `paused_at` is set.
    IF to_regclass('public.worker_settings') IS NULL THEN
        CREATE TABLE public.worker_settings (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            paused_at timestamptz,
            paused_by text,
            reason text
        );
    END IF;

    -- Nobody but the functions: Supabase grants new tables to all three roles by default.
    FOREACH v_table IN ARRAY ARRAY['worker_attempts', 'worker_settings'] LOOP
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
