"""Clipping: how flat the top of a waveform is, and how much of it is at full scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUIETEST_SHARE = 0.02  # of the peak: what is softer does not count in the amplitude's distribution
_LOUDEST_SHARE = 0.005
_FULL_SCALE = 0.97
_AMPLITUDES = (np.arange(0x4400, dtype=np.uint32) << 16).view(np.float32)  # 128 to an octave, up to 512


class AmplitudeMeter:
    """Accumulator of how often each amplitude occurs."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_AMPLITUDES))

    def add(self, amplitudes: NDArray[np.float32]) -> None:
        """Count amplitudes, not negative, shape (frames,)."""
        limited = np.minimum(amplitudes, _AMPLITUDES[-1])
        self._counts += np.bincount(limited.view(np.uint32) >> 16, minlength=len(_AMPLITUDES))

    def result(self) -> tuple[float, float]:
        """`plateau` and `full_scale_share`, as of `dsp.speech_figures.SpeechFigures`; needs one amplitude above 0."""
        peak = _AMPLITUDES[np.flatnonzero(self._counts)[-1]]
        counts = np.where(_QUIETEST_SHARE * peak < _AMPLITUDES, self._counts, 0.0)
        above = np.cumsum(counts[::-1])[::-1]  # by amplitude: the samples that have it or more
        loudest = _AMPLITUDES[np.flatnonzero(above >= _LOUDEST_SHARE * above[0])[-1]]

        def share(amplitude: float, of: float) -> float:
            return float(above[np.searchsorted(_AMPLITUDES, amplitude)] / of) if of else 0.0

        half = float(above[np.searchsorted(_AMPLITUDES, 0.5 * loudest)])
        return share(0.9 * loudest, half), share(_FULL_SCALE, float(above[0]))
