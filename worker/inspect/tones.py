"""The tones and beats of a file: steady ones, gliding ones, and those that its job promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np

from dsp.beats import Beat, find_beat, own_lines, without_side_tones
from dsp.blocks import Block
from dsp.courses import hz_at
from dsp.glides import Glide, GlidingBeat, MovingLine, as_isochronic, follow, gliding_beats, moving_lines
from dsp.spectrum import Decimator, Line, Spectrum, leakage_db, steady_lines, without_overtones
from worker.inspect.promises import LookedFor, Promises
from worker.plan.promised import Promised

EntryT = TypeVar("EntryT")

SECTION_S = 10.0
_HOP_S = 5.0
_SHORTEST_SECTION_S = 4.0
_SAME_HZ = 0.02
_ON_GLIDE_HZ = 0.15
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
    from_s: float
    to_s: float
    leakage_db: dict[str, float | None]


@dataclass(frozen=True)
class FoundTones:
    """All that was found: steady tones by channel, steady and gliding beats, and what became of the promised tones."""

    tones: dict[str, tuple[FoundTone, ...]]
    beats: tuple[FoundBeat, ...]
    gliding: tuple[GlidingBeat, ...]
    promised: tuple[LookedFor, ...]


class _Section(NamedTuple):
    """A line found in one section of the file, which begins and ends at these seconds."""

    line: Line
    from_s: float
    to_s: float


class _Leaks(NamedTuple):
    """A beat found in one section, and the leakage by channel."""

    beat: Beat
    from_s: float
    to_s: float
    leakage_db: dict[str, float | None]


class Tones:
    """Accumulator: tones and beats, in sections of ten seconds, one every five; two must agree, or four that glide."""

    def __init__(self, sample_rate: int, promised: Promised) -> None:
        self._decimator = Decimator(sample_rate)
        self._rate = self._decimator.sample_rate
        self._length, self._hop = round(SECTION_S * self._rate), round(_HOP_S * self._rate)
        self._waiting: Block = np.zeros((0, 2), np.float32)
        self._before: Block = np.zeros((0, 2), np.float32)
        self._sections = 0
        self._lines: tuple[list[list[_Section]], list[list[_Section]]] = ([], [])
        self._beats: list[list[_Leaks]] = []
        self._moving: tuple[list[list[MovingLine]], list[list[MovingLine]]] = ([], [])
        self._promises = Promises(promised, self._rate)

    def add(self, block: Block) -> None:
        """Analyse the next block."""
        self._waiting = np.concatenate([self._waiting, self._decimator.add(block)])
        while len(self._waiting) >= self._length:
            self._analyse(self._waiting[: self._length], self._sections * self._hop)
            self._before = self._waiting[: self._hop].copy()
            self._waiting = self._waiting[self._hop :].copy()

    def result(self) -> FoundTones:
        """All that was found."""
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
        glides = dict(zip(("left", "right"), map(follow, self._moving), strict=True))
        carriers = [section.line for groups in self._lines for group in groups for section in group[:1]]
        gliding = tuple(as_isochronic(beat, carriers) for beat in gliding_beats(glides["left"], glides["right"]))
        steady = {
            channel: tuple(tone for tone in found if not any(_on(tone, glide) for glide in glides[channel]))
            for channel, found in tones.items()
        }
        still = (beat for beat in map(_found_beat, beats) if not any(_within(beat, moving) for moving in gliding))
        return FoundTones(steady, tuple(still), gliding, self._promises.result())

    def _analyse(self, samples: Block, begin: int) -> None:
        end = begin + len(samples)
        self._sections += 1
        columns = [np.ascontiguousarray(column) for column in samples.T]
        spectra = [Spectrum(column, self._rate) for column in columns]
        self._promises.add(samples, spectra, from_s=begin / self._rate)
        found = []
        for column, spectrum, moving in zip(columns, spectra, self._moving, strict=True):
            lines = spectrum.lines()
            steady = steady_lines(column, self._rate, lines)
            found.append(without_overtones(steady))
            moving.append(moving_lines(column, self._rate, lines, from_s=begin / self._rate))
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
            leaked["left"] = leakage_db(spectra[0], beat.low_hz, beat.high_hz)
            leaked["right"] = leakage_db(spectra[1], beat.high_hz, beat.low_hz)
        _group(self._beats, _Leaks(beat, begin / self._rate, end / self._rate, leaked), _same_beat)


def _on(tone: FoundTone, glide: Glide) -> bool:
    """Whether a tone is a piece of a glide that is so slow that it looks steady."""
    at_s = (tone.from_s + tone.to_s) / 2
    return glide.from_s <= at_s <= glide.to_s and abs(glide.at(at_s) - tone.hz) < _ON_GLIDE_HZ


def _within(beat: FoundBeat, gliding: GlidingBeat) -> bool:
    """Whether a beat is a piece of one that glides."""
    at_s = (beat.from_s + beat.to_s) / 2
    if beat.mode != gliding.mode or not gliding.beat[0][0] <= at_s <= gliding.beat[-1][0]:
        return False
    return abs(float(hz_at(gliding.beat, at_s)) - beat.beat_hz) < _ON_GLIDE_HZ


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
        from_s=round(group[0].from_s, 1),
        to_s=round(group[-1].to_s, 1),
        leakage_db={channel: round(median(levels), 1) if levels else None for channel, levels in known.items()},
    )
