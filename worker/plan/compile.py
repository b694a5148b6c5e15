"""Compile a job and its recordings into a plan, in frames and linear gain. Pure; reads clips' lengths only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import Final

from dsp.blocks import Clip, Source, db_to_gain
from dsp.envelope import Breakpoints, Constant, Curve, Decibels, Ducking, Fade, Product
from dsp.loudness import rounded_db
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.errors import JobError, MediaError
from worker.payload.parse import DEFAULT_DURATION_MIN, RenderJob
from worker.payload.schema import SAMPLE_RATE_HZ, GainPoint, Solfeggio
from worker.payload.schema import Binaural as BinauralField
from worker.payload.schema import Ducking as DuckingField
from worker.plan.fit import fade_frames, voice_too_long
from worker.plan.recordings import Media, Speech
from worker.plan.repetitions import RepetitionPlan, Schedule, SpokenSpan, Utterance, derived_seed, schedule, utterance

__all__ = ["Compiled", "SpokenSpan", "compile_plan"]

REFERENCE_LUFS: Final = -16.0  # issue 2: voice and music are brought to this before their gain
LOOP_CROSSFADE_S: Final = 2.0
SHORTEST_RECORDING_S: Final = 0.1

Moving = float | Breakpoints
BEATS: Final[Mapping[str, Callable[[Moving, Moving, int], Source]]] = {
    "binaural": Binaural,
    "monaural": Monaural,
    "isochronic": Isochronic,
}


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

    Returns
    -------
    compiled : Compiled

    Raises
    ------
    JobError
        If the voice does not fit between the start delay and the fade-out, or there is nothing to hear.
    MediaError
        If a recording is shorter than 0.1 s.
    """
    notes: list[str] = []
    voice = None if media.speech is None else _usable(media.speech)
    frames = _track_frames(job, voice)
    fade = _fade(job, frames, notes)
    placed = None if voice is None else _placed(job, voice, fade)
    sources, corrections_db = _recorded(job, media, placed, frames, notes)
    sources.update(_generated(job, frames, notes))
    if not sources:
        raise JobError("the job has no layer: there is nothing to hear")
    spoken = () if placed is None else placed.spoken
    layers = []
    gains_db = {}
    for name, source in sources.items():
        gain, gains_db[name] = _gain(job, name, corrections_db.get(name, 0.0))
        if name == "music" and job.ducking is not None and spoken:
            gain = Product((gain, _ducking(job.ducking, spoken)))
        layers.append(Layer(name, source, gain))
    plan = RenderPlan(SAMPLE_RATE_HZ, frames, tuple(layers), fade)
    return Compiled(
        plan=plan,
        twin=_twin(job, plan, notes) if {"headphones", "speakers"} <= set(job.deliver) else None,
        repetitions=0 if placed is None else placed.repetitions,
        spoken=spoken,
        layer_gains_db=gains_db,
        heard_from=min(_heard_from(spoken, fade.in_frames), frames - 1),
        notes=tuple(notes),
    )


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _check_length(clip_frames: int, name: str) -> None:
    if clip_frames < _frames(SHORTEST_RECORDING_S):
        raise MediaError(
            f"{name}: found a recording of {clip_frames} frames ({clip_frames / SAMPLE_RATE_HZ:.6f} s), "
            f"allowed is at least {SHORTEST_RECORDING_S:g} s"
        )


def _usable(speech: Speech) -> Utterance:
    voice = utterance(speech, SAMPLE_RATE_HZ)
    _check_length(sum(piece.clip.frames for piece in voice.pieces), "voice")
    return voice


def _track_frames(job: RenderJob, voice: Utterance | None) -> int:
    if job.duration_min is not None:
        return _frames(job.duration_min * 60)
    if voice is None:
        return _frames(DEFAULT_DURATION_MIN * 60)
    return _first_word(job) + voice.frames + _frames(job.fade.out_ms / 1000)


def _first_word(job: RenderJob) -> int:
    """Where the first repetition begins."""
    return _frames(job.fade.in_ms / 1000 if job.start_delay_s is None else job.start_delay_s)


def _fade(job: RenderJob, frames: int, notes: list[str]) -> Fade:
    fade_in, fade_out = fade_frames(job, frames)
    if (fade_in, fade_out) != (_frames(job.fade.in_ms / 1000), _frames(job.fade.out_ms / 1000)):
        notes.append(
            f"The fades are longer than the track and were shortened to {fade_in / SAMPLE_RATE_HZ:.2f} s "
            f"and {fade_out / SAMPLE_RATE_HZ:.2f} s."
        )
    return Fade(frames, fade_in, fade_out)


def _placed(job: RenderJob, voice: Utterance, fade: Fade) -> Schedule:
    repetition_plan = RepetitionPlan(
        first=_first_word(job),
        until=fade.frames - fade.out_frames,
        mode="once" if job.duration_min is None else job.loop_mode,
        pause=_frames(job.pause_s),
        interval=_frames(job.interval_s),
        jitter=_frames(job.pause_jitter_s),
        shuffle=job.voice.shuffle,
        seed=job.seed or 0,
    )
    placed = schedule(voice, repetition_plan)
    if placed.repetitions == 0:
        raise voice_too_long(job, voice.words_stop)
    return placed


def _recorded(
    job: RenderJob, media: Media, placed: Schedule | None, frames: int, notes: list[str]
) -> tuple[dict[str, Source], dict[str, float]]:
    """Sources of the recorded layers, and the dB that bring each to the reference loudness."""
    sources: dict[str, Source] = {}
    loudness_lufs: dict[str, float] = {}
    if placed is not None and media.speech is not None:
        sources["voice"] = Placed(placed.clips, placed.starts, placed.which)
        loudness_lufs["voice"] = media.speech.loudness_lufs
    if media.music is not None:
        sources["music"] = _music(media.music.clip, frames)
        loudness_lufs["music"] = media.music.loudness_lufs
    corrections_db = {}
    for name, lufs in loudness_lufs.items():
        if not math.isfinite(lufs):
            notes.append(f"The {name} is silent, so its level was left as it is.")
        elif job.gains.reference == "normalized":
            corrections_db[name] = rounded_db(REFERENCE_LUFS - lufs)
    return sources, corrections_db


def _music(clip: Clip, frames: int) -> Source:
    _check_length(clip.frames, "music")
    if clip.frames >= frames:
        return Placed((clip,), (0,), (0,))
    return Looped(clip, min(_frames(LOOP_CROSSFADE_S), clip.frames // 4))


def _generated(job: RenderJob, frames: int, notes: list[str]) -> dict[str, Source]:
    """Sources of the layers that need no recording."""
    sources: dict[str, Source] = {}
    if job.solfeggio is not None:
        sources["solfeggio"] = _solfeggio(job.solfeggio, frames, notes)
    if job.binaural is not None:
        sources["binaural"] = _beat(job.binaural, for_speakers="headphones" not in job.deliver)
    if job.carrier_type != "none":
        sources["noise"] = Noise(job.carrier_type, derived_seed(job.seed or 0, "noise"), SAMPLE_RATE_HZ)
    return sources


def _solfeggio(field: Solfeggio, frames: int, notes: list[str]) -> Source:
    tones = field.tones
    if len({tone.hz for tone in tones}) == 1:
        return Tone(tones[0].hz, SAMPLE_RATE_HZ, field.wave)
    stated = [None if tone.minutes is None else _frames(tone.minutes * 60) for tone in tones]
    shares = stated.count(None)
    share = max(frames - sum(length or 0 for length in stated), 0) // max(shares, 1)
    lengths = [share if length is None else length for length in stated]
    starts = accumulate(lengths[:-1], initial=0)
    placed = [
        (tone.hz, start)
        for tone, start, length in zip(tones, starts, lengths, strict=True)
        if start < frames and length
    ]
    if len(placed) < len(tones):
        notes.append("The track is too short for all tones of solfeggio.sequence.")
    # a tone followed by itself is one tone: crossfaded with itself it would swell by 3 dB
    merged = [next(group) for _, group in groupby(placed, key=lambda tone: tone[0])]
    tones_hz, tone_starts = zip(*merged, strict=True)
    shortest = min((after - before for before, after in pairwise(tone_starts)), default=frames)
    crossfade = min(_frames(field.crossfade_s), shortest)
    return ToneSequence(tones_hz, tone_starts, crossfade, SAMPLE_RATE_HZ, field.wave)


def _beat(field: BinauralField, *, for_speakers: bool) -> Source:
    mode = field.speakers_mode if for_speakers and field.mode == "binaural" else field.mode
    beats = [(point.at_min, point.beat_hz) for point in field.timeline if point.beat_hz is not None]
    carriers = [(point.at_min, point.carrier_hz) for point in field.timeline if point.carrier_hz is not None]
    make = BEATS[mode]
    return make(_course(carriers, field.carrier_hz), _course(beats, field.beat_hz), SAMPLE_RATE_HZ)


def _course(points: Sequence[tuple[float, float]], steady: float) -> Moving:
    """Straight lines through points in minutes; a plain number where nothing moves."""
    by_frame = {_frames(at_min * 60): value for at_min, value in points}  # of two points on one frame the later counts
    values = tuple(by_frame.values())
    if len(set(values)) <= 1:
        return values[0] if values else steady
    return Breakpoints(tuple(by_frame), values)


def _gain(job: RenderJob, name: str, correction_db: float) -> tuple[Curve, float]:
    """The gain of a layer, and its dB at frame 0."""
    points: tuple[GainPoint, ...] = getattr(job.gains.timeline, name)
    course = _course([(point.at_min, point.db + correction_db) for point in points], job.gain_db(name) + correction_db)
    if isinstance(course, Breakpoints):
        return Decibels(course), float(course.values[0])
    return Constant(db_to_gain(course)), course


def _ducking(field: DuckingField, spoken: Sequence[SpokenSpan]) -> Ducking:
    return Ducking(
        tuple((span.start, span.stop) for span in spoken),
        field.depth_db,
        _frames(field.attack_ms / 1000),
        _frames(field.hold_ms / 1000),
        _frames(field.release_ms / 1000),
    )


def _twin(job: RenderJob, plan: RenderPlan, notes: list[str]) -> RenderPlan | None:
    if job.binaural is None or job.binaural.mode != "binaural":
        notes.append("The track has no binaural beat, so the one for headphones serves speakers as well.")
        return None
    beat = _beat(job.binaural, for_speakers=True)
    return replace(
        plan,
        layers=tuple(replace(layer, source=beat) if layer.name == "binaural" else layer for layer in plan.layers),
    )


def _heard_from(spoken: Sequence[SpokenSpan], fade_in_frames: int) -> int:
    if not spoken:
        return fade_in_frames
    return next((span.start for span in spoken if span.start >= fade_in_frames), spoken[0].start)
