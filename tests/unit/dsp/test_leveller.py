"""The leveller: slow, within 6 dB, at rest in pauses. The speech is real: the local voice's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import RATE, reading
from signals import both
from spoken_pieces import said

from dsp.leveller import MOST_DB, HopCurve, levelling_db
from dsp.loudness import measure, short_term_lufs
from dsp.pauses import find_pauses


def curve_of(samples: NDArray[np.floating]) -> HopCurve:
    energies = measure([both(samples)], RATE).energies
    return levelling_db(energies, find_pauses(energies), RATE)


def even(repetitions: int, *, pause_s: float = 0.5) -> NDArray[np.floating]:
    """One sentence over and over: as even as speech can be."""
    return np.tile(
        np.concatenate([said("Every breath brings me back to myself."), np.zeros(round(pause_s * RATE))]), repetitions
    )


def spread_db(samples: NDArray[np.floating]) -> float:
    lufs = short_term_lufs(measure([both(samples)], RATE).energies)
    return float(lufs.max() - lufs.min())


def test_a_level_that_falls_by_14_db_is_nearly_even_afterwards():
    speech = even(12)
    falling = speech * 10 ** (np.linspace(7, -7, len(speech)) / 20)
    levelled = falling * 10 ** (curve_of(falling).at(0, len(falling)) / 20)
    assert spread_db(falling) > 11
    assert spread_db(levelled) < 4.5, "1 dB either way stays, and the sentence itself has 1.5 dB"


def test_even_speech_is_left_alone():
    assert not curve_of(even(8)).values.any()


@pytest.mark.parametrize("step_db", [8, 30])
def test_no_gain_is_more_than_6_db(step_db):
    soft, loud = even(6), even(6) * 10 ** (step_db / 20)
    gains = curve_of(np.concatenate([soft, loud])).values
    assert np.abs(gains).max() <= MOST_DB
    if step_db == 8:
        assert gains[20] - gains[-20] == pytest.approx(step_db - 2, abs=1.0)


def test_a_pause_goes_from_one_gain_to_the_next_one():
    soft, pause, loud = even(5), 1e-4 * np.random.default_rng(1).standard_normal(20 * RATE), even(5) * 10 ** (10 / 20)
    gains = curve_of(np.concatenate([soft, pause, loud])).values
    first, last = len(soft) * 10 // RATE, (len(soft) + len(pause)) * 10 // RATE
    assert (np.diff(gains[first:last]) <= 0).all()
    assert np.abs(np.diff(gains)).max() < 0.4, "no more than 4 dB a second"


def test_the_level_of_the_noise_makes_no_difference():
    noise = np.random.default_rng(1).standard_normal(len(reading()))
    quiet, noisy = (curve_of(reading() + level * noise).values for level in (1e-5, 1e-3))
    assert np.abs(noisy - quiet).max() < 0.3


@pytest.mark.parametrize("size", [1, 509, 4410, 100_000])
def test_any_span_of_a_curve_has_the_same_values(size):
    curve = HopCurve(np.random.default_rng(1).standard_normal(5), 4410)
    whole = curve.at(0, 24_000)
    cut = np.concatenate([curve.at(first, min(first + size, 24_000)) for first in range(0, 24_000, size)])
    assert (cut == whole).all()
    assert (curve.at(0, 2205) == curve.values[0]).all()
    assert (curve.at(23_000, 24_000) == curve.values[-1]).all()


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.zeros(RATE), 1e-7 * np.ones(RATE)])
def test_a_recording_without_speech_is_left_alone(samples):
    assert not curve_of(samples).values.any()
