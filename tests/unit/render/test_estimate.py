"""An estimate from spans is near what is measured on the whole, where its parts come again and again, too."""

from __future__ import annotations

import numpy as np
import pytest
from tiers import further

from dsp.blocks import Block
from dsp.envelope import Breakpoints, Constant, Ducking, Product
from dsp.loudness import integrated_lufs
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render
from worker.render.estimate import SPAN_HOPS, is_worth_it, measure_spans, sampled_spans, shortened
from worker.render.programme import Programme, measure

RATE = 44_100


class Spoken:
    """Noise that sounds for so many of each so many seconds."""

    def __init__(self, sounding_s: float, period_s: float) -> None:
        self._noise = Noise("pink", 1, RATE)
        self._sounding, self._period = round(sounding_s * RATE), round(period_s * RATE)

    def render(self, start: int, stop: int) -> Block:
        block = self._noise.render(start, stop)
        block[np.arange(start, stop) % self._period >= self._sounding] = 0.0
        return block

    def silent(self, start: int, stop: int) -> bool:
        at = start % self._period
        return at >= self._sounding and at + stop - start <= self._period


def plan_of(minutes: float, sounding_s: float, period_s: float) -> RenderPlan:
    frames = round(minutes * 60 * RATE)
    music = Product((Constant(0.15), Ducking(((10 * RATE, 20 * RATE),), 12.0, 4410, 4410, 4410)))
    layers = (
        Layer("voice", Spoken(sounding_s, period_s), Constant(0.3)),
        Layer("music", Noise("pink", 2, RATE), music),
    )
    return RenderPlan(RATE, frames, layers, Breakpoints((0, RATE), (0.0, 1.0)))


@pytest.mark.parametrize("period_s", further([7.0, 15.0, 30.0, 31.7], but=[15.0]))
def test_the_loudness_of_a_voice_that_comes_again_is_near_the_wholes(period_s):
    plan = plan_of(5, 5.0, period_s)
    whole = integrated_lufs(measure(Programme(plan), threads=2).energies)
    period, sounding = round(period_s * RATE), 5 * RATE
    spoken = [(start, min(start + sounding, plan.frames)) for start in range(0, plan.frames, period)]
    energies = measure_spans(plan, sampled_spans(plan, spoken)).energies
    assert integrated_lufs(energies, span_hops=SPAN_HOPS) == pytest.approx(whole, abs=0.6)


@pytest.mark.further
def test_what_comes_again_with_each_share_is_met_at_every_moment():
    """At equal distances all spans would fall into its pauses."""
    share_s = 300.0 / 64
    plan = plan_of(5, 3.0, share_s)
    whole = integrated_lufs(measure(Programme(plan), threads=2).energies)
    energies = measure_spans(plan, sampled_spans(plan)).energies
    assert integrated_lufs(energies, span_hops=SPAN_HOPS) == pytest.approx(whole, abs=0.6)


def test_the_spans_end_to_end_are_those_of_the_track():
    plan = plan_of(5, 3.0, 8.0)
    spans = sampled_spans(plan, [(RATE, 4 * RATE), (200 * RATE, 250 * RATE)])
    short = shortened(plan, spans)
    mixed = render(short, 0, short.frames)
    for number, start in enumerate(spans.starts):
        part = mixed[number * spans.frames : (number + 1) * spans.frames]
        assert np.array_equal(part, render(plan, start, start + spans.frames))
    pieces = [render(short, first, min(first + 31_337, short.frames)) for first in range(0, short.frames, 31_337)]
    assert np.allclose(np.concatenate(pieces), mixed, atol=1e-7)


def test_a_short_track_is_measured_as_a_whole():
    assert not is_worth_it(plan_of(1, 3.0, 8.0))
    assert is_worth_it(plan_of(10, 3.0, 8.0))
