"""How long voices take for their words: measured on what they have spoken, to foretell what they will take."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STARTING_PACE_S: Final[Mapping[str, float]] = {"openai": 0.066, "elevenlabs": 0.068, "local": 0.072}
"""Seconds a character at speed 1, of a voice that has not been measured yet."""

_STARTING_CHARACTERS = 200.0  # the starting pace counts as if it had been measured on so many
_REMEMBERED_CHARACTERS = 20_000.0  # of a voice; then older measurements count half, so that a changed voice is followed
_MOST_VOICES = 200
_LARGEST_FILE_BYTES = 200_000
_PACES_S = (0.005, 2.0)  # seconds a character; what is beyond is damage, or no speech
_LOCK_TRIES, _LOCK_WAIT_S = 20, 0.02
_WIDE_CHARACTERS = 3  # a Chinese, Japanese or Korean sign is a syllable or two


def spoken_characters(text: str) -> int:
    """Count characters as they take time to speak: a wide one (Unicode Annex 11) stands for a syllable or more."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + (_WIDE_CHARACTERS - 1) * wide


@dataclass(frozen=True)
class PaceBook:
    """Characters and seconds by voice, in one small file beside the speech cache, shared by all processes.

    A file that is missing, damaged or locked for long costs exactness, never a job.

    Parameters
    ----------
    file : Path
        JSON; written whole or not at all.
    """

    file: Path

    def pace_s(self, provider: str, pace_key: str) -> float:
        """Seconds a character at speed 1, from what was measured and the provider's starting value.

        Parameters
        ----------
        provider : str
            A key of `STARTING_PACE_S`.
        pace_key : str
            Of the voice.
        """
        characters, seconds = self._read().get(_name(pace_key), (0.0, 0.0))
        start_s = STARTING_PACE_S[provider]
        return (_STARTING_CHARACTERS * start_s + seconds) / (_STARTING_CHARACTERS + characters)

    def learn(self, pace_key: str, characters: int, seconds: float) -> None:
        """Add a measurement.

        Parameters
        ----------
        pace_key : str
            Of the voice.
        characters : int
            Spoken, by `spoken_characters`.
        seconds : float
            They took, brought to speed 1.
        """
        if characters <= 0 or not _plausible(characters, seconds):
            return
        with contextlib.suppress(OSError), self._locked():
            voices = self._read()
            name = _name(pace_key)
            before = voices.pop(name, (0.0, 0.0))
            share = 0.5 if before[0] + characters > _REMEMBERED_CHARACTERS else 1.0
            # the latest comes last, and the first are forgotten
            voices[name] = (share * before[0] + characters, share * before[1] + seconds)
            kept = dict(list(voices.items())[-_MOST_VOICES:])
            temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}.part")
            try:
                temporary.write_text(json.dumps({key: [round(n, 3) for n in pair] for key, pair in kept.items()}))
                temporary.replace(self.file)
            finally:
                temporary.unlink(missing_ok=True)

    def _read(self) -> dict[str, tuple[float, float]]:
        try:
            with self.file.open("rb") as file:
                loaded = json.loads(file.read(_LARGEST_FILE_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(loaded, dict):
            return {}
        voices = {}
        for name, pair in loaded.items():
            if isinstance(pair, list) and len(pair) == 2 and all(type(number) in (int, float) for number in pair):
                characters, seconds = float(pair[0]), float(pair[1])
                if _plausible(characters, seconds):
                    voices[str(name)] = (characters, seconds)
        return voices

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file; OSError when another process does not let go of it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_name(f".{self.file.name}.lock").open("a") as lock:
            for left in reversed(range(_LOCK_TRIES)):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not left:
                        raise
                    time.sleep(_LOCK_WAIT_S)
            yield


def _plausible(characters: float, seconds: float) -> bool:
    return (
        math.isfinite(characters)
        and math.isfinite(seconds)
        and characters > 0
        and _PACES_S[0] <= seconds / characters <= _PACES_S[1]
    )


def _name(pace_key: str) -> str:
    return hashlib.sha256(pace_key.encode()).hexdigest()[:32]
