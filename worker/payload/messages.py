"""Messages about an invalid payload, one line each: the field as its sender wrote it, its value, what is allowed."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

SHOWN_CHARACTERS = 60
Loc = tuple[int | str, ...]


@dataclass(frozen=True)
class Allowed:
    """Annotation for a field whose type does not show its allowed values."""

    text: str


def validation_lines(
    error: ValidationError,
    model: type[BaseModel],
    *,
    written_as: Mapping[Loc, str],
    allowed: Mapping[Loc, str],
) -> Iterator[tuple[Loc, str]]:
    """Turn a pydantic error of a model into a line about each of its errors, with its place.

    Parameters
    ----------
    written_as : mapping
        From a place in the model's own keys to the sender's name for it, where they differ.
    allowed : mapping
        What is allowed at places whose limits the model does not know.
    """
    for found in error.errors(include_url=False):
        loc = found["loc"]
        name = _written(loc, written_as)
        annotation, metadata = _field_at(model, loc)
        marks = [mark.text for mark in metadata if isinstance(mark, Allowed)]
        if found["type"] == "value_error" and not marks:
            yield loc, f"{name}: {found['ctx']['error']}"
        else:
            limits = allowed.get(loc) or (marks[0] if marks else _allowed(annotation, metadata))
            value = "nothing" if found["type"] == "missing" else format_value(found["input"])
            yield loc, f"{name}: found {value}, allowed is {limits}"


def format_key(key: object) -> str:
    """A customer's key, short and on one line."""
    return json.dumps(str(key)[:SHOWN_CHARACTERS])[1:-1]


def format_value(value: object) -> str:
    """Show a value, short and on one line; containers by their kind only."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a list of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN_CHARACTERS], ensure_ascii=not value.isprintable())
        return f"{text}… ({len(value)} characters)" if len(value) > SHOWN_CHARACTERS else text
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int):
        # a number of thousands of digits would not even convert to text
        return str(value) if abs(value) < 10**SHOWN_CHARACTERS else "a whole number of more than 60 digits"
    return f"a {type(value).__name__}"


def _written(loc: Loc, written_as: Mapping[Loc, str]) -> str:
    """The sender's name of a place, with the rest of the path below the longest known one."""
    for length in range(len(loc), 0, -1):
        if loc[:length] in written_as:
            name, rest = written_as[loc[:length]], loc[length:]
            break
    else:
        name, rest = str(loc[0]) if loc else "the job", loc[1:]
    for part in rest:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    return name


def _field_at(model: type[BaseModel], loc: Loc) -> tuple[Any, list[Any]]:
    """The bare type at a place, and the bounds noted with it."""
    annotation: Any = model
    metadata: list[Any] = []
    for part in loc:
        if isinstance(part, int):
            annotation, metadata = get_args(annotation)[0], []
        else:
            fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
            annotation, metadata = fields[part].annotation, list(fields[part].metadata)
        annotation, noted = bare_type(annotation)
        metadata += noted
    return annotation, metadata


def bare_type(annotation: Any) -> tuple[Any, list[Any]]:
    """Take off `Annotated` and `| None`."""
    metadata: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *noted = get_args(annotation)
            for mark in noted:
                metadata += getattr(mark, "metadata", [mark])
        elif get_origin(annotation) in (Union, types.UnionType):
            (annotation,) = (choice for choice in get_args(annotation) if choice is not type(None))
        else:
            return annotation, metadata


def _allowed(annotation: Any, metadata: Sequence[Any]) -> str:
    bounds = ("ge", "le", "lt", "max_length")
    low, high, below, longest = (next((getattr(m, b) for m in metadata if hasattr(m, b)), None) for b in bounds)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "a list" + (f" of at most {longest}" if longest else "")
    if annotation in (int, float):
        kind = "a whole number" if annotation is int else "a number"
        upper = f" to {high}" if high is not None else f" to below {below}" if below is not None else " upwards"
        return f"{kind} from {low}{upper}" if low is not None else kind
    if annotation is bool:
        return "true or false"
    if annotation is str:
        return "a text" + (f" of at most {longest} characters" if longest else "")
    return "an object"
