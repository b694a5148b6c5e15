"""Curves and the mix: values at absolute frames, and layers that do not touch each other."""

from __future__ import annotations

import numpy as np
import pytest
from clips import ArrayClip
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import SPLITS, largest_difference

from dsp.blocks import db_to_gain, gain_to_db, spans
from dsp.dither import to_int16
from dsp.envelope import Breakpoints, Constant, Decibels, Ducking, Fade, Product, rise
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Tone

RATE = 44_100


@st.composite
def breakpoints(draw):
    frames = sorted(draw(st.sets(st.integers(0, 10**9), min_size=1, max_size=6)))
    values = [draw(st.floats(0.1, 1000)) for _ in frames]
    return Breakpoints(tuple(frames), tuple(values))


@settings(max_examples=60, deadline=None)
@given(curve=breakpoints(), start=st.integers(0, 1_100_000_000))
def test_the_integral_grows_by_the_value(curve, start):
    """Between frames the integral of a straight line is the trapezium over it, also across a point."""
    stop = start + 50
    integral = curve.integral(start, stop)
    values = np.interp(np.arange(start, stop), curve.frames, curve.values)
    trapezia = (values[1:] + values[:-1]) / 2
    # a point inside a trapezium is a frame here, so nothing is left out
    assert np.diff(integral) == pytest.approx(trapezia, rel=1e-3, abs=1e-3)
    assert curve.at(start, stop) == pytest.approx(values)


def test_the_integral_is_zero_at_frame_zero_and_exact_far_out():
    curve = Breakpoints((1000, 3000), (10.0, 20.0))
    assert curve.integral(0, 1)[0] == 0.0
    assert curve.integral(1000, 1001)[0] == 10_000.0
    assert curve.integral(3000, 3001)[0] == 10_000.0 + 30_000.0
    assert curve.integral(10**9, 10**9 + 1)[0] == 40_000.0 + 20.0 * (10**9 - 3000)


@pytest.mark.parametrize(
    "curve",
    [
        Breakpoints((100, 5000, 20_000), (0.0, 1.0, 0.2)),
        Decibels(Breakpoints((100, 5000), (-10.0, 0.0))),
        Fade(40_000, 10_000, 15_000),
        Ducking(((9000, 12_000), (14_000, 15_000)), 8.0, 2000, 500, 4000),
        Product((Constant(0.5), Fade(40_000, 100, 100))),
    ],
)
def test_a_curve_does_not_depend_on_the_cutting(curve):
    def values(first, last):
        return np.broadcast_to(curve.at(first, last), (last - first,))

    whole = values(0, 40_000)
    for size in SPLITS[1:]:
        pieces = np.concatenate([values(*span) for span in spans(0, 40_000, size)])
        assert largest_difference(pieces, whole) <= 1e-12


def test_a_fade_begins_and_ends_in_silence_and_is_flat_between():
    fade = Fade(1000, 100, 200)
    gain = fade.at(0, 1000)
    assert gain[0] < 1e-3
    assert gain[-1] < 1e-3
    assert gain[100:800] == pytest.approx(1.0)
    assert fade.at(100, 800) == 1.0
    assert fade.at(990, 1010)[10:] == pytest.approx(0.0)
    assert Fade(1000, 0, 0).at(0, 1000) == 1.0


@settings(max_examples=100, deadline=None)
@given(
    fade=st.builds(Fade, *(st.integers(0, most) for most in (300, 200, 200))),
    start=st.integers(-50, 300),
    frames=st.integers(1, 200),
)
def test_a_fade_is_two_raised_cosines_multiplied(fade, start, frames):
    n = np.arange(start, start + frames) + 0.5
    within = (n > 0) & (n < fade.frames)
    rise = np.sin(np.pi / 2 * np.clip(n / max(fade.in_frames, 1e-9), 0, 1)) ** 2
    fall = np.sin(np.pi / 2 * np.clip((fade.frames - n) / max(fade.out_frames, 1e-9), 0, 1)) ** 2
    expected = np.where(within, rise * fall, 0.0)
    assert np.broadcast_to(fade.at(start, start + frames), frames) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("frames", [1, 100, 220_500, 220_501])
def test_a_rise_is_a_raised_cosine_of_any_length(frames):
    start, stop = frames // 3, frames
    expected = np.sin(np.pi / 2 * (np.arange(start, stop) + 0.5) / frames) ** 2
    found = rise(frames, start, stop)
    assert found == pytest.approx(expected, abs=1e-12)
    if not found.flags.owndata:
        with pytest.raises(ValueError, match="read-only"):
            found *= 2.0  # others have it, too


def test_music_ducks_before_the_first_word_and_stays_down_between_words():
    duck = Ducking(((5000, 6000), (6300, 7000)), 12.0, 1000, 400, 2000)
    gain = duck.at(0, 12_000)
    down = db_to_gain(-12)
    assert gain[5000:7400] == pytest.approx(down, rel=1e-9)
    assert gain[:4000] == pytest.approx(1.0)
    assert gain[4500] < 0.6
    assert gain[9400:] == pytest.approx(1.0)
    assert duck.at(0, 3000) == 1.0
    assert duck.at(5000, 6000) == pytest.approx(down)


def plan(*names: str) -> RenderPlan:
    speech = ArrayClip(Noise("pink", 3, RATE).render(0, 9000))
    music = ArrayClip(Noise("pink", 4, RATE).render(0, 30_000))
    swell = Decibels(Breakpoints((0, 50_000), (-20.0, -10.0)))
    layers = (
        Layer("voice", Placed((speech,), (500, 20_000), (0, 0)), Constant(0.9)),
        Layer("music", Looped(music, 1000), swell),
        Layer("solfeggio", Tone(528.0, RATE), Constant(0.125)),
        Layer("binaural", Binaural(200.0, 6.0, RATE), Constant(0.1)),
        Layer("noise", Noise("brown", 5, RATE), Constant(0.05)),
    )
    return RenderPlan(RATE, 90_000, tuple(layer for layer in layers if layer.name in names), Fade(90_000, 2000, 3000))


ALL = ("voice", "music", "solfeggio", "binaural", "noise")


def test_a_plan_is_the_same_for_any_cutting():
    track = plan(*ALL)  # made once: each noise keeps what it has made last
    whole = render(track, 0, 90_000)
    for size in SPLITS[1:]:
        first, last = (0, 90_000) if size > 100 else (15_000, 35_000)  # the second voice, and the music's seam
        pieces = np.concatenate([render(track, *span) for span in spans(first, last, size)])
        assert largest_difference(pieces, whole[first:last]) <= 2**-23


def test_no_layer_moves_when_another_is_added():
    alone = [render(plan(name), 0, 90_000).astype(np.float64) for name in ALL]
    together = render(plan(*ALL), 0, 90_000)
    assert largest_difference(together, np.sum(alone, axis=0)) <= 1e-6


@pytest.mark.parametrize(
    "layer",
    [
        Layer("tone", Tone(528.0, RATE), Constant(1.0)),
        Layer("tone", Tone(528.0, RATE), Fade(9000, 4000, 4000)),
        Layer(
            "beat", Binaural(200.0, 6.0, RATE), Constant(0.5), width=0.5, pan=Constant(0.3), fade=Fade(9000, 100, 100)
        ),
    ],
)
def test_a_mix_leaves_the_blocks_that_a_source_shares_alone(layer):
    before = layer.source.render(0, 9000).copy()
    track = RenderPlan(RATE, 9000, (layer, layer), Fade(9000, 50, 50))
    first = render(track, 0, 9000)
    first *= 0.5  # what it returns is the caller's own
    assert np.array_equal(layer.source.render(0, 9000), before)
    assert np.array_equal(render(track, 0, 9000) * np.float32(0.5), first)


def test_outside_the_track_there_is_silence():
    block = render(plan(*ALL), -100, 90_100)
    assert not block[:100].any()
    assert not block[-100:].any()
    assert np.array_equal(block[100:-100], render(plan(*ALL), 0, 90_000))
    assert render(plan(*ALL), 95_000, 95_010).shape == (10, 2)


def test_dither_takes_the_signal_out_of_the_error():
    n = np.arange(RATE)
    quiet = np.repeat((1.5 / 32_768 * np.sin(2 * np.pi * 1000 * n / RATE)).astype(np.float32)[:, None], 2, axis=1)
    error = to_int16(quiet, 0, seed=1) / 32_768 - quiet
    assert error.mean() == pytest.approx(0.0, abs=1e-6)
    # TPDF: a quarter of an LSB squared, whatever the signal
    assert (error.astype(np.float64) ** 2).mean() * 32_768**2 == pytest.approx(0.25, rel=0.03)
    spectrum = np.abs(np.fft.rfft(error[:, 0])) ** 2
    assert spectrum[[1000, 2000, 3000, 5000]].max() < 20 * spectrum.mean()


def test_dither_is_the_same_for_any_cutting_and_never_wraps():
    loud = 1.5 * Noise("white", 1, RATE).render(0, 70_000)
    whole = to_int16(loud, 0, seed=3)
    assert np.array_equal(np.concatenate([to_int16(loud[a:b], a, seed=3) for a, b in spans(0, 70_000, 509)]), whole)
    assert whole[loud > 1.01].min() > 32_700
    assert whole[loud < -1.01].max() < -32_700


@pytest.mark.parametrize("level_db", [-60.0, 0.0, 12.0])
def test_decibels_there_and_back(level_db):
    assert gain_to_db(db_to_gain(level_db)) == pytest.approx(level_db)
    assert gain_to_db(0.0) == -np.inf
