"""Sources of the layers that need no voice: from their fields to functions of the absolute frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, groupby, pairwise
from typing import Any, Final

from dsp.blocks import Clip, Source
from dsp.envelope import Breakpoints
from dsp.noise import Noise
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.payload.layers import BinauralLayer, LayerFields, NoiseLayer, ToneLayer
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.payload.sections import Beat
from worker.plan.looping import whole_crossfade
from worker.plan.recordings import Loop, Music, in_frames
from worker.plan.repetitions import derived_seed

Moving = float | Breakpoints
BEATS: Final[Mapping[str, Callable[[Moving, Moving, int], Source]]] = {
    "binaural": Binaural,
    "monaural": Monaural,
    "isochronic": Isochronic,
}


def recorded(recording: Music, frames: int, notes: list[str]) -> Source:
    """Music or a recording from its beginning; where its layer of so many frames is longer, it loops if it may."""
    clip, loop = recording.clip, recording.loop_in(frames)
    if loop is not None:
        if loop.note:
            notes.append(loop.note)
        return looped(clip, loop)
    if recording.once or clip.frames >= frames:
        return Placed((clip,), (0,), (0,))
    return Looped(clip, whole_crossfade(clip.frames))


def looped(clip: Clip, loop: Loop) -> Looped:
    """Music that repeats a part of its clip."""
    return Looped(clip, loop.crossfade_frames, start=loop.start, stop=loop.stop, likeness=loop.likeness)


def tone(layer: ToneLayer, frames: int, seed: int, notes: list[str]) -> Source:
    """One steady tone, or several one after another; those without a length share what the others leave."""
    tones = layer.tones
    if len({each.hz for each in tones}) == 1:
        return Tone(tones[0].hz, SAMPLE_RATE_HZ, layer.wave)
    stated = [None if each.minutes is None else in_frames(each.minutes * 60) for each in tones]
    share = max(frames - sum(length or 0 for length in stated), 0) // max(stated.count(None), 1)
    lengths = [share if length is None else length for length in stated]
    starts = accumulate(lengths[:-1], initial=0)
    placed = [
        (each.hz, start)
        for each, start, length in zip(tones, starts, lengths, strict=True)
        if start < frames and length
    ]
    if len(placed) < len(tones):
        notes.append(f"The track is too short for all tones of {layer.name}.sequence.")
    # a tone followed by itself is one tone: crossfaded with itself it would swell by 3 dB
    merged = [next(group) for _, group in groupby(placed, key=lambda each: each[0])]
    tones_hz, tone_starts = zip(*merged, strict=True)
    shortest = min((after - before for before, after in pairwise(tone_starts)), default=frames)
    crossfade = min(in_frames(layer.crossfade_s), shortest)
    return ToneSequence(tones_hz, tone_starts, crossfade, SAMPLE_RATE_HZ, layer.wave)


def binaural(layer: BinauralLayer, frames: int, seed: int, notes: list[str]) -> Source:
    """The beat, as it is heard with headphones."""
    return beat(layer, for_speakers=False)


def beat(field: Beat, *, for_speakers: bool) -> Source:
    """A beat whose carrier and frequency may move; over speakers a binaural one is made another way."""
    mode = field.speakers_mode if for_speakers and field.mode == "binaural" else field.mode
    beats = ((point.at_min, point.beat_hz) for point in field.timeline if point.beat_hz is not None)
    carriers = ((point.at_min, point.carrier_hz) for point in field.timeline if point.carrier_hz is not None)
    return BEATS[mode](course(carriers, field.carrier_hz), course(beats, field.beat_hz), SAMPLE_RATE_HZ)


def noise(layer: NoiseLayer, frames: int, seed: int, notes: list[str]) -> Source:
    """A bed of coloured noise."""
    return Noise(layer.colour, derived_seed(seed, layer.name), SAMPLE_RATE_HZ)


GENERATED: Final[Mapping[type[LayerFields], Callable[[Any, int, int, list[str]], Source]]] = {
    ToneLayer: tone,
    BinauralLayer: binaural,
    NoiseLayer: noise,
}
"""By kind, what makes the source of a layer that needs no recording: out of its fields, its length in frames and the
job's seed; it may add notes."""


def course(points: Iterable[tuple[float, float]], steady: float) -> Moving:
    """Straight lines through points in minutes; a plain number where nothing moves."""
    by_frame = {in_frames(at_min * 60): value for at_min, value in points}  # of two on one frame the later one counts
    values = tuple(by_frame.values())
    if len(set(values)) <= 1:
        return values[0] if values else steady
    return Breakpoints(tuple(by_frame), values)
