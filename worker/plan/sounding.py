"""When the layers of a plan sound: the report and the studio's lanes carry it, and pictures draw it.

`sounding_spans` and `read_sounding_spans` belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dsp.plan import Layer, RenderPlan
from worker.payload.layers import LONGEST_NAME, MOST_LAYERS, MOST_SPANS

SoundingSpan = tuple[float, float, float, float]
"""From where to where a layer sounds, and how much of that are its fade-in and its fade-out, all in seconds."""
_LONGEST_S: Final = 1e6


def sounding_spans(plan: RenderPlan, layer: Layer) -> tuple[SoundingSpan, ...]:
    """Give the spans in which a layer sounds, with its own fades; the track's are not among them."""

    def seconds(frames: int) -> float:
        return round(frames / plan.sample_rate, 3)

    return tuple(
        (seconds(start), seconds(stop), seconds(fade.in_frames), seconds(fade.out_frames))
        for start, stop, fade in layer.spans(plan.frames)
    )


def read_sounding_spans(layers: object) -> dict[str, tuple[SoundingSpan, ...]]:
    """Read ``sounds`` of each layer of a report; layers of older reports have none.

    Raises `ValueError` for what `sounding_spans` would not have given.
    """
    if layers is None:
        return {}
    if not isinstance(layers, Mapping) or len(layers) > MOST_LAYERS:
        raise ValueError(f"`layers` is no object of at most {MOST_LAYERS}")
    return {
        str(name)[:LONGEST_NAME]: tuple(_span(span) for span in _list(figures["sounds"], MOST_SPANS))
        for name, figures in layers.items()
        if isinstance(figures, Mapping) and "sounds" in figures
    }


def _span(value: object) -> SoundingSpan:
    start, stop, fade_in, fade_out = (_seconds(each) for each in _list(value, 4))
    return start, stop, fade_in, fade_out


def _list(value: object, most: int) -> list[object]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"a list of at most {most} is needed")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        raise ValueError("seconds are needed")
    return float(value)
