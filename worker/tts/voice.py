"""The protocol of all voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Utterance:
    """One piece to speak.

    Attributes
    ----------
    text : str
        No longer than the voice's `limit_characters`.
    previous, following : str
        The text before and after it, for voices that continue their intonation; may be empty.
    take : int
        Which recording of it, from 1. A service speaks anew each time; a voice that always speaks alike must vary.
    """

    text: str
    previous: str = ""
    following: str = ""
    take: int = 1


class Voice(Protocol):
    """A speech synthesiser."""

    @property
    def provider(self) -> str:
        """openai, elevenlabs or local."""

    @property
    def limit_characters(self) -> int:
        """Longest piece it speaks at once; 0 for a voice that is given one sentence at a time."""

    @property
    def fingerprint(self) -> str:
        """Everything but the text that decides how it sounds: the cache's key is made of it."""

    @property
    def speed(self) -> float:
        """The pace that the job wants; 1.0 is the voice's own."""

    @property
    def tempo(self) -> float:
        """How many times as fast its speech must still be made to reach `speed`; 1.0 where it speaks at that speed."""

    @property
    def pace_key(self) -> str:
        """Everything but speed and text that decides how long its words take."""

    @property
    def uses_context(self) -> bool:
        """Whether the text before and after changes how a piece sounds."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be changed of what the job asked for, in plain sentences."""

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write the spoken piece to a file that FFmpeg can read.

        Raises
        ------
        JobError
            If this text or voice id is refused.
        ConfigurationError
            If a key or program is missing or refused.
        TransientError
            If it may work later.
        """

    def close(self) -> None:
        """Close connections and end processes."""
