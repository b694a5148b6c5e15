-- What parked jobs need: two columns and a table of causes; and the table of places at voice services. The columns are added
-- as in 002_lease_columns.sql.
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
