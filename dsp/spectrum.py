"""Steady tones in a span of sound: their frequencies, levels, and what masks them.

Tones of a session lie below 2 kHz, so the sound is decimated first: by eight at 44.1 kHz, after a linear-phase
low-pass. Then one transform of the whole span, under a window whose side lobes are below -92 dB, shows
tones that lie 0.2 Hz apart in 20 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, db_to_gain, gain_to_db

HIGHEST_HZ = 2_000.0
LOWEST_HZ = 20.0
MAIN_LOBE_BINS = 4
"""Half the width of a tone's line, in units of one over the span's length."""
STANDS_OUT_DB = 12.0
"""A line so far above its surroundings is a tone."""
STEADY_DB = 1.5
STEADY_RADIANS = 0.1
"""What a steady tone may change by over half a span, in level and in phase."""

_DECIMATED_HZ = 5_500
_TAPS_PER_PHASE = 32
_KAISER_BETA = 10.0  # 100 dB
_AROUND_BINS = 40
_HARRIS = (0.35875, 0.48829, 0.14128, 0.01168)  # 4-term Blackman-Harris, Harris 1978, table 1
_MOST_LINES = 32
_FAINTEST_DBFS = -90.0
_MASKED_FROM_DB = -60.0  # relative to the channel's own tone
_SAME_HZ = 0.05

Channel = NDArray[np.float32] | NDArray[np.float64]
"""One channel, shape (frames,)."""


class Decimator:
    """Low-pass and decimate, block by block; how the sound is cut into blocks makes no difference.

    Attributes
    ----------
    factor : int
        One of so many frames is kept.
    sample_rate : float
        In Hz, of the result; flat to within 0.01 dB up to `HIGHEST_HZ`, aliases 100 dB down.
    """

    def __init__(self, sample_rate: int) -> None:
        self.factor = max(1, sample_rate // _DECIMATED_HZ)
        self.sample_rate = sample_rate / self.factor
        self._taps = _low_pass(self.factor)
        self._rest: Block = np.zeros((0, 2), np.float32)

    def add(self, block: Block) -> Block:
        """Take a block of shape (frames, 2); returns the frames that it completes, of the same kind."""
        samples = np.concatenate([self._rest, block])
        rows = len(samples) // self.factor
        reach = self._taps.shape[1]
        count = rows - reach + 1
        if count < 1:
            self._rest = samples
            return np.zeros((0, 2), np.float32)
        kept = np.empty((count, 2), np.float32)
        for channel in (0, 1):
            phases = np.ascontiguousarray(samples[: rows * self.factor, channel]).reshape(rows, self.factor)
            products = self._taps.T @ phases.T
            total = products[0, :count].copy()
            for shift in range(1, reach):
                total += products[shift, shift : shift + count]
            kept[:, channel] = total
        self._rest = samples[count * self.factor :].copy()
        return kept


@lru_cache(maxsize=4)
def _low_pass(factor: int) -> NDArray[np.float32]:
    """Taps of the low-pass, shape (factor, taps per phase): a sinc under a Kaiser window, gain 1."""
    if factor == 1:
        return np.ones((1, 1), np.float32)
    length = factor * _TAPS_PER_PHASE
    offsets = np.arange(length) - (length - 1) / 2
    taps = np.sinc(offsets / factor) * np.kaiser(length, _KAISER_BETA)
    return np.ascontiguousarray((taps / taps.sum()).reshape(_TAPS_PER_PHASE, factor).T.astype(np.float32))


@dataclass(frozen=True)
class Line:
    """One tone; a sine of full scale has 0 dBFS."""

    hz: float
    level_dbfs: float


class Spectrum:
    """Amplitudes of one channel in a span, by frequency.

    Parameters
    ----------
    samples : array, shape (frames,)
        At least 64.
    sample_rate : float
        In Hz.

    Notes
    -----
    4-term Blackman-Harris window (F. J. Harris, "On the use of windows for harmonic analysis with the discrete
    Fourier transform", Proc. IEEE 66, 1978, table 1), zero-padded to at least twice the length. A line's frequency
    and level are those of the parabola through the three highest bins in dB (J. O. Smith and X. Serra, "PARSHL", ICMC
    1987). On 20 s of a tone alone that is right to 0.0001 Hz and 0.01 dB.
    """

    def __init__(self, samples: Channel, sample_rate: float) -> None:
        if len(samples) < 64:
            raise ValueError(f"a span of {len(samples)} frames; at least 64 are needed")
        window = harris_window(len(samples))
        size = 1 << (2 * len(samples) - 1).bit_length()
        transform = np.fft.rfft(samples * window, size)
        self.resolution_hz = sample_rate / len(samples)
        """One over the length of the span."""
        self.bin_hz = sample_rate / size
        self.amplitudes: NDArray[np.float64] = np.abs(transform).astype(np.float64) * (2.0 / window.sum())

    def line(self, near_hz: float, within_hz: float) -> Line | None:
        """Find the strongest line near a frequency; None where none stands out by `STANDS_OUT_DB`."""
        first = max(1, math.ceil((near_hz - within_hz) / self.bin_hz))
        last = min(len(self.amplitudes) - 2, math.floor((near_hz + within_hz) / self.bin_hz))
        if first > last:
            return None
        peak = first + int(np.argmax(self.amplitudes[first : last + 1]))
        if not self.amplitudes[peak - 1] < self.amplitudes[peak] >= self.amplitudes[peak + 1]:
            return None  # the flank of something outside
        line = self._refined(peak)
        return line if line.level_dbfs >= self.floor_dbfs(line.hz) + STANDS_OUT_DB else None

    def level_dbfs(self, hz: float) -> float:
        """Level at one frequency, whatever is there."""
        nearest = round(hz / self.bin_hz)
        return gain_to_db(float(self.amplitudes[max(nearest - 1, 0) : nearest + 2].max()))

    def floor_dbfs(self, hz: float) -> float:
        """Level of what lies around a frequency: the median beside its line, as the level of a tone."""
        inner = 1.5 * MAIN_LOBE_BINS * self.resolution_hz
        outer = _AROUND_BINS * self.resolution_hz
        below = self.amplitudes[self._bin(hz - outer) : self._bin(hz - inner)]
        above = self.amplitudes[self._bin(hz + inner) : self._bin(hz + outer)]
        around = np.concatenate([below, above])
        if not len(around):
            return -math.inf
        ordered, middle = np.sort(around), len(around) // 2  # NumPy's own median loads `numpy.ma`: slower than this all
        return gain_to_db(float(ordered[middle] + ordered[~middle]) / 2)

    def lines(self) -> list[Line]:
        """List the strongest lines from `LOWEST_HZ` to `HIGHEST_HZ` that stand out, strongest first."""
        first, last = self._bin(LOWEST_HZ), self._bin(HIGHEST_HZ)
        inside = self.amplitudes[first:last]
        peaks = 1 + np.flatnonzero(
            (inside[1:-1] > inside[:-2]) & (inside[1:-1] >= inside[2:]) & (inside[1:-1] > db_to_gain(_FAINTEST_DBFS))
        )
        found: list[Line] = []
        for peak in peaks[np.argsort(-inside[peaks])][: 4 * _MOST_LINES]:
            line = self._refined(first + int(peak))
            apart = all(abs(line.hz - other.hz) > 2 * MAIN_LOBE_BINS * self.resolution_hz for other in found)
            if apart and line.level_dbfs >= self.floor_dbfs(line.hz) + STANDS_OUT_DB:
                found.append(line)
        return found[:_MOST_LINES]

    def _bin(self, hz: float) -> int:
        return min(max(0, round(hz / self.bin_hz)), len(self.amplitudes))

    def _refined(self, peak: int) -> Line:
        before, top, after = np.log(np.maximum(self.amplitudes[peak - 1 : peak + 2], 1e-30))
        bend = before - 2.0 * top + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
        level = top - 0.25 * (before - after) * shift
        return Line(hz=float((peak + shift) * self.bin_hz), level_dbfs=float(level * 20.0 / math.log(10.0)))


def steady_lines(samples: Channel, sample_rate: float, lines: Sequence[Line] | None = None) -> list[Line]:
    """Find the tones of one pitch and one level through a whole span, strongest first.

    Of the lines in the spectrum those are kept that are as loud in the first half as in the middle and the last one
    (within 1.5 dB), and whose phase advances evenly; notes and words do not. `samples` has shape (frames,), the sample
    rate is in Hz; `lines` are those of its spectrum, where they are known.
    """
    lines = Spectrum(samples, sample_rate).lines() if lines is None else lines
    half = len(samples) // 2
    window = harris_window(half)
    starts = (0, (len(samples) - half) // 2, len(samples) - half)
    n = np.arange(half)
    steady = []
    for line in lines:
        turn = 2.0 * np.pi * line.hz / sample_rate
        wave = np.exp(-1j * turn * n) * window
        parts = np.array([(samples[at : at + half] @ wave) * np.exp(-1j * turn * at) for at in starts])
        sizes = np.abs(parts)
        if sizes.min() <= 0.0 or 20.0 * np.log10(sizes.max() / sizes.min()) > STEADY_DB:
            continue
        drift = np.angle(parts[2] * parts[0] * np.conj(parts[1]) ** 2)
        if abs(drift) < STEADY_RADIANS:
            steady.append(line)
    return steady


def without_overtones(lines: Sequence[Line]) -> list[Line]:
    """Leave out whole multiples of a stronger line."""
    kept: list[Line] = []
    for line in lines:
        multiples = (line.hz / other.hz for other in kept)
        overtone = any(
            round(ratio) >= 2 and abs(ratio - round(ratio)) * line.hz / ratio < _SAME_HZ for ratio in multiples
        )
        if not overtone:
            kept.append(line)
    return kept


def leakage_db(own: Spectrum, own_hz: float, other_hz: float) -> float | None:
    """Level of the other channel's tone in this channel, relative to this channel's own tone, in dB.

    Music, voice and coding noise sound at that frequency as well, so this is an upper bound: where nothing stands out,
    it is their level. None when the two tones are too close to separate in this span, or the frequency is masked: when
    nothing stands out from surroundings louder than -60 dB.
    """
    if abs(own_hz - other_hz) < 2 * MAIN_LOBE_BINS * own.resolution_hz:
        return None
    own_dbfs = own.level_dbfs(own_hz)
    leaked_db = own.level_dbfs(other_hz) - own_dbfs
    floor_db = own.floor_dbfs(other_hz) - own_dbfs
    if not math.isfinite(own_dbfs) or (leaked_db < floor_db + STANDS_OUT_DB and floor_db > _MASKED_FROM_DB):
        return None
    return leaked_db


@lru_cache(maxsize=4)
def harris_window(length: int) -> NDArray[np.float32]:
    """Make the window of `Spectrum`, of so many frames."""
    turns = 2.0 * np.pi * np.arange(length) / length
    a0, a1, a2, a3 = _HARRIS
    window = a0 - a1 * np.cos(turns) + a2 * np.cos(2 * turns) - a3 * np.cos(3 * turns)
    return window.astype(np.float32)
