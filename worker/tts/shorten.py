"""Fit a voice into its track: shorten the script before it is spoken, the speech afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal

import numpy as np

from dsp.blocks import Clip, db_to_gain, magnitudes, spans
from dsp.loudness import integrated_lufs
from dsp.stretch import stretched
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.script import Pause, Sentence, parse_script
from worker.plan.fit import (
    MOST_TEMPO,
    Ending,
    Parts,
    Projection,
    begins_at,
    count_sentences,
    first_sentences,
    last_ending_that_fits,
    project,
    room_for_voice,
    sentences_that_fit,
    tempo_to_fit,
    voice_too_long,
)
from worker.plan.recordings import Speech, Spoken, in_frames
from worker.plan.repetitions import repetition_of
from worker.tts.cache import SpeechCache
from worker.tts.pace import PaceBook, spoken_characters
from worker.tts.processing import EDGE_S, TAIL_S, TrimmedClip, measure_clip, write_clip
from worker.tts.speech import piece_key, spaced_pieces, utterance_at
from worker.tts.voice import Voice

SpokenParts = Sequence[Spoken | Pause]
FitMode = Literal["adapt", "fail"]

QUIET_DB: Final = -40.0  # below a recording's own peak: what counts as a pause between words
SHORTEST_QUIET_S: Final = 0.15
FADED_END_S: Final = 0.5  # of a voice that must end in the middle of sound
_STEP_S: Final = 0.01
_DOUBT: Final = 1.5  # times the projected length: what fits with so much to spare needs no second look
_LEAST_S: Final = 0.5  # of a voice that is cut
_LEAST_KEPT: Final = 0.5  # of the room; before it no pause is looked for


def script_that_fits(
    job: RenderJob,
    parts: Parts,
    voice: Voice,
    *,
    fit: FitMode,
    cache: SpeechCache,
    paces: PaceBook,
    notes: list[str],
) -> Parts:
    """Shorten a script to what its track has room for, before anything is spoken and paid.

    Parameters
    ----------
    parts : tuple of Sentence or Pause
        From `parse_script`.
    cache : SpeechCache
        Pieces that are here are paid for, and are spoken. A decision is kept here, too, so that a second attempt speaks
        the same words.
    notes : list of str
        What was left out is added.

    Returns
    -------
    parts : tuple of Sentence or Pause
        All of them where an earlier beginning and a tempo of up to `MOST_TEMPO` will do; else the first sentences.

    Raises
    ------
    JobError
        job.voice_too_long: with "fail" where the script does not fit as it is; with "adapt" where not even
        one sentence fits.
    """
    room = room_for_voice(job)
    if room is None or not count_sentences(parts):
        return parts
    pace_s = paces.pace_s(voice.provider, voice.pace_key) / voice.speed

    def projected(some: Parts) -> Projection:
        return project(spaced_pieces(some, voice), pace_s=pace_s, count=spoken_characters)

    whole, sentences = projected(parts), count_sentences(parts)
    if room.first + _DOUBT * whole.frames() <= room.until:
        return parts
    # the decision holds for later attempts, too: other words would have to be paid for again
    key = cache.key("sentences that fit", fit, voice.fingerprint, job.script, str(room))
    count = _decided(cache, key, most=sentences)
    if count is None:
        fits = room.first + whole.frames() <= room.until
        if fit == "fail" and not fits:
            raise voice_too_long(job, whole.frames(), projected=True)
        if fits or whole.frames(MOST_TEMPO) <= room.frames or _all_paid(parts, voice, cache, take=job.voice.take):
            count = sentences
        else:
            count = sentences_that_fit(parts, room.frames, projected) or sentences_that_fit(
                parts, room.with_fade_in.frames, projected
            )
        if not count:
            raise voice_too_long(job, projected(first_sentences(parts, 1)).frames(), projected=True)
        cache.keep(key, str(count).encode())
    if count == sentences:
        return parts
    notes.append(
        f"The script was too long for the track: its first {count} of {sentences} sentences are spoken. "
        f"All of it would take about {whole.seconds():.0f} s, and there is room for "
        f"{room.frames / SAMPLE_RATE_HZ:.0f} s."
    )
    return first_sentences(parts, count)


def _decided(cache: SpeechCache, key: str, *, most: int) -> int | None:
    """What an earlier attempt of the same job has decided."""
    kept = cache.read(key)
    if kept is None or not kept.isdigit() or len(kept) > len(str(most)):
        return None
    return int(kept) if 1 <= int(kept) <= most else None


def _all_paid(parts: Parts, voice: Voice, cache: SpeechCache, *, take: int) -> bool:
    """Whether every piece of a script is in the cache: then its true length costs nothing."""
    spaced = spaced_pieces(parts, voice)
    sentences = (number for number, part in enumerate(spaced) if isinstance(part, Sentence))
    return all(cache.find(piece_key(utterance_at(spaced, number, take=take), voice)) for number in sentences)


@dataclass(frozen=True)
class Fitted:
    """Speech that fits, and the job with the start delay at which it does."""

    job: RenderJob
    speech: Speech


def fitted(job: RenderJob, speech: Speech, *, fit: FitMode, folder: Path, notes: list[str]) -> Fitted:
    """Make speech of known length fit into its track: begin earlier, then faster, then end sooner.

    Parameters
    ----------
    speech : Speech
        Spoken words, or one recording without text.
    fit : "adapt" or "fail"
        Speech that has been paid for is always made to fit.
    folder : Path
        For what is stretched.
    notes : list of str
        What was changed is added.

    Raises
    ------
    JobError
        job.voice_too_long: a recording that does not fit as it is, with "fail"; a track without any room.
    """
    room = room_for_voice(job)
    length = _frames(speech.parts)
    if room is None or not length or room.first + length <= room.until:
        return Fitted(job, speech)
    is_recording = not any(part.text for part in _spoken(speech.parts))
    if is_recording and fit == "fail":
        raise voice_too_long(job, length)
    parts: SpokenParts | None = speech.parts
    within, how = room.frames, ""
    if is_recording and within < _LEAST_S * SAMPLE_RATE_HZ:
        within = room.with_fade_in.frames
    elif not is_recording and tempo_to_fit(*_lengths(speech.parts), within) is None:
        endings = list(_endings(speech.parts, job.script))
        last = last_ending_that_fits(endings, within)
        if last is None:
            within = room.with_fade_in.frames
            last = last_ending_that_fits(endings, within)
        if last is not None:
            parts, how = speech.parts[: last.part + 1], "after a whole sentence"
    if not how and tempo_to_fit(*_lengths(speech.parts), within) is None:
        parts, how = _cut(speech.parts, within)
    if parts is None or (tempo := tempo_to_fit(*_lengths(parts), within)) is None:
        raise voice_too_long(job, length)
    if how:
        notes.append(
            f"The voice of {length / SAMPLE_RATE_HZ:.1f} s is longer than the track: it ends {how}, at "
            f"{_frames(parts) / SAMPLE_RATE_HZ:.1f} s."
        )
        energies = [measure_clip(part.clip).energies for part in _spoken(parts)]
        speech = Speech(tuple(parts), integrated_lufs(np.concatenate(energies)))
    if tempo > 1.0:
        notes.append(f"The voice is {100 * (tempo - 1):.1f} % faster than ordered, so that it fits into the track.")
        speech = replace(speech, parts=tuple(_faster(speech.parts, tempo, folder)))
    first = begins_at(room.with_fade_in, _frames(speech.parts))
    if first is None:
        raise voice_too_long(job, length)
    if first < room.first:
        notes.append(
            f"The voice begins at {first / SAMPLE_RATE_HZ:.1f} s instead of {room.first / SAMPLE_RATE_HZ:.1f} s, "
            "so that it ends before the track fades out."
        )
    return Fitted(job.model_copy(update={"start_delay_s": first / SAMPLE_RATE_HZ}), speech)


def _cut(parts: SpokenParts, room_frames: int) -> tuple[SpokenParts | None, str]:
    """End speech whose sentences are not known within its first words, in the last pause that fits, else faded out.

    Gives what is left, None where there is no room at all; and where it ends, in words.
    """
    number, first = next((n, part) for n, part in enumerate(parts) if isinstance(part, Spoken))
    silence = sum(in_frames(part.seconds) for part in parts[:number] if isinstance(part, Pause))
    most = min(int(MOST_TEMPO * (room_frames - silence)), first.clip.frames)
    if most < _LEAST_S * SAMPLE_RATE_HZ:
        return None, ""
    ends = [_cut_at(pause) for pause in quiet_spans(first.clip)]
    fitting = [end for end in ends if _LEAST_KEPT * most <= end <= most]
    end, fall_s, how = (fitting[-1], EDGE_S, "in a pause") if fitting else (most, FADED_END_S, "fading out")
    return (*parts[:number], Spoken(first.text, _ended(first.clip, end, fall_s))), how


def _cut_at(pause: tuple[int, int]) -> int:
    """Where in a pause to end: after the tail of the word, before the next one."""
    start, stop = pause
    return start + min(in_frames(TAIL_S), (stop - start) // 2)


def quiet_spans(clip: Clip) -> list[tuple[int, int]]:
    """Find the pauses within a clip: at least `SHORTEST_QUIET_S` below `QUIET_DB` of its peak, in frames."""
    step = in_frames(_STEP_S)
    peaks = np.concatenate(
        [
            np.zeros(0, np.float32),
            *(
                np.maximum.reduceat(magnitudes(clip.read(first, last)), np.arange(0, last - first, step))
                for first, last in spans(0, clip.frames, 300 * step)
            ),
        ]
    )
    quiet = peaks <= peaks.max(initial=0.0) * db_to_gain(QUIET_DB)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    least = SHORTEST_QUIET_S / _STEP_S
    return [
        (int(first) * step, min(int(last) * step, clip.frames))
        for first, last in edges.reshape(-1, 2)
        if last - first >= least and first > 0
    ]


def _endings(parts: SpokenParts, script: str) -> Iterator[Ending]:
    """Every place after a whole sentence: the ends of pieces, but within a sentence that was too long for the voice."""
    parsed = (part for part in parse_script(script).parts if isinstance(part, Sentence))
    whole = set(accumulate(_letters(sentence.text) for sentence in parsed))
    words = silences = waiting = letters = 0
    for number, part in enumerate(parts):
        if isinstance(part, Pause):
            waiting += in_frames(part.seconds)
            continue
        silences, waiting = silences + waiting, 0
        words += part.clip.frames
        letters += _letters(part.text)
        if letters in whole:
            yield Ending(number, words, silences)


def _letters(text: str) -> int:
    """Characters that cutting leaves as they are: all but white space."""
    return sum(map(len, text.split()))


def _ended(clip: Clip, frames: int, fall_s: float) -> Clip:
    return TrimmedClip(clip, 0, frames, fall_frames=min(in_frames(fall_s), frames // 2))


def _faster(parts: SpokenParts, tempo: float, folder: Path) -> Iterator[Spoken | Pause]:
    """Make every word `tempo` times as fast; pauses stay."""
    for number, part in enumerate(parts):
        if isinstance(part, Spoken):
            frames = int(part.clip.frames / tempo)  # rounded down, so that all together fit
            blocks = stretched(part.clip, frames, SAMPLE_RATE_HZ)
            part = replace(part, clip=write_clip(folder / f"fitted-{number:04d}.f32", blocks))
        yield part


def _spoken(parts: SpokenParts) -> list[Spoken]:
    return [part for part in parts if isinstance(part, Spoken)]


def _lengths(parts: SpokenParts) -> tuple[int, int]:
    """Frames of words, and of the silences before the last of them."""
    repetition = repetition_of(parts)
    return sum(piece.clip.frames for piece in repetition.pieces), sum(repetition.silences)


def _frames(parts: SpokenParts) -> int:
    return sum(_lengths(parts))
