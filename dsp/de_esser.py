"""A de-esser for recordings of speech: sharp sibilants softer, nothing else.

What is above 5.5 kHz is taken out in part: ``x + (g - 1) * high(x)``, with a high-pass of second order. At a gain of 1
the sound is what it was, bit for bit, and there is no delay.
"""

from __future__ import annotations

import numpy as np

from dsp.block_filter import block_matrices
from dsp.blocks import Block
from dsp.envelope import Values
from dsp.gain_path import LOOK_AHEAD_WINDOWS, GainPath
from dsp.high_pass import butterworth_high_pass

SIBILANTS_HZ = 5500.0
MOST_DB = 6.0
THRESHOLD_LU = -3.0  # under the speech around; sibilants of clean recordings reach it, sharp ones stand above
_SHARE = 0.5  # of what is above the threshold
_TAPS = 64
_ATTACK_WINDOWS, _RELEASE_WINDOWS = 3, 6  # for `MOST_DB`; the attack is before the sibilant


class Sibilants:
    """What is above `SIBILANTS_HZ`, block by block; how the sound is cut into blocks makes no difference.

    A Butterworth high-pass of second order, as in `dsp.high_pass`. Its impulse response is nothing after `_TAPS`
    frames, so it is a product with one matrix.

    Parameters
    ----------
    sample_rate : int
        In Hz; 12 kHz to 96 kHz.
    """

    def __init__(self, sample_rate: int) -> None:
        impulse = block_matrices(butterworth_high_pass(SIBILANTS_HZ, sample_rate), _TAPS).zero_state[0]
        taps = np.concatenate([impulse[::-1], np.zeros(_TAPS)])
        self._matrix = np.stack([np.roll(taps, 1 + shift) for shift in range(_TAPS)], axis=1).astype(np.float32)
        self._before: Block = np.zeros((_TAPS, 2), np.float32)

    def add(self, block: Block) -> Block:
        """Filter the next frames, float32 of shape (frames, 2); returns an array of its own."""
        rows = max(1, -(-len(block) // _TAPS))
        longer = np.zeros((2, (rows + 1) * _TAPS), np.float32)
        longer[:, :_TAPS] = self._before.T
        longer[:, _TAPS : _TAPS + len(block)] = block.T
        self._before = longer[:, len(block) : len(block) + _TAPS].T.copy()
        windows = np.lib.stride_tricks.sliding_window_view(longer, 2 * _TAPS, axis=1)[:, ::_TAPS]
        filtered = (windows.reshape(-1, 2 * _TAPS) @ self._matrix).reshape(2, -1)
        return np.ascontiguousarray(filtered[:, : len(block)].T)


class DeEsser:
    """Turns the levels of what is above `SIBILANTS_HZ` into its gains."""

    def __init__(self) -> None:
        self.path = GainPath(rise_db=MOST_DB / _RELEASE_WINDOWS, fall_db=MOST_DB / _ATTACK_WINDOWS, start_db=0.0)
        self._held = np.zeros(LOOK_AHEAD_WINDOWS)

    def add(self, over_speech_lu: Values) -> Values:
        """Gains in dB that follow from the levels of more windows, over the level of the speech around them."""
        excess = np.maximum(np.round(over_speech_lu, 3) - THRESHOLD_LU, 0.0)
        longer = np.concatenate([self._held, -np.minimum(_SHARE * excess, MOST_DB)])
        self._held = longer[len(longer) - LOOK_AHEAD_WINDOWS :]
        windows = np.lib.stride_tricks.sliding_window_view(longer, LOOK_AHEAD_WINDOWS + 1)
        return self.path.add(windows[:, : _ATTACK_WINDOWS + 1].min(axis=1))  # held until the sibilant itself has come
