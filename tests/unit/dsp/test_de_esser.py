"""The de-esser: its band, when it works, how far."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from signals import SPLITS, largest_difference

from dsp.de_esser import MOST_DB, SIBILANTS_HZ, THRESHOLD_LU, DeEsser, Sibilants
from dsp.gain_path import LOOK_AHEAD_WINDOWS
from dsp.noise import Noise

RATE = 44_100


def gains(levels: list[float], *, size: int = 10_000) -> np.ndarray:
    de_esser = DeEsser()
    longer = np.array([*levels, *[-60.0] * LOOK_AHEAD_WINDOWS])
    return np.concatenate([de_esser.add(longer[first : first + size]) for first in range(0, len(longer), size)])


@pytest.mark.parametrize("rate", [16_000, RATE, 96_000])
def test_its_band_is_scipys_butterworth(rate):
    noise = Noise("white", 1, rate).render(0, 30_011)
    expected = sosfilt(butter(2, SIBILANTS_HZ, "high", fs=rate, output="sos"), noise.astype(np.float64), axis=0)
    assert np.abs(Sibilants(rate).add(noise) - expected).max() < 1e-6


@pytest.mark.parametrize("size", SPLITS)
def test_any_cutting_gives_the_same_band(size):
    noise = Noise("white", 2, RATE).render(0, 4000)
    whole, pieces = Sibilants(RATE).add(noise), Sibilants(RATE)
    cut = np.concatenate([pieces.add(noise[first : first + size]) for first in range(0, len(noise), size)])
    assert largest_difference(cut, whole) <= 2**-22
    assert Sibilants(RATE).add(noise[:0]).shape == (0, 2)


def test_sibilants_as_usual_are_left_alone():
    assert not gains([-40.0, THRESHOLD_LU, -30.0, THRESHOLD_LU - 1.0] * 20).any()


@pytest.mark.parametrize(("over_lu", "reduction_db"), [(1.0, 2.0), (5.0, 4.0), (9.0, 6.0), (30.0, MOST_DB)])
def test_half_of_what_is_too_sharp_goes_6_db_at_most(over_lu, reduction_db):
    found = gains([-40.0] * 20 + [over_lu] * 10 + [-40.0] * 20)
    assert found[20:30].tolist() == [-reduction_db] * 10, "all of the sibilant"
    assert found[19] == -reduction_db, "the line over the window before it has come down, too"
    assert not found[:17].any()
    assert not found[40:].any()


@pytest.mark.parametrize("size", [1, 2, 7])
def test_any_cutting_gives_the_same_gains(size):
    levels = [-40.0] * 9 + [4.0] * 5 + [-40.0] * 3 + [1.0] * 4 + [-40.0] * 20
    assert gains(levels, size=size).tolist() == gains(levels).tolist()
