"""`forget`: what is removed of a customer, what is left, and that nobody else loses anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from database import execute, row_of
from operating import Operator
from standins.speech import speech_service

from worker.config import Config
from worker.payload.parse import parse_job
from worker.plan.layer_jobs import speech_jobs
from worker.render.materials import Materials
from worker.tts.speech import SpeechStats

ANN, BOB = (str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("ann", "bob"))


def put(operator: Operator, bucket: str, key: str) -> str:
    if operator.project is not None:
        operator.project.storage.put(bucket, key, b"sound")
    else:
        path = operator.config.storage_dir / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return f"{bucket}/{key}"


def stored(operator: Operator) -> set[str]:
    if operator.project is not None:
        return {"/".join(place) for place in operator.project.storage.objects}
    root = operator.config.storage_dir
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def delivered(operator: Operator, user_id: str, *, script: str = "I am calm.") -> tuple[str, str, set[str]]:
    """A track that was ordered twice; its id, the first job's, and the files of the second, which are in use."""
    track = operator.track("Evening", user_id)
    ids = [str(uuid.uuid4()) for _ in range(2)]
    files: dict[str, set[str]] = {}
    for job in ids:
        key, lyrics, twin = (f"tracks/{track}/{job}-{n}.{end}" for n, end in ((1, "mp3"), (2, "vtt"), (3, "mp3")))
        path = put(operator, "audio-renders", key)
        result = {"url": path, "lyrics": {"vtt": f"audio-renders/{lyrics}"}, "speakersUrl": f"audio-renders/{twin}"}
        preview = put(operator, "track-previews", f"{track}/{job}-4.mp3")
        files[job] = {path, put(operator, "audio-renders", lyrics), put(operator, "audio-renders", twin), preview}
        payload = {"script": script, "voice": {"provider": "openai", "model": "tts-1"}, "durationMin": 1}
        operator.job("completed", id=job, track_id=track, user_id=user_id, payload=payload, result=json.dumps(result))
    url = f"https://x.supabase.co/storage/v1/object/public/track-previews/{track}/{ids[1]}-4.mp3"
    execute(
        operator.dsn,
        "UPDATE tracks SET audio_url = %s, preview_url = %s WHERE id = %s",
        f"audio-renders/tracks/{track}/{ids[1]}-1.mp3",
        url,
        track,
    )
    return track, ids[0], files[ids[1]]


def test_what_is_in_use_stays_and_all_else_goes(operator: Operator) -> None:
    operator.settings["OPENAI_API_KEY"] = "sk-x"
    track, superseded, in_use = delivered(operator, ANN)
    _, of_bob, bobs = delivered(operator, BOB)
    bobs |= {path for path in stored(operator) if of_bob in path}
    waiting = operator.job(user_id=ANN, track_id=track, payload={"script": "I wait."})
    said = operator("forget", "--user", ANN, "--dry-run")
    assert "would be removed: payloads and attempts of 3 jobs" in said
    assert said.count("would be removed: audio-renders/") == 3
    assert row_of(operator.dsn, waiting)["status"] == "pending"
    assert any(superseded in path for path in stored(operator))

    said = operator("forget", "--user", ANN.upper(), "--yes")
    assert "removed: payloads and attempts of 3 jobs, 1 of them cancelled before" in said
    assert stored(operator) == in_use | bobs
    rows = execute(operator.dsn, f"SELECT user_id, status, {operator.column} AS payload FROM audio_job_queue")
    assert {json.dumps(row["payload"]) for row in rows if str(row["user_id"]) == ANN} == {"{}"}
    assert all(row["payload"]["script"] for row in rows if str(row["user_id"]) == BOB)
    assert row_of(operator.dsn, waiting)["status"] == "cancelled"
    assert execute(operator.dsn, "SELECT audio_url FROM tracks WHERE id = %s", track)[0]["audio_url"]
    for path in in_use:
        assert f"left: {path}, which is in use" in said
    assert "backups of the database" in said
    again = operator("forget", "--user", ANN, "--yes")
    assert "removed: payloads and attempts of 0 jobs" in again
    assert stored(operator) == in_use | bobs


@pytest.fixture
def voice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], set[Path]]]:
    """OpenAI's stand-in: speaks a payload as a worker does; what is in the cache then."""
    with speech_service() as service:
        settings = {
            "OPENAI_API_KEY": "sk-x",
            "OPENAI_BASE_URL": f"{service.url}/v1",
            "CACHE_DIR": str(tmp_path / "cache"),
        }

        def speak(payload: dict[str, Any]) -> set[Path]:
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            config = Config.from_environ(settings)
            job = parse_job(payload, max_script_characters=5000, max_duration_min=60)
            for of_voice in speech_jobs(job):
                folder = tmp_path / uuid.uuid4().hex
                folder.mkdir()
                Materials(config, lambda *_, **__: tmp_path).speak(of_voice, folder, lambda _: None, SpeechStats())
            return {path for path in (tmp_path / "cache" / "speech").rglob("*") if path.is_file()}

        yield speak


def test_cached_speech_of_the_customer_alone_is_removed(
    operator_at: Callable[[str], Operator], voice: Callable[[dict[str, Any]], set[Path]]
) -> None:
    """Also of a job whose words are in its track's row; the pieces in common with others are spoken again for them."""
    operator = operator_at("leased-postgres")
    chosen = {"provider": "openai", "model": "tts-1"}
    bobs = {"script": "Bob is here. Bob is calm.", "voice": chosen, "durationMin": 1}
    anns = {"script": "Ann is here. [pause 1s] Ann is calm. Dr. Ann is at ease.", "voice": chosen, "durationMin": 1}
    anns["layers"] = [{"kind": "speech", "script": "Ann whispers.", "voice": chosen, "whisper": True}]
    kept = voice(bobs)
    assert len(voice(anns)) > len(kept)
    saved = {"script": "Ann goes on. And on.", "voice_config": json.dumps({"provider": "openai", "model": "tts-1"})}
    with_saved = voice({"script": saved["script"], "voice": chosen, "durationMin": 1})
    operator.job("completed", user_id=BOB, track_id=operator.track("b", BOB), payload=bobs)
    operator.job("failed", user_id=ANN, track_id=operator.track("a", ANN), payload=anns)
    within = {**anns, "script": "Some rows hold text within JSON."}
    with_saved = voice(within)
    operator.job("failed", user_id=ANN, payload=json.dumps(within))  # type: ignore[arg-type]
    again = operator.track("c", ANN, output_config=json.dumps({"durationMin": 1}), **saved)
    operator.job("completed", user_id=ANN, track_id=again, payload={"quality": "high", "format": "mp3"})
    said = operator("forget", "--user", ANN, "--yes")
    assert f"removed: {len(with_saved) - len(kept)} pieces of cached speech" in said
    assert {path for path in kept if path.exists()} == kept
    assert not [path for path in with_saved - kept if path.exists()]


def test_speech_that_cannot_be_found_is_said(operator_at: Callable[[str], Operator]) -> None:
    operator = operator_at("plain-postgres")
    payload = {"script": "Ann.", "voice": {"provider": "elevenlabs"}, "durationMin": 1}
    operator.job("completed", user_id=ANN, track_id=operator.track("t", ANN), payload=payload)
    operator.job("completed", user_id=ANN, payload={"script": 7})  # spoken by nobody
    said = operator("forget", "--user", ANN, "--yes", status=1)
    assert "not removed: cached speech: elevenlabs/" in said
    assert "ELEVENLABS_API_KEY" in said
