"""Which pieces of a job's speech may be in the cache, so that they can be removed from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from worker.config import Config
from worker.errors import WorkerError
from worker.payload.schema import RenderJob
from worker.payload.script import Part, Sentence, parse_script
from worker.pronounce import Pronunciations
from worker.tts import open_voice
from worker.tts.cache import SpeechCache
from worker.tts.fallback import possible_turns
from worker.tts.speech import piece_key, spaced_pieces, utterance_at
from worker.tts.voice import Voice


@dataclass(frozen=True)
class Dropped:
    """How many pieces were removed from the folder, and the voices whose pieces cannot be named here, and why."""

    pieces: int
    unknown: tuple[str, ...]


def drop_pieces(job: RenderJob, config: Config, cache: SpeechCache) -> Dropped:
    """Remove all pieces that the job's voice, and those that may speak in its place, have spoken for it.

    A piece is named by voice, model, settings and words, as they are now: one that was spoken under other settings is
    not found.
    """
    pieces, unknown = 0, []
    for turn in possible_turns(job.voice, config):
        try:
            voice = open_voice(turn.choice, turn.config)
        except WorkerError as error:
            unknown.append(f"{turn.name}: {error.message}")
            continue
        with closing(voice):
            script = parse_script(
                job.script,
                keeps_directions=voice.takes_directions,
                pronunciations=Pronunciations({**config.pronounce_file, **job.pronounce}),
            )
            keys = set(_keys(spaced_pieces(script.parts, voice), voice, take=turn.choice.take))
        pieces += sum(cache.drop(key) for key in keys)
    return Dropped(pieces, tuple(unknown))


def _keys(parts: Sequence[Part], voice: Voice, *, take: int) -> Iterator[str]:
    """Of each piece in its context, and as the last one of a script that was shortened."""
    for place, part in enumerate(parts):
        if isinstance(part, Sentence):
            yield piece_key(utterance_at(parts, place, take=take), voice)
            yield piece_key(utterance_at(parts[: place + 1], place, take=take), voice)
