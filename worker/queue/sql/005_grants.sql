-- Only the server side may call these. Supabase grants new functions to anon and authenticated by default, so taking
-- the right from PUBLIC is not enough. Last of all the version, which is how a worker finds the leased mode.

CREATE OR REPLACE FUNCTION public.worker_version() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$ SELECT 2 $$;

DO $$
DECLARE
    v_function text;
    v_role text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace
           AND p.proname IN ('worker_version', 'worker_standing', 'worker_payload', 'worker_claim', 'worker_track',
                             'worker_catalogue', 'worker_may_speak', 'worker_heartbeat', 'worker_release',
                             'worker_retry', 'worker_fail', 'worker_finish', 'worker_rescue', 'worker_columns',
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

-- PostgREST keeps a list of functions; this makes it read them again. Without a PostgREST it does nothing.
NOTIFY pgrst, 'reload schema';
