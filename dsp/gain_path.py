"""Gains that move by steps of a window and cannot jump: for the noise gate and the de-esser."""

from __future__ import annotations

import numpy as np

from dsp.envelope import Values

WINDOW_S = 0.01
LOOK_AHEAD_WINDOWS = 8  # 80 ms: a word may begin as softly as the noise


class GainPath:
    """Follows targets, each `LOOK_AHEAD_WINDOWS` windows ahead, no faster than it may.

    Parameters
    ----------
    rise_db, fall_db : float
        Most change from one window to the next, up and down.
    start_db : float
        Gain before the first target.
    """

    def __init__(self, *, rise_db: float, fall_db: float, start_db: float) -> None:
        self._rise_db, self._fall_db = rise_db, fall_db
        self._gain_db = start_db
        self._early = LOOK_AHEAD_WINDOWS
        self._edge_db = start_db

    def add(self, targets_db: Values) -> Values:
        """Gains in dB that follow from more targets; the first `LOOK_AHEAD_WINDOWS` of all give none."""
        gains = np.empty(len(targets_db))
        gain, rise, fall = self._gain_db, self._rise_db, self._fall_db
        for number, target in enumerate(targets_db.tolist()):
            gain = min(gain + rise, target) if target > gain else max(gain - fall, target)
            gains[number] = gain
        self._gain_db = gain
        early = min(self._early, len(gains))
        self._early -= early
        if early:
            self._edge_db = float(gains[early - 1])
        return gains[early:]

    def over(self, gains_db: Values, window_frames: int) -> Values | None:
        """Gains in dB of each frame of the next windows, straight lines; None where all of them are 0."""
        if not len(gains_db):
            return None
        before = np.concatenate([[self._edge_db], gains_db[:-1]])
        self._edge_db = float(gains_db[-1])
        if not before.any() and not gains_db.any():
            return None
        ramp = np.arange(1, window_frames + 1) / window_frames
        gains: Values = (before[:, None] + (gains_db - before)[:, None] * ramp).reshape(-1)
        return gains
