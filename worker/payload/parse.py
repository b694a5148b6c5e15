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
from worker.payload.known_keys import unknown_key_line, unknown_keys
from worker.payload.layer_list import PLACE, named_layers
from worker.payload.layers import MOST_LAYERS, SpeechLayer
from worker.payload.messages import Loc, format_value, validation_lines
from worker.payload.mistakes import Mistakes
from worker.payload.schema import RenderJob
from worker.payload.script import Pause, parse_script, script_mistakes
from worker.payload.short_form import MUSIC, SHORT_KEYS, VOICE

DEFAULT_DURATION_MIN: Final = 5.0
TRACKS: Final = "tracks"  # an album's list of jobs
# fields without influence on the seed
NOT_SOUND: Final = frozenset(
    {"seed", "output", "metadata", "deliver", "gains", "safety", "chapters", "lyrics", "peaks", "pronounce"}
)
# the same of a listed layer: where and how loud it is
PLACING: Final = frozenset({"gain", "gain_db", "pan", "width", "ducked_by", "fade_in_ms", "fade_out_ms", "when"})
NOT_WORDS: Final = frozenset({"high_pass_hz", "declick", "tidy", "care", "take"})  # the same of the voice


def parse_job(
    payload: Mapping[str, Any] | str | bytes,
    *,
    max_script_characters: int = 5000,
    max_duration_min: float = 480.0,
    recordings: Collection[Literal["voice", "music"]] = (),
    strict: bool = False,
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
    strict : bool
        Keys that mean nothing are mistakes, too.

    Returns
    -------
    job : RenderJob
        All aliases resolved, all defaults filled in, layers that are off are None.

    Raises
    ------
    JobError
        A line for each mistake, the first one first: the field as the sender wrote it, what was found, what is allowed.
        No script is quoted.
    """
    mistakes = Mistakes()
    loaded = load_payload(payload)
    if isinstance(loaded.get(TRACKS), list):
        found = format_value(loaded[TRACKS])
        mistakes.add(f"{TRACKS}: found {found}, allowed is nothing: a job is one track, and this is an album", TRACKS)
        mistakes.raise_any()
    reading = read_payload(loaded, mistakes)
    length = f"a number from 0.05 to {max_duration_min:g} (minutes)"
    job = _validated(reading, mistakes, allowed={("durationMin",): length})
    for name, value in not_finite(loaded):
        if not mistakes.name(name):
            mistakes.add(f"{name}: found {format_value(value)}, allowed is a finite number")
    if len(job.script) > max_script_characters:
        mistakes.add(
            f"script: found {len(job.script)} characters, allowed are at most {max_script_characters}", "script"
        )
    scripts = [layer.script for layer in job.layer_list if isinstance(layer, SpeechLayer)]
    if scripts and len(job.script) <= max_script_characters < (all_in := sum(map(len, [job.script, *scripts]))):
        mistakes.add(f"{PLACE}: found {all_in} characters in all scripts, allowed are at most {max_script_characters}")
    if job.duration_min is not None and job.duration_min > max_duration_min:
        name = reading.written_as["durationMin",]
        if not mistakes.name(name):  # it may be no finite number
            mistakes.add(f"{name}: found {job.duration_min:g}, allowed is {length}", "durationMin")
    unknown = unknown_keys(loaded)
    job = _completed(job.model_copy(update={"unknown_keys": unknown}), reading, recordings, mistakes)
    if job.duration_min is None and not mistakes.touch("script", "durationMin"):
        silence_s = pauses_s(job)
        if silence_s > max_duration_min * 60:
            mistakes.add(
                f"script: found pauses of {silence_s:.0f} s in all, allowed are at most {max_duration_min:g} minutes"
            )
    for name in unknown if strict else ():
        mistakes.add(unknown_key_line(name))
    mistakes.raise_any()
    return job if job.seed is not None else job.model_copy(update={"seed": _seed_of(job)})


def _validated(reading: Reading, mistakes: Mistakes, *, allowed: Mapping[Loc, str]) -> RenderJob:
    """Make a job of what is right; what is wrong is a mistake, and left out, so that the rest can be checked."""
    values = reading.values
    while True:
        try:
            return RenderJob.model_validate(values)
        except ValidationError as error:
            wrong: set[Loc] = set()
            for loc, line in validation_lines(error, RenderJob, written_as=reading.written_as, allowed=allowed):
                field = next(
                    (loc[:length] for length in range(len(loc), 0, -1) if loc[:length] in reading.written_as), loc
                )
                mistakes.add(line, ".".join(map(str, field)))
                wrong.add(field)
            before, values = values, _without(values, wrong)
            if values == before:  # no field is at fault: nothing else can be checked
                mistakes.raise_any()


def _without(values: Mapping[str, Any], wrong: Collection[Loc]) -> dict[str, Any]:
    """Nested values without those at some places."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if (key,) in wrong:
            continue
        below = {loc[1:] for loc in wrong if loc[:1] == (key,)}
        kept[key] = _without(value, below) if below and isinstance(value, Mapping) else value
    return kept


def pauses_s(job: RenderJob) -> float:
    """All silences of a script; a track without a duration is as long as its speech and these."""
    return sum(part.seconds for part in parse_script(job.script).parts if isinstance(part, Pause))


def _completed(job: RenderJob, reading: Reading, recordings: Collection[str], mistakes: Mistakes) -> RenderJob:
    """Remove what is off, check what depends on several fields, and fill in the rest."""
    changes: dict[str, Any] = {"dialect": reading.dialect}
    changes |= {name: None for name, section in job if getattr(section, "enabled", None) is False}
    music = job.background_music
    if music is not None and not (music.url or music.id or music.name) and "music" not in recordings:
        changes["background_music"] = None
    job = job.model_copy(update=changes)
    if job.solfeggio is not None and not job.solfeggio.tones and not mistakes.touch("solfeggio"):
        name = reading.written_as["solfeggio", "hz"]
        mistakes.add(f"{name}: found nothing, needed when solfeggio is on: a Solfeggio frequency in Hz")
    if job.binaural is not None and reading.carrier_is_left_ear:
        # the older dialect names the left ear's tone, not the middle of the two
        middle_hz = job.binaural.carrier_hz + job.binaural.beat_hz / 2
        job = job.model_copy(update={"binaural": job.binaural.model_copy(update={"carrier_hz": middle_hz})})
    no_recording = job.voice.provider == "uploaded" and job.voice.url is None and "voice" not in recordings
    if no_recording and not mistakes.touch("voice.url"):
        mistakes.add("voice.url: found nothing, needed when voice.provider is uploaded: the recording's URL")
    voiced = mistakes.touch("script") or _has_voice(job, mistakes) or "voice" in recordings
    job = _with_layers(job, recordings, mistakes, voiced=voiced)
    keys = [*SHORT_KEYS.values(), PLACE]
    may_have = mistakes.touch(*keys, "background_music", "voice", "session")
    if not (voiced or MUSIC in recordings or may_have or job.layers):
        *keys, last = keys
        mistakes.add(f"the job has no layer: at least one of {', '.join(keys)} and {last} is needed")
    if job.duration_min is None and not voiced:
        job = job.model_copy(update={"duration_min": DEFAULT_DURATION_MIN})
    return job


def _with_layers(job: RenderJob, recordings: Collection[str], mistakes: Mistakes, *, voiced: bool) -> RenderJob:
    """Name the layers of the list, and check them beside those of the job's own fields."""
    if not job.layer_list or mistakes.touch(PLACE):
        return job
    script = "" if mistakes.touch("script") else job.script
    short = job.model_copy(update={"layer_list": (), "script": script})
    taken = [layer.name for layer in short.every_layer((*recordings, *([VOICE] if voiced else [])))]
    voices = [VOICE] if voiced else []
    if len(taken) + len(job.layer_list) > MOST_LAYERS:
        mistakes.add(
            f"{PLACE}: found {len(job.layer_list)} and {len(taken)} of the job's own fields, "
            f"allowed are {MOST_LAYERS} in all"
        )
    if job.duration_min is None and voiced and not mistakes.touch("durationMin"):
        for number, layer in enumerate(job.layer_list):
            if isinstance(layer, SpeechLayer):
                mistakes.add(f"durationMin: found nothing, needed where {PLACE} has a voice (here {PLACE}[{number}])")
                break
    return job.model_copy(update={"layer_list": named_layers(job.layer_list, taken, voices, mistakes)})


def _has_voice(job: RenderJob, mistakes: Mistakes) -> bool:
    """Whether anything is to be spoken; what the script may not hold is a mistake."""
    try:
        return job.has_voice
    except JobError:
        for error in {error.message: error for error in script_mistakes(job.script)}.values():  # each once
            mistakes.add(error, "script")
        return True


def _seed_of(job: RenderJob) -> int:
    """Derive a seed from all that sounds, so that the same job sounds the same on every machine."""
    unread: dict[str, Any] = {**dict.fromkeys(NOT_SOUND, True), "voice": NOT_WORDS}
    unread["layer_list"] = {"__all__": PLACING} if job.layer_list else True
    content = job.model_dump(mode="json", by_alias=True, exclude=unread)
    if (music := job.background_music) is not None:
        content["backgroundMusic"] = {"url": music.url or music.id or music.name}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
