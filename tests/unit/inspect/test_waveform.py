"""The drawing of a file: each channel by itself, at every rate and length."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.tones import Tone
from worker.inspect.waveform import HIGHEST_HZ, LOWEST_HZ, MOST_COLUMNS, ROWS, Waveform, WaveformBuilder


def drawn(sound: np.ndarray, rate: int, *, block: int = 30_000) -> Waveform:
    builder = WaveformBuilder(rate)
    for first in range(0, len(sound), block):
        builder.add(np.ascontiguousarray(sound[first : first + block], np.float32))
    return builder.result()


def sine(hz: float, rate: int, seconds: float) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave, wave], axis=1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_500, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("hz", [200.0, 3_000.0])
def test_the_frequency_axis_is_right_at_every_rate(rate, hz):
    found = drawn(sine(hz, rate, 2.0), rate)
    assert found.highest_hz == pytest.approx(min(HIGHEST_HZ, 0.49 * rate))
    rows = np.log2(found.highest_hz / LOWEST_HZ) / ROWS  # octaves each
    loudest = int(found.levels_db[0][found.levels_db.shape[1] // 2].argmax())
    assert np.log2(LOWEST_HZ) + (loudest + 0.5) * rows == pytest.approx(np.log2(hz), abs=2 * rows)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_short_files_are_drawn_whole(rate, seconds):
    found = drawn(sine(440.0, rate, seconds), rate)
    assert len(found.lows) >= 50
    assert len(found.lows) * found.wave_s == pytest.approx(seconds, abs=found.wave_s)
    assert found.highs.max() == pytest.approx(0.5, abs=0.01)
    assert found.lows.min() == pytest.approx(-0.5, abs=0.01)


def test_channels_are_drawn_apart():
    sound = sine(440.0, 44_100, 3.0)
    sound[:, 1] = 0.0
    found = drawn(sound, 44_100)
    assert not found.alike
    assert found.highs[:, 0].max() > 0.4
    assert found.highs[:, 1].max() == found.lows[:, 1].min() == 0.0
    assert found.levels_db[0].max() > -10
    assert found.levels_db[1].max() < -130
    assert drawn(sine(440.0, 44_100, 1.0), 44_100).alike


def test_nothing_and_silence_are_drawn():
    for sound in (np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((44_100, 2))):
        found = drawn(sound, 44_100)
        assert found.highs.max() == 0.0
        assert len(found.lows) >= 1


def test_a_drawing_is_the_same_however_the_file_is_cut():
    sound = np.random.default_rng(3).standard_normal((100_000, 2)) * 0.1
    one, other = drawn(sound, 8_000), drawn(sound, 8_000, block=777)
    assert np.array_equal(one.lows, other.lows)
    assert np.array_equal(one.levels_db, other.levels_db)


def test_a_drawing_is_no_larger_for_a_long_track():
    rate = 8_000
    builder = WaveformBuilder(rate)
    tone = (0.5 * Tone(440.0, rate).render(0, 60 * rate)).astype(np.float32)
    for _ in range(10):
        builder.add(tone)
    waveform = builder.result()
    assert len(waveform.lows) <= MOST_COLUMNS
    assert waveform.levels_db.shape[1] <= MOST_COLUMNS
    assert len(waveform.lows) * waveform.wave_s == pytest.approx(600, rel=0.01)
    assert waveform.levels_db.shape[1] * waveform.spectrum_s == pytest.approx(600, rel=0.02)
    middle = waveform.levels_db[0, waveform.levels_db.shape[1] // 2]
    assert middle.max() == pytest.approx(-6.0, abs=1.5)
