"""Measures a finished file of any origin, in one pass and in the memory of a few blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from dsp.beats import Beat, find_beat, own_lines, without_side_tones
from dsp.blocks import Block, finite, gain_to_db
from dsp.loudness import (
    Energies,
    LoudnessMeter,
    integrated_lufs,
    loudness_range_lu,
    momentary_lufs,
    short_term_lufs,
)
from dsp.spectrum import Decimator, Line, Spectrum, leakage_db, steady_lines, without_overtones

SECTION_S = 10.0
_HOP_S = 5.0
SILENT_DBFS = -80.0
CLICK_DB = 20.0
"""A step so far above all others around it is called a click."""

_SHORTEST_SECTION_S = 4.0
_SAME_HZ = 0.02
_CHUNKS_PER_S = 100
_AROUND_CHUNKS = 15
_SMALLEST_STEP = 10.0 ** (-50.0 / 20.0)
_MOST_CLICKS = 10
_WEAKEST_DB = 20.0  # below the strongest tone of its channel


@dataclass(frozen=True)
class FoundTone:
    """A steady tone of one channel: frequency, level (a sine of full scale has 0), and its span of the file."""

    hz: float
    level_dbfs: float
    from_s: float
    to_s: float


@dataclass(frozen=True)
class FoundBeat:
    """A beat between tones, see `dsp.beats.Beat`; `leakage_db` by channel for a binaural one, None where masked."""

    mode: str
    low_hz: float
    high_hz: float
    beat_hz: float
    leakage_db: dict[str, float | None]


@dataclass(frozen=True)
class Step:
    """A step from one sample to the next: where, how large, and by how much larger than all within 0.15 s around."""

    at_s: float
    size_dbfs: float
    above_surroundings_db: float


@dataclass(frozen=True)
class Silence:
    """A span whose samples all stay below -80 dBFS, to a tenth of a second."""

    from_s: float
    seconds: float


@dataclass(frozen=True)
class Inspection:
    """The figures of a file; None where there is nothing to measure."""

    sample_rate_hz: int
    frames: int
    duration_s: float
    integrated_lufs: float | None
    loudness_range_lu: float
    max_momentary_lufs: float | None
    max_short_term_lufs: float | None
    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None
    dc_offset: dict[str, float]
    tones: dict[str, tuple[FoundTone, ...]]
    beats: tuple[FoundBeat, ...]
    longest_silence: Silence | None
    largest_step: Step | None
    clicks: tuple[Step, ...]


class Inspector:
    """Accumulator: add a file block by block, then take the result.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._meter = LoudnessMeter(sample_rate, true_peak=True)
        self._sums = np.zeros(2)
        self._frames = 0
        self._steps = _Steps(sample_rate)
        self._tones = _Tones(sample_rate)

    def add(self, block: Block) -> None:
        """Measure the next block."""
        self._frames += len(block)
        self._meter.add(block)
        self._sums += block.sum(axis=0, dtype=np.float64)
        self._steps.add(block)
        self._tones.add(block)

    @property
    def energies(self) -> Energies:
        """K-weighted energies of the hops so far, as of `dsp.loudness.Measurement`."""
        return self._meter.result().energies

    def result(self) -> Inspection:
        """Work out all figures."""
        measured = self._meter.result()
        tones, beats = self._tones.result()
        clicks = self._steps.result()
        return Inspection(
            sample_rate_hz=self._rate,
            frames=self._frames,
            duration_s=round(self._frames / self._rate, 6),
            integrated_lufs=finite(integrated_lufs(measured.energies)),
            loudness_range_lu=round(loudness_range_lu(measured.energies), 2),
            max_momentary_lufs=finite(max(momentary_lufs(measured.energies), default=-math.inf)),
            max_short_term_lufs=finite(max(short_term_lufs(measured.energies), default=-math.inf)),
            true_peak_dbtp=finite(gain_to_db(measured.true_peak)),
            sample_peak_dbfs=finite(gain_to_db(measured.sample_peak)),
            dc_offset={
                channel: round(float(total) / max(self._frames, 1), 7) + 0.0
                for channel, total in zip(("left", "right"), self._sums, strict=True)
            },
            tones=tones,
            beats=beats,
            longest_silence=_longest_silence(measured.peaks),
            largest_step=clicks[0] if clicks else None,
            clicks=tuple(step for step in clicks if step.above_surroundings_db >= CLICK_DB),
        )


def _longest_silence(peaks: NDArray[np.float32]) -> Silence | None:
    """Find the longest run of 100 ms hops without a sample above -80 dBFS."""
    silent = (peaks < 10.0 ** (SILENT_DBFS / 20.0)).astype(np.int8)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], silent, [0]]))).reshape(-1, 2)
    if not len(runs):
        return None
    first, last = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return Silence(round(float(first) / 10, 1), round(float(last - first) / 10, 1))


class _Steps:
    """The steps from sample to sample that stand out from those around them."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = max(1, sample_rate // _CHUNKS_PER_S)
        self._rest: Block = np.zeros((0, 2), np.float32)
        self._maxima = np.zeros(_AROUND_CHUNKS)  # of the chunks that are still to be judged, and those before them
        self._first = -_AROUND_CHUNKS
        self._found: list[Step] = []

    def add(self, block: Block) -> None:
        samples = np.concatenate([self._rest, block])
        chunks = (len(samples) - 1) // self._size
        if chunks < 1:
            self._rest = samples
            return
        steps = np.abs(np.diff(samples[: chunks * self._size + 1], axis=0))
        self._rest = samples[chunks * self._size :].copy()
        largest = np.maximum(steps[:, 0], steps[:, 1]).reshape(chunks, self._size).max(axis=1)
        self._judge(np.concatenate([self._maxima, largest]))

    def result(self) -> list[Step]:
        """All steps found, the most prominent first."""
        self._judge(np.concatenate([self._maxima, np.zeros(_AROUND_CHUNKS)]))
        self._maxima = np.zeros(0)
        return self._found

    def _judge(self, maxima: NDArray[np.float64]) -> None:
        around = _AROUND_CHUNKS
        count = len(maxima) - 2 * around
        if count > 0:
            windows = np.lib.stride_tricks.sliding_window_view(maxima, 2 * around + 1)
            # a step may lie at the edge of a chunk and ring on: its neighbours are left out
            others = np.maximum(windows[:, : around - 1].max(axis=1), windows[:, around + 2 :].max(axis=1))
            here = windows[:, around]
            over = here / np.maximum(others, 1e-5)
            for at in np.argsort(-over)[:_MOST_CLICKS]:
                if here[at] > _SMALLEST_STEP:
                    self._keep(self._first + around + int(at), float(here[at]), float(over[at]))
            self._found.sort(key=lambda step: -step.above_surroundings_db)
            del self._found[_MOST_CLICKS:]
            self._first += count
            maxima = maxima[count:]
        self._maxima = maxima

    def _keep(self, chunk: int, size: float, over: float) -> None:
        at_s = round(chunk * self._size / self._rate, 2)
        self._found.append(Step(at_s, round(gain_to_db(size), 1), round(gain_to_db(over), 1)))


@dataclass
class _Track:
    """One tone through the sections of a file."""

    levels: list[float]
    pitches: list[float]
    sections: list[tuple[float, float]]


class _Tones:
    """Steady tones, in sections of ten seconds, one every five; two must agree."""

    def __init__(self, sample_rate: int) -> None:
        self._decimator = Decimator(sample_rate)
        self._rate = self._decimator.sample_rate
        self._length, self._hop = round(SECTION_S * self._rate), round(_HOP_S * self._rate)
        self._waiting: Block = np.zeros((0, 2), np.float32)
        self._before: Block = np.zeros((0, 2), np.float32)
        self._sections = 0
        self._tracks: tuple[list[_Track], list[_Track]] = ([], [])
        self._beats: list[tuple[Beat, float | None, float | None]] = []

    def add(self, block: Block) -> None:
        self._waiting = np.concatenate([self._waiting, self._decimator.add(block)])
        while len(self._waiting) >= self._length:
            self._analyse(self._waiting[: self._length], self._sections * self._hop)
            self._before = self._waiting[: self._hop].copy()
            self._waiting = self._waiting[self._hop :].copy()

    def result(self) -> tuple[dict[str, tuple[FoundTone, ...]], tuple[FoundBeat, ...]]:
        first = self._sections * self._hop - len(self._before)
        rest = np.concatenate([self._before, self._waiting])  # the end, together with what lies before it
        if len(rest) >= _SHORTEST_SECTION_S * self._rate:
            self._analyse(rest[-self._length :], first + max(0, len(rest) - self._length))
        tones = {
            channel: tuple(
                sorted(
                    (_found_tone(track) for track in tracks if len(track.sections) >= min(2, self._sections)),
                    key=lambda tone: (tone.from_s, tone.hz),
                )
            )
            for channel, tracks in zip(("left", "right"), self._tracks, strict=True)
        }
        return tones, self._found_beats()

    def _analyse(self, samples: Block, begin: int) -> None:
        end = begin + len(samples)
        self._sections += 1
        found = [without_overtones(steady_lines(np.ascontiguousarray(column), self._rate)) for column in samples.T]
        beat = find_beat(*found)
        left, right = own_lines(found[0], found[1]), own_lines(found[1], found[0])
        for channel, lines in enumerate((left, right)):
            strongest = max((line.level_dbfs for line in lines), default=0.0)
            for line in without_side_tones(lines, beat):
                if line.level_dbfs > strongest - _WEAKEST_DB:
                    self._follow(self._tracks[channel], line, begin / self._rate, end / self._rate)
        if beat is None:
            return
        leaked: tuple[float | None, float | None] = (None, None)
        if beat.mode == "binaural":
            spectra = [Spectrum(column, self._rate) for column in samples.T]
            leaked = (
                leakage_db(spectra[0], beat.low_hz, beat.high_hz),
                leakage_db(spectra[1], beat.high_hz, beat.low_hz),
            )
        self._beats.append((beat, *leaked))

    @staticmethod
    def _follow(tracks: list[_Track], line: Line, begin_s: float, end_s: float) -> None:
        for track in tracks:
            if abs(median(track.pitches) - line.hz) < _SAME_HZ:
                break
        else:
            track = _Track([], [], [])
            tracks.append(track)
        track.levels.append(line.level_dbfs)
        track.pitches.append(line.hz)
        track.sections.append((begin_s, end_s))

    def _found_beats(self) -> tuple[FoundBeat, ...]:
        """The beats found in at least two sections, or in the only one."""
        groups: list[list[tuple[Beat, float | None, float | None]]] = []
        for entry in self._beats:
            for group in groups:
                one, other = group[0][0], entry[0]
                if one.mode == other.mode and abs(one.hz - other.hz) < _SAME_HZ and abs(one.low_hz - other.low_hz) < 1:
                    group.append(entry)
                    break
            else:
                groups.append([entry])
        found = []
        for group in sorted(groups, key=len, reverse=True):
            if len(group) < min(2, self._sections):
                continue
            low, high = (median(getattr(beat, end) for beat, *_ in group) for end in ("low_hz", "high_hz"))
            left = [entry[1] for entry in group if entry[1] is not None]
            right = [entry[2] for entry in group if entry[2] is not None]
            found.append(
                FoundBeat(
                    mode=group[0][0].mode,
                    low_hz=round(low, 4),
                    high_hz=round(high, 4),
                    beat_hz=round(median(beat.hz for beat, *_ in group), 4),
                    leakage_db={
                        "left": round(median(left), 1) if left else None,
                        "right": round(median(right), 1) if right else None,
                    },
                )
            )
        return tuple(found)


def _found_tone(track: _Track) -> FoundTone:
    return FoundTone(
        hz=round(median(track.pitches), 4),
        level_dbfs=round(median(track.levels), 2),
        from_s=round(track.sections[0][0], 1),
        to_s=round(track.sections[-1][1], 1),
    )
