"""Quantisation to 16 bits with TPDF dither, a function of the absolute frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

_CHUNK_FRAMES = 65_536
_FULL_SCALE = 32_768.0


def to_int16(block: Block, start: int, *, seed: int) -> NDArray[np.int16]:
    """Quantise frames `[start, start + len(block))` of a track to 16 bits.

    Parameters
    ----------
    block : float32 array, shape (frames, 2)
        Full scale 1; beyond it is clipped.
    start : int
        Absolute frame of the block's first sample.
    seed : int
        0 <= seed < 2**64, of the dither.

    Returns
    -------
    samples : int16 array, shape (frames, 2)

    Notes
    -----
    Triangular dither of 2 LSB peak to peak makes the error's mean and power independent of the signal (Lipshitz,
    Wannamaker and Vanderkooy, "Quantization and dither: a theoretical survey", JAES 40, 1992).
    """
    samples = np.empty(block.shape, np.int16)
    frame, stop = start, start + len(block)
    while frame < stop:
        number, offset = divmod(frame, _CHUNK_FRAMES)
        last = min(stop, (number + 1) * _CHUNK_FRAMES)
        scaled = block[frame - start : last - start] * np.float32(_FULL_SCALE)
        scaled += _triangular(seed, number)[offset : offset + last - frame]
        np.rint(scaled, out=scaled)
        np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1.0, out=scaled)
        samples[frame - start : last - start] = scaled
        frame = last
    return samples


@lru_cache(maxsize=4)
def _triangular(seed: int, number: int) -> Block:
    """Dither of one chunk in LSB, triangular over (-1, 1), shape (_CHUNK_FRAMES, 2)."""
    bits = np.random.Philox(key=seed, counter=number << 128).random_raw(_CHUNK_FRAMES)
    uniform = bits.astype("<u8", copy=False).view("<i2")
    half = len(uniform) // 2
    dither: Block = np.add(uniform[:half], uniform[half:], dtype=np.float32)
    dither *= np.float32(2.0**-16)
    return dither.reshape(_CHUNK_FRAMES, 2)
