"""Whole jobs that go without something: music that cannot be had, a preview that cannot be stored."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import soundfile
from database import execute, row_of
from request_faults import LOST_DATABASE, NO_BUCKET, PREVIEW, RAIN, refused
from standins.queued_jobs import Case, Placed, ended, sound
from standins.storage_project import Bucket
from tiers import further

BROKEN_MUSIC = {
    "gone.mp3": "could not be found",
    "text.mp3": "is no sound file that can be read",
    "nothing.mp3": "holds no sound",
    "short.wav": "holds no sound",
    "large.wav": "is too large",
    "{project}/storage/v1/object/public/backups/all.mp3": "cannot be used",
}


@pytest.mark.parametrize(
    "broken",
    [
        *further([dict(list(BROKEN_MUSIC.items())[:2])]),
        pytest.param(BROKEN_MUSIC, marks=pytest.mark.faults),
    ],
)
def test_music_that_cannot_be_had_is_left_out_and_noted(place, broken):
    for name, data in (("text.mp3", b"not audio at all " * 200), ("nothing.mp3", b""), ("large.wav", bytes(1_200_000))):
        place.project.storage.put("background-music", name, data)
    place.project.storage.put("background-music", "short.wav", sound(0.05, "WAV"))
    place.project.storage.buckets["backups"] = Bucket("backups")
    place.project.storage.put("backups", "all.mp3", sound(2, "WAV"))
    for url, words in broken.items():
        place.enqueue(Case(f"music: {url}", {"backgroundMusic": {"url": url}}, layers=2, notes=(words,)))
    gone, tones, none = {"backgroundMusic": {"url": "gone.mp3"}}, {"solfeggio": {"hz": 528}}, {"voice": None}
    place.enqueue(Case("spoken", gone, provider="openai", layers=2, notes=("could not be found",)))
    place.enqueue(Case("tones only", {**gone, **none, **tones}, layers=1, notes=("could not be found",)))
    place.enqueue(Case("passing", faults=({**RAIN, "kind": "answer", "status": 503},)))
    with place.worker(MEDIA_MAX_MB="1") as worker:
        place.wait(worker, ended)
        left_out = [event for event in worker.events() if event["event"] == "music.left_out"]
    place.each(place.check_delivered)
    assert len(left_out) == len(broken) + 2
    assert all(event["level"] == "warning" for event in left_out)


MIME = refused(415, "invalid_mime_type", "mime type audio/mpeg is not supported")
LARGE_PREVIEW = refused(413, "Payload too large", "The object exceeded the maximum allowed size")
NO_PREVIEW: list[Case] = [
    Case("no bucket", faults=({**PREVIEW, **NO_BUCKET},)),
    Case("says nothing", faults=({**PREVIEW, "kind": "stall", "seconds": 6.0, "times": 3},)),
]
NO_PREVIEW_TOO = [
    Case("MIME", faults=({**PREVIEW, **MIME},)),
    Case("too large", faults=({**PREVIEW, **LARGE_PREVIEW},)),
    Case("544 for long", faults=({**PREVIEW, **LOST_DATABASE, "times": 3},)),
]


@pytest.mark.parametrize(
    "cases",
    [pytest.param(NO_PREVIEW, marks=pytest.mark.further), pytest.param(NO_PREVIEW_TOO, marks=pytest.mark.faults)],
)
def test_a_preview_that_cannot_be_stored_never_costs_the_job(place, cases):
    for case in cases:
        place.enqueue(replace(case, preview=False, notes=("no preview",)))
    place.enqueue(Case("drop", faults=({**PREVIEW, "kind": "drop"},)))
    before = "https://example.com/the-one-before.mp3"
    execute(place.dsn, "UPDATE tracks SET preview_url = %s", before)
    with place.worker(RENDER_THREADS="1", WORKER_CONCURRENCY="6") as worker:
        place.wait(worker, ended)
        failed = [event for event in worker.events() if event["event"] == "preview.failed"]
    assert len(failed) == len(cases)

    def check(job: Placed) -> None:
        if not job.case.preview:
            track = execute(place.dsn, "SELECT preview_url FROM tracks WHERE id = %s", job.track_id)[0]
            assert track["preview_url"] == before, "it is left as it was"
            execute(place.dsn, "UPDATE tracks SET preview_url = NULL WHERE id = %s", job.track_id)
        place.check_delivered(job)

    place.each(check)


@pytest.mark.parametrize(
    "public", [pytest.param(False, marks=pytest.mark.further), pytest.param(True, marks=pytest.mark.faults)]
)
def test_previews_for_pages_that_sign_their_path(place, public):
    place.project.storage.buckets["tracks-public"] = Bucket("tracks-public", public=public)
    job = place.enqueue(Case("path"))
    with place.worker(PREVIEW_BUCKET="tracks-public", PREVIEW_URL="path", PREVIEW_SECONDS="2") as worker:
        place.wait(worker, ended)
    result = row_of(place.dsn, job.job_id)["result"]
    assert result["preview_url"].startswith(f"{job.track_id}/{job.job_id}-")
    track = execute(place.dsn, "SELECT preview_url FROM tracks WHERE id = %s", job.track_id)[0]
    assert track["preview_url"] == result["previewUrl"] == result["preview_url"]
    samples, rate = soundfile.read(
        io.BytesIO(place.project.storage.objects["tracks-public", track["preview_url"]].data)
    )
    assert len(samples) / rate == pytest.approx(2, abs=0.1)


@pytest.mark.further
def test_a_private_bucket_gives_no_public_preview(place):
    place.project.storage.buckets["track-previews"].public = False
    place.enqueue(Case("private", preview=False, notes=("no preview",)))
    with place.worker() as worker:
        place.wait(worker, ended)
        (said,) = [event["message"] for event in worker.events() if event["event"] == "preview.failed"]
    place.each(place.check_delivered)
    assert "PREVIEW_URL=path" in said
