"""Whole jobs that are lost or cancelled on their way publish nothing."""

from __future__ import annotations

import time

import psycopg
import pytest
from database import execute, row_of
from request_faults import PREVIEW, TRACK
from standins.queued_jobs import Case, Placed
from standins.speech import Answer

STEAL = "UPDATE audio_job_queue SET claim_token = gen_random_uuid(), claimed_by = 'another' WHERE track_id = %s"
CANCEL = "UPDATE audio_job_queue SET status = 'cancelled' WHERE track_id = %s"


@pytest.mark.further
def test_a_job_that_is_lost_or_cancelled_at_any_point_publishes_nothing(place):
    """While it is spoken, while its track goes up, and while its preview does."""
    meanwhile: list[tuple[Placed, str]] = []
    for statement, name in ((STEAL, "lost"), (CANCEL, "cancelled")):
        for moment, request in (("speech", None), ("track", TRACK), ("preview", PREVIEW)):
            job = place.enqueue(Case(f"{name} at its {moment}", provider="openai" if request is None else ""))
            meanwhile.append((job, name))

            def happen(job: Placed = job, statement: str = statement) -> None:
                with psycopg.connect(place.dsn, autocommit=True) as connection:
                    connection.execute(statement, (job.track_id,))

            if request is None:
                place.speech.answers_for[job.pieces[1]] = [Answer(before=happen)]
            else:
                path = request["path"].format(track=job.track_id)
                place.project.storage.fault("POST", path, "meanwhile", event=happen)
    with place.worker() as worker:
        deadline = time.monotonic() + 90
        while (
            len(outcomes := {event["job"]: event["outcome"] for event in worker.events() if event["event"] == "job"})
            < 6
        ):
            assert time.monotonic() < deadline, outcomes
            time.sleep(0.1)

    for job, name in meanwhile:
        row = row_of(place.dsn, job.job_id)
        assert outcomes[job.job_id] == name
        assert row["status"] == ("processing" if name == "lost" else "cancelled")
        assert row["result"] is None
        track = execute(place.dsn, "SELECT * FROM tracks WHERE id = %s", job.track_id)[0]
        assert track["status"] != "published"
        assert track["audio_url"] is None
        if name == "cancelled" or "speech" in job.case.name:
            assert not place.stored(job), (
                job.case.name
            )  # what was uploaded is taken back; another worker uploads the same file
