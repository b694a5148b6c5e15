"""Time-stretch: exact length, the pitch and the level kept, whole ends, and the same samples every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from clips import ArrayClip
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.noise import Noise
from dsp.stretch import HOP_S, stretched

RATE = 44_100
FACTORS = (0.25, 0.4, 0.5, 0.5 / 0.7, 0.9, 1.01, 1.1, 1.5 / 1.2, 1.5, 2.0, 4.0)


def syllables(seconds: float = 3.0, pitch_hz: float = 128.7) -> np.ndarray:
    """Something like a voice: harmonics of a steady pitch through two formants, four syllables a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros_like(t)
    for harmonic in range(1, 30):
        frequency_hz = harmonic * pitch_hz
        formants = sum(np.exp(-(((frequency_hz - centre) / 250) ** 2)) for centre in (600, 1700))
        sound += (0.02 + formants) * np.cos(2 * np.pi * frequency_hz * t + harmonic**2) / harmonic**0.5
    sound *= np.clip(np.sin(2 * np.pi * 4 * t) * 3, 0, 1)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def clip_of(sound: np.ndarray) -> ArrayClip:
    return ArrayClip(np.ascontiguousarray(np.stack([sound, sound], axis=1), np.float32))


def made(sound: np.ndarray, factor: float) -> np.ndarray:
    return np.concatenate(list(stretched(clip_of(sound), round(len(sound) / factor), RATE)))


def pitch_hz(sound: np.ndarray) -> float:
    """Median of the frames' own pitches, by autocorrelation with a parabola through its peak."""
    size, found = round(0.04 * RATE), []
    window = np.hanning(size)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, 4 * size)) ** 2)[:size]
    for start in range(0, len(sound) - size, size // 2):
        frame = sound[start : start + size]
        if np.abs(frame).max() < 0.1:
            continue
        like = np.fft.irfft(np.abs(np.fft.rfft(frame * window, 4 * size)) ** 2)[:size] / np.maximum(of_window, 1e-9)
        low, high = RATE // 300, RATE // 70
        at = low + int(np.argmax(like[low:high]))
        before, here, after = like[at - 1 : at + 2]
        found.append(RATE / (at + 0.5 * (before - after) / (before - 2 * here + after)))
    return float(np.median(found))


@pytest.mark.parametrize("factor", FACTORS)
def test_length_is_exact_and_pitch_and_level_are_kept(factor):
    sound = syllables()
    out = made(sound, factor)
    assert out.shape == (round(len(sound) / factor), 2)
    assert out.dtype == np.float32
    assert np.array_equal(out[:, 0], out[:, 1])
    assert pitch_hz(out[:, 0]) == pytest.approx(pitch_hz(sound), rel=0.01)
    assert 20 * np.log10(out.std() / sound.std()) == pytest.approx(0, abs=1)


def test_a_factor_of_one_gives_the_clip_itself():
    sound = syllables(1.0)
    assert np.array_equal(made(sound, 1.0)[:, 0], sound)


@pytest.mark.parametrize("factor", FACTORS)
def test_no_click_is_added(factor):
    """Above 10 kHz the sound has nothing; a break in the wave would."""
    sound = syllables()

    def above_10_khz(samples: np.ndarray) -> float:
        spectrum = np.fft.rfft(samples * np.hanning(len(samples)))
        spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) < 10_000] = 0
        return float(np.abs(np.fft.irfft(spectrum, len(samples))).max())

    assert 20 * np.log10(above_10_khz(made(sound, factor)[:, 0]) / np.abs(sound).max()) < -60


@pytest.mark.parametrize("factor", FACTORS)
def test_it_begins_and_ends_as_the_clip_does(factor):
    sound = syllables()
    hop = round(HOP_S * RATE)
    out = made(sound, factor)[:, 0]
    assert np.array_equal(out[:hop], sound[:hop])
    assert np.array_equal(out[-hop // 2 :], sound[-hop // 2 :])


def test_both_ears_keep_their_own_sound():
    left, right = syllables(), Noise("pink", 1, RATE).render(0, 3 * RATE)[:, 0]
    clip = ArrayClip(np.ascontiguousarray(np.stack([left, 0.1 * right], axis=1), np.float32))
    out = np.concatenate(list(stretched(clip, 4 * RATE, RATE)))
    assert pitch_hz(out[:, 0]) == pytest.approx(pitch_hz(left), rel=0.01)
    assert abs(np.corrcoef(out[:, 0], out[:, 1])[0, 1]) < 0.05


@pytest.mark.parametrize("factor", [0.5, 0.5 / 0.7, 0.9, 1.1, 1.5 / 1.2, 1.5])
def test_a_burst_comes_once_and_as_short_as_it_was(factor):
    """Impulses a third of a second apart on a quiet bed, as consonants are between vowels."""
    sound = (1e-3 * Noise("white", 1, RATE).render(0, 3 * RATE)[:, 0]).astype(np.float32)
    sound[RATE // 6 :: RATE // 3] = 0.8
    out = np.abs(made(sound, factor)[:, 0])
    loud = np.flatnonzero(out > 0.1)
    assert len(loud) == 9, "one frame each"
    assert np.diff(loud) / RATE * factor == pytest.approx(1 / 3, abs=0.06)


@settings(deadline=None, max_examples=60)
@given(frames=st.integers(1, 9000), wanted=st.integers(0, 9000))
def test_any_length_becomes_any_other(frames, wanted):
    clip = ArrayClip(np.full((frames, 2), 0.5, np.float32))
    blocks = list(stretched(clip, wanted, RATE))
    assert sum(map(len, blocks)) == wanted
    assert all(np.isfinite(block).all() and np.abs(block).max() <= 0.5 + 1e-6 for block in blocks)


def test_silence_stays_silence():
    assert not np.concatenate(list(stretched(clip_of(np.zeros(RATE)), 2 * RATE, RATE))).any()


def test_lengths_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        list(stretched(clip_of(np.zeros(10)), -1, RATE))
    with pytest.raises(ValueError, match="0 frames"):
        list(stretched(clip_of(np.zeros(0)), 1, RATE))


def digest() -> str:
    """Of one sound at every factor."""
    sound = syllables(2.0) + 0.01 * Noise("white", 5, RATE).render(0, 2 * RATE)[:, 0]
    whole = hashlib.sha256()
    for factor in FACTORS:
        whole.update(made(sound, factor).tobytes())
    return whole.hexdigest()


@pytest.mark.integration
@pytest.mark.further
def test_the_same_sound_gives_the_same_samples_in_every_process():
    """Also with other kernels of the linear algebra below, which add in another order."""
    here = [digest() for _ in range(3)]
    program = f"import sys; sys.path[:0] = {sys.path!r}; from {__name__} import digest; print(digest())"
    there = []
    for kernel in ("", "Prescott", "Haswell"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **({"OPENBLAS_CORETYPE": kernel} if kernel else {})},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        there.append(done.stdout.strip())
    assert len({*here, *there}) == 1
