"""Jobs compiled with recordings of any length, and what is in their plans."""

from __future__ import annotations

from typing import Any

import numpy as np
from clips import ArrayClip

from dsp.plan import RenderPlan
from worker.payload.parse import RenderJob, parse_job
from worker.payload.script import Pause
from worker.plan.compile import Compiled, compile_plan
from worker.plan.recordings import Media, Speech, Spoken

SR = 44_100


def clip(seconds: float, level: float = 0.25) -> ArrayClip:
    return ArrayClip(np.full((round(seconds * SR), 2), level, np.float32))


def speech(*parts: float | Pause, lufs: float = -16.0) -> Speech:
    """Spoken stretches of so many seconds, and pauses."""
    return Speech(
        tuple(part if isinstance(part, Pause) else Spoken(f"line {i}", clip(part)) for i, part in enumerate(parts)),
        lufs,
    )


def job(**fields: Any) -> RenderJob:
    return parse_job({"script": "Hi", **fields}, recordings=("voice", "music"))


def compiled(media: Media | None = None, **fields: Any) -> Compiled:
    return compile_plan(job(**fields), Media(speech(2.0)) if media is None else media)


def starts(result: Compiled) -> list[int]:
    """First frame of each repetition."""
    first: dict[int, int] = {}
    for span in result.spoken:
        first.setdefault(span.repetition, span.start)
    return list(first.values())


def source(plan: RenderPlan, name: str) -> Any:
    return next(layer.source for layer in plan.layers if layer.name == name)


def gain_at(plan: RenderPlan, name: str, frame: int) -> float:
    curve = next(layer.gain for layer in plan.layers if layer.name == name)
    return float(np.ravel(curve.at(frame, frame + 1))[0])
