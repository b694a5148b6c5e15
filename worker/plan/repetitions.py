"""When the voice speaks: its pieces end to end, and its repetitions over the track. All in frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsp.blocks import Clip
from worker.payload.layers import SpeechLayer
from worker.payload.script import Pause
from worker.payload.short_form import VOICE
from worker.plan.recordings import Spoken, in_frames


@dataclass(frozen=True)
class SpokenSpan:
    """One piece of speech in the track, in frames; `repetition` counts from 0, for each layer that speaks."""

    text: str
    start: int
    stop: int
    repetition: int
    layer: str = VOICE


@dataclass(frozen=True)
class Repetition:
    """One repetition of the voice: its pieces, the frames of silence before each, and those after the last (`tail`)."""

    pieces: tuple[Spoken, ...]
    silences: tuple[int, ...]
    tail: int

    @property
    def words_stop(self) -> int:
        """Where the last word ends, in frames from the beginning."""
        return sum(self.silences) + sum(piece.clip.frames for piece in self.pieces)

    @property
    def frames(self) -> int:
        """Length, with the silence that the script ends on."""
        return self.words_stop + self.tail

    def laid_out(self, order: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Offset and piece of each place, the pieces in the given order; the silences keep their places."""
        offset = 0
        for silence, index in zip(self.silences, order, strict=True):
            offset += silence
            yield offset, index
            offset += self.pieces[index].clip.frames


def repetition_of(parts: Sequence[Spoken | Pause]) -> Repetition:
    """Lay the parts of a speech end to end; each pause is rounded to whole frames."""
    pieces: list[Spoken] = []
    silences: list[int] = []
    waiting = 0
    for part in parts:
        if isinstance(part, Pause):
            waiting += in_frames(part.seconds)
        elif part.clip.frames:
            pieces.append(part)
            silences.append(waiting)
            waiting = 0
    return Repetition(tuple(pieces), tuple(silences), waiting)


@dataclass(frozen=True)
class RepetitionPlan:
    """When each repetition begins: all placements in order of time, for `dsp.recorded.Placed`; what is said where."""

    clips: tuple[Clip, ...]
    starts: tuple[int, ...]
    which: tuple[int, ...]
    spoken: tuple[SpokenSpan, ...]
    repetitions: int


def merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join spans that overlap or touch; sorted and disjoint."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return tuple(joined)


def plan_repetitions(voice: Repetition, layer: SpeechLayer, *, seed: int, first: int, until: int) -> RepetitionPlan:
    """Place as many whole repetitions of a voice as fit, by its layer's loop mode, pauses and shuffle.

    The voice is at least one frame long. The first repetition begins at frame `first`; none begins before the one
    before it has ended, and none has words after `until`, where the fade-out begins or the layer ends. So there may be
    none.
    """
    spoken: list[SpokenSpan] = []
    which: list[int] = []
    order: tuple[int, ...] = tuple(range(len(voice.pieces)))
    start, number = first, 0
    chance = "" if layer.name == VOICE else f"{layer.name}/"  # each voice has its own
    while start + voice.words_stop <= until:
        if layer.voice.shuffle and number:
            order = _shuffled(order, seed, f"{chance}shuffle/{number}")
        for offset, index in voice.laid_out(order):
            piece = voice.pieces[index]
            begins = start + offset
            spoken.append(SpokenSpan(piece.text, begins, begins + piece.clip.frames, number, layer.name))
            which.append(index)
        number += 1
        if layer.loop_mode == "once":
            break
        jitter = in_frames(layer.pause_jitter_s)
        shift = derived_seed(seed, f"{chance}jitter/{number}") % (2 * jitter + 1) - jitter
        start = _next_start(start, voice.frames, shift, layer)
    return RepetitionPlan(
        tuple(piece.clip for piece in voice.pieces),
        tuple(span.start for span in spoken),
        tuple(which),
        tuple(spoken),
        number,
    )


def _next_start(start: int, length: int, shift: int, layer: SpeechLayer) -> int:
    """A pause after the last repetition, or an interval after its beginning: longer by the shift."""
    if layer.loop_mode == "interval":
        return max(start + in_frames(layer.interval_s) + shift, start + length)
    return start + length + max(in_frames(layer.pause_s) + shift, 0)


def _shuffled(before: tuple[int, ...], seed: int, name: str) -> tuple[int, ...]:
    """Another order, which neither begins with the last piece nor repeats the last order."""
    order = sorted(before, key=lambda index: derived_seed(seed, f"{name}/{index}"))
    if len(order) > 2:
        if order[0] == before[-1]:
            order[0], order[1] = order[1], order[0]
        if tuple(order) == before:
            order = [*order[1:], order[0]]
    return tuple(order)


def derived_seed(seed: int, name: str) -> int:
    """Make a seed for one use of chance, below 2**64, the same on every machine and version of Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
