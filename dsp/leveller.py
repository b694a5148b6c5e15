"""A slow leveller for recordings of speech: soft passages up, loud ones down, pauses as what is around them.

The gain is a function of the absolute frame. It follows from the hops in which somebody speaks, of the whole recording,
so it neither lags behind the speech nor rises in a pause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.envelope import Values
from dsp.k_weighting import Energies
from dsp.loudness import energy_of_lufs, hop_frames, loudness_of_energies
from dsp.pauses import Pauses

MOST_DB = 6.0
UNTOUCHED_DB = 1.0  # off the mean: as much is the reader's
_WINDOW_HOPS = 61  # Hann, 6 s: a sentence or two
_SMOOTH_HOPS = 31  # Hann, 3 s: the gain moves by less than 4 dB a second
_SPEECH_LU, _OVER_NOISE_LU = -20.0, 6.0
_LEAST_SHARE = 0.2  # of a window, weighted: with the end of a sentence only, it says little


@dataclass(frozen=True)
class HopCurve:
    """Straight lines between values in the middle of each hop; the first and last value hold outside them.

    Parameters
    ----------
    values : float64 array, shape (hops,)
        At least one.
    hop_frames : int
    """

    values: Values
    hop_frames: int

    def at(self, start: int, stop: int) -> Values:
        """Values of frames `[start, stop)`."""
        return self.at_frames(np.arange(start, stop))

    def at_frames(self, frames: NDArray[np.int64]) -> Values:
        """Values of increasing frames."""
        if not len(frames):
            return np.empty(0)
        first = max(0, int(frames[0]) // self.hop_frames - 1)
        last = int(frames[-1]) // self.hop_frames + 2  # not all: a recording of hours has very many
        values = self.values[min(first, len(self.values) - 1) : max(last, 1)]
        first = min(first, len(self.values) - 1)
        middles = (first + np.arange(len(values)) + 0.5) * self.hop_frames
        return np.interp(frames, middles, values)


def levelling_db(energies: Energies, pauses: Pauses, sample_rate: int) -> HopCurve:
    """The gain in dB that brings speech to its own mean level, within `MOST_DB`.

    Parameters
    ----------
    energies : Energies
        Of the recording.
    pauses : Pauses
        Found in them.
    """
    gains = np.zeros(max(len(energies), 1))
    threshold = pauses.speech_lufs + _SPEECH_LU
    if not np.isnan(pauses.noise_lufs):
        threshold = max(threshold, pauses.noise_lufs + _OVER_NOISE_LU)
    speaks = energies > energy_of_lufs(threshold)
    if speaks.any():
        window = np.hanning(_WINDOW_HOPS + 2)[1:-1]
        weight = _smoothed(speaks.astype(np.float64), window)
        energy = _smoothed(np.where(speaks, energies, 0.0).astype(np.float64), window)
        (known,) = np.nonzero(
            speaks & (weight >= min(_LEAST_SHARE * window.sum(), 0.5 * weight.max()))
        )  # words, far apart
        local_db = loudness_of_energies(energy[known] / weight[known])
        local_db = np.interp(np.arange(len(energies)), known, local_db)
        off_db = float(local_db[speaks].mean()) - local_db
        beyond_db = np.sign(off_db) * np.maximum(np.abs(off_db) - UNTOUCHED_DB, 0.0)
        smooth = np.hanning(_SMOOTH_HOPS + 2)[1:-1]
        padded = np.pad(np.clip(beyond_db, -MOST_DB, MOST_DB), _SMOOTH_HOPS // 2, mode="edge")
        gains = np.convolve(padded, smooth / smooth.sum(), mode="valid")
    return HopCurve(np.round(gains, 3) + 0.0, hop_frames(sample_rate))


def _smoothed(values: Values, window: Values) -> Values:
    """Sum over a window around each value; there is nothing outside."""
    padded = np.pad(values, len(window) // 2)
    return np.maximum(np.convolve(padded, window, mode="valid"), 0.0)
