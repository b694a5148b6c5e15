"""What a recording holds where nobody speaks: its pauses, their noise, mains hum, the silence at its ends.

All levels come from the K-weighted energies of a loudness meter, a figure per 100 ms, so a recording of hours is judged
from a small array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Clip
from dsp.k_weighting import Energies
from dsp.loudness import ABSOLUTE_GATE_LUFS, energy_of_lufs, hop_frames, integrated_lufs, lufs_of_energy

PAUSE_HOPS = 4  # 400 ms: between two sentences there is as much
_STEADY = 10.0**0.6  # 6 dB from its softest hop to its loudest: speech moves more
_BELOW_SPEECH_LU = -12.0
_DIGITAL_SILENCE = 1e-10  # -100 dB: what a recorder's own gate, or an edit, has left
_SILENCE_LU = -45.0  # below the speech
_OVER_NOISE_LU, _LOUDEST_NOISE_LU = 6.0, -25.0  # a recording's own noise is silence, too
_HUM_PAUSES, _FEWEST_PAUSES = 40, 2
_MAINS_HZ = (50, 60)
_HARMONICS = 8
_PROMINENT = 10.0  # times the power beside it


@dataclass(frozen=True)
class Pauses:
    """The levels of a recording, and where nobody speaks.

    Attributes
    ----------
    speech_lufs : float
        Integrated loudness of the whole; -inf for silence.
    noise_lufs : float
        Of the pauses: their lower quartile. NaN where there are none, or digital silence.
    starts : int array
        First hop of each `PAUSE_HOPS` that are a pause; they overlap.
    """

    speech_lufs: float
    noise_lufs: float
    starts: NDArray[np.intp]

    @property
    def noise_lu(self) -> float:
        """Noise over the speech; NaN where it is not known."""
        return self.noise_lufs - self.speech_lufs


def find_pauses(energies: Energies) -> Pauses:
    """Find the pauses of a recording: steady sound well below the speech."""
    speech_lufs = integrated_lufs(energies)
    if len(energies) < PAUSE_HOPS or speech_lufs < ABSOLUTE_GATE_LUFS:
        return Pauses(speech_lufs, math.nan, np.empty(0, np.intp))
    windows = np.lib.stride_tricks.sliding_window_view(energies, PAUSE_HOPS)
    softest, means = windows.min(axis=1), windows.mean(axis=1, dtype=np.float64)
    below = energy_of_lufs(speech_lufs + _BELOW_SPEECH_LU)
    (starts,) = np.nonzero((softest > _DIGITAL_SILENCE) & (windows.max(axis=1) < _STEADY * softest) & (means < below))
    if not len(starts):
        return Pauses(speech_lufs, math.nan, starts)
    return Pauses(speech_lufs, lufs_of_energy(np.sort(means[starts])[len(starts) // 4]), starts)


def sound_hops(energies: Energies, pauses: Pauses) -> tuple[int, int]:
    """First hop with sound and the one after the last; an empty span for silence."""
    over_noise = -math.inf if math.isnan(pauses.noise_lu) else pauses.noise_lu + _OVER_NOISE_LU
    threshold = pauses.speech_lufs + min(max(_SILENCE_LU, over_noise), _LOUDEST_NOISE_LU)
    (sound,) = np.nonzero(energies > energy_of_lufs(threshold))
    return (int(sound[0]), int(sound[-1]) + 1) if len(sound) else (0, 0)


@dataclass(frozen=True)
class Hum:
    """Mains hum: its frequency in Hz, and the level of its harmonics together, on the scale of the loudness."""

    mains_hz: int
    lufs: float


def find_hum(clip: Clip, pauses: Pauses, sample_rate: int) -> Hum | None:
    """Find the hum of the mains in a recording's pauses; None where there is none, or too few pauses.

    A line spectrum: the median over up to 40 pauses of the power of each bin (2.5 Hz), so that what sounds in one
    pause only does not count. A harmonic counts where it stands 10 dB out of what is beside it.
    """
    starts = _apart(pauses.starts)
    if len(starts) < _FEWEST_PAUSES:
        return None
    chosen = starts[np.arange(min(len(starts), _HUM_PAUSES)) * len(starts) // min(len(starts), _HUM_PAUSES)]
    hop = hop_frames(sample_rate)
    frames = PAUSE_HOPS * hop
    window = np.hanning(frames + 1)[:-1, None]
    scale = 2.0 / (frames * float((window**2).sum()))
    spectra = [
        (np.abs(np.fft.rfft(clip.read(start * hop, start * hop + frames) * window, axis=0)) ** 2).sum(axis=1) * scale
        for start in chosen.tolist()
    ]
    power = np.median(np.stack(spectra), axis=0)
    found = [(_hum_power(power, mains_hz * PAUSE_HOPS // 10), mains_hz) for mains_hz in _MAINS_HZ]
    most, mains_hz = max(found, key=lambda each: each[0])
    return Hum(mains_hz, lufs_of_energy(most)) if most > 0.0 else None


def _apart(starts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of the pauses that do not overlap, from the first on."""
    chosen: list[int] = []
    for start in starts.tolist():
        if not chosen or start >= chosen[-1] + PAUSE_HOPS:
            chosen.append(start)
    return np.array(chosen, np.intp)


def _hum_power(power: NDArray[np.float64], spacing: int) -> float:
    """Power of the harmonics at multiples of so many bins; 0 where fewer than two stand out."""
    harmonics = []
    for bin_ in range(spacing, (_HARMONICS + 1) * spacing, spacing):
        beside = float(np.median(np.r_[power[bin_ - 7 : bin_ - 2], power[bin_ + 3 : bin_ + 8]]))
        line = power[bin_ - 2 : bin_ + 3]
        if line.argmax() in (1, 2, 3) and line.max() > _PROMINENT * beside:
            harmonics.append(float(line.sum()) - 5 * beside)
    return sum(harmonics) if len(harmonics) > 1 else 0.0
