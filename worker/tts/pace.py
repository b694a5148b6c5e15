"""How long voices take for their words: measured on what they have spoken, to project what they will take."""

from __future__ import annotations

import contextlib
import hashlib
import math
import unicodedata
from pathlib import Path

from worker.disk_cache import DiskCache
from worker.voices import PROVIDERS

_STARTING_CHARACTERS = 200.0  # the provider's starting pace counts like a measurement of so many
_REMEMBERED_CHARACTERS = 20_000.0  # then older measurements count half, so that a changed voice is followed
_BOOK_BYTES = 4000  # some 200 voices
_PACES_S = (0.005, 2.0)  # seconds per character; anything else is damage, or no speech
_WIDE_CHARACTERS = 3  # a Chinese, Japanese or Korean character is a syllable or two


def spoken_characters(text: str) -> int:
    """Count characters by the time they take to speak: a wide one (Unicode Annex 11) stands for a syllable or more."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + (_WIDE_CHARACTERS - 1) * wide


class PaceBook:
    """Characters and seconds by voice, a small file for each; a lost or damaged file costs exactness, never a job.

    Parameters
    ----------
    folder : Path
        Shared by all processes; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._disk = DiskCache(folder, max_bytes=_BOOK_BYTES)

    def pace_s(self, provider: str, pace_key: str) -> float:
        """Seconds per character at speed 1, from what was measured of a voice and its provider's starting value."""
        characters, seconds = self._read(pace_key)
        start_s = PROVIDERS[provider].starting_pace_s
        return (_STARTING_CHARACTERS * start_s + seconds) / (_STARTING_CHARACTERS + characters)

    def learn(self, pace_key: str, characters: int, seconds: float) -> None:
        """Add how long a voice took for so many characters (`spoken_characters`), brought to speed 1."""
        if not _plausible(characters, seconds):
            return
        before = self._read(pace_key)
        share = 0.5 if before[0] + characters > _REMEMBERED_CHARACTERS else 1.0
        text = f"{share * before[0] + characters:.3f} {share * before[1] + seconds:.3f}"
        self._disk.keep(_name(pace_key), text.encode())

    def _read(self, pace_key: str) -> tuple[float, float]:
        with contextlib.suppress(ValueError):
            characters, seconds = map(float, (self._disk.read(_name(pace_key)) or b"").split())
            if _plausible(characters, seconds):
                return characters, seconds
        return 0.0, 0.0


def _plausible(characters: float, seconds: float) -> bool:
    return characters > 0 and math.isfinite(characters) and _PACES_S[0] <= seconds / characters <= _PACES_S[1]


def _name(pace_key: str) -> str:
    return hashlib.sha256(pace_key.encode()).hexdigest()[:32]
