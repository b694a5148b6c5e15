"""Parking in plain mode: what it does because the table has no columns for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from database import Databases, Variant, age_row, execute, row_of
from parked_jobs import ended_model

from worker.errors import TransientError
from worker.queue.plain import PlainQueue
from worker.queue.plain_dialect import DIALECTS
from worker.queue.postgres import PostgresTransport
from worker.queue.service import Outcome

EACH_SERVER = True


class TestPlain:
    @pytest.fixture
    def plain(self, databases: Databases) -> Iterator[tuple[str, list[float], PlainQueue]]:
        dsn, clock = databases.new(Variant()), [1000.0]
        transport = PostgresTransport(dsn, application="w")
        queue = PlainQueue(transport, dialect=DIALECTS[0], clock=lambda: clock[0])
        yield dsn, clock, queue
        queue.close()
        databases.release(dsn)

    def test_the_begin_of_the_waiting_outlives_the_worker(self, plain: Any) -> None:
        dsn, _, queue = plain
        job_id = queue.enqueue({})
        assert queue.resolve_failure(queue.claim(), ended_model()) is Outcome.PARKED
        since = row_of(dsn, job_id)["result"]["worker"]["parked_since"]
        queue.close()
        assert row_of(dsn, job_id)["status"] == "pending"
        claim = queue.claim()
        assert claim.parked_since.isoformat() == since
        assert queue.resolve_failure(claim, TransientError("down")) is Outcome.RETRIED
        assert row_of(dsn, job_id)["result"]["worker"]["parked_since"] == since

    def test_what_a_customer_writes_there_does_no_harm(self, plain: Any) -> None:
        dsn, _, queue = plain
        queue.enqueue({})
        for text in ('"soon"', "[1]", '"2026-01-01"', "1e400", "{}"):
            result = f'{{"worker": {{"parked_since": {text}}}}}'
            execute(dsn, "UPDATE audio_job_queue SET status = 'pending', result = %s::jsonb", result)
            assert queue.claim().parked_since is None

    def test_parked_rows_are_touched_so_that_nobody_rescues_them(self, plain: Any) -> None:
        dsn, clock, queue = plain
        queue.enqueue({})
        queue.resolve_failure(queue.claim(), ended_model())
        age_row(dsn, "11 minutes")
        clock[0] += 16
        assert queue.rescue_jobs().put_back == ()
        assert len(queue.causes()) == 1
