"""Claims that a test's queue takes, and leases and waits that a test has run out."""

from __future__ import annotations

from database import execute

from worker.queue.service import Claim, Queue


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def expire(dsn: str, job_id: str | None = None) -> None:
    """Have the leases of all jobs run out, or of one."""
    execute(
        dsn,
        "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 second'"
        " WHERE status = 'processing' AND coalesce(id = %s::uuid, true)",
        job_id,
    )


def due_now(dsn: str) -> None:
    execute(dsn, "UPDATE audio_job_queue SET run_after = now() WHERE status = 'pending'")
