-- Only the server side may call these. Supabase grants new functions to anon and authenticated by default, so taking
-- the right from PUBLIC is not enough. Last of all the version, which is how a worker finds the leased mode.

CREATE OR REPLACE FUNCTION public.worker_version() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$ SELECT 4 $$;

DO $$
DECLARE
    v_functions text[];
    v_function text;
    v_role text;
BEGIN
    SELECT array_agg(p.oid::regprocedure::text) INTO v_functions FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace
       AND p.proname IN ('worker_version', 'worker_standing', 'worker_payload', 'worker_next', 'worker_claim', 'worker_track',
                         'worker_catalogue', 'worker_may_speak', 'worker_take_place', 'worker_give_place',
                         'worker_heartbeat', 'worker_release',
                         'worker_retry', 'worker_fail', 'worker_finish', 'worker_rescue', 'worker_probe_pause',
                         'worker_probe_over', 'worker_park', 'worker_free', 'worker_end_parked', 'worker_parked',
                         'worker_note_attempt', 'worker_end', 'worker_attempts_of', 'worker_operate', 'worker_failed',
                         'worker_purge_older', 'worker_pause', 'worker_state', 'worker_length', 'worker_turn',
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

-- The index of claims in schema 3, which no function reads any more.
DROP INDEX IF EXISTS public.audio_job_queue_ready;

-- PostgREST keeps a list of functions; this makes it read them again. Without a PostgREST it does nothing.
NOTIFY pgrst, 'reload schema';
