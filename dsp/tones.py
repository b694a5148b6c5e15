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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, spans
from dsp.envelope import Breakpoints, Values, raised_cosine

Wave = Literal["sine", "triangle", "square"]
Channel = NDArray[np.float32]
"""One channel, shape (frames,)."""

_TABLE_FRAMES = 13_230  # a fifth of a block, so that most tables are used whole
_HIGHEST_SHARE = 0.45  # of the sample rate: partials above stay out, so none comes near Nyquist


def _turns(frequency_hz: float, frame: int, sample_rate: int) -> float:
    """Phase of a steady tone at a frame, in turns within [0, 1); exact, however far out the frame is."""
    return _phase(frequency_hz, frame, sample_rate) / _ratio(frequency_hz, sample_rate)[1]


def _phase(frequency_hz: float, frame: int, sample_rate: int) -> int:
    """The same as a whole number, out of the frames of `_ratio`."""
    turns, frames = _ratio(frequency_hz, sample_rate)
    return turns * frame % frames


@lru_cache(maxsize=64)
def _ratio(frequency_hz: float, sample_rate: int) -> tuple[int, int]:
    """Whole turns in so many frames; whole numbers, since fractions would cost more than the tone."""
    return (Fraction(frequency_hz) / sample_rate).as_integer_ratio()


@lru_cache(maxsize=32)
def _table(frequency_hz: float, sample_rate: int, partials: tuple[int, ...]) -> NDArray[np.float64]:
    """Rows ``cos(k w n), sin(k w n)`` for each partial k, shape (2 * partials, frames); small enough for the cache."""
    n = np.arange(max(1024, _TABLE_FRAMES // len(partials)))
    rows = np.empty((2 * len(partials), len(n)))
    for row, partial in enumerate(partials):
        turns = (partial * frequency_hz / sample_rate) * n
        angle = 2.0 * np.pi * (turns - np.floor(turns))
        rows[2 * row], rows[2 * row + 1] = np.cos(angle), np.sin(angle)
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


def _sine_coefficients(terms: int) -> tuple[float, ...]:
    series = np.polynomial.Chebyshev.interpolate(
        lambda square: 2.0 * np.pi * np.sinc(2.0 * np.sqrt(square)), terms - 1, domain=[0.0, 0.0625]
    )
    return tuple(series.convert(kind=np.polynomial.Polynomial).coef.tolist())


_SINE_COEFFICIENTS = _sine_coefficients(7)
_MOVING_FRAMES = 8_192


def _partials(wave: Wave, frequency_hz: float, sample_rate: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Numbers and amplitudes of the partials below `_HIGHEST_SHARE` of the sample rate.

    Fourier series of the ideal wave of peak 1: square ``4/pi * sin(kx)/k``, triangle
    ``8/pi**2 * (-1)**((k-1)/2) * sin(kx)/k**2``, odd k.
    """
    if wave == "sine":
        return (1,), (1.0,)
    count = max(1, int(_HIGHEST_SHARE * sample_rate / frequency_hz))
    numbers = tuple(range(1, count + 1, 2))
    if wave == "square":
        return numbers, tuple(4.0 / math.pi / k for k in numbers)
    return numbers, tuple(8.0 / math.pi**2 * (-1.0) ** ((k - 1) // 2) / k**2 for k in numbers)


def _steady(frequency_hz: float, start: int, stop: int, sample_rate: int, wave: Wave, out: Channel) -> None:
    """Write frames `[start, stop)` of a steady tone into `out`, which may be strided."""
    numbers, amplitudes = _partials(wave, frequency_hz, sample_rate)
    table = _table(frequency_hz, sample_rate, numbers)
    size = table.shape[1]
    for first, last in spans(start - start % size, stop, size):
        # The whole table, always at the same place in time: the samples do not depend on where this span begins,
        # not even by the order in which a matrix product happens to add. In float64, for what one processor's order
        # makes of it and another's is then gone with the rounding.
        angle = 2.0 * np.pi * (_turns(frequency_hz, first, sample_rate) * np.array(numbers) % 1.0)
        rotation = np.empty(2 * len(numbers))
        rotation[0::2] = np.sin(angle) * amplitudes
        rotation[1::2] = np.cos(angle) * amplitudes
        begin = max(start, first)
        out[begin - start : last - start] = (rotation @ table)[begin - first : last - first]


def _moving(frequency_hz: Breakpoints, start: int, stop: int, sample_rate: int, wave: Wave, out: Channel) -> None:
    """Write frames `[start, stop)` of a tone whose frequency moves; the phase is the integral of the frequency."""
    # partials are chosen for the highest frequency of the whole line, so that none comes and goes
    numbers, amplitudes = _partials(wave, max(frequency_hz.values), sample_rate)
    for first, last in spans(start, stop, _MOVING_FRAMES):
        turns = frequency_hz.integral(first, last)
        turns /= sample_rate
        total = np.zeros(last - first)
        for partial, amplitude in zip(numbers, amplitudes, strict=True):
            total += amplitude * _sine(partial * turns)
        out[first - start : last - start] = total


@lru_cache(maxsize=32)
def _sine_table(frequency_hz: float, sample_rate: int) -> NDArray[np.float32]:
    """`_table` of a sine, in float32."""
    rows = _table(frequency_hz, sample_rate, (1,)).astype(np.float32)
    rows.flags.writeable = False
    return rows


def _steady_channels(ears_hz: tuple[float, float], start: int, stop: int, sample_rate: int) -> Block:
    """Make frames `[start, stop)` of a steady sine in each channel.

    Blocks of a tone of whole Hz are all the same, of half Hz every other one: they are made once.
    """
    # The same place within the table and the same phases there give the same samples, to the last bit.
    begin = start - start % _TABLE_FRAMES
    phases = (_phase(ears_hz[0], begin, sample_rate), _phase(ears_hz[1], begin, sample_rate))
    if max(_ratio(hz, sample_rate)[1] for hz in ears_hz) <= 2 * sample_rate:
        return _ears_again(ears_hz, phases, start - begin, stop - begin, sample_rate).copy()
    return _ears(ears_hz, phases, start - begin, stop - begin, sample_rate)


def _ears(ears_hz: tuple[float, float], phases: tuple[int, int], start: int, stop: int, sample_rate: int) -> Block:
    """`_steady_channels` of frames counted from one at which the phases are as of `_phase`."""
    block: Block = np.empty((stop - start, 2), np.float32)
    _steady_sine(ears_hz[0], phases[0], start, stop, sample_rate, block[:, 0])
    if ears_hz[1] == ears_hz[0]:
        block[:, 1] = block[:, 0]
    else:
        _steady_sine(ears_hz[1], phases[1], start, stop, sample_rate, block[:, 1])
    return block


_ears_again = lru_cache(maxsize=8)(_ears)


def _steady_sine(frequency_hz: float, phase: int, start: int, stop: int, sample_rate: int, out: Channel) -> None:
    """`_steady` of a sine, several times as fast, and yet the same samples on every processor."""
    cosine, sine = _sine_table(frequency_hz, sample_rate)
    turns, frames = _ratio(frequency_hz, sample_rate)
    # Each row is a table turned to its place in time. All rows at once: of many small products each would let go of
    # Python's lock and wait for it again, while another thread makes another span.
    places = [(phase + turns * row) % frames / frames for row in range(0, stop, len(sine))]
    angles = [2.0 * math.pi * place for place in places]
    rows = np.array(list(map(math.sin, angles)), np.float32)[:, None] * cosine
    rows += np.array(list(map(math.cos, angles)), np.float32)[:, None] * sine
    out[:] = rows.reshape(-1)[start:stop]


Frequency = float | Breakpoints
"""In Hz: steady, or straight lines over time."""


def _steadied(frequency: Frequency) -> Frequency:
    """One number for a line that never moves."""
    if isinstance(frequency, Breakpoints) and len(set(frequency.values)) == 1:
        return frequency.values[0]
    return frequency


def _tone(frequency: Frequency, start: int, stop: int, sample_rate: int, wave: Wave, out: Channel) -> None:
    frequency = _steadied(frequency)
    if isinstance(frequency, Breakpoints):
        _moving(frequency, start, stop, sample_rate, wave, out)
    else:
        _steady(frequency, start, stop, sample_rate, wave, out)


def _shifted(carrier: Frequency, beat: Frequency, share: float) -> Frequency:
    """``carrier + share * beat`` as one line, or one number when both are steady."""
    if not isinstance(carrier, Breakpoints) and not isinstance(beat, Breakpoints):
        return carrier + share * beat
    lines = [curve for curve in (carrier, beat) if isinstance(curve, Breakpoints)]
    frames = tuple(sorted({frame for line in lines for frame in line.frames}))

    def values(curve: Frequency) -> Values:
        if isinstance(curve, Breakpoints):
            return np.interp(frames, curve.frames, curve.values)
        return np.full(len(frames), curve)

    return Breakpoints(frames, tuple((values(carrier) + share * values(beat)).tolist()))


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
        frequency = _steadied(self.frequency)
        if self.wave == "sine" and not isinstance(frequency, Breakpoints):
            return _steady_channels((frequency, frequency), start, stop, self.sample_rate)
        tone = np.empty(stop - start, np.float32)
        _tone(self.frequency, start, stop, self.sample_rate, self.wave, tone)
        return _both(tone)


@dataclass(frozen=True)
class Binaural:
    """A pure tone in each ear: left ``carrier - beat/2``, right ``carrier + beat/2``; peak 1.

    Parameters
    ----------
    carrier, beat : float or Breakpoints
        In Hz.
    sample_rate : int
        In Hz.
    """

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
        left, right = _steadied(self.left), _steadied(self.right)
        if not isinstance(left, Breakpoints) and not isinstance(right, Breakpoints):
            return _steady_channels((left, right), start, stop, self.sample_rate)
        block = np.empty((stop - start, 2), np.float32)
        _tone(self.left, start, stop, self.sample_rate, "sine", block[:, 0])
        _tone(self.right, start, stop, self.sample_rate, "sine", block[:, 1])
        return block


@dataclass(frozen=True)
class Monaural:
    """Both tones of a binaural beat in both channels, each at half the amplitude: the beat is in the sound itself."""

    carrier: Frequency
    beat: Frequency
    sample_rate: int

    def render(self, start: int, stop: int) -> Block:
        """Make frames `[start, stop)`, shape (stop - start, 2)."""
        tones = Binaural(self.carrier, self.beat, self.sample_rate).render(start, stop)
        return _both(0.5 * (tones[:, 0] + tones[:, 1]))


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
        tone = np.empty(stop - start, np.float32)
        _tone(self.carrier, start, stop, self.sample_rate, "sine", tone)
        tone *= self._gate(start, stop)
        return _both(tone)

    def _gate(self, start: int, stop: int) -> Values:
        if isinstance(self.beat, Breakpoints):
            turns = self.beat.integral(start, stop) / self.sample_rate
        else:
            turns = np.asarray(_turns(self.beat, start, self.sample_rate)) + np.arange(stop - start) * (
                self.beat / self.sample_rate
            )
        turns = turns - np.floor(turns)
        edge = 0.2
        return raised_cosine(np.minimum(turns, 0.5 + edge - turns) / edge)


@dataclass(frozen=True)
class ToneSequence:
    """Tones one after another, each crossfaded into the next at equal power; every phase runs from frame 0.

    Parameters
    ----------
    tones_hz : tuple of float
    starts : tuple of int
        First frame of each, increasing, the first 0; a tone is at full level where its crossfade-in ends.
    crossfade_frames : int
        Centred on each start but the first; no longer than the shortest tone.
    sample_rate : int
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
        total = np.zeros(stop - start, np.float32)
        half = self.crossfade_frames // 2
        for number, frequency_hz in enumerate(self.tones_hz):
            begins = self.starts[number] - half if number else 0
            final = number + 1 == len(self.tones_hz)
            ends = stop if final else self.starts[number + 1] - half + self.crossfade_frames
            first, last = max(start, begins), min(stop, max(ends, begins))
            if first >= last:
                continue
            tone = np.empty(last - first, np.float32)
            _steady(frequency_hz, first, last, self.sample_rate, self.wave, tone)
            tone *= self._gain(first, last, begins if number else None, None if final else ends)
            total[first - start : last - start] += tone
        return _both(total)

    def _gain(self, start: int, stop: int, begins: int | None, ends: int | None) -> Values | float:
        n = np.arange(start, stop) + 0.5
        gain: Values | float = 1.0
        if self.crossfade_frames and begins is not None and start < begins + self.crossfade_frames:
            gain = gain * np.sin(np.pi / 2 * np.clip((n - begins) / self.crossfade_frames, 0.0, 1.0))
        if self.crossfade_frames and ends is not None and stop > ends - self.crossfade_frames:
            gain = gain * np.sin(np.pi / 2 * np.clip((ends - n) / self.crossfade_frames, 0.0, 1.0))
        return gain


def _both(samples: Channel) -> Block:
    block: Block = np.empty((len(samples), 2), np.float32)
    block[:, 0] = block[:, 1] = samples  # one by one: several times as fast as `numpy.repeat`
    return block
