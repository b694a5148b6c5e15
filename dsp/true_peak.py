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

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

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


def frame_peaks(padded: Block, floor: float) -> Levels | None:
    """Largest magnitude at each frame and between it and the next, over both channels, where it is above a floor.

    Parameters
    ----------
    padded : float32 array, shape (REACH_FRAMES + frames + REACH_FRAMES, 2)
        The block and its surroundings.
    floor : float
        >= 0.

    Returns
    -------
    peaks : float32 array, shape (frames,), or None
        Exact where it is above `floor`; elsewhere anything from 0 to `floor`. None if nothing can be above it.
    """
    frames = max(len(padded) - 2 * REACH_FRAMES, 0)
    peaks: Levels | None = None
    for part in _in_chunks(padded):
        for at, samples in _may_exceed(part.chunks, _loudest(part.chunks), floor):
            if peaks is None:
                peaks = np.zeros((-(-frames // _CHUNK_FRAMES), _CHUNK_FRAMES), np.float32)
            peaks[part.first + at] = _chunk_peaks(samples)
    return None if peaks is None else peaks.reshape(-1)[:frames]


class _Chunks(NamedTuple):
    """Chunks of frames with their surroundings.

    Attributes
    ----------
    first : int
        Number of the first of them in the block.
    frames : int
        Of each chunk that are the block's.
    chunks : float32 array, shape (chunks, 2 * (REACH_FRAMES + _CHUNK_FRAMES + REACH_FRAMES))
        Channels interleaved.
    """

    first: int
    frames: int
    chunks: Levels


def _in_chunks(padded: Block) -> Iterator[_Chunks]:
    """Cut a block into its whole chunks, as a view, and what is left over, with silence behind it."""
    count = max(len(padded) - 2 * REACH_FRAMES, 0) // _CHUNK_FRAMES
    interleaved = padded.reshape(-1)
    width = 2 * (_CHUNK_FRAMES + 2 * REACH_FRAMES)
    strides = (2 * _CHUNK_FRAMES * interleaved.itemsize, interleaved.itemsize)
    # NumPy's own sliding windows cost more than the work on them
    yield _Chunks(0, _CHUNK_FRAMES, np.ndarray((count, width), interleaved.dtype, interleaved, strides=strides))
    rest = padded[count * _CHUNK_FRAMES :]
    if len(rest) > 2 * REACH_FRAMES:
        last = np.zeros((1, width), np.float32)
        last[0, : rest.size] = rest.reshape(-1)
        yield _Chunks(count, len(rest) - 2 * REACH_FRAMES, last)


def _loudest(chunks: Levels) -> Levels:
    """Largest magnitude of the samples of each chunk, shape (chunks,)."""
    loudest: Levels = np.maximum(chunks.max(axis=1), -chunks.min(axis=1))
    return loudest


def _may_exceed(chunks: Levels, loudest: Levels, floor: float) -> Iterator[tuple[NDArray[np.intp], Levels]]:
    """Numbers and samples of the chunks that may be above a floor between their samples, some at a time."""
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
        hot = loudest[some] + np.float32(BEND) * _loudest(bends) > floor
        if hot.any():
            yield some[hot], samples[hot]


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
    """Accumulator: the true peak of a programme given block by block.

    Attributes
    ----------
    sample_peak : float
        Largest magnitude of a sample so far, linear.
    """

    def __init__(self) -> None:
        self._past: Block = np.zeros((2 * REACH_FRAMES, 2), np.float32)
        self._between = 0.0
        self.sample_peak = 0.0

    def add(self, block: Block) -> None:
        """Measure a block, float32 of shape (frames, 2)."""
        around = 2 * REACH_FRAMES
        self._measure(block)
        self._measure(np.concatenate([self._past, block[:around]]))
        self._past = np.concatenate([self._past, block[-around:]])[-around:]

    def result(self) -> float:
        """Largest magnitude so far, linear, with the interpolation after the last frame."""
        self._measure(np.concatenate([self._past, np.zeros((2 * REACH_FRAMES, 2), np.float32)]))
        return max(self._between, self.sample_peak)

    def _measure(self, padded: Block) -> None:
        """Measure some more frames, given with their surroundings."""
        if len(padded) <= 2 * REACH_FRAMES:
            self.sample_peak = max(self.sample_peak, float(np.abs(padded).max(initial=0.0)))
        for part in _in_chunks(padded):
            loudest = _loudest(part.chunks)
            self.sample_peak = max(self.sample_peak, float(loudest.max(initial=0.0)))
            for _, samples in _may_exceed(part.chunks, loudest, max(self._between, self.sample_peak)):
                self._between = max(self._between, float(_chunk_peaks(samples)[:, : part.frames].max()))
