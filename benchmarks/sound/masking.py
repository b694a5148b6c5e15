"""An auditory masking model: by how much the coding noise of each moment exceeds what the sound hides.

The parts are those of the first perceptual coders: critical bands (E. Zwicker), spread by Schroeder's function
(M. R. Schroeder, B. S. Atal, J. L. Hall, JASA 66, 1979), less 5.5 dB where the sound is noise and 14.5 dB plus the
band's number where it is a tone (J. D. Johnston, IEEE JSAC 6, 1988), never below the threshold in quiet
(E. Terhardt, Hearing Research 1, 1979). It is no judge of one encoding, but the same for both of two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIGHEST_HZ = 14_000
_WINDOW, _HOP = 2048, 1024
_BATCH = 512  # windows at a time
_FULL_SCALE_DB_SPL = 96.0
_NOISE_OFFSET_DB, _TONE_OFFSET_DB, _TONE_FLATNESS_DB = 5.5, 14.5, -60.0


def noise_to_mask_db(sound: NDArray[np.floating], decoded: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """Ratio of the coding noise to the masking threshold, in the worst Bark band up to `HIGHEST_HZ`.

    Parameters
    ----------
    sound, decoded : arrays, shape (frames, 2)
        Full scale is 1, taken for 96 dB SPL. What differs between them counts as noise.
    rate : int
        In Hz.

    Returns
    -------
    array of float, shape (windows, 2)
        In dB, of each channel, for windows of 2048 frames, half overlapping.
    """
    hz = np.fft.rfftfreq(_WINDOW, 1 / rate)[1:]
    bands = np.floor(_bark(hz)).astype(int)
    used = hz <= HIGHEST_HZ
    starts = np.flatnonzero(np.diff(bands[used], prepend=-1))
    counts = np.diff(np.append(starts, np.count_nonzero(used)))
    spread = _spreading(len(starts))
    offsets_db = _TONE_OFFSET_DB + np.arange(1, len(starts) + 1)
    quiet = np.add.reduceat(10 ** (_quiet_db_spl(hz[used]) / 10), starts) / counts
    window = np.hanning(_WINDOW)
    scale = 10 ** (_FULL_SCALE_DB_SPL / 10) / (np.sum(window) / 2) ** 2
    worst = []
    for first in range(0, len(sound) - _WINDOW + 1, _HOP * _BATCH):
        at = np.arange(first, min(first + _HOP * _BATCH, len(sound) - _WINDOW + 1), _HOP)
        there = at[:, None] + np.arange(_WINDOW)
        powers = []
        for part in (sound[there], decoded[there].astype(np.float64) - sound[there]):
            spectrum = np.fft.rfft(part * window[:, None], axis=1)[:, 1:][:, used]
            powers.append(scale * np.abs(spectrum) ** 2 + 1e-12)
        signal, noise = (np.add.reduceat(power, starts, axis=1) for power in powers)
        logs = np.add.reduceat(10 * np.log10(powers[0]), starts, axis=1) / counts[:, None]
        flatness_db = logs - 10 * np.log10(signal / counts[:, None])
        tonal = np.clip(flatness_db / _TONE_FLATNESS_DB, 0, 1)
        offset_db = tonal * offsets_db[:, None] + (1 - tonal) * _NOISE_OFFSET_DB
        mask = np.einsum("ij,tjc->tic", spread, signal) * 10 ** (-offset_db / 10)
        worst.append((noise / np.maximum(mask, quiet[:, None])).max(axis=1))
    return 10 * np.log10(np.concatenate(worst))


def window_of(frame: int) -> int:
    """The first window that begins at or after a frame."""
    return -(-frame // _HOP)


def _bark(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zwicker and Terhardt, JASA 68, 1980, eq. 1."""
    return 13 * np.arctan(0.00076 * hz) + 3.5 * np.arctan((hz / 7500) ** 2)


def _quiet_db_spl(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    khz = hz / 1000
    return 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


def _spreading(bands: int) -> NDArray[np.float64]:
    """Power that one Bark band's sound contributes to the mask in another, by their distance; each row sums to 1."""
    distance = np.subtract.outer(np.arange(bands), np.arange(bands)) + 0.474
    spread = 10 ** ((15.81 + 7.5 * distance - 17.5 * np.sqrt(1 + distance**2)) / 10)
    return spread / spread.sum(axis=1, keepdims=True)
