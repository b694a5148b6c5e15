"""Analyses the delivered file while it is decoded: its tones by channel, and the seams of its music.

Tones are measured in one span of twenty seconds, without voice if there is such a place: so the cost does not depend on
the track's length.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from dsp.blocks import Block, gain_to_db
from dsp.envelope import Breakpoints, Curve, Fade
from dsp.plan import NO_FADE, Layer, RenderPlan
from dsp.recorded import Looped
from dsp.spectrum import HIGHEST_HZ, MAIN_LOBE_BINS, Decimator, Line, Spectrum, leakage_db
from dsp.stereo import channel_gains
from dsp.tones import Binaural, Frequency, Isochronic, Monaural, Tone, ToneSequence
from worker.plan.compile import SpokenSpan
from worker.plan.promised import steady_frames

ANALYSED_S = 20.0
_SHORTEST_S = 2.0
_PLACES = 41
_WITHIN_HZ = 0.5
_MOST_SEAMS = 20
_NEAR_S, _AROUND_S = 0.002, 0.25
_STEADY_GAIN = 1e-3
_HEARD_GAIN = 0.01


@dataclass(frozen=True)
class ToneReport:
    """A tone in one channel of the delivered file; measured figures are None where it is masked, and above 2 kHz."""

    expected_hz: float
    measured_hz: float | None
    level_dbfs: float | None


@dataclass(frozen=True)
class SeamReport:
    """One end of a crossfade where the music loops.

    Attributes
    ----------
    step_db : float
        Largest step from sample to sample within 2 ms, relative to the largest within 0.25 s around: below 0 where
        there is nothing to hear.
    heard_in : str
        ``delivered``, or ``music`` where a voice or another loop sounds over it: then it is measured on the loop.
    layer : str
        Which one loops.
    """

    at_s: float
    step_db: float
    heard_in: str
    layer: str


@dataclass(frozen=True)
class DeliveredAnalysis:
    """The figures of a delivered file's tones and seams.

    Attributes
    ----------
    from_s, seconds : float
        The span in which tones were measured.
    tones : mapping of "left", "right" to tuple of ToneReport
        The fundamentals of what is steady in the span.
    beat_expected_hz, beat_hz : float or None
        Right channel less left (binaural), between the two tones of one channel (monaural), or pulses a second
        (isochronic). None without a beat, and where it moves all the time.
    leakage_db : mapping of "left", "right" to float or None
        Binaural only; see `dsp.spectrum.leakage_db`.
    """

    from_s: float
    seconds: float
    tones: dict[str, tuple[ToneReport, ...]]
    beat_expected_hz: float | None
    beat_hz: float | None
    leakage_db: dict[str, float | None]
    seams: tuple[SeamReport, ...] = ()


class DeliveredAnalyzer:
    """Accumulator: add the decoded file block by block, then take the result."""

    def __init__(self, plan: RenderPlan, spoken: Sequence[SpokenSpan]) -> None:
        self._plan = plan
        self._spoken = spoken
        self._start, self._stop = analysis_span(plan, spoken)
        self._decimator = Decimator(plan.sample_rate)
        self._decimated: list[Block] = []
        self._tones: DeliveredAnalysis | None = None
        self._frame = 0
        self._loops = _seams(plan)
        self._around: dict[int, list[Block]] = {frame: [] for frame in self._loops}  # the sound around each seam
        self._reach = round(_AROUND_S * plan.sample_rate)
        self._seams: list[SeamReport] = []

    def add(self, block: Block) -> None:
        """Analyse the next block."""
        begin, end = self._frame, self._frame + len(block)
        self._frame = end
        if begin < self._stop and self._start < end:
            self._decimated.append(self._decimator.add(block[max(0, self._start - begin) : self._stop - begin]))
            if end >= self._stop:
                self._tones = self._analyse()  # now, while others still encode
        for frame in list(self._around):
            first, last = frame - self._reach, frame + self._reach
            if begin < last and first < end:
                self._around[frame].append(block[max(0, first - begin) : last - begin].copy())
                if end >= last:
                    self._seams.append(self._seam(frame, np.concatenate(self._around.pop(frame))))

    def result(self) -> DeliveredAnalysis:
        """The figures of the whole file."""
        found = self._tones or self._analyse()  # the sound ended early
        return replace(found, seams=tuple(self._seams))

    def _seam(self, frame: int, sound: Block) -> SeamReport:
        start, stop = frame - self._reach, frame + self._reach
        masked = any(span.start < stop and start < span.stop for span in self._spoken)
        music = self._loops[frame]
        masked = masked or any(
            isinstance(layer.source, Looped) and layer is not music and not layer.is_silent(start, stop)
            for layer in self._plan.layers
        )
        if masked:
            sound = music.source.render(start - music.origin, stop - music.origin)
        largest_db = step_db(sound, self._reach, near=round(_NEAR_S * self._plan.sample_rate))
        at_s = round(frame / self._plan.sample_rate, 3)
        return SeamReport(at_s, round(largest_db, 1), "music" if masked else "delivered", music.name)

    def _analyse(self) -> DeliveredAnalysis:
        """Measure tones, beat and leakage."""
        samples = np.concatenate([np.zeros((0, 2), np.float32), *self._decimated])
        self._decimated.clear()
        rate, decimated_rate = self._plan.sample_rate, self._decimator.sample_rate
        expected = expected_tones(self._plan, self._start, self._stop)
        spectra: list[Spectrum] = []
        if (expected.left or expected.right) and len(samples) >= _SHORTEST_S * decimated_rate:
            spectra = [Spectrum(column, decimated_rate) for column in samples.T]

        @cache
        def line(channel: int, hz: float) -> Line | None:
            if not spectra or hz > HIGHEST_HZ:
                return None
            others = [abs(hz - other) for other in (expected.left, expected.right)[channel] if other != hz]
            nearest = min(others, default=math.inf)
            if nearest < 2 * MAIN_LOBE_BINS * spectra[channel].resolution_hz:
                return None
            return spectra[channel].line(hz, min(_WITHIN_HZ, 0.4 * nearest))

        beat_hz, beat_expected_hz = None, None
        leakage: dict[str, float | None] = {"left": None, "right": None}
        if expected.beat is not None:
            low, high = expected.beat
            beat_expected_hz = round(high[1] - low[1], 9)
            own, other = line(*low), line(*high)
            if own is not None and other is not None:
                beat_hz = round(other.hz - own.hz, 5)
                if low[0] != high[0]:
                    leakage["left"] = leakage_db(spectra[0], own.hz, other.hz)
                    leakage["right"] = leakage_db(spectra[1], other.hz, own.hz)
        return DeliveredAnalysis(
            from_s=round(self._start / rate, 3),
            seconds=round((self._stop - self._start) / rate, 3),
            tones={
                "left": tuple(_tone_report(hz, line(0, hz)) for hz in expected.left),
                "right": tuple(_tone_report(hz, line(1, hz)) for hz in expected.right),
            },
            beat_expected_hz=beat_expected_hz,
            beat_hz=beat_hz,
            leakage_db={channel: db if db is None else round(db, 1) for channel, db in leakage.items()},
        )


class Expected(NamedTuple):
    """Steady tones of a span, by the plan.

    Attributes
    ----------
    left, right : tuple of float
        Hz.
    beat : pair of (channel, Hz), or None
        Left and right channel of a binaural beat; the two tones of a monaural one, carrier and first side tone of an
        isochronic one, both in the left channel. None without a beat, or where it moves; of several the first.
    """

    left: tuple[float, ...]
    right: tuple[float, ...]
    beat: tuple[tuple[int, float], tuple[int, float]] | None


def expected_tones(plan: RenderPlan, start: int, stop: int) -> Expected:
    """Find the tones that are steady through frames `[start, stop)` of a plan."""
    left: list[float] = []
    right: list[float] = []
    beat: tuple[tuple[int, float], tuple[int, float]] | None = None
    for layer in plan.layers:
        source, both = layer.source, list[float]()
        if not _sounds_through(plan, layer, start, stop):
            continue
        if isinstance(source, Tone):
            both = _steady(source.frequency, start, stop)
        elif isinstance(source, ToneSequence):
            both = _in_sequence(source, start - layer.origin, stop - layer.origin)
        elif isinstance(source, Binaural | Monaural | Isochronic):
            carrier, beats = _steady(source.carrier, start, stop), _steady(source.beat, start, stop)
            shares = (0.0, 1.0) if isinstance(source, Isochronic) else (-0.5, 0.5)
            pair = [carrier[0] + share * beats[0] for share in shares] if carrier and beats else []
            if pair and beat is None:
                beat = (0, pair[0]), (int(isinstance(source, Binaural)), pair[1])
            if isinstance(source, Binaural):
                left += pair[:1]
                right += pair[1:]
            else:
                both = carrier if isinstance(source, Isochronic) else pair
        for channel, gain in zip((left, right), _channel_gains(layer, start, stop), strict=True):
            channel += both if gain > _HEARD_GAIN else []
    return Expected(tuple(sorted(left)), tuple(sorted(right)), beat)


def _sounds_through(plan: RenderPlan, layer: Layer, start: int, stop: int) -> bool:
    """Whether a layer that has its own times or fades is at its level in all of `[start, stop)`."""
    if layer.within(0, plan.frames) == (0, plan.frames) and layer.fade is NO_FADE:
        return True
    return steady_frames(plan, layer, start, stop) == (start, stop)


def _channel_gains(layer: Layer, start: int, stop: int) -> tuple[float, float]:
    """The least gain of each channel by a layer's pan."""
    if layer.pan is None:
        return 1.0, 1.0
    positions = np.atleast_1d(layer.pan.at(start, stop))
    left, right = (float(np.min(gain)) for gain in channel_gains(positions))
    return left, right


def _steady(frequency: Frequency, start: int, stop: int) -> list[float]:
    """The frequency, if it is one throughout."""
    if not isinstance(frequency, Breakpoints):
        return [frequency]
    inside = [value for frame, value in zip(frequency.frames, frequency.values, strict=True) if start < frame < stop]
    values = {*np.interp([start, stop], frequency.frames, frequency.values).tolist(), *inside}
    return [values.pop()] if len(values) == 1 else []


def _in_sequence(sequence: ToneSequence, start: int, stop: int) -> list[float]:
    half = sequence.crossfade_frames
    ends = [*sequence.starts[1:], math.inf]
    return [
        hz
        for hz, first, last in zip(sequence.tones_hz, sequence.starts, ends, strict=True)
        if (first == 0 or first + half <= start) and stop <= last - half
    ]


def analysis_span(plan: RenderPlan, spoken: Sequence[SpokenSpan]) -> tuple[int, int]:
    """Choose the span: between the fades, with most steady tones, least voice, nearest to the middle."""
    fade_in, fade_out = (plan.fade.in_frames, plan.fade.out_frames) if isinstance(plan.fade, Fade) else (0, 0)
    first, last = fade_in, plan.frames - fade_out
    if last - first < _SHORTEST_S * plan.sample_rate:
        first, last = 0, plan.frames
    length = min(last - first, round(ANALYSED_S * plan.sample_rate))
    tones = Tone | ToneSequence | Binaural | Monaural | Isochronic
    gains: list[Curve] = [layer.gain for layer in plan.layers if isinstance(layer.source, tones)]
    words = np.array([(span.start, span.stop) for span in spoken], dtype=np.int64).reshape(-1, 2).T
    middle = (last - first - length) / 2 + first

    def cost(start: int) -> tuple[int, bool, int, float]:
        stop = start + length
        expected = expected_tones(plan, start, stop)
        voiced = int(np.maximum(np.minimum(words[1], stop) - np.maximum(words[0], start), 0).sum())
        moving = any(_moves(gain, start, stop) for gain in gains)
        return -len(expected.left) - len(expected.right), moving, voiced, abs(start - middle)

    starts = {round(place) for place in np.linspace(first, last - length, _PLACES)}
    start = min(sorted(starts), key=cost)
    return start, start + length


def _moves(gain: Curve, start: int, stop: int) -> bool:
    ends = [gain.at(frame, frame + 1) for frame in (start, (start + stop) // 2, stop - 1)]
    values = [float(np.max(end)) for end in ends]
    return max(values) - min(values) > _STEADY_GAIN * max(values)


def _tone_report(expected_hz: float, line: Line | None) -> ToneReport:
    hz, level_dbfs = (None, None) if line is None else (round(line.hz, 5), round(line.level_dbfs, 2))
    return ToneReport(expected_hz, hz, level_dbfs)


def _seams(plan: RenderPlan) -> dict[int, Layer]:
    """Frames where a crossfade of a loop begins or ends, and the layer; of very many a few, evenly spread."""
    around = round(_AROUND_S * plan.sample_rate)
    found: dict[int, Layer] = {}
    for layer in plan.layers:
        loop = layer.source
        if not isinstance(loop, Looped):
            continue
        edges = sorted(
            start + layer.origin + offset
            for start in range(loop.first_seam, plan.frames - layer.origin, loop.period_frames)
            for offset in (0, loop.crossfade_frames)
        )
        for start, stop, _ in layer.spans(plan.frames):
            first, last = max(start, around), min(stop, plan.frames - around)
            for edge in edges[bisect_left(edges, first) : bisect_right(edges, last)]:
                found.setdefault(edge, layer)
    frames = sorted(found)
    if len(frames) > _MOST_SEAMS:
        frames = [frames[round(at)] for at in np.linspace(0, len(frames) - 1, _MOST_SEAMS)]
    return {frame: found[frame] for frame in frames}


def step_db(sound: Block, at: int, *, near: int) -> float:
    """Largest step from sample to sample within `near` frames of `at`, relative to the largest elsewhere, in dB."""
    both = np.abs(np.diff(sound, axis=0))
    steps = np.maximum(both[:, 0], both[:, 1])  # NumPy's own reduction over two is many times slower
    here = float(steps[max(0, at - near) : at + near].max(initial=0.0))
    elsewhere = float(max(steps[: max(0, at - near)].max(initial=0.0), steps[at + near :].max(initial=0.0)))
    if here <= 0.0:
        return -200.0
    return max(-200.0, min(200.0, gain_to_db(here / elsewhere) if elsewhere > 0.0 else 200.0))
