"""Job and media in, plan out: seconds and decibels stop here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsp.plan import RenderPlan

from worker.job import RenderJob
from worker.media import Media

SAMPLE_RATE_HZ = 44_100


@dataclass(frozen=True)
class SpokenSpan:
    """One piece of speech where it is heard, in frames of the track."""

    text: str
    start: int
    stop: int
    repetition: int


@dataclass(frozen=True)
class Compiled:
    """A plan and the facts that came of making it.

    Attributes
    ----------
    plan : RenderPlan
        The track.
    twin : RenderPlan or None
        The track for speakers, of the same sources but for the beat, when `deliver` asks for both.
    repetitions : int
        Of the voice.
    spoken : tuple of SpokenSpan
        In order of time; for chapters, lyrics and ducking.
    layer_gains_db : mapping
        By layer, the gain applied to its source, reference correction included; where it has a
        timeline, at frame 0.
    heard_from : int
        First frame where every layer is heard at its level: the fade-in is over and the voice speaks.
    notes : tuple of str
        Plain sentences for the report.
    """

    plan: RenderPlan
    twin: RenderPlan | None
    repetitions: int
    spoken: tuple[SpokenSpan, ...]
    layer_gains_db: Mapping[str, float]
    heard_from: int
    notes: tuple[str, ...]


def compile_plan(job: RenderJob, media: Media) -> Compiled:
    raise NotImplementedError
