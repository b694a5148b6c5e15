"""The row about the level of looped music: short-term loudness at the seams of delivered files, by FFmpeg's meter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.sound.room import RATE, Room
from benchmarks.sound.row import Row
from dsp.loudness import loudness_range_lufs
from dsp.recorded import Looped
from tests.music_pieces import PIECES
from worker.inspect.seam import SeamLoudness
from worker.media.decode import decode
from worker.payload.schema import MusicLoop
from worker.plan.looping import loop_of, whole_crossfade
from worker.plan.recordings import Loop
from worker.plan.sources import looped
from worker.tts.processing import measure_clip

MOST_MISS_LU = 2.0
_WINDOW_S, _AFTER_S = 3.0, 5.0
_SILENT_LUFS = -120.7  # FFmpeg's own figure of silence


@dataclass(frozen=True)
class MeasuredLoop:
    """A piece, where it loops by itself, and its seams; also when it is repeated as a whole, against the same range."""

    seconds: float
    loop: Loop
    seams: SeamLoudness
    as_a_whole: SeamLoudness


def loop_levels(room: Room) -> Row:
    """The six pieces that are made here."""
    found = {name: measured_loop(room, file) for name, file in made_pieces(room.folder).items()}
    misses = {name: None if one is None else round(one.seams.miss_lu, 2) for name, one in found.items()}
    wholes = [one.as_a_whole.miss_lu for one in found.values() if one is not None]
    missed = tuple(name for name, miss in misses.items() if miss is None or miss > MOST_MISS_LU)
    worst = max((miss for miss in misses.values() if miss is not None), default=np.inf)
    return Row(
        "level of looped music",
        "over any 3 s at a seam within 2 LU of the piece's own range",
        f"{worst:.1f} LU out of it at worst of {len(found)} pieces; repeated as a whole {max(wholes):.1f} LU",
        not missed,
        {"misses_lu": misses},
        missed,
    )


def made_pieces(folder: Path) -> dict[str, Path]:
    """Write the pieces of `tests.music_pieces`."""
    found = {}
    for name, make in PIECES.items():
        found[name] = folder / f"{name.replace(' ', '-')}.flac"
        soundfile.write(found[name], make(), RATE)
    return found


def measured_loop(room: Room, file: Path) -> MeasuredLoop | None:
    """Render tracks of a piece alone, looped by itself and as a whole; None where it has no place of its own."""
    with decode(room.ffmpeg, file, room.folder / "clip.f32", sample_rate=RATE, max_seconds=7200, timeout_s=600) as clip:
        loop = loop_of(clip, measure_clip(clip).energies, MusicLoop.model_validate("auto"), frames=None)
        if loop is None:
            return None
        auto, whole = looped(clip, loop), Looped(clip, whole_crossfade(clip.frames))
        return MeasuredLoop(
            clip.frames / RATE,
            loop,
            _delivered(room, file, "auto", auto, of=auto),
            _delivered(room, file, "whole", whole, of=auto),
        )


def _delivered(room: Room, file: Path, way: str, music: Looped, *, of: Looped) -> SeamLoudness:
    """Make an MP3 of music alone over two seams, and measure it; the range is that of the part `of` in it."""
    seconds = (music.first_seam + music.period_frames + music.crossfade_frames) / RATE + _AFTER_S
    job = {
        "durationMin": seconds / 60,
        "backgroundMusic": {"loop": way},
        "fade": {"inMs": 0, "outMs": 0},
        "gains": {"reference": "source", "musicDb": -6},
        "output": {"normalize": False},
    }
    track, _ = room.render(job, music=file, format="mp3")
    levels, ends_s = _short_term(room, track)
    begins_s = ends_s - _WINDOW_S
    whole_windows = begins_s >= 0
    at_seam = np.zeros(len(levels), bool)
    for number in (0, 1):
        seam_s = (music.first_seam + number * music.period_frames) / RATE
        at_seam |= (ends_s > seam_s) & (begins_s < seam_s + music.crossfade_frames / RATE)
    first_pass = (begins_s >= of.start / RATE) & (ends_s <= of.stop / RATE)
    if not first_pass.any():  # a part shorter than the window
        first_pass = whole_windows
    low, high = loudness_range_lufs(levels[first_pass & whole_windows])
    heard = levels[at_seam & whole_windows]
    return SeamLoudness(float(heard.min()), float(heard.max()), low, high)


def _short_term(room: Room, track: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Short-term loudness of a file every 100 ms, and the second where each window ends."""
    said = room.ebur128_frames(track)
    levels = np.array([float(value) for value in re.findall(r"r128\.S=(\S+)", said)])
    levels = np.maximum(np.nan_to_num(levels, nan=_SILENT_LUFS), _SILENT_LUFS)
    return levels, (np.arange(len(levels)) + 1) / 10
