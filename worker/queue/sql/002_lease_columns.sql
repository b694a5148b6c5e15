-- The columns of a lease.
--
-- One ALTER TABLE with constant defaults: no row is rewritten, and the exclusive lock lasts milliseconds. It is not even
-- asked for when the columns are there.

DO $$
BEGIN
    IF 9 > (SELECT count(*) FROM pg_attribute
             WHERE attrelid = 'public.audio_job_queue'::regclass AND NOT attisdropped
               AND attname IN ('attempt', 'claim_token', 'claimed_by', 'lease_expires_at', 'run_after',
                               'crash_count', 'release_count', 'error_code', 'spoken_characters')) THEN
        ALTER TABLE public.audio_job_queue
            ADD COLUMN IF NOT EXISTS attempt integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS claim_token uuid,
            ADD COLUMN IF NOT EXISTS claimed_by text,
            ADD COLUMN IF NOT EXISTS lease_expires_at timestamptz,
            ADD COLUMN IF NOT EXISTS run_after timestamptz,
            ADD COLUMN IF NOT EXISTS crash_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS release_count integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS error_code text,
            ADD COLUMN IF NOT EXISTS spoken_characters integer NOT NULL DEFAULT 0;
    END IF;
END $$;
