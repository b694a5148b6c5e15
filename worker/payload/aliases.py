"""The two payload dialects: every spelling of every field becomes the web app's key.

Only that a section is an object is checked here; the models of `worker.payload.schema` check the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worker.errors import JobError
from worker.payload.bands import BAND_BEAT_HZ
from worker.payload.layer_list import PLACE, fill_in_voice, read_layers
from worker.payload.messages import Allowed, Loc, bare_type, format_key, format_value
from worker.payload.mistakes import Mistakes
from worker.payload.schema import RenderJob
from worker.payload.sessions import SESSIONS, session_values
from worker.untrusted_json import text_or_empty

Dialect = Literal["app", "edge"]

EDGE_SPEED: Final = 1.0
LONGEST_SESSION_MIN: Final = 1440

_MUSIC_LEVEL = tuple(
    f"{music}.{key}" for key in ("volume_db", "volume") for music in ("backgroundMusic", "background_music")
)
# The other spellings of a field, in order: the first one that is not null wins. The field's own key comes first.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "voice.id": ("voice.voice_id", "voice_id"),
    "voice.speed": ("voice.settings.speed",),
    "durationMin": ("duration",),
    "pauseSec": ("loop.pause_seconds",),
    "loopMode": ("loop.enabled",),
    "intervalSec": ("loop.interval_seconds",),
    "startDelaySec": ("start_delay_seconds",),
    "backgroundMusic.url": ("background_music.url", "background_music.track_id", "backgroundMusic.track_id"),
    "backgroundMusic.id": ("background_music.id",),
    "backgroundMusic.name": ("background_music.name",),
    "backgroundMusic.loop": ("background_music.loop",),
    "solfeggio.hz": ("solfeggio.frequency",),
    "binaural.beatHz": ("binaural.beat_frequency",),
    "binaural.carrierHz": ("binaural.base_frequency",),
    "gains.musicDb": _MUSIC_LEVEL,
    "gains.solfeggioDb": ("solfeggio.volume_db", "solfeggio.volume"),
    "gains.binauralDb": ("binaural.volume_db", "binaural.volume"),
    "safety.targetLufs": ("output.target_lufs",),
}


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """The path, bare type and description of every field that is not a section of its own.

    A model is none where `Allowed` says what else it may be than an object.
    """
    for name, field in model.model_fields.items():
        path, (kind, _) = f"{prefix}{field.alias or name}", bare_type(field.annotation)
        one_of_many = any(isinstance(mark, Allowed) for mark in field.metadata)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not one_of_many:
            yield from _leaves(kind, f"{path}.")
        elif not field.exclude:
            yield path, kind, field


LEAVES: Final = tuple(_leaves(RenderJob))
SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {path: (path, *_ALIASES.get(path, ())) for path, _, _ in LEAVES} | {
    "output.format": ("outputFormat", "output.format")
}
_KNOWN: Final = tuple(dict.fromkeys(name for names in SPELLINGS.values() for name in names))
_SECTIONS: Final = tuple(
    dict.fromkeys(name[:dot] for name in _KNOWN for dot in (at for at, letter in enumerate(name) if letter == "."))
)
_CHOICES: Final = frozenset(path for path, kind, _ in LEAVES if get_origin(kind) is Literal)
# Text where an empty form field means that nothing was chosen.
_BLANK_IS_ABSENT: Final = frozenset(path for path, kind, field in LEAVES if kind is str and field.default is None)

# Keys that only one dialect has. One key of the app's decides a mixed payload. Keys of later features (session,
# ducking, …) and those that both dialects share decide nothing.
_EDGE_KEYS: Final = frozenset(
    {"background_music.track_id", "background_music.url", "background_music.volume", "voice.voice_id"}
    | {"solfeggio.frequency", "solfeggio.volume", "output.normalize", "output.target_lufs"}
    | {"binaural.base_frequency", "binaural.beat_frequency", "binaural.volume"}
)
_APP_KEYS: Final = frozenset(
    {"voice.id", "voice.speed", "durationMin", "duration", "pauseSec", "loop.pause_seconds", "loopMode"}
    | {"loop.enabled", "intervalSec", "startDelaySec", "start_delay_seconds", "outputFormat"}
    | {"backgroundMusic.url", "backgroundMusic.id", "backgroundMusic.name", "backgroundMusic.volume_db"}
    | {"solfeggio.enabled", "solfeggio.hz", "solfeggio.wave", "solfeggio.volume_db"}
    | {"binaural.enabled", "binaural.beatHz", "binaural.carrierHz", "binaural.volume_db"}
    | {"gains.voiceDb", "gains.musicDb", "gains.solfeggioDb", "gains.binauralDb"}
    | {"carrierType", "carrierGainDb", "fade.inMs", "fade.outMs", "safety.targetLufs", "safety.limiter"}
)

# What switches a layer on where `enabled` does not say; in the older dialect a level alone does, too.
_TONE_KEYS: Final = {
    "solfeggio": frozenset({"hz", "sequence"}),
    "binaural": frozenset({"band", "beatHz", "carrierHz", "mode", "timeline"}),
}


@dataclass(frozen=True)
class Reading:
    """A payload in the web app's keys.

    Attributes
    ----------
    values : dict
        Nested, nulls left out, ready for `RenderJob`.
    written_as : mapping
        From a place in `values` to the sender's name of it.
    carrier_is_left_ear : bool
        The carrier was stated as `binaural.base_frequency`, which is the left ear's tone.
    """

    values: dict[str, Any]
    written_as: Mapping[Loc, str]
    dialect: Dialect
    carrier_is_left_ear: bool


def load_payload(payload: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    """Read JSON text, or JSON text within JSON text, which some rows hold; a mapping is returned as it is.

    Raises
    ------
    JobError
        If the text is not UTF-8, not JSON (with line and column), or no object.
    """
    loaded: object = payload
    if isinstance(payload, str | bytes):
        try:
            text = payload.decode("utf-8-sig") if isinstance(payload, bytes) else payload
            loaded = json.loads(text)
            if isinstance(loaded, str) and loaded.lstrip().startswith("{"):
                loaded = json.loads(loaded)
        except UnicodeDecodeError as error:
            raise JobError(f"the job is not valid JSON: byte {error.start} is not UTF-8") from None
        except json.JSONDecodeError as error:
            raise JobError(
                f"the job is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
        except (RecursionError, ValueError) as error:  # nested too deeply, or a number with too many digits
            raise JobError(f"the job is not valid JSON: {error}") from None
    if not isinstance(loaded, Mapping):
        raise JobError(f"the job: found {format_value(loaded)}, allowed is an object")
    return loaded


def read_payload(payload: Mapping[str, Any], mistakes: Mistakes) -> Reading:
    """Translate a payload of either dialect. A section that is no object is a mistake, and left out."""
    for section in _SECTIONS:
        found = _value_at(payload, section)
        if found is not None and not isinstance(found, Mapping):
            mistakes.add(f"{section}: found {format_value(found)}, allowed is an object", section)
    stated = {name: value for name in _KNOWN if (value := _value_at(payload, name)) is not None}
    dialect: Dialect = "edge" if _EDGE_KEYS & stated.keys() and not _APP_KEYS & stated.keys() else "app"
    values: dict[str, Any] = {}
    written_as: dict[Loc, str] = {}
    chosen: dict[str, str] = {}
    for key, names in SPELLINGS.items():
        # where nothing is stated, messages use the name of this dialect
        usual = next((name for name in names if name in _EDGE_KEYS), names[0]) if dialect == "edge" else names[0]
        loc: Loc = tuple(key.split("."))
        written_as[loc] = usual
        for name in names:
            value = _normalised(key, stated.get(name))
            if value is not None:
                _put(values, loc, value)
                written_as[loc] = name
                chosen[key] = name
                break
    if PLACE in values:
        values[PLACE] = read_layers(values[PLACE], mistakes)
    _fill_in(values, dialect, chosen)
    return Reading(
        values,
        written_as,
        dialect,
        chosen.get("binaural.carrierHz") == "binaural.base_frequency",
    )


def _value_at(payload: Mapping[str, Any], name: str) -> Any:
    found: Any = payload
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _put(values: dict[str, Any], loc: Loc, value: Any) -> None:
    *sections, key = loc
    for section in sections:
        values = values.setdefault(str(section), {})
    values[str(key)] = value


def _normalised(key: str, value: Any) -> Any:
    """Bring a value to the form that the models expect."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str):
        if (key in _BLANK_IS_ABSENT or key == "session") and not value.strip():
            return None
        if key in _CHOICES:
            value = value.strip().lower()
        if key == "output.quality" and value == "standard":
            return "medium"
    return value


def _fill_in(values: dict[str, Any], dialect: Dialect, chosen: Mapping[str, str]) -> None:
    """Fill in the defaults that depend on other fields."""
    if (name := text_or_empty(values.get("session"))) in SESSIONS:
        _apply_session(values, name)
    for section, tone_keys in _TONE_KEYS.items():
        tone = values.get(section)
        level_only = dialect == "edge" and chosen.get(f"gains.{section}Db", "").startswith(section)
        if tone is None and level_only:
            tone = values[section] = {}
        if tone is not None:
            tone.setdefault("enabled", level_only or not tone_keys.isdisjoint(tone))
    binaural = values.get("binaural", {})
    if "beatHz" not in binaural and (band := text_or_empty(binaural.get("band"))) in BAND_BEAT_HZ:
        binaural["beatHz"] = BAND_BEAT_HZ[band]
    voice = values.setdefault("voice", {})
    fill_in_voice(voice)
    if dialect == "edge":
        voice.setdefault("speed", EDGE_SPEED)
        values.setdefault("durationMin", None)
        if values["durationMin"] is None:
            values.setdefault("startDelaySec", None)


def _apply_session(values: dict[str, Any], name: str) -> None:
    """Fill in a session's values; a stated beat or carrier replaces the session's course of it."""
    stated = values.get("durationMin")
    # a length that will be refused makes no difference here
    usable = isinstance(stated, int | float) and 0 < stated <= LONGEST_SESSION_MIN
    for key, value in session_values(name, stated if usable else None).items():
        if key == "binaural":
            values[key] = _session_beat(value, values.get(key, {}))
        elif key == "fade":
            values[key] = value | values.get(key, {})
        else:
            values.setdefault(key, value)


def _session_beat(session: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    gone = {"beatHz"} if {"band", "beatHz"} & stated.keys() else set()
    gone |= {"carrierHz"} & stated.keys()
    course = ({key: value for key, value in point.items() if key not in gone} for point in session["timeline"])
    kept = {key: value for key, value in session.items() if key not in gone}
    return kept | {"timeline": tuple(point for point in course if len(point) > 1)} | stated


def not_finite(payload: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Find each NaN and infinity anywhere in a payload, with its path; JSON has no such numbers."""
    waiting: list[tuple[str, Any]] = [("", payload)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield path, value
        inside: list[tuple[str, Any]] = []
        if isinstance(value, Mapping):
            keys = {key: format_key(key) for key in value}
            inside = [(f"{path}.{keys[key]}" if path else keys[key], inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            inside = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
        waiting += reversed(inside)
