"""The bands of a beat: a name stands for a frequency where none is stated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Contract, "binaural.band".
BAND_BEAT_HZ: Final[Mapping[str, float]] = MappingProxyType(
    {"delta": 2.0, "theta": 6.0, "alpha": 10.0, "beta": 20.0, "gamma": 40.0}
)
