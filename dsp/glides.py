"""Gliding tones: found in a short span, and followed from span to span.

Over ten seconds a glide of a session is a straight line in frequency. Its phase then bends, evenly; turned back by that
bend it is a steady tone, and is held to what one is held to (`dsp.spectrum.steady_lines`). The slowest glides look
steady in each span, so all such lines are followed, and those that have come somewhere else in the end are glides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from dsp.courses import Course, hz_at
from dsp.spectrum import STEADY_DB, STEADY_RADIANS, Channel, Line, harris_window

_SAME_HZ = 0.06
_LEAST_SPANS = 4
_LEAST_HZ = 0.15
_LONGEST_PAUSE_S = 16.0  # two spans that hold a corner of the course
_HOP_S = 5.0
_FASTEST_BEAT_HZ = 101.0
_APART_DB = 20.0
_ALIKE_DB = 1.5
_STRAIGHT_HZ = 0.03

_BINS = 128
_FLAT_BINS = 24  # either side of the line; then down to nothing
_TAPER = np.cos(
    np.pi / 2 * np.clip((np.abs(np.arange(_BINS) - _BINS // 2) - _FLAT_BINS) / (_BINS // 2 - _FLAT_BINS), 0, 1)
)


@dataclass(frozen=True)
class MovingLine:
    """A tone whose frequency moves evenly through a span; `hz` is that of the span's middle, at `at_s`."""

    at_s: float
    hz: float
    level_dbfs: float
    hz_per_s: float


@dataclass(frozen=True)
class Glide:
    """A tone of one channel whose frequency moves."""

    course: Course
    level_dbfs: float

    @property
    def from_s(self) -> float:
        """Where it begins to be heard gliding."""
        return self.course[0][0]

    @property
    def to_s(self) -> float:
        """Where it ends."""
        return self.course[-1][0]

    def at(self, seconds: float) -> float:
        """Its frequency at a time."""
        return float(hz_at(self.course, seconds))


@dataclass(frozen=True)
class GlidingBeat:
    """A beat that moves; `low` and `high` as of `dsp.beats.Beat`."""

    mode: Literal["binaural", "monaural", "isochronic"]
    low: Course
    high: Course
    beat: Course


def moving_lines(samples: Channel, sample_rate: float, lines: Sequence[Line], *, from_s: float) -> list[MovingLine]:
    """Find the tones in a span that glide evenly, or not at all, at one level.

    Parameters
    ----------
    samples : array, shape (frames,)
        Four seconds at least.
    sample_rate : float
        In Hz.
    lines : sequence of Line
        What stands out in its spectrum (`dsp.spectrum.Spectrum.lines`).
    from_s : float
        Where the span begins, for the result.
    """
    seconds = len(samples) / sample_rate
    transform = np.fft.rfft(samples)
    half = _BINS // 2
    starts = np.array((0, half // 2, half))
    shape = harris_window(half)
    times = (np.arange(_BINS) / _BINS - 0.5) * seconds
    apart_s = seconds / 4
    found = []
    for line in lines:
        nearest = round(line.hz * seconds)
        if not half <= nearest <= len(transform) - half:
            continue
        # the neighbourhood of the line alone: a few values a second are enough for all that follows
        near = np.fft.ifft(np.fft.ifftshift(transform[nearest - half : nearest + half] * _TAPER))
        hz, hz_per_s, drift, sizes = line.hz, 0.0, 0.0, np.zeros(3)
        for _ in range(4):  # the bend and the middle frequency make each other more exact
            turned = near * np.exp(-2j * np.pi * ((hz - nearest / seconds) * times + 0.5 * hz_per_s * times**2))
            parts = np.array([turned[at : at + half] @ shape for at in starts])
            sizes = np.abs(parts)
            if sizes.min() <= 0.0:
                break
            drift = float(np.angle(parts[2] * parts[0] * np.conj(parts[1]) ** 2))
            hz_per_s += drift / (2 * np.pi * apart_s**2)
            hz += float(np.angle((parts[1:] * np.conj(parts[:-1])).sum())) / (2 * np.pi * apart_s)
        if sizes.min() <= 0.0 or 20.0 * np.log10(sizes.max() / sizes.min()) > STEADY_DB:
            continue
        if abs(drift) < STEADY_RADIANS:
            level_db = 20.0 * float(np.log10(2.0 * sizes.mean() / shape.sum() * _BINS / len(samples)))
            found.append(MovingLine(round(from_s + seconds / 2, 3), hz, level_db, hz_per_s))
    return found


def follow(spans: Sequence[Sequence[MovingLine]]) -> list[Glide]:
    """Join the lines of one channel, span by span in order of time, into glides of four spans and more."""
    open_glides: list[list[MovingLine]] = []
    ended: list[list[MovingLine]] = []
    for lines in spans:
        for line in lines:
            fitting = [glide for glide in open_glides if glide[-1].at_s < line.at_s and _continues(glide[-1], line)]
            if fitting:
                max(fitting, key=len).append(line)
            else:
                open_glides.append([line])
        if lines:
            now = lines[0].at_s
            ended += [glide for glide in open_glides if glide[-1].at_s < now - _LONGEST_PAUSE_S]
            open_glides = [glide for glide in open_glides if glide[-1].at_s >= now - _LONGEST_PAUSE_S]
    return [
        _glide(lines)
        for lines in (*ended, *open_glides)
        if len(lines) >= _LEAST_SPANS and np.ptp([line.hz for line in lines]) >= _LEAST_HZ and _is_smooth(lines)
    ]


def gliding_beats(left: Sequence[Glide], right: Sequence[Glide]) -> list[GlidingBeat]:
    """Find the beats among gliding tones: one in each channel, or two in both, about a carrier that may stay."""
    only_left = [glide for glide in left if not _is_in(glide, right)]
    only_right = [glide for glide in right if not _is_in(glide, left)]
    both = [glide for glide in left if _is_in(glide, right)]
    found = []
    for one, other in ((one, other) for one in only_left for other in only_right):
        if abs(one.level_dbfs - other.level_dbfs) < _APART_DB and _near(one, other):
            found.append(_beat("binaural", one, other))
    for one, other in combinations(both, 2):
        low, high = sorted((one, other), key=lambda glide: glide.at(max(one.from_s, other.from_s)))
        if abs(low.level_dbfs - high.level_dbfs) < _ALIKE_DB and _near(low, high):
            found.append(_beat("monaural", low, high))
    return found


def simplified(points: Sequence[tuple[float, float]], *, within: float = _STRAIGHT_HZ) -> Course:
    """Leave out what lies on the straight line between others (Ramer, Douglas and Peucker)."""
    if len(points) < 3:
        return tuple(points)
    times, values = np.array(points).T
    off = np.abs(values - np.interp(times, times[[0, -1]], values[[0, -1]]))
    worst = int(off.argmax())
    if off[worst] <= within:
        return (points[0], points[-1])
    return (*simplified(points[: worst + 1], within=within)[:-1], *simplified(points[worst:], within=within))


def _continues(before: MovingLine, after: MovingLine) -> bool:
    seconds = after.at_s - before.at_s
    if seconds > _LONGEST_PAUSE_S:
        return False
    expected = before.hz + seconds * (before.hz_per_s + after.hz_per_s) / 2
    return abs(expected - after.hz) < _SAME_HZ * max(1.0, seconds / _HOP_S)


def _is_smooth(lines: Sequence[MovingLine]) -> bool:
    """Whether a few straight lines are its whole course, as no voice's or instrument's is."""
    return 3 * (len(simplified([(line.at_s, line.hz) for line in lines])) - 1) <= len(lines)


def _glide(lines: Sequence[MovingLine]) -> Glide:
    """From half a span before the first line's middle to half a span after the last's, where it was steady, too."""
    first, last = lines[0], lines[-1]
    edge_s = (lines[1].at_s - first.at_s) if len(lines) > 1 else 0.0
    points = [
        (round(max(0.0, first.at_s - edge_s), 1), first.hz - first.hz_per_s * min(edge_s, first.at_s)),
        *((line.at_s, line.hz) for line in lines),
        (round(last.at_s + edge_s, 1), last.hz + last.hz_per_s * edge_s),
    ]
    course = tuple((at_s, round(hz, 3)) for at_s, hz in simplified(points))
    return Glide(course, float(np.median([line.level_dbfs for line in lines])))


def _overlap(one: Glide, other: Glide) -> tuple[float, float]:
    return max(one.from_s, other.from_s), min(one.to_s, other.to_s)


def _is_in(glide: Glide, others: Sequence[Glide]) -> bool:
    for other in others:
        begin, end = _overlap(glide, other)
        if end > begin and all(abs(glide.at(at) - other.at(at)) < _SAME_HZ for at in np.linspace(begin, end, 5)):
            return True
    return False


def _near(one: Glide, other: Glide) -> bool:
    begin, end = _overlap(one, other)
    if end - begin < 0.5 * min(one.to_s - one.from_s, other.to_s - other.from_s):
        return False
    return all(0 < abs(one.at(at) - other.at(at)) < _FASTEST_BEAT_HZ for at in np.linspace(begin, end, 9))


def _beat(mode: Literal["binaural", "monaural"], low: Glide, high: Glide) -> GlidingBeat:
    begin, end = _overlap(low, high)
    times = sorted({begin, end, *(at for glide in (low, high) for at, _ in glide.course if begin < at < end)})
    lows, highs = (tuple((at, round(glide.at(at), 3)) for at in times) for glide in (low, high))
    beat = [(at, round(high.at(at) - low.at(at), 3)) for at in times]
    return GlidingBeat(mode, lows, highs, simplified(beat))


def as_isochronic(beat: GlidingBeat, carriers: Sequence[Line]) -> GlidingBeat:
    """A beat of two tones about one that stays is that one in pulses."""
    middles = [(low + high) / 2 for (_, low), (_, high) in zip(beat.low, beat.high, strict=True)]
    if beat.mode != "monaural" or np.ptp(middles) > _SAME_HZ:
        return beat
    middle = float(np.median(middles))
    if not any(abs(carrier.hz - middle) < _SAME_HZ for carrier in carriers):
        return beat
    low = tuple((at, round(middle, 3)) for at, _ in beat.low)
    return GlidingBeat("isochronic", low, beat.high, tuple((at, round(hz / 2, 3)) for at, hz in beat.beat))
