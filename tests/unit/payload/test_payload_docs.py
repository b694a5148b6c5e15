"""The page of the payload: each field's range and default are the code's. (Examples: test_job_dialects.)"""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from paths import ROOT
from pydantic import BaseModel

from worker.payload.aliases import SPELLINGS
from worker.payload.layers import LAYER_KINDS
from worker.payload.messages import Allowed
from worker.payload.parse import parse_job
from worker.payload.schema import RenderJob

PAGE = ROOT / "docs" / "reference" / "job-payload.md"
ELSEWHERE = {"output.format": "outputFormat"}  # canonical names that the page calls otherwise
# told in other words: made from other fields, or longer than a cell
WORDED = {
    "seed": ("0 to 2⁶³ − 1",),
    "script": ("5,000",),
    "solfeggio.hz": ("174", "963"),
    "durationMin": ("0.05 to 480",),
}


def rows() -> dict[str, list[str]]:
    """Cells of the row of each field, by its dotted name; `.artist` after `metadata.title` is `metadata.artist`."""
    found: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        section = ""
        for name in re.findall(r"`([^`]+)`", cells[0]):
            whole = section + name if name.startswith(".") else name
            section = whole.rpartition(".")[0]
            found[whole] = cells
    return found


ROWS = rows()


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted name, sections opened; what may be else than an object is none."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        section = next((kind for kind in inner if issubclass(kind, BaseModel)), None)
        alias = f"{prefix}{field.alias or name}"
        listed = get_origin(field.annotation) is tuple or any(isinstance(mark, Allowed) for mark in field.metadata)
        if section is not None and not listed:
            found |= leaves(section, f"{alias}.")
        elif field.exclude is not True:
            found[alias] = field
    return found


FIELDS = leaves(RenderJob)
OF_LAYERS: dict[str, list[Any]] = {}  # of all kinds that have it
for _kind in LAYER_KINDS.values():
    for _name, _field in _kind.keys.items():
        OF_LAYERS.setdefault(f"layers[].{_name}", []).append(_field)


def numbers(cell: str) -> set[float]:
    """What a cell says in figures."""
    plain = cell.replace("−", "-").replace(",", "").replace("+", "")
    return {float(figure) for figure in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", plain)}


def marks(field: Any) -> list[object]:
    """All annotations of a field, those inside a union or a list included."""
    found = list(field.metadata)
    waiting = [field.annotation]
    while waiting:
        kind = waiting.pop()
        found += [mark for mark in getattr(kind, "__metadata__", ())]
        waiting += get_args(kind)
    return [mark for one in found for mark in (getattr(one, "metadata", None) or [one])]


def test_every_field_has_a_row_and_a_spelling():
    assert [name for name in FIELDS if ELSEWHERE.get(name, name) not in ROWS] == []
    assert set(FIELDS) == set(SPELLINGS)
    assert [name for name in ROWS if name.startswith("layers[].") and name not in OF_LAYERS] == []


@pytest.mark.parametrize("name", FIELDS)
def test_the_range_of_a_field_is_told(name):
    allowed = ROWS[ELSEWHERE.get(name, name)][1]
    if name in WORDED:
        assert [words for words in WORDED[name] if words not in allowed] == []
        return
    limits, choices = told(FIELDS[name])
    if name == "loopMode":
        choices = ["true", '`"repeat"`', '`"interval"`', "false"]
    if name == "chapters":
        choices = ["true", '`"lines"`', '`"repetitions"`', "false"]
    if name == "layers":
        choices = []  # of its kinds: below
        limits = {16.0}
    assert limits <= numbers(allowed), allowed
    assert [word for word in choices if word not in allowed] == []
    assert allowed


@pytest.mark.parametrize("name", OF_LAYERS)
def test_the_range_and_default_of_a_layers_field_are_told(name):
    _, allowed, default, _ = ROWS[name]
    key = name.removeprefix("layers[].")
    for field in OF_LAYERS[name]:
        if key == "kind":
            assert f"`{field.default}`" in allowed
            continue
        limits, choices = told(field)
        assert limits <= numbers(allowed), allowed
        if key == "loopMode":
            choices = ["true", '`"repeat"`', '`"interval"`', "false"]
        assert [word for word in choices if key not in ("voice", "timeline", "loop") and word not in allowed] == []
        value = field.get_default(call_default_factory=True)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert float(value) in numbers(default) or "from the band" in default
        assert default


def told(field: Any) -> tuple[set[float], list[str]]:
    """The limits and choices that a row has to tell."""
    limits: set[float] = set()
    choices: list[str] = []
    for mark in marks(field):
        limits |= {float(getattr(mark, kind.__name__.lower())) for kind in (Ge, Gt, Le, Lt) if isinstance(mark, kind)}
        if isinstance(mark, MaxLen):
            limits.add(float(mark.max_length))
    waiting = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if get_origin(kind) is Literal:
            choices += [f"`{word}`" for word in get_args(kind)]
        elif kind is bool:
            choices += ["true", "false"]
        else:
            waiting += get_args(kind)
    return limits, choices


@pytest.mark.parametrize("name", FIELDS)
def test_the_default_of_a_field_is_told(name):
    row = ROWS[ELSEWHERE.get(name, name)][2]
    default = FIELDS[name].get_default(call_default_factory=True)
    if name in ("loopMode", "chapters"):
        assert row == "true"
    elif isinstance(default, bool):
        assert row.startswith("on if") if name.endswith(".enabled") else row == str(default).lower()
    elif isinstance(default, int | float):
        assert float(default) in numbers(row) or "from the band" in row
    elif isinstance(default, str) and default:
        assert default in row
    elif isinstance(default, tuple) and default:
        assert all(f'"{word}"' in row for word in default)
    else:
        assert row in ("none", "the provider's") or "`" in row or name in ("seed", "startDelaySec", "durationMin"), row


def test_the_page_is_right_about_what_an_empty_job_becomes():
    """Rows of numbers against a parsed job: defaults that only parsing fills in."""
    job = parse_job({"script": "I am calm."})
    assert (job.start_delay_s, job.duration_min, job.voice.model) == (3, 5, None)
    assert numbers(ROWS["startDelaySec"][2]) == {3}
    assert numbers(ROWS["durationMin"][2]) == {5}
    assert "`gpt-realtime-2.1-mini`" in ROWS["voice.model"][2]
