"""Parking in leased mode: what the database alone decides, whoever calls."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from database import execute, row_of
from parked_jobs import Harness, ended_model

from worker.config import Config
from worker.queue.service import open_queue

EACH_SERVER = True

CUSTOMER = "7c1d6a52-3f0e-4b7b-9a55-0d6f4c1be001"


class TestLeased:
    @pytest.fixture
    def harness(self, dsn: str) -> Iterator[Harness]:
        queue = open_queue(Config(database_url=dsn), worker_name="w")  # type: ignore[arg-type]
        yield Harness(dsn, queue, lambda _: None)
        queue.close()

    @staticmethod
    def probe_now(dsn: str) -> None:
        execute(dsn, "UPDATE worker_causes SET next_probe_at = clock_timestamp()")

    def test_eight_workers_get_one_probe_of_each_cause(self, dsn: str, harness: Harness) -> None:
        for number in range(5):
            harness.park(4, ended_model(f"model-{number}"))
        self.probe_now(dsn)
        gate = threading.Barrier(8)

        def take(number: int) -> list[str]:
            queue = open_queue(Config(database_url=dsn), worker_name=f"w{number}")  # type: ignore[arg-type]
            gate.wait()
            taken = [claim for _ in range(10) if (claim := queue.claim()) is not None]
            queue.close()
            return [str(claim.probed_cause) for claim in taken]

        with ThreadPoolExecutor(8) as pool:
            probed = Counter(cause for causes in pool.map(take, range(8)) for cause in causes)
        # a claim passes over what another one looks at in the same moment, so one may be left
        while (claim := harness.queue.claim()) is not None:
            probed[str(claim.probed_cause)] += 1
        assert probed == {f"openai/model-{number}/voice.model": 1 for number in range(5)}

    def test_a_rescued_probe_stays_parked_and_the_crash_is_counted(self, dsn: str, harness: Harness) -> None:
        (job_id,) = harness.park()
        self.probe_now(dsn)
        harness.claimed()
        execute(dsn, "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 s'")
        assert harness.queue.rescue_jobs().put_back == (job_id,)
        row = row_of(dsn, job_id)
        assert (row["status"], row["crash_count"], row["parked_cause"]) == ("pending", 1, "openai/tts-1/voice.model")
        assert harness.queue.claim() is None

    def test_the_waiting_is_counted_on_when_a_job_was_freed(self, dsn: str, harness: Harness) -> None:
        (job_id,) = harness.park()
        since = row_of(dsn, job_id)["parked_since"]
        assert execute(dsn, "SELECT worker_free('openai/tts-1/voice.model') AS freed") == [{"freed": 1}]
        assert harness.meets(harness.claimed())
        assert row_of(dsn, job_id)["parked_since"] == since

    def test_freeing_notifies_and_parking_does_not(self, dsn: str, harness: Harness) -> None:
        harness.queue.enqueue({})
        claim = harness.claimed()
        with psycopg.connect(dsn, autocommit=True) as listener:
            listener.execute("LISTEN mindscript_worker")
            assert harness.meets(claim)
            assert list(listener.notifies(timeout=0.3)) == []
            execute(dsn, "SELECT worker_free('openai/tts-1/voice.model')")
            assert [each.payload for each in listener.notifies(timeout=5, stop_after=1)] == ["wake"]

    def test_a_row_that_a_trigger_refuses_costs_no_finished_job(self, dsn: str, harness: Harness) -> None:
        """It frees the others one by one, and says which it could not."""
        ids = harness.park(3)
        self.probe_now(dsn)
        claim = harness.claimed()
        execute(
            dsn,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
            f" IF NEW.id = ''{ids[1]}'' AND NEW.parked_cause IS NULL THEN RAISE EXCEPTION ''no''; END IF; RETURN NEW;"
            " END'",
        )
        execute(dsn, "CREATE TRIGGER refuse BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION refuse()")
        harness.finish(claim)
        assert row_of(dsn, ids[0])["status"] == "completed"
        harness.queue.rescue_jobs()
        assert harness.all_claims() == [ids[2]]

    def test_a_customer_can_neither_free_a_job_nor_park_one(self, dsn: str, harness: Harness) -> None:
        execute(dsn, "INSERT INTO auth.users (id) VALUES (%s) ON CONFLICT DO NOTHING", CUSTOMER)
        job_id = harness.queue.enqueue({}, user_id=CUSTOMER)
        assert harness.meets(harness.claimed())
        before = row_of(dsn, job_id)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET ROLE authenticated")
            connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (CUSTOMER,))
            connection.execute("UPDATE audio_job_queue SET parked_cause = NULL, parked_since = NULL")
            after = row_of(dsn, job_id)
            assert (after["parked_cause"], after["parked_since"]) == (before["parked_cause"], before["parked_since"])
            for statement in (
                "SELECT * FROM worker_causes",
                "INSERT INTO worker_causes VALUES ('x', now(), 'x', now(), 0)",
                "SELECT worker_parked()",
                "SELECT worker_free('openai/tts-1/voice.model')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
            connection.execute("RESET ROLE")
            connection.execute("SET ROLE service_role")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM worker_causes")
