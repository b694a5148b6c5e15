"""Recordings, and the command line in the test's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from rendering import RATE, speech

from dsp.noise import Noise
from worker.cli.main import run as run_command


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A voice at 24 kHz mono and music at 48 kHz stereo."""
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "voice.wav", speech(2.5)[: 2 * RATE], RATE)
    soundfile.write(folder / "music.flac", 0.1 * Noise("pink", 9, 48_000).render(0, 5 * 48_000), 48_000)
    return folder


@pytest.fixture
def told(tmp_path, monkeypatch, capfd):
    """Runs a command here, in the test's folder: exit status and standard error. A process of its own takes 0.5 s."""

    def run_here(*arguments: str | Path, **env: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return run_command([*map(str, arguments)]), capfd.readouterr().err

    return run_here
