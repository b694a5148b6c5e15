"""Have a script spoken by the job's voice; by another, as `VOICE_FALLBACKS` says, where that one has ended or is out.

A whole script is spoken by one voice: a fallback begins anew, since no listener wants the voice to change within a
track.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from worker.config import Config
from worker.disk_cache import DiskCache
from worker.errors import ConfigurationError, JobError, TransientError, WaitError, WorkerError
from worker.fallbacks import ANY, VoiceName, fallbacks_of
from worker.payload.schema import VoiceChoice
from worker.tts.refused_voices import RefusedVoices
from worker.tts.service_errors import RewordedError, SpoiltError
from worker.voice_names import name_in_effect, speaker
from worker.voices import PROVIDERS

T = TypeVar("T")
Why = Literal["ended", "out", "reworded", "spoilt"]

IN_WORDS: dict[Why, str] = {
    "ended": "is not offered any more",
    "out": "did not answer",
    "reworded": "did not read the text as it is written",
    "spoilt": "spoke a piece twice so that it cannot be used",
}
_ENDED = ("voice.model", "voice.unknown", "voice.plan")
_NEXT_LOOK_S = 60.0
_FORGOTTEN_S = 600.0  # an outage of which nothing was noticed for so long is over
_BOOK_BYTES = 100_000


@dataclass(frozen=True)
class Turn:
    """A voice that is to speak a script, and what to open it with.

    Attributes
    ----------
    name : VoiceName
    choice : VoiceChoice
    config : Config
    number : int
        0 for the job's own voice.
    another_may_speak : bool
        Whether another voice speaks where this one does not.
    """

    name: VoiceName
    choice: VoiceChoice
    config: Config
    number: int = 0
    another_may_speak: bool = False


def voice_name(choice: VoiceChoice, config: Config) -> VoiceName:
    """Name the voice that a job is spoken by: the model and voice in effect."""
    return name_in_effect(choice.provider, choice.model, choice.id, config)


def may_be_own(choice: VoiceChoice, config: Config) -> bool:
    """Whether a job's voice may be a customer's own, cloned or uploaded: a name that is none of its provider's."""
    info = PROVIDERS[speaker(choice.provider, choice.model, config)]
    return choice.id is not None and bool(info.key_variable) and choice.id.lower() not in info.voices


def why_fall_back(error: WorkerError) -> Why | None:
    """Say why another voice may speak after an error; None where another voice would be no help."""
    if isinstance(error, RewordedError):
        return "reworded"
    if isinstance(error, SpoiltError):
        return "spoilt"
    if error.code in _ENDED:
        return "ended"
    is_outage = isinstance(error, TransientError) and not isinstance(error, WaitError)
    return "out" if is_outage and error.code.startswith("voice.") else None


def possible_turns(choice: VoiceChoice, config: Config) -> list[Turn]:
    """The job's own voice, and those that may speak in its place, in their order."""
    turns = [Turn(voice_name(choice, config), choice, config)]
    own = may_be_own(choice, config)
    for number, each in enumerate(turns):  # grows while it is walked
        for to in fallbacks_of(config.voice_fallbacks, each.name, own=own and number == 0):
            other = _turn_of(to, choice, config)
            if other.name not in [known.name for known in turns]:
                turns.append(replace(other, number=len(turns)))
    return turns


def spoken_by_first(
    choice: VoiceChoice,
    config: Config,
    speak: Callable[[Turn], T],
    *,
    waited_s: float,
    notes: list[str],
    asks_anyway: bool = True,
) -> T:
    """Call `speak` with the job's voice, then with its fallbacks, and return the first result.

    A voice that spoke badly is better than none: where all others fail, it has another turn.

    Parameters
    ----------
    speak : callable
        While another voice may speak, it raises `SpoiltError` for a piece that cannot be used; else it takes the piece.
    waited_s : float
        How long the job has waited; together with how long its service is known to be out, it decides whether an
        outage is long enough for a fallback. Infinite: any is.
    notes : list of str
        Who spoke instead, and why, is added.
    asks_anyway : bool
        Ask a voice that was refused just now, too.

    Raises
    ------
    WaitError
        The service is out, for less than VOICE_FALLBACK_AFTER_MIN so far.
    WorkerError
        As the job's own voice does, unless a fallback's error can be put right sooner.
    """
    outages = _Outages(config)
    refused = RefusedVoices(config)
    turns = possible_turns(choice, config)
    failures: list[WorkerError] = []
    whys: list[str] = []
    for number, each in enumerate(turns):
        known = None if asks_anyway else refused.recent(each.name)
        try:
            if known is not None:
                raise known
            spoken = speak(replace(each, another_may_speak=number + 1 < len(turns)))
        except WorkerError as error:
            if error is not known:
                refused.note(each.name, error)
            why = why_fall_back(error)
            if why is None and (number == 0 or not isinstance(error, ConfigurationError)):
                raise  # such as of the script
            failures.append(_ours(error, each.name) if number else error)
            if why == "out" and number == 0 and len(turns) > 1:
                _wait_for_it(error, max(waited_s, outages.lasts_s(each.name)), turns[1].name, config)
            whys.append(f"{each.name} {IN_WORDS[why or 'out']}")
        else:
            outages.over(each.name)
            refused.over(each.name)
            if number:
                notes.append(f"voice: {each.name} spoke, since {' and '.join(whys)}.")
                _log(turns[0].name, each.name, failures[0])
            return spoken
    for each, failure in zip(turns[:-1], failures, strict=False):  # the last one was not asked to be strict
        if isinstance(failure, SpoiltError):
            notes.append(f"voice: {each.name} spoke all the same, since {' and '.join(whys)}.")
            return speak(replace(each, number=len(turns)))
    # what will pass, or what an operator can put right, comes before what would fail the job
    raise next((error for error in failures if not isinstance(error, JobError)), failures[0])


def refused_just_now(choice: VoiceChoice, config: Config) -> ConfigurationError | None:
    """The refusal that a job would meet again, of its voice where no other may speak."""
    name = voice_name(choice, config)
    if fallbacks_of(config.voice_fallbacks, name, own=may_be_own(choice, config)):
        return None
    return RefusedVoices(config).recent(name)


def _turn_of(to: VoiceName, choice: VoiceChoice, config: Config) -> Turn:
    """What a fallback asks for, as settings: it is nothing that the customer has chosen."""
    info = PROVIDERS[to.provider]
    same_names = bool(info.key_variable) and info.key_variable == PROVIDERS[choice.provider].key_variable
    voice = (choice.id if same_names else None) if to.voice == ANY else to.voice
    if not info.key_variable:
        other = choice.model_copy(update={"provider": to.provider, "id": voice, "model": None})
        return Turn(voice_name(other, config), other, config)
    settings: dict[str, str] = {}
    if to.model != ANY:
        settings[info.model_variable.lower()] = to.model
    if voice is not None:
        settings[info.voice_variable.lower()] = voice
    other = choice.model_copy(update={"provider": to.provider, "id": None, "model": None})
    changed = config.model_copy(update=settings)
    return Turn(voice_name(other, changed), other, changed)


def _ours(error: WorkerError, name: VoiceName) -> WorkerError:
    """The error of a fallback, which the operator has chosen."""
    if isinstance(error, JobError):
        about = (name.provider, name.model, name.voice)
        return ConfigurationError(f"VOICE_FALLBACKS: {error.message}", code=error.code, about=about)
    return error


def _wait_for_it(error: WorkerError, waited_s: float, fallback: VoiceName, config: Config) -> None:
    left_s = 60 * config.voice_fallback_after_min - waited_s
    if left_s > 0:
        raise WaitError(
            f"{error.message}; {fallback} speaks instead in {left_s / 60:.0f} min (VOICE_FALLBACK_AFTER_MIN)",
            code=error.code,
            retry_after_s=max(error.retry_after_s or 0.0, min(_NEXT_LOOK_S, left_s)),
        ) from None


def _log(own: VoiceName, name: VoiceName, error: WorkerError) -> None:
    from loguru import logger  # it loads asyncio and ssl, which a render without a fallback does not need

    logger.bind(event="voice.fallback", code=error.code).warning("{} spoke for {}: {}", name, own, error.message)


class _Outages:
    """Since when a voice is known to be out, a small file for each; a lost one makes a job wait longer."""

    def __init__(self, config: Config) -> None:
        self._disk = DiskCache(config.cache_dir / "outages", max_bytes=_BOOK_BYTES)

    def lasts_s(self, name: VoiceName) -> float:
        """Note that it is out now, and return for how long it has been."""
        now = first = time.time()
        with suppress(ValueError):
            before, last = map(float, (self._disk.read(_file(name)) or b"").split())
            if 0 <= now - last < _FORGOTTEN_S:
                first = min(before, now)
        self._disk.keep(_file(name), f"{first:.0f} {now:.0f}".encode())
        return now - first

    def over(self, name: VoiceName) -> None:
        """Note that it has spoken."""
        if self._disk.find(_file(name)) is not None:
            self._disk.drop(_file(name))


def _file(name: VoiceName) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()[:32]
