"""Sources of the layers that need no voice: from a job's fields to functions of the absolute frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, groupby, pairwise
from typing import Final

from dsp.blocks import Clip, Source
from dsp.envelope import Breakpoints
from dsp.noise import Noise
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.schema import Binaural as BinauralField
from worker.plan.looping import whole_crossfade
from worker.plan.recordings import Loop, Music, in_frames
from worker.plan.repetitions import derived_seed

Moving = float | Breakpoints
BEATS: Final[Mapping[str, Callable[[Moving, Moving, int], Source]]] = {
    "binaural": Binaural,
    "monaural": Monaural,
    "isochronic": Isochronic,
}


def music(recording: Music, frames: int, notes: list[str]) -> Source:
    """Music from its beginning; where the track is longer, it loops."""
    clip, loop = recording.clip, recording.loop_in(frames)
    if loop is not None:
        if loop.note:
            notes.append(loop.note)
        return looped(clip, loop)
    if clip.frames >= frames:
        return Placed((clip,), (0,), (0,))
    return Looped(clip, whole_crossfade(clip.frames))


def looped(clip: Clip, loop: Loop) -> Looped:
    """Music that repeats a part of its clip."""
    return Looped(clip, loop.crossfade_frames, start=loop.start, stop=loop.stop, likeness=loop.likeness)


def solfeggio(job: RenderJob, frames: int, notes: list[str]) -> Source | None:
    """One steady tone, or several one after another; those without a length share what the others leave."""
    field = job.solfeggio
    if field is None:
        return None
    tones = field.tones
    if len({tone.hz for tone in tones}) == 1:
        return Tone(tones[0].hz, SAMPLE_RATE_HZ, field.wave)
    stated = [None if tone.minutes is None else in_frames(tone.minutes * 60) for tone in tones]
    share = max(frames - sum(length or 0 for length in stated), 0) // max(stated.count(None), 1)
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
    crossfade = min(in_frames(field.crossfade_s), shortest)
    return ToneSequence(tones_hz, tone_starts, crossfade, SAMPLE_RATE_HZ, field.wave)


def binaural(job: RenderJob, frames: int, notes: list[str]) -> Source | None:
    """The beat, as the listeners that the job names can hear it."""
    return None if job.binaural is None else beat(job.binaural, for_speakers="headphones" not in job.listenings)


def beat(field: BinauralField, *, for_speakers: bool) -> Source:
    """A beat whose carrier and frequency may move; over speakers a binaural one is made another way."""
    mode = field.speakers_mode if for_speakers and field.mode == "binaural" else field.mode
    beats = ((point.at_min, point.beat_hz) for point in field.timeline if point.beat_hz is not None)
    carriers = ((point.at_min, point.carrier_hz) for point in field.timeline if point.carrier_hz is not None)
    return BEATS[mode](course(carriers, field.carrier_hz), course(beats, field.beat_hz), SAMPLE_RATE_HZ)


def noise(job: RenderJob, frames: int, notes: list[str]) -> Source | None:
    """A bed of coloured noise."""
    if job.carrier_type == "none":
        return None
    return Noise(job.carrier_type, derived_seed(job.seed or 0, "noise"), SAMPLE_RATE_HZ)


GENERATED: Final[Mapping[str, Callable[[RenderJob, int, list[str]], Source | None]]] = {
    "solfeggio": solfeggio,
    "binaural": binaural,
    "noise": noise,
}
"""By layer, what makes its source out of a job and the track's length in frames; it may add notes, and gives None for
a job without the layer."""


def course(points: Iterable[tuple[float, float]], steady: float) -> Moving:
    """Straight lines through points in minutes; a plain number where nothing moves."""
    by_frame = {in_frames(at_min * 60): value for at_min, value in points}  # of two on one frame the later one counts
    values = tuple(by_frame.values())
    if len(set(values)) <= 1:
        return values[0] if values else steady
    return Breakpoints(tuple(by_frame), values)
