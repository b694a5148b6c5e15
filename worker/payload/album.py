"""Parse an album: tracks with shared defaults, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.errors import JobError
from worker.payload.aliases import load_payload
from worker.payload.messages import format_value
from worker.payload.mistakes import Mistakes
from worker.payload.parse import TRACKS, parse_job
from worker.payload.schema import RenderJob

MOST_TRACKS: Final = 99
LONGEST_GAP_S: Final = 60.0
_OF_THE_ALBUM: Final = (TRACKS, "gapSec")


def is_album(payload: Mapping[str, Any]) -> bool:
    """Whether a payload is one of an album: it has a list of tracks."""
    return isinstance(payload.get(TRACKS), list)


@dataclass(frozen=True)
class Album:
    """A checked album.

    Attributes
    ----------
    jobs : tuple of RenderJob
        A track each, in order; all of one format and quality.
    gap_s : float
        Silence between two tracks of the whole, in seconds; 0 joins them without a gap.
    """

    jobs: tuple[RenderJob, ...]
    gap_s: float

    @property
    def length_s(self) -> float | None:
        """How long the whole will be; None where a track is as long as its speech."""
        minutes = [job.duration_min for job in self.jobs if job.duration_min is not None]
        return 60 * sum(minutes) + self.gap_s * (len(self.jobs) - 1) if len(minutes) == len(self.jobs) else None

    @property
    def title(self) -> str | None:
        """What the album is called."""
        return self.jobs[0].metadata.album


def parse_album(
    payload: Mapping[str, Any] | str | bytes,
    *,
    max_script_characters: int = 5000,
    max_duration_min: float = 480.0,
    strict: bool = False,
) -> Album:
    """Read and check an album: an object with `tracks`, whose other fields are the defaults of each track.

    A track's own fields win; sections, such as `gains`, are filled up field by field.

    Raises
    ------
    JobError
        A line for each mistake, with the track's number from 0: ``tracks[2].durationMin: …``.
    """
    loaded = load_payload(payload)
    tracks, gap_s = loaded.get("tracks"), loaded.get("gapSec", 0)
    mistakes = Mistakes()
    if not isinstance(tracks, list) or not 1 <= len(tracks) <= MOST_TRACKS:
        found = f"a list of {len(tracks)}" if isinstance(tracks, list) else format_value(tracks)
        raise JobError(f"tracks: found {found}, allowed is a list of 1 to {MOST_TRACKS} jobs")
    if not isinstance(gap_s, int | float) or isinstance(gap_s, bool) or not 0 <= gap_s <= LONGEST_GAP_S:
        mistakes.add(f"gapSec: found {format_value(gap_s)}, allowed is a number from 0 to {LONGEST_GAP_S:g} (seconds)")
        gap_s = 0.0
    jobs: list[RenderJob] = []
    for number, track in enumerate(track_payloads(loaded)):
        if track is None:
            mistakes.add(f"tracks[{number}]: found {format_value(tracks[number])}, allowed is an object")
            continue
        try:
            job = parse_job(
                track,
                max_script_characters=max_script_characters,
                max_duration_min=max_duration_min,
                strict=strict,
            )
        except JobError as error:
            for line in error.lines:
                mistakes.add(f"tracks[{number}].{line}")
            continue
        jobs.append(job)
        for line in _not_in_an_album(job, jobs[0]):
            mistakes.add(f"tracks[{number}].{line}")
    stated_min = sum(job.duration_min or 0.0 for job in jobs) + gap_s * (len(tracks) - 1) / 60
    if stated_min > max_duration_min:
        mistakes.add(f"tracks: found {stated_min:g} minutes in all, allowed are at most {max_duration_min:g}")
    mistakes.raise_any()
    return Album(tuple(jobs), float(gap_s))


def track_payloads(payload: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """The payload of each track of an album, its defaults filled in; None for what is no object."""
    defaults = {key: value for key, value in payload.items() if key not in _OF_THE_ALBUM}
    return [_filled_up(track, defaults) if isinstance(track, Mapping) else None for track in payload[TRACKS]]


def _filled_up(track: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(defaults)
    for key, value in track.items():
        both = isinstance(value, Mapping) and isinstance(filled.get(key), Mapping)
        filled[key] = _filled_up(value, filled[key]) if both else value
    return filled


def _not_in_an_album(job: RenderJob, first: RenderJob) -> list[str]:
    found = []
    if job.output != first.output:
        found.append(f"output: found {_in_words(job)}, allowed is {_in_words(first)}, as in the first track")
    if job.target_lufs != first.target_lufs:
        lufs = f"{first.safety.target_lufs:g}"
        found.append(f"safety.targetLufs: found {job.safety.target_lufs:g}, allowed is {lufs}, as in the first track")
    if len(job.deliver) > 1 or job.deliver[0] not in job.listenings:
        found.append(f"deliver: found {', '.join(job.deliver)}, allowed in an album is headphones or speakers")
    found += [f"{name}: found true, allowed in an album is false" for name in ("lyrics", "peaks") if getattr(job, name)]
    return found


def _in_words(job: RenderJob) -> str:
    normalised = "" if job.output.normalize else ", not normalized"
    return f"{job.output.format} of {job.output.quality} quality{normalised}"
