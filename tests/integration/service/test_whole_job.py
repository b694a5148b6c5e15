"""A job from a row in the queue to a track in its owner's library: the real supabase-py, real processes."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from database import Variant, execute, row_of
from processes import drain
from standins.http_server import serve
from standins.mail import RESEND_KEY, Resend
from standins.queued_jobs import CUSTOMER, customer, sound
from standins.speech import speech_service
from standins.storage_project import Bucket, Object
from standins.supabase import Project, supabase_standin

RATE = 44_100
JOB = {
    "voice": {"provider": "uploaded", "url": f"{CUSTOMER}/me.wav"},
    "durationMin": 0.3,
    "pauseSec": 1,
    "backgroundMusic": {"url": "rain.flac"},
    "solfeggio": {"enabled": True, "hz": 528},
    "binaural": {"enabled": True, "band": "theta"},
}


@contextmanager
def project_of(dsn: str) -> Iterator[Project]:
    with supabase_standin(dsn) as project:
        project.storage.put("background-music", "rain.flac", sound(6, "FLAC"), "audio/flac")
        project.storage.put("voice-uploads", f"{CUSTOMER}/me.wav", sound(2, "WAV"), "audio/wav")
        yield project


@pytest.fixture
def project(leased_dsn):
    with project_of(leased_dsn) as project:
        yield project


def objects(project: Project, bucket: str) -> dict[str, Object]:
    """What is in a bucket, by key."""
    return {key: stored for (name, key), stored in project.storage.objects.items() if name == bucket}


def ordered(dsn: str, payload: dict[str, object], url: str, column: str = "payload") -> tuple[str, str]:
    """A row in `tracks` and one in the queue, as the payment webhook makes them."""
    track_id, user_id = str(uuid.uuid4()), customer(dsn)
    execute(dsn, "INSERT INTO tracks (id, user_id) VALUES (%s, %s)", track_id, user_id)
    voice = {"provider": "uploaded", "url": f"{url}/storage/v1/object/sign/voice-uploads/{CUSTOMER}/me.wav?token=old"}
    text = json.dumps({**payload, "voice": voice})
    rows = execute(
        dsn,
        f"INSERT INTO audio_job_queue (track_id, user_id, status, {column}) "
        "VALUES (%s, %s, 'pending', %s) RETURNING id",
        track_id,
        user_id,
        text,
    )
    return str(rows[0]["id"]), track_id


def drained(project: Project, folder: Path, *, status: int = 0, **env: str) -> list[dict[str, object]]:
    """Run the worker until the queue is empty; what it logged."""
    done = drain(folder, **{"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.key, **env})
    assert done.returncode == status, done.stdout + done.stderr
    assert project.key not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_delivered(project: Project, dsn: str, job_id: str, track_id: str) -> None:
    """The file, the preview, the track row and the result, each as the app reads them."""
    row = row_of(dsn, job_id)
    assert row["status"] == "completed", row
    assert row["progress"] == 100
    result = row["result"]
    assert result["url"] == result["audioUrl"] == result["storagePath"]
    assert result["url"].startswith(f"audio-renders/tracks/{track_id}/{job_id}-")
    assert result["preview_url"] == result["previewUrl"]
    assert result["preview_url"].startswith(f"{project.url}/storage/v1/object/public/track-previews/{track_id}/")
    assert result["duration"] == 18
    assert result["durationMs"] == 18_000
    assert result["format"] == "mp3"
    assert result["layers"] == 4
    reached = any(note.startswith("loudness: reached") for note in result["notes"])
    assert result["quality"]["integrated_lufs"] == pytest.approx(-16, abs=0.1) or reached
    assert result["quality"]["true_peak_dbtp"] <= -1.0
    track = execute(dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]
    assert track["audio_url"] == result["url"]
    assert track["preview_url"] == result["preview_url"]
    assert track["duration_seconds"] == 18
    assert track["status"] == "published"
    renders, previews = objects(project, "audio-renders"), objects(project, "track-previews")
    assert len(renders) == len(previews) == 1
    (key, stored), (_, preview) = next(iter(renders.items())), next(iter(previews.items()))
    assert f"audio-renders/{key}" == result["url"]
    assert len(stored.data) == result["size"]
    for data, seconds in ((stored.data, 18), (preview.data, 15)):
        samples, rate = soundfile.read(io.BytesIO(data))
        assert len(samples) / rate == pytest.approx(seconds, abs=0.1)  # libsndfile leaves the padding in
        assert np.abs(samples).max() > 0.05


def test_a_job_becomes_a_track_in_its_owners_library(project, leased_dsn, tmp_path):
    job_id, track_id = ordered(leased_dsn, JOB, project.url)
    events = drained(project, tmp_path)
    check_delivered(project, leased_dsn, job_id, track_id)
    (summary,) = [event for event in events if event["event"] == "job"]
    assert summary["job"] == job_id
    assert summary["outcome"] == "completed"
    assert set(summary["stages"]) >= {"speak", "fetch", "measure", "deliver", "preview"}
    assert not list(tmp_path.glob("mindscript-job-*"))


@pytest.mark.further
def test_what_a_job_has_beside_its_track_is_stored_and_named(project, leased_dsn, tmp_path):
    beside = {"deliver": ["headphones", "stems", "flac"], "peaks": True}
    project.storage.buckets["audio-renders"].allowed_mime_types += ["audio/flac", "application/json"]
    job_id, _ = ordered(leased_dsn, {**JOB, **beside}, project.url)
    drained(project, tmp_path)
    result = row_of(leased_dsn, job_id)["result"]
    renders = objects(project, "audio-renders")
    assert set(result["stems"]) == set(result["quality"]["layers"])
    assert set(result["formats"]) == {"flac"}
    named = [result["url"], result["peaks"], result["stemList"], *result["formats"].values(), *result["stems"].values()]
    assert sorted(named) == sorted(f"audio-renders/{key}" for key in renders)
    stems = [soundfile.info(io.BytesIO(renders[path.partition("/")[2]].data)) for path in result["stems"].values()]
    assert {(stem.frames, stem.subtype) for stem in stems} == {(18 * 44_100, "PCM_24")}
    assert json.loads(renders[result["peaks"].partition("/")[2]].data)["version"] == 2


ALBUM = {
    "durationMin": 0.15,
    "pauseSec": 1,
    "startDelaySec": 1,
    "gapSec": 2,
    "metadata": {"album": "Evenings"},
    "tracks": [
        {"metadata": {"title": "Rain"}, "backgroundMusic": {"url": "rain.flac"}},
        {"metadata": {"title": "Tone"}, "solfeggio": {"hz": 528}, "durationMin": 0.2},
    ],
}


def test_an_album_is_one_job_whose_whole_is_the_track(project, leased_dsn, tmp_path):
    job_id, track_id = ordered(leased_dsn, ALBUM, project.url)
    (summary,) = [event for event in drained(project, tmp_path) if event["event"] == "job"]
    assert summary["outcome"] == "completed"
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["progress"]) == ("completed", 100)
    result, seconds = row["result"], 9 + 2 + 12
    assert (result["duration"], result["durationMs"], result["layers"]) == (seconds, 1000 * seconds, 2)
    track = execute(leased_dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]
    assert (track["audio_url"], track["duration_seconds"], track["status"]) == (result["url"], seconds, "published")
    assert track["preview_url"] == result["preview_url"]
    renders = objects(project, "audio-renders")
    assert [(each["title"], each["start_s"], each["duration_s"]) for each in result["tracks"]] == [
        ("Rain", 0.0, 9.0),
        ("Tone", 11.0, 12.0),
    ]
    named = [result["url"], *(each["url"] for each in result["tracks"])]
    assert sorted(named) == sorted(f"audio-renders/{key}" for key in renders)
    for path, long_s in zip(named, (seconds, 9, 12), strict=True):
        samples, rate = soundfile.read(io.BytesIO(renders[path.partition("/")[2]].data))
        assert len(samples) / rate == pytest.approx(long_s, abs=0.1)
    assert len(objects(project, "track-previews")) == 1


def test_an_album_cancelled_between_its_uploads_leaves_nothing(project, leased_dsn, tmp_path):
    job_id, track_id = ordered(leased_dsn, ALBUM, project.url)
    stored_before: list[int] = []

    def cancel() -> None:
        stored_before.append(len(objects(project, "audio-renders")))
        execute(leased_dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job_id)

    whole_or_track = {"method": "POST", "path": "audio-renders", "kind": "meanwhile"}
    project.storage.fault(**whole_or_track, event=lambda: None)
    project.storage.fault(**whole_or_track, event=cancel)
    events = drained(project, tmp_path)
    assert stored_before in ([1], [2]), "cancelled before or behind the second file"
    assert [event["outcome"] for event in events if event["event"] == "job"] == ["cancelled"]
    assert row_of(leased_dsn, job_id)["result"] is None
    track = execute(leased_dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]
    assert (track["audio_url"], track["status"] == "published") == (None, False)
    assert objects(project, "audio-renders") == objects(project, "track-previews") == {}


def test_an_album_that_cannot_be_made_whole_leaves_nothing(project, leased_dsn, tmp_path):
    gone = {"backgroundMusic": {"url": "gone.flac"}}
    job_id, _ = ordered(leased_dsn, {**ALBUM, "tracks": [ALBUM["tracks"][1], gone]}, project.url)
    drained(project, tmp_path, ON_MISSING_MUSIC="fail", status=1)
    assert row_of(leased_dsn, job_id)["status"] == "failed"
    refused, _ = ordered(leased_dsn, {**ALBUM, "tracks": [{"durationMin": 0}]}, project.url)
    drained(project, tmp_path, status=1)
    assert "tracks[0].durationMin" in row_of(leased_dsn, refused)["error"]
    assert objects(project, "audio-renders") == objects(project, "track-previews") == {}


@pytest.mark.parametrize(
    "variant",
    [
        Variant("completing", "production", "job_data", "enum"),
        *(pytest.param(variant, marks=pytest.mark.faults) for variant in (Variant(), Variant("lacking", "production"))),
    ],
    ids=str,
)
def test_the_database_as_it_is_in_production_will_do(databases, tmp_path, variant):
    """Plain mode: no migration, the web app's own functions in either dialect; and Storage fails now and then."""
    dsn = databases.new(variant)
    with project_of(dsn) as project:
        job_id, track_id = ordered(dsn, JOB, project.url, variant.column)
        faults = [
            project.storage.fault("POST", "audio-renders", "drop after"),
            project.storage.fault("POST", "track-previews", "answer", status=544, body=b"{}"),
        ]
        events = drained(project, tmp_path)
        assert not any(fault.times for fault in faults), "the fault never happened"
        assert next(event for event in events if event["event"] == "started")["mode"] == "plain"
        check_delivered(project, dsn, job_id, track_id)
    databases.release(dsn)


def test_a_job_that_was_cancelled_is_not_rendered(project, leased_dsn, tmp_path):
    job_id, _ = ordered(leased_dsn, JOB, project.url)
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", job_id)
    drained(project, tmp_path)
    assert row_of(leased_dsn, job_id)["status"] == "cancelled"
    assert not objects(project, "audio-renders")


def test_speech_is_paid_once_even_by_another_dyno(project, leased_dsn, tmp_path):
    """Two workers without a common disk: what one has had spoken, the other finds in the bucket."""
    project.storage.buckets["speech"] = Bucket("speech")
    job = {"script": "I am calm. [pause 1s] I am safe.", "voice": {"provider": "openai"}, "durationMin": 0.3}
    with speech_service() as openai:
        for number, gain in enumerate((-1, -6)):
            job_id, _ = ordered(leased_dsn, {**job, "gains": {"voiceDb": gain}, "solfeggio": {"hz": 528}}, project.url)
            execute(leased_dsn, "UPDATE audio_job_queue SET payload = payload || %s WHERE id = %s",
                    json.dumps({"voice": {"provider": "openai"}}), job_id)  # fmt: skip
            drained(
                project,
                tmp_path,
                CACHE_DIR=str(tmp_path / f"dyno-{number}"),
                TTS_CACHE_BUCKET="speech",
                OPENAI_API_KEY="sk-secret-key",
                OPENAI_BASE_URL=f"{openai.url}/v1",
            )
            row = row_of(leased_dsn, job_id)
            assert row["status"] == "completed", row
            cache = row["result"]["quality"]["speech_cache"]
            assert cache == ({"hits": 0, "misses": 2} if number == 0 else {"hits": 2, "misses": 0})
        assert len(openai.requests) == 2
    assert len(objects(project, "speech")) == 2


@pytest.mark.further
def test_a_customer_over_the_daily_characters_is_refused_unpaid(project, leased_dsn, tmp_path):
    """Counted is what is sent: no markup, nothing that the cache has."""
    with speech_service() as openai:
        ids = []
        for script in ("**I am calm.** [pause 3s] &amp;", "I am calm.", "I am safe and well."):
            job_id, _ = ordered(leased_dsn, {"script": script, "durationMin": 0.2}, project.url)
            voice = json.dumps({"voice": {"provider": "openai"}})
            execute(leased_dsn, "UPDATE audio_job_queue SET payload = payload || %s WHERE id = %s", voice, job_id)
            ids.append(job_id)
        drained(
            project,
            tmp_path,
            status=1,  # one job fails
            MAX_CHARACTERS_PER_DAY="25",
            OPENAI_API_KEY="sk-secret-key",
            OPENAI_BASE_URL=f"{openai.url}/v1",
        )
        assert [request["body"]["input"] for request in openai.requests] == ["I am calm."]
    done, cached, refused = (row_of(leased_dsn, job_id) for job_id in ids)
    assert (done["status"], done["spoken_characters"]) == ("completed", len("I am calm."))
    assert (cached["status"], cached["spoken_characters"]) == ("completed", 0)
    assert (refused["status"], refused["error_code"]) == ("failed", "job.characters")
    assert "tomorrow" in refused["error"]


@pytest.mark.further
def test_the_owner_and_the_operators_get_each_email_once(project, leased_dsn, tmp_path):
    resend = Resend(lose_answers=1)
    project.auth.users[CUSTOMER] = "ada@example.com"
    good, _ = ordered(leased_dsn, {**JOB, "metadata": {"title": "Evening calm"}}, project.url)
    poor, _ = ordered(leased_dsn, {**JOB, "backgroundMusic": {"url": "gone.mp3"}}, project.url)
    bad, _ = ordered(leased_dsn, {**JOB, "durationMin": -1}, project.url)
    with serve({"/resend": resend}) as url:
        events = drained(
            project,
            tmp_path,
            status=1,  # one job fails
            RESEND_API_KEY=RESEND_KEY,
            RESEND_FROM="MindScript <tracks@example.com>",
            RESEND_API_URL=f"{url}/resend",
            OPS_EMAIL="ops@example.com",
        )
    emails = {email["key"]: email for email in resend.sent}
    assert emails.keys() == {
        f"track-ready/{good}",
        f"track-ready/{poor}",
        f"job-without-music/{poor}",
        f"job-failed/{bad}",
    }
    assert resend.asked == 5  # one answer was lost
    ready, failed = emails[f"track-ready/{good}"], emails[f"job-failed/{bad}"]
    assert ready["to"] == ["ada@example.com"]
    assert "Evening calm" in ready["text"]
    assert "Evening calm" in ready["html"]
    assert failed["to"] == ["ops@example.com"]
    assert "job.invalid" in failed["text"]
    without = emails[f"job-without-music/{poor}"]
    assert without["to"] == ["ops@example.com"]
    assert "background-music/<text of 8 characters> does not exist" in without["text"]
    assert not any("gone.mp3" in text for text in (without["text"], without["html"], json.dumps(events)))
    assert not [event for event in events if "ada@example.com" in json.dumps(event)]
