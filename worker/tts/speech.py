"""Speak a script: pieces from a voice or the cache, decoded, trimmed at both ends and matched in level."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsp.blocks import Clip, spans
from dsp.loudness import integrated_lufs
from worker.errors import MediaError, TransientError
from worker.fallbacks import VoiceName
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
from worker.tts.recognition import Recognised, recognise
from worker.tts.service_errors import PieceTooLongError
from worker.tts.takes import Take, TakeBook, TakeChecks, corrected
from worker.tts.voice import Utterance, Voice
from worker.vendors import VoiceUse

SENTENCE_GAP_S = 0.35  # at speed 1; slower speech has longer gaps
PARAGRAPH_GAP_S = 0.9
_SHORTEST_CUT_CHARACTERS = 200  # a service that refuses even this as too long means something else
_DECODE_TIMEOUT_S = 300.0
_LONGEST_PIECE_S = 3600.0


@dataclass
class SpeechStats:
    """What `speak_script` did beside speaking: pieces that came from the cache, and that had to be spoken; notes.

    The characters are those that a voice was asked for, second takes included, and those that the cache had.
    `recognised` is what speech recognition heard, where that was asked for and did not fail.
    """

    hits: int = 0
    misses: int = 0
    asked_characters: int = 0
    cached_characters: int = 0
    notes: list[str] = field(default_factory=list)
    recognised: Recognised | None = None
    uses: list[VoiceUse] = field(default_factory=list)

    def count(self, other: SpeechStats, name: VoiceName) -> None:
        """Add the counts of a script by one voice."""
        self.hits += other.hits
        self.misses += other.misses
        self.asked_characters += other.asked_characters
        self.cached_characters += other.cached_characters
        self.uses.append(VoiceUse(name, other.asked_characters, other.cached_characters))


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
    folder : Path
        For the decoded pieces; they are read while the track is rendered.
    on_progress : callable, optional
        Called with the fraction of pieces that are there.
    said : SpeechStats, optional
        Collects counts and notes.
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
        At the track's sample rate. Pauses of the script as they were; `SENTENCE_GAP_S` between pieces,
        `PARAGRAPH_GAP_S` between paragraphs, both divided by the speed.

    Raises
    ------
    WorkerError
        As the voice does; TransientError if it gave silence.
    """
    said = said or SpeechStats()
    waiting = list(spaced_pieces(parts, voice))
    anew = _pieces_with(new_takes, waiting)
    checks = TakeChecks(takes.read(voice.pace_key) if takes is not None else [], speed=voice.speed / voice.tempo)
    clips: list[TrimmedClip] = []
    places: list[int] = []  # of the pieces in `waiting`
    number = 0

    def ready(place: int, piece_number: int, name: str, *, again: bool = False) -> TrimmedClip:
        part, into = waiting[place], folder / f"{name}-{place:04d}"
        is_wanted_anew = isinstance(part, Sentence) and part.text in anew
        source = _Source(voice, cache, ffmpeg, checks, said)
        clip = source.piece(
            utterance_at(waiting, place, take=take), into, piece_number, anew=is_wanted_anew, again=again
        )
        clip = high_passed(clip, into.with_suffix(".highpass"), processing=processing)
        return trimmed(clip, processing=processing, speed=voice.speed)

    with closing(voice):
        while number < len(waiting):
            if isinstance(part := waiting[number], Sentence):
                try:
                    clips.append(ready(number, len(clips) + 1, "speech"))
                except PieceTooLongError:
                    if len(part.said) <= _SHORTEST_CUT_CHARACTERS:
                        raise
                    # the service takes less than its documentation says: cut this piece and all that follow
                    waiting[number:] = spaced_pieces(waiting[number:], voice, limit_characters=len(part.said) // 2)
                    continue
                places.append(number)
            number += 1
            if on_progress is not None:
                on_progress(number / len(waiting))
        for piece_number in checks.doubtful():  # spoken before it was known what is usual for the voice
            index = piece_number - 1
            clips[index] = ready(places[index], piece_number, "again", again=True)
    if takes is not None:
        takes.learn(voice.pace_key, checks)
    if paces is not None:
        characters = sum(spoken_characters(part.text) for part in waiting if isinstance(part, Sentence))
        paces.learn(voice.pace_key, characters, sum(clip.frames for clip in clips) / SAMPLE_RATE_HZ * voice.speed)
    said.notes.extend([*voice.notes, *checks.notes()])
    if verify:
        texts = [part.text for part in waiting if isinstance(part, Sentence)]
        said.recognised = recognise(list(zip(texts, clips, strict=True)), folder, sample_rate=SAMPLE_RATE_HZ)
        failed = ["voice: the speech recogniser failed, so the words were not checked."]
        said.notes.extend(failed if said.recognised is None else said.recognised.notes())
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


def _pieces_with(sentences: Collection[str], parts: Sequence[Part]) -> frozenset[str]:
    """Texts of the pieces that are one of the sentences, or, where there is none such, hold it."""
    texts = {part.text for part in parts if isinstance(part, Sentence)}
    held = {text for text in texts for sentence in sentences if sentence not in texts and sentence in text}
    return frozenset(texts.intersection(sentences) | held)


def utterance_at(parts: Sequence[Part], number: int, *, take: int = 1) -> Utterance:
    """Put a piece into its context; pauses do not end it."""
    part = parts[number]
    before = (part.said for part in reversed(parts[:number]) if isinstance(part, Sentence))
    after = (part.said for part in parts[number + 1 :] if isinstance(part, Sentence))
    return Utterance(part.said if isinstance(part, Sentence) else "", next(before, ""), next(after, ""), take)


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


@dataclass(frozen=True)
class _Source:
    """Where a script's pieces come from: the cache, else the voice, examined."""

    voice: Voice
    cache: SpeechCache
    ffmpeg: Ffmpeg
    checks: TakeChecks
    said: SpeechStats

    def piece(self, utterance: Utterance, into: Path, number: int, *, anew: bool, again: bool) -> FileClip:
        """Get one piece, decoded. A damaged cache entry is dropped and spoken anew.

        With `anew` the cache is not asked. With `again` what it holds is a first take that is examined once more.
        """
        key = piece_key(utterance, self.voice)
        kept = None if anew and not again else self.cache.find(key)
        if kept is not None and not again:
            try:
                clip = self._usable(kept, into.with_suffix(".f32"))
            except MediaError:
                self.cache.drop(key)
            else:
                self.said.hits += 1
                self.said.cached_characters += len(utterance.text)
                return self._at_tempo(clip, into)
        self.said.misses += not again
        earlier = kept if again else None
        other = random.randrange(1 << 30) if anew else 0

        def record(attempt: int) -> Take:
            decoded = into.with_suffix(f".{attempt}.f32")
            if earlier is not None and attempt == 0:
                return Take(earlier, self._usable(earlier, decoded))
            arrived = into.with_suffix(f".{attempt}.spoken")
            self.voice.speak(replace(utterance, take=utterance.take + other + attempt), arrived)
            self.said.asked_characters += len(utterance.text)
            try:
                return Take(arrived, self._usable(arrived, decoded))
            except MediaError as error:
                raise TransientError(
                    f"the {self.voice.provider} voice gave no usable sound: {error.message}", code="voice.damaged"
                ) from None

        take, check = self.checks.choose(
            record, number=number, text=utterance.text, sample_rate=SAMPLE_RATE_HZ, again=again
        )
        file, clip = take.file, take.clip
        if file != earlier:
            if check.corrections:
                file = corrected(take, check, into.with_suffix(".corrected.spoken"), sample_rate=SAMPLE_RATE_HZ)
                clip = self._usable(file, into.with_suffix(".corrected.f32"))
            self.cache.keep(key, file)
        for left in into.parent.glob(f"{into.name}.*.spoken"):
            left.unlink()
        return self._at_tempo(clip, into)

    def _usable(self, path: Path, into: Path) -> FileClip:
        clip = _decoded(self.ffmpeg, path, into, _LONGEST_PIECE_S)
        if not any(clip.read(first, last).any() for first, last in spans(0, clip.frames)):
            raise MediaError("the spoken piece is silent", code="voice.silent")
        return clip

    def _at_tempo(self, clip: FileClip, into: Path) -> FileClip:
        return at_tempo(clip, into.with_suffix(".stretched"), tempo=self.voice.tempo)


def _decoded(ffmpeg: Ffmpeg, path: Path, into: Path, max_seconds: float) -> FileClip:
    return decode(ffmpeg, path, into, sample_rate=SAMPLE_RATE_HZ, max_seconds=max_seconds, timeout_s=_DECODE_TIMEOUT_S)
