"""The app's database as it is: what ends a job there, what its triggers, policies and functions make of it.

Every pair of variant, mode, transport and server is run, not every product of them.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from app_database import (
    COMBINATIONS,
    OTHER,
    TRANSPORTS,
    USER,
    finished,
    named,
    notifications,
    opened,
    track_of,
    variant_of,
)
from claiming import claimed
from database import Variant, execute, new_track, payload_of, row_of
from standins.http_server import serve
from standins.keys import SERVICE_JWT
from standins.postgrest import Postgrest

from worker.config import Config
from worker.errors import JobError, ShuttingDown
from worker.queue.service import ClaimStatus, Outcome, open_queue


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_every_job_ends_once_and_as_the_app_expects(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    tracks = [new_track(dsn, USER) for _ in range(4)]
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        assert (queue.mode == "leased") is chosen["leased"]
        good, again, bad, lost = (queue.enqueue({"n": n}, track_id=t, user_id=USER) for n, t in enumerate(tracks))
        claim = claimed(queue)
        assert (claim.job_id, payload_of(claim), claim.track_id, claim.user_id) == (good, {"n": 0}, tracks[0], USER)
        assert queue.heartbeat(claim, progress=40, stage="Mixing audio layers") is ClaimStatus.HELD
        assert row_of(dsn, good)["stage"] == "Mixing audio layers"
        assert finished(queue, claim) is ClaimStatus.HELD
        assert finished(queue, claim) is ClaimStatus.HELD, "asked again after a lost answer"
        released = claimed(queue)
        assert queue.resolve_failure(released, ShuttingDown()) is Outcome.RELEASED
        claim = claimed(queue)
        assert (claim.job_id, claim.attempt) == (again, 1)
        assert finished(queue, claim) is ClaimStatus.HELD
        assert queue.resolve_failure(claimed(queue), JobError("durationMin: found 999")) is Outcome.FAILED
        claim = claimed(queue)
        execute(dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", lost)
        assert finished(queue, claim) is ClaimStatus.CANCELLED
    for job_id, track_id in ((good, tracks[0]), (again, tracks[1])):
        row, track = row_of(dsn, job_id), track_of(dsn, track_id)
        assert (row["status"], row["progress"], row["stage"], row["error"]) == ("completed", 100, "Complete", None)
        assert row["result"]["url"] == row["result"]["audioUrl"] == track["audio_url"]
        assert "worker" not in row["result"]
        assert row["completed_at"] is not None
        assert (track["status"], track["duration_seconds"]) == ("published", 300)
        assert track["preview_url"] == row["result"]["preview_url"]
        assert track["updated_at"] > track["created_at"]
    row = row_of(dsn, bad)
    assert (row["status"], row["error"]) == ("failed", "durationMin: found 999")
    assert track_of(dsn, tracks[2])["status"] in ("draft", "failed")
    assert row_of(dsn, lost)["status"] == "cancelled"
    assert track_of(dsn, tracks[3])["audio_url"] is None
    assert notifications(dsn) == sorted([(good, "job_completed"), (again, "job_completed"), (bad, "job_failed")]), (
        "one for each job that has ended"
    )


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_a_job_overtaken_by_a_younger_one_leaves_the_track(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    ends = {"pending": True, "processing": True, "completed": True, "failed": False, "cancelled": False}
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for status, superseded in ends.items():
            track_id = new_track(dsn, USER)
            job_id = queue.enqueue({}, track_id=track_id, user_id=USER)
            claim = claimed(queue)
            younger = queue.enqueue({}, track_id=track_id, user_id=USER)
            execute(dsn, "UPDATE audio_job_queue SET status = %s WHERE id = %s", status, younger)
            assert finished(queue, claim) is ClaimStatus.HELD
            row, track = row_of(dsn, job_id), track_of(dsn, track_id)
            assert (row["status"], row["stage"]) == ("completed", "Complete")
            assert row["result"].get("superseded", False) is superseded, status
            assert (track["status"] == "published") is not superseded, status
            execute(dsn, "DELETE FROM audio_job_queue")
        others_track = new_track(dsn, USER)
        queue.enqueue({}, track_id=others_track, user_id=USER)
        claim = claimed(queue)
        execute(dsn, "INSERT INTO auth.users (id) VALUES (%s)", OTHER)
        queue.enqueue({}, track_id=others_track, user_id=OTHER)
        assert finished(queue, claim) is ClaimStatus.HELD
        assert track_of(dsn, others_track)["status"] == "published", "another customer's job for it counts for nothing"


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_only_the_customers_own_track_is_read_or_written(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    own, foreign = new_track(dsn, USER), new_track(dsn, OTHER)
    execute(dsn, """UPDATE tracks SET script = 'mine', voice_config = '{"provider": "openai"}'""")
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for track_id in (own, foreign):
            queue.enqueue({}, track_id=track_id, user_id=USER)
        claim = claimed(queue)
        row = queue.track_row(claim)
        assert row is not None
        assert (row["title"], row["script"]) == ("t", "mine")
        assert row["voice_config"] == '{"provider": "openai"}', "customers write it: it stays text"
        assert finished(queue, claim) is ClaimStatus.HELD
        claim = claimed(queue)
        assert queue.track_row(claim) is None
        assert finished(queue, claim) is ClaimStatus.HELD
    assert track_of(dsn, own)["status"] == "published"
    assert track_of(dsn, foreign)["status"] == "draft"


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_the_music_catalogue_is_found_by_id_and_slug(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    known = execute(
        dsn,
        "INSERT INTO background_tracks (slug, url, is_active) VALUES ('rain', 'quiet-rain.mp3', true),"
        " ('old', 'old.mp3', false), ('empty', '', true) RETURNING id",
    )
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        queue.enqueue({})
        claim = claimed(queue)
        assert queue.catalogue(claim, "rain") == "quiet-rain.mp3"
        assert queue.catalogue(claim, str(known[0]["id"])) == "quiet-rain.mp3"
        for unknown in ("old", str(known[1]["id"]), "empty", str(uuid.uuid4()), "x' OR true --", "rain%"):
            assert queue.catalogue(claim, unknown) is None, unknown
        execute(dsn, "DROP TABLE background_tracks")
        assert queue.catalogue(claim, "rain") is None


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("leased", [False, True], ids=["plain", "leased"])
def test_spoken_characters_a_customer_and_day_are_capped(made, transport, leased) -> None:
    dsn = made(Variant(leased=leased))
    with opened(dsn, transport) as queue:
        tracks = [new_track(dsn, USER) for _ in range(4)]
        for number, track_id in enumerate(tracks):
            queue.enqueue({"script": "x" * 400}, track_id=track_id, user_id=USER)
            claim = claimed(queue)
            allowed = queue.may_speak(claim, 400, limit=1000)
            assert allowed is (number < 2), number
            finished(queue, claim)
            if number == 2:  # a day later
                execute(dsn, "UPDATE audio_job_queue SET started_at = now() - interval '25 hours'")
                execute(dsn, "DELETE FROM audio_job_queue WHERE id = %s", claim.job_id)
                queue.enqueue({"script": "x" * 400}, track_id=track_id, user_id=USER)
                claim = claimed(queue)
                assert queue.may_speak(claim, 400, limit=1000)
                finished(queue, claim)
                execute(dsn, "UPDATE audio_job_queue SET started_at = now() WHERE started_at < now() - interval '1 d'")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "payload",
    [
        {"script": "x" * 300, "layers": [{"kind": "speech", "script": "x" * 300}, {"kind": "tone", "hz": 432}, 7]},
        {"script": "x" * 200, "tracks": [{}, {"script": "x" * 100}, {"layers": [{"script": "x" * 100}]}, None]},
        {"tracks": "none", "layers": "none", "script": "x" * 600},
    ],
    ids=["layers", "album", "no lists"],
)
def test_the_scripts_of_layers_and_albums_count_in_plain_mode(made, transport, payload) -> None:
    """There the scripts of the customer's other jobs are all that is known of what was spoken."""
    dsn = made(Variant(leased=False))
    with opened(dsn, transport) as queue:
        for before in (payload, {"script": "x"}):
            queue.enqueue(before, track_id=new_track(dsn, USER), user_id=USER)
            claim = claimed(queue)
            if before is payload:
                finished(queue, claim)
        assert queue.may_speak(claim, 400, limit=1000)
        assert not queue.may_speak(claim, 401, limit=1000)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_attempt_from_the_cache_keeps_the_characters_of_before(made, transport) -> None:
    dsn = made(Variant(leased=True))
    with opened(dsn, transport) as queue:
        queue.enqueue({"script": "x" * 400}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert queue.may_speak(claim, 400, limit=1000)
        assert queue.may_speak(claim, 100, limit=1000)
        finished(queue, claim)
        queue.enqueue({"script": "x" * 400}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert not queue.may_speak(claim, 601, limit=1000)
        assert queue.may_speak(claim, 600, limit=1000)
        finished(queue, claim)


def test_a_gateway_without_content_range_still_counts(made) -> None:
    dsn = made(Variant(leased=True))
    postgrest = Postgrest(dsn)

    def without(request: Any) -> Any:
        response = postgrest(request)
        headers = {name: value for name, value in response.headers.items() if name != "Content-Range"}
        return type(response)(response.status, response.body, headers)

    with serve({"/rest/v1": without}) as url:
        queue = open_queue(Config(supabase_url=url, supabase_service_role_key=SERVICE_JWT), worker_name="w")
        for _ in range(3):
            queue.enqueue({})
        assert queue.depth()["pending"] == 3
        queue.close()


def test_an_enum_without_cancelled_works(made) -> None:
    for leased in (False, True):
        dsn = made(Variant(status="enum"))
        execute(
            dsn,
            """ALTER TABLE audio_job_queue ALTER status DROP DEFAULT, ALTER status TYPE text;
               DROP TYPE job_status;
               CREATE TYPE job_status AS ENUM ('pending', 'processing', 'completed', 'failed');
               ALTER TABLE audio_job_queue ALTER status TYPE job_status USING status::job_status,
                   ALTER status SET DEFAULT 'pending'""",
        )
        if leased:
            from worker.queue.migrate import migrate

            migrate(dsn)
        with opened(dsn, "postgres") as queue:
            queue.enqueue({})
            assert queue.depth() == {"pending": 1, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0}
            claim = claimed(queue)
            assert queue.claim_status(claim) is ClaimStatus.HELD
            assert finished(queue, claim) is ClaimStatus.HELD
