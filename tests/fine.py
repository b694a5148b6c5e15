"""Momentary and short-term loudness in steps of 10 ms, as the cases of EBU Tech 3341 need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block
from dsp.k_weighting import Energies
from dsp.loudness import measure


def finely(loudness: Callable[[Energies], NDArray[np.float64]], programme: Block, rate: int) -> NDArray[np.float64]:
    """Loudness every 10 ms, from ten measurements that begin with 0 to 90 ms of silence; shape (hops, 10)."""
    shifts = [np.zeros((n * rate // 100, 2), np.float32) for n in range(10)]
    found = [loudness(measure([shift, programme], rate).energies) for shift in shifts]
    hops = min(map(len, found))
    return np.stack([values[:hops] for values in found], axis=1)
