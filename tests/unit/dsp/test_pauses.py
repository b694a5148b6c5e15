"""The pauses of recordings: noise, hum, silence at the ends. The speech is real: the local voice's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clips import ArrayClip
from numpy.typing import NDArray
from recorded import RATE, SPEECH_DB, reading
from signals import both

from dsp.loudness import measure
from dsp.noise import Noise
from dsp.pauses import find_hum, find_pauses, sound_hops


def examined(samples: NDArray[np.floating]):
    energies = measure([both(samples)], RATE).energies
    return energies, find_pauses(energies)


def hum(mains_hz: float, level_db: float, frames: int, *, harmonics: int = 6) -> NDArray[np.float64]:
    """Some harmonics, each weaker than the one before it, of one level together."""
    n = np.arange(frames)
    lines = [np.sin(2 * np.pi * mains_hz * k * n / RATE + k) / k for k in range(1, harmonics + 1)]
    return 10 ** (level_db / 20) * sum(lines) / np.std(sum(lines))


@pytest.mark.parametrize("below_db", [30, 40, 50])
@pytest.mark.parametrize("color", ["white", "pink"])
def test_the_noise_in_pauses_is_what_was_added(below_db, color):
    speech = reading()
    noise = Noise(color, 1, RATE).render(0, len(speech))[:, 0]
    noise = noise * 10 ** ((SPEECH_DB - below_db) / 20) / noise.std()
    _, pauses = examined(speech + noise)
    (alone,) = {round(float(10 * np.log10(measure([both(noise)], RATE).energies.mean())), 1)}
    assert pauses.noise_lufs == pytest.approx(alone - 0.691, abs=1.0)


def test_speech_without_a_pause_has_no_noise_that_is_known():
    speech = reading(pause_s=0.0)
    _, pauses = examined(speech[np.abs(speech) > 1e-3])
    assert math.isnan(pauses.noise_lu)


@pytest.mark.parametrize("dither", [0.0, 1e-6])
def test_digital_silence_says_nothing_of_the_noise(dither):
    silent = np.where(np.abs(reading()) > 1e-3, reading(), 0.0)
    _, pauses = examined(silent + dither * np.random.default_rng(1).standard_normal(len(silent)))
    assert math.isnan(pauses.noise_lu)
    assert find_hum(ArrayClip(both(reading())), pauses, RATE) is None


def test_a_recording_of_nothing_has_no_pauses():
    energies, pauses = examined(np.zeros(RATE))
    assert not len(pauses.starts)
    assert sound_hops(energies, pauses) == (0, 0)


@pytest.mark.parametrize("mains_hz", [50.0, 49.9, 60.0, 60.05])
def test_mains_hum_is_found_with_its_level(mains_hz):
    speech = reading() + 1e-4 * np.random.default_rng(1).standard_normal(len(reading()))
    spoilt = speech + hum(mains_hz, SPEECH_DB - 35, len(speech))
    found = find_hum(ArrayClip(both(spoilt)), examined(spoilt)[1], RATE)
    assert found is not None
    assert found.mains_hz == round(mains_hz / 10) * 10
    assert found.lufs == pytest.approx(SPEECH_DB - 35 + 2.3, abs=1.0)  # two channels, and the offset of the loudness


@pytest.mark.parametrize("color", ["white", "pink", "brown"])
def test_noise_is_no_hum(color):
    speech = reading()
    noise = Noise(color, 2, RATE).render(0, len(speech))[:, 0]
    noisy = speech + noise * 10 ** ((SPEECH_DB - 35) / 20) / noise.std()
    assert find_hum(ArrayClip(both(noisy)), examined(noisy)[1], RATE) is None


@pytest.mark.parametrize(("tone_hz", "harmonics"), [(55.0, 6), (100.0, 1)])
def test_a_low_tone_that_is_no_mains_is_no_hum(tone_hz, harmonics):
    speech = reading()
    low = speech + hum(tone_hz, SPEECH_DB - 35, len(speech), harmonics=harmonics)
    assert find_hum(ArrayClip(both(low)), examined(low)[1], RATE) is None


@pytest.mark.parametrize("noise_db", [-90, -60, -55])
@pytest.mark.parametrize(("before_s", "behind_s"), [(0.0, 0.0), (4.0, 2.5)])
def test_the_sound_of_a_recording_is_found_between_its_ends(noise_db, before_s, behind_s):
    speech = reading()
    (loud,) = np.nonzero(np.abs(speech) > 10 ** (-45 / 20) * np.abs(speech).max())
    ends = [np.zeros(round(seconds * RATE)) for seconds in (before_s, behind_s)]
    longer = np.concatenate([ends[0], speech, ends[1]])
    longer += 10 ** (noise_db / 20) * np.random.default_rng(1).standard_normal(len(longer))
    first, last = sound_hops(*examined(longer))
    assert first * 0.1 == pytest.approx(before_s + loud[0] / RATE, abs=0.2)
    assert last * 0.1 == pytest.approx(before_s + loud[-1] / RATE, abs=0.4)
