"""The sound of today's payloads: frames of the mix, kept since before a job could list layers, must stay the same.

`track_samples.npz` has them as whole numbers of 24 bits. Only a wanted change of the sound writes it anew:
``PYTHONPATH=tests .venv/bin/python tests/unit/plan/test_track_samples.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import ArrayClip
from numpy.typing import NDArray
from paths import ROOT

from dsp.plan import RenderPlan, render
from worker.payload.parse import parse_job
from worker.payload.script import Pause
from worker.plan.compile import compile_plan
from worker.plan.recordings import Loop, Media, Music, Speech, Spoken

KEPT = Path(__file__).with_name("track_samples.npz")
RATE = 44_100
SPANS, SPAN_FRAMES = 12, 24
FULL_SCALE = 2**23
VOICE = {"provider": "openai", "id": "nova", "model": "tts-1", "speed": 0.9}
LEVELS = {"voiceDb": -1, "musicDb": -10, "solfeggioDb": -18, "binauralDb": -20}
PAYLOADS: dict[str, dict[str, Any]] = {
    "app": {
        "script": "I am calm. I am safe.",
        "voice": VOICE,
        "durationMin": 10,
        "pauseSec": 5,
        "loopMode": True,
        "startDelaySec": 3,
        "backgroundMusic": {"id": "serene", "name": "Serene", "url": "serene.mp3"},
        "solfeggio": {"enabled": True, "hz": 528, "volume_db": -18},
        "binaural": {"enabled": True, "band": "theta", "carrierHz": None, "beatHz": None, "volume_db": -20},
        "gains": LEVELS,
    },
    "app, once": {
        "script": "I am calm.",
        "voice": VOICE,
        "durationMin": 2,
        "loopMode": False,
        "backgroundMusic": {"id": "quiet-water", "name": "Quiet Water"},
        "solfeggio": None,
        "binaural": None,
        "gains": LEVELS,
        "fade": None,
        "safety": None,
        "carrierType": None,
    },
    "edge": {
        "script": "I meet this day with a quiet mind and an open heart.",
        "voice": {"provider": "elevenlabs", "voice_id": "x", "settings": {"speed": 1.0, "stability": 0.5}},
        "background_music": {"track_id": "tibetan-singing-bowls.mp3", "volume": -20},
        "solfeggio": {"frequency": 417, "volume": -30},
        "binaural": {"base_frequency": 200, "beat_frequency": 7, "volume": -30},
        "output": {"format": "mp3", "quality": "medium", "normalize": True, "target_lufs": -16},
    },
    "tones only": {
        "durationMin": 30,
        "solfeggio": {"enabled": True, "hz": 396},
        "binaural": {"enabled": True, "band": "delta", "carrierHz": 180},
        "carrierType": "pink",
        "carrierGainDb": -30,
        "voice": None,
        "backgroundMusic": None,
    },
    "all that moves": {
        "script": "One. Two. Three.",
        "voice": {"provider": "local", "shuffle": True},
        "durationMin": 3,
        "loopMode": "interval",
        "intervalSec": 30,
        "pauseJitterSec": 3,
        "backgroundMusic": {"url": "rain.mp3"},
        "solfeggio": {"sequence": [396, {"hz": 528, "minutes": 1}, 639], "wave": "triangle"},
        "binaural": {"mode": "monaural", "timeline": [{"atMin": 0, "beatHz": 10}, {"atMin": 2, "carrierHz": 300}]},
        "carrierType": "brown",
        "gains": {
            "reference": "source",
            "timeline": {
                name: [{"atMin": 0, "db": -30}, {"atMin": 1.5, "db": -12}, {"atMin": 2.9, "db": -25}]
                for name in ("voice", "music", "solfeggio", "binaural", "noise")
            },
        },
        "ducking": {"depthDb": 9, "releaseMs": 3000},
        "deliver": ["speakers"],
    },
    "square and white": {
        "durationMin": 1,
        "solfeggio": {"hz": 963, "wave": "square"},
        "carrierType": "white",
        "seed": 7,
    },
}
PAYLOADS |= {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "examples").glob("*.json"))}
FROM_LISTS = "layers"


def clip(seconds: float, seed: int) -> ArrayClip:
    """Noise that is another one for each seed, the same on every machine."""
    samples = np.random.Generator(np.random.Philox(seed)).integers(-(2**20), 2**20, (round(seconds * RATE), 2))
    return ArrayClip((samples / 2**23).astype(np.float32))


SPEECH = Speech(
    (Spoken("One.", clip(1.3, 1)), Pause(0.75), Spoken("Two.", clip(0.9, 2)), Spoken("Three.", clip(1.1, 3))), -21.5
)
MUSIC = Music(clip(20, 4), -19.0, Loop(RATE, 18 * RATE, RATE // 2, 0.3, loudness_lufs=-18.0))


def frames_of(plan: RenderPlan) -> NDArray[np.int32]:
    """Frames at equal distances, at both ends among them, shape (SPANS, SPAN_FRAMES, 2)."""
    starts = np.linspace(0, plan.frames - SPAN_FRAMES, SPANS).astype(int).tolist()
    sound = np.stack([render(plan, start, start + SPAN_FRAMES) for start in starts])
    return np.rint(sound.astype(np.float64) * FULL_SCALE).astype(np.int32)


def samples_of(payload: dict[str, Any]) -> NDArray[np.int32]:
    """The frames of a payload's track and, if it asks for both, of its twin."""
    job = parse_job(payload)
    asks = (job.has_voice, job.background_music is not None)
    compiled = compile_plan(job, Media(SPEECH if asks[0] else None, MUSIC if asks[1] else None))
    plans = [compiled.plan] if compiled.twin is None else [compiled.plan, compiled.twin]
    return np.stack([frames_of(plan) for plan in plans])


@pytest.mark.parametrize("name", [name for name, payload in PAYLOADS.items() if FROM_LISTS not in payload])
def test_the_samples_of_todays_payloads_stay(name: str) -> None:
    kept = np.load(KEPT)[name]
    made = samples_of(PAYLOADS[name])
    assert made.shape == kept.shape
    # within one step of 24 bits: the sine of another NumPy may differ in its last bit
    assert np.abs(made - kept).max() <= 1


if __name__ == "__main__":
    kept = {name: samples_of(payload) for name, payload in PAYLOADS.items() if FROM_LISTS not in payload}
    np.savez_compressed(KEPT, **kept)
