"""Speak a script: pieces from a voice or the cache, decoded, trimmed at both ends and matched in level."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsp.blocks import Clip, spans
from dsp.loudness import Measurement, integrated_lufs, joined
from worker.errors import MediaError, TransientError
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import FileClip
from worker.media.decode import decode
from worker.payload.script import Pause, Sentence, pieces, with_gaps
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
    match_levels,
    measure_clip,
    trimmed,
)
from worker.tts.recognition import Recognised, recognise
from worker.tts.service_errors import PieceTooLongError
from worker.tts.takes import Take, TakeBook, TakeChecks, mended
from worker.tts.voice import Utterance, Voice

SENTENCE_GAP_S = 0.35  # at speed 1; slower speech has longer gaps
PARAGRAPH_GAP_S = 0.9
_SHORTEST_CUT_CHARACTERS = 200  # a service that refuses even this as too long means something else
_DECODE_TIMEOUT_S = 300.0
_LONGEST_PIECE_S = 3600.0


@dataclass
class SpeechStats:
    """What `speak_script` did beside speaking: for the report and the log.

    Attributes
    ----------
    hits, misses : int
        Pieces that came from the cache, and that had to be spoken.
    notes : list of str
    recognised : Recognised or None
        What speech recognition heard, with `verify`.
    """

    hits: int = 0
    misses: int = 0
    notes: list[str] = field(default_factory=list)
    recognised: Recognised | None = None


def speak_script(
    parts: tuple[Sentence | Pause, ...],
    voice: Voice,
    *,
    cache: SpeechCache,
    ffmpeg: Ffmpeg,
    folder: Path,
    sample_rate: int,
    on_progress: Callable[[float], None] | None = None,
    said: SpeechStats | None = None,
    processing: VoiceProcessing = UNPROCESSED,
    paces: PaceBook | None = None,
    takes: TakeBook | None = None,
    take: int = 1,
    new_takes: Collection[str] = (),
    verify: bool = False,
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
    said : SpeechStats, optional
        Collects counts and notes.
    processing : VoiceProcessing, optional
    paces : PaceBook, optional
        Learns how long the voice takes for its words.
    takes : TakeBook, optional
        Knows and learns what is usual for the voice, to examine its pieces by.
    take : int
        Which recording of each piece.
    new_takes : collection of str
        Sentences whose pieces are spoken anew, in place of what the cache holds.
    verify : bool
        Have the voice recognised, and note the pieces in which other words are heard.

    Returns
    -------
    Speech
        Pauses of the script as they were; `SENTENCE_GAP_S` between pieces, `PARAGRAPH_GAP_S` between paragraphs, both
        divided by the speed.

    Raises
    ------
    WorkerError
        As the voice does; TransientError if it gave silence.
    """
    said = said if said is not None else SpeechStats()
    waiting = list(spaced_pieces(parts, voice))
    spoken: list[Spoken | Pause] = []
    clips: list[TrimmedClip] = []
    measurements: list[Measurement] = []
    said_before = ""
    number = 0
    book_of_voice = takes.read(voice.pace_key) if takes is not None else []
    checks = TakeChecks(book_of_voice, speed=voice.speed / voice.tempo)
    utterances: list[Utterance] = []
    anew = _pieces_with(new_takes, waiting)

    def ready(utterance: Utterance, name: str, piece_number: int, *, again: bool = False) -> TrimmedClip:
        clip = _piece(
            utterance,
            voice,
            cache,
            ffmpeg,
            folder / name,
            sample_rate,
            checks,
            piece_number,
            anew=utterance.text in anew,
            again=again,
        )
        filtered = high_passed(clip, folder / f"{name}.highpass", processing=processing, sample_rate=sample_rate)
        return trimmed(filtered, sample_rate, processing=processing, speed=voice.speed)

    with closing(voice):
        while number < len(waiting):
            part = waiting[number]
            if isinstance(part, Pause):
                spoken.append(part)
                number += 1
                continue
            following = next((later.text for later in waiting[number + 1 :] if isinstance(later, Sentence)), "")
            # a pause does not end the context
            utterance = Utterance(part.text, previous=said_before, following=following, take=take)
            try:
                piece = ready(utterance, f"speech-{number:04d}", len(clips) + 1)
            except PieceTooLongError:
                if len(part.text) <= _SHORTEST_CUT_CHARACTERS:
                    raise
                # the service takes less than its documentation says: cut this piece and all that follow
                limit = len(part.text) // 2
                waiting[number:] = spaced_pieces(tuple(waiting[number:]), voice, limit_characters=limit)
                continue
            utterances.append(utterance)
            clips.append(piece)
            measurements.append(measure_clip(piece, sample_rate))
            spoken.append(Spoken(part.text, piece))
            said_before = part.text
            number += 1
            if on_progress is not None:
                on_progress(number / len(waiting))
        for piece_number in checks.doubtful():  # spoken before it was known what is usual for the voice
            index = piece_number - 1
            clips[index] = ready(utterances[index], f"again-{index:04d}", piece_number, again=True)
            measurements[index] = measure_clip(clips[index], sample_rate)
    if takes is not None:
        takes.learn(voice.pace_key, checks)
    if paces is not None:
        characters = sum(spoken_characters(part.text) for part in spoken if isinstance(part, Spoken))
        paces.learn(voice.pace_key, characters, sum(clip.frames for clip in clips) / sample_rate * voice.speed)
    said.hits, said.misses = cache.hits, cache.misses
    said.notes.extend([*voice.notes, *checks.notes()])
    if verify:
        texts = [utterance.text for utterance in utterances]
        said.recognised = recognise(list(zip(texts, clips, strict=True)), folder, sample_rate=sample_rate)
        said.notes.extend(
            ["voice: the speech recogniser failed, so the words were not checked."]
            if said.recognised is None
            else said.recognised.notes()
        )
    level = match_levels(clips, measurements, sample_rate)
    loudness = integrated_lufs(
        joined(measurements).energies
        if len(measurements) == 1
        else np.concatenate(
            [
                m.energies * (after.gain / before.gain) ** 2
                for m, before, after in zip(measurements, clips, level, strict=True)
            ]
        )
    )
    rest = iter(level)
    return Speech(
        tuple(Spoken(part.text, next(rest)) if isinstance(part, Spoken) else part for part in spoken),
        loudness,
    )


def spaced_pieces(
    parts: tuple[Sentence | Pause, ...], voice: Voice, *, limit_characters: int | None = None
) -> tuple[Sentence | Pause, ...]:
    """Put a script into the pieces that a voice speaks at once, with the silences between them."""
    limit = voice.limit_characters if limit_characters is None else limit_characters
    return with_gaps(
        pieces(parts, limit) if limit else parts,
        sentence_gap_s=SENTENCE_GAP_S / voice.speed,
        paragraph_gap_s=PARAGRAPH_GAP_S / voice.speed,
    )


def _pieces_with(sentences: Collection[str], parts: Collection[Sentence | Pause]) -> frozenset[str]:
    """Texts of the pieces that are one of the sentences, or, where there is none such, hold it."""
    texts = {part.text for part in parts if isinstance(part, Sentence)}
    held = {text for text in texts for sentence in sentences if sentence not in texts and sentence in text}
    return frozenset(texts.intersection(sentences) | held)


def piece_key(utterance: Utterance, voice: Voice) -> str:
    """Name a piece in the cache."""
    context = (utterance.previous, utterance.following) if voice.uses_context else ()
    take = (f"take={utterance.take}",) if utterance.take > 1 else ()
    return SpeechCache.key(voice.fingerprint, utterance.text, *context, *take)


def recorded_speech(
    path: Path,
    *,
    ffmpeg: Ffmpeg,
    folder: Path,
    sample_rate: int,
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
    decoded = decode(
        ffmpeg,
        path,
        folder / "voice.f32",
        sample_rate=sample_rate,
        max_seconds=max_seconds,
        timeout_s=_DECODE_TIMEOUT_S,
    )
    decoded = at_tempo(decoded, folder / "voice.stretched", tempo=speed, sample_rate=sample_rate)
    clip: Clip = high_passed(decoded, folder / "voice.highpass", processing=processing, sample_rate=sample_rate)
    if processing.declick:
        clip = declicked(clip, sample_rate)
    return Speech((Spoken("", clip),), integrated_lufs(measure_clip(clip, sample_rate).energies))


def _piece(
    utterance: Utterance,
    voice: Voice,
    cache: SpeechCache,
    ffmpeg: Ffmpeg,
    into: Path,
    sample_rate: int,
    checks: TakeChecks,
    number: int,
    *,
    anew: bool,
    again: bool,
) -> FileClip:
    """Get one piece from the cache, or from the voice, examined; a damaged cache entry is dropped and spoken anew.

    With `anew` the cache is not asked. With `again` what it holds is a first take, that is examined once more.
    """

    def decoded(path: Path, name: str) -> FileClip:
        clip = decode(
            ffmpeg,
            path,
            into.with_name(f"{into.name}{name}.f32"),
            sample_rate=sample_rate,
            max_seconds=_LONGEST_PIECE_S,
            timeout_s=_DECODE_TIMEOUT_S,
        )
        if not any(clip.read(first, last).any() for first, last in spans(0, clip.frames)):
            raise MediaError("the spoken piece is silent", code="voice.silent")
        return clip

    def stretched(clip: FileClip) -> FileClip:
        return at_tempo(clip, into.with_suffix(".stretched"), tempo=voice.tempo, sample_rate=sample_rate)

    key = piece_key(utterance, voice)
    kept = None if anew and not again else cache.find(key)
    if kept is not None and not again:
        try:
            return stretched(decoded(kept, ""))
        except MediaError:
            cache.drop(key)
    first_seed = random.randrange(1 << 30) if anew else 0

    def record(attempt: int) -> Take:
        if again and kept is not None and attempt == 0:
            return Take(kept, decoded(kept, ".kept"))
        arrived = into.with_name(f"{into.name}.{attempt}.spoken")
        voice.speak(replace(utterance, take=utterance.take + first_seed + attempt), arrived)
        try:
            return Take(arrived, decoded(arrived, f".{attempt}"))
        except MediaError as error:
            raise TransientError(
                f"the {voice.provider} voice gave no usable sound: {error.message}", code="voice.damaged"
            ) from None

    take, check = checks.choose(record, number=number, text=utterance.text, sample_rate=sample_rate, again=again)
    file, clip = take.file, take.clip
    if check.mends and file != kept:
        file = mended(take, check, into.with_suffix(".mended"), sample_rate=sample_rate)
        clip = decoded(file, ".mended")
    if file != kept:
        cache.keep(key, file)
    for left in into.parent.glob(f"{into.name}.*"):
        if left.suffix in (".spoken", ".mended"):
            left.unlink()
    return stretched(clip)
