"""What each piece of the DSP costs on one core, as times real time: the best of some rounds, in CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile

from benchmarks.material import MUSIC, RATE, voice
from dsp.blocks import BLOCK_FRAMES, Block, Source, db_to_gain, spans
from dsp.dither import to_int16
from dsp.envelope import Breakpoints, Constant, Decibels, Ducking, Fade
from dsp.limiter import limit
from dsp.loudness import LoudnessMeter
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from tests.clips import ArrayClip

_SECONDS = 60
_ROUNDS = 7
_CEILING_DBTP = -1.8
_FRAMES = _SECONDS * RATE // BLOCK_FRAMES * BLOCK_FRAMES
_BEGIN = 600 * BLOCK_FRAMES  # 15 minutes into the track: what is far out must not cost more


@dataclass(frozen=True)
class Segment:
    """One piece of the DSP.

    Attributes
    ----------
    name : str
    cpu_s_per_minute : float
        Of one core, for a minute of the track.
    """

    name: str
    cpu_s_per_minute: float

    @property
    def times_real_time(self) -> float:
        """Seconds of sound in a second of one core."""
        return 60 / self.cpu_s_per_minute


BOTH_PASSES = "both passes"


def pieces() -> list[Segment]:
    """Measure every source, the mix, what measures and masters it, and both passes as a whole."""
    plan = four_layers()
    blocks = [render(plan, first, last) for first, last in _spans()]
    hot = [block * np.float32(db_to_gain(6.0)) for block in blocks]  # so loud that the limiter works in every phrase
    found = [_measured(name, _drawn(source)) for name, source in _sources().items()]
    found += [
        _measured("gain: fade, ducking, timeline", _curves),
        _measured(
            "mix of four layers", lambda: [None for first, last in _spans() if render(plan, first, last) is None]
        ),
        _measured("loudness meter", lambda: _metered(blocks)),
        _measured("loudness meter, true peak", lambda: _metered(blocks, true_peak=True)),
        _measured("limiter at rest", lambda: _limited(blocks)),
        _measured("limiter at work", lambda: _limited(hot)),
        _measured("16-bit dither", lambda: [to_int16(block, _BEGIN, seed=1) for block in blocks][:0]),
        _measured(BOTH_PASSES, lambda: (_measure_pass(plan), _render_pass(plan))),
    ]
    return found


def four_layers(frames: int = _BEGIN + 2 * _FRAMES) -> RenderPlan:
    """The plan of the job that `benchmarks.material` describes."""
    sources = _sources()
    wanted = {"voice placed": -1.0, "music looped": -10.0, "tone 528 Hz": -24.0, "binaural 200 Hz, 6 Hz": -24.0}
    return RenderPlan(
        sample_rate=RATE,
        frames=frames,
        layers=tuple(Layer(name, sources[name], Constant(db_to_gain(gain))) for name, gain in wanted.items()),
        fade=Fade(frames, 2 * RATE, 5 * RATE),
    )


def _sources() -> dict[str, Source]:
    loop, rate = soundfile.read(MUSIC, dtype="float32", always_2d=True)
    assert rate == RATE
    spoken = ArrayClip(np.repeat(voice().astype(np.float32)[:, None], 2, axis=1))
    turns = range(3 * RATE, _BEGIN + 2 * _FRAMES, spoken.frames + 6 * RATE)
    minutes = tuple(60 * RATE * number for number in range(0, 60, 10))
    line = Breakpoints(minutes, (10.0, 9.0, 7.0, 6.0, 5.0, 4.0))
    return {
        "tone 528 Hz": Tone(528.0, RATE),
        "tone, triangle": Tone(528.0, RATE, "triangle"),
        "binaural 200 Hz, 6 Hz": Binaural(200.0, 6.0, RATE),
        "binaural, moving beat": Binaural(200.0, line, RATE),
        "monaural": Monaural(200.0, 6.0, RATE),
        "isochronic": Isochronic(200.0, 6.0, RATE),
        "sequence of tones": ToneSequence((396.0, 417.0, 528.0), (0, _BEGIN // 2, _BEGIN + _FRAMES // 2), RATE, RATE),
        "pink noise": Noise("pink", 1, RATE),
        "voice placed": Placed((spoken,), tuple(turns), (0,) * len(turns)),
        "music looped": Looped(ArrayClip(loop), RATE // 2),
    }


def _curves() -> None:
    speech = tuple((start, start + 10 * RATE) for start in range(0, _BEGIN + _FRAMES, 20 * RATE))
    ducking = Ducking(speech, 6.0, RATE // 5, RATE // 2, RATE)
    fade = Fade(_BEGIN + _FRAMES, RATE, _FRAMES)
    timeline = Decibels(Breakpoints((0, _BEGIN, _BEGIN + _FRAMES), (-30.0, -20.0, -10.0)))
    for first, last in _spans():
        for curve in (ducking, fade, timeline):
            curve.at(first, last)


def _drawn(source: Source) -> Callable[[], object]:
    def draw() -> None:
        for first, last in _spans():
            source.render(first, last)

    return draw


def _metered(blocks: list[Block], *, true_peak: bool = False) -> object:
    meter = LoudnessMeter(RATE, true_peak=true_peak)
    for block in blocks:
        meter.add(block)
    return meter.result()


def _measure_pass(plan: RenderPlan) -> object:
    meter = LoudnessMeter(RATE)
    for first, last in _spans():
        meter.add(render(plan, first, last))
    return meter.result()


def _render_pass(plan: RenderPlan) -> None:
    for _ in _limiting(lambda first, last: render(plan, first, last), _BEGIN, _BEGIN + _FRAMES, plan.frames):
        pass


def _limited(blocks: list[Block]) -> None:
    whole = np.concatenate(blocks)
    for _ in _limiting(lambda first, last: whole[first:last], 0, len(whole), len(whole)):
        pass


def _limiting(source: Callable[[int, int], Block], start: int, stop: int, frames: int) -> Iterator[Block]:
    return limit(source, start, stop, frames=frames, sample_rate=RATE, gain=1.1, ceiling_dbtp=_CEILING_DBTP)


def _spans() -> Iterator[tuple[int, int]]:
    return spans(_BEGIN, _BEGIN + _FRAMES, BLOCK_FRAMES)


def _measured(name: str, work: Callable[[], object]) -> Segment:
    work()  # tables and caches
    best = min(_cpu_s(work) for _ in range(_ROUNDS))
    return Segment(name, best * 60 * RATE / _FRAMES)


def _cpu_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
