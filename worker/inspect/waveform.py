"""Waveform and spectrogram of a track, block by block: as many columns for eight hours as for a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

Column = NDArray[np.float32]

MOST_COLUMNS = 2400
LOWEST_HZ, HIGHEST_HZ = 50.0, 12_000.0
ROWS = 300

_WAVE_FRAMES = 1024
_WINDOW_S = 0.37
_FIRST_HOPS = 8  # in a window, while the track is short; later one


@dataclass(frozen=True)
class Waveform:
    """A finished drawing.

    Attributes
    ----------
    lows, highs : float32 array, shape (columns,)
        The waveform, both channels together.
    wave_s : float
        Length of one of its columns.
    levels_db : float32 array, shape (columns, ROWS)
        Level by frequency, from `LOWEST_HZ` to `HIGHEST_HZ` in equal ratios; a sine of full scale has 0.
    spectrum_s : float
        Length of one of its columns.
    """

    lows: Column
    highs: Column
    wave_s: float
    levels_db: NDArray[np.float32]
    spectrum_s: float


class WaveformBuilder:
    """Accumulator: add a file block by block, then take the drawing."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._rest: Block = np.zeros((0, 2), np.float32)
        self._wave = _Columns(np.max)
        self._spectrum = _Spectrogram(sample_rate)

    def add(self, block: Block) -> None:
        """Draw the next block."""
        self._spectrum.add(block)
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // _WAVE_FRAMES * _WAVE_FRAMES
        self._rest = samples[whole:].copy()
        chunks = samples[:whole].reshape(-1, 2 * _WAVE_FRAMES)
        for column in np.stack([-chunks.min(axis=1), chunks.max(axis=1)], axis=1):
            self._wave.add(column)

    def result(self) -> Waveform:
        """The finished drawing."""
        wave = self._wave.result(2)
        levels, spectrum_s = self._spectrum.result()
        return Waveform(-wave[:, 0], wave[:, 1], self._wave.width * _WAVE_FRAMES / self._rate, levels, spectrum_s)


class _Columns:
    """Columns of `width` items each, joined two by two whenever there are too many; `join` is NumPy's max or mean."""

    def __init__(self, join: Callable[..., NDArray[np.float32]]) -> None:
        self._join = join
        self._columns: list[Column] = []
        self._waiting: list[Column] = []
        self.width = 1

    def add(self, item: Column) -> None:
        self._waiting.append(item)
        if len(self._waiting) >= self.width:
            self._columns.append(self._join(self._waiting, axis=0))
            self._waiting.clear()
        if len(self._columns) >= MOST_COLUMNS:
            pairs = np.array(self._columns).reshape(MOST_COLUMNS // 2, 2, -1)
            self._columns = list(self._join(pairs, axis=1))
            self.width *= 2

    def result(self, size: int) -> NDArray[np.float32]:
        """All columns, shape (columns, size); at least one."""
        last = [self._join(self._waiting, axis=0)] if self._waiting else []
        return np.array([*self._columns, *last] or [np.zeros(size, np.float32)])


class _Spectrogram:
    """Powers by frequency; the longer the track, the fewer transforms a second."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = 1 << round(np.log2(_WINDOW_S * sample_rate))
        self._hop = self._size // _FIRST_HOPS
        self._window = np.hanning(self._size).astype(np.float32)
        self._waiting: Block = np.zeros((self._size // 2, 2), np.float32)  # so that a column shows its own middle
        self._columns = _Columns(np.mean)
        self._rows = _rows(self._size, sample_rate)

    def add(self, block: Block) -> None:
        samples = np.concatenate([self._waiting, block])
        at = 0
        while at + self._size <= len(samples):
            self._columns.add(self._powers(samples[at : at + self._size]))
            if self._columns.width > 1 and self._hop < self._size:  # fewer transforms, rather than several in a column
                self._hop *= 2
                self._columns.width = 1
            at += self._hop
        self._waiting = samples[at:].copy()

    def result(self) -> tuple[NDArray[np.float32], float]:
        self.add(np.zeros((self._size // 2, 2), np.float32))
        levels = 10.0 * np.log10(np.maximum(self._columns.result(ROWS), 1e-14))
        return levels.astype(np.float32), self._columns.width * self._hop / self._rate

    def _powers(self, samples: Block) -> Column:
        scale = 2.0 / float(self._window.sum())
        transforms = np.fft.rfft(samples.T * self._window, axis=1)
        powers = (np.abs(transforms) ** 2).max(axis=0) * scale**2  # the louder channel: a tone in one is one
        first, last, share = self._rows
        # bins between two rows: the strongest; rows between two bins: on the line from one to the other
        row_of_bins = np.maximum.reduceat(powers, first)
        between = powers[first] * (1.0 - share) + powers[np.minimum(first + 1, len(powers) - 1)] * share
        column: Column = np.where(last - first > 1, row_of_bins, between).astype(np.float32)
        return column


def _rows(size: int, sample_rate: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """First and last bin of each row, and where its frequency lies between the first and the next."""
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, 0.49 * sample_rate), ROWS + 1) * size / sample_rate
    first = edges[:-1].astype(np.intp)
    last = edges[1:].astype(np.intp)
    middle = np.sqrt(edges[:-1] * edges[1:])
    return first, last, np.clip(middle - first, 0.0, 1.0)
