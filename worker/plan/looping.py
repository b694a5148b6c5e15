"""Which part of its music a track repeats: where it loops best, or what the job states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dsp.blocks import Clip
from dsp.k_weighting import Energies
from dsp.loudness import hop_frames, integrated_lufs
from dsp.music_loop import FoundLoop, find_loop, likeness
from worker.errors import JobError
from worker.payload.schema import SAMPLE_RATE_HZ, MusicLoop
from worker.payload.short_form import MUSIC
from worker.plan.recordings import Loop, in_frames

CROSSFADE_S: Final = 2.0  # of music that loops as a whole
STATED_CROSSFADE_S: Final = 0.5  # where the job says: little is heard of what lies around the part
SHORTEST_CROSSFADE_S: Final = 0.01  # where a stated part has nothing before and after it
_NAMED_S: Final = 0.3  # a shorter fade or silence is not named


def whole_crossfade(frames: int) -> int:
    """The crossfade of a piece of so many frames that loops as a whole."""
    return min(in_frames(CROSSFADE_S), frames // 4)


def loop_of(clip: Clip, energies: Energies, wanted: MusicLoop, *, frames: int | None, name: str = MUSIC) -> Loop | None:
    """Tell which part of a piece is repeated.

    Parameters
    ----------
    energies : float32 array, shape (hops,)
        Of the whole clip, as of `dsp.loudness.Measurement`.
    frames : int or None
        Length of its layer, where it is known: a part that no such layer reaches is not looked for.
    name : str
        Of its layer, for notes and errors.

    Returns
    -------
    Loop or None
        None where the piece is not repeated, or as a whole.

    Raises
    ------
    JobError
        If a stated part is not within the piece; names the field.
    """
    if wanted.way == "stated":
        return _stated(clip, energies, wanted, name)
    if wanted.way == "whole" or (frames is not None and frames <= clip.frames):
        return None
    found = find_loop(clip, energies, SAMPLE_RATE_HZ)
    return None if found is None else loop_at(clip, energies, found, name)


def loop_at(clip: Clip, energies: Energies, found: FoundLoop, name: str = MUSIC) -> Loop:
    """The loop at the place that was found."""
    return Loop(
        found.start,
        found.stop,
        found.crossfade_frames,
        found.likeness,
        loudness_lufs=_loudness(energies, found.start, found.stop),
        note=_note(name, clip, found.start, found.stop, found),
    )


def _stated(clip: Clip, energies: Energies, wanted: MusicLoop, name: str) -> Loop:
    """The loop of a stated part: after `to` comes `from`, in the middle of a crossfade with what lies around them."""
    length_s = clip.frames / SAMPLE_RATE_HZ
    first, last = in_frames(wanted.from_s), in_frames(wanted.to_s)
    if last > clip.frames:
        field = "backgroundMusic.loop.to" if name == MUSIC else f"layers: loop.to of {name}"
        raise JobError(
            f"{field}: found {wanted.to_s:g}, allowed is at most {int(length_s * 1000) / 1000:g}: "
            "the music's length in seconds"
        )
    around = max(clip.frames - (last - first), in_frames(SHORTEST_CROSSFADE_S))
    crossfade = min(in_frames(STATED_CROSSFADE_S), (last - first) // 4, around)
    period = min(last - first, clip.frames - crossfade)
    start = min(max(first - crossfade // 2, 0), clip.frames - period - crossfade)
    stop = start + period + crossfade
    return Loop(
        start,
        stop,
        crossfade,
        likeness(clip, start, stop, crossfade),
        loudness_lufs=_loudness(energies, start, stop),
        stated=True,
        note=_note(name, clip, start, stop),
    )


def _loudness(energies: Energies, start: int, stop: int) -> float:
    hop = hop_frames(SAMPLE_RATE_HZ)
    return integrated_lufs(energies[start // hop : -(-stop // hop)])


def _note(name: str, clip: Clip, start: int, stop: int, found: FoundLoop | None = None) -> str:
    """Say what is left out, and what is heard once only; nothing where the whole piece is repeated."""
    parts = []
    if start > 0:
        parts.append(f"its first {start / SAMPLE_RATE_HZ:.1f} s are heard once")
    if clip.frames - stop >= in_frames(0.1):
        ending = ", ".join(_ending(clip, found)) if found is not None else ""
        parts.append(
            f"its last {(clip.frames - stop) / SAMPLE_RATE_HZ:.1f} s are left out" + (f" ({ending})" if ending else "")
        )
    if not parts:
        return ""
    return f"{name}: loops from {clock(start)} to {clock(stop)}; {' and '.join(parts)}"


def _ending(clip: Clip, found: FoundLoop) -> Iterator[str]:
    """What the piece ends on."""
    hop = hop_frames(SAMPLE_RATE_HZ)
    sound_stop = min(found.body.sound_stop * hop, clip.frames)
    for name, frames in (
        ("a fade or soft ending", sound_stop - found.body.stop * hop),
        ("silence", clip.frames - sound_stop),
    ):
        if frames >= in_frames(_NAMED_S):
            yield f"{name} of {frames / SAMPLE_RATE_HZ:.1f} s"


def clock(frames: int) -> str:
    """A place in the music, in minutes and seconds."""
    minutes, tenths = divmod(round(frames / SAMPLE_RATE_HZ * 10), 600)
    return f"{minutes}:{tenths / 10:04.1f}"
