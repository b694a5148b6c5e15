"""The files that a job names, so that none of them is written over."""

from __future__ import annotations

from pathlib import Path

from worker.payload.parse import parse_job
from worker.tasks.files import music_files, named_files


def test_files_are_found_anywhere_in_a_job(tmp_path: Path) -> None:
    job = {
        "script": "I am calm. " * 1000,
        "backgroundMusic": {"url": "music.flac"},
        "metadata": {"cover": "https://example.com/cover.png"},
        "playlist": ["a.wav", ["b.wav"], 3, None, "", "sub/" + "long" * 100 + ".wav"],
    }
    names = {path.name for path in named_files(job, tmp_path)}
    assert names == {"music.flac", "a.wav", "b.wav", "long" * 100 + ".wav"}


def test_music_may_be_named_without_its_ending(tmp_path: Path) -> None:
    job = parse_job({"durationMin": 1, "backgroundMusic": {"name": "rain"}, "solfeggio": {"hz": 528}})
    assert {tmp_path / "rain.mp3", tmp_path / "rain.flac"} <= set(music_files(job, tmp_path))
