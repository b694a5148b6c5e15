"""Make examples/demo-loop.flac, the music of the example jobs: four slow chords of a soft additive pad.

Run: python tools/make_music.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE_HZ = 44_100
CHORD_S = 6.0
RELEASE_S = 4.0
# D major 9, B minor 11, G major 9, A suspended: MIDI note numbers, low to high
CHORDS = (
    (38, 50, 57, 61, 64, 66),
    (35, 47, 54, 57, 62, 64),
    (43, 50, 55, 59, 62, 69),
    (45, 52, 57, 59, 62, 64),
)
PARTIALS = 6
SEED = 20260101


def pad_note(midi: int, seconds: float, random: np.random.Generator) -> np.ndarray:
    """One note: a few detuned partials per ear, slow swell and release; shape (frames, 2)."""
    frames = round(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(frames) / SAMPLE_RATE_HZ
    fundamental_hz = 440.0 * 2 ** ((midi - 69) / 12)
    note = np.zeros((frames, 2))
    for partial in range(1, PARTIALS + 1):
        for ear in (0, 1):
            detune_hz = random.normal(0, 0.15)
            shimmer = 1 + 0.25 * np.sin(2 * np.pi * random.uniform(0.05, 0.2) * time_s + random.uniform(0, 6.28))
            tone = np.sin(2 * np.pi * (partial * fundamental_hz + detune_hz) * time_s + random.uniform(0, 6.28))
            note[:, ear] += tone * shimmer / partial**1.8
    swell = np.sin(np.pi / 2 * np.clip(time_s / 2.5, 0, 1)) ** 2
    release = np.cos(np.pi / 2 * np.clip((time_s - (seconds - RELEASE_S)) / RELEASE_S, 0, 1)) ** 2
    return note * (swell * release)[:, None]


def make_loop() -> np.ndarray:
    """The whole loop; every tail wraps round to the start, so it repeats without a seam."""
    random = np.random.default_rng(SEED)
    total = round(len(CHORDS) * CHORD_S * SAMPLE_RATE_HZ)
    loop = np.zeros((total, 2))
    for number, chord in enumerate(CHORDS):
        start = round(number * CHORD_S * SAMPLE_RATE_HZ)
        for midi in chord:
            note = pad_note(midi, CHORD_S + RELEASE_S, random) * 10 ** (-(midi - 38) / 60)
            where = (start + np.arange(len(note))) % total
            loop[where] += note
    return 0.5 * loop / np.abs(loop).max()


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "examples" / "demo-loop.flac"
    soundfile.write(out, make_loop(), SAMPLE_RATE_HZ, subtype="PCM_16")
