"""The JSON Schema and the TypeScript types of a job: both tell of every field what the code takes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from worker.cli.main import run
from worker.errors import JobError
from worker.payload.aliases import SPELLINGS
from worker.payload.descriptions import DESCRIPTIONS
from worker.payload.json_schema import payload_schema
from worker.payload.parse import parse_job
from worker.payload.typescript import typescript

SCHEMA = payload_schema()
MODELS: dict[str, dict[str, Any]] = {"RenderJob": SCHEMA, **SCHEMA["$defs"]}
TYPES = typescript(SCHEMA)
FIELDS = [(model, key) for model, found in MODELS.items() for key in found.get("properties", {})]
BASE = {"script": "Hi", "voice": {"provider": "local"}}


def test_every_field_is_described_and_no_other() -> None:
    described = {(model, key) for model, keys in DESCRIPTIONS.items() for key in keys if key}
    assert described == set(FIELDS)
    assert all(text.endswith(".") for keys in DESCRIPTIONS.values() for text in keys.values())


def test_every_field_of_a_job_can_be_reached_by_its_path() -> None:
    for path in SPELLINGS:
        model = SCHEMA
        for key in path.split("."):
            model = model["properties"][key]
            (reference,) = [each["$ref"] for each in (model, *model.get("anyOf", [])) if "$ref" in each] or [None]
            model = SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else model


@pytest.mark.parametrize("key", ["loopMode", "chapters", "outputFormat"])
def test_a_choice_of_the_schema_is_taken(key: str) -> None:
    field = SCHEMA["properties"][key]
    choices = [value for kind in (field, *field.get("anyOf", [])) for value in kind.get("enum", [])]
    for value in (*choices, *([True, False] if "anyOf" in field else [])):
        parse_job({**BASE, key: value})


def test_tones_are_the_nine_and_may_be_numbers() -> None:
    sequence = SCHEMA["$defs"]["Solfeggio"]["properties"]["sequence"]["items"]["anyOf"]
    parse_job({"solfeggio": {"sequence": [*sequence[0]["enum"], {"hz": 528}]}})
    with pytest.raises(JobError):
        parse_job({"solfeggio": {"sequence": [500]}})


def test_a_seed_has_its_range_in_the_schema_s_own_words() -> None:
    seed = SCHEMA["properties"]["seed"]["anyOf"][0]
    assert seed == {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**63}


@pytest.mark.parametrize(("model", "key"), FIELDS)
def test_every_field_is_typed_with_its_comment(model: str, key: str) -> None:
    declared = re.search(
        rf"export interface {'Job' if model == 'RenderJob' else model} {{\n(.*?)^}}", TYPES, re.M | re.S
    )
    assert declared
    found = re.search(rf"  /\*\* (.+) \*/\n  {key}(\??): (.+);\n", declared[1])
    assert found
    field = MODELS[model]["properties"][key]
    assert found[1].startswith(field["description"])
    assert found[2] == ("" if key in MODELS[model].get("required", []) else "?")
    for kind in (field, *field.get("anyOf", [])):
        for limit in ("minimum", "maximum", "maxLength"):
            assert limit not in kind or str(kind[limit]) in found[1]
        for choice in kind.get("enum", []):
            assert json.dumps(int(choice) if isinstance(choice, float) else choice) in found[3]
        if "$ref" in kind:
            assert kind["$ref"].rpartition("/")[2] in found[3]


def test_types_are_balanced_and_all_of_them_there() -> None:
    names = re.findall(r"^export (?:interface|type) (\w+)", TYPES, re.M)
    assert names == ["Job", *SCHEMA["$defs"]]
    assert TYPES.count("{") == TYPES.count("}")
    assert TYPES.count("/**") == TYPES.count("*/")


def test_the_command_prints_either(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    assert run(["schema", "--typescript"]) == 0
    assert capsys.readouterr().out == TYPES
