"""A noise gate for recordings of speech: the noise of pauses lower by 12 dB, and no end of a word cut.

It opens 80 ms before a sound, stays open for 0.25 s after the last one, and closes over 0.35 s.
"""

from __future__ import annotations

import numpy as np

from dsp.envelope import Values
from dsp.gain_path import LOOK_AHEAD_WINDOWS, WINDOW_S, GainPath
from dsp.k_weighting import Energies
from dsp.loudness import loudness_of_energies
from dsp.pauses import Pauses

RANGE_DB = 12.0
HOLD_S = 0.25
CLOSE_S = 0.35
_OPEN_LU, _CLOSE_LU = 6.0, 4.0  # over the noise
_OPEN_WINDOWS = 3
_SMOOTH_WINDOWS = 5  # 50 ms: less of low-pitched noise has peaks of its own
LEAST_LU, MOST_LU = 22.0, 65.0  # of the speech over the noise: below, words end in it; above, nobody hears it


class NoiseGate:
    """Turns the levels of windows into gains; a noise that is not known, or that it cannot part, it leaves alone.

    Parameters
    ----------
    pauses : Pauses
        Of the recording.
    """

    def __init__(self, pauses: Pauses) -> None:
        self.works = LEAST_LU <= -pauses.noise_lu <= MOST_LU  # false for NaN
        self._open_lufs, self._close_lufs = pauses.noise_lufs + _OPEN_LU, pauses.noise_lufs + _CLOSE_LU
        self._hold_windows = round(HOLD_S / WINDOW_S) + LOOK_AHEAD_WINDOWS
        self._left = 0  # windows for which it stays open; 0: closed
        self._before = np.zeros(_SMOOTH_WINDOWS - 1)
        self.path = GainPath(
            rise_db=RANGE_DB / _OPEN_WINDOWS, fall_db=RANGE_DB * WINDOW_S / CLOSE_S, start_db=-RANGE_DB
        )

    def add(self, energies: Energies) -> Values:
        """Gains in dB that follow from K-weighted mean squares of more windows, both channels summed."""
        if not self.works:
            return self.path.add(np.zeros(len(energies)))
        longer = np.concatenate([self._before, energies])
        self._before = longer[len(longer) - len(self._before) :]
        smooth = np.lib.stride_tricks.sliding_window_view(longer, _SMOOTH_WINDOWS).mean(axis=1, dtype=np.float64)
        levels = np.round(loudness_of_energies(smooth), 3)
        return self.path.add(np.array([0.0 if self._is_open(level) else -RANGE_DB for level in levels.tolist()]))

    def _is_open(self, level: float) -> bool:
        if level > self._open_lufs or (self._left and level > self._close_lufs):
            self._left = self._hold_windows
        elif self._left:
            self._left -= 1
        return self._left > 0
