"""Test signals and measurements that more than one test needs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Source

Samples = NDArray[np.floating]

SPLITS = (1, 17, 509, 1152, 44_100)


def both(samples: Samples) -> Block:
    """The same in both ears."""
    return np.repeat(np.asarray(samples, np.float32)[:, None], 2, axis=1)


def sine(level_db: float, seconds: float, *, sample_rate: int, frequency_hz: float = 1000.0) -> Block:
    """A stereo sine whose peak is `level_db` dBFS."""
    n = np.arange(round(seconds * sample_rate))
    return both(10 ** (level_db / 20) * np.sin(2 * np.pi * frequency_hz * n / sample_rate))


def silence(seconds: float, *, sample_rate: int) -> Block:
    """Nothing."""
    return np.zeros((round(seconds * sample_rate), 2), np.float32)


def in_blocks(source: Source, start: int, stop: int, size: int) -> Block:
    """Render a stretch in blocks of one size."""
    blocks = [source.render(first, min(first + size, stop)) for first in range(start, stop, size)]
    return np.concatenate([np.zeros((0, 2), np.float32), *blocks])


def largest_difference(samples: Samples, expected: Samples) -> float:
    """The largest difference of two arrays; `pytest.approx` looks at each sample in Python."""
    assert samples.shape == expected.shape
    return float(np.abs(samples.astype(np.float64) - expected).max(initial=0.0))


def fitted(samples: Samples, frequency_hz: float, start: int, sample_rate: int) -> tuple[float, float, float]:
    """Least-squares fit of a sine of known frequency: amplitude, phase in turns against frame 0, SINAD in dB."""
    turns = float(Fraction(frequency_hz) * start / sample_rate % 1) + frequency_hz / sample_rate * np.arange(
        len(samples)
    )
    basis = np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1)
    (a, b), *_ = np.linalg.lstsq(basis, samples.astype(np.float64), rcond=None)
    tone = basis @ np.array([a, b])
    residue = samples - tone
    sinad_db = 10 * np.log10(max(np.mean(tone**2), 1e-300) / max(np.mean(residue**2), 1e-300))
    return float(np.hypot(a, b)), float(np.arctan2(b, a) / (2 * np.pi)), float(sinad_db)
