"""The plan: a track as a pure function of time. Any span can be made on its own, in any order, on any thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsp.blocks import Block, Source, amplify
from dsp.envelope import Curve


@dataclass(frozen=True)
class Layer:
    """One source of the mix: voice, music, solfeggio, binaural or noise, at a linear gain."""

    name: str
    source: Source
    gain: Curve


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
    for block in sounding:
        mix += block
    amplify(mix, plan.fade.at(first, last))
    if (first, last) != (start, stop):
        mix = np.pad(mix, ((first - start, stop - last), (0, 0)))
    return mix


def render_layer(layer: Layer, start: int, stop: int) -> Block | None:
    """Make one layer at its gain, without the fade; None where it is silent all through."""
    gain = layer.gain.at(start, stop)
    silent = getattr(layer.source, "silent", None)
    if (isinstance(gain, float) and gain == 0.0) or (silent is not None and silent(start, stop)):
        return None
    return amplify(layer.source.render(start, stop), gain)
