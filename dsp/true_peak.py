"""True peak by ITU-R BS.1770-5 Annex 2: the peak of the signal between its samples, at eight times the sample rate
(the standard asks for at least four)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

OVERSAMPLING = 8
REACH_FRAMES = 16  # of the interpolating filter, to either side
NEAR = 2.0
"""Only where a sample comes within this factor (6 dB) of what matters is the signal between samples looked at.

A sine at a quarter of the sample rate rises 3 dB above its samples; white noise of even distribution, whose energy
reaches up to half the sample rate, rises 5.8 dB.
"""
_ROW_FRAMES = 32


@lru_cache(maxsize=1)
def _interpolator() -> NDArray[np.float32]:
    """One row of samples and its surroundings to the points between it and the next each sample.

    A Kaiser-windowed sinc; shape (_ROW_FRAMES + 2 * REACH_FRAMES, (OVERSAMPLING - 1) * _ROW_FRAMES).
    """
    beta = 6.0
    matrix = np.zeros((_ROW_FRAMES + 2 * REACH_FRAMES, OVERSAMPLING - 1, _ROW_FRAMES))
    for phase in range(1, OVERSAMPLING):
        offsets = np.arange(-REACH_FRAMES + 1, REACH_FRAMES + 1) - phase / OVERSAMPLING
        taps = np.sinc(offsets) * np.i0(beta * np.sqrt(1.0 - (offsets / REACH_FRAMES) ** 2)) / np.i0(beta)
        taps /= taps.sum()
        for frame in range(_ROW_FRAMES):
            matrix[frame + 1 : frame + 1 + 2 * REACH_FRAMES, phase - 1, frame] = taps
    flat: NDArray[np.float32] = matrix.reshape(_ROW_FRAMES + 2 * REACH_FRAMES, -1).astype(np.float32)
    return flat


def frame_peaks(padded: Block, floor: float) -> NDArray[np.float32]:
    """Largest magnitude at each frame and between it and the next, over both ears.

    Parameters
    ----------
    padded : float32 array, shape (REACH_FRAMES + frames + REACH_FRAMES, 2)
        The stretch and its surroundings.
    floor : float
        Where no sample nearby exceeds ``floor / NEAR`` only the samples themselves count: a true peak above `floor`
        cannot be missed there by any programme that rises less than 6 dB between its samples.

    Returns
    -------
    peaks : float32 array, shape (frames,)
    """
    frames = len(padded) - 2 * REACH_FRAMES
    magnitude = np.maximum(np.abs(padded[:, 0]), np.abs(padded[:, 1]))
    peaks: NDArray[np.float32] = magnitude[REACH_FRAMES : REACH_FRAMES + frames].copy()
    if not frames or not magnitude.max() > floor / NEAR:
        return peaks
    # rows of frames, and the rows beside them: a row and its surroundings lie within three of them
    rows = -(-frames // _ROW_FRAMES)
    length = rows * _ROW_FRAMES + 2 * REACH_FRAMES
    magnitude = np.pad(magnitude, (0, length - len(magnitude)))
    while len(magnitude) * REACH_FRAMES > length:  # folded in halves, which is faster than by rows
        magnitude = np.maximum(magnitude[0::2], magnitude[1::2])
    per_row = _ROW_FRAMES // REACH_FRAMES
    near = magnitude[: rows * per_row : per_row]
    for n in range(1, per_row + 2):
        near = np.maximum(near, magnitude[n : n + rows * per_row : per_row])
    (hot,) = np.nonzero(near > floor / NEAR)
    between = np.zeros((rows, _ROW_FRAMES), np.float32)
    for ear in (0, 1):
        samples = np.pad(padded[:, ear], (0, length - len(padded)))
        windows = np.lib.stride_tricks.sliding_window_view(samples, _ROW_FRAMES + 2 * REACH_FRAMES)[::_ROW_FRAMES]
        points = windows[hot] @ _interpolator()
        np.abs(points, out=points)
        between[hot] = np.maximum(between[hot], points.reshape(len(hot), OVERSAMPLING - 1, _ROW_FRAMES).max(axis=1))
    return np.maximum(peaks, between.reshape(-1)[:frames])


class TruePeak:
    """Running true peak of a programme given block by block."""

    def __init__(self) -> None:
        self._past: Block = np.zeros((2 * REACH_FRAMES, 2), np.float32)
        self._peak = 0.0

    def add(self, block: Block) -> None:
        """Hear a block, float32 of shape (frames, 2)."""
        padded = np.concatenate([self._past, block])
        self._past = padded[-2 * REACH_FRAMES :].copy()
        if len(block):
            self._peak = max(self._peak, float(frame_peaks(padded, self._peak).max()))

    def peak(self) -> float:
        """Largest magnitude so far, linear; what the last frames do after the end is included."""
        padded = np.concatenate([self._past, np.zeros((2 * REACH_FRAMES, 2), np.float32)])
        return max(self._peak, float(frame_peaks(padded, self._peak).max()))
