"""Noise beds: white, pink and brown, with random access and no period.

White noise comes from a counter-based generator, so any frame can be made without those before it. Colour is a
linear-phase FIR over canonical chunks: a sample depends on its neighbourhood alone, never on where a block began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

Colour = Literal["white", "pink", "brown"]

_CHUNK_FRAMES = 65_536
_KEPT_CHUNKS = 6  # of half a megabyte: what two spans that are made at once go back to
_REACH_FRAMES = 8_192  # half the length of the colouring filter
_LOWEST_HZ = 20.0  # below, the noise falls off: it would be inaudible, and brown noise would wander without end
_EXPONENT = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls with frequency to this power
_RMS = 0.5**0.5  # of a sine of peak 1, so that one gain means one power for tones and noise


@dataclass(frozen=True)
class Noise:
    """Steady noise, independent in each channel, with the RMS of a full-scale sine (-3.01 dBFS).

    Parameters
    ----------
    colour : {"white", "pink", "brown"}
        Power per hertz falls by 0, 3 or 6 dB per octave above 20 Hz.
    seed : int
        0 <= seed < 2**64; another seed gives other noise.
    sample_rate : int
        In Hz.
    kept_chunks : int
        How many of half a megabyte are kept for who asks for the same frames again.
    """

    colour: Colour
    seed: int
    sample_rate: int
    kept_chunks: int = field(default=_KEPT_CHUNKS, compare=False, repr=False)

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        block = np.empty((stop - start, 2), np.float32)
        frame = start
        while frame < stop:
            number, offset = divmod(frame, _CHUNK_FRAMES)
            last = min(stop, (number + 1) * _CHUNK_FRAMES)
            chunk = self._chunks(number)
            block[frame - start : last - start] = chunk[:, offset : offset + last - frame].T
            frame = last
        return block

    @cached_property
    def _chunks(self) -> Callable[[int], NDArray[np.float32]]:
        """Its chunks by their number, the last few kept: each noise keeps its own, so that many do not take turns."""
        white = lru_cache(maxsize=_KEPT_CHUNKS)(partial(_white, self.seed))
        return lru_cache(maxsize=self.kept_chunks)(partial(_chunk, white, self.colour, self.sample_rate))


def _white(seed: int, number: int) -> NDArray[np.float32]:
    """White noise of a chunk, shape (2, _CHUNK_FRAMES), uniform, variance 1.

    The generator's raw integers are used, which are the same in every version of NumPy (Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011).
    """
    bits = np.random.Philox(key=seed, counter=(number % 2**64) << 128).random_raw(_CHUNK_FRAMES)
    integers = bits.astype("<u8").view("<i4").reshape(2, _CHUNK_FRAMES)
    return integers.astype(np.float32) * np.float32(3.0**0.5 / 2.0**31)


def _chunk(
    white: Callable[[int], NDArray[np.float32]], colour: Colour, sample_rate: int, number: int
) -> NDArray[np.float32]:
    """One canonical chunk, shape (2, _CHUNK_FRAMES)."""
    if colour == "white":
        return white(number) * np.float32(_RMS)
    reach = _REACH_FRAMES
    around = np.concatenate(
        [white(number - 1)[:, -reach:], white(number), white(number + 1)[:, :reach]],
        axis=1,
    )
    spectrum = np.fft.rfft(around, axis=1)
    spectrum *= _response(colour, sample_rate)
    coloured = np.fft.irfft(spectrum, around.shape[1], axis=1)
    return np.ascontiguousarray(coloured[:, reach:-reach], np.float32)


@lru_cache(maxsize=4)
def _response(colour: Colour, sample_rate: int) -> NDArray[np.complex64]:
    """Spectrum of the colouring filter over a chunk and its surroundings; the filter is 2 * reach + 1 long."""
    length = 2 * _REACH_FRAMES
    frequency_hz = np.fft.rfftfreq(length, 1.0 / sample_rate)
    falling = np.maximum(frequency_hz, _LOWEST_HZ) ** -_EXPONENT[colour]
    falling *= np.minimum(frequency_hz / _LOWEST_HZ, 1.0)
    taps = np.roll(np.fft.irfft(falling, length), _REACH_FRAMES)
    taps = np.append(taps, taps[0]) * np.hanning(length + 1)
    taps *= _RMS / np.sqrt(np.sum(taps**2))
    padded = np.zeros(_CHUNK_FRAMES + 2 * _REACH_FRAMES)
    padded[: length + 1] = taps
    return np.fft.rfft(np.roll(padded, -_REACH_FRAMES)).astype(np.complex64)
