"""Speak a script: pieces from a voice or the cache, decoded, trimmed at both ends and matched in level."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsp.loudness import integrated_lufs
from dsp.stretch import stretched
from worker.fallbacks import VoiceName
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import FileClip
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.payload.script import Part, Sentence
from worker.payload.script_pieces import pieces, with_gaps
from worker.plan.recordings import Speech, Spoken
from worker.tts.cache import SpeechCache
from worker.tts.pace import PaceBook, spoken_characters
from worker.tts.piece_check import examine_piece
from worker.tts.piece_source import PieceSource, WantedPiece
from worker.tts.processing import (
    UNPROCESSED,
    TrimmedClip,
    VoiceProcessing,
    at_tempo,
    high_passed,
    match_levels,
    measure_clip,
    pace_tempos,
    trimmed,
    write_clip,
)
from worker.tts.recognition import Recognised, recognise
from worker.tts.service_errors import PieceTooLongError
from worker.tts.takes import TakeBook, TakeChecks
from worker.tts.voice import Utterance, Voice
from worker.vendors import VoiceUse

SENTENCE_GAP_S = 0.35  # at speed 1; slower speech has longer gaps
PARAGRAPH_GAP_S = 0.9
_CONTEXT_CHARACTERS = 200  # of either neighbour, which is enough for a voice's melody
_SHORTEST_CUT_CHARACTERS = 200  # a service that refuses even this as too long means something else


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
        self._sum(other)
        self.uses.append(VoiceUse(name, other.asked_characters, other.cached_characters))

    def add(self, other: SpeechStats) -> None:
        """Add all that is known of another script."""
        self._sum(other)
        self.notes.extend(other.notes)
        self.uses.extend(other.uses)
        self.recognised = self.recognised or other.recognised

    def _sum(self, other: SpeechStats) -> None:
        self.hits += other.hits
        self.misses += other.misses
        self.asked_characters += other.asked_characters
        self.cached_characters += other.cached_characters


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
    at_once: int = 1,
    accept_unusable: bool = True,
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
    at_once : int
        How many pieces are spoken at the same time; it changes nothing but how long that takes.
    accept_unusable : bool
        Whether a piece of which no take can be used is taken all the same, with a note.

    Returns
    -------
    Speech
        At the track's sample rate. Pauses of the script as they were; `SENTENCE_GAP_S` between pieces,
        `PARAGRAPH_GAP_S` between paragraphs, both divided by the speed.

    Raises
    ------
    WorkerError
        As the voice does; SpoiltError if it gave silence twice, or a piece that is not accepted. `said` has the counts
        all the same.
    """
    said = said or SpeechStats()
    waiting = list(spaced_pieces(parts, voice))
    checks = TakeChecks(
        takes.read(voice.pace_key) if takes is not None else [],
        speed=voice.speed / voice.tempo,
        accept_unusable=accept_unusable,
    )
    source = PieceSource(voice, cache=cache, ffmpeg=ffmpeg, checks=checks, at_once=at_once)
    clips: list[TrimmedClip] = []
    reached = 0.0

    def ready(piece: WantedPiece, clip: FileClip) -> TrimmedClip:
        clip = at_tempo(clip, piece.into.with_suffix(".stretched"), tempo=voice.tempo)
        clip = high_passed(clip, piece.into.with_suffix(".highpass"), processing=processing)
        return trimmed(clip, processing=processing, speed=voice.speed)

    with closing(voice), _counted(source, said):
        while True:
            wanted = _wanted(waiting, voice, folder=folder, take=take, new_takes=new_takes)
            missing = wanted[len(clips) :]
            try:
                with closing(source.pieces(missing)) as arriving:
                    for piece, clip in zip(missing, arriving, strict=False):  # not read to its end
                        clips.append(ready(piece, clip))
                        reached = max(reached, len(clips) / len(wanted))
                        if on_progress is not None:
                            on_progress(reached)
                break
            except PieceTooLongError:
                if source.refused_characters <= _SHORTEST_CUT_CHARACTERS:
                    raise
                # the service takes less than its documentation says: cut this piece and all that follow
                place = _places(waiting)[len(clips)]
                limit_characters = source.refused_characters // 2
                waiting[place:] = spaced_pieces(waiting[place:], voice, limit_characters=limit_characters)
        for number in checks.doubtful():  # spoken before it was known what is usual for the voice
            piece = replace(wanted[number - 1], into=folder / f"again-{number:04d}")
            clips[number - 1] = ready(piece, source.retake(piece))
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
    clips = _at_one_pace(clips, [part.said for part in waiting if isinstance(part, Sentence)], folder)
    measurements = [measure_clip(clip) for clip in clips]
    match = match_levels(clips, measurements)
    said.notes.extend(match.notes())
    energies = [measured.energies * gain**2 for measured, gain in zip(measurements, match.gains, strict=True)]
    levelled = iter([replace(clip, gain=gain) for clip, gain in zip(clips, match.gains, strict=True)])
    return Speech(
        tuple(Spoken(part.text, next(levelled)) if isinstance(part, Sentence) else part for part in waiting),
        integrated_lufs(np.concatenate(energies)),
    )


@contextmanager
def _counted(source: PieceSource, said: SpeechStats) -> Iterator[None]:
    """Count what a voice was asked for, and has been paid for, even if it fails midway."""
    try:
        yield
    finally:
        said.hits, said.misses = said.hits + source.hits, said.misses + source.misses
        said.asked_characters += sum(source.asked_characters)
        said.cached_characters += source.cached_characters


def _at_one_pace(clips: Sequence[TrimmedClip], texts: Sequence[str], folder: Path) -> list[TrimmedClip]:
    """Bring pieces that are much slower or faster than the others nearer to them."""
    paces_s = [examine_piece(clip, SAMPLE_RATE_HZ, text).pace_s for clip, text in zip(clips, texts, strict=True)]
    paced = list(clips)
    for number, tempo in enumerate(pace_tempos(paces_s)):
        if tempo != 1.0:
            frames = max(1, round(clips[number].frames / tempo))
            blocks = stretched(clips[number], frames, SAMPLE_RATE_HZ)
            paced[number] = TrimmedClip(write_clip(folder / f"paced-{number:04d}.f32", blocks), 0, frames)
    return paced


def spaced_pieces(parts: Sequence[Part], voice: Voice, *, limit_characters: int | None = None) -> tuple[Part, ...]:
    """Make the pieces that a voice speaks at once, a sentence each, with the silences between them."""
    limit = voice.limit_characters if limit_characters is None else limit_characters
    return with_gaps(
        pieces(parts, limit) if limit else parts,
        sentence_gap_s=SENTENCE_GAP_S / voice.speed,
        paragraph_gap_s=PARAGRAPH_GAP_S / voice.speed,
    )


def _pieces_of(sentences: Collection[str], parts: Sequence[Part]) -> frozenset[str]:
    """Texts of the pieces that are one of the sentences, or, of a sentence that had to be cut, a part of it."""
    texts = {part.text for part in parts if isinstance(part, Sentence)}
    cut = {text for text in texts for sentence in sentences if sentence not in texts and text in sentence}
    return frozenset(texts.intersection(sentences) | cut)


def _places(parts: Sequence[Part]) -> list[int]:
    return [place for place, part in enumerate(parts) if isinstance(part, Sentence)]


def _wanted(
    parts: Sequence[Part], voice: Voice, *, folder: Path, take: int, new_takes: Collection[str]
) -> list[WantedPiece]:
    """All pieces of a script as they are asked for; another take of those that are wanted anew."""
    anew = _pieces_of(new_takes, parts)
    wanted = []
    for number, place in enumerate(_places(parts), 1):
        utterance = utterance_at(parts, place, take=take)
        part = parts[place]
        other_takes = 1 + random.randrange(1 << 30) if isinstance(part, Sentence) and part.text in anew else 0
        key, into = piece_key(utterance, voice), folder / f"speech-{number:04d}"
        wanted.append(WantedPiece(number, utterance, key, into, other_takes))
    return wanted


def unpaid_characters(
    parts: Sequence[Part], voice: Voice, *, cache: SpeechCache, take: int = 1, new_takes: Collection[str] = ()
) -> dict[str, int]:
    """Count the characters that a voice will be asked for, as they are sent, by piece; those of the cache are not.

    Second takes are not foreseen, and equal pieces are there once, as they are asked for.
    """
    pieces_of_script = _wanted(spaced_pieces(parts, voice), voice, folder=Path(), take=take, new_takes=new_takes)
    return {
        piece.key: len(piece.utterance.text)
        for piece in pieces_of_script
        if piece.other_takes or cache.find(piece.key) is None
    }


def utterance_at(parts: Sequence[Part], number: int, *, take: int = 1) -> Utterance:
    """Put a piece into its context: the end of the piece before it and the beginning of the next, over pauses, too."""
    part = parts[number]
    before = next((part.said for part in reversed(parts[:number]) if isinstance(part, Sentence)), "")
    after = next((part.said for part in parts[number + 1 :] if isinstance(part, Sentence)), "")
    said = part.said if isinstance(part, Sentence) else ""
    return Utterance(said, before[-_CONTEXT_CHARACTERS:], after[:_CONTEXT_CHARACTERS], take)


def piece_key(utterance: Utterance, voice: Voice) -> str:
    """Name a piece in the cache."""
    context = (utterance.previous, utterance.following) if voice.uses_context else ()
    take = (f"take={utterance.take}",) if utterance.take > 1 else ()
    return SpeechCache.key(voice.fingerprint, utterance.text, *context, *take)
