"""Steps from one sample to the next that stand out from those around them: clicks."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dsp.blocks import Block, gain_to_db

CLICK_DB = 20.0
"""A step so far above all others around it is called a click."""

_CHUNKS_PER_S = 100
_AROUND_CHUNKS = 15
_SMALLEST_STEP = 10.0 ** (-50.0 / 20.0)
_MOST_CLICKS = 10


@dataclass(frozen=True)
class Step:
    """A step from one sample to the next: where, how large, and by how much larger than all within 0.15 s around."""

    at_s: float
    size_dbfs: float
    above_surroundings_db: float


class Steps:
    """Accumulator: add a file block by block, then take the steps that stand out."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = max(1, sample_rate // _CHUNKS_PER_S)
        self._rest: Block = np.zeros((0, 2), np.float32)
        self._maxima = array("f")  # of each chunk

    def add(self, block: Block) -> None:
        """Look at the next block."""
        samples = np.concatenate([self._rest, block])
        chunks = max(0, len(samples) - 1) // self._size
        self._rest = samples[chunks * self._size :].copy()
        steps = np.abs(np.diff(samples[: chunks * self._size + 1], axis=0))
        largest = np.maximum(steps[:, 0], steps[:, 1]).reshape(chunks, self._size).max(axis=1)
        self._maxima.frombytes(largest.tobytes())

    def result(self) -> list[Step]:
        """All steps found, the most prominent first."""
        if not self._maxima:
            return []
        around = _AROUND_CHUNKS
        here = np.array(self._maxima, np.float32)
        windows = sliding_window_view(np.pad(here, around), 2 * around + 1)
        # a step may lie at the edge of a chunk and ring on: its neighbours are left out
        others = np.maximum(windows[:, : around - 1].max(axis=1), windows[:, around + 2 :].max(axis=1))
        over = here / np.maximum(others, 1e-5)
        large = np.flatnonzero(here > _SMALLEST_STEP)
        return [
            Step(
                at_s=round(int(chunk) * self._size / self._rate, 2),
                size_dbfs=round(gain_to_db(float(here[chunk])), 1),
                above_surroundings_db=round(gain_to_db(float(over[chunk])), 1),
            )
            for chunk in large[np.argsort(-over[large], kind="stable")][:_MOST_CLICKS]
        ]
