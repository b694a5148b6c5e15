"""A report as `render --report` writes it, and the measurement of the file that it is of."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.inspect.inspection import Inspection, Inspector

RATE = 8_000


def measured(*, seconds: float = 5.0, level: float = 0.1) -> Inspection:
    inspector = Inspector(RATE)
    wave = level * np.sin(2 * np.pi * 432 * np.arange(round(seconds * RATE)) / RATE)
    inspector.add(np.stack([wave, wave], axis=1).astype(np.float32))
    return inspector.result()


def report_of(result: Inspection, **changed: Any) -> dict[str, Any]:
    return {
        "frames": result.frames,
        "duration_s": result.duration_s,
        "size_bytes": 1,
        "format": "mp3",
        "integrated_lufs": round(result.integrated_lufs or 0.0, 3),
        "true_peak_dbtp": round(result.true_peak_dbtp or 0.0, 3),
        "loudness_range_lu": result.loudness_range_lu,
        "speech_lufs": None,
        "target_lufs": round(result.integrated_lufs or 0.0, 1),
        "notes": ["music: loops from 0:30 to 1:30"],
        "stage_seconds": {"speak": 1.5, "deliver": 2.0},
        "repetitions": 3,
        "speech": {"provider": "openai", "model": "tts-1", "voice": "nova", "characters_asked": 120, "cents": 0.18},
        "promised": {"version": 1, "tones": [], "beats": []},
        **changed,
    }
