"""A layer in its place: from one frame to another, faded, between the channels; and never made where it is silent."""

from __future__ import annotations

import numpy as np
import pytest
from clips import ArrayClip
from signals import SPLITS, largest_difference

from dsp.blocks import Block, spans
from dsp.envelope import Breakpoints, Constant, Fade, FadedSpans
from dsp.noise import Noise
from dsp.plan import NO_FADE, Layer, RenderPlan, render, render_layer
from dsp.recorded import Looped
from dsp.stereo import pan, widen
from dsp.tones import Tone

RATE = 44_100
FRAMES = 3 * RATE


class Counting:
    """A source that knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def render(self, start: int, stop: int) -> Block:
        self.asked.append((start, stop))
        return np.ones((stop - start, 2), np.float32)


def power(block: Block) -> float:
    return float(np.sum(np.square(block, dtype=np.float64)))


def plan_of(*layers: Layer) -> RenderPlan:
    return RenderPlan(RATE, FRAMES, layers, NO_FADE)


def music() -> Looped:
    return Looped(ArrayClip(Noise("pink", 3, RATE).render(0, RATE)), 4000, likeness=0.2)


@pytest.mark.parametrize("size", SPLITS[1:])
def test_a_layer_in_its_place_does_not_depend_on_the_cutting(size):
    layer = Layer(
        "rain",
        music(),
        Constant(0.5),
        start=10_007,
        stop=110_001,
        origin=10_007,
        fade=Fade(110_001 - 10_007, 20_000, 30_000),
        pan=Breakpoints((0, 50_000, 90_000), (-1.0, 1.0, 0.3)),
        width=1.4,
    )
    whole = render(plan_of(layer), 0, FRAMES)
    parts = np.concatenate([render(plan_of(layer), *span) for span in spans(0, FRAMES, size)])
    assert largest_difference(parts, whole) <= 1e-7


@pytest.mark.parametrize("size", SPLITS[1:])
def test_a_layer_of_several_spans_does_not_depend_on_the_cutting(size):
    fades = (Fade(9000, 3000, 4000), Fade(500, 0, 0), Fade(40_000, 40_000, 0))
    layer = Layer("rain", music(), Constant(0.5), start=1003, stop=100_000, fade=FadedSpans((0, 9000, 59_000), fades))
    whole = render(plan_of(layer), 0, FRAMES)
    parts = np.concatenate([render(plan_of(layer), *span) for span in spans(0, FRAMES, size)])
    assert largest_difference(parts, whole) <= 1e-7


def test_between_its_spans_a_layer_is_silent_and_not_made():
    source = Counting()
    fades = (Fade(500, 100, 0), Fade(300, 0, 0), Fade(1000, 0, 200))
    layer = Layer("bell", source, Constant(1.0), start=1000, origin=400, fade=FadedSpans((0, 500, 4000), fades))
    assert render_layer(layer, 0, 1000) is render_layer(layer, 1800, 5000) is render_layer(layer, 6000, 9000) is None
    assert source.asked == []
    assert [layer.is_silent(*edges) for edges in ((1800, 5000), (1799, 5000), (1800, 5001))] == [True, False, False]
    sound = render(plan_of(layer), 0, 7000)[:, 0]
    assert np.flatnonzero(sound).tolist() == [*range(1000, 1800), *range(5000, 6000)]
    assert source.asked == [(600, 5600)]  # it has gone on beneath
    assert sound[1000:1500] == pytest.approx(fades[0].at(0, 500))
    assert sound[1500:1800] == pytest.approx(1.0)
    assert sound[5000:6000] == pytest.approx(fades[2].at(0, 1000))
    assert [(start, stop) for start, stop, _ in layer.spans(7000)] == [(1000, 1500), (1500, 1800), (5000, 6000)]


def test_spans_that_overlap_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        FadedSpans((0, 499), (Fade(500, 0, 0), Fade(500, 0, 0)))


def test_a_layer_is_silent_outside_its_frames_and_not_made_there():
    source = Counting()
    layer = Layer("bell", source, Constant(0.5), start=1000, stop=3000, origin=1000)
    assert render_layer(layer, 0, 1000) is None
    assert render_layer(layer, 3000, 9000) is None
    assert source.asked == []
    sound = render(plan_of(layer), 0, 5000)
    assert np.flatnonzero(sound[:, 0]).tolist() == list(range(1000, 3000))
    assert source.asked == [(0, 2000)]  # its own frame 0 where it begins


def test_a_layer_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="from frame 5 to 4"):
        Layer("bell", Counting(), Constant(1.0), start=5, stop=4)


@pytest.mark.parametrize("place", [-1.0, -0.4, 0.0, 0.25, 1.0])
def test_a_pan_keeps_the_power(place):
    tone = Tone(432.0, RATE).render(0, RATE)
    panned = pan(tone.copy(), Constant(place), 0)
    assert power(panned) == pytest.approx(power(tone), rel=1e-6)


def test_the_ends_of_a_pan_are_one_channel_and_its_middle_is_as_before():
    ones = np.ones((4, 2), np.float32)
    assert pan(ones.copy(), Constant(-1.0), 0)[0].tolist() == pytest.approx([2**0.5, 0.0], abs=1e-7)
    assert pan(ones.copy(), Constant(1.0), 0)[0].tolist() == pytest.approx([0.0, 2**0.5], abs=1e-7)
    assert pan(ones.copy(), Constant(0.0), 0) == pytest.approx(ones)


def test_a_moving_pan_has_no_steps():
    """Zipper noise would be energy far from a pure tone; a pan of 2 s moves it by less than a few Hz."""
    layer = Layer("tone", Tone(1000.0, RATE), Constant(0.5), pan=Breakpoints((0, 2 * RATE), (-1.0, 1.0)))
    parts = [render(plan_of(layer), *span) for span in spans(0, 2 * RATE, 4096)]
    left = np.concatenate(parts)[:, 0].astype(np.float64) * np.hanning(2 * RATE)
    spectrum = np.abs(np.fft.rfft(left)) ** 2
    hz = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    assert spectrum[np.abs(hz - 1000) > 20].sum() < 1e-9 * spectrum.sum()


def test_the_width_scales_what_differs_between_the_channels():
    block = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    assert widen(block.copy(), 0.0).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert widen(block.copy(), 1.0).tolist() == block.tolist()
    assert widen(block.copy(), 2.0).tolist() == [[1.5, -0.5], [0.5, 0.5]]
    with pytest.raises(ValueError, match="at least 0"):
        widen(block, -1.0)
