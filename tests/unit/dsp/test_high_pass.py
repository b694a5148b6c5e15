"""The high-pass: its curve, its memory, any cutting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from signals import SPLITS, largest_difference

from dsp.high_pass import HighPass
from dsp.noise import Noise

RATE = 44_100


@pytest.mark.parametrize("rate", [8000, RATE, 96_000])
@pytest.mark.parametrize("cutoff_hz", [20.0, 80.0, 200.0])
def test_it_is_scipys_butterworth(rate, cutoff_hz):
    noise = Noise("brown", 1, rate).render(0, 30_011)
    expected = sosfilt(butter(2, cutoff_hz, "high", fs=rate, output="sos"), noise.astype(np.float64), axis=0)
    assert np.abs(HighPass(cutoff_hz, rate).add(noise) - expected).max() < 1e-6


@pytest.mark.parametrize("size", SPLITS)
def test_any_cutting_gives_the_same_samples(size):
    noise = Noise("pink", 2, RATE).render(0, 4000)
    whole = HighPass(80.0, RATE).add(noise)
    pieces = HighPass(80.0, RATE)
    cut = np.concatenate([pieces.add(noise[first : first + size]) for first in range(0, len(noise), size)])
    assert largest_difference(cut, whole) <= 2**-23
    assert HighPass(80.0, RATE).add(noise[:0]).shape == (0, 2)


@pytest.mark.parametrize("cutoff_hz", [0.0, -1.0, RATE / 2])
def test_a_cutoff_that_cannot_be_is_refused(cutoff_hz):
    with pytest.raises(ValueError, match="cutoff"):
        HighPass(cutoff_hz, RATE)
