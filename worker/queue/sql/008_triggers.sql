-- The fence against workers that know no leases, the guard of the worker's columns, and NOTIFY for those that listen.

-- The worker's columns change only by its functions, which run as the owner of the table. Any other writer of a row (the
-- app, a customer through row-level security, a plain worker) leaves them as they are.
CREATE OR REPLACE FUNCTION public.worker_columns() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, extensions, pg_temp AS $$
BEGIN
    IF pg_catalog.pg_has_role(
           (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
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
    END IF;
    RETURN NEW;
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
