"""A queue on a laptop: a job and its music are put in, worked off, and the track plays that music."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from paths import ROOT

RATE = 44_100
TONE_HZ = 440


def command(folder: Path, *arguments: str, status: int = 0) -> Any:
    """Run a command in a folder, with no settings; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments, "--json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_job_and_its_music_are_queued_worked_off_and_heard(tmp_path: Path) -> None:
    seconds = np.arange(2 * RATE) / RATE
    soundfile.write(tmp_path / "hum.wav", 0.3 * np.sin(2 * np.pi * TONE_HZ * seconds), RATE)
    (tmp_path / "noise.mp3").write_text("no sound at all")
    for name, music in (("good", "hum.wav"), ("bad", "noise.mp3")):
        job = {"durationMin": 0.05, "backgroundMusic": {"url": music}}
        (tmp_path / f"{name}.json").write_text(json.dumps(job))

    queued = command(tmp_path, "enqueue", "good.json", "bad.json")
    (tmp_path / "hum.wav").unlink()  # a copy was taken along
    good, bad = command(tmp_path, "work", "--drain", status=1)["jobs"]

    assert [good["id"], bad["id"]] == [job["id"] for job in queued]
    assert (good["outcome"], good["title"], good["length_s"]) == ("completed", "good", 3)
    assert (bad["outcome"], bad["title"], bad["file"]) == ("failed", "bad", None)
    assert bad["code"].startswith("media"), bad
    samples, rate = soundfile.read(tmp_path / good["file"])
    spectrum = np.abs(np.fft.rfft(samples[:, 0]))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(TONE_HZ, abs=1)
