"""What is rendered: everyday mixes, and those that make loudness and peaks hard to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.material import MUSIC, voice
from benchmarks.sound.room import RATE
from dsp.noise import Noise

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Programme:
    """A job and its recordings.

    Attributes
    ----------
    name : str
    job : mapping
        Without target and format.
    voice, music : Path or None
    """

    name: str
    job: Job
    voice: Path | None = None
    music: Path | None = None


SHORT_FADES = {"inMs": 200, "outMs": 400}
TONES: Job = {
    "durationMin": 0.3,
    "solfeggio": {"hz": 528},
    "binaural": {"band": "theta"},
    "fade": SHORT_FADES,
}
MIX: Job = {**TONES, "startDelaySec": 1, "pauseSec": 2, "gains": {"solfeggioDb": -24, "binauralDb": -24}}


def record(folder: Path) -> dict[str, Path]:
    """Write all recordings; returns them by name."""
    rng = np.random.default_rng(5)
    spoken = voice()[: 12 * RATE]
    seconds = np.arange(12 * RATE) / RATE
    loop, _ = soundfile.read(MUSIC, always_2d=True)
    noise = Noise("pink", 4, RATE).render(0, 12 * RATE).astype(np.float64)
    dense = np.clip(6 * loop[: 12 * RATE] + noise, -1, 1)
    clipped = np.sign(rng.standard_normal((12 * RATE, 2)))
    words = np.zeros(15 * RATE)
    words[: 2 * RATE], words[11 * RATE : 12 * RATE] = spoken[: 2 * RATE], spoken[2 * RATE : 3 * RATE]
    clicks = np.zeros((12 * RATE, 2))
    clicks[:: RATE // 3] = 0.9
    drums = np.exp(-40 * (seconds % 0.5))[:, None] * rng.standard_normal((len(seconds), 2)) * 0.2
    pure = {hz: 0.5 * np.sin(2 * np.pi * hz * seconds) for hz in (20, 15_000, 20_000)}
    # a quarter of the sample rate at 45 degrees: 3 dB more between the samples than at them
    between = 0.5 * np.sin(2 * np.pi * seconds * RATE / 4 + np.pi / 4)
    recordings = {
        "speech": (spoken, RATE),
        "telephone": (spoken[: len(spoken) // 5 * 5].reshape(-1, 5).mean(axis=1), RATE // 5),
        "words": (words, RATE),
        "short": (spoken[RATE // 2 : 3 * RATE // 2], RATE),
        "music": (loop, RATE),
        "quiet": (1e-2 * loop, RATE),
        "noise": (0.1 * noise, RATE),
        "dense": (dense, RATE),
        "clipped": (clipped, RATE),
        "white": (0.2 * rng.standard_normal((12 * RATE, 2)), RATE),
        "clicks": (clicks, RATE),
        "drums": (drums, RATE),
        "between": (between, RATE),
        "one-ear": (np.stack([dense[:, 0], np.zeros(len(dense))], axis=1), RATE),
        **{f"{hz} Hz": (tone, RATE) for hz, tone in pure.items()},
    }
    made = {}
    for name, (samples, rate) in recordings.items():
        made[name] = folder / f"{name.replace(' ', '')}.wav"
        soundfile.write(made[name], samples, rate, "FLOAT")
    return made


def everyday(made: Mapping[str, Path]) -> list[Programme]:
    """The usual mix, tones alone, dense music."""
    return [
        Programme("mix", MIX, made["speech"], made["music"]),
        Programme("tones", TONES),
        Programme("dense", {**TONES, "gains": {"musicDb": 0}}, None, made["dense"]),
    ]


def hard(made: Mapping[str, Path]) -> list[Programme]:
    """Programmes that make it difficult."""
    only = {"durationMin": 0.3, "fade": SHORT_FADES, "startDelaySec": 1, "pauseSec": 2}
    source = {"reference": "source", "musicDb": 0, "voiceDb": 0}
    return [
        Programme("very quiet", {**only, "gains": {**source, "musicDb": -12}}, None, made["quiet"]),
        Programme("speech with long silences", {**only, "gains": source}, made["words"]),
        Programme("clipped noise", {**only, "gains": source}, None, made["clipped"]),
        Programme("white noise to half the sample rate", only, None, made["white"]),
        Programme("clicks", {**only, "gains": source}, None, made["clicks"]),
        Programme("drums", only, None, made["drums"]),
        Programme("peaks between samples", {**only, "gains": source}, None, made["between"]),
        Programme("one ear", only, made["speech"], made["one-ear"]),
        Programme("three seconds", {**only, "durationMin": 0.05, "solfeggio": {"hz": 963}}, made["short"]),
        Programme("telephone voice", only, made["telephone"]),
        Programme("20 Hz", {**only, "gains": {"musicDb": 0}}, None, made["20 Hz"]),
        Programme("15 kHz and voice", {**only, "gains": {"musicDb": -6}}, made["speech"], made["15000 Hz"]),
        Programme("20 kHz and voice", {**only, "gains": {"musicDb": -6}}, made["speech"], made["20000 Hz"]),
        Programme(
            "isochronic", {**only, "binaural": {"mode": "isochronic", "beatHz": 4.0}, "gains": {"binauralDb": 0}}
        ),
        Programme("high beat", {**only, "binaural": {"beatHz": 100, "carrierHz": 1000}, "gains": {"binauralDb": 0}}),
        Programme("square wave", {**only, "solfeggio": {"hz": 963, "wave": "square"}, "gains": {"solfeggioDb": 10}}),
        Programme(
            "all gains at their highest",
            {
                **only,
                "solfeggio": {"hz": 174, "wave": "square"},
                "binaural": {"beatHz": 40, "mode": "monaural"},
                "carrierType": "white",
                "carrierGainDb": 0,
                "gains": {"voiceDb": 10, "musicDb": 10, "solfeggioDb": 10, "binauralDb": 10},
            },
            made["speech"],
            made["dense"],
        ),
        Programme(
            "brown noise and a swell",
            {
                **only,
                "carrierType": "brown",
                "carrierGainDb": 0,
                "solfeggio": {"hz": 396},
                "gains": {"timeline": {"solfeggio": [{"atMin": 0, "db": -60}, {"atMin": 0.25, "db": 10}]}},
            },
        ),
    ]
