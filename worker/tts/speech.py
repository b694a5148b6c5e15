"""The script, spoken: pieces from a voice or its cache, decoded, tidied at both ends and evened in level."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsp.blocks import Block, Clip, amplify, db_to_gain, spans
from dsp.envelope import raised_cosine
from dsp.loudness import LoudnessMeter, Measurement, integrated_lufs, joined
from worker.codec.decode import decode
from worker.codec.ffmpeg import Ffmpeg
from worker.errors import MediaError, TransientError
from worker.order.media import Speech, Spoken
from worker.order.script import Pause, Sentence, pieces
from worker.tts.cache import SpeechCache
from worker.tts.voice import Utterance, Voice

SENTENCE_GAP_S = 0.35
PARAGRAPH_GAP_S = 0.9
LEAD_S = 0.02  # kept before the first sound of a piece
TAIL_S = 0.12  # kept after its last, so that no breath or reverberation is cut off
EDGE_S = 0.005
SILENCE_DB = -45.0  # below a piece's own peak
MOST_EVENING_DB = 4.0
_EVENED_FROM_S = 1.0  # a shorter piece is too short to be judged by itself
_DECODE_TIMEOUT_S = 300.0
_LONGEST_PIECE_S = 3600.0


@dataclass(frozen=True)
class Tidied:
    """A stretch of a clip at a gain, with raised-cosine edges so that no cut clicks.

    Parameters
    ----------
    clip : Clip
    first, last : int
        The stretch, in frames of the clip.
    gain : float
        Linear.
    edge_frames : int
        Length of each edge.
    """

    clip: Clip
    first: int
    last: int
    gain: float
    edge_frames: int

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.last - self.first

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        """Read frames `[start, stop)`, into `out` if there is one."""
        block: Block = np.empty((stop - start, 2), np.float32) if out is None else out
        self.clip.read(self.first + start, self.first + stop, block)
        block *= np.float32(self.gain)
        for n in (np.arange(start, min(stop, self.edge_frames)), np.arange(max(start, self._falls), stop)):
            if len(n):
                edge = raised_cosine(np.minimum(n + 0.5, self.frames - n - 0.5) / self.edge_frames)
                amplify(block[n[0] - start : n[-1] + 1 - start], edge)
        return block

    @property
    def _falls(self) -> int:
        """First frame of the edge at the end; it never overlaps the one at the start."""
        return max(self.frames - self.edge_frames, self.edge_frames)


@dataclass
class Said:
    """What `speak_script` did beside speaking: for the report and the log.

    Attributes
    ----------
    hits, misses : int
        Pieces that came from the cache, and that had to be spoken.
    notes : list of str
    """

    hits: int = 0
    misses: int = 0
    notes: list[str] = field(default_factory=list)


def speak_script(
    parts: tuple[Sentence | Pause, ...],
    voice: Voice,
    *,
    cache: SpeechCache,
    ffmpeg: Ffmpeg,
    folder: Path,
    sample_rate: int,
    on_progress: Callable[[float], None] | None = None,
    said: Said | None = None,
) -> Speech:
    """Have a script spoken.

    Parameters
    ----------
    parts : sequence of Sentence or Pause
        From `parse_script`.
    voice : Voice
        Closed when this returns.
    cache : SpeechCache
    ffmpeg : Ffmpeg
    folder : Path
        For the decoded pieces; they are read while the track is rendered.
    sample_rate : int
        In Hz, of the track.
    on_progress : callable, optional
        Called with the fraction of pieces that are there.
    said : Said, optional
        Gathers counts and notes.

    Returns
    -------
    Speech
        Pauses of the script as they were; `SENTENCE_GAP_S` between pieces, `PARAGRAPH_GAP_S` between paragraphs.

    Raises
    ------
    WorkerError
        As the voice does; TransientError if it gave silence.
    """
    said = said if said is not None else Said()
    if voice.limit_characters:
        parts = pieces(parts, voice.limit_characters)
    texts = [part.text for part in parts if isinstance(part, Sentence)]
    spoken: list[Spoken | Pause] = []
    clips: list[Tidied] = []
    heard: list[Measurement] = []
    with closing(voice):
        for number, part in enumerate(parts):
            if isinstance(part, Pause):
                spoken.append(part)
                continue
            if spoken and isinstance(spoken[-1], Spoken):
                before = parts[number - 1]
                ends_paragraph = isinstance(before, Sentence) and before.ends_paragraph
                spoken.append(Pause(PARAGRAPH_GAP_S if ends_paragraph else SENTENCE_GAP_S))
            at = len(clips)  # pauses do not part what is said before from what is said after
            utterance = Utterance(
                part.text,
                previous=texts[at - 1] if at else "",
                following=texts[at + 1] if at + 1 < len(texts) else "",
            )
            clip = _piece(utterance, voice, cache, ffmpeg, folder / f"speech-{number:04d}", sample_rate)
            tidied, measurement = _tidied(clip, sample_rate)
            clips.append(tidied)
            heard.append(measurement)
            spoken.append(Spoken(part.text, tidied))
            if on_progress is not None:
                on_progress((number + 1) / len(parts))
    said.hits, said.misses = cache.hits, cache.misses
    said.notes.extend(voice.notes)
    evened = _evened(clips, heard, sample_rate)
    loudness = integrated_lufs(
        joined(heard).energies
        if len(heard) == 1
        else np.concatenate(
            [
                m.energies * (after.gain / before.gain) ** 2
                for m, before, after in zip(heard, clips, evened, strict=True)
            ]
        )
    )
    rest = iter(evened)
    return Speech(
        tuple(Spoken(part.text, next(rest)) if isinstance(part, Spoken) else part for part in spoken),
        loudness,
    )


def recorded_speech(path: Path, *, ffmpeg: Ffmpeg, folder: Path, sample_rate: int, max_seconds: float) -> Speech:
    """Take a recording as the whole speech, untouched but for its sample rate.

    Raises
    ------
    MediaError
        If it cannot be decoded; names the file.
    """
    clip = decode(
        ffmpeg,
        path,
        folder / "voice.f32",
        sample_rate=sample_rate,
        max_seconds=max_seconds,
        timeout_s=_DECODE_TIMEOUT_S,
    )
    return Speech((Spoken("", clip),), integrated_lufs(measure_clip(clip, sample_rate).energies))


def measure_clip(clip: Clip, sample_rate: int) -> Measurement:
    """Measure a whole clip, block by block."""
    meter = LoudnessMeter(sample_rate)
    for first, last in spans(0, clip.frames):
        meter.add(clip.read(first, last))
    return meter.measurement()


def _piece(
    utterance: Utterance, voice: Voice, cache: SpeechCache, ffmpeg: Ffmpeg, into: Path, sample_rate: int
) -> Clip:
    """Get one piece from the cache or the voice, decoded. A damaged cache entry is dropped and spoken anew."""

    def decoded(path: Path) -> Clip:
        clip = decode(
            ffmpeg,
            path,
            into.with_suffix(".f32"),
            sample_rate=sample_rate,
            max_seconds=_LONGEST_PIECE_S,
            timeout_s=_DECODE_TIMEOUT_S,
        )
        if not any(clip.read(first, last).any() for first, last in spans(0, clip.frames)):
            raise MediaError("the spoken piece is silent", code="voice.silent")
        return clip

    context = (utterance.previous, utterance.following) if voice.hears_context else ()
    key = cache.key(voice.fingerprint, utterance.text, *context)
    kept = cache.find(key)
    if kept is not None:
        try:
            return decoded(kept)
        except MediaError:
            cache.drop(key)
    arrived = into.with_suffix(".spoken")
    voice.speak(utterance, arrived)
    try:
        clip = decoded(arrived)
    except MediaError as error:
        raise TransientError(
            f"the {voice.provider} voice gave no usable sound: {error.message}", code="voice.damaged"
        ) from None
    cache.keep(key, arrived)
    arrived.unlink()
    return clip


def _tidied(clip: Clip, sample_rate: int) -> tuple[Tidied, Measurement]:
    """Cut the silence off both ends of a piece, and measure what is left."""
    peak = max(float(np.abs(clip.read(first, last)).max()) for first, last in spans(0, clip.frames))
    threshold = peak * db_to_gain(SILENCE_DB)
    begins, ends = clip.frames, 0
    for first, last in spans(0, clip.frames):
        (loud,) = np.nonzero((np.abs(clip.read(first, last)) > threshold).any(axis=1))
        if len(loud):
            begins, ends = min(begins, first + int(loud[0])), first + int(loud[-1]) + 1
    tidied = Tidied(
        clip,
        max(0, begins - round(LEAD_S * sample_rate)),
        min(clip.frames, ends + round(TAIL_S * sample_rate)),
        gain=1.0,
        edge_frames=0,
    )
    edge_frames = min(round(EDGE_S * sample_rate), tidied.frames // 2)
    tidied = Tidied(clip, tidied.first, tidied.last, gain=1.0, edge_frames=edge_frames)
    return tidied, measure_clip(tidied, sample_rate)


def _evened(clips: Sequence[Tidied], heard: Sequence[Measurement], sample_rate: int) -> list[Tidied]:
    """Bring pieces to their median loudness, by no more than `MOST_EVENING_DB`; short ones are left alone."""
    levels = [
        integrated_lufs(measurement.energies) if clip.frames >= _EVENED_FROM_S * sample_rate else -math.inf
        for clip, measurement in zip(clips, heard, strict=True)
    ]
    known = [level for level in levels if math.isfinite(level)]
    if len(known) < 2:
        return list(clips)
    middle = statistics.median(known)
    evened = []
    for clip, level in zip(clips, levels, strict=True):
        change_db = max(-MOST_EVENING_DB, min(MOST_EVENING_DB, middle - level)) if math.isfinite(level) else 0.0
        evened.append(Tidied(clip.clip, clip.first, clip.last, clip.gain * db_to_gain(change_db), clip.edge_frames))
    return evened
