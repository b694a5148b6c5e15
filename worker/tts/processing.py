"""Voice processing: trim silence, soften edges, high-pass rumble, match the levels of pieces."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Clip, amplify, db_to_gain, magnitudes, spans
from dsp.envelope import rise
from dsp.high_pass import HighPass
from dsp.loudness import Measurement, integrated_lufs, measure, rounded_db
from dsp.stretch import stretched
from worker.media.clip import FileClip
from worker.payload.schema import SAMPLE_RATE_HZ

LEAD_S = 0.02  # kept before the first sound of a piece, at speed 1
TAIL_S = 0.12  # kept after its last, so that no breath or reverberation is cut off; at speed 1, too
EDGE_S = 0.005
CUT_EDGE_S = 0.02  # of an end that is cut in the middle of sound, where `declick` is on
SILENCE_DB = -45.0  # below a piece's own peak
LARGEST_LEVEL_MATCH_DB = 4.0
_NOTED_LEVEL_DB = 1.0
USUAL_PACES = (0.7, 1.25)  # of a voice's median: what clean pieces have by their words alone
LARGEST_PACE_MATCH = 1.1
_PACE_KNOWN_FROM = 5  # pieces
_MATCHED_FROM_S = 1.0  # a shorter piece is too short to be judged by itself


@dataclass(frozen=True)
class VoiceProcessing:
    """What is done to a voice beyond level matching and trimming; off by default.

    The high-pass is a second-order Butterworth, minimum phase; `declick` softens ends that are cut in mid-sound.
    """

    high_pass_hz: float | None = None
    declick: bool = False


UNPROCESSED = VoiceProcessing()


@dataclass(frozen=True)
class TrimmedClip:
    """The frames `[first, last)` of a clip at a linear gain, with raised-cosine edges so that no cut clicks.

    The edges, `rise_frames` and `fall_frames`, are together no longer than the span.
    """

    clip: Clip
    first: int
    last: int
    gain: float = 1.0
    rise_frames: int = 0
    fall_frames: int = 0

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.last - self.first

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        """Read frames `[start, stop)`, into `out` if there is one."""
        block: Block = np.empty((stop - start, 2), np.float32) if out is None else out
        self.clip.read(self.first + start, self.first + stop, block)
        amplify(block, self.gain)
        risen, falls = min(self.rise_frames, stop), max(self.frames - self.fall_frames, start)
        if start < risen:
            amplify(block[: risen - start], rise(self.rise_frames, start, risen))
        if falls < stop:
            amplify(block[falls - start :], rise(self.fall_frames, self.frames - stop, self.frames - falls)[::-1])
        return block


def measure_clip(clip: Clip) -> Measurement:
    """Measure a whole clip, block by block."""
    return measure((clip.read(first, last) for first, last in spans(0, clip.frames)), SAMPLE_RATE_HZ)


def write_clip(into: Path, blocks: Iterable[Block], *, channels: int = 2) -> FileClip:
    """Write blocks to disk as a clip of 1 or 2 channels."""
    with into.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block[:, :channels]).data)
    return FileClip(into, channels=channels)


def high_passed(clip: FileClip, into: Path, *, processing: VoiceProcessing) -> FileClip:
    """High-pass a clip, where the job asks for it, into another file; the first one is closed and removed."""
    if processing.high_pass_hz is None:
        return clip
    high_pass = HighPass(processing.high_pass_hz, SAMPLE_RATE_HZ)
    return replaced(clip, into, (high_pass.add(clip.read(first, last)) for first, last in spans(0, clip.frames)))


def at_tempo(clip: FileClip, into: Path, *, tempo: float) -> FileClip:
    """Make a clip `tempo` times as fast at the same pitch, in another file; the first one is closed and removed.

    At a tempo of 1 it stays as it is.
    """
    if tempo == 1.0:
        return clip
    return replaced(clip, into, stretched(clip, max(1, round(clip.frames / tempo)), SAMPLE_RATE_HZ))


def replaced(clip: FileClip, into: Path, blocks: Iterable[Block], *, channels: int | None = None) -> FileClip:
    """Write what becomes of a clip to another file, in as many channels; the first one is closed and removed."""
    with clip:
        made = write_clip(into, blocks, channels=channels or clip.channels)
    clip.path.unlink()
    return made


def trimmed(clip: Clip, *, processing: VoiceProcessing, speed: float = 1.0) -> TrimmedClip:
    """Cut the silence off both ends of a piece and give it edges; the margins are longer at a slow `speed`."""
    begins, ends = _sound(clip)
    first = max(0, begins - round(LEAD_S / speed * SAMPLE_RATE_HZ))
    last = min(clip.frames, ends + round(TAIL_S / speed * SAMPLE_RATE_HZ))
    return _with_edges(clip, (first, last), (begins, ends), usual_s=EDGE_S, declick=processing.declick)


def declicked(clip: Clip) -> TrimmedClip:
    """Soften the ends of a recording that is taken as it is, where they are cut in the middle of sound."""
    return _with_edges(clip, (0, clip.frames), _sound(clip), usual_s=0.0, declick=True)


def _sound(clip: Clip) -> tuple[int, int]:
    """First frame of sound and the one after its last, by `SILENCE_DB`; an empty span for silence."""
    peak = max((float(np.abs(clip.read(first, last)).max()) for first, last in spans(0, clip.frames)), default=0.0)
    threshold = peak * db_to_gain(SILENCE_DB)

    def loud(span: tuple[int, int]) -> NDArray[np.intp]:
        return span[0] + np.flatnonzero(magnitudes(clip.read(*span)) > threshold)

    whole = list(spans(0, clip.frames))
    begins = next((int(found[0]) for span in whole if len(found := loud(span))), clip.frames)
    ends = next((int(found[-1]) + 1 for span in reversed(whole) if len(found := loud(span))), 0)
    return begins, ends


def _with_edges(
    clip: Clip, span: tuple[int, int], sound: tuple[int, int], *, usual_s: float, declick: bool
) -> TrimmedClip:
    """Give a span its edges; with `declick` a longer one where there is sound within an edge's length of the end."""
    (first, last), (begins, ends) = span, sound
    near = round(EDGE_S * SAMPLE_RATE_HZ) if declick and begins < ends else 0
    rise, fall = (
        min(round((CUT_EDGE_S if silence < near else usual_s) * SAMPLE_RATE_HZ), (last - first) // 2)
        for silence in (begins - first, last - ends)
    )
    return TrimmedClip(clip, first, last, rise_frames=rise, fall_frames=fall)


def pace_tempos(paces_s: Sequence[float | None]) -> list[float]:
    """How many times as fast pieces must be to come to what is usual, within `LARGEST_PACE_MATCH`; 1 for most.

    Parameters
    ----------
    paces_s : sequence of float or None
        Seconds of sound per character; None for a piece too short to tell. Of fewer than five nothing follows.
    """
    known = [pace_s for pace_s in paces_s if pace_s]
    middle = statistics.median(known) if len(known) >= _PACE_KNOWN_FROM else 0.0
    shares = [pace_s / middle if pace_s and middle else 1.0 for pace_s in paces_s]
    wanted = [share / min(max(share, USUAL_PACES[0]), USUAL_PACES[1]) for share in shares]
    return [min(max(tempo, 1 / LARGEST_PACE_MATCH), LARGEST_PACE_MATCH) for tempo in wanted]


@dataclass(frozen=True)
class LevelMatch:
    """How pieces are brought to one level.

    Attributes
    ----------
    gains : tuple of float
        Linear, of each piece, within `LARGEST_LEVEL_MATCH_DB`; 1 for a short one.
    left_db : tuple of float
        How much louder than the median each piece still is; 0 but for those that would need more.
    """

    gains: tuple[float, ...]
    left_db: tuple[float, ...]

    def notes(self) -> list[str]:
        """Name the pieces, counted from 1, whose level is off all the same."""
        return [
            f"voice: piece {number} is {abs(left):.1f} dB {'louder' if left > 0 else 'softer'} than the rest, "
            f"although it was changed by {LARGEST_LEVEL_MATCH_DB:g} dB, which is the most."
            for number, left in enumerate(self.left_db, 1)
            if abs(left) >= _NOTED_LEVEL_DB
        ]


def match_levels(clips: Sequence[TrimmedClip], measurements: Sequence[Measurement]) -> LevelMatch:
    """Bring pieces to their median loudness."""
    levels = [
        integrated_lufs(measurement.energies) if clip.frames >= _MATCHED_FROM_S * SAMPLE_RATE_HZ else -math.inf
        for clip, measurement in zip(clips, measurements, strict=True)
    ]
    known = [level for level in levels if math.isfinite(level)]
    middle = statistics.median(known) if known else 0.0
    changes_db = [rounded_db(middle - level) if math.isfinite(level) else 0.0 for level in levels]
    limited_db = [max(-LARGEST_LEVEL_MATCH_DB, min(LARGEST_LEVEL_MATCH_DB, change)) for change in changes_db]
    return LevelMatch(
        tuple(map(db_to_gain, limited_db)),
        tuple(made - wanted for made, wanted in zip(limited_db, changes_db, strict=True)),
    )
