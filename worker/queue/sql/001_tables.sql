-- The web app's two tables and three functions, only where they are missing: a live database is left as it is.

DO $$
DECLARE
    v_made text[] := '{}';
    v_tables text[] := '{}';
    v_table text;
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
        v_tables := v_tables || 'public.tracks'::text;
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
        v_tables := v_tables || 'public.audio_job_queue'::text;

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

    -- Supabase grants everything on new tables to anon and authenticated by default, and no policy holds TRUNCATE back.
    -- Customers get what the policy above is for: to read their own rows.
    FOREACH v_table IN ARRAY v_tables LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', v_table);
        FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated'] LOOP
            IF to_regrole(v_role) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', v_table, v_role);
            END IF;
        END LOOP;
        IF to_regrole('authenticated') IS NOT NULL AND to_regprocedure('auth.uid()') IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON TABLE %s TO authenticated', v_table);
        END IF;
        IF to_regrole('service_role') IS NOT NULL THEN
            EXECUTE format('GRANT ALL ON TABLE %s TO service_role', v_table);
        END IF;
    END LOOP;

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
