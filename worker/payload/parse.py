"""Parse a payload of either dialect into one validated, frozen `RenderJob`.

`worker.payload.schema` holds the models; `worker.payload.aliases` translates every spelling into their keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from pydantic import ValidationError

from worker.errors import JobError
from worker.payload.aliases import Reading, load_payload, not_finite, read_payload
from worker.payload.messages import format_value, validation_error
from worker.payload.schema import LAYERS, RenderJob
from worker.payload.script import Pause, parse_script

DEFAULT_DURATION_MIN: Final = 5.0
# fields without influence on the seed
NOT_SOUND: Final = frozenset(
    {"seed", "output", "metadata", "deliver", "gains", "safety", "chapters", "lyrics", "pronounce"}
)
NOT_WORDS: Final = frozenset({"high_pass_hz", "declick", "tidy", "care", "take"})  # the same of the voice


def parse_job(
    payload: Mapping[str, Any] | str | bytes,
    *,
    max_script_characters: int = 5000,
    max_duration_min: float = 480.0,
    recordings: Collection[Literal["voice", "music"]] = (),
) -> RenderJob:
    """Read and check a job of either dialect.

    Parameters
    ----------
    payload : mapping, str or bytes
        The payload, or its JSON text (UTF-8).
    max_script_characters, max_duration_min : int, float
        Longest script; longest track in minutes.
    recordings : collection of "voice", "music"
        Layers whose sound is given as a file (`--voice`, `--music`), whatever the payload names.

    Returns
    -------
    job : RenderJob
        All aliases resolved, all defaults filled in, layers that are off are None.

    Raises
    ------
    JobError
        One line: the field as the sender wrote it, what was found, what is allowed. No script is quoted.
    """
    loaded = load_payload(payload)
    reading = read_payload(loaded)
    length = f"a number from 0.05 to {max_duration_min:g} (minutes)"
    try:
        job = RenderJob.model_validate(reading.values)
    except ValidationError as error:
        raise validation_error(
            error, RenderJob, written_as=reading.written_as, allowed={("durationMin",): length}
        ) from None
    if (found := not_finite(loaded)) is not None:
        raise JobError(f"{found[0]}: found {format_value(found[1])}, allowed is a finite number")
    if len(job.script) > max_script_characters:
        raise JobError(f"script: found {len(job.script)} characters, allowed are at most {max_script_characters}")
    if job.duration_min is not None and job.duration_min > max_duration_min:
        name = reading.written_as["durationMin",]
        raise JobError(f"{name}: found {job.duration_min:g}, allowed is {length}")
    job = _completed(job, reading, recordings)
    if job.duration_min is None and (silence_s := pauses_s(job)) > max_duration_min * 60:
        raise JobError(
            f"script: found pauses of {silence_s:.0f} s in all, allowed are at most {max_duration_min:g} minutes"
        )
    return job


def pauses_s(job: RenderJob) -> float:
    """All silences of a script; a track without a duration is as long as its speech and these."""
    return sum(part.seconds for part in parse_script(job.script).parts if isinstance(part, Pause))


def _completed(job: RenderJob, reading: Reading, recordings: Collection[str]) -> RenderJob:
    """Remove what is off, check what depends on several fields, and fill in the rest."""
    changes: dict[str, Any] = {"dialect": reading.dialect, "unknown_keys": reading.unknown_keys}
    changes |= {name: None for name, section in job if getattr(section, "enabled", None) is False}
    music = job.background_music
    if music is not None and not (music.url or music.id or music.name) and "music" not in recordings:
        changes["background_music"] = None
    job = job.model_copy(update=changes)
    if job.solfeggio is not None and not job.solfeggio.tones:
        name = reading.written_as["solfeggio", "hz"]
        raise JobError(f"{name}: found nothing, needed when solfeggio is on: a Solfeggio frequency in Hz")
    if job.binaural is not None and reading.carrier_is_left_ear:
        # the older dialect names the left ear's tone, not the middle of the two
        middle_hz = job.binaural.carrier_hz + job.binaural.beat_hz / 2
        job = job.model_copy(update={"binaural": job.binaural.model_copy(update={"carrier_hz": middle_hz})})
    if job.voice.provider == "uploaded" and job.voice.url is None and "voice" not in recordings:
        raise JobError("voice.url: found nothing, needed when voice.provider is uploaded: the recording's URL")
    voiced = job.has_voice or "voice" in recordings
    if not (voiced or "music" in recordings or job.layers):
        *keys, last = (kind.key for kind in LAYERS.values())
        raise JobError(f"the job has no layer: at least one of {', '.join(keys)} and {last} is needed")
    if job.duration_min is None and not voiced:
        job = job.model_copy(update={"duration_min": DEFAULT_DURATION_MIN})
    return job if job.seed is not None else job.model_copy(update={"seed": _seed_of(job)})


def _seed_of(job: RenderJob) -> int:
    """Derive a seed from all that sounds, so that the same job sounds the same on every machine."""
    unread: dict[str, Any] = {**dict.fromkeys(NOT_SOUND, True), "voice": NOT_WORDS}
    content = job.model_dump(mode="json", by_alias=True, exclude=unread)
    if (music := job.background_music) is not None:
        content["backgroundMusic"] = {"url": music.url or music.id or music.name}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
