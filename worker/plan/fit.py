"""Whether a voice fits into its track, and how it is made to: begin earlier, speak faster, end at a whole sentence.

All of it is pure. Before anything is spoken only the text can be shortened, by a projection of its length; once the
length is known, the beginning and the tempo follow from it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.errors import JobError
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.script import Part, Pause, Sentence
from worker.plan.recordings import in_frames

MOST_TEMPO: Final = 1.1  # issue 19: up to 10 % faster

Parts = tuple[Part, ...]


@dataclass(frozen=True)
class Room:
    """Where in the track a voice may be, in frames.

    The job wants it to begin at `first`; so that it fits, it may begin at `earliest`; and its last word must end at
    `until`, where the fade-out begins.
    """

    first: int
    earliest: int
    until: int

    @property
    def frames(self) -> int:
        """The most that a voice may take."""
        return max(0, self.until - self.earliest)

    @property
    def with_fade_in(self) -> Room:
        """The same, when the voice may begin within the fade-in."""
        return replace(self, earliest=0)


def fade_frames(job: RenderJob, frames: int) -> tuple[int, int]:
    """Lengths of fade-in and fade-out of a track of so many frames; shortened in proportion where they do not fit."""
    return shortened(in_frames(job.fade.in_ms / 1000), in_frames(job.fade.out_ms / 1000), frames)


def shortened(fade_in: int, fade_out: int, frames: int) -> tuple[int, int]:
    """Fades as they fit into so many frames: in proportion."""
    if fade_in + fade_out > frames:
        share = frames / (fade_in + fade_out)
        return int(fade_in * share), int(fade_out * share)
    return fade_in, fade_out


def room_for_voice(job: RenderJob) -> Room | None:
    """Tell where the voice of a job may be; None where the track is made as long as its speech."""
    if job.duration_min is None:
        return None
    frames = in_frames(job.duration_min * 60)
    fade_in, fade_out = fade_frames(job, frames)
    first = in_frames(job.start_delay_s or 0.0)
    return Room(first, min(first, fade_in), frames - fade_out)


def begins_at(room: Room, frames: int) -> int | None:
    """Where a voice of so many frames begins: as the job wants if it fits, else as late as it does; None if nowhere."""
    latest = room.until - frames
    return None if latest < room.earliest else min(room.first, latest)


def tempo_to_fit(words_frames: int, silences_frames: int, room_frames: int) -> float | None:
    """By how much words must be faster to fit, at least 1; None where even `MOST_TEMPO` is not enough.

    The room is for the words and the silences between them, all in frames; pauses of the script stay exact.
    """
    for_words = room_frames - silences_frames
    if words_frames <= for_words:
        return 1.0
    if for_words <= 0 or words_frames > MOST_TEMPO * for_words:
        return None
    return words_frames / for_words


@dataclass(frozen=True)
class Projection:
    """How long a script will take: its words, and the silences between them up to the last word."""

    words_s: float
    silences_s: float

    def seconds(self, tempo: float = 1.0) -> float:
        """Length when the words are said `tempo` times as fast."""
        return self.silences_s + self.words_s / tempo

    def frames(self, tempo: float = 1.0) -> int:
        """The same in frames."""
        return in_frames(self.seconds(tempo))


def project(parts: Parts, *, pace_s: float, count: Callable[[str], int] = len) -> Projection:
    """Foretell how long a script with its gaps takes, at `pace_s` seconds a character; `count` counts characters."""
    words_s = silences_s = waiting_s = 0.0
    for part in parts:
        if isinstance(part, Pause):
            waiting_s += part.seconds
        else:
            words_s += count(part.said) * pace_s
            silences_s += waiting_s
            waiting_s = 0.0  # what the script ends on takes no room
    return Projection(words_s, silences_s)


def first_sentences(parts: Parts, count: int) -> Parts:
    """Keep the first sentences of a script and the pauses between them."""
    stops = [0, *(number for number, part in enumerate(parts, 1) if isinstance(part, Sentence))]
    return parts[: stops[count]] if count < len(stops) else parts


def count_sentences(parts: Parts) -> int:
    """Number of sentences."""
    return sum(isinstance(part, Sentence) for part in parts)


def sentences_that_fit(parts: Parts, room_frames: int, projected: Callable[[Parts], Projection]) -> int:
    """How many sentences from the beginning fit, said as fast as allowed; 0 if not even the first.

    `projected` foretells the length of a beginning of the script; a longer one must not be shorter.
    """
    return bisect_right(
        range(1, count_sentences(parts) + 1),
        room_frames,
        key=lambda count: projected(first_sentences(parts, count)).frames(MOST_TEMPO),
    )


@dataclass(frozen=True)
class Ending:
    """A place where speech may end: after a whole sentence.

    `part` is the index of the last spoken part; `words_frames` and `silences_frames` are those of all until there.
    """

    part: int
    words_frames: int
    silences_frames: int


def last_ending_that_fits(endings: Sequence[Ending], room_frames: int) -> Ending | None:
    """The last ending up to which speech fits, said as fast as allowed."""
    fitting = (
        ending
        for ending in endings
        if tempo_to_fit(ending.words_frames, ending.silences_frames, room_frames) is not None
    )
    return max(fitting, key=lambda ending: ending.words_frames + ending.silences_frames, default=None)


def voice_too_long(job: RenderJob, frames: int, *, projected: bool = False) -> JobError:
    """Say that a voice of so many frames does not fit into a job's track, and what length of track would do.

    The length may be `projected`: a number that is not yet known exactly.
    """
    takes_s, first_s, out_s = frames / SAMPLE_RATE_HZ, job.start_delay_s or 0.0, job.fade.out_ms / 1000
    needed_frames = in_frames(first_s) + frames + in_frames(out_s) + 1
    least_min = math.ceil(needed_frames / SAMPLE_RATE_HZ / 60 * 100) / 100
    has_s = max(0.0, (job.duration_min or 0.0) * 60 - first_s - out_s)
    about = "about " if projected else ""
    return JobError(
        f"durationMin: found {job.duration_min:g}, allowed is at least {least_min:g}: the voice "
        f"{'would take' if projected else 'takes'} {about}{takes_s:.1f} s, begins at {first_s:.1f} s "
        f"and must end before the fade-out of {out_s:.1f} s",
        code="job.voice_too_long",
        customer_message=(
            f"The voice takes {about}{takes_s:.0f} seconds, and this track has room for {has_s:.0f}. "
            "Please choose a longer track, a shorter script or an earlier start of the voice."
        ),
    )
