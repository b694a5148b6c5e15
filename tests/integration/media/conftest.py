"""A foreign host and a Supabase project to fetch from; files to decode."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from codec_signals import RATE
from fetching import SONG
from short_limits import QUICK
from standins.foreign_host import PUBLIC, ForeignHost, foreign_host
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import production_buckets

from worker.config import Config
from worker.errors import MediaError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import decode


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignHost]:
    folder = tmp_path_factory.mktemp("certificate")
    with foreign_host(folder, "media.example.com", "a.cdn.example.com", "b.cdn.example.com") as running:
        yield running


@pytest.fixture
def host(_host: ForeignHost) -> ForeignHost:
    _host.pages.clear()
    _host.asked.clear()
    _host.reached.clear()
    _host.looked_up.clear()
    _host.names.update({host: [[PUBLIC]] for host in ("media.example.com", "a.cdn.example.com", "b.cdn.example.com")})
    return _host


@pytest.fixture
def storage() -> Storage:
    running = Storage(*production_buckets())
    running.put("background-music", "calm/deep sea.mp3", SONG)
    return running


@pytest.fixture
def project(storage: Storage) -> Iterator[Config]:
    with serve({"/storage/v1": storage}) as url:
        yield Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY, service_limits=QUICK)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    """What reads; MINDSCRIPT_TEST_FFMPEG may name another one than what makes the files, such as the image's."""
    return find_ffmpeg(os.environ.get("MINDSCRIPT_TEST_FFMPEG"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[..., Path]:
    """A file by FFmpeg's options, made once."""
    folder = tmp_path_factory.mktemp("made")

    def made(ending: str, *options: str) -> Path:
        path = folder / f"{abs(hash(options)):x}.{ending}"
        if not path.exists():
            command = (find_ffmpeg().path, "-v", "error", "-nostdin", *options, f"file:{path}")
            subprocess.run(command, check=True, timeout=60)
        return path

    return made


@pytest.fixture
def read(ffmpeg, tmp_path):
    """Decode a file of these bytes: the samples, in as many channels as the clip has."""

    def read(source: Path | bytes, name: str = "a") -> np.ndarray:
        path = source if isinstance(source, Path) else tmp_path / name
        if isinstance(source, bytes):
            path.write_bytes(source)
        raw = tmp_path / "raw"
        with decode(ffmpeg, path, raw, sample_rate=RATE, max_seconds=60, timeout_s=60) as clip:
            return np.fromfile(raw, "<f4").reshape(-1, clip.channels)

    return read


@pytest.fixture
def refused(read):
    def refused(source: Path | bytes) -> str:
        with pytest.raises(MediaError) as error:
            read(source)
        return error.value.message

    return refused
