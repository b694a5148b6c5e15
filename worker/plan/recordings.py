"""The decoded recordings that a plan is compiled from."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.blocks import Clip
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.payload.script import Pause


def in_frames(seconds: float) -> int:
    """A time as a whole number of frames, at the one sample rate of every track."""
    return round(seconds * SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class Spoken:
    """One synthesised or recorded piece of speech: its text, empty for an uploaded recording, and its clip."""

    text: str
    clip: Clip


@dataclass(frozen=True)
class Speech:
    """One repetition of the voice: pieces laid end to end, with exact silences between them.

    The loudness is integrated over all pieces together; -inf when they are silent.
    """

    parts: tuple[Spoken | Pause, ...]
    loudness_lufs: float


@dataclass(frozen=True)
class Loop:
    """The part of a piece of music that is repeated in a longer track.

    Attributes
    ----------
    start, stop, crossfade_frames, likeness
        Of `dsp.recorded.Looped`.
    loudness_lufs : float
        Integrated over the part.
    stated : bool
        By the job: then the music loops in every track that is longer than `stop`, though the piece may go on.
    note : str
        What of the piece is left out, for the report; empty where nothing is.
    """

    start: int
    stop: int
    crossfade_frames: int
    likeness: float
    loudness_lufs: float
    stated: bool = False
    note: str = ""


@dataclass(frozen=True)
class Music:
    """The music bed, and the loudness integrated over the whole clip; -inf when it is silent.

    Where the track is longer, it loops; as a whole where no `loop` says which part.
    """

    clip: Clip
    loudness_lufs: float
    loop: Loop | None = None

    def loop_in(self, frames: int) -> Loop | None:
        """The part that is repeated in a track of so many frames; None where the track has the piece once, or whole."""
        if self.loop is None:
            return None
        enough = self.loop.stop if self.loop.stated else self.clip.frames
        return self.loop if enough < frames else None


@dataclass(frozen=True)
class Media:
    """All recordings of a job; None where it has none."""

    speech: Speech | None = None
    music: Music | None = None

    def loudness_lufs(self, frames: int) -> dict[str, float]:
        """Loudness of each recording by layer, of looped music that of the loop, in a track of so many frames."""
        loudness = {} if self.speech is None else {"voice": self.speech.loudness_lufs}
        if self.music is not None:
            loudness["music"] = (self.music.loop_in(frames) or self.music).loudness_lufs
        return loudness
