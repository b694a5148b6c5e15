"""Waveform and spectrogram of a track, block by block: as many columns for eight hours as for a minute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block

Column = NDArray[np.float32]

MOST_COLUMNS = 2400
LOWEST_HZ, HIGHEST_HZ = 50.0, 12_000.0
ROWS = 300

_FIRST_WAVE_FRAMES = 16  # in a column, while the track is short
_HIGHEST_SHARE = 0.49  # of the sample rate
_WINDOW_S = 0.37
_FIRST_HOPS = 8  # in a window, while the track is short; later one


@dataclass(frozen=True)
class Waveform:
    """A finished drawing.

    Attributes
    ----------
    lows, highs : float32 array, shape (columns, 2)
        The waveform of each channel.
    wave_s : float
        Length of one of its columns; the last one may be shorter.
    levels_db : float32 array, shape (2, columns, ROWS)
        Level by channel and frequency, from `LOWEST_HZ` to `highest_hz` in equal ratios; a sine of full scale has 0.
    spectrum_s : float
        Length of one of its columns.
    highest_hz : float
        `HIGHEST_HZ`, or where the sample rate allows no more, just below half of it.
    alike : bool
        Whether both channels are the same, sample for sample.
    """

    lows: Column
    highs: Column
    wave_s: float
    levels_db: NDArray[np.float32]
    spectrum_s: float
    highest_hz: float
    alike: bool


class WaveformBuilder:
    """Accumulator: add a file block by block, then take the drawing."""

    def __init__(self, sample_rate: int) -> None:
        self._wave = _Extremes()
        self._spectrum = _Spectrogram(sample_rate)
        self._rate = sample_rate
        self._alike = True

    def add(self, block: Block) -> None:
        """Draw the next block."""
        self._alike = self._alike and bool(np.array_equal(block[:, 0], block[:, 1]))
        self._spectrum.add(block)
        self._wave.add(block)

    def result(self) -> Waveform:
        """The finished drawing."""
        wave = self._wave.result()
        levels, spectrum_s = self._spectrum.result()
        highest_hz = highest_drawn_hz(self._rate)
        wave_s = self._wave.width / self._rate
        return Waveform(-wave[:, :2], wave[:, 2:], wave_s, levels, spectrum_s, highest_hz, self._alike)


def highest_drawn_hz(sample_rate: int) -> float:
    """Up to where a spectrum is drawn: its axis ends there, too."""
    return min(HIGHEST_HZ, _HIGHEST_SHARE * sample_rate)


class _Extremes:
    """Columns of `width` frames: what each channel goes down to (negated) and up to, shape (columns, 4)."""

    def __init__(self) -> None:
        self.width = _FIRST_WAVE_FRAMES
        self._rest: Block = np.zeros((0, 2), np.float32)
        self._columns: Column = np.zeros((0, 4), np.float32)

    def add(self, block: Block) -> None:
        samples = np.concatenate([self._rest, block])
        while whole := min(len(samples) // self.width, MOST_COLUMNS - len(self._columns)):
            chunks = samples[: whole * self.width].reshape(whole, self.width, 2)
            samples = samples[whole * self.width :]
            self._columns = np.concatenate([self._columns, self._of(chunks)])
            if len(self._columns) == MOST_COLUMNS:
                self._columns = self._columns.reshape(MOST_COLUMNS // 2, 2, 4).max(axis=1)
                self.width *= 2
        self._rest = samples.copy()

    def result(self) -> Column:
        """All columns; at least one."""
        last = self._of(self._rest[None]) if len(self._rest) else np.zeros((int(not len(self._columns)), 4), np.float32)
        return np.concatenate([self._columns, last])

    def _of(self, chunks: NDArray[np.float32]) -> Column:
        return np.concatenate([-chunks.min(axis=1), chunks.max(axis=1)], axis=1)


class _Columns:
    """Columns, each the mean of `width` items of shape (2, rows); joined two by two whenever there are too many."""

    def __init__(self) -> None:
        self._columns: list[Column] = []
        self._waiting: list[Column] = []
        self.width = 1

    def add(self, item: Column) -> None:
        self._waiting.append(item)
        if len(self._waiting) >= self.width:
            self._columns.append(np.mean(self._waiting, axis=0))
            self._waiting.clear()
        if len(self._columns) >= MOST_COLUMNS:
            pairs = np.array(self._columns).reshape(MOST_COLUMNS // 2, 2, *self._columns[0].shape)
            self._columns = list(pairs.mean(axis=1))
            self.width *= 2

    def result(self) -> NDArray[np.float32]:
        """All columns, shape (columns, 2, rows)."""
        last = [np.mean(self._waiting, axis=0)] if self._waiting else []
        return np.array([*self._columns, *last])


class _Spectrogram:
    """Powers by frequency; the longer the track, the fewer transforms a second."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = 1 << round(np.log2(_WINDOW_S * sample_rate))
        self._hop = self._size // _FIRST_HOPS
        self._window = np.hanning(self._size).astype(np.float32)
        self._waiting: Block = np.zeros((self._size // 2, 2), np.float32)  # so that a column shows its own middle
        self._columns = _Columns()
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
        levels = (10.0 * np.log10(np.maximum(self._columns.result(), 1e-14))).astype(np.float32)
        return levels.transpose(1, 0, 2), self._columns.width * self._hop / self._rate

    def _powers(self, samples: Block) -> Column:
        """Powers of each channel, shape (2, ROWS)."""
        scale = 2.0 / float(self._window.sum())
        transforms = np.fft.rfft(samples.T * self._window, axis=1)
        powers = np.abs(transforms) ** 2 * scale**2
        first, last, share = self._rows
        # bins between two rows: the strongest; rows between two bins: on the line from one to the other
        row_of_bins = np.maximum.reduceat(powers, first, axis=1)
        between = powers[:, first] * (1.0 - share) + powers[:, np.minimum(first + 1, powers.shape[1] - 1)] * share
        column: Column = np.where(last - first > 1, row_of_bins, between).astype(np.float32)
        return column


def _rows(size: int, sample_rate: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """First and last bin of each row, and where its frequency lies between the first and the next."""
    edges = np.geomspace(LOWEST_HZ, highest_drawn_hz(sample_rate), ROWS + 1) * size / sample_rate
    first = edges[:-1].astype(np.intp)
    last = edges[1:].astype(np.intp)
    middle = np.sqrt(edges[:-1] * edges[1:])
    return first, last, np.clip(middle - first, 0.0, 1.0)
