"""The Inspector on arrays: odd rates and lengths, silence, gliding beats, promised tones among music."""

from __future__ import annotations

import numpy as np
import pytest
from tiers import further

from dsp.envelope import Breakpoints, Constant
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render
from dsp.tones import Binaural, Isochronic, Monaural, Tone
from worker.inspect.inspection import Inspection, Inspector
from worker.inspect.named import named, other_tones
from worker.inspect.receipt import receipt
from worker.plan.promised import Promised, promised_of

RATE = 11_025  # few samples: these tests are about what is found in them


def inspected(sound: np.ndarray, *, rate: int = RATE, promised: Promised | None = None) -> Inspection:
    inspector = Inspector(rate, promised)
    for first in range(0, len(sound), 30_000):
        inspector.add(np.ascontiguousarray(sound[first : first + 30_000], np.float32))
    return inspector.result()


def sounding(*sources: tuple[object, float], seconds: float = 60.0) -> tuple[np.ndarray, Promised]:
    """Sources at their gains, and what a plan of them promises."""
    frames = round(seconds * RATE)
    layers = [
        Layer("solfeggio" if isinstance(source, Tone) else "binaural", source, Constant(gain))
        for source, gain in sources
    ]
    mix = sum(gain * source.render(0, frames).astype(np.float64) for source, gain in sources)
    return mix, promised_of(RenderPlan(RATE, frames, tuple(layers), Constant(1.0)), 0.0)


def gliding(seconds: float) -> Breakpoints:
    return Breakpoints((0, round(seconds * RATE)), (10.0, 4.0))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, *further([11_025, 16_000, 96_000, 192_000])])
def test_a_tone_is_found_at_every_rate(rate):
    wave = 0.1 * np.sin(2 * np.pi * 432 * np.arange(5 * rate) / rate)
    result = inspected(np.stack([wave, wave], axis=1), rate=rate)
    (tone,) = result.tones["left"]
    assert tone.hz == pytest.approx(432.0, abs=1e-3)
    assert tone.level_dbfs == pytest.approx(-20.0, abs=0.05)
    assert result.frames == 5 * rate


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.1, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_short_and_silent_files_have_figures(seconds, level):
    result = inspected(np.full((round(seconds * RATE), 2), level))
    assert result.frames == round(seconds * RATE)
    assert result.tones == {"left": (), "right": ()}
    assert level > 0 or result.integrated_lufs is None


def test_a_file_with_one_silent_channel_is_told_as_that():
    sound = 0.1 * Tone(432.0, RATE).render(0, 12 * RATE)
    sound[:, 1] = 0.0
    result = inspected(sound)
    assert [tone.hz for tone in result.tones["left"]] == pytest.approx([432.0], abs=1e-3)
    assert result.tones["right"] == ()
    assert result.beats == ()


@pytest.mark.parametrize("kind", further([Binaural, Monaural, Isochronic], but=[Binaural]))
def test_a_gliding_beat_is_found_with_its_course(kind):
    sound, _ = sounding((kind(200.0, gliding(120.0), RATE), 0.1), seconds=120.0)
    (beat,) = inspected(sound).gliding
    assert beat.mode == kind.__name__.lower()
    assert beat.beat[0] == (0.0, pytest.approx(10.0, abs=0.1))
    assert beat.beat[-1] == (120.0, pytest.approx(4.0, abs=0.1))
    (name,) = (name for name in named(inspected(sound), None) if "glide" in name.words)
    assert "10" in name.words
    assert "0:00–2:00" in name.words


@pytest.mark.further
def test_a_beat_that_glides_slowly_is_not_many_steady_ones():
    beat = Breakpoints((0, 600 * RATE), (8.0, 6.0))  # 0.0017 Hz a second in each ear
    sound, _ = sounding((Binaural(200.0, beat, RATE), 0.1), seconds=120)
    result = inspected(sound)
    assert len(result.gliding) == 1
    assert result.beats == ()
    assert result.tones == {"left": (), "right": ()}


def music(seconds: float = 60.0) -> np.ndarray:
    """A chord with overtones that stays, as a pad does, and noise."""
    chord = sum((Tone(hz, RATE).render(0, round(seconds * RATE)) for hz in (220.0, 277.18, 329.63, 660.5)), 0.0)
    return 0.02 * chord + 0.002 * Noise("pink", 6, RATE).render(0, round(seconds * RATE))


def test_promised_tones_are_found_and_partials_of_music_counted():
    sound, promised = sounding((Tone(528.0, RATE), 0.05), (Binaural(200.0, 6.0, RATE), 0.05))
    result = inspected(sound + music(), promised=promised)
    assert result.promised is not None
    assert [tone.state for tone in result.promised] == ["found"] * 4
    assert [tone.measured_hz for tone in result.promised] == pytest.approx([528, 528, 197, 203], abs=5e-3)
    assert [tone.level_dbfs for tone in result.promised] == pytest.approx([-26.02] * 4, abs=0.2)
    words = [name.words for name in named(result, promised)]
    assert words == ["L 197 Hz / R 203 Hz: 6 Hz beat", "528 Hz"]
    assert other_tones(result, promised) == 4


@pytest.mark.further
def test_a_tone_that_is_missing_is_not_found():
    _, promised = sounding((Tone(528.0, RATE), 0.05))
    result = inspected(music(), promised=promised)
    assert result.promised is not None
    assert {tone.state for tone in result.promised} == {"not found"}
    assert named(result, promised)[0].state == "not found"


def test_a_tone_under_louder_noise_is_masked():
    sound, promised = sounding((Tone(528.0, RATE), 1e-5))
    result = inspected(sound + 0.2 * Noise("white", 3, RATE).render(0, len(sound)), promised=promised)
    assert result.promised is not None
    assert {tone.state for tone in result.promised} == {"masked"}


@pytest.mark.further
def test_a_promised_glide_is_found_along_its_course_even_where_it_is_fast():
    fast = Breakpoints((0, 20 * RATE, 40 * RATE), (40.0, 4.0, 30.0))  # 0.9 Hz a second in each ear
    sound, promised = sounding((Binaural(200.0, fast, RATE), 0.1))
    result = inspected(sound + music(), promised=promised)
    assert result.promised is not None
    assert [tone.state for tone in result.promised] == ["found", "found"]
    assert [tone.deviation_hz for tone in result.promised] == pytest.approx([0.0, 0.0], abs=0.01)
    assert [tone.level_dbfs for tone in result.promised] == pytest.approx([-20.0, -20.0], abs=0.3)
    assert "40 → 4 → 30 Hz" in named(result, promised)[0].words


@pytest.mark.further
def test_every_tone_of_a_long_sequence_is_named():
    parts = [0.1 * Tone(200.0 + 37 * number, RATE).render(0, 20 * RATE) for number in range(12)]
    names = named(inspected(np.concatenate(parts)), None)
    assert len(names) == 12


def test_beats_of_several_layers_are_each_looked_for_by_their_name():
    layers = (
        Layer("first", Binaural(200.0, 6.0, RATE), Constant(0.1)),
        Layer("second", Binaural(330.0, 3.0, RATE), Constant(0.1)),
        Layer("left tone", Tone(432.0, RATE), Constant(0.1), pan=Constant(-1.0)),
        Layer("high", Tone(4000.0, RATE), Constant(0.1)),
    )
    plan = RenderPlan(RATE, 30 * RATE, layers, Constant(1.0))
    promised = promised_of(plan, 0.0)
    result = inspected(render(plan, 0, plan.frames), promised=promised)
    assert result.promised is not None
    states = {(tone.layer, tone.channel): tone.state for tone in result.promised}
    assert states == {
        ("first", "left"): "found",
        ("first", "right"): "found",
        ("second", "left"): "found",
        ("second", "right"): "found",
        ("left tone", "left"): "found",  # and nothing of it is looked for in the right channel
        ("high", "left"): "not measured",
        ("high", "right"): "not measured",
    }
    beats = [figure.measured for figure in receipt(result, None).figures if figure.name == "Beat"]
    assert beats == ["6.000 Hz", "3.000 Hz"]
    words = [name.words for name in named(result, promised)]
    assert len(words) == 4
    assert sum("beat" in each for each in words) == 2
