"""The formats of a track, in one place: bit rates, and how the decoded sound differs from the PCM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from worker.formats import FORMATS, FormatName, Quality

_LAME_SCALES = {128: 0.95, 192: 0.97}  # LAME's presets.c, abr_switch_map; the same in LAME 3.100 and 4.1

# How far a codec lets the peaks of a dense programme rise, in dB: benchmarks/codec.py measures it. A lossless file
# keeps them, but for the last rounding.
_LOSSLESS_HEADROOM_DB = 0.05
_HEADROOM_DB = {("mp3", 320): 0.4, ("mp3", 192): 0.8, ("mp3", 128): 1.5}
_WORST_HEADROOM_DB = 1.6


@dataclass(frozen=True)
class Encoding:
    """A format and, where it is lossy, its bit rate."""

    format: FormatName
    bitrate_kbps: int | None = None

    @property
    def level_change_db(self) -> float:
        """By how much the decoded file is louder than the PCM in the encoder's pass band.

        LAME scales its input at some bit rates, whatever the sound. What a codec's low-pass and coding take away
        besides depends on the sound.
        """
        return 20 * math.log10(_LAME_SCALES.get(self.bitrate_kbps or 0, 1.0)) if self.format == "mp3" else 0.0

    @property
    def headroom_db(self) -> float:
        """How far below the highest true peak the limiter's ceiling has to be at first."""
        if not FORMATS[self.format].lossy:
            return _LOSSLESS_HEADROOM_DB
        return _HEADROOM_DB.get((self.format, self.kbps), _WORST_HEADROOM_DB)

    @property
    def kbps(self) -> int:
        """Bit rate of a lossy format: the one that was asked for, else that of medium quality."""
        return self.bitrate_kbps or FORMATS["mp3"].kbps["medium"]

    @classmethod
    def for_quality(cls, format: FormatName, quality: Quality) -> Self:
        """Choose the bit rate of a quality: 128, 192 or 320 kbit/s; none for lossless formats."""
        return cls(format, FORMATS[format].kbps.get(quality))
