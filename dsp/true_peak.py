"""True peak by ITU-R BS.1770-5 Annex 2: the peak of the signal between its samples, at eight times the sample rate
(the standard asks for at least four).

Interpolating everything would cost more than the rest of the meter, nearly always for nothing: between two samples a
signal rises above both only where it bends. The interpolating filter is a straight line between the two
plus a fixed weighting of the second differences around them, so

    |between| <= larger of the two samples + `BEND` * largest second difference within reach

for any signal at all. Only where this bound exceeds what matters, in a chunk of frames and then in a row of it, is the
signal interpolated; nothing is missed.
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

_CHUNK_FRAMES = 1024
_ROW_FRAMES = 16
_CHUNKS_AT_ONCE, _ROWS_AT_ONCE = 64, 512  # so that it stays in the cache

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
    chunks = _surroundings(padded, -(-frames // _CHUNK_FRAMES))
    peaks = np.zeros((len(chunks), _CHUNK_FRAMES), np.float32)
    loudest = np.maximum(chunks.max(axis=1), -chunks.min(axis=1))
    near = np.flatnonzero(loudest * NEAR > floor)
    for begin in range(0, len(near), _CHUNKS_AT_ONCE):
        some = near[begin : begin + _CHUNKS_AT_ONCE]
        samples = chunks[some]
        bends = _bends(samples.reshape(-1)).reshape(samples.shape)[:, :-4]  # the last four reach into another chunk
        most_bent = np.maximum(bends.max(axis=1), -bends.min(axis=1))
        hot = loudest[some] + np.float32(BEND) * most_bent > floor
        if hot.any():
            peaks[some[hot]] = _chunk_peaks(samples[hot], floor)
    return peaks.reshape(-1)[:frames]


def _bends(samples: Levels) -> Levels:
    """Second differences, each where its first sample is, and four zeros; channels interleaved."""
    bends = np.empty_like(samples)
    steps = samples[2:] - samples[:-2]
    np.subtract(steps[2:], steps[:-2], out=bends[:-4])
    bends[-4:] = 0.0
    return bends


def _surroundings(padded: Block, count: int) -> Levels:
    """Each chunk with its surroundings, channels interleaved, shape (count, samples); the last zero-padded.

    A view: NumPy's own sliding windows cost more than the work on them.
    """
    samples = np.zeros(2 * (count * _CHUNK_FRAMES + 2 * REACH_FRAMES), np.float32)
    samples[: padded.size] = padded.reshape(-1)
    shape = (count, 2 * (_CHUNK_FRAMES + 2 * REACH_FRAMES))
    return np.ndarray(shape, samples.dtype, samples, strides=(2 * _CHUNK_FRAMES * samples.itemsize, samples.itemsize))


def _chunk_peaks(surroundings: Levels, floor: float) -> Levels:
    """`frame_peaks` of some chunks, shape (chunks, _CHUNK_FRAMES).

    Each has a row in `surroundings` that begins and ends `REACH_FRAMES` outside it; channels interleaved.
    """
    # Each is taken as rows of 16 frames, the first and last of which belong to its surroundings. All are worked on as
    # one sequence; where two of them meet, the bound only gets too high.
    count, rows = len(surroundings), _CHUNK_FRAMES // _ROW_FRAMES
    around = REACH_FRAMES // _ROW_FRAMES
    samples = surroundings.reshape(-1)
    magnitude = _louder_channel(np.abs(samples))
    largest = _row_maxima(magnitude).reshape(count, -1)
    first = magnitude[::_ROW_FRAMES].reshape(count, -1)
    bends = _bends(samples)
    bend = _row_maxima(_louder_channel(np.abs(bends, out=bends))).reshape(count, -1)
    bound = np.maximum(largest[:, around : around + rows], first[:, around + 1 : around + 1 + rows])
    near = bend[:, :rows]
    for offset in range(1, 2 * around + 1):
        near = np.maximum(near, bend[:, offset : offset + rows])
    bound += np.float32(BEND) * near
    hot = np.nonzero(bound > floor)
    peaks = magnitude.reshape(count, -1, _ROW_FRAMES)[:, around : around + rows]
    windows = sliding_window_view(samples.reshape(count, -1, 2), _ROW_FRAMES + 2 * REACH_FRAMES, axis=1)[
        :, ::_ROW_FRAMES
    ]
    for begin in range(0, len(hot[0]), _ROWS_AT_ONCE):
        some = tuple(index[begin : begin + _ROWS_AT_ONCE] for index in hot)
        between = _between(windows[some].reshape(-1, _ROW_FRAMES + 2 * REACH_FRAMES))
        peaks[some] = np.maximum(peaks[some], between)
    return peaks.reshape(count, _CHUNK_FRAMES)


def _between(samples: Levels) -> Levels:
    """Largest magnitude after each frame of each row, over both channels.

    `samples` are rows with their surroundings, the two channels of a row one after the other.
    """
    largest = np.zeros((len(samples), _ROW_FRAMES))
    points = np.empty_like(largest)
    exact = samples.astype(np.float64)  # so that all processors come to the same float32
    for interpolator in _interpolators():
        np.matmul(exact, interpolator, out=points)
        np.abs(points, out=points)
        np.maximum(largest, points, out=largest)
    louder: Levels = np.maximum(largest[0::2], largest[1::2]).astype(np.float32)
    return louder


def _row_maxima(levels: Levels) -> Levels:
    """Largest of each `_ROW_FRAMES` in turn, a whole number of times.

    By doubling over everything: far faster than NumPy's reduction over short rows.
    """
    span = 1
    while span < _ROW_FRAMES:
        levels = np.maximum(levels[:-span], levels[span:])
        span *= 2
    return levels[::_ROW_FRAMES]


def _louder_channel(levels: Levels) -> Levels:
    """Larger of the two interleaved channels; NumPy's reduction over two is many times slower."""
    return np.maximum(levels[0::2], levels[1::2])


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
