"""When the voice speaks: its pieces end to end, and its repetitions over the track. All in frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsp.blocks import Clip
from worker.payload.script import Pause
from worker.plan.recordings import Speech, Spoken


@dataclass(frozen=True)
class SpokenSpan:
    """One piece of speech in the track, in frames; `repetition` counts from 0."""

    text: str
    start: int
    stop: int
    repetition: int


@dataclass(frozen=True)
class Utterance:
    """One repetition of the voice.

    Attributes
    ----------
    pieces : tuple of Spoken
    silences : tuple of int
        Frames of silence before each piece.
    tail : int
        Frames of silence after the last.
    """

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


def utterance(speech: Speech, sample_rate: int) -> Utterance:
    """Lay the parts of a speech end to end; a pause of t seconds is ``round(t * sample_rate)`` frames."""
    pieces: list[Spoken] = []
    silences: list[int] = []
    waiting = 0
    for part in speech.parts:
        if isinstance(part, Pause):
            waiting += round(part.seconds * sample_rate)
        elif part.clip.frames:
            pieces.append(part)
            silences.append(waiting)
            waiting = 0
    return Utterance(tuple(pieces), tuple(silences), waiting)


@dataclass(frozen=True)
class RepetitionPlan:
    """When the voice is repeated.

    Attributes
    ----------
    first : int
        Frame of the first repetition.
    until : int
        Words end here at the latest: where the fade-out begins.
    mode : str
        ``once``, ``repeat`` or ``interval``.
    pause : int
        Frames from the end of a repetition to the next, in mode ``repeat``.
    interval : int
        Frames from start to start, in mode ``interval``; a longer voice makes the next one wait.
    jitter : int
        Most frames by which a pause or an interval is longer or shorter.
    shuffle : bool
        Put the pieces of every repetition but the first into another order.
    seed : int
        Of jitter and shuffle.
    """

    first: int
    until: int
    mode: str
    pause: int = 0
    interval: int = 0
    jitter: int = 0
    shuffle: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """All placements, in order of time, as `dsp.recorded.Placed` takes them, and what is said where."""

    clips: tuple[Clip, ...]
    starts: tuple[int, ...]
    which: tuple[int, ...]
    spoken: tuple[SpokenSpan, ...]
    repetitions: int


def schedule(voice: Utterance, repetition_plan: RepetitionPlan) -> Schedule:
    """Place as many whole repetitions as fit.

    Parameters
    ----------
    voice : Utterance
        At least one frame long.
    repetition_plan : RepetitionPlan

    Returns
    -------
    schedule : Schedule
        No repetition begins before the one before it has ended, and none has words after `repetition_plan.until`;
        so it may be empty.
    """
    spoken: list[SpokenSpan] = []
    which: list[int] = []
    order: tuple[int, ...] = tuple(range(len(voice.pieces)))
    start, number = repetition_plan.first, 0
    while start + voice.words_stop <= repetition_plan.until:
        if repetition_plan.shuffle and number:
            order = _shuffled(order, number, repetition_plan.seed)
        for offset, index in voice.laid_out(order):
            piece = voice.pieces[index]
            begins = start + offset
            spoken.append(SpokenSpan(piece.text, begins, begins + piece.clip.frames, number))
            which.append(index)
        number += 1
        if repetition_plan.mode == "once":
            break
        start = _next_start(start, voice.frames, number, repetition_plan)
    return Schedule(
        tuple(piece.clip for piece in voice.pieces),
        tuple(span.start for span in spoken),
        tuple(which),
        tuple(spoken),
        number,
    )


def _next_start(start: int, length: int, number: int, repetition_plan: RepetitionPlan) -> int:
    shift = 0
    if repetition_plan.jitter:
        shift = (
            derived_seed(repetition_plan.seed, f"jitter/{number}") % (2 * repetition_plan.jitter + 1)
            - repetition_plan.jitter
        )
    if repetition_plan.mode == "interval":
        return max(start + repetition_plan.interval + shift, start + length)
    return start + length + max(repetition_plan.pause + shift, 0)


def _shuffled(before: tuple[int, ...], number: int, seed: int) -> tuple[int, ...]:
    """Another order, which neither begins with the last piece nor repeats the last order."""
    order = sorted(before, key=lambda index: derived_seed(seed, f"shuffle/{number}/{index}"))
    if len(order) > 2:
        if order[0] == before[-1]:
            order[0], order[1] = order[1], order[0]
        if tuple(order) == before:
            order = [*order[1:], order[0]]
    return tuple(order)


def derived_seed(seed: int, name: str) -> int:
    """Make a seed for one use of chance, below 2**64, the same on every machine and version of Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
