"""The row about the meter: the EBU's cases, and pyloudnorm beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from benchmarks.sound.room import lufs_of
from benchmarks.sound.row import Row
from dsp.blocks import Block
from dsp.loudness import (
    integrated_lufs,
    loudness_range_lu,
    measure,
    momentary_lufs,
    short_term_lufs,
)
from dsp.noise import Noise
from tests.fine import finely
from tests.signals import both, silence, sine

RATES = (44_100, 48_000)
_INTEGRATED = {
    1: [(-23, 20)],
    2: [(-33, 20)],
    3: [(-36, 10), (-23, 60), (-36, 10)],
    4: [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)],
    5: [(-26, 20), (-20, 20.1), (-26, 20)],
}
_LOUDNESS_OF = {1: -23.0, 2: -33.0, 3: -23.0, 4: -23.0, 5: -23.0}
_RANGES = {1: ((-20, -30), 10), 2: ((-20, -15), 5), 3: ((-40, -20), 20), 4: ((-50, -35, -20, -35, -50), 15)}
_TRUE_PEAKS = {15: (4, 0.0, 0.5, -6.0), 16: (4, 45.0, 0.5, -6.0), 17: (6, 60.0, 0.5, -6.0)}
_TRUE_PEAKS |= {18: (8, 67.5, 0.5, -6.0), 19: (4, 45.0, 1.41, 3.0)}


def _parts(rate: int, parts: list[tuple[float, float]]) -> Block:
    return np.concatenate([sine(level_db, seconds, sample_rate=rate) for level_db, seconds in parts])


def _farthest(loudness: np.ndarray, level: float) -> float:
    return float(np.abs(loudness - level).max())


def _loudness_cases(rate: int) -> dict[str, float]:
    """How far each case of Tech 3341 on loudness is off, in LU; 0.1 is allowed."""
    off = {}
    for number, parts in _INTEGRATED.items():
        energies = measure([_parts(rate, parts)], rate).energies
        off[f"3341-{number}"] = abs(integrated_lufs(energies) - _LOUDNESS_OF[number])
    short = measure([_parts(rate, [(-20, 1.34), (-30, 1.66)] * 5)], rate).energies
    off["3341-9"] = _farthest(short_term_lufs(short), -23)
    moment = finely(momentary_lufs, _parts(rate, [(-20, 0.18), (-30, 0.22)] * 25), rate)
    off["3341-12"] = _farthest(moment[7:], -23)
    for steady, rising, step_s, length_s, loudness in (
        (10, 11, 0.15, 3.0, short_term_lufs),
        (13, 14, 0.02, 0.4, momentary_lufs),
    ):
        for number in range(20):
            before = silence(number * step_s, sample_rate=rate)
            for case, level in ((steady, -23.0), (rising, -38.0 + number)):
                tone = sine(level, length_s, sample_rate=rate)
                programme = np.concatenate([before, tone, silence(length_s, sample_rate=rate)])
                key = f"3341-{case}"
                off[key] = max(off.get(key, 0.0), abs(float(finely(loudness, programme, rate).max()) - level))
    return off


def _peak_cases(rate: int) -> dict[str, float]:
    """How far each case of Tech 3341 on true peaks is off, in dB, above (+) or below (-); +0.2 and -0.4 are allowed."""
    off = {}
    n = np.arange(rate)
    edge = np.minimum(1.0, np.minimum(n, len(n) - 1 - n) / (0.1 * rate))
    for number, (divisor, degrees, amplitude, dbtp) in _TRUE_PEAKS.items():
        tone = both(edge * amplitude * np.sin(2 * np.pi * n / divisor + np.radians(degrees)))
        off[f"3341-{number}"] = 20 * math.log10(measure([tone], rate, true_peak=True).true_peak) - dbtp
    n = np.arange(4 * rate)
    tone = 0.5 * np.sin(2 * np.pi * n / 24)
    tone[2 * rate // 24 * 24 : 2 * rate // 24 * 24 + 24] *= 2.0
    for offset in range(4):
        sampled = resample_poly(np.roll(tone, offset), 1, 4)
        truth = 20 * math.log10(np.abs(resample_poly(sampled, 32, 1)).max())
        measured = 20 * math.log10(measure([both(sampled)], rate, true_peak=True).true_peak)
        off[f"3341-{20 + offset}"] = measured - truth
    return off


def _range_cases(rate: int) -> dict[str, float]:
    """How far each case of Tech 3342 is off, in LU; 1 is allowed."""
    return {
        f"3342-{number}": abs(
            loudness_range_lu(measure([_parts(rate, [(level, 20) for level in levels])], rate).energies) - due
        )
        for number, (levels, due) in _RANGES.items()
    }


def _beside_pyloudnorm(made: Mapping[str, Path]) -> dict[str, float]:
    off = {}
    for name in ("speech", "words", "music", "dense", "drums"):
        samples, rate = soundfile.read(made[name], dtype="float32", always_2d=True)
        samples = np.repeat(samples, 2, axis=1)[:, :2] if samples.shape[1] == 1 else samples
        off[name] = abs(integrated_lufs(measure([samples], rate).energies) - lufs_of(samples.astype(float), rate))
    for colour in ("white", "pink", "brown"):
        samples = 0.2 * Noise(colour, 7, 48_000).render(0, 20 * 48_000)
        off[f"{colour} noise"] = abs(
            integrated_lufs(measure([samples], 48_000).energies) - lufs_of(samples.astype(float), 48_000)
        )
    return off


def meter(made: Mapping[str, Path]) -> Row:
    """All of it at 44.1 and 48 kHz."""
    loudness = {f"{key} at {rate}": off for rate in RATES for key, off in _loudness_cases(rate).items()}
    peaks = {f"{key} at {rate}": off for rate in RATES for key, off in _peak_cases(rate).items()}
    ranges = {f"{key} at {rate}": off for rate in RATES for key, off in _range_cases(rate).items()}
    beside = _beside_pyloudnorm(made)
    missed = [name for name, off in loudness.items() if off > 0.1]
    missed += [name for name, off in peaks.items() if not -0.4 <= off <= 0.2]
    missed += [name for name, off in ranges.items() if off > 1]
    missed += [name for name, off in beside.items() if off > 0.01]
    return Row(
        "loudness meter",
        "all two-channel cases of EBU Tech 3341 (0.1 LU; +0.2/−0.4 dB) and 3342 (1 LU); within 0.01 LU of pyloudnorm",
        f"{max(loudness.values()):.3f} LU, {max(peaks.values()):+.2f}/{min(peaks.values()):+.2f} dB, "
        f"{max(ranges.values()):.2f} LU off at worst; {max(beside.values()):.4f} LU from pyloudnorm",
        not missed,
        {"loudness_lu": loudness, "peak_db": peaks, "range_lu": ranges, "pyloudnorm_lu": beside},
        tuple(missed),
    )
