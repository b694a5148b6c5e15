"""Analyses the delivered file while it is decoded: its tones by channel, and the seams of its music.

Tones are measured in one span of twenty seconds, without voice if there is such a place: so the cost does not depend on
the track's length.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsp.blocks import Block, gain_to_db
from dsp.envelope import Breakpoints, Curve, Fade
from dsp.plan import RenderPlan
from dsp.recorded import Looped
from dsp.spectrum import MAIN_LOBE_BINS, Decimator, Line, Spectrum, leakage_db
from dsp.tones import Binaural, Frequency, Isochronic, Monaural, Tone, ToneSequence
from worker.plan.compile import SpokenSpan

ANALYSED_S = 20.0
_SHORTEST_S = 2.0
_PLACES = 41
_WITHIN_HZ = 0.5
_MOST_SEAMS = 20
_NEAR_S, _AROUND_S = 0.002, 0.25
_STEADY_GAIN = 1e-3


@dataclass(frozen=True)
class ToneReport:
    """A tone in one channel; measured figures are None where music or voice mask it.

    Attributes
    ----------
    expected_hz : float
    measured_hz : float or None
    level_dbfs : float or None
        In the delivered file; a sine of full scale has 0.
    """

    expected_hz: float
    measured_hz: float | None
    level_dbfs: float | None


@dataclass(frozen=True)
class SeamReport:
    """One end of a crossfade where the music loops.

    Attributes
    ----------
    at_s : float
    step_db : float
        Largest step from sample to sample within 2 ms, relative to the largest within 0.25 s around: below 0 where
        there is nothing to hear.
    heard_in : str
        ``delivered``, or ``music`` where the voice sounds over it: then it was measured on the looped music.
    """

    at_s: float
    step_db: float
    heard_in: str


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
    seams : tuple of SeamReport
    """

    from_s: float
    seconds: float
    tones: dict[str, tuple[ToneReport, ...]]
    beat_expected_hz: float | None
    beat_hz: float | None
    leakage_db: dict[str, float | None]
    seams: tuple[SeamReport, ...] = ()


class DeliveredAnalyzer:
    """Accumulator: add the decoded file block by block, then take the result.

    Parameters
    ----------
    plan : RenderPlan
    spoken : sequence of SpokenSpan
    """

    def __init__(self, plan: RenderPlan, spoken: Sequence[SpokenSpan]) -> None:
        self._plan = plan
        self._spoken = spoken
        self._start, self._stop = analysis_span(plan, spoken)
        self._decimator = Decimator(plan.sample_rate)
        self._tones: DeliveredAnalysis | None = None
        self._frame = 0
        self._cuts = [_Cut(frame, plan) for frame in _seams(plan)]
        self._ended = [cut.stop for cut in self._cuts]

    def add(self, block: Block) -> None:
        """Analyse the next block."""
        begin, end = self._frame, self._frame + len(block)
        self._frame = end
        if begin < self._stop and self._start < end:
            self._decimator.add(block[max(0, self._start - begin) : self._stop - begin])
            if end >= self._stop:
                self._tones = self._analyse()  # now, while others still encode
        for cut in self._cuts[bisect_left(self._ended, begin + 1) :]:
            if cut.start >= end:
                break
            cut.add(block, begin)

    def result(self) -> DeliveredAnalysis:
        """The figures of the whole file."""
        found = self._tones or self._analyse()  # the sound ended early
        return replace(found, seams=tuple(self._seam(cut) for cut in self._cuts if cut.complete))

    def _analyse(self) -> DeliveredAnalysis:
        samples = self._decimator.result()
        self._decimator.clear()
        rate = self._plan.sample_rate
        expected = expected_tones(self._plan, self._start, self._stop)
        spectra = None
        if expected.any and len(samples) >= _SHORTEST_S * self._decimator.sample_rate:
            left, right = (Spectrum(column, self._decimator.sample_rate) for column in samples.T)
            spectra = (left, right)
        tones, beat_hz, leakage = _measured(expected, spectra)
        return DeliveredAnalysis(
            from_s=round(self._start / rate, 3),
            seconds=round((self._stop - self._start) / rate, 3),
            tones=tones,
            beat_expected_hz=expected.beat_hz,
            beat_hz=beat_hz,
            leakage_db=leakage,
        )

    def _seam(self, cut: _Cut) -> SeamReport:
        masked = any(span.start < cut.stop and cut.start < span.stop for span in self._spoken)
        step_db = cut.source_step_db() if masked else cut.step_db()
        return SeamReport(
            round(cut.frame / self._plan.sample_rate, 3), round(step_db, 1), "music" if masked else "delivered"
        )


@dataclass(frozen=True)
class Expected:
    """Steady tones of a span, by the plan.

    Attributes
    ----------
    left, right : tuple of float
        Hz.
    beat : tuple of float or None
        Left and right channel of a binaural beat, the two tones of a monaural one, carrier and first side tone of an
        isochronic one; None without one, or where it moves.
    mode : str or None
        ``binaural``, ``monaural`` or ``isochronic``.
    """

    left: tuple[float, ...]
    right: tuple[float, ...]
    beat: tuple[float, float] | None
    mode: str | None

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return bool(self.left or self.right)

    @property
    def beat_hz(self) -> float | None:
        """The beat."""
        return None if self.beat is None else round(self.beat[1] - self.beat[0], 9)


def expected_tones(plan: RenderPlan, start: int, stop: int) -> Expected:
    """Find the tones that are steady through frames `[start, stop)` of a plan."""
    both: list[float] = []
    left: list[float] = []
    right: list[float] = []
    beat: tuple[float, float] | None = None
    mode: str | None = None
    for layer in plan.layers:
        match layer.source:
            case Tone(frequency=frequency):
                both += _steady(frequency, start, stop)
            case ToneSequence() as sequence:
                both += _in_sequence(sequence, start, stop)
            case (Binaural() | Monaural() | Isochronic()) as source:
                carrier, beats = _steady(source.carrier, start, stop), _steady(source.beat, start, stop)
                if isinstance(source, Isochronic):
                    both += carrier
                    mode = "isochronic"
                    if carrier and beats:
                        beat = (carrier[0], carrier[0] + beats[0])
                elif carrier and beats:
                    beat = (carrier[0] - beats[0] / 2, carrier[0] + beats[0] / 2)
                    mode = "binaural" if isinstance(source, Binaural) else "monaural"
                    if mode == "binaural":
                        left.append(beat[0])
                        right.append(beat[1])
                    else:
                        both += beat
            case _:
                pass
    return Expected(tuple(sorted(both + left)), tuple(sorted(both + right)), beat, mode)


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
    gains: list[Curve] = [layer.gain for layer in plan.layers if layer.name in ("solfeggio", "binaural")]
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


def _measured(
    expected: Expected, spectra: tuple[Spectrum, Spectrum] | None
) -> tuple[dict[str, tuple[ToneReport, ...]], float | None, dict[str, float | None]]:
    """Tones by channel, beat, and leakage by channel, as of `DeliveredAnalysis`."""
    found: dict[tuple[int, float], Line | None] = {}

    def line(channel: int, hz: float) -> Line | None:
        if spectra is None:
            return None
        if (channel, hz) not in found:
            others = [abs(hz - other) for other in (expected.left, expected.right)[channel] if other != hz]
            nearest = min(others, default=math.inf)
            apart = nearest >= 2 * MAIN_LOBE_BINS * spectra[channel].resolution_hz
            found[channel, hz] = spectra[channel].line(hz, min(_WITHIN_HZ, 0.4 * nearest)) if apart else None
        return found[channel, hz]

    tones = {
        name: tuple(_tone_report(hz, line(channel, hz)) for hz in due)
        for channel, (name, due) in enumerate((("left", expected.left), ("right", expected.right)))
    }
    leakage: dict[str, float | None] = {"left": None, "right": None}
    beat_hz = None
    if expected.beat is not None and spectra is not None:
        binaural = expected.mode == "binaural"
        low, high = line(0, expected.beat[0]), line(int(binaural), expected.beat[1])
        if low is not None and high is not None:
            beat_hz = round(high.hz - low.hz, 5)
            if binaural:
                leaked = leakage_db(spectra[0], low.hz, high.hz), leakage_db(spectra[1], high.hz, low.hz)
                leakage = {name: None if db is None else round(db, 1) for name, db in zip(leakage, leaked, strict=True)}
    return tones, beat_hz, leakage


def _tone_report(expected_hz: float, line: Line | None) -> ToneReport:
    if line is None:
        return ToneReport(expected_hz, None, None)
    return ToneReport(expected_hz, round(line.hz, 5), round(line.level_dbfs, 2))


def _seams(plan: RenderPlan) -> list[int]:
    """Frames where a crossfade of looped music begins or ends; of very many a few, evenly spread."""
    loops = [layer.source for layer in plan.layers if isinstance(layer.source, Looped)]
    around = round(_AROUND_S * plan.sample_rate)
    frames = [
        edge
        for loop in loops
        for start in range(loop.period_frames, plan.frames, loop.period_frames)
        for edge in (start, start + loop.crossfade_frames)
        if around <= edge <= plan.frames - around
    ]
    if len(frames) > _MOST_SEAMS:
        frames = [frames[round(at)] for at in np.linspace(0, len(frames) - 1, _MOST_SEAMS)]
    return sorted(set(frames))


class _Cut:
    """Accumulator of the sound around a seam; once it is complete only its step is kept."""

    def __init__(self, frame: int, plan: RenderPlan) -> None:
        self.frame = frame
        self._plan = plan
        around = round(_AROUND_S * plan.sample_rate)
        self.start, self.stop = frame - around, frame + around
        self._parts: list[Block] = []
        self._step_db = 0.0
        self.complete = False

    def add(self, block: Block, begin: int) -> None:
        self._parts.append(block[max(0, self.start - begin) : self.stop - begin].copy())
        if begin + len(block) >= self.stop:
            self._step_db = self._measured(np.concatenate(self._parts))
            self._parts.clear()
            self.complete = True

    def step_db(self) -> float:
        return self._step_db

    def source_step_db(self) -> float:
        loop = next(layer.source for layer in self._plan.layers if isinstance(layer.source, Looped))
        return self._measured(loop.render(self.start, self.stop))

    def _measured(self, sound: Block) -> float:
        return step_db(sound, self.frame - self.start, near=round(_NEAR_S * self._plan.sample_rate))


def step_db(sound: Block, at: int, *, near: int) -> float:
    """Largest step from sample to sample within `near` frames of `at`, relative to the largest elsewhere, in dB."""
    both = np.abs(np.diff(sound, axis=0))
    steps = np.maximum(both[:, 0], both[:, 1])  # NumPy's own reduction over two is many times slower
    here = float(steps[max(0, at - near) : at + near].max(initial=0.0))
    elsewhere = float(max(steps[: max(0, at - near)].max(initial=0.0), steps[at + near :].max(initial=0.0)))
    if here <= 0.0:
        return -200.0
    return max(-200.0, min(200.0, gain_to_db(here / elsewhere) if elsewhere > 0.0 else 200.0))
