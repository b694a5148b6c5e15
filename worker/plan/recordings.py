"""The decoded recordings that a plan is compiled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsp.blocks import Clip
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.payload.script import Pause
from worker.payload.short_form import MUSIC, VOICE


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
    """A piece of music or a recording, and the loudness integrated over the whole clip; -inf when it is silent.

    Where its layer is longer, it loops, unless it is heard `once`; as a whole where no `loop` says which part.
    """

    clip: Clip
    loudness_lufs: float
    loop: Loop | None = None
    once: bool = False

    def loop_in(self, frames: int) -> Loop | None:
        """The part that is repeated in a layer of so many frames; None where the layer has the piece once, or whole."""
        if self.loop is None:
            return None
        enough = self.loop.stop if self.loop.stated else self.clip.frames
        return self.loop if enough < frames else None


@dataclass(frozen=True)
class Media:
    """All recordings of a job: of its own fields, None where it has none; by name those of its list of layers."""

    speech: Speech | None = None
    music: Music | None = None
    listed: Mapping[str, Speech | Music] = field(default_factory=dict)

    @property
    def short(self) -> tuple[str, ...]:
        """Names of the layers of the job's own fields that have a recording."""
        return tuple(name for name, found in ((VOICE, self.speech), (MUSIC, self.music)) if found is not None)

    def speech_of(self, layer: str) -> Speech | None:
        """The speech of a layer."""
        found = self.speech if layer == VOICE and self.speech is not None else self.listed.get(layer)
        return found if isinstance(found, Speech) else None

    def music_of(self, layer: str) -> Music | None:
        """The music or the recording of a layer."""
        found = self.music if layer == MUSIC and self.music is not None else self.listed.get(layer)
        return found if isinstance(found, Music) else None
