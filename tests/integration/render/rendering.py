"""Jobs for `render`, and what others measure on its files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from paths import ROOT

from dsp.noise import Noise
from worker.ffmpeg.program import find_ffmpeg

RATE = 44_100
TONES = {"durationMin": 0.25, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}


def speech(seconds: float) -> np.ndarray:
    """Something like speech: noise in syllables, one channel."""
    n = np.arange(round(seconds * RATE))
    syllables = np.maximum(np.sin(2 * np.pi * 3.1 * n / RATE), 0) * (np.sin(2 * np.pi * 0.4 * n / RATE) > -0.7)
    return 0.3 * syllables * Noise("pink", 8, RATE).render(0, len(n))[:, 0]


def run(
    *arguments: str | Path, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        check=False,
    )


def job_file(folder: Path, **job: object) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def ebur128(path: Path) -> tuple[float, float]:
    """Loudness and true peak as FFmpeg reads the decoded file: a meter that is not ours."""
    said = subprocess.run(
        [
            find_ffmpeg().path,
            "-nostdin",
            "-hide_banner",
            "-nostats",
            "-i",
            path,
            "-af",
            "ebur128=peak=true",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1]), float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", said)[-1])


def decoded_frames(path: Path) -> int:
    pcm = subprocess.run(
        [find_ffmpeg().path, "-nostdin", "-v", "error", "-i", path, "-f", "s16le", "-ac", "2", "-"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert pcm.stderr == b""
    return len(pcm.stdout) // 4
