"""Which keys may stand where in a payload of either dialect; and of one that may not, what was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from worker.payload.aliases import LEAVES, SPELLINGS
from worker.payload.layer_list import PLACE
from worker.payload.layers import LAYER_KINDS
from worker.payload.messages import bare_type, format_key
from worker.payload.schema import MusicLoop

_ALIKE = 0.7  # of `difflib`'s ratio: two letters of nine may be others
_NEXT = re.compile(r"([^.\[]+)((?:\[\d+\])*)\.")  # the first key of a dotted name, if others follow


@dataclass
class _Place:
    """An object: the keys that may stand in it, and of those whose values are objects, or lists of them, theirs.

    `named` are the web app's keys; others are spellings of them. In an object without `keys` any may stand.
    """

    keys: dict[str, _Place] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)


def unknown_keys(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The dotted names of all keys that mean nothing where they stand, such as ``binaural.timeline[0].beat``."""
    return tuple(_unknown(payload, _tree(), ""))


def unknown_key_line(name: str) -> str:
    """What to tell of one of `unknown_keys`: what was meant, or what may stand there."""
    place, at, rest = _tree(), "", name
    while (found := _NEXT.match(rest)) and found[1] in place.keys:
        place, at, rest = place.keys[found[1]], at + found[0], rest[found.end() :]
    meant = _meant(rest, place)
    if meant is None and at:
        hint = f"known in {at[:-1]} are {', '.join(place.named)}"
    else:
        hint = "`mindscript-worker schema` prints all" if meant is None else f"did you mean {meant}?"
    return f"{at}{format_key(rest)}: not a known key; {hint}"


def _unknown(value: object, place: _Place, path: str) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unknown(item, place, f"{path}[{index}]")
    elif isinstance(value, Mapping) and place.keys:
        for key, inner in value.items():
            name = f"{path}.{key}" if path else str(key)
            if key not in place.keys:
                yield name
            else:
                yield from _unknown(inner, place.keys[key], name)


def _meant(key: str, place: _Place) -> str | None:
    """The same key in another spelling, else where it would be right, else the key that it is most like."""
    bare = _bare(key)
    here = {_bare(each): each for each in (*place.keys, *place.named)}
    if bare in here:
        return here[bare]
    if elsewhere := next((path for path in SPELLINGS if _bare(path.rpartition(".")[2]) == bare), None):
        return elsewhere
    return here[alike[0]] if (alike := difflib.get_close_matches(bare, here, n=1, cutoff=_ALIKE)) else None


def _bare(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


@cache
def _tree() -> _Place:
    root = _Place()
    for path, names in SPELLINGS.items():
        for name in (path, *names):
            place = root
            for key in name.split("."):
                if name == path and key not in place.named:
                    place.named.append(key)
                place = place.keys.setdefault(key, _Place())
    for path, kind, _ in LEAVES:
        if path == PLACE:
            continue
        model = bare_type(get_args(kind)[0])[0] if get_origin(kind) is tuple else kind
        if isinstance(model, type) and issubclass(model, BaseModel):
            inner = [each.alias or name for name, each in model.model_fields.items()]
            named = ["from", "to"] if model is MusicLoop else inner
            for name in SPELLINGS[path]:
                _at(root, name).keys |= {key: _Place() for key in named}
                _at(root, name).named = named
    layers = root.keys[PLACE]
    for kind_of_layer in LAYER_KINDS.values():
        _add(layers, kind_of_layer.model)
    return root


def _add(place: _Place, model: type[BaseModel]) -> None:
    """Let the fields of a model stand in a place, and those of the models within it below."""
    for name, each in model.model_fields.items():
        key = each.alias or name
        below = place.keys.setdefault(key, _Place())
        if key not in place.named:
            place.named.append(key)
        kind, _ = bare_type(each.annotation)
        inner = bare_type(get_args(kind)[0])[0] if get_origin(kind) is tuple else kind
        if inner is MusicLoop:
            below.keys, below.named = {"from": _Place(), "to": _Place()}, ["from", "to"]
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            _add(below, inner)


def _at(place: _Place, name: str) -> _Place:
    for key in name.split("."):
        place = place.keys[key]
    return place
