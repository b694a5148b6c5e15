"""The plan: a track as a pure function of time. Any span can be made on its own, in any order, on any thread."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Final

import numpy as np

from dsp.blocks import Block, Source, amplify
from dsp.envelope import Constant, Curve, Fade, FadedSpans
from dsp.stereo import pan, widen

NO_FADE: Final = Constant(1.0)


@dataclass(frozen=True)
class Layer:
    """One source of the mix: a voice, music, a tone, a beat or noise, at a linear gain.

    Raises `ValueError` if it ends before it begins.

    Parameters
    ----------
    start, stop : int
        It is silent before and from there on, and costs nothing; to the track's end if `stop` is None.
    origin : int
        Frame of the track at which the source has its frame 0.
    fade : Fade, FadedSpans or NO_FADE
        Linear gain, counted from `start`; between its spans the layer is silent, and costs nothing either.
    pan : Curve, optional
        Place between the channels, as of `dsp.stereo.pan`.
    width : float
        As of `dsp.stereo.widen`; before the pan.
    """

    name: str
    source: Source
    gain: Curve
    _: KW_ONLY
    start: int = 0
    stop: int | None = None
    origin: int = 0
    fade: Constant | Fade | FadedSpans = NO_FADE
    pan: Curve | None = None
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise ValueError(f"a layer from frame {self.start} to {self.stop}; 0 <= start <= stop is needed")

    def within(self, start: int, stop: int) -> tuple[int, int]:
        """The frames of `[start, stop)` in which the layer may sound; empty, or reversed, where there are none."""
        first, last = max(start, self.start), stop if self.stop is None else min(stop, self.stop)
        if isinstance(self.fade, FadedSpans) and first < last:
            first, last = (frame + self.start for frame in self.fade.within(first - self.start, last - self.start))
        return first, last

    def spans(self, frames: int) -> FadedSpans:
        """Where it sounds in a track of so many frames, and how it fades there."""
        if isinstance(self.fade, FadedSpans):
            return replace(self.fade, starts=tuple(start + self.start for start in self.fade.starts))
        first, last = self.within(0, frames)
        if first >= last:
            return FadedSpans((), ())
        return FadedSpans((first,), (self.fade if isinstance(self.fade, Fade) else Fade(last - first, 0, 0),))

    def is_silent(self, start: int, stop: int) -> bool:
        """Whether nothing of it sounds within `[start, stop)`, as far as that is known without making it."""
        first, last = self.within(start, stop)
        if first >= last:
            return True
        silent = getattr(self.source, "silent", None)
        return silent is not None and bool(silent(first - self.origin, last - self.origin))


@dataclass(frozen=True)
class RenderPlan:
    """A track before the master gain and the limiter.

    Parameters
    ----------
    frames : int
        Length of the track; the sample rate is in Hz.
    layers : tuple of Layer
        They are summed; no layer changes another.
    fade : Curve
        Linear gain over the whole mix.
    """

    sample_rate: int
    frames: int
    layers: tuple[Layer, ...]
    fade: Curve


def render(plan: RenderPlan, start: int, stop: int) -> Block:
    """Mix frames `[start, stop)`; outside the track there is silence.

    Returns
    -------
    block : float32 array, shape (stop - start, 2)
        The caller's own. Sums may go beyond full scale.
    """
    first, last = max(start, 0), min(stop, plan.frames)
    if first >= last:
        return np.zeros((stop - start, 2), np.float32)
    layers = (render_layer(layer, first, last) for layer in plan.layers)
    sounding = (block for block in layers if block is not None)
    mix = next(sounding, None)
    if mix is None:
        return np.zeros((stop - start, 2), np.float32)
    if not mix.flags.writeable:
        mix = mix.copy()
    for block in sounding:
        mix += block
    amplify(mix, plan.fade.at(first, last))
    if (first, last) != (start, stop):
        mix = np.pad(mix, ((first - start, stop - last), (0, 0)))
    return mix


def render_layer(layer: Layer, start: int, stop: int) -> Block | None:
    """Make one layer at its gain, without the track's fade; None where it is silent all through.

    Read-only where the source shares its blocks.
    """
    if layer.is_silent(start, stop):
        return None
    first, last = layer.within(start, stop)
    gain = layer.gain.at(first, last)
    if isinstance(gain, float) and gain == 0.0:
        return None
    span = first - layer.origin, last - layer.origin
    at_gain = getattr(layer.source, "at_gain", None)
    if at_gain is not None and isinstance(gain, float):
        block: Block = at_gain(*span, gain)  # a steady tone keeps its blocks at their gain
    else:
        block = layer.source.render(*span)
        block = amplify(block if block.flags.writeable else block.copy(), gain)
    if not block.flags.writeable and (layer.width != 1.0 or layer.fade is not NO_FADE or layer.pan is not None):
        block = block.copy()
    widen(block, layer.width)
    if layer.fade is not NO_FADE:
        amplify(block, layer.fade.at(first - layer.start, last - layer.start))
    if layer.pan is not None:
        pan(block, layer.pan, first)
    if (first, last) != (start, stop):
        block = np.pad(block, ((first - start, stop - last), (0, 0)))
    return block
