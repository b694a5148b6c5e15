-- The fence against workers that know no leases, the guard of the worker's columns, the turns of fair order, and NOTIFY
-- for those that listen.

-- The worker's columns change only by its functions, which run as the owner of the table. Any other writer of a row (the
-- app, a customer through row-level security, a plain worker) leaves them as they are.
CREATE OR REPLACE FUNCTION public.worker_columns() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF pg_catalog.pg_has_role(
           (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF pg_catalog.row_security_active(TG_RELID) THEN
        -- The app's server may give a job a priority, or the age of another one; a customer may not, nor say when a job
        -- began that counts towards MAX_CHARACTERS_PER_DAY.
        IF TG_OP = 'INSERT' THEN
            NEW.priority := 0;
            NEW.created_at := pg_catalog.now();
        ELSE
            NEW.priority := OLD.priority;
            NEW.created_at := OLD.created_at;
            IF OLD.spoken_characters > 0 THEN
                NEW.started_at := OLD.started_at;
            END IF;
        END IF;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.spoken_characters := 0;
        NEW.claim_token := NULL;
        NEW.claimed_by := NULL;
        NEW.lease_expires_at := NULL;
        NEW.run_after := NULL;
        NEW.error_code := NULL;
        NEW.parked_cause := NULL;
        NEW.parked_since := NULL;
        NEW.purged_at := NULL;
    ELSE
        NEW.attempt := OLD.attempt;
        NEW.crash_count := OLD.crash_count;
        NEW.release_count := OLD.release_count;
        NEW.spoken_characters := OLD.spoken_characters;
        NEW.claim_token := OLD.claim_token;
        NEW.claimed_by := OLD.claimed_by;
        NEW.lease_expires_at := OLD.lease_expires_at;
        NEW.run_after := OLD.run_after;
        NEW.error_code := OLD.error_code;
        NEW.parked_cause := OLD.parked_cause;
        NEW.parked_since := OLD.parked_since;
        NEW.length_s := OLD.length_s;
        NEW.turn_at := OLD.turn_at;
        NEW.purged_at := OLD.purged_at;
    END IF;
    RETURN NEW;
END $$;

-- The length of a job's track in seconds by its payload, as worker/payload/aliases.py and sessions.py read it; null where
-- it is not stated. Customers write it: whatever is there, the answer is a number of a minute's 0.05th to a day, or null.
CREATE OR REPLACE FUNCTION public.worker_length(p_payload jsonb) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_payload jsonb := p_payload;
    v_minutes jsonb;
BEGIN
    IF pg_catalog.jsonb_typeof(v_payload) = 'string' THEN  -- JSON text within JSON text
        v_payload := (v_payload #>> '{}')::pg_catalog.jsonb;
    END IF;
    v_minutes := coalesce(nullif(v_payload -> 'durationMin', 'null'), nullif(v_payload -> 'duration', 'null'),
        CASE v_payload ->> 'session' WHEN 'fall-asleep' THEN '45' WHEN 'deep-rest' THEN '30' WHEN 'meditate' THEN '20'
                                     WHEN 'unwind' THEN '15' WHEN 'focus' THEN '50' WHEN 'power-nap' THEN '20' END::pg_catalog.jsonb);
    IF pg_catalog.jsonb_typeof(v_minutes) IS DISTINCT FROM 'number' THEN
        RETURN NULL;
    END IF;
    RETURN least(86400, greatest(3, 60 * v_minutes::pg_catalog.numeric));
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- When a job will have waited as long as its track is, at most an hour; five minutes where the payload does not say. A payload
-- over the limit is not looked at. With the rights of the owner, so that every role may insert.
CREATE OR REPLACE FUNCTION public.worker_turn() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, extensions, pg_temp AS $$
DECLARE
    v_row jsonb;
BEGIN
    NEW.length_s := NULL;
    NEW.turn_at := NULL;
    IF pg_catalog.pg_column_size(NEW) < 1000000 THEN
        v_row := pg_catalog.to_jsonb(NEW);  -- older databases have job_data instead of payload, some have both
        NEW.length_s := coalesce(public.worker_length(v_row -> 'payload'), public.worker_length(v_row -> 'job_data'));
    END IF;
    NEW.turn_at := coalesce(NEW.created_at, pg_catalog.clock_timestamp())
                   + pg_catalog.make_interval(secs => least(3600, coalesce(NEW.length_s, 300)));
    RETURN NEW;
EXCEPTION WHEN OTHERS THEN
    RETURN NEW;  -- an insert of the app's never fails for want of a turn
END $$;

-- When somebody requeues or claims a row without a token (the old edge function's reset, a plain worker's claim, a
-- person), the old claim's token is removed from the row, and that worker's next write answers 'lost'.
CREATE OR REPLACE FUNCTION public.worker_fence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF NEW.status = 'pending' OR NEW.status = 'processing' THEN
        IF NEW.claim_token IS NOT DISTINCT FROM OLD.claim_token THEN
            NEW.claim_token := NULL;
            NEW.claimed_by := NULL;
            NEW.lease_expires_at := NULL;
        END IF;
    END IF;
    IF NEW.status::text IN ('completed', 'failed', 'cancelled') THEN
        -- However a job ends, it does not wait any more. So one that is requeued is not parked.
        NEW.parked_cause := NULL;
        NEW.parked_since := NULL;
    END IF;
    IF NEW.status = 'pending' AND OLD.status::text IN ('completed', 'failed', 'cancelled') THEN
        NEW.purged_at := NULL;  -- it may have a payload again, to be purged when it has ended
    END IF;
    IF NEW.status = 'pending' AND OLD.status::text IN ('completed', 'failed', 'cancelled')
       AND NOT pg_catalog.row_security_active(TG_RELID) THEN
        -- Requeued, by the app or a person: five new attempts. A customer's own row keeps its attempts.
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.error_code := NULL;
        NEW.run_after := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE status = 'pending') THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF NEW.status::text = 'cancelled' THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'cancel ' || NEW.id);
    ELSIF NEW.parked_cause IS NULL
          AND (NEW.run_after IS NULL OR NEW.run_after <= pg_catalog.clock_timestamp()) THEN
        PERFORM pg_catalog.pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
    -- Triggers fire in the order of their names: worker_columns comes before worker_fence, which removes tokens.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_columns'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_columns BEFORE INSERT OR UPDATE ON public.audio_job_queue
            FOR EACH ROW EXECUTE FUNCTION public.worker_columns();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_fence'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_fence BEFORE UPDATE ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.started_at IS DISTINCT FROM NEW.started_at)
            EXECUTE FUNCTION public.worker_fence();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_turn'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_turn BEFORE INSERT ON public.audio_job_queue
            FOR EACH ROW EXECUTE FUNCTION public.worker_turn();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_insert'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_insert AFTER INSERT ON public.audio_job_queue
            REFERENCING NEW TABLE AS fresh
            FOR EACH STATEMENT EXECUTE FUNCTION public.worker_notify_insert();
    END IF;
    -- By row, since a list of columns and a transition table do not go together; heartbeats must not notify.
    -- A thousand rows put back by one statement are one notification: equal ones of a transaction are merged.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_status'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_status AFTER UPDATE OF status ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status::text IN ('pending', 'cancelled'))
            EXECUTE FUNCTION public.worker_notify_status();
    END IF;
END $$;
