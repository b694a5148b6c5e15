"""What all voices are."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from worker.tts.places import Places


@dataclass(frozen=True)
class Utterance:
    """One piece of speech to make, no longer than the voice's `limit_characters`.

    The text before and after it, which may be empty, is for voices that continue their intonation. `take` says which
    recording of it is wanted, from 1: a service speaks anew each time, a voice that always speaks alike must vary.
    """

    text: str
    previous: str = ""
    following: str = ""
    take: int = 1


class Voice(Protocol):
    """A speech synthesiser, used from several threads at once.

    Attributes
    ----------
    provider : str
        A key of `worker.voices.PROVIDERS`.
    fingerprint : str
        Everything but the text that decides how it sounds: the cache's key is made of it.
    pace_key : str
        Everything but speed and text that decides how long its words take.
    limit_characters : int
        Longest piece it speaks at once; a longer sentence is cut. 0 where there is no limit.
    speed : float
        The pace that the job wants; 1.0 is the voice's own.
    tempo : float
        How many times as fast its speech must still be made to reach `speed`; 1.0 where it speaks at that speed.
    uses_context : bool
        Whether the text before and after changes how a piece sounds.
    takes_directions : bool
        Whether it performs directions such as ``[whispers]`` in its text, and does not read them.
    notes : tuple of str
        What had to be changed of what the job asked for, in plain sentences.
    """

    provider: str
    fingerprint: str
    pace_key: str
    limit_characters: int = 0
    speed: float = 1.0
    tempo: float = 1.0
    uses_context: bool = False
    takes_directions: bool = False
    notes: tuple[str, ...] = ()

    @abstractmethod
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

    def use_places(self, places: Places) -> None:
        """Share the places of all workers; a voice without a service needs none."""
        del places

    @abstractmethod
    def stop(self) -> None:
        """Try no failed request again: the script cannot be spoken any more."""

    @abstractmethod
    def close(self) -> None:
        """Close connections and end processes."""
