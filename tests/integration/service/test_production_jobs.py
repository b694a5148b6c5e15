"""Whole jobs of every writer, on the app's database as it is, by a real worker: delivered, published, notified.

A few combinations of variant, mode, transport and server have each pair of them, each with every third writer. The
default run has three of them, which have each value once, and every writer; `make test-further` has the others.
`make production` runs all of them, with all writers, at the lengths customers ask for.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import soundfile
from database import Databases, Variant, execute, versions_here
from mutagen.id3 import ID3
from pairs import all_pairs, each_value
from PIL import Image
from processes import drain
from psycopg.types.json import Jsonb
from standins.keys import SECRET_KEY, SERVICE_JWT
from standins.queued_jobs import sound
from standins.speech import Service, speech_service
from standins.storage_project import Bucket
from standins.supabase import Project, supabase_standin
from standins.writers import CATALOGUE_ID, MUSIC, queue, track_row
from tiers import further

from worker.render import stages

DIMENSIONS: dict[str, list[Any]] = {
    "complete": ["plain", "lacking", "completing"],
    "leased": [False, True],
    "transport": ["postgres", "supabase"],
    "version": versions_here(),
}
SOME = all_pairs(DIMENSIONS)
FEW = each_value(SOME)
ALL = [dict(zip(DIMENSIONS, values, strict=True)) for values in product(*DIMENSIONS.values())]
USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "customer"))
SHORT_MIN = 0.2
CHARACTERS_A_MIN = 2000  # the stand-in speaks 900
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8d"
    "b00000000049454e44ae426082"
)
# What each writer's job needs to be told of; the others need nothing.
NOTED = {
    "checkout, premium voice": "tts-1",
    "checkout, cloned voice, slow": "tts-1",
    "checkout, music that is gone": "music",
    "checkout, a script longer than its track": "sentence",
    "edit, music by slug": "begin",
    "render again": "track",
}


def drawn(picture: bytes) -> tuple[str | None, bytes]:
    """A picture's format and its pixels."""
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.format, opened.convert("RGB").tobytes()


def named(chosen: dict[str, Any]) -> str:
    return "-".join(map(str, {**chosen, "leased": "leased" if chosen["leased"] else "plain"}.values()))


@pytest.fixture
def server_version(request: pytest.FixtureRequest) -> int:
    return int(request.node.callspec.params["chosen"]["version"])


@pytest.fixture
def dsn(databases: Databases, chosen: dict[str, Any]) -> Iterator[str]:
    # dialect, column and type of status go with the version: both of each stand in either run
    new = chosen["version"] == max(versions_here())
    dsn = databases.new(
        Variant(
            chosen["complete"],
            "production" if new else "guide",
            "payload" if chosen["leased"] == new else "job_data",
            "enum" if new else "text",
            leased=chosen["leased"],
        )
    )
    yield dsn
    databases.release(dsn)


@pytest.fixture
def project(dsn: str) -> Iterator[Project]:
    with supabase_standin(dsn) as project:
        project.storage.buckets["voice-uploads"] = Bucket("voice-uploads")
        project.storage.buckets["covers"] = Bucket("covers", public=True)
        project.storage.put("background-music", MUSIC, sound(20, "FLAC"), "audio/flac")
        project.storage.put("voice-uploads", f"{USER}/me.wav", sound(3, "WAV"), "audio/wav")
        project.storage.put("covers", "evening.png", PNG, "image/png")
        execute(dsn, "INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (%s, 'a@b.c', now())", USER)
        execute(
            dsn,
            "INSERT INTO background_tracks (id, slug, title, url) VALUES (%s, 'quiet-water', 'Quiet Water', %s)",
            CATALOGUE_ID,
            MUSIC,
        )
        yield project


@pytest.fixture
def speech() -> Iterator[Service]:
    with speech_service() as service:
        yield service


def shortened(payload: dict[str, Any], longest_min: float) -> dict[str, Any]:
    """The same job in little: its track at most so long, its script little longer than such a track."""
    given = dict(payload)
    if given.get("durationMin"):
        given["durationMin"] = min(given["durationMin"], longest_min)
    if given.get("script"):
        given["script"] = given["script"][: round(longest_min * CHARACTERS_A_MIN)]
    return given


def place(dsn: str, column: str, project: Project, payload: dict[str, Any], longest_min: float) -> tuple[str, str]:
    """A row in `tracks` and one in the queue; the ids of both."""
    track = track_row(project.url)
    track["output_config"] = shortened(track["output_config"], longest_min)
    row = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in track.items()}
    names = ", ".join(row)
    slots = ", ".join(["%s"] * len(row))
    insert = f"INSERT INTO tracks (user_id, status, {names}) VALUES (%s, 'draft', {slots}) RETURNING id"
    track_id = str(execute(dsn, insert, USER, *row.values())[0]["id"])
    insert = f"INSERT INTO audio_job_queue (track_id, user_id, {column}) VALUES (%s, %s, %s) RETURNING id"
    return str(execute(dsn, insert, track_id, USER, Jsonb(payload))[0]["id"]), track_id


def drained(dsn: str, chosen: dict[str, Any], project: Project, speech: Service, folder: Path) -> list[dict[str, Any]]:
    """Run a worker until the queue is empty; what it logged."""
    key = SECRET_KEY if chosen["leased"] else SERVICE_JWT
    directly = {"DATABASE_URL": dsn} if chosen["transport"] == "postgres" else {}
    ended = drain(
        folder,
        timeout_s=570,
        CACHE_DIR=str(folder / "cache"),
        SUPABASE_URL=project.url,
        SUPABASE_SERVICE_ROLE_KEY=key,
        OPENAI_API_KEY="sk-secret",
        OPENAI_BASE_URL=f"{speech.url}/v1",
        ELEVENLABS_API_KEY="el-secret",
        ELEVENLABS_BASE_URL=speech.url,
        MAX_JOBS_PER_CYCLE="100",
        WORKER_CONCURRENCY="2",
        **directly,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr  # one job is bad
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _check(
    dsn: str,
    chosen: dict[str, Any],
    project: Project,
    speech: Service,
    folder: Path,
    longest_min: float,
    first: int = 0,
    step: int = 1,
) -> None:
    column = execute(
        dsn,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'audio_job_queue'::regclass"
        " AND attname IN ('payload', 'job_data')",
    )[0]["attname"]
    execute(
        dsn,
        "CREATE TABLE stages (job uuid, stage text, at timestamptz DEFAULT clock_timestamp());"
        "CREATE FUNCTION keep_stage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.stage IS DISTINCT FROM OLD.stage AND NEW.stage IS NOT NULL THEN"
        "  INSERT INTO public.stages (job, stage) VALUES (NEW.id, NEW.stage); END IF; RETURN NULL; END $$;"
        "CREATE TRIGGER keep_stage AFTER UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION keep_stage()",
    )
    placed: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for writer, payload in list(queue(project.url, USER).items())[first::step]:
        payload = shortened(payload, longest_min)
        placed[writer] = (*place(dsn, column, project, payload, longest_min), payload)
    bad, bad_track = place(dsn, column, project, {"script": "x", "durationMin": 9999}, longest_min)
    events = drained(dsn, chosen, project, speech, folder)

    started = next(event for event in events if event["event"] == "started")
    assert (started["mode"], started["transport"]) == ("leased" if chosen["leased"] else "plain", chosen["transport"])
    rows = {str(row["id"]): row for row in execute(dsn, "SELECT * FROM audio_job_queue")}
    problems = {writer: rows[job]["error"] or rows[job] for writer, (job, _, _) in placed.items()
                if rows[job]["status"] != "completed"}  # fmt: skip
    assert problems == {}
    for writer, (job, track_id, payload) in placed.items():
        row = rows[job]
        result = row["result"]
        track = execute(dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]
        assert (row["progress"], row["stage"]) == (100, "Complete"), writer
        assert (track["status"], track["audio_url"]) == ("published", result["url"]), writer
        assert result["audioUrl"] == result["audio_url"] == result["url"], writer
        assert result["preview_url"] == result["previewUrl"] == track["preview_url"], writer
        assert result["duration_seconds"] == result["duration"] == track["duration_seconds"], writer
        assert result["file_size_bytes"] == result["size"], writer
        assert "superseded" not in result, writer
        said = " ".join(result["notes"])
        assert NOTED.get(writer, "") in said, (writer, said)
        bucket, _, key = result["url"].partition("/")
        stored = project.storage.objects[bucket, key].data
        assert len(stored) == result["size"], writer
        if payload.get("durationMin"):
            assert result["durationMs"] == round(payload["durationMin"] * 60_000), writer
            samples, rate = soundfile.read(io.BytesIO(stored))
            assert len(samples) / rate == pytest.approx(payload["durationMin"] * 60, abs=0.1), writer
        tags = ID3(io.BytesIO(stored))
        assert tags["TIT2"].text == ["Evening calm"], "the track's own"
        assert drawn(tags.getall("APIC")[0].data) == drawn(PNG), "the track's own, written anew"
    assert rows[bad]["status"] == "failed"
    assert "durationMin" in rows[bad]["error"]
    track = execute(dsn, "SELECT * FROM tracks WHERE id = %s", bad_track)[0]
    assert track["status"] in ("draft", "failed")
    notified = execute(dsn, "SELECT data ->> 'job_id' AS job, type FROM notifications_queue")
    assert sorted((row["job"], row["type"]) for row in notified) == sorted(
        [(job, "job_completed") for job, _, _ in placed.values()] + [(bad, "job_failed")]
    )
    shown = {row["stage"] for row in execute(dsn, "SELECT DISTINCT stage FROM stages")}
    assert shown <= {text for name, text in vars(stages).items() if name.isupper()}
    assert "Complete" in shown
    execute(dsn, "DROP TABLE stages CASCADE")


@pytest.mark.parametrize("chosen", further(SOME, but=FEW), ids=named)
def test_jobs_of_every_writer_are_delivered(dsn, chosen, project, speech, tmp_path) -> None:
    _check(dsn, chosen, project, speech, tmp_path, SHORT_MIN, SOME.index(chosen) % 3, 3)


@pytest.mark.production
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chosen", ALL, ids=named)
def test_jobs_of_every_writer_at_full_length(dsn, chosen, project, speech, tmp_path) -> None:
    _check(dsn, chosen, project, speech, tmp_path, 480)
