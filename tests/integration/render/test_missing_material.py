"""What a track is made without, in one process: a preview that cannot be made; music and a cover that cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import ConfigurationError, MediaError, TransientError
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import Produced, produce
from worker.tasks.files import beside

TONE = {"durationMin": 0.1, "solfeggio": {"hz": 528}}
GONE = {"backgroundMusic": {"url": "gone.mp3"}}


def made(folder: Path, job: dict[str, object], preview: Path | None = None, **how: object) -> Produced:
    config = Config(cache_dir=folder / "cache", storage_dir=folder / "out", render_threads=1)
    materials = Materials(config, beside(folder, config), **how)  # type: ignore[arg-type]
    produced = produce(
        parse_job(job), folder / "track.wav", materials=materials, encoding=Encoding("wav"), preview=preview
    )
    assert soundfile.info(folder / "track.wav").frames == 6 * 44_100
    return produced


def test_a_preview_that_cannot_be_made_is_a_note(tmp_path: Path) -> None:
    produced = made(tmp_path, TONE, preview=tmp_path / "no such folder" / "preview.mp3")
    assert produced.preview_error is not None
    assert [note for note in produced.report.notes if "no preview" in note]


def test_music_and_cover_are_left_out_together(tmp_path: Path) -> None:
    job = {**TONE, **GONE, "ducking": {}, "gains": {"musicDb": -3}, "metadata": {"cover": "gone.png"}}
    produced = made(tmp_path, job, without_music=True, without_cover=True)
    assert len([note for note in produced.report.notes if "made without it" in note]) == 2
    assert list(produced.report.layers) == ["solfeggio"]
    assert produced.music_error is not None
    assert produced.music_error.code == "media.missing"
    assert produced.cover_error is not None


def test_without_the_setting_the_job_fails(tmp_path: Path) -> None:
    for job in (GONE, {"metadata": {"cover": "gone.png"}}):
        with pytest.raises(MediaError):
            made(tmp_path, {**TONE, **job})
    with pytest.raises(MediaError):
        made(tmp_path, GONE, without_music=True)  # there is no other layer


def test_a_catalogue_that_is_down_is_no_reason_to_go_without(tmp_path: Path) -> None:
    def down(reference: str) -> str | None:
        raise TransientError(f"no answer about {reference}")

    with pytest.raises(TransientError):
        made(tmp_path, {**TONE, "backgroundMusic": {"id": "rain"}}, catalogue=down, without_music=True)


@pytest.mark.parametrize("voice", [{"provider": "openai"}, {"provider": "elevenlabs", "id": "x"}])
def test_a_voice_without_its_key_fails_before_music_is_fetched(tmp_path: Path, voice: dict[str, str]) -> None:
    """The job will be parked, and others wait behind it; the music is not even there."""
    job = {**TONE, **GONE, "script": "I am calm.", "voice": voice}
    with pytest.raises(ConfigurationError) as raised:
        made(tmp_path, job)
    assert raised.value.cause == f"{voice['provider'].upper()}_API_KEY/configuration.key"
