-- The index of a claim: jobs that are neither parked nor begun, oldest first, however many are parked before them.
-- Made as those of 002_lease_columns.sql, in a transaction of its own, so that nobody waits for two indexes at once.

DO $$
BEGIN
    IF to_regclass('public.audio_job_queue_ready') IS NULL THEN
        IF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                'audio_job_queue_ready', 'ON public.audio_job_queue (created_at, id) WHERE status = ''pending'' AND parked_cause IS NULL';
        ELSE
            CREATE INDEX audio_job_queue_ready
                ON public.audio_job_queue (created_at, id) WHERE status = 'pending' AND parked_cause IS NULL;
        END IF;
    END IF;
END $$;
