"""Leased mode beside workers that know no leases: the old edge function, plain workers, as during a deploy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from claiming import claimed, expire
from database import age_row, execute, rescued_by, row_of

from worker.queue.plain import PlainQueue
from worker.queue.plain_dialect import DIALECTS
from worker.queue.postgres import PostgresTransport
from worker.queue.service import ClaimStatus, Queue


class TestWithWorkersThatKnowNoLeases:
    @pytest.fixture
    def plain(self, leased_dsn: str) -> Iterator[Queue]:
        transport = PostgresTransport(leased_dsn, application="plain")
        yield PlainQueue(transport, dialect=DIALECTS[1])
        transport.close()

    def test_they_share_the_work(self, jobs: Queue, plain: Queue) -> None:
        ids = [jobs.enqueue({"n": n}) for n in range(4)]
        taken = [claimed(queue) for queue in (jobs, plain, jobs, plain)]
        assert [claim.job_id for claim in taken] == ids
        assert jobs.claim() is None
        assert plain.claim() is None
        for queue, claim in zip((jobs, plain, jobs, plain), taken, strict=True):
            assert queue.heartbeat(claim, progress=9, stage="s") is ClaimStatus.HELD
            assert queue.finish(claim, result={}, track={}) is ClaimStatus.HELD

    @pytest.mark.parametrize("then", ["leased", "plain"])
    def test_the_old_reset_of_a_live_render_takes_it_from_its_holder(
        self, jobs: Queue, others: Queue, plain: Queue, leased_dsn: str, then: str
    ) -> None:
        """By started_at, after ten minutes, however alive: the first holder must not finish any more."""
        jobs.enqueue({})
        claim = claimed(jobs)
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET status = 'pending', started_at = NULL WHERE status = 'processing'",
        )
        assert jobs.claim_status(claim) is ClaimStatus.LOST
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        taker = others if then == "leased" else plain
        again = claimed(taker)
        assert again.job_id == claim.job_id
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        assert jobs.finish(claim, result={"by": "first"}, track={}) is ClaimStatus.LOST
        assert taker.finish(again, result={"by": "second"}, track={}) is ClaimStatus.HELD
        assert row_of(leased_dsn, claim.job_id)["result"] == {"by": "second"}

    def test_a_claim_function_that_takes_stuck_rows_directly_takes_it_too(self, jobs: Queue, leased_dsn: str) -> None:
        jobs.enqueue({})
        claim = claimed(jobs)
        execute(
            leased_dsn,
            "UPDATE audio_job_queue SET started_at = clock_timestamp() WHERE status = 'processing'",
        )
        assert jobs.heartbeat(claim, progress=80, stage="s") is ClaimStatus.LOST
        assert jobs.finish(claim, result={}, track={}) is ClaimStatus.LOST

    def test_a_plain_row_is_rescued_after_ten_quiet_minutes_only(
        self, jobs: Queue, plain: Queue, leased_dsn: str
    ) -> None:
        jobs.enqueue({})
        claim = claimed(plain)
        age_row(leased_dsn, "9 minutes 50 seconds")
        assert rescued_by(jobs) == 0
        age_row(leased_dsn, "10 minutes 10 seconds")
        assert rescued_by(jobs) == 1
        again = claimed(jobs)
        assert (again.job_id, again.crashes) == (claim.job_id, 1)
        assert plain.finish(claim, result={"late": 1}, track={}) is ClaimStatus.LOST
        assert plain.heartbeat(claim, progress=1, stage="late") is ClaimStatus.LOST
        assert jobs.finish(again, result={}, track={}) is ClaimStatus.HELD

    def test_a_plain_workers_stale_progress_does_not_extend_a_lease(
        self, jobs: Queue, plain: Queue, leased_dsn: str
    ) -> None:
        job_id = jobs.enqueue({})
        claimed(jobs)
        expire(leased_dsn)
        execute(leased_dsn, "SELECT update_job_progress(%s, 10, 'old')", job_id)
        assert rescued_by(jobs) == 1
