"""True peak by ITU-R BS.1770-5 Annex 2: the peak of the signal between its samples, at eight times the sample rate
(the standard asks for at least four).

Interpolating everything would cost more than the rest of the meter, nearly always for nothing: between two samples a
signal rises above both only where it bends. The interpolating filter is a straight line between the two
plus a fixed weighting of the second differences around them, so

    |between| <= larger of the two samples + `BEND` * largest second difference within reach

for any signal at all. Only in chunks of frames where this bound exceeds what matters is the signal interpolated;
nothing is missed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dsp.blocks import Block

OVERSAMPLING = 8
REACH_FRAMES = 16  # of the interpolating filter, to either side
NEAR = 2.49
"""No signal rises between its samples to more than this (7.9 dB) times its largest sample: the largest sum of the
magnitudes of the filter's taps."""
BEND = 0.464
"""No signal leaves the straight line between two samples by more than this times its largest second difference: the
largest sum of the magnitudes of the filter's taps less the line's, summed twice."""

_CHUNK_FRAMES = 256
_ROW_FRAMES = 16
_CHUNKS_AT_ONCE = 64  # so that it stays in the cache

Levels = NDArray[np.float32]


def taps(phase: int) -> NDArray[np.float64]:
    """Weights of the samples ``n - REACH_FRAMES + 1 ... n + REACH_FRAMES`` at ``n + phase / OVERSAMPLING``.

    A sinc under a Kaiser window (beta 6).
    """
    beta = 6.0
    offsets = np.arange(-REACH_FRAMES + 1, REACH_FRAMES + 1) - phase / OVERSAMPLING
    weights = np.sinc(offsets) * np.i0(beta * np.sqrt(1.0 - (offsets / REACH_FRAMES) ** 2)) / np.i0(beta)
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


@lru_cache(maxsize=1)
def _interpolators() -> NDArray[np.float64]:
    """For each phase, a row of samples and its surroundings to the point after each frame of the row.

    Shape (OVERSAMPLING - 1, _ROW_FRAMES + 2 * REACH_FRAMES, _ROW_FRAMES).
    """
    matrices = np.zeros((OVERSAMPLING - 1, _ROW_FRAMES + 2 * REACH_FRAMES, _ROW_FRAMES))
    for phase in range(1, OVERSAMPLING):
        weights = taps(phase)
        for frame in range(_ROW_FRAMES):
            matrices[phase - 1, frame + 1 : frame + 1 + 2 * REACH_FRAMES, frame] = weights
    return matrices


def frame_peaks(padded: Block, floor: float) -> Levels:
    """Largest magnitude at each frame and between it and the next, over both channels, where it is above a floor.

    Parameters
    ----------
    padded : float32 array, shape (REACH_FRAMES + frames + REACH_FRAMES, 2)
        The block and its surroundings.
    floor : float
        >= 0.

    Returns
    -------
    peaks : float32 array, shape (frames,)
        Exact where it is above `floor`; elsewhere anything from 0 to `floor`.
    """
    frames = max(len(padded) - 2 * REACH_FRAMES, 0)
    whole = frames // _CHUNK_FRAMES * _CHUNK_FRAMES
    last = np.zeros((_CHUNK_FRAMES + 2 * REACH_FRAMES, 2), np.float32)
    last[: len(padded) - whole] = padded[whole:]
    parts = [_peaks_of_chunks(part, floor) for part in (padded[: whole + 2 * REACH_FRAMES], last)]
    return np.concatenate(parts).reshape(-1)[:frames]


def _peaks_of_chunks(padded: Block, floor: float) -> Levels:
    """`frame_peaks` of the whole chunks, shape (chunks, _CHUNK_FRAMES)."""
    interleaved = padded.reshape(-1)
    count = max(0, len(padded) - 2 * REACH_FRAMES) // _CHUNK_FRAMES
    shape = (count, 2 * (_CHUNK_FRAMES + 2 * REACH_FRAMES))
    strides = (2 * _CHUNK_FRAMES * interleaved.itemsize, interleaved.itemsize)
    # each chunk with its surroundings, as a view: NumPy's own sliding windows cost more than the work on them
    chunks = np.ndarray(shape, interleaved.dtype, interleaved, strides=strides)
    peaks = np.zeros((len(chunks), _CHUNK_FRAMES), np.float32)
    loudest = np.maximum(chunks.max(axis=1), -chunks.min(axis=1))
    near = np.flatnonzero(loudest * NEAR > floor)
    for begin in range(0, len(near), _CHUNKS_AT_ONCE):
        some = near[begin : begin + _CHUNKS_AT_ONCE]
        samples = chunks[some]
        flat, second = (
            samples.reshape(-1),
            np.empty(samples.size, np.float32),
        )  # as one row: faster than many short ones
        steps = flat[2:] - flat[:-2]
        np.subtract(steps[2:], steps[:-2], out=second[:-4])
        bends = second.reshape(samples.shape)[:, :-4]  # the last four reach into another chunk
        most_bent = np.maximum(bends.max(axis=1), -bends.min(axis=1))
        hot = loudest[some] + np.float32(BEND) * most_bent > floor
        if hot.any():
            peaks[some[hot]] = _chunk_peaks(samples[hot])
    return peaks


def _chunk_peaks(surroundings: Levels) -> Levels:
    """`frame_peaks` of some chunks, shape (chunks, _CHUNK_FRAMES).

    Each has a row in `surroundings` that begins and ends `REACH_FRAMES` outside it; channels interleaved.
    """
    samples = surroundings.reshape(len(surroundings), -1, 2)
    windows = sliding_window_view(samples, _ROW_FRAMES + 2 * REACH_FRAMES, axis=1)[:, ::_ROW_FRAMES]
    rows = windows.reshape(-1, _ROW_FRAMES + 2 * REACH_FRAMES).astype(np.float64)  # so all processors come to the same
    largest = np.abs(rows[:, REACH_FRAMES:-REACH_FRAMES])
    points = np.empty_like(largest)
    for interpolator in _interpolators():
        np.matmul(rows, interpolator, out=points)
        np.abs(points, out=points)
        np.maximum(largest, points, out=largest)
    louder: Levels = np.maximum(largest[0::2], largest[1::2]).astype(np.float32)  # a row of each channel in turn
    return louder.reshape(len(samples), _CHUNK_FRAMES)


class TruePeak:
    """Accumulator: the true peak of a programme given block by block."""

    def __init__(self) -> None:
        self._past: Block = np.zeros((2 * REACH_FRAMES, 2), np.float32)
        self._peak = 0.0

    def add(self, block: Block) -> None:
        """Measure a block, float32 of shape (frames, 2)."""
        around = 2 * REACH_FRAMES
        self._peak = max(self._peak, float(np.maximum(block.max(initial=0.0), -block.min(initial=0.0))))
        self._peak = self._with(np.concatenate([self._past, block[:around]]))
        self._peak = self._with(block)
        self._past = np.concatenate([self._past, block[-around:]])[-around:]

    def result(self) -> float:
        """Largest magnitude so far, linear, with the interpolation after the last frame."""
        return self._with(np.concatenate([self._past, np.zeros((2 * REACH_FRAMES, 2), np.float32)]))

    def _with(self, padded: Block) -> float:
        """The peak with that of some more frames, given with their surroundings."""
        return max(self._peak, float(frame_peaks(padded, self._peak).max(initial=0.0)))
