"""What a job takes from its row in `tracks`: everything for "render again", else title and cover. Pure.

"Render again" queues ``{quality, format, requested_at}`` and nothing else; the rest of the job is in the track's
columns: `script`, `voice_config`, `music_config`, `frequency_config`, `output_config`, `start_delay_seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.errors import JobError
from worker.payload.album import is_album
from worker.payload.layer_list import PLACE
from worker.payload.short_form import SHORT_KEYS
from worker.untrusted_json import read_json, text_or_empty

_SOUND = (*SHORT_KEYS.values(), PLACE, "background_music", "session")
_LONGEST_TITLE = 500


@dataclass(frozen=True)
class Completed:
    """A payload, filled in from the track; `is_of_track` where it names no layer, so that all were taken from there."""

    payload: Mapping[str, Any]
    is_of_track: bool = False
    has_tracks_cover: bool = False


def completed_payload(payload: Mapping[str, Any], row: Mapping[str, Any] | None) -> Completed:
    """Fill a payload of either dialect in from its track's row, whose JSON columns are text; None without a track.

    An album is called after the row's title, which would else be that of each of its tracks.

    Raises
    ------
    JobError
        If a column that is needed holds no JSON object.
    """
    if row is None:
        return Completed(payload)
    album = is_album(payload)
    is_of_track = not album and not _names_sound(payload)
    if is_of_track:
        own = {key: value for key, value in payload.items() if value is not None and key not in ("quality", "format")}
        payload = {**_payload_of(row, payload), **own}
    metadata = payload.get("metadata")
    has_tracks_cover = False
    if metadata is None or isinstance(metadata, Mapping):
        stated = {key: value for key, value in (metadata or {}).items() if value not in (None, "")}
        title, cover = text_or_empty(row.get("title"))[:_LONGEST_TITLE], text_or_empty(row.get("cover_image_url"))
        of_track = {key: value for key, value in (("album" if album else "title", title), ("cover", cover)) if value}
        payload = {**payload, "metadata": {**of_track, **stated}}
        has_tracks_cover = bool(cover) and "cover" not in stated
    return Completed(payload, is_of_track, has_tracks_cover)


def _names_sound(payload: Mapping[str, Any]) -> bool:
    voice = payload.get("voice")
    recorded = isinstance(voice, Mapping) and bool(voice.get("url"))
    return recorded or any(payload.get(key) and (key, payload[key]) != ("carrierType", "none") for key in _SOUND)


def _payload_of(row: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """A payload in the web app's keys, made of the track's columns."""
    voice, music, tones, output = (
        _object(row, name, name) for name in ("voice_config", "music_config", "frequency_config", "output_config")
    )
    loop = _object(output, "loop", "output_config.loop")
    pronounce = voice.get("pronounce")
    payload: dict[str, Any] = {
        "script": text_or_empty(row.get("script")),
        "voice": {
            **{key: value for key, value in voice.items() if key not in ("voice_id", "pronounce")},
            "id": voice.get("voice_id"),
        },
        "backgroundMusic": music or None,
        "durationMin": output.get("durationMin"),
        "loopMode": loop.get("enabled"),
        "pauseSec": loop.get("pause_seconds"),
        "startDelaySec": row.get("start_delay_seconds"),
        "outputFormat": request.get("format") or output.get("format"),
        "output": {"quality": request.get("quality") or output.get("quality")},
    }
    if pronounce:
        payload["pronounce"] = pronounce
    for name, key in (("solfeggio", "frequency"), ("binaural", "band")):
        tone = _object(tones, name, f"frequency_config.{name}")
        if tone.get(key) is not None:
            payload[name] = {"enabled": True, **tone}
    return payload


def _object(holder: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    """A JSON object, or its text; an empty one where nothing was saved."""
    value = holder.get(key)
    if value in (None, "", "null", "[]", '""', []):
        return {}
    loaded = read_json(value) if isinstance(value, str) else value
    if not isinstance(loaded, Mapping):
        raise JobError(f"tracks.{name}: found no object, needed to render the track again", code="job.track")
    return loaded
