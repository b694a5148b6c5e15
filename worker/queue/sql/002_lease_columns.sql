-- The columns of a lease, and the indexes of the queue.
--
-- One ALTER TABLE with constant defaults: no row is rewritten, and the exclusive lock lasts milliseconds. It is not even
-- asked for when the columns are there. Building an index reads the table once and
-- holds back writers that long, so on a table over 256 MB (without its out-of-line values) it is left to a person.

DO $$
DECLARE
    v_index text[];
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

    FOREACH v_index SLICE 1 IN ARRAY ARRAY[
        ['audio_job_queue_due', 'ON public.audio_job_queue (created_at, id) WHERE status = ''pending'''],
        ['audio_job_queue_held', 'ON public.audio_job_queue (claim_token) WHERE status = ''processing'''],
        ['audio_job_queue_by_track', 'ON public.audio_job_queue (track_id, created_at)'],
        ['audio_job_queue_spoken', 'ON public.audio_job_queue (user_id, started_at) WHERE spoken_characters > 0']
    ] LOOP
        IF to_regclass('public.' || v_index[1]) IS NOT NULL THEN
            CONTINUE;
        ELSIF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                v_index[1], v_index[2];
        ELSE
            EXECUTE format('CREATE INDEX %I %s', v_index[1], v_index[2]);
        END IF;
    END LOOP;
END $$;
