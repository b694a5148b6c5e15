"""Payloads in the app's database that no worker can load, or may: they cost their own job and nothing else."""

from __future__ import annotations

import pytest
from app_database import COMBINATIONS, ONE_OF_EACH_WAY, USER, finished, named, opened, track_of, variant_of
from claiming import claimed
from database import Variant, age_row, execute, new_track, payload_of, rescued_by
from standins.http_server import serve
from standins.keys import SERVICE_JWT
from standins.postgrest import Postgrest
from tiers import further

from worker.config import Config
from worker.errors import JobError, ShuttingDown
from worker.queue.claims import PAYLOAD_LIMIT_BYTES
from worker.queue.service import ClaimStatus, Outcome, open_queue

HOSTILE = {
    "nested": "'{\"x\":' || repeat('[', 2000) || repeat(']', 2000) || '}'",
    "digits": "'{\"x\":' || repeat('9', 5000) || '}'",
    "exponent": "'{\"x\": 1e100000}'",
}


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_a_payload_never_stops_the_worker_that_claims_it(made, chosen) -> None:
    """Valid jsonb that Python cannot load, in the payload and in what a customer wrote to `result`."""
    variant = variant_of(chosen)
    dsn = made(variant)
    for text in HOSTILE.values():
        execute(
            dsn, f"INSERT INTO audio_job_queue ({variant.column}, result) VALUES (({text})::jsonb, ({text})::jsonb)"
        )
    forged = '{"worker": {"attempt": -1000000, "crashes": "x", "code": [1]}}'
    execute(dsn, f"INSERT INTO audio_job_queue ({variant.column}, result) VALUES ('{{}}', %s)", forged)
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for _ in HOSTILE:
            claim = claimed(queue)
            assert claim.payload_text
            assert claim.attempt == 1
            assert queue.resolve_failure(claim, JobError("not JSON")) is Outcome.FAILED
        claim = claimed(queue)
        assert (claim.attempt, claim.crashes) == (1, 0)
        execute(dsn, f"UPDATE audio_job_queue SET result = ({HOSTILE['nested']})::jsonb WHERE status = 'processing'")
        age_row(dsn, "11 minutes")
        execute(dsn, "UPDATE audio_job_queue SET started_at = started_at")
        if chosen["leased"]:
            execute(dsn, "UPDATE audio_job_queue SET lease_expires_at = now() WHERE status = 'processing'")
        age_row(dsn, "11 minutes")
        assert rescued_by(queue) == 1
        assert claimed(queue).crashes == 1


@pytest.mark.parametrize("chosen", further(ONE_OF_EACH_WAY, but=ONE_OF_EACH_WAY[:2]), ids=named)
def test_a_payload_over_the_limit_is_not_read(made, chosen) -> None:
    variant = variant_of(chosen)
    dsn = made(variant)
    insert = f"INSERT INTO audio_job_queue ({variant.column}) VALUES (jsonb_build_object('script', {{}})) RETURNING id"
    sizes = {
        "compressed away": "repeat('x', 40000000)",
        "incompressible": "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400000) n)",
        "just over": f"repeat('x', {PAYLOAD_LIMIT_BYTES - 13})",
    }
    large = [str(execute(dsn, insert.format(value))[0]["id"]) for value in sizes.values()]
    fits = str(execute(dsn, insert.format(f"repeat('x', {PAYLOAD_LIMIT_BYTES - 14})"))[0]["id"])
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for job_id in large:
            claim = claimed(queue)
            assert (claim.job_id, claim.payload_text) == (job_id, None)
            assert claim.payload_bytes is not None
            assert claim.payload_bytes > PAYLOAD_LIMIT_BYTES
            if (chosen["leased"] or chosen["transport"] == "postgres") and job_id == large[0]:
                size = execute(
                    dsn, f"SELECT octet_length({variant.column}::text) n FROM audio_job_queue WHERE id = %s", job_id
                )
                assert claim.payload_bytes != size[0]["n"], "its size is known before its text is made"
        claim = claimed(queue)
        assert (claim.job_id, claim.payload_bytes) == (fits, None)
        assert len(claim.payload_text or "") == PAYLOAD_LIMIT_BYTES


def test_a_gateway_that_knows_no_casts_will_do(made) -> None:
    """The values are then read whole, within the limit of every answer; what cannot be read fails its job alone."""
    dsn = made(Variant("lacking", "production", "job_data", "enum"))
    postgrest = Postgrest(dsn)
    postgrest.knows_casts = False
    with serve({"/rest/v1": postgrest}) as url:
        queue = open_queue(Config(supabase_url=url, supabase_service_role_key=SERVICE_JWT), worker_name="w")
        good = queue.enqueue({"n": 1}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert (claim.job_id, payload_of(claim), claim.attempt) == (good, {"n": 1}, 1)
        assert queue.resolve_failure(claim, ShuttingDown()) is Outcome.RELEASED
        claim = claimed(queue)
        assert (claim.attempt, claim.last_error_code) == (1, "shutdown")
        assert finished(queue, claim) is ClaimStatus.HELD
        assert queue.track_row(claim) is not None
        execute(dsn, f"INSERT INTO audio_job_queue (job_data) VALUES (({HOSTILE['digits']})::jsonb)")
        claim = claimed(queue)
        assert claim.payload_text is None
        assert queue.resolve_failure(claim, JobError("cannot be read")) is Outcome.FAILED
        queue.close()
    assert (
        track_of(dsn, execute(dsn, "SELECT track_id FROM audio_job_queue WHERE id = %s", good)[0]["track_id"])["status"]
        == "published"
    )
