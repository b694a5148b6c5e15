"""TypeScript types of a job, made from its JSON Schema."""

from __future__ import annotations

import json
from typing import Any

_HEAD = """\
// The payload of a job, in the web app's keys. Made by `mindscript-worker schema --typescript`: do not edit.
"""
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def typescript(schema: dict[str, Any]) -> str:
    """Write the types of a schema as a module: one for each of its definitions, and the whole as `Job`."""
    models = {"Job": schema, **schema["$defs"]}
    return "\n".join([_HEAD, *(_declaration(name, model) for name, model in models.items())])


def _declaration(name: str, model: dict[str, Any]) -> str:
    comment = _comment([model["description"]], "")
    if "properties" not in model:
        return f"{comment}export type {name} = {_type(model)};\n"
    required = model.get("required", [])
    lines = []
    for key, field in model["properties"].items():
        lines.append(_comment(_told(field), "  "))
        lines.append(f"  {key}{'' if key in required else '?'}: {_type(field)};\n")
    return f"{comment}export interface {name} {{\n{''.join(lines)}}}\n"


def _told(field: dict[str, Any]) -> list[str]:
    """What a comment says of a field: description, limits, default."""
    limits = _limits(field)
    default = field.get("default")
    sentences = [field["description"], f"{limits[:1].upper()}{limits[1:]}." if limits else ""]
    if default is not None and not isinstance(default, dict):
        sentences.append(f"Default: {_value(default)}.")
    return [sentence for sentence in sentences if sentence]


def _limits(field: dict[str, Any]) -> str:
    kinds = [field, *field.get("anyOf", [])]
    found = {name: kind[name] for kind in kinds for name in _LIMITS if name in kind}
    if {"minimum", "maximum"} <= found.keys():
        return f"from {found['minimum']} to {found['maximum']}"
    return ", ".join(words.format(found[name]) for name, words in _LIMITS.items() if name in found)


def _type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return str(kind["$ref"].rpartition("/")[2])
    if kinds := kind.get("anyOf", kind.get("oneOf")):
        return " | ".join(dict.fromkeys(map(_type, kinds)))
    if "enum" in kind:
        return " | ".join(map(_value, kind["enum"]))
    if "const" in kind:
        return json.dumps(kind["const"])
    if kind["type"] == "array":
        inner = _type(kind["items"])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind["type"] == "object":
        return _object(kind)
    return _PLAIN[kind["type"]]


def _value(value: Any) -> str:
    """A JSON value; of a whole number no fraction."""
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _object(kind: dict[str, Any]) -> str:
    if "properties" not in kind:
        return f"Record<string, {_type(kind['additionalProperties'])}>"
    required = kind.get("required", [])
    fields = (f"{key}{'' if key in required else '?'}: {_type(each)}" for key, each in kind["properties"].items())
    return f"{{ {'; '.join(fields)} }}"


def _comment(sentences: list[str], indent: str) -> str:
    text = " ".join(sentences).replace("*/", "* /")
    return f"{indent}/** {text} */\n"
