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
class Music:
    """The music bed, and the loudness integrated over the whole clip; -inf when it is silent."""

    clip: Clip
    loudness_lufs: float


@dataclass(frozen=True)
class Media:
    """All recordings of a job; None where it has none."""

    speech: Speech | None = None
    music: Music | None = None
