"""The indexes of the queue, and how they are made without holding up writers."""

from __future__ import annotations

from dataclasses import dataclass

# Building an index in a transaction holds back writers for as long as the table is read. Up to here that is some 50 ms.
SMALL_TABLE_BYTES = 16 << 20


@dataclass(frozen=True)
class Index:
    """An index on `audio_job_queue`, named ``audio_job_queue_<name>``."""

    name: str
    on: str

    @property
    def full_name(self) -> str:
        """Its name in the schema."""
        return f"audio_job_queue_{self.name}"

    def create(self, *, concurrently: bool) -> str:
        """The statement that makes it; concurrently it must not run in a transaction."""
        how = "CONCURRENTLY " if concurrently else ""
        return f"CREATE INDEX {how}{self.full_name} ON public.audio_job_queue {self.on}"


_READY = "WHERE status = 'pending' AND parked_cause IS NULL"
INDEXES = (
    Index("due", "(created_at, id) WHERE status = 'pending'"),  # get_next_pending_job()
    Index("first", f"(priority DESC, created_at, id) {_READY}"),
    Index("fair", f"(priority DESC, (coalesce(turn_at, created_at)), id) {_READY}"),
    Index("held", "(claim_token) WHERE status = 'processing'"),
    Index("parked", "(parked_cause, status, created_at, id) WHERE parked_cause IS NOT NULL"),
    Index("by_track", "(track_id, created_at)"),
    Index("spoken", "(user_id, started_at) WHERE spoken_characters > 0"),
    Index("by_status", "(status, created_at)"),  # lists of jobs, newest first; counts
    Index("unpurged", "(created_at) WHERE purged_at IS NULL"),
)


def index_script() -> str:
    """SQL that makes the missing ones on a small table, and names those that are left to be made concurrently."""
    rows = ",\n".join(
        f"        ['{index.full_name}', {_literal(index.create(concurrently=False))}, "
        f"{_literal(index.create(concurrently=True))}]"
        for index in INDEXES
    )
    return f"""-- The indexes of the queue. On a large table each is left to CREATE INDEX CONCURRENTLY, which holds back
-- nobody, and which no transaction may hold: `mindscript-worker migrate` does that by itself. A text that was pasted
-- warns of each; run those in psql, one by one. Until then the worker works, but a claim takes longer.

DO $$
DECLARE
    v_index text[];
BEGIN
    FOREACH v_index SLICE 1 IN ARRAY ARRAY[
{rows}
    ] LOOP
        IF to_regclass('public.' || v_index[1]) IS NOT NULL THEN
            CONTINUE;
        ELSIF pg_relation_size('public.audio_job_queue') > {SMALL_TABLE_BYTES} THEN
            RAISE WARNING 'audio_job_queue is large; run this in psql, outside a transaction: %;', v_index[3];
        ELSE
            EXECUTE v_index[2];
        END IF;
    END LOOP;
END $$;
"""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
