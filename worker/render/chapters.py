"""Chapter marks: one for each line that is spoken, or for each repetition of the voice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from textwrap import shorten

from worker.codec.tags import Chapter
from worker.payload.schema import SAMPLE_RATE_HZ, ChapterMarks
from worker.plan.repetitions import SpokenSpan

_LONGEST_TITLE = 80  # characters: players show one line
MOST_CHAPTERS = 1000  # more are no list to choose from, and some players refuse the file


def chapters(spoken: Sequence[SpokenSpan], marks: ChapterMarks, *, frames: int) -> tuple[Chapter, ...]:
    """Make the chapters of a track: each lasts from its first word to that of the next one, the last to the end.

    Parameters
    ----------
    spoken : sequence of SpokenSpan
        In order of time. A recording has no words, and so no lines.
    marks : "auto", "lines", "repetitions" or "none"
        Of several voices each title begins with its layer's name.
        "auto": of one repetition the lines, of several the repetitions, since the same few lines many times over are
        no list to choose from. Of more than `MOST_CHAPTERS` marks each second, third or so becomes a chapter.
    frames : int
        Length of the track.
    """
    repetitions: dict[tuple[str, int], int] = {}
    for span in spoken:
        repetitions.setdefault((span.layer, span.repetition), span.start)
    several = len({span.layer for span in spoken}) > 1
    found: list[tuple[str, int]] = []
    if marks == "lines" or (marks == "auto" and len(repetitions) == len({layer for layer, _ in repetitions})):
        for span in spoken:
            if span.text:
                words = f"{span.layer}: {span.text}" if several else span.text
                found.append((shorten(words, _LONGEST_TITLE, placeholder=" …"), span.start))
    elif marks != "none" and len(repetitions) > 1:
        for (layer, number), start in sorted(repetitions.items(), key=lambda item: item[1]):
            found.append((f"{layer}, repetition {number + 1}" if several else f"Repetition {number + 1}", start))
    found = found[:: math.ceil(len(found) / MOST_CHAPTERS) or 1]
    edges = [*(start for _, start in found), frames]
    return tuple(
        Chapter(title, start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ)
        for (title, _), (start, stop) in zip(found, pairwise(edges), strict=True)
    )
