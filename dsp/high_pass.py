"""A gentle high-pass for recordings: second-order Butterworth, 12 dB per octave, minimum phase."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.block_filter import BlockMatrices, block_matrices
from dsp.blocks import Block

_BLOCK_FRAMES = 256


class HighPass:
    """Filters blocks in order; how the sound is cut into blocks makes no difference.

    Raises `ValueError` if the cutoff is out of range.

    Parameters
    ----------
    cutoff_hz : float
        Where the sound is 3 dB down; above 0 and below half the sample rate.
    sample_rate : int
        In Hz.

    Notes
    -----
    Bilinear transform of ``s**2 / (s**2 + sqrt(2) s + 1)`` with its frequency prewarped. States and sums are float64.
    """

    def __init__(self, cutoff_hz: float, sample_rate: int) -> None:
        if not 0 < cutoff_hz < sample_rate / 2:
            raise ValueError(f"cutoff of {cutoff_hz} Hz at {sample_rate} Hz; above 0 and below half of it is allowed")
        self._matrices = _matrices(cutoff_hz, sample_rate)
        self._state = np.zeros((2, 2))  # by channel

    def add(self, block: Block) -> Block:
        """Filter the next frames, float32 of shape (frames, 2); returns an array of its own."""
        filtered = np.empty_like(block)
        whole = len(block) // _BLOCK_FRAMES * _BLOCK_FRAMES
        for matrices, part in zip(self._matrices, (slice(whole), slice(whole, None)), strict=True):
            filtered[part] = self._filtered(block[part], matrices)
        return filtered

    def _filtered(self, samples: Block, matrices: BlockMatrices) -> NDArray[np.float64]:
        channels = samples.T.astype(np.float64).reshape(2, -1, len(matrices.zero_state))
        output, left = channels @ matrices.zero_state, channels @ matrices.left
        before = np.empty_like(left)
        for number in range(channels.shape[1]):
            before[:, number] = self._state
            self._state = self._state @ matrices.transition.T + left[:, number]
        output += before @ matrices.zero_input
        return output.reshape(2, -1).T


@lru_cache(maxsize=4)
def _matrices(cutoff_hz: float, sample_rate: int) -> tuple[BlockMatrices, BlockMatrices]:
    """The filter over whole blocks, and over single frames."""
    section = butterworth_high_pass(cutoff_hz, sample_rate)
    return block_matrices(section, _BLOCK_FRAMES), block_matrices(section, 1)


def butterworth_high_pass(cutoff_hz: float, sample_rate: int) -> NDArray[np.float64]:
    """The filter as a second-order section ``b0 b1 b2 a0 a1 a2``, shape (1, 6)."""
    k = math.tan(math.pi * cutoff_hz / sample_rate)
    a0 = 1.0 + math.sqrt(2.0) * k + k * k
    b0 = 1.0 / a0
    return np.array([[b0, -2.0 * b0, b0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - math.sqrt(2.0) * k + k * k) / a0]])
