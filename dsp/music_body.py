"""The body of a piece of music: what is left without the silence at its ends, its fade-in and its fade-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dsp.k_weighting import Energies
from dsp.loudness import ABSOLUTE_GATE_LUFS, GATING_BLOCK_HOPS, SHORT_TERM_HOPS, loudness_range_lufs, windows_lufs

_BELOW_LU: Final = 1.0  # under the piece's own softest tenth: here a fade begins
_SHARE: Final = 8
_FADE_HOPS: Final = 5  # of sound that was cut off at an end: it was a fade
_AHEAD_HOPS: Final = 30
_LOUDER_LU: Final = 0.3


@dataclass(frozen=True)
class MusicBody:
    """Parts of a piece, in hops of the loudness meter.

    Attributes
    ----------
    sound_start, sound_stop : int
        Without the silence at the ends.
    start, stop : int
        The body.
    """

    sound_start: int
    sound_stop: int
    start: int
    stop: int


def find_body(energies: Energies) -> MusicBody | None:
    """Find the body of a piece; None for silence.

    The ends are cut back until each of them is as loud as the softest tenth of what is left (EBU Tech 3342's lower
    percentile, less 1 LU): over 3 s, then over 0.4 s, then over 0.1 s. Where sound was cut off, they are cut back on to
    where it gets no louder any more. So a fade of any length goes, and soft passages of the music stay. Levels are
    rounded to tenths, so that every machine finds the same.

    Parameters
    ----------
    energies : float32 array, shape (hops,)
        Of the whole piece, as of `dsp.loudness.Measurement`.
    """
    sounds = np.flatnonzero(windows_lufs(energies, 1) > ABSOLUTE_GATE_LUFS) if len(energies) else np.empty(0, np.intp)
    if not len(sounds):
        return None
    start, stop = sound_start, sound_stop = int(sounds[0]), int(sounds[-1]) + 1
    for hops in (SHORT_TERM_HOPS, GATING_BLOCK_HOPS, 1):
        start, stop = _cut_back(energies, start, stop, min(hops, window_hops(stop - start)))
    levels = np.round(windows_lufs(energies[start:stop], window_hops(stop - start)), 1)
    if stop <= sound_stop - _FADE_HOPS:
        stop -= _rising_hops(levels[::-1])
    if start >= sound_start + _FADE_HOPS:
        start += min(_rising_hops(levels), stop - start - 1)
    return MusicBody(sound_start, sound_stop, start, stop)


def _rising_hops(levels: NDArray[np.float64]) -> int:
    """For how many hops levels rise at first: until 3 s bring nothing louder; at most half of them."""
    hops = 0
    while hops < len(levels) // 2:
        ahead = levels[hops + 1 : hops + 1 + _AHEAD_HOPS]
        if not len(ahead) or ahead.max() < levels[hops] + _LOUDER_LU:
            break
        hops += 1 + int(ahead.argmax())
    return hops


def window_hops(length: int) -> int:
    """Hops over which loudness within so many hops of music is judged: 3 s, less where that is over an eighth."""
    return max(1, min(SHORT_TERM_HOPS, length // _SHARE))


def _cut_back(energies: Energies, start: int, stop: int, window: int) -> tuple[int, int]:
    """Cut both ends back to where windows are loud enough, until that changes nothing more."""
    levels = np.round(windows_lufs(energies, window), 1)
    while True:
        inside = levels[start : stop - window + 1]
        low, _ = loudness_range_lufs(inside)
        (loud,) = np.nonzero(inside >= low - _BELOW_LU)
        first, last = start + int(loud[0]), start + int(loud[-1]) + window
        if (first, last) == (start, stop):
            return start, stop
        start, stop = first, last
