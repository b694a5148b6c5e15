"""The lowest and the highest sample of each stretch of a track: what a player draws as its waveform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

_FULL_SCALE = 128.0


class WaveformPeaks:
    """Takes a track block by block, in any blocks.

    Parameters
    ----------
    frames_per_pixel : int
        Frames of a stretch; the last one may be shorter.
    """

    def __init__(self, frames_per_pixel: int) -> None:
        self.frames_per_pixel = frames_per_pixel
        self._pixels: list[NDArray[np.int8]] = []
        self._rest = np.zeros(0, np.float32)

    def add(self, block: Block) -> None:
        """Take the next frames, shape (frames, 2); what counts is the mean of both channels."""
        mono = np.concatenate((self._rest, block[:, 0] * np.float32(0.5) + block[:, 1] * np.float32(0.5)))
        whole = len(mono) // self.frames_per_pixel * self.frames_per_pixel
        self._rest = mono[whole:]
        if whole:
            self._pixels.append(_peaks(mono[:whole].reshape(-1, self.frames_per_pixel)))

    def result(self) -> NDArray[np.int8]:
        """Return lowest and highest of all stretches, shape (pixels, 2): full scale is -128 to 127."""
        last = [_peaks(self._rest[None])] if len(self._rest) else []
        return np.concatenate([np.zeros((0, 2), np.int8), *self._pixels, *last])


def _peaks(stretches: NDArray[np.float32]) -> NDArray[np.int8]:
    ends = np.stack((stretches.min(axis=1), stretches.max(axis=1)), axis=1) * np.float32(_FULL_SCALE)
    return np.clip(np.trunc(ends), -_FULL_SCALE, _FULL_SCALE - 1.0).astype(np.int8)
