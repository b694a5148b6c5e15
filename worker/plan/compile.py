"""Compile a job and its recordings into a plan, in frames and linear gain. Pure; reads clips' lengths only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dsp.blocks import Source, db_to_gain
from dsp.envelope import Breakpoints, Constant, Curve, Decibels, Ducking, Fade, Product
from dsp.loudness import rounded_db
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Placed
from worker.errors import JobError, MediaError
from worker.payload.parse import DEFAULT_DURATION_MIN
from worker.payload.schema import SAMPLE_RATE_HZ, GainPoint, RenderJob
from worker.plan.fit import fade_frames, voice_too_long
from worker.plan.recordings import Media, in_frames
from worker.plan.repetitions import Repetition, RepetitionPlan, SpokenSpan, plan_repetitions, repetition_of
from worker.plan.sources import GENERATED, beat, course, music

__all__ = ["Compiled", "SpokenSpan", "compile_plan"]

REFERENCE_LUFS: Final = -16.0  # issue 2: voice and music are brought to this before their gain
SHORTEST_RECORDING_S: Final = 0.1


@dataclass(frozen=True)
class Compiled:
    """A plan and facts about it.

    Attributes
    ----------
    plan : RenderPlan
        The track.
    twin : RenderPlan or None
        The same track for speakers, sharing every source but the beat, when `deliver` asks for both.
    repetitions : int
        Of the voice.
    spoken : tuple of SpokenSpan
        In order of time; for chapters, lyrics and pictures.
    layer_gains_db : mapping
        By layer, the gain on its source, reference correction included; where it has a timeline, at frame 0.
    heard_from : int
        First frame where every layer is heard at its level: the fade-in is over and the voice begins.
    notes : tuple of str
        What was changed, in plain sentences, for the report.
    """

    plan: RenderPlan
    twin: RenderPlan | None
    repetitions: int
    spoken: tuple[SpokenSpan, ...]
    layer_gains_db: Mapping[str, float]
    heard_from: int
    notes: tuple[str, ...]


def compile_plan(job: RenderJob, media: Media) -> Compiled:
    """Turn a job and its decoded recordings into a plan.

    Parameters
    ----------
    job : RenderJob
        From `parse_job`.
    media : Media
        At 44100 Hz. All of it is used: a voice even if the job has no script, music even if the job names none.

    Raises
    ------
    JobError
        If the voice does not fit between the start delay and the fade-out, or there is nothing to hear.
    MediaError
        If a recording is shorter than 0.1 s.
    """
    notes: list[str] = []
    voice = None if media.speech is None else repetition_of(media.speech.parts)
    if voice is not None:
        _check_length(sum(piece.clip.frames for piece in voice.pieces), "voice")
    frames = _track_frames(job, voice)
    fade = _fade(job, frames, notes)
    placed = None if voice is None else _placed(job, voice, fade)
    sources: dict[str, Source] = {}
    if placed is not None:
        sources["voice"] = Placed(placed.clips, placed.starts, placed.which)
    if media.music is not None:
        _check_length(media.music.clip.frames, "music")
        sources["music"] = music(media.music, frames, notes)
    corrections_db = _corrections_db(job, media.loudness_lufs(frames), notes)
    sources |= {name: made for name, make in GENERATED.items() if (made := make(job, frames, notes)) is not None}
    if not sources:
        raise JobError("the job has no layer: there is nothing to hear")
    spoken = () if placed is None else placed.spoken
    layers = []
    gains_db = {}
    for name, source in sources.items():
        gain, gains_db[name] = _gain(job, name, corrections_db.get(name, 0.0))
        if name == "music" and job.ducking is not None and spoken:
            ducking, times_ms = job.ducking, (job.ducking.attack_ms, job.ducking.hold_ms, job.ducking.release_ms)
            times = (in_frames(time_ms / 1000) for time_ms in times_ms)
            gain = Product((gain, Ducking(tuple((span.start, span.stop) for span in spoken), ducking.depth_db, *times)))
        layers.append(Layer(name, source, gain))
    plan = RenderPlan(SAMPLE_RATE_HZ, frames, tuple(layers), fade)
    return Compiled(
        plan=plan,
        twin=_twin(job, plan, notes) if len(job.listenings) > 1 else None,
        repetitions=0 if placed is None else placed.repetitions,
        spoken=spoken,
        layer_gains_db=gains_db,
        heard_from=min(_heard_from(spoken, fade.in_frames), frames - 1),
        notes=tuple(notes),
    )


def _check_length(frames: int, name: str) -> None:
    if frames < in_frames(SHORTEST_RECORDING_S):
        raise MediaError(
            f"{name}: found a recording of {frames} frames ({frames / SAMPLE_RATE_HZ:.6f} s), "
            f"allowed is at least {SHORTEST_RECORDING_S:g} s"
        )


def _track_frames(job: RenderJob, voice: Repetition | None) -> int:
    if job.duration_min is not None or voice is None:
        return in_frames((job.duration_min or DEFAULT_DURATION_MIN) * 60)
    return _first_word(job) + voice.frames + in_frames(job.fade.out_ms / 1000)


def _first_word(job: RenderJob) -> int:
    """Where the first repetition begins."""
    return in_frames(job.fade.in_ms / 1000 if job.start_delay_s is None else job.start_delay_s)


def _fade(job: RenderJob, frames: int, notes: list[str]) -> Fade:
    fade_in, fade_out = fade_frames(job, frames)
    if (fade_in, fade_out) != (in_frames(job.fade.in_ms / 1000), in_frames(job.fade.out_ms / 1000)):
        notes.append(
            f"The fades are longer than the track and were shortened to {fade_in / SAMPLE_RATE_HZ:.2f} s "
            f"and {fade_out / SAMPLE_RATE_HZ:.2f} s."
        )
    return Fade(frames, fade_in, fade_out)


def _placed(job: RenderJob, voice: Repetition, fade: Fade) -> RepetitionPlan:
    placed = plan_repetitions(voice, job, first=_first_word(job), until=fade.frames - fade.out_frames)
    if placed.repetitions == 0:
        raise voice_too_long(job, voice.words_stop)
    return placed


def _corrections_db(job: RenderJob, loudness_lufs: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    """The dB that bring each recording to the reference loudness."""
    corrections_db = {}
    for name, lufs in loudness_lufs.items():
        if not math.isfinite(lufs):
            notes.append(f"The {name} is silent, so its level was left as it is.")
        elif job.gains.reference == "normalized":
            corrections_db[name] = rounded_db(REFERENCE_LUFS - lufs)
    return corrections_db


def _gain(job: RenderJob, name: str, correction_db: float) -> tuple[Curve, float]:
    """The gain of a layer, and its dB at frame 0."""
    points: tuple[GainPoint, ...] = getattr(job.gains.timeline, name)
    gain_db = course(((point.at_min, point.db + correction_db) for point in points), job.gain_db(name) + correction_db)
    if isinstance(gain_db, Breakpoints):
        return Decibels(gain_db), float(gain_db.values[0])
    return Constant(db_to_gain(gain_db)), gain_db


def _twin(job: RenderJob, plan: RenderPlan, notes: list[str]) -> RenderPlan | None:
    if job.binaural is None or job.binaural.mode != "binaural":
        notes.append("The track has no binaural beat, so the one for headphones serves speakers as well.")
        return None
    source = beat(job.binaural, for_speakers=True)
    layers = (replace(layer, source=source) if layer.name == "binaural" else layer for layer in plan.layers)
    return replace(plan, layers=tuple(layers))


def _heard_from(spoken: Sequence[SpokenSpan], fade_in_frames: int) -> int:
    if not spoken:
        return fade_in_frames
    return next((span.start for span in spoken if span.start >= fade_in_frames), spoken[0].start)
