"""Where the layers of a plan are: their frames, fades and place between the channels; and what speakers get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dsp.blocks import Source
from dsp.envelope import Breakpoints, Constant, Curve, Fade, FadedSpans
from dsp.plan import NO_FADE, Layer, RenderPlan
from worker.payload.layers import Bed, BinauralLayer, LayerFields, Panned, Sounding, SpeechLayer
from worker.plan.fit import shortened
from worker.plan.recordings import Music, in_frames
from worker.plan.sources import beat, course

SHORTEST_FADE_S: Final = 0.005  # of a span: what begins or ends at once clicks


@dataclass(frozen=True)
class Times:
    """From which to which frame of the track a layer may sound, and where its source has its frame 0.

    `spans` are those of its `when` that are within; None where it has none.
    """

    start: int
    stop: int
    origin: int
    spans: tuple[tuple[int, int], ...] | None = None

    @property
    def frames(self) -> int:
        """How long it is."""
        return self.stop - self.start


def times_of(layer: LayerFields, frames: int, recording: Music | None) -> Times | None:
    """Tell where a layer may sound in a track of so many frames; None if nowhere.

    What is heard once ends with its recording. Words and the points of a timeline are at times of the track; all other
    sources begin with their layer.
    """
    start = in_frames(layer.start_s)
    stop = frames if layer.end_s is None else min(in_frames(layer.end_s), frames)
    if recording is not None and recording.once:
        stop = min(stop, start + recording.clip.frames)
    if start >= stop:
        return None
    spans = _spans(layer, start, stop) if isinstance(layer, Sounding) and layer.when else None
    if spans == ():
        return None
    return Times(start, stop, 0 if isinstance(layer, SpeechLayer | BinauralLayer) else start, spans)


def _spans(layer: Sounding, start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The spans of a layer's `when` as far as they are in its time."""
    stated = (
        (max(in_frames(span.start_s), start), stop if span.end_s is None else min(in_frames(span.end_s), stop))
        for span in layer.when
    )
    return tuple((first, last) for first, last in stated if first < last)


def left_out_note(layer: LayerFields, times: Times | None) -> str | None:
    """Say what of a layer is not heard, since the track or its recording has ended; None where all of it is."""
    spans = len(layer.when) if isinstance(layer, Sounding) else 0
    heard = 0 if times is None or times.spans is None else len(times.spans)
    if spans > heard:
        return (
            f"Of the {spans} spans of {layer.name}.when {spans - heard} begin after the track or the recording "
            "has ended, so they are not heard."
        )
    return None if times else f"The layer {layer.name} begins after the track has ended, so it is not heard."


def placed_layer(layer: LayerFields, source: Source, gain: Curve, times: Times, frames: int) -> Layer:
    """Put a source into its place in a track of so many frames."""
    return Layer(
        layer.name,
        source,
        gain,
        start=times.start,
        stop=None if times.stop == frames else times.stop,
        origin=times.origin,
        fade=_fade(layer, times),
        pan=_pan(layer),
        width=layer.width if isinstance(layer, Bed) else 1.0,
    )


def _fade(layer: LayerFields, times: Times) -> Constant | Fade | FadedSpans:
    """The fades of a layer, at each of its spans: there with a few milliseconds at least, so that none clicks."""
    fades = in_frames(layer.fade_in_ms / 1000), in_frames(layer.fade_out_ms / 1000)
    if times.spans is None:
        return Fade(times.frames, *shortened(*fades, times.frames)) if any(fades) else NO_FADE
    fade_in, fade_out = (max(fade, in_frames(SHORTEST_FADE_S)) for fade in fades)
    return FadedSpans(
        tuple(start - times.start for start, _ in times.spans),
        tuple(Fade(stop - start, *shortened(fade_in, fade_out, stop - start)) for start, stop in times.spans),
    )


def _pan(layer: LayerFields) -> Curve | None:
    if not isinstance(layer, Panned) or not layer.pan:
        return None
    position = course(((point.at_min, point.pan) for point in layer.pan), 0.0)
    return position if isinstance(position, Breakpoints) else Constant(position)


def for_speakers(plan: RenderPlan, beats: Mapping[str, BinauralLayer]) -> RenderPlan:
    """The same plan with its binaural beats as speakers can give them."""
    layers = (
        replace(layer, source=beat(beats[layer.name], for_speakers=True)) if layer.name in beats else layer
        for layer in plan.layers
    )
    return replace(plan, layers=tuple(layers))
