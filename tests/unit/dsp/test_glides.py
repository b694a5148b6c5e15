"""Gliding tones are found with their course, steady ones are none, and what is no line is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.glides import MovingLine, follow, gliding_beats, moving_lines, simplified
from dsp.spectrum import Spectrum

RATE = 5512.5
SPAN_S, HOP_S = 10.0, 5.0


def chirp(hz: float, hz_per_s: float, *, level: float = 0.1, seconds: float = SPAN_S) -> np.ndarray:
    """A tone that has `hz` in its middle."""
    t = np.arange(round(seconds * RATE)) / RATE - seconds / 2
    return level * np.cos(2 * np.pi * (hz * t + 0.5 * hz_per_s * t**2))


def lines_of(sound: np.ndarray) -> list[MovingLine]:
    return moving_lines(sound, RATE, Spectrum(sound, RATE).lines(), from_s=0.0)


@pytest.mark.parametrize("hz_per_s", [0.05, -0.01, 0.001, 0.0])
def test_frequency_and_slope_of_a_span_are_measured(hz_per_s):
    noise = 0.003 * np.random.default_rng(1).standard_normal(round(SPAN_S * RATE))
    line = lines_of(chirp(197.0, hz_per_s) + noise)[0]
    assert line.hz == pytest.approx(197.0, abs=0.01)
    assert line.hz_per_s == pytest.approx(hz_per_s, abs=3e-4)
    assert line.level_dbfs == pytest.approx(-20.0, abs=0.1)


def test_a_note_that_swells_is_no_line():
    assert not lines_of(chirp(197.0, 0.0) * np.linspace(0, 1, round(SPAN_S * RATE)))


def spans(course, count: int = 20, level: float = -20.0) -> list[list[MovingLine]]:
    """The lines that a course in Hz over seconds leaves in span after span."""
    found = []
    for number in range(count):
        at_s = number * HOP_S + SPAN_S / 2
        found.append([MovingLine(at_s, course(at_s), level, (course(at_s + 0.5) - course(at_s - 0.5)))])
    return found


def test_a_glide_is_followed_from_end_to_end():
    (glide,) = follow(spans(lambda at_s: 195.0 + 0.03 * at_s))
    assert glide.course == ((0.0, 195.0), (105.0, 198.15))


def test_a_hold_before_and_after_belongs_to_the_course():
    (glide,) = follow(spans(lambda at_s: float(np.interp(at_s, (30, 70), (200.0, 198.0)))))
    assert glide.course[0][1] == pytest.approx(200.0, abs=0.05)
    assert glide.course[-1][1] == pytest.approx(198.0, abs=0.01)
    assert 3 <= len(glide.course) <= 6


def test_a_steady_tone_and_a_short_glide_are_none():
    assert not follow(spans(lambda at_s: 200.0))
    assert not follow(spans(lambda at_s: 200.0 + 0.05 * at_s, count=3))


def test_a_wavering_voice_is_no_glide():
    jitter = np.random.default_rng(2).uniform(-0.05, 0.05, 40)
    assert not follow([[MovingLine(5.0 * n, 200.0 + 3 * jitter[n], -20.0, 0.0)] for n in range(40)])


def test_beats_are_told_by_where_their_tones_are():
    low = follow(spans(lambda at_s: 195.0 + 0.03 * at_s))
    high = follow(spans(lambda at_s: 205.0 - 0.03 * at_s))
    (binaural,) = gliding_beats(low, high)
    assert binaural.mode == "binaural"
    assert binaural.beat == ((0.0, 10.0), (105.0, pytest.approx(3.7, abs=0.01)))
    (monaural,) = gliding_beats([*low, *high], [*low, *high])
    assert monaural.mode == "monaural"
    assert gliding_beats(low, low) == []


def test_points_on_a_straight_line_are_left_out():
    assert simplified([(0, 10.0), (1, 9.0), (2, 8.0), (3, 8.0), (4, 8.0)]) == ((0, 10.0), (2, 8.0), (4, 8.0))
