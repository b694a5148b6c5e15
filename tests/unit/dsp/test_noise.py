"""Noise: slope, level, independence, no seam, no period."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from dsp.noise import Noise

RATE = 44_100


@pytest.mark.parametrize(("colour", "slope_db"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_power_falls_with_the_octave(colour, slope_db):
    samples = Noise(colour, 11, RATE).render(0, 60 * RATE)
    for ear in (0, 1):
        frequency_hz, power = welch(samples[:, ear], RATE, nperseg=32_768)
        inside = (frequency_hz > 50) & (frequency_hz < 15_000)
        level_db, octave = 10 * np.log10(power[inside]), np.log2(frequency_hz[inside])
        bands = [level_db[(octave >= low) & (octave < low + 0.5)].mean() for low in np.arange(5.7, 13.4, 0.5)]
        fit = np.polyfit(np.arange(len(bands)) / 2, bands, 1)
        assert fit[0] == pytest.approx(slope_db, abs=0.1)
        assert bands == pytest.approx(np.polyval(fit, np.arange(len(bands)) / 2), abs=0.5)


@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
def test_its_power_is_that_of_a_full_scale_sine_in_each_ear(colour):
    samples = Noise(colour, 4, RATE).render(0, 120 * RATE).astype(np.float64)
    assert 10 * np.log10((samples**2).mean(axis=0)) == pytest.approx([-3.01, -3.01], abs=0.1)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.03
    assert samples.mean(axis=0) == pytest.approx([0.0, 0.0], abs=2e-3)


@pytest.mark.parametrize("colour", ["pink", "brown"])
def test_chunks_join_without_a_seam(colour):
    """The step over each chunk's edge is no larger than other steps."""
    samples = Noise(colour, 6, RATE).render(0, 40 * 65_536)[:, 0].astype(np.float64)
    steps = np.diff(samples)
    at_edges = steps[65_535::65_536]
    assert np.sqrt((at_edges**2).mean()) < 1.5 * steps.std()
    # white noise leaves the same power at an edge when the colour is taken out again
    jerk = np.diff(samples, 3)
    assert np.abs(jerk[65_533::65_536]).max() < 6 * jerk.std()


def test_another_seed_gives_other_noise_and_the_same_seed_the_same():
    first, again, other = (Noise("pink", seed, RATE).render(1000, 9000) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first[:, 0], other[:, 0])[0, 1]) < 0.1


def test_it_does_not_come_round():
    first = Noise("white", 1, RATE).render(0, 65_536)[:, 0]
    for chunk in (1, 2, 1000, 2**16, 2**32):
        later = Noise("white", 1, RATE).render(chunk * 65_536, chunk * 65_536 + 65_536)[:, 0]
        assert abs(np.corrcoef(first, later)[0, 1]) < 0.02
