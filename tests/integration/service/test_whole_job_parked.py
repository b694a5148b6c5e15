"""Whole jobs that meet a configuration error: parked, their attempt not counted, and delivered once it is fixed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from database import execute, row_of
from request_faults import ALWAYS, LARGE, NO_BUCKET, TRACK, refused
from standins.queued_jobs import Case, Placed, ended
from standins.speech import Answer

QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}
NO_CREDIT = {"detail": {"status": "quota_exceeded", "message": "This request exceeds your quota."}}
NO_SUCH_MODEL = {"error": {"message": "The model does not exist", "code": "model_not_found"}}
NO_BUCKET_TUS = {"kind": "answer", "status": 404, "body": b"Bucket not found", "times": 50}
NO_ENTRY = {**refused(403, "AccessDenied", "Invalid Compact JWS"), "times": 50}


def refusing(provider: str, status: int, body: dict[str, Any], says: str) -> Case:
    return Case(f"{provider}: {status}", provider=provider, speech=(Answer(status, body),) * ALWAYS, says=says)


CONFIGURATION_ERRORS = [
    refusing("openai", 429, QUOTA, "OPENAI_API_KEY has no credit"),
    refusing("elevenlabs", 401, NO_CREDIT, "ELEVENLABS_API_KEY has no credit"),
    Case("bucket missing", faults=({**TRACK, **NO_BUCKET},), says="no bucket 'audio-renders'"),
    Case("MIME type refused", {"outputFormat": "flac"}, says="does not take audio/flac"),
]
MORE_CONFIGURATION_ERRORS = [
    Case("too large for the bucket", LARGE, says="over the limit of bucket 'audio-renders'"),
    refusing("openai", 401, {"error": {"message": "Incorrect API key"}}, "OPENAI_API_KEY"),
    refusing("openai", 404, NO_SUCH_MODEL, "OPENAI_TTS_MODEL"),
    refusing("elevenlabs", 401, {"detail": {"status": "invalid_api_key"}}, "ELEVENLABS_API_KEY"),
    refusing("elevenlabs", 402, {"detail": {"status": "payment_required"}}, "ELEVENLABS_API_KEY has no credit"),
    Case("bucket missing, large", LARGE, faults=({**TRACK, **NO_BUCKET_TUS},), says="no bucket 'audio-renders'"),
    Case(
        "bucket of the music missing",
        {"backgroundMusic": {"url": "wind.flac"}},
        faults=({"method": "GET", "path": "background-music/wind.flac", **NO_BUCKET},),
        says="no bucket 'background-music'",
    ),
    Case("key refused", faults=({**TRACK, **NO_ENTRY},), says="SUPABASE_SERVICE_ROLE_KEY"),
]


@pytest.mark.parametrize(
    "cases", [CONFIGURATION_ERRORS, pytest.param(MORE_CONFIGURATION_ERRORS, marks=pytest.mark.faults)]
)
def test_a_configuration_error_parks_the_job_until_it_is_fixed(place, cases):
    renders = place.project.storage.buckets["audio-renders"]
    renders.file_size_limit = 7_000_000
    for case in cases:
        place.enqueue(case)
    with place.worker() as worker:
        place.wait(worker, lambda row: row["status"] == "pending" and row["release_count"] == 1)
        said: list[str] = []
        for _ in range(600):  # a row is written before the log
            said = [event["message"] for event in worker.events() if event["event"] == "configuration"]
            if all(any(case.says in line for line in said) for case in cases):
                break
            time.sleep(0.1)

        def check(job: Placed) -> None:
            row = row_of(place.dsn, job.job_id)
            assert (row["attempt"], row["crash_count"], row["error"]) == (0, 0, None)
            assert row["parked_cause"].endswith(f"/{row['error_code']}")
            assert any(job.case.says in line for line in said), said
            place.check_unpublished(job)
            assert place.asked_to_go_on(job) == bool(job.case.provider), "a refusal must not be asked for twice"

        place.each(check)
        renders.file_size_limit = None
        renders.allowed_mime_types.append("audio/flac")
        place.speech.answers_for.clear()
        place.project.storage.faults.clear()
        execute(place.dsn, "UPDATE worker_causes SET next_probe_at = now()")
        place.wait(worker, ended)
    place.each(place.check_delivered)
