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
def shop(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Harness]:
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


def test_a_job_is_tried_once_and_then_waits_under_its_cause(shop: Harness) -> None:
    ids = shop.park(3)
    healthy = shop.queue.enqueue({})
    assert shop.all_claims() == [healthy], "the others are older, and wait"
    assert shop.jobs() == {"openai/tts-1/voice.model": 3}
    (cause,) = shop.queue.causes()
    assert cause.message == "tts-1 has ended"
    assert shop.queue.depth()["pending"] == 3
    shop.pass_time(30)
    claim = shop.claimed()
    assert (claim.job_id, claim.attempt, claim.probed_cause) == (ids[0], 1, "openai/tts-1/voice.model")
    assert claim.waited_s < 30, "a probe is due when the pause of its cause is over"


def test_one_probe_at_a_time_for_each_cause(shop: Harness) -> None:
    first, second = shop.park(3), shop.park(2, ended_model("tts-1-hd"))
    shop.pass_time(1000)
    assert sorted(shop.all_claims()) == sorted([first[0], second[0]])
    shop.pass_time(1000)
    assert shop.all_claims() == [], "both are being done"


def test_the_pauses_double_and_begin_anew_after_another_end(shop: Harness) -> None:
    shop.park(2)
    ends = [ended_model()] * 6 + [TransientError("down"), ended_model(), ended_model()]
    for end, pause in zip(ends, [30, 60, 120, 240, 480, 600, 600, 30, 60], strict=True):
        waited, began = 0, time.monotonic()
        while (claim := shop.queue.claim()) is None:
            shop.pass_time(10)
            waited += 10
        really_passed = time.monotonic() - began
        assert pause - 10 - really_passed < waited <= pause, pause
        shop.queue.resolve_failure(claim, end)
        assert shop.queue.claim() is None


def test_a_probe_that_completes_frees_all_of_its_cause_and_no_other(shop: Harness) -> None:
    first, second = shop.park(4), shop.park(2, ended_model("tts-1-hd"))
    shop.pass_time(30)
    claims = [shop.claimed(), shop.claimed()]
    shop.finish(next(claim for claim in claims if claim.job_id == first[0]))
    assert shop.jobs() == {"openai/tts-1-hd/voice.model": 1}
    assert shop.all_claims() == first[1:]
    assert row_of(shop.dsn, second[1])["status"] == ("pending" if shop.queue.mode == "leased" else "processing")


@pytest.mark.parametrize("shop", ["plain over HTTP"], indirect=True)
def test_a_probe_whose_end_is_written_in_two_calls_frees_the_others(
    shop: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is completed, the call after it fails: `finish` is repeated, and finds its row completed."""
    ids = shop.park(3)
    shop.pass_time(30)
    claim = shop.claimed()
    assert isinstance(shop.queue, PlainQueue)
    write, failures = shop.queue._tracks.write_result, iter([TransientError("no answer")])

    def sometimes(*arguments: Any) -> None:
        for error in failures:
            raise error
        write(*arguments)

    monkeypatch.setattr(shop.queue._tracks, "write_result", sometimes)
    shop.finish(claim)
    assert shop.all_claims() == ids[1:]


@pytest.mark.parametrize("end", [ShuttingDown(), TransientError("down")], ids=["shutdown", "retry"])
def test_a_probe_that_is_put_back_stays_parked(shop: Harness, end: Exception) -> None:
    ids = shop.park(2)
    shop.pass_time(30)
    shop.queue.resolve_failure(shop.claimed(), end)
    if shop.queue.mode == "plain" and isinstance(end, ShuttingDown):
        assert shop.claimed().job_id == ids[0], "the worker ends, and its parked jobs are pending"
        return
    shop.pass_time(29)
    assert [job_id for job_id in shop.all_claims() if shop.queue.mode == "leased"] == []
    shop.pass_time(1)
    assert len(shop.all_claims()) == 1


def test_a_probe_that_fails_for_good_ends_only_its_own_row(shop: Harness) -> None:
    ids = shop.park(3)
    shop.pass_time(30)
    assert shop.queue.resolve_failure(shop.claimed(), JobError("script: too long")) is Outcome.FAILED
    assert shop.jobs() == {"openai/tts-1/voice.model": 2}
    assert shop.queue.claim() is None
    shop.pass_time(30)
    assert shop.claimed().job_id == ids[1]


def test_a_probe_whose_claim_is_lost_is_followed_by_another(shop: Harness) -> None:
    ids = shop.park(2)
    shop.pass_time(30)
    claim = shop.claimed()
    execute(shop.dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", claim.job_id)
    assert shop.queue.resolve_failure(claim, LeaseLost()) is Outcome.LOST
    shop.pass_time(30)
    assert shop.claimed().job_id == ids[1]


def test_a_job_that_meets_another_cause_waits_under_that_one(shop: Harness) -> None:
    shop.park(2)
    shop.pass_time(30)
    refused = ConfigurationError("the key is refused", code="voice.key", about=("OPENAI_API_KEY",))
    assert shop.meets(shop.claimed(), refused)
    assert shop.jobs() == {"openai/tts-1/voice.model": 1, "OPENAI_API_KEY/voice.key": 1}


def test_parked_jobs_fail_after_the_limit_in_the_customers_words(shop: Harness) -> None:
    """The limit counts from when a job was parked first, whatever it has met since."""
    shop.queue.retries = replace(shop.queue.retries, parked_limit_s=-5.0)
    ids = shop.park(2)
    assert shop.queue.rescue_jobs().overdue == dict.fromkeys(ids, "openai/tts-1/voice.model")
    for job_id in ids:
        row = row_of(shop.dsn, job_id)
        assert row["status"] == "failed"
        assert "contact support" in row["error"]
        assert row.get("error_code", "configuration.limit") == "configuration.limit"
    assert shop.jobs() == {}
    assert shop.queue.rescue_jobs().overdue == {}


def test_a_job_that_is_cancelled_while_it_is_parked_is_let_go(shop: Harness) -> None:
    ids = shop.park(2)
    execute(shop.dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
    shop.pass_time(60)
    assert shop.all_claims() == []
    shop.queue.rescue_jobs()
    assert shop.jobs() == {}
    assert {row_of(shop.dsn, job_id)["status"] for job_id in ids} == {"cancelled"}


def test_a_failed_job_that_is_requeued_is_not_parked(shop: Harness) -> None:
    shop.queue.retries = replace(shop.queue.retries, parked_limit_s=-5.0)
    (job_id,) = shop.park()
    shop.queue.rescue_jobs()
    execute(shop.dsn, "UPDATE audio_job_queue SET status = 'pending', error = NULL")
    claim = shop.claimed()
    assert (claim.job_id, claim.attempt, claim.probed_cause) == (job_id, 1, None)
    shop.queue.retries = replace(shop.queue.retries, parked_limit_s=3600.0)
    assert shop.meets(claim)
    assert shop.queue.rescue_jobs().overdue == {}, "its waiting has begun anew"
