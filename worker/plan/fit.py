"""Whether a voice fits into its track, and how it is made to: begin earlier, speak faster, end at a whole sentence.

All of it is pure. Before anything is spoken only the text can be shortened, by a projection of its length; once the
length is known, the beginning and the tempo follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.errors import JobError
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.script import Pause, Sentence

MOST_TEMPO: Final = 1.1  # issue 19: up to 10 % faster

Parts = tuple[Sentence | Pause, ...]


@dataclass(frozen=True)
class Room:
    """Where in the track a voice may be, in frames.

    Attributes
    ----------
    first : int
        Where the job wants it to begin.
    earliest : int
        Where it may begin so that it fits.
    until : int
        Its last word must end here: where the fade-out begins.
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
    fade_in, fade_out = (round(ms / 1000 * SAMPLE_RATE_HZ) for ms in (job.fade.in_ms, job.fade.out_ms))
    if fade_in + fade_out > frames:
        share = frames / (fade_in + fade_out)
        return int(fade_in * share), int(fade_out * share)
    return fade_in, fade_out


def room_for_voice(job: RenderJob) -> Room | None:
    """Tell where the voice of a job may be; None where the track is made as long as its speech."""
    if job.duration_min is None:
        return None
    frames = round(job.duration_min * 60 * SAMPLE_RATE_HZ)
    fade_in, fade_out = fade_frames(job, frames)
    first = round((job.start_delay_s or 0.0) * SAMPLE_RATE_HZ)
    return Room(first, min(first, fade_in), frames - fade_out)


def begins_at(room: Room, frames: int) -> int | None:
    """Where a voice of so many frames begins: as the job wants if it fits, else as late as it does; None if nowhere."""
    latest = room.until - frames
    if latest < room.earliest:
        return None
    return min(room.first, latest)


def tempo_to_fit(words_frames: int, silences_frames: int, room_frames: int) -> float | None:
    """By how much words must be faster to fit, at least 1; None where even `MOST_TEMPO` is not enough.

    Parameters
    ----------
    words_frames : int
        Of what is spoken.
    silences_frames : int
        Between the words; pauses of the script stay exact.
    room_frames : int
        For both together.
    """
    for_words = room_frames - silences_frames
    if words_frames <= for_words:
        return 1.0
    if for_words <= 0 or words_frames > MOST_TEMPO * for_words:
        return None
    return words_frames / for_words


@dataclass(frozen=True)
class Projection:
    """How long a script will take.

    Attributes
    ----------
    words_s, silences_s : float
        Spoken, and between the words, up to the last word.
    """

    words_s: float
    silences_s: float

    def seconds(self, tempo: float = 1.0) -> float:
        """Length when the words are said `tempo` times as fast."""
        return self.silences_s + self.words_s / tempo

    def frames(self, tempo: float = 1.0) -> int:
        """The same in frames."""
        return round(self.seconds(tempo) * SAMPLE_RATE_HZ)


def project(parts: Parts, *, pace_s: float, count: Callable[[str], int] = len) -> Projection:
    """Foretell how long a script takes.

    Parameters
    ----------
    parts : tuple of Sentence or Pause
        With the gaps between sentences.
    pace_s : float
        Seconds a character, at the speed it is spoken with.
    count : callable, optional
        Counts the characters of a text.
    """
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
    if count <= 0:
        return ()
    left = count
    for number, part in enumerate(parts):
        if isinstance(part, Sentence):
            left -= 1
            if not left:
                return parts[: number + 1]
    return parts


def count_sentences(parts: Parts) -> int:
    """Number of sentences."""
    return sum(isinstance(part, Sentence) for part in parts)


def sentences_that_fit(parts: Parts, room_frames: int, projected: Callable[[Parts], Projection]) -> int:
    """How many sentences from the beginning fit, said as fast as allowed; 0 if not even the first.

    Parameters
    ----------
    parts : tuple of Sentence or Pause
        From `parse_script`.
    room_frames : int
    projected : callable
        Foretells the length of a beginning of the script; a longer beginning must not be shorter.
    """
    low, high = 0, count_sentences(parts)
    while low < high:
        middle = (low + high + 1) // 2
        if projected(first_sentences(parts, middle)).frames(MOST_TEMPO) <= room_frames:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True)
class Ending:
    """A place where speech may end: after a whole sentence.

    Attributes
    ----------
    part : int
        Index of the spoken part.
    frames : int
        To keep of that part.
    sentences : int
        Of that part's text that are whole until there.
    words_frames, silences_frames : int
        Of the whole speech until there.
    """

    part: int
    frames: int
    sentences: int
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
    """Say that a voice does not fit, and what length of track would do.

    Parameters
    ----------
    job : RenderJob
        With a duration.
    frames : int
        Until the voice's last word.
    projected : bool
        Whether that is an estimate.
    """
    rate = SAMPLE_RATE_HZ
    first = round((job.start_delay_s or 0.0) * rate)
    out = round(job.fade.out_ms / 1000 * rate)
    least_min = math.ceil((first + frames + out + 1) / rate / 60 * 100) / 100
    takes = "would take about" if projected else "takes"
    has_s = max(0.0, (job.duration_min or 0.0) * 60 - (first + out) / rate)
    about = "about " if projected else ""
    return JobError(
        f"durationMin: found {job.duration_min:g}, allowed is at least {least_min:g}: the voice {takes} "
        f"{frames / rate:.1f} s, begins at {first / rate:.1f} s "
        f"and must end before the fade-out of {out / rate:.1f} s",
        code="job.voice_too_long",
        customer_message=(
            f"The voice takes {about}{frames / rate:.0f} seconds, and this track has room for {has_s:.0f}. "
            "Please choose a longer track, a shorter script or an earlier start of the voice."
        ),
    )
