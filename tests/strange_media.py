"""Sound and films that FFmpeg makes for the tests of `worker.media`, and what is done to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from codec_signals import RATE

SECONDS = 3
SOUND = ("-f", "lavfi", "-i", f"aevalsrc=0.25*sin(2*PI*440*t)|0.25*sin(2*PI*660*t):s=44100:d={SECONDS}")
NOISE = ("-f", "lavfi", "-i", f"anoisesrc=a=0.2:r=48000:d={SECONDS}:seed=1")
FILM = ("-f", "lavfi", "-i", f"testsrc=s=64x64:r=25:d={SECONDS}")
GAP = "aselect='not(between(t,1,2))'"  # a second of three is not there, and the times say so


def silent_seconds(sound: np.ndarray) -> float:
    return float(np.count_nonzero(np.abs(sound).max(axis=1) < 1e-4)) / RATE


def zeroed(path: Path, first: float, last: float) -> bytes:
    """A file with a share of its bytes overwritten by zeros."""
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * first), int(len(data) * last)
    data[begin:end] = bytes(end - begin)
    return bytes(data)
