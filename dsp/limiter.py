"""Look-ahead true-peak limiter with a finite memory, so that any span of a track can be limited on its own.

For each frame the reduction that its peak needs is known (in dB, true peak, both channels linked). From there:

1. *release*: a reduction fades out along a straight line in dB, so a frame's reduction is the largest of all lines that
   reach it; none is longer than `MOST_DB` / `RELEASE_DB_PER_S`.
2. *look-ahead*: the largest reduction of the next `LOOK_AHEAD_S` counts already now.
3. *smoothing*: a Hann-weighted mean over the past `LOOK_AHEAD_S`. Every value it averages covers the frame itself, so
   the smoothed reduction is never less than what the frame needs, and the gain has no steps.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, amplify, db_to_gain, spans
from dsp.true_peak import REACH_FRAMES, frame_peaks

LOOK_AHEAD_S = 0.005
RELEASE_DB_PER_S = 60.0
MOST_DB = 30.0
NOTICED_DB = 0.5  # less is no audible change of level
MARGIN_DB = 0.1  # a moving gain lifts the peaks between the samples a little above the measured ones
_MOST_GAIN = 2.0**60  # more would only overflow: the sound is clipped long before
_BEFORE = REACH_FRAMES + 1  # a peak between the last frame before a block and its first holds down both
_GAIN_FRAMES = 8192
_NEPERS_PER_DB = math.log(10.0) / 20.0

Decibels = NDArray[np.float64]


@dataclass(frozen=True)
class Reduction:
    """Accumulator of gain reductions; several threads may add the blocks of their spans."""

    _blocks: array[float] = field(default_factory=lambda: array("d"))  # an eighth of the memory of tuples in a list

    def add(self, start: int, largest_db: float, frames: int, noticed_frames: int) -> None:
        """Count a block that begins at `start`: its reduced frames, and those reduced by more than `NOTICED_DB`."""
        # at once, so that threads do not come between each other
        self._blocks.extend((start, largest_db, frames, noticed_frames))

    @property
    def max_db(self) -> float:
        """Largest gain reduction."""
        return max(self._blocks[1::4], default=0.0)

    @property
    def frames(self) -> int:
        """Frames with any reduction."""
        return int(sum(self._blocks[2::4]))

    @property
    def noticed_frames(self) -> int:
        """Frames with a reduction of more than `NOTICED_DB`."""
        return int(sum(self._blocks[3::4]))

    @property
    def history(self) -> Iterator[tuple[float, float]]:
        """First frame and largest reduction in dB of each block with any, in no order."""
        return zip(self._blocks[::4], self._blocks[1::4], strict=True)


def limit(
    render: Callable[[int, int], Block],
    start: int,
    stop: int,
    *,
    frames: int,
    sample_rate: int,
    gain: float,
    ceiling_dbtp: float,
    reduction: Reduction | None = None,
    block_frames: int = BLOCK_FRAMES,
) -> Iterator[Block]:
    """Amplify a track and hold its true peak at or below a ceiling.

    Raises `ValueError` if an argument is out of range.

    Parameters
    ----------
    render : callable
        ``render(start, stop)`` gives float32 blocks of shape (stop - start, 2) of the track at absolute frames; they
        are not changed.
    start, stop : int
        The span to make; ``0 <= start <= stop <= frames``.
    frames : int
        Length of the track; there is silence outside it.
    sample_rate : int
        In Hz.
    gain : float
        Linear, before the limiter; >= 0.
    ceiling_dbtp : float
        Maximum true peak in dBTP; <= 0.
    reduction : Reduction, optional
        Accumulator of the limiter's gain reductions.
    block_frames : int
        Of most of the blocks.

    Yields
    ------
    block : float32 array, shape (n, 2)
        ``stop - start`` frames in total; the same samples however the track is cut into spans. The caller's own.

    Notes
    -----
    8x oversampling, ITU-R BS.1770-5 Annex 2. A peak that would need more than `MOST_DB` is held by clipping.
    """
    if ceiling_dbtp > 0:
        raise ValueError(f"ceiling_dbtp is {ceiling_dbtp}; at most 0 is allowed")
    if gain < 0 or not np.isfinite(gain):
        raise ValueError(f"gain is {gain}; a finite gain of at least 0 is needed")
    if not 0 <= start <= stop <= frames:
        raise ValueError(f"span [{start}, {stop}) of a track of {frames} frames")
    ahead = max(1, round(LOOK_AHEAD_S * sample_rate))
    step_db = RELEASE_DB_PER_S / sample_rate
    ceiling, aim = db_to_gain(ceiling_dbtp), db_to_gain(ceiling_dbtp - MARGIN_DB)
    amplification = np.float32(min(gain, _MOST_GAIN))
    first = max(0, start - int(MOST_DB / step_db) - 2 * ahead)

    def limited() -> Iterator[Block]:
        rendered = first - _BEFORE  # frames up to here are in `samples`
        samples: Block = np.empty((0, 2), np.float32)
        released = np.zeros(ahead)  # reductions of the frames before the block
        for begin, end in spans(first, stop, block_frames):
            # samples of [begin - _BEFORE, end + ahead + REACH_FRAMES): each frame is rendered once
            until = end + ahead + REACH_FRAMES
            samples = _continued(samples, render, rendered, until, frames, amplification)
            rendered = until
            block = samples[_BEFORE : _BEFORE + end - begin]
            kept = samples[end - begin :].copy()
            at, needed_db = _needed(samples, aim)
            most_db, reduced, noticed = 0.0, 0, 0
            for low, high in spans(0, end - begin, _GAIN_FRAMES):
                some = slice(*np.searchsorted(at, (low, high + ahead)))
                if some.start == some.stop and not released.any():
                    continue  # a gain is worked out only where there is one: programme seldom needs any
                until_db = _released(
                    at[some] - low, needed_db[some], float(released[-1]), frames=high - low + ahead, step_db=step_db
                )
                path = np.concatenate([released, until_db])
                released = path[high - low : high - low + ahead]
                smooth = _smoothed(path, high - low, ahead)
                if not smooth.any():
                    continue
                amplify(block[low:high], np.exp(smooth * -_NEPERS_PER_DB))
                np.clip(block[low:high], -ceiling, ceiling, out=block[low:high])
                counted = smooth[max(0, start - begin - low) :]
                most_db = max(most_db, float(counted.max(initial=0.0)))
                reduced += int(np.count_nonzero(counted))
                noticed += int(np.count_nonzero(counted > NOTICED_DB))
            if most_db and reduction is not None:
                reduction.add(max(start, begin), most_db, reduced, noticed)
            samples = kept
            if end > start:
                yield block[max(0, start - begin) :]

    return limited()


def _continued(
    samples: Block,
    render: Callable[[int, int], Block],
    start: int,
    stop: int,
    frames: int,
    amplification: np.float32,
) -> Block:
    """Append frames `[start, stop)`, amplified; there is silence outside the track."""
    longer = np.empty((len(samples) + stop - start, 2), np.float32)
    longer[: len(samples)] = samples
    first, last = max(start, 0), max(min(stop, frames), start, 0)
    begin, end = (len(samples) + frame - start for frame in (first, last))
    longer[len(samples) : begin] = longer[end:] = 0.0
    if first < last:
        np.multiply(render(first, last), amplification, out=longer[begin:end])
    return longer


def _needed(padded: Block, aim: float) -> tuple[NDArray[np.intp], Decibels]:
    """Frames that must be turned down so that no peak at or beside them exceeds the aim, and by how much.

    Frames are counted from the one that has `_BEFORE` others before it.
    """
    peaks = frame_peaks(padded, aim)
    if peaks is None or not peaks.max() > aim:
        return np.empty(0, np.intp), np.empty(0)
    # a peak between two frames holds down both
    peaks = np.maximum(peaks[1:], peaks[:-1])
    at = np.flatnonzero(peaks > aim)
    return at, np.minimum(20.0 * np.log10(peaks[at] / aim), MOST_DB)


def _released(at: NDArray[np.intp], needed_db: Decibels, before_db: float, *, frames: int, step_db: float) -> Decibels:
    """Largest of all straight release lines at each frame; `before_db` is that of the frame before the first."""
    # Lines of one slope: the one that is highest somewhere is the highest for good. So only where a line begins is
    # there anything to compare.
    heights = np.maximum.accumulate(np.append(before_db, needed_db + step_db * (at + 1)))
    released = np.repeat(heights, np.diff(at, prepend=0, append=frames))
    released -= step_db * np.arange(1, frames + 1)
    released[released < 1e-9] = 0.0  # beyond a line's end, or left by rounding
    return released


def _smoothed(path: Decibels, frames: int, ahead: int) -> Decibels:
    """Look ahead, and smooth by a Hann-weighted mean over the past, shape (frames,).

    `path` has the reductions of the frames and those around them, shape (ahead + frames + ahead,).
    """
    # in spans that fit a transform of moderate size, and only where there is something to smooth
    spectrum, size = _smoother(ahead)
    step = size - ahead
    count = -(-frames // step)
    highest = np.zeros(count * step + ahead)
    highest[: frames + ahead] = _largest_ahead(path, ahead + 1)
    surroundings = np.lib.stride_tricks.sliding_window_view(highest, size)[::step]
    busy = np.flatnonzero(surroundings.max(axis=1))
    # of this circular convolution the first `ahead` values are wrapped around, the others are right
    mean = np.fft.irfft(np.fft.rfft(surroundings[busy]) * spectrum, size)[:, ahead:]
    # the transform's rounding must not let a frame have less than it needs, nor a little where there is nothing
    mean += 1e-9
    mean[mean < 1e-7] = 0.0
    smooth = np.zeros((count, step))
    smooth[busy] = mean
    return smooth.reshape(-1)[:frames]


@lru_cache(maxsize=4)
def _smoother(ahead: int) -> tuple[NDArray[np.complex128], int]:
    """Spectrum of the smoothing window of `ahead` + 1 frames, and the size of its transform."""
    window = np.hanning(ahead + 3)[1:-1]
    size = 1 << (8 * ahead).bit_length()
    return np.fft.rfft(window / window.sum(), size), size


def _largest_ahead(values: Decibels, width: int) -> Decibels:
    """Largest of `width` values from each on, by doubling; shape (len(values) - width + 1,)."""
    span = 1
    while 2 * span <= width:
        values = np.maximum(values[:-span], values[span:])
        span *= 2
    rest = width - span
    return np.maximum(values[:-rest], values[rest:]) if rest else values
