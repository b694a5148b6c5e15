"""Noise that is kept while a job is being changed, so that only what is new of it is made."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from dsp.noise import Noise

_MOST: Final = 2  # two versions that are compared, or two layers
_CHUNKS: Final = 192  # 100 MB: those of an estimate of the level are 128, those of 15 s that are heard 12


class KeptNoise:
    """The last few noises with their last chunks. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noises: OrderedDict[Noise, Noise] = OrderedDict()

    def of(self, noise: Noise) -> Noise:
        """The noise that is kept of this one: its samples are the same."""
        with self._lock:
            kept = self._noises.setdefault(noise, replace(noise, kept_chunks=_CHUNKS))
            self._noises.move_to_end(noise)
            if len(self._noises) > _MOST:
                self._noises.popitem(last=False)
            return kept
