"""Compile a job and its recordings into a plan, in frames and linear gain. Pure; reads clips' lengths only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from dsp.blocks import Source, db_to_gain
from dsp.envelope import Breakpoints, Constant, Curve, Decibels, Ducking, Fade, Product
from dsp.loudness import rounded_db
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Placed
from worker.errors import JobError, MediaError
from worker.payload.layers import BinauralLayer, Ducked, LayerFields, SpeechLayer
from worker.payload.layers import Layer as AnyLayer
from worker.payload.parse import DEFAULT_DURATION_MIN
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.schema import Ducking as DuckingField
from worker.plan.fit import fade_frames, room_for_voice, voice_too_long
from worker.plan.layer_jobs import speech_job
from worker.plan.places import Times, for_speakers, left_out_note, placed_layer, times_of
from worker.plan.recordings import Media, Speech, in_frames
from worker.plan.repetitions import RepetitionPlan, SpokenSpan, merged, plan_repetitions, repetition_of
from worker.plan.sources import GENERATED, course, recorded

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
        Of the first voice.
    spoken : tuple of SpokenSpan
        Of all voices, in order of time; for chapters, lyrics and pictures. Those of several may overlap.
    layers : tuple of layers
        What was asked for of each layer of the plan, in the same order.
    layer_gains_db : mapping
        By layer, the gain on its source, reference correction included; where it has a timeline, at frame 0.
    recorded_lufs : mapping
        By recorded layer, the loudness of its recording at gain 1; of looped music that of the loop.
    heard_from : int
        First frame where every layer is heard at its level: the fade-in is over and the voice begins.
    notes : tuple of str
        What was changed, in plain sentences, for the report.
    """

    plan: RenderPlan
    twin: RenderPlan | None
    repetitions: int
    spoken: tuple[SpokenSpan, ...]
    layers: tuple[AnyLayer, ...]
    layer_gains_db: Mapping[str, float]
    recorded_lufs: Mapping[str, float]
    heard_from: int
    notes: tuple[str, ...]

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the layers that speak, in the order of the mix."""
        return tuple(layer.name for layer in self.layers if isinstance(layer, SpeechLayer))


def compile_plan(job: RenderJob, media: Media, *, keep: Callable[[Noise], Noise] = lambda noise: noise) -> Compiled:
    """Turn a job and its decoded recordings into a plan.

    Parameters
    ----------
    job : RenderJob
        From `parse_job`.
    media : Media
        At 44100 Hz. All of it is used: a voice even if the job has no script, music even if the job names none.
    keep : callable
        Gives for each noise an equal one, which may have been used before.

    Raises
    ------
    JobError
        If a voice does not fit between its start and the fade-out, or there is nothing to hear.
    MediaError
        If a recording is shorter than 0.1 s.
    """
    notes: list[str] = []
    wanted = [layer for layer in job.every_layer(media.short) if _is_there(layer, media)]
    frames = _track_frames(job, media)
    fade = _fade(job, frames, notes)
    voices = {
        layer.name: _placed(job, layer, speech, fade)
        for layer in wanted
        if isinstance(layer, SpeechLayer) and (speech := media.speech_of(layer.name)) is not None
    }
    spans = {name: [(span.start, span.stop) for span in placed.spoken] for name, placed in voices.items()}
    layers: list[Layer] = []
    gains_db: dict[str, float] = {}
    recorded_lufs: dict[str, float] = {}
    for layer in wanted:
        times = times_of(layer, frames, media.music_of(layer.name))
        if note := left_out_note(layer, times):
            notes.append(note)
        if times is None:
            continue
        source, lufs = _source(job, layer, media, voices, times, notes)
        if isinstance(source, Noise):
            source = keep(source)
        correction_db = 0.0
        if lufs is not None:
            recorded_lufs[layer.name] = lufs
            correction_db = _correction_db(job, layer.name, lufs, notes)
        gain, gains_db[layer.name] = _gain(layer, correction_db)
        if isinstance(layer, Ducked) and (over := merged(chain(*(spans.get(name, ()) for name in layer.ducked_by)))):
            gain = Product((gain, _ducking(job, over)))
        layers.append(placed_layer(layer, source, gain, times, frames))
    if not layers:
        raise JobError("the job has no layer: there is nothing to hear")
    spoken = tuple(sorted(chain(*(placed.spoken for placed in voices.values())), key=lambda span: span.start))
    plan = RenderPlan(SAMPLE_RATE_HZ, frames, tuple(layers), fade)
    beats = {layer.name: layer for layer in wanted if isinstance(layer, BinauralLayer)}
    return Compiled(
        plan=plan if "headphones" in job.listenings else for_speakers(plan, beats),
        twin=_twin(plan, beats, notes) if len(job.listenings) > 1 else None,
        repetitions=next((placed.repetitions for placed in voices.values()), 0),
        spoken=spoken,
        layers=tuple(layer for layer in wanted if layer.name in gains_db),
        layer_gains_db=gains_db,
        recorded_lufs=recorded_lufs,
        heard_from=min(_heard_from(spoken, fade.in_frames), frames - 1),
        notes=tuple(notes),
    )


def _is_there(layer: LayerFields, media: Media) -> bool:
    """Whether a layer has the recording that it needs."""
    if isinstance(layer, SpeechLayer):
        return media.speech_of(layer.name) is not None
    return type(layer) in GENERATED or media.music_of(layer.name) is not None


def _source(
    job: RenderJob,
    layer: LayerFields,
    media: Media,
    voices: Mapping[str, RepetitionPlan],
    times: Times,
    notes: list[str],
) -> tuple[Source, float | None]:
    """Make the source of a layer; of a recorded one also its loudness."""
    if type(layer) in GENERATED:
        return GENERATED[type(layer)](layer, times.frames, job.seed or 0, notes), None
    speech, music = media.speech_of(layer.name), media.music_of(layer.name)
    if speech is not None:
        placed = voices[layer.name]
        return Placed(placed.clips, placed.starts, placed.which), speech.loudness_lufs
    if music is None:
        raise ValueError(f"the layer {layer.name} has neither a source nor a recording")
    check_length(music.clip.frames, layer.name)
    return recorded(music, times.frames, notes), (music.loop_in(times.frames) or music).loudness_lufs


def check_length(frames: int, name: str) -> None:
    """Refuse a recording that is too short to be one."""
    if frames < in_frames(SHORTEST_RECORDING_S):
        raise MediaError(
            f"{name}: found a recording of {frames} frames ({frames / SAMPLE_RATE_HZ:.6f} s), "
            f"allowed is at least {SHORTEST_RECORDING_S:g} s"
        )


def _track_frames(job: RenderJob, media: Media) -> int:
    if job.duration_min is not None or media.speech is None:
        return in_frames((job.duration_min or DEFAULT_DURATION_MIN) * 60)
    return _first_word(job) + repetition_of(media.speech.parts).frames + in_frames(job.fade.out_ms / 1000)


def _first_word(job: RenderJob) -> int:
    """Where the first repetition of the job's own voice begins."""
    return in_frames(job.fade.in_ms / 1000 if job.start_delay_s is None else job.start_delay_s)


def _fade(job: RenderJob, frames: int, notes: list[str]) -> Fade:
    fade_in, fade_out = fade_frames(job, frames)
    if (fade_in, fade_out) != (in_frames(job.fade.in_ms / 1000), in_frames(job.fade.out_ms / 1000)):
        notes.append(
            f"The fades are longer than the track and were shortened to {fade_in / SAMPLE_RATE_HZ:.2f} s "
            f"and {fade_out / SAMPLE_RATE_HZ:.2f} s."
        )
    return Fade(frames, fade_in, fade_out)


def _placed(job: RenderJob, layer: SpeechLayer, speech: Speech, fade: Fade) -> RepetitionPlan:
    voice = repetition_of(speech.parts)
    check_length(sum(piece.clip.frames for piece in voice.pieces), layer.name)
    of_layer = speech_job(job, layer)
    room = room_for_voice(of_layer)
    until = fade.frames - fade.out_frames if room is None else room.until
    first = in_frames(layer.start_s)
    placed = plan_repetitions(voice, layer, seed=job.seed or 0, first=first, until=until)
    if placed.repetitions == 0:
        raise voice_too_long(of_layer, voice.words_stop)
    return placed


def _correction_db(job: RenderJob, name: str, lufs: float, notes: list[str]) -> float:
    """The dB that bring a recording to the reference loudness."""
    if not math.isfinite(lufs):
        notes.append(f"The {name} is silent, so its level was left as it is.")
        return 0.0
    return rounded_db(REFERENCE_LUFS - lufs) if job.gains.reference == "normalized" else 0.0


def _gain(layer: AnyLayer, correction_db: float) -> tuple[Curve, float]:
    """The gain of a layer, and its dB at frame 0."""
    gain_db = course(((point.at_min, point.db + correction_db) for point in layer.gain), layer.gain_db + correction_db)
    if isinstance(gain_db, Breakpoints):
        return Decibels(gain_db), float(gain_db.values[0])
    return Constant(db_to_gain(gain_db)), gain_db


def _ducking(job: RenderJob, speech: tuple[tuple[int, int], ...]) -> Ducking:
    wanted = job.ducking or DuckingField()
    times_ms = (wanted.attack_ms, wanted.hold_ms, wanted.release_ms)
    return Ducking(speech, wanted.depth_db, *(in_frames(time_ms / 1000) for time_ms in times_ms))


def _twin(plan: RenderPlan, beats: Mapping[str, BinauralLayer], notes: list[str]) -> RenderPlan | None:
    if not any(layer.mode == "binaural" for layer in beats.values()):
        notes.append("The track has no binaural beat, so the one for headphones serves speakers as well.")
        return None
    return for_speakers(plan, beats)


def _heard_from(spoken: Sequence[SpokenSpan], fade_in_frames: int) -> int:
    if not spoken:
        return fade_in_frames
    return next((span.start for span in spoken if span.start >= fade_in_frames), spoken[0].start)
