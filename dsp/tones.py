"""Tones: steady, binaural, monaural, isochronic, one after another. All are functions of the absolute frame.

A steady tone needs no sine per sample: one table of `cos` and `sin` over a block, rotated by the exact phase of the
block's first frame (angle addition). A moving frequency is integrated in closed form, since `sin(2 pi f(t) t)` is not
a tone of frequency `f(t)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, amplify, spans
from dsp.envelope import Breakpoints, Values, raised_cosine

Wave = Literal["sine", "triangle", "square"]
Channel = NDArray[np.float32]
"""One channel, shape (frames,)."""

_TABLE_FRAMES = 13_230  # a tenth of a block, so that most tables are used whole
_HIGHEST_SHARE = 0.45  # of the sample rate: partials above stay out, so none comes near Nyquist


@lru_cache(maxsize=64)
def _ratio(frequency_hz: float, sample_rate: int) -> tuple[int, int]:
    """Whole turns in so many frames: whole numbers, so that a phase is exact however far out its frame is."""
    return (Fraction(frequency_hz) / sample_rate).as_integer_ratio()


@lru_cache(maxsize=128)
def _table(frequency_hz: float, sample_rate: int) -> NDArray[np.float32]:
    """Rows ``cos(w n), sin(w n)``, shape (2, _TABLE_FRAMES); small enough for the cache."""
    turns = frequency_hz / sample_rate * np.arange(_TABLE_FRAMES)
    angle = 2.0 * np.pi * (turns - np.floor(turns))
    rows = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    rows.flags.writeable = False
    return rows


def _sine(turns: Values) -> Values:
    """``sin(2 pi turns)`` to 1e-11, several times as fast as `numpy.sin` in float64.

    Folded into a quarter turn either side of 0, then an odd polynomial (Chebyshev interpolation of ``sin(2 pi z)/z``
    over ``z**2``).
    """
    z = turns - 0.25
    z -= np.rint(z)
    np.abs(z, out=z)
    np.subtract(0.25, z, out=z)  # sin(2 pi turns) = cos(2 pi (turns - 1/4)) = sin(2 pi (1/4 - |turns - 1/4|))
    square = z * z
    total = np.full_like(z, _SINE_COEFFICIENTS[-1])
    for coefficient in _SINE_COEFFICIENTS[-2::-1]:
        total *= square
        total += coefficient
    total *= z
    return total


# Of the interpolation at Chebyshev's nodes on 0 to 1/16, degree 6. Written out, since `numpy.polynomial` takes 10 ms to
# load; a test computes them.
_SINE_COEFFICIENTS = (
    6.283185307179272,
    -41.3417022399051,
    81.60524914926853,
    -76.70584756004557,
    42.05813534983568,
    -15.081489767347058,
    3.665889195033482,
)
_MOVING_FRAMES = 8_192
_PULSE_EDGE = 0.2  # of the beat's period


def _partials(wave: Wave, frequency_hz: float, sample_rate: int) -> list[tuple[int, float]]:
    """Numbers and amplitudes of the partials below `_HIGHEST_SHARE` of the sample rate.

    Fourier series of the ideal wave of peak 1: square ``4/pi * sin(kx)/k``, triangle
    ``8/pi**2 * (-1)**((k-1)/2) * sin(kx)/k**2``, odd k.
    """
    if wave == "sine":
        return [(1, 1.0)]
    numbers = range(1, max(1, int(_HIGHEST_SHARE * sample_rate / frequency_hz)) + 1, 2)
    if wave == "square":
        return [(k, 4.0 / math.pi / k) for k in numbers]
    return [(k, 8.0 / math.pi**2 * (-1.0) ** ((k - 1) // 2) / k**2) for k in numbers]


class _Span(NamedTuple):
    """Frames `[start, stop)` of a steady tone, counted from a frame at a multiple of the table.

    `phase` is that of the tone there, in the frames of `_ratio`.
    """

    phase: int
    start: int
    stop: int
    frequency_hz: float
    sample_rate: int
    wave: Wave


def _span(frequency_hz: float, start: int, stop: int, sample_rate: int, wave: Wave) -> _Span:
    first = start - start % _TABLE_FRAMES
    turns, frames = _ratio(frequency_hz, sample_rate)
    return _Span(turns * first % frames, start - first, stop - first, frequency_hz, sample_rate, wave)


def _steady(frequency_hz: float, start: int, stop: int, sample_rate: int, wave: Wave) -> Channel:
    """Make frames `[start, stop)` of a steady tone; the array is shared."""
    return _steady_channel(_span(frequency_hz, start, stop, sample_rate, wave))


# Blocks of tones of whole Hz are all the same: none is made, interleaved or amplified twice.
@lru_cache(maxsize=6)
def _steady_block(left: _Span, right: _Span, gain: float) -> Block:
    """Make a block of steady tones; it is shared, and read-only."""
    block = amplify(_block(*map(_steady_channel, (left, right))), gain)
    block.flags.writeable = False
    return block


@lru_cache(maxsize=8)
def _steady_channel(span: _Span) -> Channel:
    phase, start, stop, frequency_hz, sample_rate, wave = span
    turns, frames = _ratio(frequency_hz, sample_rate)
    # Rows are whole tables, always at the same place in time: the samples do not depend on where this span begins.
    # All rows at once: of many small products each would let go of Python's lock and wait for it again, while
    # another thread makes another span.
    phases = [phase + turns * place for place in range(0, stop, _TABLE_FRAMES)]
    tone: Channel = np.zeros((len(phases), _TABLE_FRAMES), np.float32)
    for partial, amplitude in _partials(wave, frequency_hz, sample_rate):
        angles = [2.0 * math.pi * (partial * place % frames / frames) for place in phases]
        for row, turn in zip(_table(partial * frequency_hz, sample_rate), (math.sin, math.cos), strict=True):
            tone += np.array([amplitude * turn(angle) for angle in angles], np.float32)[:, None] * row
    tone = tone.reshape(-1)[start:stop]
    tone.flags.writeable = False
    return tone


def _moving(frequency_hz: Breakpoints, start: int, stop: int, sample_rate: int, wave: Wave) -> Channel:
    """Make frames `[start, stop)` of a tone whose frequency moves; the phase is the integral of the frequency."""
    # partials are chosen for the highest frequency of the whole line, so that none comes and goes
    partials = _partials(wave, max(frequency_hz.values), sample_rate)
    tone: Channel = np.empty(stop - start, np.float32)
    for first, last in spans(start, stop, _MOVING_FRAMES):
        turns = frequency_hz.integral(first, last) / sample_rate
        tone[first - start : last - start] = sum(amplitude * _sine(partial * turns) for partial, amplitude in partials)
    return tone


Frequency = float | Breakpoints
"""In Hz: steady, or straight lines over time."""


def _steadied(frequency: Frequency) -> Frequency:
    """One number for a line that never moves."""
    if isinstance(frequency, Breakpoints) and len(set(frequency.values)) == 1:
        return frequency.values[0]
    return frequency


def _line(frequency: Frequency) -> Breakpoints:
    return frequency if isinstance(frequency, Breakpoints) else Breakpoints((0,), (frequency,))


def _tone(frequency: Frequency, start: int, stop: int, sample_rate: int, wave: Wave = "sine") -> Channel:
    frequency = _steadied(frequency)
    make = _moving if isinstance(frequency, Breakpoints) else _steady
    return make(frequency, start, stop, sample_rate, wave)  # type: ignore[arg-type]  # each takes its own kind


def _shifted(carrier: Frequency, beat: Frequency, share: float) -> Frequency:
    """``carrier + share * beat``, as one number when both are steady."""
    lines = (_line(carrier), _line(beat))
    frames = tuple(sorted({*lines[0].frames, *lines[1].frames}))
    carriers, beats = (np.interp(frames, line.frames, line.values) for line in lines)
    return _steadied(Breakpoints(frames, tuple((carriers + share * beats).tolist())))


@dataclass(frozen=True)
class Tone:
    """The same tone in both channels.

    Parameters
    ----------
    frequency : float or Breakpoints
        In Hz, > 0.
    sample_rate : int
        In Hz.
    wave : {"sine", "triangle", "square"}
        Peak 1 (the ideal wave's peak: a band-limited square overshoots it by up to 18 %, Gibbs). Made of its partials
        below 0.45 of the sample rate, so nothing aliases.
    """

    frequency: Frequency
    sample_rate: int
    wave: Wave = "sine"

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        return self.at_gain(start, stop, 1.0)

    def at_gain(self, start: int, stop: int, gain: float) -> Block:
        """The same at a linear gain."""
        return _both(self.frequency, self.frequency, start, stop, self.sample_rate, self.wave, gain=gain)


@dataclass(frozen=True)
class Binaural:
    """A pure tone in each ear: left ``carrier - beat/2``, right ``carrier + beat/2``; peak 1, all in Hz."""

    carrier: Frequency
    beat: Frequency
    sample_rate: int

    @cached_property
    def left(self) -> Frequency:
        """Frequency of the left channel in Hz."""
        return _shifted(self.carrier, self.beat, -0.5)

    @cached_property
    def right(self) -> Frequency:
        """Frequency of the right channel in Hz."""
        return _shifted(self.carrier, self.beat, 0.5)

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        return self.at_gain(start, stop, 1.0)

    def at_gain(self, start: int, stop: int, gain: float) -> Block:
        """The same at a linear gain."""
        return _both(self.left, self.right, start, stop, self.sample_rate, gain=gain)


@dataclass(frozen=True)
class Monaural:
    """Both tones of a binaural beat in both channels, each at half the amplitude: the beat is in the sound itself."""

    carrier: Frequency
    beat: Frequency
    sample_rate: int

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        tones = Binaural(self.carrier, self.beat, self.sample_rate).render(start, stop)
        both = 0.5 * (tones[:, 0] + tones[:, 1])
        return _block(both, both)


@dataclass(frozen=True)
class Isochronic:
    """The carrier in pulses, `beat` of them a second, in both channels; peak 1.

    A pulse takes half a period of the beat; it rises and falls as a raised cosine over a fifth of the period each,
    so there is no click.
    """

    carrier: Frequency
    beat: Frequency
    sample_rate: int

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        turns = _line(self.beat).integral(start, stop) / self.sample_rate
        turns -= np.floor(turns)
        pulses = raised_cosine(np.minimum(turns, 0.5 + _PULSE_EDGE - turns) / _PULSE_EDGE)
        tone = (_tone(self.carrier, start, stop, self.sample_rate) * pulses).astype(np.float32)
        return _block(tone, tone)


@dataclass(frozen=True)
class ToneSequence:
    """Tones one after another, each crossfaded into the next at equal power; every phase runs from frame 0.

    Parameters
    ----------
    starts : tuple of int
        First frame of each, increasing, the first 0; a tone is at full level where its crossfade-in ends.
    crossfade_frames : int
        Centred on each start but the first; no longer than the shortest tone.
    wave : {"sine", "triangle", "square"}
    """

    tones_hz: tuple[float, ...]
    starts: tuple[int, ...]
    crossfade_frames: int
    sample_rate: int
    wave: Wave = "sine"

    def __post_init__(self) -> None:
        if not self.tones_hz or len(self.tones_hz) != len(self.starts) or self.starts[0] != 0:
            raise ValueError("a sequence takes as many starts as tones, the first at frame 0")
        lengths = np.diff(self.starts)
        if len(lengths) and lengths.min() < max(1, self.crossfade_frames):
            raise ValueError(f"tones of {lengths.min()} frames; at least the crossfade of {self.crossfade_frames}")

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        total: Channel = np.zeros(stop - start, np.float32)
        half = self.crossfade_frames // 2
        begins = [-math.inf, *(frame - half for frame in self.starts[1:])]
        ends = [*(frame - half + self.crossfade_frames for frame in self.starts[1:]), math.inf]
        for frequency_hz, begin, end in zip(self.tones_hz, begins, ends, strict=True):
            first, last = int(max(start, begin)), int(min(stop, end))
            if first < last:
                tone = _steady(frequency_hz, first, last, self.sample_rate, self.wave)
                total[first - start : last - start] += tone * self._gain(first, last, begin, end)
        return _block(total, total)

    def _gain(self, start: int, stop: int, begin: float, end: float) -> Values | float:
        n = np.arange(start, stop) + 0.5
        gain: Values | float = 1.0
        for distance in (n - begin, end - n):  # from the crossfades' outer ends
            if distance.min() < self.crossfade_frames:
                gain = gain * np.sin(np.pi / 2 * np.clip(distance / self.crossfade_frames, 0.0, 1.0))
        return gain


def _both(
    left: Frequency,
    right: Frequency,
    start: int,
    stop: int,
    sample_rate: int,
    wave: Wave = "sine",
    *,
    gain: float,
) -> Block:
    """Make frames `[start, stop)` of a tone in each channel; read-only where both are steady."""
    left, right = _steadied(left), _steadied(right)
    if not isinstance(left, Breakpoints) and not isinstance(right, Breakpoints):
        return _steady_block(*(_span(hz, start, stop, sample_rate, wave) for hz in (left, right)), gain)
    tone = _tone(left, start, stop, sample_rate, wave)
    return amplify(_block(tone, tone if right == left else _tone(right, start, stop, sample_rate, wave)), gain)


def _block(left: Channel, right: Channel) -> Block:
    block: Block = np.empty((len(left), 2), np.float32)
    block[:, 0] = left  # one by one: several times as fast as to interleave them
    block[:, 1] = right
    return block
