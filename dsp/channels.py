"""What two channels have to do with each other: their DC, polarity and balance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

Sums = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelFigures:
    """Figures of two channels.

    Attributes
    ----------
    dc : tuple of float
        Mean of the left and the right channel, full scale 1.
    correlation : float
        Between the channels: 1 for mono, -1 where one has the opposite polarity; 0 where one is silent.
    balance_db : float
        Level of the left channel over the right one; 0 for mono. Neither has its DC in it.
    """

    dc: tuple[float, float]
    correlation: float
    balance_db: float


def channel_figures(sums: Sums, products: Sums, frames: int) -> ChannelFigures:
    """Work out the figures.

    Parameters
    ----------
    sums : float64 array, shape (2,)
        Of the samples of each channel.
    products : float64 array, shape (3,)
        Of left with left, right with right, left with right.
    frames : int
        As many as were summed; at least 1.
    """
    dc = sums / frames
    squares = products - np.array([*(dc**2), dc[0] * dc[1]]) * frames
    both = math.sqrt(max(squares[0], 0.0) * max(squares[1], 0.0))
    return ChannelFigures(
        dc=(float(dc[0]), float(dc[1])),
        correlation=float(squares[2]) / both if both > 0.0 else 0.0,
        balance_db=10.0 * math.log10(max(squares[0], 1e-20) / max(squares[1], 1e-20)),
    )


class ChannelMeter:
    """Accumulator of `ChannelFigures`."""

    def __init__(self) -> None:
        self._sums, self._products = np.zeros(2), np.zeros(3)

    def add(self, block: Block) -> None:
        """Measure a block, float32 of shape (frames, 2)."""
        left, right = np.ascontiguousarray(block.T)
        one = np.ones(len(block), np.float32)
        self._sums += (left @ one, right @ one)
        self._products += (left @ left, right @ right, left @ right)

    def result(self, frames: int) -> ChannelFigures:
        """Figures of all blocks so far, if so many frames of them hold sound: digital silence has no DC."""
        return channel_figures(self._sums, self._products, max(frames, 1))
