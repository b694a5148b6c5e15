"""An estimate of a track's loudness from spans of it, where measuring all of it would take too long."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeVar

import numpy as np

from dsp.blocks import Block
from dsp.envelope import Constant, Curve, Values
from dsp.loudness import PREROLL_HOPS, LoudnessMeter, Measurement, hop_frames, joined
from dsp.plan import Layer, RenderPlan, render, render_layer
from worker.codec.parallel import parallel_map

_SPANS = 64
SPAN_HOPS: Final = 10
_GOLDEN = (5**0.5 - 1) / 2

Part = TypeVar("Part")


@dataclass(frozen=True)
class SampledSpans:
    """Where spans of equal length begin in a track; end to end they are a shorter track of their own."""

    starts: tuple[int, ...]
    frames: int

    def parts(self, start: int, stop: int, make: Callable[[int, int], Part]) -> list[Part]:
        """Make frames `[start, stop)` of the shorter track, from those of the whole one that they stand for."""
        found = []
        while start < stop:
            number, offset = divmod(start, self.frames)
            count = min(stop - start, self.frames - offset)
            first = self.starts[number] + offset
            found.append(make(first, first + count))
            start += count
        return found


@dataclass(frozen=True)
class _LayerSource:
    """A layer as it is in the spans: at its gain, in its place."""

    layer: Layer
    spans: SampledSpans

    def render(self, start: int, stop: int) -> Block:
        return np.concatenate(self.spans.parts(start, stop, self._sound))

    def _sound(self, start: int, stop: int) -> Block:
        sound = render_layer(self.layer, start, stop)
        return np.zeros((stop - start, 2), np.float32) if sound is None else sound

    def silent(self, start: int, stop: int) -> bool:
        return all(self.spans.parts(start, stop, self.layer.is_silent))


@dataclass(frozen=True)
class _Curve:
    curve: Curve
    spans: SampledSpans

    def at(self, start: int, stop: int) -> float | Values:
        parts = self.spans.parts(start, stop, lambda first, last: (self.curve.at(first, last), last - first))
        values = [value for value, _ in parts]
        if all(isinstance(value, float) and value == values[0] for value in values):
            return float(values[0])
        return np.concatenate([np.broadcast_to(np.asarray(value, np.float64), (frames,)) for value, frames in parts])


def sampled_spans(plan: RenderPlan, spoken: Sequence[tuple[int, int]] = ()) -> SampledSpans:
    """Spans of a second: where something is spoken, and where nothing is, as many as belong there.

    Parameters
    ----------
    spoken : sequence of (start, stop)
        In frames and in order. A voice that is heard now and then would else be in too many of them, or in too few.
    """
    frames = SPAN_HOPS * hop_frames(plan.sample_rate)
    last = max(plan.frames - frames, 0)
    voiced = [(min(start, last), min(stop, last)) for start, stop in spoken]
    edges = [0, *(edge for span in voiced for edge in span), last]
    silent = list(zip(edges[::2], edges[1::2], strict=True))
    return SampledSpans(tuple(sorted([*_places(voiced, last), *_places(silent, last)])), frames)


def _places(parts: Sequence[tuple[int, int]], of: int) -> Iterator[int]:
    """Places in some parts of a track of so many frames: one in each equal share of them.

    Within its share a place follows the golden ratio: at equal distances all might meet the same moment of something
    that comes again and again.
    """
    lengths = [stop - start for start, stop in parts]
    total = sum(lengths)
    count = max(1, round(_SPANS * total / of)) if total else 0
    ends = list(accumulate(lengths))
    for number in range(count):
        place = int((number + _GOLDEN * number % 1) * total / count)
        part = bisect_right(ends, place)
        yield parts[part][1] - (ends[part] - place)


def shortened(plan: RenderPlan, spans: SampledSpans) -> RenderPlan:
    """The spans of a plan as a plan: what is found of it is an estimate of what would be found of the whole."""
    layers = tuple(Layer(layer.name, _LayerSource(layer, spans), Constant(1.0)) for layer in plan.layers)
    return RenderPlan(plan.sample_rate, len(spans.starts) * spans.frames, layers, _Curve(plan.fade, spans))


def measure_spans(plan: RenderPlan, spans: SampledSpans, *, threads: int = 1) -> Measurement:
    """Measure the spans of a plan, each after what comes before it in the track; the same for any `threads`."""
    hop = hop_frames(plan.sample_rate)

    def measured(start: int) -> Measurement:
        preroll = min(PREROLL_HOPS, start // hop)
        meter = LoudnessMeter(plan.sample_rate, preroll_hops=preroll)
        meter.add(render(plan, start - preroll * hop, start + spans.frames))
        return meter.result()

    return joined(list(parallel_map(spans.starts, measured, threads=threads)))


def is_worth_it(plan: RenderPlan) -> bool:
    """Whether the spans are much shorter than the track."""
    return plan.frames > 2 * _SPANS * SPAN_HOPS * hop_frames(plan.sample_rate)
