"""Look-ahead true-peak limiter with a finite memory, so that any stretch of a track can be limited on its own.

For each frame the reduction that its peak needs is known (in dB, true peak, both ears linked). From there:

1. *release*: a reduction fades out along a straight line in dB, so a frame's reduction is the largest of all lines that
   reach it; none is longer than `MOST_DB` / `RELEASE_DB_PER_S`.
2. *look-ahead*: the largest reduction of the next `LOOK_AHEAD_S` counts already now.
3. *smoothing*: a Hann-weighted mean over the past `LOOK_AHEAD_S`. Every value it averages covers the frame itself, so
   the smoothed reduction is never less than what the frame needs, and the gain has no steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, db_to_gain, spans
from dsp.true_peak import NEAR, REACH_FRAMES, frame_peaks

LOOK_AHEAD_S = 0.005
RELEASE_DB_PER_S = 60.0
MOST_DB = 30.0
MARGIN_DB = 0.1  # a gain that moves lifts what lies between the samples a little above what was measured

Decibels = NDArray[np.float64]


@dataclass
class Reduction:
    """What the limiter did, gathered while its blocks are drawn; one per stretch.

    Attributes
    ----------
    max_db : float
        Largest gain reduction.
    frames : int
        Frames with any reduction.
    """

    max_db: float = 0.0
    frames: int = 0


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
) -> Iterator[Block]:
    """Amplify a track and hold its true peak at or below a ceiling.

    Parameters
    ----------
    render : callable
        ``render(start, stop)`` gives float32 blocks of shape (stop - start, 2) of the track at absolute frames.
    start, stop : int
        The stretch to make; ``0 <= start <= stop <= frames``.
    frames : int
        Length of the track; there is silence outside it.
    sample_rate : int
        In Hz.
    gain : float
        Linear, before the limiter; >= 0.
    ceiling_dbtp : float
        Maximum true peak in dBTP; <= 0.
    reduction : Reduction, optional
        Gathers what the limiter did.

    Yields
    ------
    block : float32 array, shape (n, 2)
        ``stop - start`` frames in total; the same samples however the track is cut into stretches.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    8x oversampling, ITU-R BS.1770-5 Annex 2. A peak that would need more than `MOST_DB` is held by clipping.
    """
    if ceiling_dbtp > 0:
        raise ValueError(f"ceiling_dbtp is {ceiling_dbtp}; at most 0 is allowed")
    if gain < 0 or not np.isfinite(gain):
        raise ValueError(f"gain is {gain}; a finite gain of at least 0 is needed")
    if not 0 <= start <= stop <= frames:
        raise ValueError(f"stretch [{start}, {stop}) of a track of {frames} frames")
    return _limited(render, start, stop, frames, sample_rate, gain, ceiling_dbtp, reduction or Reduction())


def _limited(
    render: Callable[[int, int], Block],
    start: int,
    stop: int,
    frames: int,
    sample_rate: int,
    gain: float,
    ceiling_dbtp: float,
    reduction: Reduction,
) -> Iterator[Block]:
    ahead = max(1, round(LOOK_AHEAD_S * sample_rate))
    step_db = RELEASE_DB_PER_S / sample_rate
    run_up = int(MOST_DB / step_db) + 2 * ahead
    window = np.hanning(ahead + 3)[1:-1]
    window /= window.sum()
    ceiling, aim = db_to_gain(ceiling_dbtp), db_to_gain(ceiling_dbtp - MARGIN_DB)

    first = max(0, start - run_up)
    heard = first - REACH_FRAMES  # frames up to here are in `samples`
    samples: Block = np.empty((0, 2), np.float32)
    released = np.zeros(ahead)  # of the frames before the block
    for begin, end in spans(first, stop, BLOCK_FRAMES):
        # samples of [begin - REACH, end + ahead + REACH): each frame is rendered once
        until = end + ahead + REACH_FRAMES
        fresh = _inside(render, heard, until, frames)
        fresh *= np.float32(gain)
        samples, heard = np.concatenate([samples, fresh]), until
        block = samples[REACH_FRAMES : REACH_FRAMES + end - begin]
        if released.any() or np.abs(samples).max() > aim / NEAR:
            needed = _needed_db(samples, aim)
            total = _released(np.append(released[-1:], needed), step_db)[1:]
            path = np.concatenate([released, total])
            smooth = _smoothed(_largest_ahead(path, ahead + 1), window)[: end - begin]
            released = path[end - begin : end - begin + ahead]
            if smooth.any():
                block = block * np.power(10.0, smooth / -20.0).astype(np.float32)[:, None]
                np.clip(block, -ceiling, ceiling, out=block)
                if end > start:
                    counted = smooth[max(0, start - begin) :]
                    reduction.max_db = max(reduction.max_db, float(counted.max()))
                    reduction.frames += int(np.count_nonzero(counted))
        samples = samples[end - begin :]
        if end > start:
            yield block[max(0, start - begin) :]


def _inside(render: Callable[[int, int], Block], start: int, stop: int, frames: int) -> Block:
    """Render what lies within the track; silence outside it."""
    first, last = min(max(start, 0), frames), max(min(stop, frames), 0)
    if first >= last:
        return np.zeros((stop - start, 2), np.float32)
    block = render(first, last)
    if (first, last) == (start, stop):
        return block.copy() if not block.flags.owndata else block
    return np.pad(block, ((first - start, stop - last), (0, 0)))


def _needed_db(padded: Block, ceiling: float) -> Decibels:
    """Reduction each frame needs, so that neither it nor what lies around it exceeds the ceiling; >= 0."""
    peaks = frame_peaks(padded, ceiling)
    # what lies between a frame and the next is held down by both
    peaks[1:] = np.maximum(peaks[1:], peaks[:-1])
    needed = np.zeros(len(peaks))
    (over,) = np.nonzero(peaks > ceiling)
    needed[over] = np.minimum(20.0 * np.log10(peaks[over] / ceiling), MOST_DB)
    return needed


def _released(needed: Decibels, step_db: float) -> Decibels:
    """Largest of all straight release lines at each frame."""
    slope = step_db * np.arange(len(needed))
    released = np.maximum.accumulate(needed + slope)
    released -= slope
    np.maximum(released, 0.0, out=released)
    released[released < 1e-9] = 0.0  # what rounding leaves of a line that has ended
    return released


def _largest_ahead(values: Decibels, width: int) -> Decibels:
    """Largest of `width` values from each on, by doubling; shape (len(values) - width + 1,)."""
    span = 1
    while 2 * span <= width:
        values = np.maximum(values[:-span], values[span:])
        span *= 2
    rest = width - span
    return np.maximum(values[:-rest], values[rest:]) if rest else values


def _smoothed(values: Decibels, window: Decibels) -> Decibels:
    """Weighted mean over `len(window)` values; shape (len(values) - len(window) + 1,)."""
    if not values.any():
        return np.zeros(len(values) - len(window) + 1)
    size = 1 << (len(values) + len(window) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(values, size) * np.fft.rfft(window, size), size)
    smooth = product[len(window) - 1 : len(values)]
    # the transform's rounding must not let a frame have less than it needs, nor a little where there is nothing
    smooth += 1e-9
    smooth[smooth < 1e-7] = 0.0
    return smooth
