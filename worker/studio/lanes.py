"""A compiled plan as lanes over time: spoken lines, music with its seams, tones, beats, levels, ducking."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dsp.envelope import Fade
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Looped
from worker.payload.schema import RenderJob
from worker.plan.compile import Compiled
from worker.plan.promised import promised_of

_PLACES: Final = 240  # of a level over time
_MOST_SPANS: Final = 20_000
_MOST_SEAMS: Final = 5_000


def lanes_of(job: RenderJob, compiled: Compiled) -> dict[str, Any]:
    """Describe a plan for the page, in seconds, Hz and dB.

    `voice` is rows of (start, stop, line); a line's words are in `lines`, once however often it is spoken.
    """
    plan = compiled.plan
    promised = promised_of(plan, 0.0)
    lines: dict[str, int] = {}
    voice = [
        (_seconds(plan, span.start), _seconds(plan, span.stop), lines.setdefault(span.text, len(lines)))
        for span in compiled.spoken[:_MOST_SPANS]
    ]
    ducking = job.ducking
    return {
        "seconds": _seconds(plan, plan.frames),
        "lines": list(lines),
        "voice": voice,
        "repetitions": compiled.repetitions,
        "layers": [
            {"name": layer.name, "levels_db": _levels_db(plan, job, layer.name), "seams": _seams(plan, layer)}
            for layer in plan.layers
        ],
        "tones": [
            {
                "layer": tone.layer,
                "channel": tone.channel,
                "course": tone.course,
                "from_s": tone.from_s,
                "to_s": tone.to_s,
            }
            for tone in promised.tones
        ],
        "beats": [{"mode": beat.mode, "carrier": beat.carrier, "beat": beat.beat} for beat in promised.beats],
        "ducking": None
        if ducking is None or not voice or "music" not in compiled.layer_gains_db
        else {
            "depth_db": ducking.depth_db,
            "attack_s": ducking.attack_ms / 1000,
            "hold_s": ducking.hold_ms / 1000,
            "release_s": ducking.release_ms / 1000,
        },
        "fade": _fade(plan),
    }


def _seconds(plan: RenderPlan, frame: int) -> float:
    return round(frame / plan.sample_rate, 3)


def _fade(plan: RenderPlan) -> dict[str, float]:
    fade = plan.fade
    frames = (fade.in_frames, fade.out_frames) if isinstance(fade, Fade) else (0, 0)
    return {"in_s": _seconds(plan, frames[0]), "out_s": _seconds(plan, frames[1])}


def _levels_db(plan: RenderPlan, job: RenderJob, layer: str) -> list[float]:
    """A layer's level as the job states it: one value where it stays, else values at equal distances."""
    points = getattr(job.gains.timeline, layer)
    if not points:
        return [job.gain_db(layer)]
    minutes = np.linspace(0.0, plan.frames / plan.sample_rate / 60, _PLACES)
    levels = np.interp(minutes, [point.at_min for point in points], [point.db for point in points])
    return [round(float(level), 2) for level in levels]


def _seams(plan: RenderPlan, layer: Layer) -> list[tuple[float, float]]:
    """Where music begins again: start and stop of each crossfade."""
    source = layer.source
    if not isinstance(source, Looped):
        return []
    starts = range(source.first_seam, plan.frames, source.period_frames)[:_MOST_SEAMS]
    return [(_seconds(plan, start), _seconds(plan, start + source.crossfade_frames)) for start in starts]
