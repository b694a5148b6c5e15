"""The meter against EBU Tech 3341 and 3342, pyloudnorm, and itself in other pieces."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pyloudnorm
import pytest
from fine import finely
from scipy.signal import resample_poly, sosfilt
from signals import SPLITS, both, silence, sine
from tiers import further

from dsp.k_weighting import k_weighting_coefficients
from dsp.loudness import (
    PREROLL_HOPS,
    LoudnessMeter,
    hop_frames,
    integrated_lufs,
    joined,
    loudness_range_lu,
    measure,
    momentary_lufs,
    short_term_lufs,
    speech_lufs,
)
from dsp.noise import Noise

RATES = (44_100, 48_000)


def tones(rate: int, *parts: tuple[float, float]) -> np.ndarray:
    """Sines of (level in dBFS, seconds), one after another."""
    return np.concatenate([sine(level_db, seconds, sample_rate=rate) for level_db, seconds in parts])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        pytest.param([(-23, 20)], -23.0, id="case 1"),
        pytest.param([(-33, 20)], -33.0, id="case 2"),
        pytest.param([(-36, 10), (-23, 60), (-36, 10)], -23.0, id="case 3"),
        pytest.param([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0, id="case 4"),
        pytest.param([(-26, 20), (-20, 20.1), (-26, 20)], -23.0, id="case 5"),
    ],
)
def test_integrated_loudness_of_tech_3341(rate, parts, lufs):
    assert integrated_lufs(measure([tones(rate, *parts)], rate).energies) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_cases_1_and_2_hold_for_momentary_and_short_term(rate):
    for level in (-23.0, -33.0):
        energies = measure([tones(rate, (level, 20))], rate).energies
        assert momentary_lufs(energies)[10:] == pytest.approx(level, abs=0.1)
        assert short_term_lufs(energies)[10:] == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_case_9_short_term_is_steady(rate):
    energies = measure([tones(rate, *([(-20, 1.34), (-30, 1.66)] * 5))], rate).energies
    assert short_term_lufs(energies) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_case_12_momentary_is_steady(rate):
    programme = tones(rate, *([(-20, 0.18), (-30, 0.22)] * 25))
    assert finely(momentary_lufs, programme, rate)[7:] == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("number", range(0, 20, 3))
def test_cases_10_and_13_peak_wherever_the_tone_begins(rate, number):
    for step_s, length_s, loudness in ((0.15, 3.0, short_term_lufs), (0.02, 0.4, momentary_lufs)):
        programme = np.concatenate(
            [
                silence(number * step_s, sample_rate=rate),
                sine(-23, length_s, sample_rate=rate),
                silence(1, sample_rate=rate),
            ]
        )
        assert finely(loudness, programme, rate).max() == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("step_s", "length_s", "loudness"),
    [pytest.param(0.15, 3.0, short_term_lufs, id="case 11"), pytest.param(0.02, 0.4, momentary_lufs, id="case 14")],
)
def test_each_segment_peaks_at_its_own_level(rate, step_s, length_s, loudness):
    for number in range(0, 20, 4):
        level = -38.0 + number
        programme = np.concatenate(
            [
                silence(number * step_s, sample_rate=rate),
                sine(level, length_s, sample_rate=rate),
                silence(length_s - number * step_s, sample_rate=rate),
            ]
        )
        assert finely(loudness, programme, rate).max() == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("divisor", "phase_degrees", "amplitude", "dbtp"),
    [
        pytest.param(4, 0.0, 0.5, -6.0, id="case 15"),
        pytest.param(4, 45.0, 0.5, -6.0, id="case 16"),
        pytest.param(6, 60.0, 0.5, -6.0, id="case 17"),
        pytest.param(8, 67.5, 0.5, -6.0, id="case 18"),
        pytest.param(4, 45.0, 1.41, 3.0, id="case 19"),
    ],
)
def test_true_peak_of_steady_tones(rate, divisor, phase_degrees, amplitude, dbtp):
    n = np.arange(rate)
    edge = np.minimum(1.0, np.minimum(n, len(n) - 1 - n) / (0.1 * rate))  # the case is about the tone, not its start
    tone = both(edge * amplitude * np.sin(2 * np.pi * n / divisor + np.radians(phase_degrees)))
    measured = 20 * math.log10(measure([tone], rate, true_peak=True).true_peak)
    assert dbtp - 0.4 <= measured <= dbtp + 0.2


@pytest.mark.parametrize("offset", range(4))
def test_true_peak_between_samples_wherever_they_fall(offset):
    """Cases 20 to 23: one period at full scale, sampled at four offsets of a quarter sample."""
    rate = 48_000
    n = np.arange(4 * rate)
    tone = 0.5 * np.sin(2 * np.pi * n / 24)
    tone[96_000 : 96_000 + 24] *= 2.0
    sampled = resample_poly(np.roll(tone, offset), 1, 4)
    truth = 20 * math.log10(np.abs(resample_poly(sampled, 32, 1)).max())
    measured = 20 * math.log10(measure([both(sampled)], rate, true_peak=True).true_peak)
    assert truth - 0.4 <= measured <= truth + 0.2


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("levels", "range_lu"),
    [
        pytest.param((-20, -30), 10, id="case 1"),
        pytest.param((-20, -15), 5, id="case 2"),
        pytest.param((-40, -20), 20, id="case 3"),
        pytest.param((-50, -35, -20, -35, -50), 15, id="case 4"),
    ],
)
def test_loudness_range_of_tech_3342(rate, levels, range_lu):
    energies = measure([tones(rate, *[(level, 20) for level in levels])], rate).energies
    assert loudness_range_lu(energies) == pytest.approx(range_lu, abs=1.0)


@pytest.mark.parametrize("rate", [*RATES, *further([22_050, 35_467, 47_981, 96_000])])
@pytest.mark.parametrize("programme", ["noise", "music", "speech"])
def test_agrees_with_pyloudnorm(rate, programme):
    """Its filter class DeMan is the standard's filter; the default one differs from it by 0.05 dB in gain."""
    samples = 0.2 * Noise("pink", 5, rate).render(0, 12 * rate).astype(np.float64)
    n = np.arange(len(samples))
    if programme == "music":
        samples = samples * 0.1 + 0.3 * np.sin(2 * np.pi * 220 * n / rate)[:, None] * np.sin(n / rate)[:, None]
    if programme == "speech":
        samples *= (np.sin(2 * np.pi * 0.4 * n / rate) > 0)[:, None]
    expected = pyloudnorm.Meter(rate, "DeMan").integrated_loudness(samples)
    assert integrated_lufs(measure([samples.astype(np.float32)], rate).energies) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("rate", [35_467, 47_981, 383_987])
def test_a_rate_that_factors_badly_costs_what_the_others_do(rate):
    """Hops of 3547 and 4798 frames have no good divisors; in one part they took gigabytes."""
    tracemalloc.start()
    LoudnessMeter(rate)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_filter_at_48_khz_is_the_standards_table():
    shelf, high_pass = k_weighting_coefficients(48_000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585]
    )
    assert high_pass == pytest.approx([1.0, -2.0, 1.0, 1, -1.99004745483398, 0.99007225036621])


def test_the_filter_rings_on_over_hops_as_the_recursion_does():
    rate, hop = 44_100, hop_frames(44_100)
    samples = np.concatenate([sine(0.0, 1, sample_rate=rate, frequency_hz=30.0), silence(0.5, sample_rate=rate)])
    filtered = sosfilt(k_weighting_coefficients(rate), samples.astype(np.float64), axis=0)
    expected = (filtered.reshape(-1, hop, 2) ** 2).mean(axis=1).sum(axis=1)
    assert 0 < expected[12] < 1e-16  # the third hop without sound
    assert measure([samples], rate).energies[:13] == pytest.approx(expected[:13], rel=1e-4, abs=0.0)


@pytest.mark.parametrize("size", SPLITS[1:])
@pytest.mark.parametrize("frames", [0, 1, 31_999, *further([100, 100_000])])
def test_block_size_makes_no_difference(size, frames):
    samples = 0.3 * Noise("white", 9, 44_100).render(0, frames)
    whole = measure([samples], 44_100, true_peak=True)
    meter = LoudnessMeter(44_100, true_peak=True)
    for first in range(0, frames, size):
        meter.add(samples[first : first + size])
    pieces = meter.result()
    assert pieces.energies == pytest.approx(whole.energies, rel=1e-6)
    assert pieces.frames == whole.frames == frames
    assert pieces.sample_peak == whole.sample_peak
    assert pieces.true_peak == pytest.approx(whole.true_peak, rel=1e-6)


@pytest.mark.parametrize("frames", [1, 20, 32, 288, 4410, 31_999])
@pytest.mark.parametrize("loud", [0.0, 0.5, 1.0])
def test_the_sample_peak_is_found_without_those_of_the_hops(frames, loud):
    samples = 0.1 * Noise("white", 9, 44_100).render(0, frames)
    samples[round(loud * (frames - 1)), 1] = -0.9
    meter = LoudnessMeter(44_100, true_peak=True, hop_peaks=False)
    for first in range(0, frames, 5000):
        meter.add(samples[first : first + 5000])
    measured = meter.result()
    assert measured.sample_peak == pytest.approx(0.9)
    assert measured.true_peak == measure([samples], 44_100, true_peak=True).true_peak
    assert len(measured.peaks) == 0


def test_stretches_put_together_measure_as_the_whole():
    rate, hop = 44_100, hop_frames(44_100)
    samples = 0.3 * Noise("brown", 3, rate).render(0, 40 * hop + 123)
    first = LoudnessMeter(rate)
    first.add(samples[: 17 * hop])
    second = LoudnessMeter(rate, preroll_hops=PREROLL_HOPS)
    second.add(samples[(17 - PREROLL_HOPS) * hop :])
    together, whole = joined([first.result(), second.result()]), measure([samples], rate)
    assert together.energies == pytest.approx(whole.energies, rel=1e-5)
    assert together.frames == whole.frames
    assert together.sample_peak == whole.sample_peak


def test_loudness_at_a_gain_is_known_without_measuring_again():
    rate = 44_100
    samples = tones(rate, (-20, 5), (-68, 5), (-30, 5))
    energies = measure([samples], rate).energies
    again = measure([(samples * np.float32(0.5)).astype(np.float32)], rate).energies
    assert integrated_lufs(energies, gain=0.5) == pytest.approx(integrated_lufs(again), abs=1e-4)


@pytest.mark.parametrize("frames", [0, 1, 4409, 44_100])
def test_silence_has_no_loudness_and_no_range(frames):
    measured = measure([np.zeros((frames, 2), np.float32)], 44_100, true_peak=True)
    assert integrated_lufs(measured.energies) == -math.inf
    assert loudness_range_lu(measured.energies) == 0.0
    assert measured.true_peak == 0.0


def test_a_block_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(frames, 2\)"):
        LoudnessMeter(44_100).add(np.zeros((5, 1), np.float32))


def test_the_range_lies_between_two_values_that_occurred():
    energies = np.geomspace(1e-3, 3e-3, 35).astype(np.float32)  # six windows of 3 s
    windows = [10 * np.log10(energies[first : first + 30].mean(dtype=np.float64)) for first in range(6)]
    assert loudness_range_lu(energies) == pytest.approx(windows[5] - windows[1], abs=1e-6)


def test_the_peaks_of_the_hops_are_kept():
    block = np.repeat(np.array([[0.25, 0.1], [0.1, -0.5]], np.float32), 4410, axis=0)
    meter = LoudnessMeter(44_100)
    meter.add(block)
    assert meter.result().peaks.tolist() == [0.25, 0.5]
    assert meter.result().sample_peak == 0.5


def bed_and_voice() -> tuple[np.ndarray, np.ndarray]:
    """A bed for 60 s, twice as loud from 40 s on, and a voice from 10 to 20 s."""
    rng = np.random.default_rng(3)
    bed = 0.01 * rng.standard_normal((60 * 44_100, 2)).astype(np.float32)
    bed[40 * 44_100 :] *= 2
    voice = np.zeros_like(bed)
    voice[10 * 44_100 : 20 * 44_100] = 0.1 * rng.standard_normal((10 * 44_100, 2))
    return bed, voice


def test_speech_is_measured_where_it_sounds_with_what_sounds_beside_it():
    bed, voice = bed_and_voice()
    heard = measure([bed + voice], 44_100).energies
    alone = measure([voice], 44_100).energies
    while_it_speaks = integrated_lufs(measure([(bed + voice)[10 * 44_100 : 20 * 44_100]], 44_100).energies)
    assert speech_lufs(heard, alone) == pytest.approx(while_it_speaks, abs=0.2)
    bed[30 * 44_100 :] *= 5  # what is heard without it does not count
    assert speech_lufs(measure([bed + voice], 44_100).energies, alone) == pytest.approx(while_it_speaks, abs=0.2)


def test_pauses_between_words_are_not_speech():
    bed, voice = bed_and_voice()
    heard = measure([bed + voice], 44_100).energies
    voice[13 * 44_100 : 17 * 44_100] *= 0.003  # breath
    paused = measure([bed + voice], 44_100).energies
    speech = speech_lufs(heard, measure([voice], 44_100).energies)
    assert speech_lufs(paused, measure([voice], 44_100).energies) == pytest.approx(speech, abs=0.7)


def test_without_a_voice_there_is_no_loudness_of_speech():
    bed, _ = bed_and_voice()
    heard = measure([bed], 44_100).energies
    assert speech_lufs(heard, np.zeros_like(heard)) == -math.inf
    assert speech_lufs(heard, np.zeros(0, np.float32)) == -math.inf
