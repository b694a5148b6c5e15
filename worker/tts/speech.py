"""Speak a script: pieces from a voice or the cache, decoded, trimmed at both ends and matched in level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsp.blocks import Clip, spans
from dsp.loudness import integrated_lufs
from worker.errors import MediaError, TransientError
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import FileClip
from worker.media.decode import decode
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.payload.script import Part, Sentence
from worker.payload.script_pieces import pieces, with_gaps
from worker.plan.recordings import Speech, Spoken
from worker.tts.cache import SpeechCache
from worker.tts.pace import PaceBook, spoken_characters
from worker.tts.processing import (
    UNPROCESSED,
    TrimmedClip,
    VoiceProcessing,
    at_tempo,
    declicked,
    high_passed,
    level_gains,
    measure_clip,
    trimmed,
)
from worker.tts.service_errors import PieceTooLongError
from worker.tts.voice import Utterance, Voice

SENTENCE_GAP_S = 0.35  # at speed 1; slower speech has longer gaps
PARAGRAPH_GAP_S = 0.9
_SHORTEST_CUT_CHARACTERS = 200  # a service that refuses even this as too long means something else
_DECODE_TIMEOUT_S = 300.0
_LONGEST_PIECE_S = 3600.0


@dataclass
class SpeechStats:
    """What `speak_script` did beside speaking: pieces that came from the cache, and that had to be spoken; notes."""

    hits: int = 0
    misses: int = 0
    notes: list[str] = field(default_factory=list)


def speak_script(
    parts: Sequence[Part],
    voice: Voice,
    *,
    cache: SpeechCache,
    ffmpeg: Ffmpeg,
    folder: Path,
    on_progress: Callable[[float], None] | None = None,
    said: SpeechStats | None = None,
    processing: VoiceProcessing = UNPROCESSED,
    paces: PaceBook | None = None,
) -> Speech:
    """Have a script spoken.

    Parameters
    ----------
    parts : sequence of Sentence or Pause
        From `parse_script`.
    voice : Voice
        Closed when this returns.
    folder : Path
        For the decoded pieces; they are read while the track is rendered.
    on_progress : callable, optional
        Called with the fraction of pieces that are there.
    said : SpeechStats, optional
        Collects counts and notes.
    paces : PaceBook, optional
        Learns how long the voice takes for its words.

    Returns
    -------
    Speech
        At the track's sample rate. Pauses of the script as they were; `SENTENCE_GAP_S` between pieces,
        `PARAGRAPH_GAP_S` between paragraphs, both divided by the speed.

    Raises
    ------
    WorkerError
        As the voice does; TransientError if it gave silence.
    """
    said = said or SpeechStats()
    waiting = list(spaced_pieces(parts, voice))
    clips: list[TrimmedClip] = []
    number = 0
    with closing(voice):
        while number < len(waiting):
            if isinstance(part := waiting[number], Sentence):
                into = folder / f"speech-{number:04d}"
                try:
                    clip = _piece(utterance_at(waiting, number), voice, cache, ffmpeg, into, said)
                except PieceTooLongError:
                    if len(part.said) <= _SHORTEST_CUT_CHARACTERS:
                        raise
                    # the service takes less than its documentation says: cut this piece and all that follow
                    waiting[number:] = spaced_pieces(waiting[number:], voice, limit_characters=len(part.said) // 2)
                    continue
                clip = high_passed(clip, into.with_suffix(".highpass"), processing=processing)
                clips.append(trimmed(clip, processing=processing, speed=voice.speed))
            number += 1
            if on_progress is not None:
                on_progress(number / len(waiting))
    if paces is not None:
        characters = sum(spoken_characters(part.text) for part in waiting if isinstance(part, Sentence))
        paces.learn(voice.pace_key, characters, sum(clip.frames for clip in clips) / SAMPLE_RATE_HZ * voice.speed)
    said.notes.extend(voice.notes)
    measurements = [measure_clip(clip) for clip in clips]
    gains = level_gains(clips, measurements)
    energies = [measured.energies * gain**2 for measured, gain in zip(measurements, gains, strict=True)]
    levelled = iter([replace(clip, gain=gain) for clip, gain in zip(clips, gains, strict=True)])
    return Speech(
        tuple(Spoken(part.text, next(levelled)) if isinstance(part, Sentence) else part for part in waiting),
        integrated_lufs(np.concatenate(energies)),
    )


def spaced_pieces(parts: Sequence[Part], voice: Voice, *, limit_characters: int | None = None) -> tuple[Part, ...]:
    """Put a script into the pieces that a voice speaks at once, with the silences between them."""
    limit = voice.limit_characters if limit_characters is None else limit_characters
    return with_gaps(
        pieces(parts, limit) if limit else parts,
        sentence_gap_s=SENTENCE_GAP_S / voice.speed,
        paragraph_gap_s=PARAGRAPH_GAP_S / voice.speed,
    )


def utterance_at(parts: Sequence[Part], number: int) -> Utterance:
    """Put a piece into its context; pauses do not end it."""
    part = parts[number]
    before = (part.said for part in reversed(parts[:number]) if isinstance(part, Sentence))
    after = (part.said for part in parts[number + 1 :] if isinstance(part, Sentence))
    return Utterance(part.said if isinstance(part, Sentence) else "", next(before, ""), next(after, ""))


def piece_key(utterance: Utterance, voice: Voice) -> str:
    """Name a piece in the cache."""
    context = (utterance.previous, utterance.following) if voice.uses_context else ()
    return SpeechCache.key(voice.fingerprint, utterance.text, *context)


def recorded_speech(
    path: Path,
    *,
    ffmpeg: Ffmpeg,
    folder: Path,
    max_seconds: float,
    speed: float = 1.0,
    processing: VoiceProcessing = UNPROCESSED,
) -> Speech:
    """Take a recording as the whole speech, unchanged but for sample rate, speed and the processing asked for.

    Its pitch stays the same at every speed, and all of it gets longer or shorter, silences included.

    Raises
    ------
    MediaError
        If it cannot be decoded; names the file.
    """
    decoded = _decoded(ffmpeg, path, folder / "voice.f32", max_seconds)
    decoded = at_tempo(decoded, folder / "voice.stretched", tempo=speed)
    clip: Clip = high_passed(decoded, folder / "voice.highpass", processing=processing)
    if processing.declick:
        clip = declicked(clip)
    return Speech((Spoken("", clip),), integrated_lufs(measure_clip(clip).energies))


def _piece(
    utterance: Utterance, voice: Voice, cache: SpeechCache, ffmpeg: Ffmpeg, into: Path, said: SpeechStats
) -> FileClip:
    """Get one piece from the cache or the voice, decoded. A damaged cache entry is dropped and spoken anew."""

    def usable(path: Path) -> FileClip:
        clip = _decoded(ffmpeg, path, into.with_suffix(".f32"), _LONGEST_PIECE_S)
        if not any(clip.read(first, last).any() for first, last in spans(0, clip.frames)):
            raise MediaError("the spoken piece is silent", code="voice.silent")
        return at_tempo(clip, into.with_suffix(".stretched"), tempo=voice.tempo)

    key = piece_key(utterance, voice)
    if (kept := cache.find(key)) is not None:
        try:
            clip = usable(kept)
        except MediaError:
            cache.drop(key)
        else:
            said.hits += 1
            return clip
    said.misses += 1
    arrived = into.with_suffix(".spoken")
    voice.speak(utterance, arrived)
    try:
        clip = usable(arrived)
    except MediaError as error:
        raise TransientError(
            f"the {voice.provider} voice gave no usable sound: {error.message}", code="voice.damaged"
        ) from None
    cache.keep(key, arrived)
    arrived.unlink()
    return clip


def _decoded(ffmpeg: Ffmpeg, path: Path, into: Path, max_seconds: float) -> FileClip:
    return decode(ffmpeg, path, into, sample_rate=SAMPLE_RATE_HZ, max_seconds=max_seconds, timeout_s=_DECODE_TIMEOUT_S)
