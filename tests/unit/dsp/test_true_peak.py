"""The true peak: what is skipped to save time is never what matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import both

from dsp.blocks import Block
from dsp.true_peak import BEND, NEAR, OVERSAMPLING, REACH_FRAMES, TruePeak, frame_peaks, taps

PHASES = range(1, OVERSAMPLING)


def by_convolution(padded: Block) -> np.ndarray:
    """What `frame_peaks` must find, without its shortcuts."""
    frames = len(padded) - 2 * REACH_FRAMES
    peaks = np.abs(padded[REACH_FRAMES : REACH_FRAMES + frames]).max(axis=1).astype(np.float64)
    for phase in PHASES:
        for ear in (0, 1):
            between = np.convolve(padded[:, ear].astype(np.float64), taps(phase)[::-1], "valid")
            peaks = np.maximum(peaks, np.abs(between[1 : frames + 1]))
    return peaks


def programme(kind: str, frames: int, seed: int) -> Block:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((frames, 2)).astype(np.float32)
    match kind:
        case "noise":
            return noise
        case "low":
            return np.cumsum(noise, axis=0, dtype=np.float64).astype(np.float32) / 50
        case "bursts":
            return noise * (rng.random((frames, 1)) > 0.999).astype(np.float32)
        case _:
            return np.sign(noise)


def worst() -> Block:
    """Samples of one magnitude that add up in full half a frame after the 500th."""
    samples = np.zeros(1100, np.float32)
    samples[500 - REACH_FRAMES + 1 : 500 + REACH_FRAMES + 1] = 0.3 * np.sign(taps(OVERSAMPLING // 2))
    return both(samples)


@pytest.mark.parametrize("phase", PHASES)
def test_the_bounds_are_the_filters(phase):
    weights = taps(phase)
    assert np.abs(weights).sum() <= NEAR
    # less the straight line with the same sum and first moment, what is left is second differences, weighted
    moment = weights @ np.arange(-REACH_FRAMES + 1, REACH_FRAMES + 1)
    assert 0 < moment < 1
    rest = weights.copy()
    rest[REACH_FRAMES - 1 : REACH_FRAMES + 1] -= (1 - moment, moment)
    weighting = np.cumsum(np.cumsum(rest))
    assert np.abs(weighting[-2:]).max() < 1e-12
    assert np.abs(weighting).sum() <= BEND


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["noise", "low", "bursts", "signs"]),
    frames=st.integers(0, 4000),
    seed=st.integers(0, 2**32),
    height=st.floats(0.0, 1.1),
)
def test_frame_peaks_are_exact_above_the_floor_and_bounded_below(kind, frames, seed, height):
    padded = programme(kind, frames + 2 * REACH_FRAMES, seed)
    expected = by_convolution(padded)
    floor = height * float(expected.max(initial=0.0))
    peaks = frame_peaks(padded, floor)
    if peaks is None:
        peaks = np.zeros(frames, np.float32)
    assert peaks.shape == (frames,)
    assert np.maximum(peaks, floor) == pytest.approx(np.maximum(expected, floor), rel=3e-6)


def test_an_intersample_peak_of_eight_decibels_is_measured():
    samples = worst()
    peak = TruePeak()
    peak.add(both(np.full(100, 0.6, np.float32)))  # already added, and louder than any of the samples
    peak.add(samples)
    assert peak.result() == pytest.approx(by_convolution(samples).max(), rel=1e-6)
    assert peak.result() > 2.4 * np.abs(samples).max()


@pytest.mark.parametrize("kind", ["noise", "low", "bursts", "signs"])
@pytest.mark.parametrize("size", [17, 509, 44_100])
@pytest.mark.parametrize("frames", [0, 1, 100, 31_999])
def test_the_running_peak_is_that_of_the_whole_however_it_is_cut(kind, size, frames):
    samples = programme(kind, frames, 7)
    running = TruePeak()
    for first in range(0, frames, size):
        running.add(samples[first : first + size])
    padded = np.pad(samples, ((2 * REACH_FRAMES, 2 * REACH_FRAMES), (0, 0)))
    assert running.result() == pytest.approx(by_convolution(padded).max(), rel=3e-6)
    assert running.result() == running.result()  # asking changes nothing


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_exact_interpolation_up_to_20_khz(seed):
    """By the Fourier transform of a periodic noise, at 16 times the sample rate; the worst measured is 0.036 dB."""
    frames, rate = 65_536, 44_100
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((frames, 2)), axis=0)
    spectrum[np.fft.rfftfreq(frames, 1 / rate) > 20_000] = 0.0
    samples = np.fft.irfft(spectrum, axis=0).astype(np.float32)
    exact = 16 * np.abs(np.fft.irfft(spectrum, 16 * frames, axis=0)).max()
    running = TruePeak()
    running.add(np.concatenate([samples[-2 * REACH_FRAMES :], samples, samples[: 2 * REACH_FRAMES]]))
    assert 20 * np.log10(running.result() / exact) == pytest.approx(0.0, abs=0.05)
