"""Parked jobs: what an operator must fix holds only the jobs that meet it. Leased and plain mode decide alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from database import Databases, Variant, execute, row_of
from parked_jobs import Harness, ended_model
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY, Postgrest

from worker.config import Config
from worker.errors import ConfigurationError, JobError, LeaseLost, ShuttingDown, TransientError
from worker.queue.plain import PlainQueue
from worker.queue.plain_dialect import DIALECTS
from worker.queue.postgres import PostgresTransport
from worker.queue.service import Outcome, open_queue
from worker.queue.supabase import SupabaseTransport
from worker.supabase_access import supabase_of

EACH_SERVER = True


@pytest.fixture(params=["leased", "plain", "plain over HTTP"])
def harness(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Harness]:
    variant = Variant("completing", "production", "payload", "enum", leased=request.param == "leased")
    dsn = databases.new(variant)
    if request.param == "leased":
        queue = open_queue(Config(database_url=dsn), worker_name="w")  # type: ignore[arg-type]

        def later(seconds: float) -> None:
            for statement in (
                "UPDATE worker_causes SET next_probe_at = next_probe_at - %s * interval '1 s'",
                "UPDATE audio_job_queue SET run_after = run_after - %s * interval '1 s',"
                " parked_since = parked_since - %s * interval '1 s'",
            ):
                execute(dsn, statement, *[seconds] * statement.count("%s"))

        yield Harness(dsn, queue, later)
    else:
        clock = [1000.0]

        def tick(seconds: float) -> None:
            clock[0] += seconds

        with serve({"/rest/v1": Postgrest(dsn)}) as url:
            config = Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY)  # type: ignore[arg-type]
            access = supabase_of(config)
            assert access is not None
            over_http = request.param.endswith("HTTP")
            transport = SupabaseTransport(access) if over_http else PostgresTransport(dsn, application="w")
            queue = PlainQueue(transport, dialect=DIALECTS[1], clock=lambda: clock[0])
            yield Harness(dsn, queue, tick)
            queue.close()
    queue.close()
    databases.release(dsn)


def test_a_job_is_tried_once_and_then_waits_under_its_cause(harness: Harness) -> None:
    ids = harness.park(3)
    healthy = harness.queue.enqueue({})
    assert harness.all_claims() == [healthy], "the others are older, and wait"
    assert harness.jobs() == {"openai/tts-1/voice.model": 3}
    (cause,) = harness.queue.causes()
    assert cause.message == "tts-1 has ended"
    assert harness.queue.depth()["pending"] == 3
    harness.pass_time(30)
    claim = harness.claimed()
    assert (claim.job_id, claim.attempt, claim.probed_cause) == (ids[0], 1, "openai/tts-1/voice.model")
    assert claim.waited_s < 30, "a probe is due when the pause of its cause is over"


def test_one_probe_at_a_time_for_each_cause(harness: Harness) -> None:
    first, second = harness.park(3), harness.park(2, ended_model("tts-1-hd"))
    harness.pass_time(1000)
    assert sorted(harness.all_claims()) == sorted([first[0], second[0]])
    harness.pass_time(1000)
    assert harness.all_claims() == [], "both are being done"


def test_the_pauses_double_and_begin_anew_after_another_end(harness: Harness) -> None:
    harness.park(2)
    ends = [ended_model()] * 6 + [TransientError("down"), ended_model(), ended_model()]
    for end, pause in zip(ends, [30, 60, 120, 240, 480, 600, 600, 30, 60], strict=True):
        waited, began = 0, time.monotonic()
        while (claim := harness.queue.claim()) is None:
            harness.pass_time(10)
            waited += 10
        really_passed = time.monotonic() - began
        assert pause - 10 - really_passed < waited <= pause, pause
        harness.queue.resolve_failure(claim, end)
        assert harness.queue.claim() is None


def test_a_probe_that_completes_frees_all_of_its_cause_and_no_other(harness: Harness) -> None:
    first, second = harness.park(4), harness.park(2, ended_model("tts-1-hd"))
    harness.pass_time(30)
    claims = [harness.claimed(), harness.claimed()]
    harness.finish(next(claim for claim in claims if claim.job_id == first[0]))
    assert harness.jobs() == {"openai/tts-1-hd/voice.model": 1}
    assert harness.all_claims() == first[1:]
    assert row_of(harness.dsn, second[1])["status"] == ("pending" if harness.queue.mode == "leased" else "processing")


@pytest.mark.parametrize("harness", ["plain over HTTP"], indirect=True)
def test_a_probe_whose_end_is_written_in_two_calls_frees_the_others(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is completed, the call after it fails: `finish` is repeated, and finds its row completed."""
    ids = harness.park(3)
    harness.pass_time(30)
    claim = harness.claimed()
    assert isinstance(harness.queue, PlainQueue)
    write, failures = harness.queue._tracks.write_result, iter([TransientError("no answer")])

    def sometimes(*arguments: Any) -> None:
        for error in failures:
            raise error
        write(*arguments)

    monkeypatch.setattr(harness.queue._tracks, "write_result", sometimes)
    harness.finish(claim)
    assert harness.all_claims() == ids[1:]


@pytest.mark.parametrize("end", [ShuttingDown(), TransientError("down")], ids=["shutdown", "retry"])
def test_a_probe_that_is_put_back_stays_parked(harness: Harness, end: Exception) -> None:
    ids = harness.park(2)
    harness.pass_time(30)
    harness.queue.resolve_failure(harness.claimed(), end)
    if harness.queue.mode == "plain" and isinstance(end, ShuttingDown):
        assert harness.claimed().job_id == ids[0], "the worker ends, and its parked jobs are pending"
        return
    harness.pass_time(29)
    assert [job_id for job_id in harness.all_claims() if harness.queue.mode == "leased"] == []
    harness.pass_time(1)
    assert len(harness.all_claims()) == 1


def test_a_probe_that_fails_for_good_ends_only_its_own_row(harness: Harness) -> None:
    ids = harness.park(3)
    harness.pass_time(30)
    assert harness.queue.resolve_failure(harness.claimed(), JobError("script: too long")) is Outcome.FAILED
    assert harness.jobs() == {"openai/tts-1/voice.model": 2}
    assert harness.queue.claim() is None
    harness.pass_time(30)
    assert harness.claimed().job_id == ids[1]


def test_a_probe_whose_claim_is_lost_is_followed_by_another(harness: Harness) -> None:
    ids = harness.park(2)
    harness.pass_time(30)
    claim = harness.claimed()
    execute(harness.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", claim.job_id)
    assert harness.queue.resolve_failure(claim, LeaseLost()) is Outcome.LOST
    harness.pass_time(30)
    assert harness.claimed().job_id == ids[1]


def test_a_job_that_meets_another_cause_waits_under_that_one(harness: Harness) -> None:
    harness.park(2)
    harness.pass_time(30)
    refused = ConfigurationError("the key is refused", code="voice.key", about=("OPENAI_API_KEY",))
    assert harness.meets(harness.claimed(), refused)
    assert harness.jobs() == {"openai/tts-1/voice.model": 1, "OPENAI_API_KEY/voice.key": 1}


def test_parked_jobs_fail_after_the_limit_in_the_customers_words(harness: Harness) -> None:
    """The limit counts from when a job was parked first, whatever it has met since."""
    harness.queue.retries = replace(harness.queue.retries, parked_limit_s=-5.0)
    ids = harness.park(2)
    assert harness.queue.rescue_jobs().overdue == dict.fromkeys(ids, "openai/tts-1/voice.model")
    for job_id in ids:
        row = row_of(harness.dsn, job_id)
        assert row["status"] == "failed"
        assert "contact support" in row["error"]
        assert row.get("error_code", "configuration.limit") == "configuration.limit"
    assert harness.jobs() == {}
    assert harness.queue.rescue_jobs().overdue == {}


def test_a_job_that_is_cancelled_while_it_is_parked_is_let_go(harness: Harness) -> None:
    ids = harness.park(2)
    execute(harness.dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
    harness.pass_time(60)
    assert harness.all_claims() == []
    harness.queue.rescue_jobs()
    assert harness.jobs() == {}
    assert {row_of(harness.dsn, job_id)["status"] for job_id in ids} == {"cancelled"}


def test_a_failed_job_that_is_requeued_is_not_parked(harness: Harness) -> None:
    harness.queue.retries = replace(harness.queue.retries, parked_limit_s=-5.0)
    (job_id,) = harness.park()
    harness.queue.rescue_jobs()
    execute(harness.dsn, "UPDATE audio_job_queue SET status = 'pending', error = NULL")
    claim = harness.claimed()
    assert (claim.job_id, claim.attempt, claim.probed_cause) == (job_id, 1, None)
    harness.queue.retries = replace(harness.queue.retries, parked_limit_s=3600.0)
    assert harness.meets(claim)
    assert harness.queue.rescue_jobs().overdue == {}, "its waiting has begun anew"
