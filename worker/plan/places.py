"""Where the layers of a plan are: their frames, fades and place between the channels; and what speakers get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dsp.blocks import Source
from dsp.envelope import Breakpoints, Constant, Curve, Fade
from dsp.plan import NO_FADE, Layer, RenderPlan
from worker.payload.layers import Bed, BinauralLayer, LayerFields, Panned, SpeechLayer
from worker.plan.fit import shortened
from worker.plan.recordings import Music, in_frames
from worker.plan.sources import beat, course


@dataclass(frozen=True)
class Times:
    """From which to which frame of the track a layer may sound, and where its source has its frame 0."""

    start: int
    stop: int
    origin: int

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
    return Times(start, stop, origin=0 if isinstance(layer, SpeechLayer | BinauralLayer) else start)


def placed_layer(layer: LayerFields, source: Source, gain: Curve, times: Times, frames: int) -> Layer:
    """Put a source into its place in a track of so many frames."""
    in_frames_, out_frames = shortened(
        in_frames(layer.fade_in_ms / 1000), in_frames(layer.fade_out_ms / 1000), times.frames
    )
    return Layer(
        layer.name,
        source,
        gain,
        start=times.start,
        stop=None if times.stop == frames else times.stop,
        origin=times.origin,
        fade=Fade(times.frames, in_frames_, out_frames) if in_frames_ or out_frames else NO_FADE,
        pan=_pan(layer),
        width=layer.width if isinstance(layer, Bed) else 1.0,
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
