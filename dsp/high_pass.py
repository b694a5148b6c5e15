"""A gentle high-pass for recordings: second-order Butterworth, 12 dB per octave, minimum phase.

Like the loudness meter's filter it runs as matrix products instead of a recursion per sample: a block's output is its
zero-state response plus the response to the two states at its start.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

_BLOCK_FRAMES = 256
_Matrix = NDArray[np.float64]


class HighPass:
    """Feed blocks in order; how the sound is cut into blocks makes no difference.

    Parameters
    ----------
    cutoff_hz : float
        Where the sound is 3 dB down; above 0 and below half the sample rate.
    sample_rate : int
        In Hz.

    Raises
    ------
    ValueError
        If the cutoff is out of range.

    Notes
    -----
    Bilinear transform of ``s**2 / (s**2 + sqrt(2) s + 1)`` with its frequency prewarped. States and sums are float64.
    """

    def __init__(self, cutoff_hz: float, sample_rate: int) -> None:
        if not 0 < cutoff_hz < sample_rate / 2:
            raise ValueError(f"cutoff of {cutoff_hz} Hz at {sample_rate} Hz; above 0 and below half of it is allowed")
        self._a, self._b, self._c, self._d = _state_space(cutoff_hz, sample_rate)
        self._forced, self._free, self._left, self._aged = _matrices(cutoff_hz, sample_rate)
        self._state = np.zeros((2, 2))  # by ear

    def add(self, block: Block) -> Block:
        """Filter the next frames, float32 of shape (frames, 2); returns an array of its own."""
        filtered = np.empty_like(block)
        whole = len(block) // _BLOCK_FRAMES * _BLOCK_FRAMES
        if whole:
            self._add_whole(block[:whole], filtered[:whole])
        for frame in range(whole, len(block)):
            sample = block[frame].astype(np.float64)
            filtered[frame] = self._state @ self._c + self._d * sample
            self._state = self._state @ self._a.T + np.outer(sample, self._b)
        return filtered

    def _add_whole(self, samples: Block, out: Block) -> None:
        ears = samples.T.astype(np.float64).reshape(2, -1, _BLOCK_FRAMES)
        forced, left = ears @ self._forced, ears @ self._left
        before = np.empty((2, ears.shape[1], 2))
        for number in range(ears.shape[1]):
            before[:, number] = self._state
            self._state = self._state @ self._aged + left[:, number]
        forced += before @ self._free
        out[:] = forced.reshape(2, -1).T


def _state_space(cutoff_hz: float, sample_rate: int) -> tuple[_Matrix, _Matrix, _Matrix, float]:
    """``x' = A x + B u, y = C x + D u``, transposed direct form II."""
    k = math.tan(math.pi * cutoff_hz / sample_rate)
    a0 = 1.0 + math.sqrt(2.0) * k + k * k
    b0, b1 = 1.0 / a0, -2.0 / a0
    a1, a2 = 2.0 * (k * k - 1.0) / a0, (1.0 - math.sqrt(2.0) * k + k * k) / a0
    a = np.array([[-a1, 1.0], [-a2, 0.0]])
    return a, np.array([b1 - a1 * b0, b0 - a2 * b0]), np.array([1.0, 0.0]), b0


@lru_cache(maxsize=4)
def _matrices(cutoff_hz: float, sample_rate: int) -> tuple[_Matrix, _Matrix, _Matrix, _Matrix]:
    """Input of a block to its output, states to the output, input to the states left, states to the states left."""
    a, b, c, d = _state_space(cutoff_hz, sample_rate)
    powers = [np.linalg.matrix_power(a, n) for n in range(_BLOCK_FRAMES + 1)]
    impulse = np.array([d, *(c @ powers[n] @ b for n in range(_BLOCK_FRAMES - 1))])
    forced = np.zeros((_BLOCK_FRAMES, _BLOCK_FRAMES))
    for n in range(_BLOCK_FRAMES):
        forced[n, n:] = impulse[: _BLOCK_FRAMES - n]
    free = np.array([c @ powers[n] for n in range(_BLOCK_FRAMES)]).T
    left = np.array([powers[_BLOCK_FRAMES - 1 - n] @ b for n in range(_BLOCK_FRAMES)])
    return forced, free, left, powers[_BLOCK_FRAMES].T
