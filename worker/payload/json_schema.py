"""What a job may hold, as JSON Schema: made from the models, with what they do not show by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from worker.payload.descriptions import DESCRIPTIONS
from worker.payload.layers import LAYER_KINDS
from worker.payload.schema import SOLFEGGIO_HZ, RenderJob

_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def payload_schema() -> dict[str, Any]:
    """The JSON Schema of the web app's dialect."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **RenderJob.model_json_schema()}
    models = {"RenderJob": schema, **schema["$defs"]}
    _state(models)
    for name, model in models.items():
        model["description"] = DESCRIPTIONS[name][""]
        for key, field in model.get("properties", {}).items():
            field.pop("title", None)
            field["description"] = DESCRIPTIONS[name].get(key, "")
    for part in _parts(schema):
        part.pop("discriminator", None)  # OpenAPI's word, not JSON Schema's
        for ours, theirs in _BOUNDS.items():
            if ours in part and "type" in part:
                part[theirs] = part.pop(ours)
    return schema


def payload_schema_text() -> str:
    """The same as a file's text."""
    return json.dumps(payload_schema(), indent=2, ensure_ascii=False) + "\n"


def _state(models: dict[str, dict[str, Any]]) -> None:
    """Write what parsing takes and the models' types do not say."""
    job = models["RenderJob"]["properties"]
    for kind in LAYER_KINDS.values():
        models[kind.model.__name__]["properties"]["kind"].pop("default")
        models[kind.model.__name__]["required"] = ["kind"]
        models[kind.model.__name__]["properties"]["name"].pop("default")  # it depends on its kind
    for field in (job["loopMode"], job["chapters"], models["SpeechLayer"]["properties"]["loopMode"]):
        words = {"type": field.pop("type"), "enum": field.pop("enum")}
        field["anyOf"] = [{"type": "boolean"}, words]
    for name in ("Solfeggio", "Binaural", "Ducking"):
        del models[name]["properties"]["enabled"]["default"]  # it depends on the other keys
    output = models["Output"]["properties"]
    output["quality"]["enum"].insert(2, "standard")
    job["outputFormat"] = dict(output["format"])
    tone = {"type": "number", "enum": list(SOLFEGGIO_HZ)}
    for name in ("Solfeggio", "SolfeggioTone"):
        field = models[name]["properties"]["hz"]
        if "anyOf" in field:
            field["anyOf"][0] = tone
        else:
            field |= tone
    sequence = models["Solfeggio"]["properties"]["sequence"]
    sequence["items"] = {"anyOf": [tone, sequence["items"]]}
    sequence = models["ToneLayer"]["properties"]["sequence"]
    hz = {name: value for name, value in models["SequenceTone"]["properties"]["hz"].items() if name != "title"}
    sequence["items"] = {"anyOf": [hz, sequence["items"]]}


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema."""
    if isinstance(value, dict):
        yield value
        for inner in list(value.values()):
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)
