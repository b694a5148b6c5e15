"""A compiled plan as lanes over time: spoken lines, music with its seams, tones, beats, levels, ducking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from dsp.envelope import Fade
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Looped
from worker.payload.layers import Ducked
from worker.payload.layers import Layer as AnyLayer
from worker.payload.schema import Ducking, RenderJob
from worker.plan.compile import Compiled
from worker.plan.promised import promised_of
from worker.plan.sounding import sounding_spans

_PLACES: Final = 240  # of a level over time
_MOST_SPANS: Final = 20_000
_MOST_SEAMS: Final = 5_000


def lanes_of(job: RenderJob, compiled: Compiled) -> dict[str, Any]:
    """Describe a plan for the page, in seconds, Hz and dB.

    `voice` is rows of (start, stop, line, layer); a line's words are in `lines`, once however often it is spoken, and
    the layer is one of `voices`.
    """
    plan = compiled.plan
    promised = promised_of(plan, 0.0)
    lines: dict[str, int] = {}
    voices = {name: number for number, name in enumerate(compiled.voices)}
    voice = [
        (
            _seconds(plan, span.start),
            _seconds(plan, span.stop),
            lines.setdefault(span.text, len(lines)),
            voices[span.layer],
        )
        for span in compiled.spoken[:_MOST_SPANS]
    ]
    lanes = [_lane(plan, layer, placed, voices) for layer, placed in zip(compiled.layers, plan.layers, strict=True)]
    ducking = job.ducking or Ducking()
    return {
        "seconds": _seconds(plan, plan.frames),
        "lines": list(lines),
        "voices": list(voices),
        "voice": voice,
        "repetitions": compiled.repetitions,
        "layers": lanes,
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
        "beats": [
            {"layer": beat.layer, "mode": beat.mode, "carrier": beat.carrier, "beat": beat.beat}
            for beat in promised.beats
        ],
        "ducking": None
        if not voice or not any(lane["ducked_by"] for lane in lanes)
        else {
            "depth_db": ducking.depth_db,
            "attack_s": ducking.attack_ms / 1000,
            "hold_s": ducking.hold_ms / 1000,
            "release_s": ducking.release_ms / 1000,
        },
        "fade": _fade(plan),
    }


def _lane(plan: RenderPlan, layer: AnyLayer, placed: Layer, voices: Mapping[str, int]) -> dict[str, Any]:
    first, last = placed.within(0, plan.frames)
    ducked_by = layer.ducked_by if isinstance(layer, Ducked) else ()
    return {
        "name": layer.name,
        "kind": layer.kind,
        "from_s": _seconds(plan, first),
        "to_s": _seconds(plan, last),
        "spans": sounding_spans(plan, placed),
        "levels_db": _levels_db(plan, layer),
        "seams": _seams(plan, placed),
        "ducked_by": [voices[name] for name in ducked_by if name in voices],
    }


def _seconds(plan: RenderPlan, frame: int) -> float:
    return round(frame / plan.sample_rate, 3)


def _fade(plan: RenderPlan) -> dict[str, float]:
    fade = plan.fade
    frames = (fade.in_frames, fade.out_frames) if isinstance(fade, Fade) else (0, 0)
    return {"in_s": _seconds(plan, frames[0]), "out_s": _seconds(plan, frames[1])}


def _levels_db(plan: RenderPlan, layer: AnyLayer) -> list[float]:
    """A layer's level as the job states it: one value where it stays, else values at equal distances."""
    if not layer.gain:
        return [layer.gain_db]
    minutes = np.linspace(0.0, plan.frames / plan.sample_rate / 60, _PLACES)
    levels = np.interp(minutes, [point.at_min for point in layer.gain], [point.db for point in layer.gain])
    return [round(float(level), 2) for level in levels]


def _seams(plan: RenderPlan, layer: Layer) -> list[tuple[float, float]]:
    """Where music begins again: start and stop of each crossfade."""
    source = layer.source
    if not isinstance(source, Looped):
        return []
    first_seam = source.first_seam + layer.origin
    found: list[int] = []
    for first, last, _ in layer.spans(plan.frames):
        passed = max(0, -(-(first - first_seam) // source.period_frames))
        found += range(first_seam + passed * source.period_frames, last, source.period_frames)[:_MOST_SEAMS]
    return [(_seconds(plan, start), _seconds(plan, start + source.crossfade_frames)) for start in found[:_MOST_SEAMS]]
