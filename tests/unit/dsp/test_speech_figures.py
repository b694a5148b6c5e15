"""Figures of speech, on sounds whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clips import ArrayClip

from dsp.speech_figures import SILENCE, speech_figures

RATE = 44_100


def clip(*channels: np.ndarray) -> ArrayClip:
    left, right = channels if len(channels) == 2 else channels * 2
    return ArrayClip(np.ascontiguousarray(np.stack([left, right], axis=1), dtype=np.float32))


def buzz(hz: float, seconds: float, level: float = 0.2) -> np.ndarray:
    """Harmonics of a pitch, as vocal folds give."""
    t = np.arange(round(seconds * RATE)) / RATE
    return level * sum(np.sin(2 * np.pi * number * hz * t) / number for number in range(1, 12))


def figures(*channels: np.ndarray):
    return speech_figures(clip(*channels), RATE)


@pytest.mark.parametrize("hz", [80, 120, 200.5, 333])
def test_the_pitch(hz):
    assert figures(buzz(hz, 2)).pitch_hz == pytest.approx(hz, rel=0.01)


def test_noise_has_no_pitch_and_is_found():
    noise = 0.1 * np.random.default_rng(1).standard_normal(3 * RATE)
    found = figures(np.concatenate([buzz(120, 2), noise]))
    assert found.noise_s == pytest.approx(3, abs=0.15)
    assert found.pitch_hz == pytest.approx(120, rel=0.01)
    assert math.isnan(figures(noise).pitch_hz)
    assert figures(buzz(120, 4)).noise_s == 0


def test_silence_inside_counts_and_around_it_does_not():
    silence = np.zeros(2 * RATE)
    found = figures(np.concatenate([silence, buzz(120, 1), silence, buzz(120, 1), silence]))
    assert found.longest_silence_s == pytest.approx(2, abs=0.03)
    assert found.sound_s == pytest.approx(2, abs=0.03)


def test_the_level_is_that_of_the_sound():
    loud, soft = (figures(np.concatenate([np.zeros(RATE), buzz(150, 1, level)])) for level in (0.2, 0.05))
    assert loud.level_db - soft.level_db == pytest.approx(20 * math.log10(4), abs=0.1)
    assert figures(buzz(150, 1)).level_db == pytest.approx(10 * math.log10((buzz(150, 1) ** 2).mean()), abs=0.1)


def test_an_end_in_mid_sound():
    assert figures(buzz(150, 1)).end_db > -10
    assert figures(np.concatenate([buzz(150, 1), np.zeros(RATE // 50)])).end_db < -100


def test_dc_and_the_figures_without_it():
    plain, shifted = figures(buzz(150, 1)), figures(buzz(150, 1) + 0.03, buzz(150, 1) - 0.01)
    assert shifted.dc == pytest.approx((0.03, -0.01), abs=1e-3)
    assert shifted.level_db == pytest.approx(plain.level_db, abs=0.05)
    assert shifted.pitch_hz == pytest.approx(plain.pitch_hz, rel=0.005)


def test_channels():
    sound = buzz(150, 1)
    assert figures(sound).correlation == pytest.approx(1, abs=1e-4)
    assert figures(sound, -sound).correlation == pytest.approx(-1, abs=1e-4)
    assert figures(sound, -sound).pitch_hz == pytest.approx(150, rel=0.01), "the channels do not cancel"
    assert figures(sound, sound / 2).balance_db == pytest.approx(6.02, abs=0.01)
    assert figures(0 * sound, sound).balance_db < -60
    assert figures(0 * sound, sound).level_db == pytest.approx(figures(sound).level_db, abs=0.01)


def test_peaks_that_are_cut_off():
    """Of a sound whose level moves as speech does; at full scale, and when it was turned down later."""
    moving = buzz(150, 4) * (0.1 + np.abs(np.sin(np.arange(4 * RATE) / RATE * 7)) ** 3)
    moving /= np.abs(moving).max()
    assert figures(moving).full_scale_share < 0.004
    cut = np.clip(4 * moving, -1, 1)
    assert figures(cut).full_scale_share > 0.02
    assert figures(cut).plateau > 2 * figures(moving).plateau
    assert figures(cut / 3).plateau == pytest.approx(figures(cut).plateau, rel=0.05)


@pytest.mark.parametrize("frames", [1, 2, 100, 440, 441, 442, 883])
def test_any_length(frames):
    assert figures(np.full(frames, 0.1)).end_db < 3
    assert figures(np.zeros(frames)) == SILENCE


def test_a_long_sound_is_the_sum_of_its_chunks():
    """Longer than what is worked on at once: the figures do not jump there."""
    long = figures(buzz(120, 24.5))
    assert long.sound_s == pytest.approx(24.5, abs=0.03)
    assert (long.longest_silence_s, long.noise_s) == (0, 0)
    assert long.pitch_hz == pytest.approx(120, rel=0.01)
    assert long.level_db == pytest.approx(figures(buzz(120, 1)).level_db, abs=0.05)
