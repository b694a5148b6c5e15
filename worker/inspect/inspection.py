"""Measures a finished file of any origin, in one pass; beside a few blocks only figures are kept."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dsp.beats import Beat, find_beat, own_lines, without_side_tones
from dsp.blocks import Block, db_to_gain, finite, gain_to_db, runs
from dsp.loudness import (
    Energies,
    LoudnessMeter,
    integrated_lufs,
    loudness_range_lu,
    momentary_lufs,
    short_term_lufs,
)
from dsp.spectrum import Decimator, Line, Spectrum, leakage_db, steady_lines, without_overtones

EntryT = TypeVar("EntryT")

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
    """Accumulator: add a file block by block, then take the result; sample rate in Hz."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._meter = LoudnessMeter(sample_rate, true_peak=True)
        self._sums = np.zeros(2)
        self._steps = _Steps(sample_rate)
        self._tones = _Tones(sample_rate)

    def add(self, block: Block) -> None:
        """Measure the next block."""
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
            frames=measured.frames,
            duration_s=round(measured.frames / self._rate, 6),
            integrated_lufs=finite(integrated_lufs(measured.energies)),
            loudness_range_lu=round(loudness_range_lu(measured.energies), 2),
            max_momentary_lufs=finite(max(momentary_lufs(measured.energies), default=-math.inf)),
            max_short_term_lufs=finite(max(short_term_lufs(measured.energies), default=-math.inf)),
            true_peak_dbtp=finite(gain_to_db(measured.true_peak)),
            sample_peak_dbfs=finite(gain_to_db(measured.sample_peak)),
            dc_offset={
                channel: round(float(total) / max(measured.frames, 1), 7) + 0.0
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
    silent = runs(peaks < db_to_gain(SILENT_DBFS))
    if not len(silent):
        return None
    first, last = max(silent.tolist(), key=lambda run: run[1] - run[0])
    return Silence(round(first / 10, 1), round((last - first) / 10, 1))


class _Steps:
    """The steps from sample to sample that stand out from those around them."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = max(1, sample_rate // _CHUNKS_PER_S)
        self._rest: Block = np.zeros((0, 2), np.float32)
        self._maxima = array("f")  # of each chunk

    def add(self, block: Block) -> None:
        samples = np.concatenate([self._rest, block])
        chunks = max(0, len(samples) - 1) // self._size
        self._rest = samples[chunks * self._size :].copy()
        steps = np.abs(np.diff(samples[: chunks * self._size + 1], axis=0))
        largest = np.maximum(steps[:, 0], steps[:, 1]).reshape(chunks, self._size).max(axis=1)
        self._maxima.frombytes(largest.tobytes())

    def result(self) -> list[Step]:
        """All steps found, the most prominent first."""
        if not self._maxima:
            return []
        around = _AROUND_CHUNKS
        here = np.array(self._maxima, np.float32)
        windows = sliding_window_view(np.pad(here, around), 2 * around + 1)
        # a step may lie at the edge of a chunk and ring on: its neighbours are left out
        others = np.maximum(windows[:, : around - 1].max(axis=1), windows[:, around + 2 :].max(axis=1))
        over = here / np.maximum(others, 1e-5)
        large = np.flatnonzero(here > _SMALLEST_STEP)
        return [
            Step(
                at_s=round(int(chunk) * self._size / self._rate, 2),
                size_dbfs=round(gain_to_db(float(here[chunk])), 1),
                above_surroundings_db=round(gain_to_db(float(over[chunk])), 1),
            )
            for chunk in large[np.argsort(-over[large], kind="stable")][:_MOST_CLICKS]
        ]


class _Section(NamedTuple):
    """A line found in one section of the file, which begins and ends at these seconds."""

    line: Line
    from_s: float
    to_s: float


class _Leaks(NamedTuple):
    """A beat found in one section, and the leakage by channel."""

    beat: Beat
    leakage_db: dict[str, float | None]


class _Tones:
    """Steady tones, in sections of ten seconds, one every five; two must agree."""

    def __init__(self, sample_rate: int) -> None:
        self._decimator = Decimator(sample_rate)
        self._rate = self._decimator.sample_rate
        self._length, self._hop = round(SECTION_S * self._rate), round(_HOP_S * self._rate)
        self._waiting: Block = np.zeros((0, 2), np.float32)
        self._before: Block = np.zeros((0, 2), np.float32)
        self._sections = 0
        self._lines: tuple[list[list[_Section]], list[list[_Section]]] = ([], [])
        self._beats: list[list[_Leaks]] = []

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
        least = min(2, self._sections)
        tones = {
            channel: tuple(
                sorted(
                    (_found_tone(group) for group in groups if len(group) >= least),
                    key=lambda tone: (tone.from_s, tone.hz),
                )
            )
            for channel, groups in zip(("left", "right"), self._lines, strict=True)
        }
        beats = sorted((group for group in self._beats if len(group) >= least), key=len, reverse=True)
        return tones, tuple(map(_found_beat, beats))

    def _analyse(self, samples: Block, begin: int) -> None:
        end = begin + len(samples)
        self._sections += 1
        found = [without_overtones(steady_lines(np.ascontiguousarray(column), self._rate)) for column in samples.T]
        beat = find_beat(*found)
        own = own_lines(found[0], found[1]), own_lines(found[1], found[0])
        for groups, lines in zip(self._lines, own, strict=True):
            strongest = max((line.level_dbfs for line in lines), default=0.0)
            for line in without_side_tones(lines, beat):
                if line.level_dbfs > strongest - _WEAKEST_DB:
                    _group(groups, _Section(line, begin / self._rate, end / self._rate), _same_tone)
        if beat is None:
            return
        leaked: dict[str, float | None] = {"left": None, "right": None}
        if beat.mode == "binaural":
            left, right = (Spectrum(column, self._rate) for column in samples.T)
            leaked["left"] = leakage_db(left, beat.low_hz, beat.high_hz)
            leaked["right"] = leakage_db(right, beat.high_hz, beat.low_hz)
        _group(self._beats, _Leaks(beat, leaked), _same_beat)


def _group(groups: list[list[EntryT]], entry: EntryT, same: Callable[[list[EntryT], EntryT], bool]) -> None:
    """Put an entry into the first group that it is the same as, or into one of its own."""
    for group in groups:
        if same(group, entry):
            group.append(entry)
            return
    groups.append([entry])


def _same_tone(group: list[_Section], other: _Section) -> bool:
    return abs(median(section.line.hz for section in group) - other.line.hz) < _SAME_HZ


def _same_beat(group: list[_Leaks], other: _Leaks) -> bool:
    one, two = group[0].beat, other.beat
    return one.mode == two.mode and abs(one.hz - two.hz) < _SAME_HZ and abs(one.low_hz - two.low_hz) < 1


def _found_tone(group: list[_Section]) -> FoundTone:
    return FoundTone(
        hz=round(median(section.line.hz for section in group), 4),
        level_dbfs=round(median(section.line.level_dbfs for section in group), 2),
        from_s=round(group[0].from_s, 1),
        to_s=round(group[-1].to_s, 1),
    )


def _found_beat(group: list[_Leaks]) -> FoundBeat:
    known = {
        channel: [db for leaks in group if (db := leaks.leakage_db[channel]) is not None]
        for channel in ("left", "right")
    }
    return FoundBeat(
        mode=group[0].beat.mode,
        low_hz=round(median(leak.beat.low_hz for leak in group), 4),
        high_hz=round(median(leak.beat.high_hz for leak in group), 4),
        beat_hz=round(median(leak.beat.hz for leak in group), 4),
        leakage_db={channel: round(median(levels), 1) if levels else None for channel, levels in known.items()},
    )
