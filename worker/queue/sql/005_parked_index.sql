-- The index of parked jobs: those of a cause, oldest first, and whether one of them is being done.
-- Made as those of 002_lease_columns.sql, in a transaction of its own, so that nobody waits for two indexes at once.

DO $$
BEGIN
    IF to_regclass('public.audio_job_queue_parked') IS NULL THEN
        IF pg_relation_size('public.audio_job_queue') > 256 * 1024 * 1024 THEN
            RAISE WARNING 'audio_job_queue is large; run this by itself, outside a transaction: CREATE INDEX CONCURRENTLY % %;',
                'audio_job_queue_parked', 'ON public.audio_job_queue (parked_cause, status, created_at, id) WHERE parked_cause IS NOT NULL';
        ELSE
            CREATE INDEX audio_job_queue_parked
                ON public.audio_job_queue (parked_cause, status, created_at, id) WHERE parked_cause IS NOT NULL;
        END IF;
    END IF;
END $$;
