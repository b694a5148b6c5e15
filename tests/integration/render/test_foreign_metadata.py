"""Nothing that music, recording or cover say about themselves reaches the published track."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image
from tiers import further

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.tasks.files import beside

CANARY = "Elm Street 13"


def tagged(path: Path) -> Path:
    texts = [
        word for field in ("title", "artist", "comment", "copyright") for word in ("-metadata", f"{field}={CANARY}")
    ]
    sound = ("-f", "lavfi", "-i", "sine=f=300:d=3")
    subprocess.run([find_ffmpeg().path, "-v", "error", "-nostdin", *sound, *texts, "-y", path], check=True, timeout=60)
    assert CANARY.encode() in path.read_bytes()
    return path


@pytest.mark.parametrize("name", ["mp3", "m4a", *further(["flac", "wav"])])
def test_only_the_jobs_own_words_are_in_the_file(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = CANARY
    Image.new("RGB", (90, 60), "navy").save(tmp_path / "cover.jpg", exif=exif)
    assert CANARY.encode() in (tmp_path / "cover.jpg").read_bytes()
    config = Config(cache_dir=tmp_path / "cache", storage_dir=tmp_path / "out", render_threads=1)
    materials = Materials(
        config,
        beside(tmp_path, config),
        voice_file=tagged(tmp_path / "voice.mp3"),
        music_file=tagged(tmp_path / "music.flac"),
    )
    job = {
        "script": "Recorded.",
        "durationMin": 0.1,
        "backgroundMusic": {"url": "music.flac"},
        "outputFormat": name,
        "metadata": {"title": "Evening", "cover": "cover.jpg"},
    }
    checked = parse_job(job, recordings=("voice", "music"))
    out, preview = tmp_path / f"track.{name}", tmp_path / "preview.mp3"
    produce(checked, out, materials=materials, encoding=Encoding(name), preview=preview)  # type: ignore[arg-type]
    for file in (out, preview):
        data = file.read_bytes()
        assert CANARY.encode() not in data
        assert CANARY.encode("utf-16-le") not in data
    whole = out.read_bytes()
    assert b"Evening" in whole or "Evening".encode("utf-16-le") in whole
    assert b"\xff\xd8\xff" in whole
