"""`canary` against real workers, real renders and the services' stand-ins, in each mode over each transport."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from database import Databases, Variant, execute
from standins.queued_jobs import KEYS, sound
from standins.short_timeouts import short_timeout_worker
from standins.speech import ELEVENLABS_VOICES, speech_service
from standins.supabase import supabase_standin

from worker.cli.main import run
from worker.config import VARIABLES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
LEASED = Variant("completing", "production", "payload", "enum", leased=True)
PLAIN = Variant("lacking", "guide", "job_data", "text")


@pytest.fixture(params=[LEASED, PLAIN], ids=["leased", "plain"])
def dsn(databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    found = databases.new(request.param)
    yield found
    databases.release(found)


@pytest.mark.parametrize("transport", ["postgres", "supabase"])
def test_a_deployed_worker_makes_it_and_nothing_is_left(
    dsn: str,
    transport: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two paid voices, music of the catalogue, upload, preview, finish; then the same with a missing bucket."""
    with supabase_standin(dsn) as project, speech_service() as speech:
        project.storage.put("background-music", "rain.flac", sound(20, "FLAC"), "audio/flac")
        execute(dsn, "INSERT INTO background_tracks (slug, title, url) VALUES ('rain', 'Rain', 'rain.flac')")
        settings = {
            "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_ROLE_KEY": project.key,
            "OPENAI_BASE_URL": f"{speech.url}/v1",
            "ELEVENLABS_BASE_URL": speech.url,
            "ELEVENLABS_TTS_VOICE": ELEVENLABS_VOICES[0],
            "CACHE_DIR": str(tmp_path / "cache"),
            **KEYS,
            **({"DATABASE_URL": dsn} if transport == "postgres" else {}),
        }
        for name in VARIABLES:
            monkeypatch.delenv(name.upper(), raising=False)

        def canary(*arguments: str) -> int:
            for name, value in settings.items():  # a command takes the secrets out
                monkeypatch.setenv(name, value)
            return run(["canary", *arguments])

        with short_timeout_worker(tmp_path, **settings):
            assert canary() == 0, capsys.readouterr()
            said = capsys.readouterr().out
            assert said.count("good; its rows and files are removed") == 2
            assert all(words in said for words in ("openai: job", "elevenlabs: job", "speak", "deliver", "preview"))
            assert len(speech.whole) >= 2
            del project.storage.buckets["track-previews"]
            assert canary("--voice", "openai") == 1
            assert "failed: it has no preview: look at PREVIEW_BUCKET" in capsys.readouterr().out
        assert [key for bucket, key in project.storage.objects if bucket != "background-music"] == []
        for table in ("audio_job_queue", "tracks", "notifications_queue"):
            assert execute(dsn, f"SELECT * FROM {table}") == []
