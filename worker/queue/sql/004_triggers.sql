-- The fence against workers that know no leases, and the bell for those that listen.

-- A row that somebody puts back or takes without a token of their own (the old edge function's reset, a plain worker's
-- claim, a person) leaves its old holder's hands: that one's token is struck, and its next write says 'lost'.
CREATE OR REPLACE FUNCTION public.worker_fence() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF NEW.status = 'pending' OR NEW.status = 'processing' THEN
        IF NEW.claim_token IS NOT DISTINCT FROM OLD.claim_token THEN
            NEW.claim_token := NULL;
            NEW.claimed_by := NULL;
            NEW.lease_expires_at := NULL;
        END IF;
    END IF;
    IF NEW.status = 'pending' AND OLD.status IN ('completed', 'failed', 'cancelled') THEN
        -- Ordered again: five fresh attempts.
        NEW.attempt := 0;
        NEW.crash_count := 0;
        NEW.release_count := 0;
        NEW.error_code := NULL;
        NEW.run_after := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE status = 'pending') THEN
        PERFORM pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.worker_notify_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF NEW.status = 'cancelled' THEN
        PERFORM pg_notify('mindscript_worker', 'cancel ' || NEW.id);
    ELSIF NEW.run_after IS NULL OR NEW.run_after <= clock_timestamp() THEN
        PERFORM pg_notify('mindscript_worker', 'wake');
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
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
    -- By row, since a list of columns and a transition table do not go together; heartbeats must not ring.
    -- A thousand rows put back by one statement are one notification: equal ones of a transaction are merged.
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'worker_notify_status'
                   AND tgrelid = 'public.audio_job_queue'::regclass) THEN
        CREATE TRIGGER worker_notify_status AFTER UPDATE OF status ON public.audio_job_queue
            FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status IN ('pending', 'cancelled'))
            EXECUTE FUNCTION public.worker_notify_status();
    END IF;
END $$;
