"""Where a layer sits between the channels: pan by constant power, width by middle and sides."""

from __future__ import annotations

import math

import numpy as np

from dsp.blocks import Block
from dsp.envelope import Curve, Values


def channel_gains(position: float | Values) -> tuple[float | Values, float | Values]:
    """Linear gains of the left and right channel for a place between -1, left, and 1, right.

    Constant power: the sine and cosine of an angle of a quarter turn in all (the pan law of 3 dB), at the scale that
    leaves the middle as it is. So a layer has the same power wherever it is placed; at an end its one channel is
    3 dB louder.

    Parameters
    ----------
    position : float, or float64 array of shape (frames,)
        -1 to 1; the angle is linear in it.
    """
    if isinstance(position, np.ndarray):
        angle = (position + 1.0) * (np.pi / 4.0)
        return math.sqrt(2.0) * np.cos(angle), math.sqrt(2.0) * np.sin(angle)
    turn = (position + 1.0) * (math.pi / 4.0)
    return math.sqrt(2.0) * math.cos(turn), math.sqrt(2.0) * math.sin(turn)


def pan(block: Block, position: Curve, start: int) -> Block:
    """Place a block in its channels, in place, frame by frame.

    A layer with the same sound in both channels moves between them. Of one that has two different ones the farther
    channel is turned down: what is in that channel alone is heard less.

    Parameters
    ----------
    block : float32 array, shape (frames, 2)
    position : Curve
        As of `channel_gains`, over the absolute frame.
    start : int
        The block's first frame.
    """
    for channel, gain in enumerate(channel_gains(position.at(start, start + len(block)))):
        block[:, channel] *= gain.astype(np.float32) if isinstance(gain, np.ndarray) else np.float32(gain)
    return block


def widen(block: Block, width: float) -> Block:
    """Scale the sides of a block, in place: 0 makes it mono, 1 leaves it, 2 doubles what differs between channels.

    Raises `ValueError` if `width` is negative.
    """
    if width < 0.0:
        raise ValueError(f"width is {width}; at least 0 is allowed")
    if width != 1.0:
        middle = 0.5 * (block[:, 0] + block[:, 1])
        sides = np.float32(0.5 * width) * (block[:, 0] - block[:, 1])
        block[:, 0] = middle + sides
        block[:, 1] = middle - sides
    return block
