"""Whole orders, each with one fault on its way: real supabase-py, real SDKs, real processes, many orders a worker.

From a row in the queue: what passes is waited out and paid once; a configuration error parks the job with its
attempt not counted, and once corrected it goes through; what only the customer can change fails it at once, in plain
words.
"""

from __future__ import annotations

import io
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import soundfile
from audio_files import flac_of_silence, wav_bytes
from database import execute, row_of
from standins.queued_jobs import CUSTOMER, Case, Placed, ended, sound
from standins.speech import ELEVENLABS_VOICES, OPENAI_OWN_VOICE, Answer
from standins.storage_project import MB, Bucket
from standins.storage_refusals import Refused, locked_body, no_bucket, rendered
from tiers import further

from worker.ffmpeg.program import find_ffmpeg

LARGE = {"outputFormat": "wav", "durationMin": 0.7}  # over 6 MB, the most that goes up in one piece


# -- what passes

BUSY = {"detail": {"status": "too_many_concurrent_requests", "message": "slow down"}}
RATE = {"detail": {"status": "rate_limit_exceeded", "message": "slow down"}}  # a wait for a place is no attempt
PASSING_SPEECH = [
    ("stalled mid-stream", (Answer(kind="stall"),), 1),
    ("429", (Answer(429, BUSY, {"Retry-After": "1"}),), 1),
    ("429 for long", (Answer(429, RATE, {"Retry-After": "900"}),), 2),
    ("500", (Answer(500, b"<html>oops</html>"), Answer(503, {"error": {"message": "overloaded"}})), 1),
    ("no audio at all, twice", (Answer(kind="empty"),) * 2, 2),
]
PASSING_SPEECH_TOO = [
    *PASSING_SPEECH[:-1],
    ("no audio at all", (Answer(kind="empty"),), 1),
    ("a page", (Answer(kind="page"),), 1),
    ("line breaks", (Answer(kind="truncate"),), 1),
    ("slow", (Answer(kind="slow"),), 1),
    ("dripping", (Answer(kind="drip"),), 1),
    ("500s for long", (Answer(502, b""),) * 4, 2),
    ("silence", (Answer(kind="silence"),), 1),
    ("a page that calls itself audio", (Answer(kind="text"),), 1),
]


def spoken_cases() -> Iterator[Case]:
    for number, (name, answers, attempts) in enumerate(PASSING_SPEECH):
        provider = ("openai", "elevenlabs")[number % 2]
        yield Case(f"{provider}: {name}", provider=provider, speech=answers, attempts=attempts)


def all_spoken_cases() -> Iterator[Case]:
    for provider in ("openai", "elevenlabs"):
        for name, answers, attempts in PASSING_SPEECH_TOO:
            yield Case(f"{provider}: {name}", provider=provider, speech=answers, attempts=attempts)
    yield Case("openai: half a file as if whole", provider="openai", speech=(Answer(kind="cut"),) * 2, attempts=2)


@pytest.mark.parametrize(
    "cases",
    [
        *further([spoken_cases]),
        pytest.param(all_spoken_cases, marks=pytest.mark.faults),
    ],
)
def test_a_voice_that_fails_now_and_then_costs_time_but_nothing_twice(place, cases):
    for case in cases():
        place.enqueue(case)
    with place.worker() as worker:
        place.wait(worker, ended)

    def check(job: Placed) -> None:
        assert not place.speech.answers_for[job.pieces[1]], "the fault never happened"
        place.check_delivered(job)
        assert len(job.waits_s) == job.case.attempts - 1
        if job.case.name.endswith("429 for long"):
            assert job.waits_s[0] == pytest.approx(900, abs=5), "the queue must wait as long as it was asked to"
        cache = row_of(place.dsn, job.job_id)["result"]["quality"]["speech_cache"]
        assert cache == ({"hits": 0, "misses": 2} if job.case.attempts == 1 else {"hits": 1, "misses": 1})

    place.each(check)


# -- storage on a bad day


def refused(status: int, code: str, message: str) -> dict[str, Any]:
    """Storage's own form of a failure."""
    body = rendered(Refused(status, code, code, message))
    return {"kind": "answer", "status": 400, "body": body, "headers": {"Content-Type": "application/json"}}


LOST_DATABASE = refused(544, "DatabaseTimeout", "The connection to the database timed out")
LOCKED = {"kind": "answer", "status": 400, "body": locked_body()}
TRACK = {"method": "POST", "path": "audio-renders/tracks/{track}"}
PREVIEW = {"method": "POST", "path": "track-previews/{track}"}
PIECE = {"method": "PATCH", "path": "audio-renders/tracks/{track}"}
OFFSET = {"method": "HEAD", "path": "audio-renders/tracks/{track}"}

RAIN = {"method": "GET", "path": "background-music/rain.flac"}
RECORDING = {"method": "GET", "path": f"voice-uploads/{CUSTOMER}/me.wav"}
BROKEN = {"kind": "drop within", "after_bytes": MB}

PASSING_STORAGE = [
    Case("544", faults=({**TRACK, **LOST_DATABASE},)),
    Case("line breaks after it was stored", faults=({**TRACK, "kind": "drop after"},)),
    Case("large: breaks in a piece", LARGE, faults=({**PIECE, **BROKEN},)),
    Case(
        "large: the last answer is lost",
        LARGE,
        faults=({**PIECE, "kind": "meanwhile"}, {**PIECE, "kind": "drop after"}),
    ),
    Case("music: 544", faults=({**RAIN, **LOST_DATABASE},)),
    Case("music: a film, its sound is taken", {"backgroundMusic": {"url": "film.mp4"}}),
]
PASSING_STORAGE_TOO = [
    Case("line breaks within the file", faults=({**TRACK, "kind": "drop within", "after_bytes": 65536},)),
    Case("423", faults=({**TRACK, **LOCKED},)),
    Case("a gateway's page", faults=({**TRACK, "kind": "answer", "status": 502, "body": b"<html>Bad Gateway</html>"},)),
    Case("429", faults=({**TRACK, "kind": "answer", "status": 429, "headers": {"Retry-After": "1"}},)),
    Case("line breaks before the answer", faults=({**TRACK, "kind": "drop"},)),
    Case("says nothing", faults=({**TRACK, "kind": "stall", "seconds": 12.0},)),
    Case(
        "preview: 544, then its answer is lost",
        faults=({**PREVIEW, **LOST_DATABASE}, {**PREVIEW, "kind": "drop after"}),
    ),
    Case("large: 544 and 423", LARGE, faults=tuple({**PIECE, "kind": "answer", "status": n} for n in (544, 423))),
    Case("large: forgotten", LARGE, faults=({**PIECE, **BROKEN}, {**OFFSET, "kind": "answer", "status": 404})),
    Case("large: the first answer is lost", LARGE, faults=({**TRACK, "kind": "drop after"},)),
    Case("large: says nothing", LARGE, faults=({**PIECE, "kind": "stall", "seconds": 12.0},)),
    Case("music: breaks off", faults=({**RAIN, "kind": "truncate", "after_bytes": 1000},)),
    Case("voice: says nothing", faults=({**RECORDING, "kind": "stall", "seconds": 12.0},)),
    Case("voice: 503", faults=({**RECORDING, "kind": "answer", "status": 503},)),
    Case("544 for long", faults=({**TRACK, **LOST_DATABASE, "times": 6},), attempts=2),
    Case("large: 544 for long", LARGE, faults=({**PIECE, **LOST_DATABASE, "times": 6},), attempts=2),
]


@pytest.mark.parametrize(
    "cases",
    [
        *further([PASSING_STORAGE]),
        pytest.param(PASSING_STORAGE_TOO, marks=pytest.mark.faults),
    ],
)
def test_storage_that_fails_now_and_then_costs_time_only(place, cases):
    sound_of_film = film(place.folder, "-f", "lavfi", "-i", "anoisesrc=d=3:a=0.1")
    place.project.storage.put("background-music", "film.mp4", sound_of_film, "video/mp4")
    for case in cases:
        place.enqueue(case)
    with place.worker() as worker:
        place.wait(worker, ended)
    storage = place.project.storage

    def check(job: Placed) -> None:
        assert [fault.kind for fault in job.faults if fault.times] == [], "the fault never happened"
        place.check_delivered(job)
        begun = sum(job.track_id in key for key in storage.begun)
        if job.case.name == "large: breaks in a piece":
            assert begun == 1, "it must go on where it was"
        elif job.case.name == "large: forgotten":
            assert begun == 2

    place.each(check)
    assert set(storage.upserts) == {"false"}
    for (bucket, key), stored in storage.objects.items():
        if bucket in ("audio-renders", "track-previews"):
            assert stored.content_type == ("audio/wav" if key.endswith("wav") else "audio/mpeg")
            assert stored.cache_control == "max-age=31536000"


# -- configuration errors

QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}
NO_CREDIT = {"detail": {"status": "quota_exceeded", "message": "This request exceeds your quota."}}
NO_SUCH_MODEL = {"error": {"message": "The model does not exist", "code": "model_not_found"}}
NO_BUCKET = {"kind": "answer", "status": 400, "body": rendered(no_bucket()), "times": 50}
NO_BUCKET_TUS = {"kind": "answer", "status": 404, "body": b"Bucket not found", "times": 50}
NO_ENTRY = {**refused(403, "AccessDenied", "Invalid Compact JWS"), "times": 50}
ALWAYS = 10


def refusing(provider: str, status: int, body: dict[str, Any], says: str) -> Case:
    return Case(f"{provider}: {status}", provider=provider, speech=(Answer(status, body),) * ALWAYS, says=says)


TO_MEND = [
    refusing("openai", 429, QUOTA, "OPENAI_API_KEY has no credit"),
    refusing("elevenlabs", 401, NO_CREDIT, "ELEVENLABS_API_KEY has no credit"),
    Case("bucket missing", faults=({**TRACK, **NO_BUCKET},), says="no bucket 'audio-renders'"),
    Case("MIME type refused", {"outputFormat": "flac"}, says="does not take audio/flac"),
]
TO_MEND_TOO = [
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


@pytest.mark.parametrize("cases", [TO_MEND, pytest.param(TO_MEND_TOO, marks=pytest.mark.faults)])
def test_a_configuration_error_parks_the_job_until_it_is_mended(place, cases):
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


# -- what only the customer can change

REFUSED_TEXT = Answer(400, {"error": {"message": "Your request was rejected by the safety system"}})
UNPROCESSABLE = Answer(
    422, {"detail": [{"loc": ["body", "text"], "msg": "text must not be so", "type": "value_error"}]}
)
NO_VOICE = Answer(404, {"detail": {"status": "voice_not_found", "message": "A voice with this ID was not found."}})
OPENAI_NO_VOICE = Answer(400, {"error": {"message": "Invalid voice: 'nobody'", "param": "voice"}})

HOSTILE_URLS = [
    *("http://localhost/x.mp3", "https://localhost/x.mp3", "https://user:pass@localhost/x.mp3"),
    *("https://localhost:8443/x.mp3", "https://169.254.169.254/latest/meta-data", "https://[::1]/x.mp3"),
    *("https://127.1/x.mp3", "//localhost/x.mp3", "file:///etc/passwd", "ftp://localhost/x.mp3"),
    *("concat:/etc/passwd|x.mp3", "data:audio/wav;base64,UklGRg==", "../secret.wav", "a/../../secret.wav"),
    *(
        "https://elsewhere.example/x.mp3",
        "x.mp3\\..\\y",
        "gopher://localhost:5432/_x",
        "subfile,,start,0,end,9,,:x.mp3",
    ),
    "{project}/storage/v1/object/authenticated/audio-renders/tracks/another/customers.mp3",
    "{project}/storage/v1/object/sign/audio-renders/tracks/another/customers.mp3?token=x",
    "{project}/rest/v1/tracks?select=*",
    "{project}/storage/v1/object/public/background-music/%2e%2e/voice-uploads/me.wav",
]


def film(folder: Path, *sound: str) -> bytes:
    """An MP4 with a picture, and with a sound if one is given."""
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:d=2", "-c:v", "mpeg4")
    file = folder / "film.mp4"
    command = [find_ffmpeg().path, "-v", "error", "-nostdin", "-y", *sound, *picture, str(file)]
    subprocess.run(command, check=True, timeout=60)
    return file.read_bytes()


def hostile_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files that are not what they say, and what each is refused as."""
    secret = folder / "secret.wav"
    secret.write_bytes(sound(2, "WAV"))
    whole = sound(4, "FLAC")
    return {
        "hls.m3u8": (f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n".encode(), "media.invalid"),
        "hls.mp3": (f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:5,\n{secret}\n".encode(), "media.invalid"),
        "concat.mp3": (f"ffconcat version 1.0\nfile '{secret}'\n".encode(), "media.invalid"),
        "liar.wav": (wav_bytes(data_size=1 << 24), "media.truncated"),
        "rate.wav": (wav_bytes(rate=1), "media.invalid"),
        "channels.wav": (wav_bytes(10, channels=4000, align=2), "media.damaged"),
        "bomb.flac": (flac_of_silence(12_000), "media.too_long"),
        "film.mp4": (film(folder), "media.empty"),
        "nothing.mp3": (b"", "media.empty"),
        "text.mp3": (b"Dear customer service, my voice is attached to this mail.\n" * 200, "media.invalid"),
        "half.flac": (whole[: len(whole) // 2], "media.truncated"),
        "large.wav": (bytes(1_200_000), "media.too_large"),
    }


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_what_only_the_customer_can_change_fails_at_once_in_plain_words(place, every):
    refusals = [
        ("openai", REFUSED_TEXT, "voice.refused"),
        ("elevenlabs", UNPROCESSABLE, "voice.refused"),
        ("openai", OPENAI_NO_VOICE, "voice.unknown"),
        ("elevenlabs", REFUSED_TEXT, "voice.refused"),
        ("openai", UNPROCESSABLE, "voice.refused"),
        ("elevenlabs", NO_VOICE, "voice.unknown"),
    ]
    for provider, answer, code in refusals if every else refusals[:3]:
        # a voice that the job does not name is no choice of the customer's
        chosen = {"voice": {"id": OPENAI_OWN_VOICE if provider == "openai" else ELEVENLABS_VOICES[1]}}
        place.enqueue(
            Case(f"{provider}: {answer.body}", chosen, provider=provider, speech=(answer,) * ALWAYS, says=code)
        )
    gone = {"backgroundMusic": {"url": "gone.mp3"}}
    unpaid = place.enqueue(Case("music missing", gone, provider="openai", says="media.missing"))
    place.enqueue(
        Case("voice missing", {"voice": {"provider": "uploaded", "url": f"{CUSTOMER}/gone.wav"}}, says="media.missing")
    )
    place.enqueue(Case("no recording", {"voice": {"provider": "uploaded"}}, says="job.invalid"))
    references = [(url, "media.refused") for url in HOSTILE_URLS]
    for name, (data, code) in hostile_files(place.folder).items():
        place.project.storage.put("background-music", name, data)
        place.project.storage.put("voice-uploads", f"{CUSTOMER}/{name}", data)
        references.append((name, code))
    for number, (reference, code) in enumerate(references if every else references[::3]):
        if every or number % 2:
            place.enqueue(Case(f"music: {reference}", {"backgroundMusic": {"url": reference}}, says=code))
        if every or not number % 2:
            own = reference if code == "media.refused" else f"{CUSTOMER}/{reference}"
            voice = {"voice": {"provider": "uploaded", "url": own}}
            place.enqueue(Case(f"voice: {reference}", voice, says=code))
    place.project.storage.put("audio-renders", "tracks/another/customers.mp3", sound(2, "WAV"))
    settings = {"MEDIA_HOSTS": "localhost", "MEDIA_MAX_MB": "1", "MAX_DURATION_MIN": "2", "ON_MISSING_MUSIC": "fail"}
    with place.worker(**settings) as worker:
        place.wait(worker, ended)

    def check(job: Placed) -> None:
        row = row_of(place.dsn, job.job_id)
        assert (row["status"], row["attempt"], row["error_code"]) == ("failed", 1, job.case.says), row["error"]
        place.check_unpublished(job)
        assert 20 < len(row["error"]) < 160
        odd = re.findall(
            r"[0-9a-f]{16}|https?:|/|\\|\[|localhost|secret|Error|Traceback|demuxer|SUPABASE", row["error"]
        )
        assert not odd, row["error"]
        assert place.asked_to_go_on(job) == (bool(job.case.provider) and job is not unpaid)

    place.each(check)
    assert not [request for request in place.speech.requests if unpaid.word in str(request["body"])], "paid for nothing"


# -- what a job goes without

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


# -- the job is not ours any more

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
