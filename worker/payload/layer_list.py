"""Reads the list `layers` of a payload: each entry by its kind, every mistake with its place in the list."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_origin

from pydantic import BaseModel, ValidationError

from worker.errors import JobError
from worker.payload.bands import BAND_BEAT_HZ
from worker.payload.layers import (
    LAYER_KINDS,
    MOST_LAYERS,
    SHORTEST_SPAN_S,
    Ducked,
    Layer,
    LayerFields,
    Sounding,
    SpeechLayer,
)
from worker.payload.messages import bare_type, format_key, format_value, validation_lines
from worker.payload.mistakes import Mistakes
from worker.payload.script import Sentence, parse_script, script_mistakes
from worker.untrusted_json import text_or_empty
from worker.voices import PROVIDERS

PLACE: Final = "layers"
# A whisper is the same voice, softer and without its low end: no voice is made to whisper by this.
WHISPER_DB: Final = -13.0
WHISPER_HIGH_PASS_HZ: Final = 200.0
_ALL_KEYS: Final = frozenset(key for kind in LAYER_KINDS.values() for key in kind.keys)


def read_layers(found: object, mistakes: Mistakes) -> tuple[Layer, ...]:
    """Read the entries of a payload's `layers`; those with a mistake are left out."""
    if not isinstance(found, list | tuple) or len(found) > MOST_LAYERS:
        mistakes.add(f"{PLACE}: found {format_value(found)}, allowed is a list of at most {MOST_LAYERS} objects", PLACE)
        return ()
    layers: list[Layer] = []
    for number, entry in enumerate(found):
        lines, layer = _read(entry, f"{PLACE}[{number}]")
        for line in lines:
            mistakes.add(line, PLACE)
        if layer is not None and not lines:
            layers.append(layer)
    return tuple(layers)


def _read(entry: object, name: str) -> tuple[list[JobError | str], Layer | None]:
    """Read one entry, called `name` in messages."""
    if not isinstance(entry, Mapping):
        return [f"{name}: found {format_value(entry)}, allowed is an object"], None
    stated = {str(key): value for key, value in entry.items() if value is not None}
    kinds = ", ".join(LAYER_KINDS)
    word = stated.get("kind")
    kind = LAYER_KINDS.get(text_or_empty(word).strip().lower())
    if kind is None:
        shown = "nothing" if word is None else format_value(word)
        return [f"{name}.kind: found {shown}, allowed is one of {kinds}"], None
    stated["kind"] = text_or_empty(word).strip().lower()
    lines: list[JobError | str] = [
        f"{name}.{key}: found {format_value(value)}, allowed is nothing: "
        + kind.instead.get(key, f"a layer of kind {stated['kind']} has no such field")
        for key, value in stated.items()
        if key in _ALL_KEYS - kind.keys.keys()
    ]
    values = _normalised(kind.model, stated)
    _fill_in(values)
    try:
        layer = kind.model.model_validate(values)
    except ValidationError as error:
        return [
            *lines,
            *(f"{name}.{line}" for _, line in validation_lines(error, kind.model, written_as={}, allowed={})),
        ], None
    return [*lines, *_inconsistent(layer, name)], layer  # type: ignore[return-value]  # the registry's models are these


def _normalised(model: type[BaseModel], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Bring an object to the form that its model expects; null is the same as leaving a key out."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    values: dict[str, Any] = {}
    for key, value in stated.items():
        if value is None or key not in fields:
            continue
        kind, _ = bare_type(fields[key].annotation)
        if isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, str):
            if get_origin(kind) is Literal:
                value = value.strip().lower()
            if kind is str and fields[key].default is None and not value.strip():
                continue
        elif isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            value = _normalised(kind, value)
        values[key] = value
    return values


def _fill_in(values: dict[str, Any]) -> None:
    """Fill in the defaults that depend on other fields."""
    if "beatHz" not in values and (band := text_or_empty(values.get("band"))) in BAND_BEAT_HZ:
        values["beatHz"] = BAND_BEAT_HZ[band]
    if values["kind"] != "speech":
        return
    voice = values.setdefault("voice", {})
    if isinstance(voice, dict):
        fill_in_voice(voice)
        if values.get("whisper") is True:
            voice.setdefault("highPassHz", WHISPER_HIGH_PASS_HZ)
            values.setdefault("gainDb", WHISPER_DB)


def fill_in_voice(voice: dict[str, Any]) -> None:
    """State the model of a provider that has one model as its default."""
    provider = PROVIDERS.get(text_or_empty(voice.get("provider", "openai")))
    if "model" not in voice and provider and provider.default_model and not provider.compatible_model:
        voice["model"] = provider.default_model  # where there are two, the address decides


def _inconsistent(layer: LayerFields, name: str) -> list[JobError | str]:
    """What is wrong with a layer whose fields are right one by one."""
    lines: list[JobError | str] = []
    if layer.end_s is not None and layer.end_s <= layer.start_s:
        lines.append(f"{name}.endSec: found {layer.end_s:g}, allowed is more than startSec ({layer.start_s:g})")
    if isinstance(layer, SpeechLayer):
        lines += _of_speech(layer, name)
        return lines
    if isinstance(layer, Sounding):
        lines += _of_spans(layer, name)
    needs = LAYER_KINDS[layer.kind].needs  # type: ignore[attr-defined]  # every kind of layer has it
    if needs and not any(getattr(layer, key) for key in needs):
        lines.append(f"{name}.{needs[0]}: found nothing, needed is {' or '.join(needs)}")
    return lines


def _of_spans(layer: Sounding, name: str) -> Iterator[str]:
    """What is wrong with the spans of a layer: one by one, each beside the one before, and with the layer's fades."""
    earliest_s, why = layer.start_s, "startSec"
    latest_s = math.inf if layer.end_s is None else layer.end_s
    for number, span in enumerate(layer.when):
        place = f"{name}.when[{number}]"
        end_s = latest_s if span.end_s is None else span.end_s
        if span.end_s is None and number + 1 < len(layer.when):
            yield f"{place}.endSec: found nothing, needed in all spans but the last"
            return
        if span.start_s < earliest_s:
            yield f"{place}.startSec: found {span.start_s:g}, allowed is at least {earliest_s:g} ({why})"
        if end_s > latest_s:
            yield f"{place}.endSec: found {end_s:g}, allowed is at most {latest_s:g} (endSec)"
        elif end_s - span.start_s < SHORTEST_SPAN_S - 1e-9:
            key, found_s = ("startSec", span.start_s) if span.end_s is None else ("endSec", end_s)
            yield f"{place}.{key}: found {found_s:g}, allowed are spans of at least {SHORTEST_SPAN_S:g} s"
        elif layer.fade_in_ms + layer.fade_out_ms > 1000 * (end_s - span.start_s) + 1e-6:
            key, found_ms = max(("fadeInMs", layer.fade_in_ms), ("fadeOutMs", layer.fade_out_ms), key=lambda of: of[1])
            yield (
                f"{name}.{key}: found {found_ms:g}, allowed are fades of at most "
                f"{1000 * (end_s - span.start_s):g} in all, the length of when[{number}]"
            )
            return
        earliest_s, why = max(earliest_s, end_s), f"where when[{number}] ends"


def _of_speech(layer: SpeechLayer, name: str) -> list[JobError | str]:
    if layer.voice.provider == "uploaded":
        return (
            []
            if layer.voice.url
            else [f"{name}.voice.url: found nothing, needed when voice.provider is uploaded: the recording's URL"]
        )
    try:
        if any(isinstance(part, Sentence) for part in parse_script(layer.script).parts):
            return []
    except JobError:
        errors = {error.message: error for error in script_mistakes(layer.script)}.values()  # each once
        return [
            JobError(f"{name}.{each.message}", code=each.code, customer_message=each.customer_message)
            for each in errors
        ]
    return [f"{name}.script: found nothing to speak, needed is a script, or a voice that is uploaded"]


def named_layers(
    layers: Sequence[Layer], taken: Sequence[str], voices: Collection[str], mistakes: Mistakes
) -> tuple[Layer, ...]:
    """Give each layer a name: its own, else its kind, with a number where that is taken.

    Parameters
    ----------
    taken : sequence of str
        Names of the job's own layers.
    voices : collection of str
        Those of them that speak.
    mistakes : Mistakes
        Gets names that are there twice, and names in `duckedBy` that no other voice has.
    """
    names = [*taken, *(layer.name for layer in layers if layer.name)]
    named: list[Layer] = []
    for number, layer in enumerate(layers):
        if not layer.name:
            free = (word for count in range(1, 99) if (word := layer.kind + f" {count}" * (count > 1)) not in names)
            layer = layer.model_copy(update={"name": next(free)})
            names.append(layer.name)
        elif names.count(layer.name) > 1 and (layer.name in taken or layer.name in (each.name for each in named)):
            mistakes.add(
                f"{PLACE}[{number}].name: found {format_value(layer.name)}, allowed is one that no other layer has"
            )
        named.append(layer)
    speaking = [*voices, *(layer.name for layer in named if isinstance(layer, SpeechLayer))]
    for number, layer in enumerate(named):
        if isinstance(layer, Ducked):
            allowed = [name for name in speaking if name != layer.name]
            for name in layer.ducked_by:
                if name not in allowed:
                    names_of = ", ".join(map(format_key, allowed)) or "nothing, since no other layer speaks"
                    mistakes.add(f"{PLACE}[{number}].duckedBy: found {format_value(name)}, allowed is {names_of}")
    return tuple(named)
