"""Blocks of audio, spans of frames, decibels: the types that all of `dsp` works on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Audio of shape (frames, 2), full scale ±1."""

BLOCK_FRAMES = 132_300
"""3 s at 44.1 kHz: whole hops of the loudness meter, which would otherwise copy every block's end to the next."""


def spans(start: int, stop: int, size: int = BLOCK_FRAMES) -> Iterator[tuple[int, int]]:
    """Cut `[start, stop)` into spans of at most `size` frames; none for an empty one.

    Raises `ValueError` if `size` is not positive.
    """
    if size <= 0:
        raise ValueError(f"size is {size}; at least 1 frame is needed")
    for first in range(start, stop, size):
        yield first, min(first + size, stop)


def db_to_gain(level_db: float) -> float:
    """Linear amplitude gain of a level in dB; -inf gives 0."""
    return float(10.0 ** (level_db / 20.0))


def gain_to_db(gain: float) -> float:
    """Level in dB of a linear amplitude gain; 0 gives -inf."""
    return 20.0 * math.log10(gain) if gain > 0.0 else -math.inf


def finite(value: float, digits: int = 2) -> float | None:
    """Round a figure for people; None where it is infinite or none."""
    return round(float(value), digits) if math.isfinite(value) else None


def amplify(block: Block, gain: NDArray[np.float64] | NDArray[np.float32] | float) -> Block:
    """Apply a linear gain in place: one for all frames, or of shape (frames,)."""
    if isinstance(gain, np.ndarray):
        gain = gain.astype(np.float32, copy=False)
        block[:, 0] *= gain  # one by one: many times as fast as to broadcast the gain
        block[:, 1] *= gain
    elif gain != 1.0:
        block *= np.float32(gain)
    return block


def magnitudes(block: Block) -> NDArray[np.float32]:
    """Larger magnitude of both channels at each frame, shape (frames,)."""
    left, right = np.abs(block[:, 0]), np.abs(block[:, 1])  # apart: many times as fast as the maximum over rows of two
    return np.maximum(left, right, out=left)


def runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """First index and the one after the last of each run of True, shape (runs, 2)."""
    return np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))).reshape(-1, 2)


class Clip(Protocol):
    """Recorded audio with random access."""

    @property
    def frames(self) -> int:
        """Length in frames."""

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        """Read frames `[start, stop)`, into `out` if there is one; requires ``0 <= start <= stop <= frames``."""


class Source(Protocol):
    """Sound as a function of the absolute frame: any span, in any order, gives the same samples."""

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`: the caller's own, or read-only where the source shares them."""
