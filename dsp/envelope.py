"""Curves: values that are functions of the absolute frame, the same for any way of cutting time into blocks."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""One value per frame, shape (frames,)."""

_KEPT_RISE_FRAMES = 220_500  # 5 s: a track has a few lengths of rises, and each is needed many times


class Curve(Protocol):
    """A value over time."""

    def at(self, start: int, stop: int) -> float | Values:
        """Values of frames `[start, stop)`: a scalar where all of them are the same, else shape (stop - start,)."""


@dataclass(frozen=True)
class Constant:
    """One value for ever."""

    value: float

    def at(self, start: int, stop: int) -> float:
        """Give the value."""
        return self.value


@dataclass(frozen=True)
class Breakpoints:
    """Straight lines between points; the first and last value hold outside them.

    Raises `ValueError` if there is no point, the lengths differ or the frames do not increase.

    Parameters
    ----------
    frames : tuple of int
        Strictly increasing; at least one.
    values : tuple of float
        As many.
    """

    frames: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.frames or len(self.frames) != len(self.values):
            raise ValueError(f"{len(self.frames)} frames and {len(self.values)} values; as many of each, at least 1")
        if any(later <= earlier for earlier, later in zip(self.frames, self.frames[1:], strict=False)):
            raise ValueError(f"frames {self.frames}; they must increase strictly")

    def at(self, start: int, stop: int) -> float | Values:
        """Values of frames `[start, stop)`."""
        if stop <= self.frames[0] or len(self.frames) == 1:
            return self.values[0]
        if start >= self.frames[-1]:
            return self.values[-1]
        return np.interp(np.arange(start, stop), self.frames, self.values)

    def integral(self, start: int, stop: int) -> Values:
        """Integral from frame 0 up to each frame of `[start, stop)`, in closed form (value x frames).

        Within a section that begins at frame ``f`` with value ``v`` and slope ``s``, and with ``d = n - f``, the
        integral grows by ``v*d + s*d**2/2``.
        """
        edges, values, slopes, sums = self._sections
        n = np.arange(start, stop)
        section = np.clip(np.searchsorted(edges, n, side="right") - 1, 0, None)
        distance = (n - edges[section]).astype(np.float64)
        return sums[section] + distance * (values[section] + 0.5 * slopes[section] * distance)

    @cached_property
    def _sections(self) -> tuple[NDArray[np.int64], Values, Values, Values]:
        """First frame of each section (frame 0 and every point after it), its value there, its slope, and the sum."""
        edges = np.array([0, *(frame for frame in self.frames if frame > 0)], dtype=np.int64)
        values = np.interp(edges, self.frames, self.values)
        lengths = np.diff(edges).astype(np.float64)
        sums = np.append(0.0, np.cumsum(lengths * (values[:-1] + values[1:]) / 2.0))
        return edges, values, np.append(np.diff(values) / lengths, 0.0), sums


@dataclass(frozen=True)
class Decibels:
    """A curve in dB, as linear amplitude gain."""

    curve: Curve

    def at(self, start: int, stop: int) -> float | Values:
        """Gains of frames `[start, stop)`."""
        gain: float | Values = 10.0 ** (self.curve.at(start, stop) / 20.0)
        return gain


@dataclass(frozen=True)
class Product:
    """Curves multiplied."""

    curves: tuple[Curve, ...]

    def at(self, start: int, stop: int) -> float | Values:
        """Values of frames `[start, stop)`."""
        product: float | Values = math.prod(curve.at(start, stop) for curve in self.curves)
        return product


def raised_cosine(position: Values) -> Values:
    """Rise from 0 to 1 as `position` goes from 0 to 1, with level ends: ``(1 - cos(pi x)) / 2``."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(position, 0.0, 1.0))


def rise(frames: int, start: int, stop: int) -> Values:
    """Frames `[start, stop)` of a raised cosine that takes so many; the first frame is half a step from silence.

    Backwards it is a fall. The array may be shared, and is read-only then.
    """
    if frames <= _KEPT_RISE_FRAMES:
        return _kept_rise(frames)[start:stop]
    return raised_cosine((np.arange(start, stop) + 0.5) / frames)


@lru_cache(maxsize=8)
def _kept_rise(frames: int) -> Values:
    whole = raised_cosine((np.arange(frames) + 0.5) / frames)
    whole.flags.writeable = False
    return whole


@dataclass(frozen=True)
class Fade:
    """Fade-in and fade-out of a whole track: raised cosines, 1 in between, 0 outside the track.

    The first frame of the fade-in and the last of the fade-out are half a step from silence, so that both mirror
    each other. Where the two overlap they multiply.

    Parameters
    ----------
    frames, in_frames, out_frames : int
        Length of the track and of its fades; not negative.
    """

    frames: int
    in_frames: int
    out_frames: int

    def __post_init__(self) -> None:
        if min(self.frames, self.in_frames, self.out_frames) < 0:
            raise ValueError(
                f"fade of {self.in_frames} and {self.out_frames} over {self.frames} frames; none may be < 0"
            )

    def at(self, start: int, stop: int) -> float | Values:
        """Gains of frames `[start, stop)`."""
        if start >= self.in_frames and stop <= self.frames - self.out_frames and start >= 0:
            return 1.0
        gain = np.zeros(stop - start)
        first, last = max(start, 0), min(stop, self.frames)
        if first < last:
            sounding = gain[first - start : last - start]
            sounding[:] = 1.0
            risen, falls = min(self.in_frames, last), max(self.frames - self.out_frames, first)
            if first < risen:
                sounding[: risen - first] *= rise(self.in_frames, first, risen)
            if falls < last:
                sounding[falls - first :] *= rise(self.out_frames, self.frames - last, self.frames - falls)[::-1]
        return gain


@dataclass(frozen=True)
class FadedSpans:
    """A gain of 1 in spans of time, each with a fade of its own, and of 0 outside them.

    Raises `ValueError` if the lengths differ or a span begins before the one before it has ended.

    Parameters
    ----------
    starts : tuple of int
        First frame of each span, increasing.
    fades : tuple of Fade
        As many; a span is as long as its fade.
    """

    starts: tuple[int, ...]
    fades: tuple[Fade, ...]

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.fades):
            raise ValueError(f"{len(self.starts)} starts and {len(self.fades)} fades; as many of each")
        if any(later < stop for later, stop in zip(self.starts[1:], self._stops[:-1], strict=True)):
            raise ValueError("spans overlap; each must end before the next begins")

    @cached_property
    def _stops(self) -> tuple[int, ...]:
        return tuple(start + fade.frames for start, fade in zip(self.starts, self.fades, strict=True))

    def __iter__(self) -> Iterator[tuple[int, int, Fade]]:
        """Start, stop and fade of each span."""
        return zip(self.starts, self._stops, self.fades, strict=True)

    def _touched(self, start: int, stop: int) -> range:
        """Numbers of the spans that have frames in `[start, stop)`."""
        return range(bisect_right(self._stops, start), bisect_left(self.starts, stop))

    def within(self, start: int, stop: int) -> tuple[int, int]:
        """The frames of `[start, stop)` from the first that is in a span to the last; empty where none is."""
        touched = self._touched(start, stop)
        if not touched:
            return start, start
        return max(start, self.starts[touched[0]]), min(stop, self._stops[touched[-1]])

    def at(self, start: int, stop: int) -> float | Values:
        """Gains of frames `[start, stop)`."""
        touched = self._touched(start, stop)
        if not touched:
            return 0.0
        if len(touched) == 1:
            begins = self.starts[touched[0]]
            return self.fades[touched[0]].at(start - begins, stop - begins)
        gain = np.zeros(stop - start)
        for number in touched:
            begins = self.starts[number]
            first, last = max(start, begins), min(stop, self._stops[number])
            gain[first - start : last - start] = self.fades[number].at(first - begins, last - begins)
        return gain


@dataclass(frozen=True)
class Ducking:
    """A gain that falls before speech, so that it is down when the first word begins.

    Before each span of speech the gain falls by `depth_db` over `attack_frames` (look-ahead), stays down through
    the speech and `hold_frames` after it, then rises over `release_frames`; raised cosines in decibels. Where two
    spans are close, the deeper of their curves counts, so the music does not pump between sentences.

    Parameters
    ----------
    speech : tuple of (start, stop)
        Frames, sorted and disjoint.
    depth_db : float
        How far down, >= 0.
    attack_frames, hold_frames, release_frames : int
        >= 0.
    """

    speech: tuple[tuple[int, int], ...]
    depth_db: float
    attack_frames: int
    hold_frames: int
    release_frames: int

    def __post_init__(self) -> None:
        if self.depth_db < 0 or min(self.attack_frames, self.hold_frames, self.release_frames) < 0:
            raise ValueError("depth, attack, hold and release of ducking must not be negative")

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        """Rows of starts and stops, shape (2, spans)."""
        return np.array(self.speech, dtype=np.int64).reshape(-1, 2).T

    def at(self, start: int, stop: int) -> float | Values:
        """Linear gains of frames `[start, stop)`."""
        tail = self.hold_frames + self.release_frames
        first = int(np.searchsorted(self._edges[1], start - tail, side="left"))
        last = int(np.searchsorted(self._edges[0], stop + self.attack_frames, side="right"))
        if first >= last:
            return 1.0
        n = np.arange(start, stop, dtype=np.float64)
        down = np.zeros(stop - start)
        for speech_start, speech_stop in self.speech[first:last]:
            held_until = speech_stop + self.hold_frames
            before = 1.0 - (speech_start - n) / max(self.attack_frames, 1)
            after = 1.0 - (n - held_until) / max(self.release_frames, 1)
            np.maximum(down, raised_cosine(np.minimum(before, after)), out=down)
        if down.min() == 1.0:
            return math.pow(10.0, -self.depth_db / 20.0)
        return np.power(10.0, -self.depth_db / 20.0 * down)
