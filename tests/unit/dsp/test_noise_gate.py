"""The noise gate, by the levels of its windows: when it opens, how long it stays, what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dsp.gain_path import LOOK_AHEAD_WINDOWS, WINDOW_S, GainPath
from dsp.loudness import energy_of_lufs
from dsp.noise_gate import CLOSE_S, HOLD_S, RANGE_DB, NoiseGate
from dsp.pauses import Pauses

SPEECH, NOISE = -20.0, -60.0
PAUSES = Pauses(SPEECH, NOISE, np.arange(3))
HOLD, CLOSE = round(HOLD_S / WINDOW_S), round(CLOSE_S / WINDOW_S)


def gains(levels: list[float], pauses: Pauses = PAUSES, *, size: int = 10_000) -> np.ndarray:
    """The gain in dB of each window of these levels; as behind them a pause follows."""
    gate = NoiseGate(pauses)
    energies = np.array([energy_of_lufs(level) for level in [*levels, *[NOISE] * LOOK_AHEAD_WINDOWS]], np.float32)
    return np.concatenate([gate.add(energies[first : first + size]) for first in range(0, len(energies), size)])


def test_a_pause_is_12_db_softer():
    assert gains([NOISE] * 50).tolist() == [-RANGE_DB] * 50


def test_it_is_open_when_a_sound_begins():
    found = gains([NOISE] * 50 + [SPEECH] * 10)
    assert (found[50:] == 0.0).all()
    assert found[49] == 0.0, "so that the line over the window before it has come to 0 as well"
    assert found[40] == -RANGE_DB


def test_it_is_open_for_a_recording_that_begins_with_a_sound():
    assert gains([SPEECH] * 10)[0] == 0.0


def test_it_stays_open_after_a_sound_and_closes_slowly():
    found = gains([SPEECH] * 10 + [NOISE] * 200)[10:]
    assert (found[:HOLD] == 0.0).all()
    assert found[HOLD + CLOSE + 10] == -RANGE_DB
    assert np.diff(found).min() == pytest.approx(-RANGE_DB / CLOSE)


def test_the_soft_end_of_a_word_does_not_close_it():
    found = gains([SPEECH] * 10 + [NOISE + 6.0] * 100)
    assert (found == 0.0).all()
    assert gains([NOISE + 6.0] * 100)[-1] == -RANGE_DB, "but it does not open for as little"


@pytest.mark.parametrize("noise_lufs", [math.nan, SPEECH - 21.0, SPEECH - 66.0])
def test_a_noise_that_cannot_or_need_not_be_parted_is_left_alone(noise_lufs):
    pauses = Pauses(SPEECH, noise_lufs, np.arange(3))
    assert not gains([-60.0] * 50 + [SPEECH] * 10, pauses)[10:].any()
    assert not NoiseGate(pauses).works


@pytest.mark.parametrize("size", [1, 2, 7])
def test_any_cutting_gives_the_same_gains(size):
    levels = [NOISE] * 30 + [SPEECH] * 20 + [NOISE] * 60 + [SPEECH] * 3 + [NOISE] * 40
    assert gains(levels, size=size).tolist() == gains(levels).tolist()


def test_the_gain_of_frames_is_a_straight_line_through_each_window():
    path = GainPath(rise_db=3.0, fall_db=3.0, start_db=0.0)
    windows = path.add(np.array([*[0.0] * LOOK_AHEAD_WINDOWS, -3.0, -6.0, -6.0]))
    frames = path.over(windows, 4)
    assert frames is not None
    assert frames.tolist() == [-0.75, -1.5, -2.25, -3.0, -3.75, -4.5, -5.25, -6.0, -6.0, -6.0, -6.0, -6.0]
    assert GainPath(rise_db=3.0, fall_db=3.0, start_db=0.0).over(np.zeros(9), 4) is None
