"""A payload as a whole: its script, its text as JSON, limits, seed, and any JSON at all."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_cases import BASE, TONE, refused

from worker.errors import JobError
from worker.payload.aliases import SPELLINGS
from worker.payload.parse import RenderJob, parse_job


def test_only_what_is_played_of_the_music_makes_the_seed():
    """The same order sounds the same, whatever the catalogue calls its music."""
    tone = {"solfeggio": {"hz": 528}}
    seeds = [
        parse_job({**tone, "backgroundMusic": {"url": "rain.mp3", **more}}).seed
        for more in ({}, {"id": "rain", "name": "Rain"}, {"id": "other"})
    ]
    assert len(set(seeds)) == 1
    assert parse_job({**tone, "backgroundMusic": {"id": "rain.mp3"}}).seed == seeds[0]
    assert parse_job({**tone, "backgroundMusic": {"id": "wind.mp3"}}).seed != seeds[0]


class TestScript:
    def test_its_length_is_limited_without_quoting_it(self):
        assert parse_job({"script": "a" * 5000}).script == "a" * 5000
        assert refused({"script": "secret" * 900}) == "script: found 5400 characters, allowed are at most 5000"
        assert refused({"script": "abcdef"}, max_script_characters=5).startswith("script: found 6 characters")

    @pytest.mark.parametrize("script", [5, ["secret words"], {"secret": "words"}, True])
    def test_another_kind_is_refused(self, script):
        message = refused({"script": script, **TONE})
        assert message.startswith("script: found ")
        assert "secret" not in message

    @pytest.mark.parametrize("script", ["half \ud800 a pair", "nul \0 byte"])
    def test_what_nothing_can_hold_is_refused_unquoted(self, script):
        message = refused({"script": script})
        assert message.startswith("script: holds a character")
        assert "half a pair" not in message

    def test_a_pause_out_of_range_is_refused(self):
        assert refused({"script": "Breathe. [pause 900s]"}).startswith("script: found a pause of 900 s")

    def test_it_does_not_show_in_a_job_that_is_printed(self):
        assert "secret" not in repr(parse_job({"script": "my secret"}))


def test_the_longest_track_is_configurable_and_named_as_sent():
    assert parse_job({**TONE, "durationMin": 1000}, max_duration_min=1000).duration_min == 1000
    assert refused({**TONE, "duration": 31}, max_duration_min=30) == (
        "duration: found 31, allowed is a number from 0.05 to 30 (minutes)"
    )


class TestJsonText:
    def test_bytes_text_and_mapping_give_the_same_job(self):
        text = json.dumps(BASE)
        assert (
            parse_job(text) == parse_job(text.encode()) == parse_job(b"\xef\xbb\xbf" + text.encode()) == parse_job(BASE)
        )

    def test_a_syntax_error_names_line_and_column(self):
        assert refused('{"script": "a",\n  "durationMin": }').endswith("at line 2, column 18")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "{",
            "[" * 100_000,
            '{"a":' * 100_000,
            b"\xff\xfe",
            '{"seed": ' + "1" * 5000 + "}",
            "nul",
        ],
    )
    def test_what_is_not_json_is_refused(self, text):
        assert refused(text).startswith("the job is not valid JSON: ")

    @pytest.mark.parametrize(("text", "found"), [("[]", "a list of 0"), ('"x"', '"x"'), ("3", "3"), ("null", "null")])
    def test_what_is_not_an_object_is_refused(self, text, found):
        assert refused(text) == f"the job: found {found}, allowed is an object"

    @pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_nan_and_infinity_are_refused_wherever_they_are(self, literal):
        assert refused(f'{{"durationMin": {literal}}}').startswith("durationMin: found ")
        message = refused(f'{{"script": "Hi", "extra": [1, {{"deep": {literal}}}]}}')
        assert message.startswith("extra[1].deep: found ")

    def test_a_strange_key_is_named_on_one_line(self):
        assert refused({"script": "Hi", "a\nb": math.nan}).startswith("a\\nb: found NaN")
        assert len(refused({"script": "Hi", "x" * 9999: math.inf})) < 200

    def test_of_duplicate_keys_the_last_counts(self):
        assert parse_job('{"script": "Hi", "durationMin": 3, "durationMin": 4}').duration_min == 4


def test_every_list_and_text_of_a_payload_has_a_limit():
    """But the script, and the track's length, whose limits are settings."""
    without: list[str] = []

    def look(path: str, schema: Any) -> None:
        if isinstance(schema, list):
            for item in schema:
                look(path, item)
        elif isinstance(schema, dict):
            kind, chosen = schema.get("type"), {"enum", "const"} & schema.keys()
            needed = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}.get(str(kind))
            open_object = kind != "object" or schema.get("additionalProperties")
            if needed and needed not in schema and not chosen and open_object:
                without.append(path)
            for key, inner in schema.items():
                look(f"{path}.{key}" if key not in ("properties", "$defs", "anyOf") else path, inner)

    look("", RenderJob.model_json_schema())
    assert without == [".SpeechLayer.script", ".script", ".pronounce.additionalProperties"], "see `check_entries`"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"voice": {"tidy": ["dc"] * 21}}, "voice.tidy: found a list of 21"),
        ({"deliver": ["speakers"] * 21}, "deliver: found a list of 21"),
        (
            {"gains": {"timeline": {"voice": [{"atMin": n / 1000, "db": 0} for n in range(1001)]}}},
            "list of at most 1000",
        ),
    ],
)
def test_more_than_that_is_refused_by_name(payload, says):
    assert says in refused({"script": "I am calm.", "solfeggio": {"hz": 528}} | payload)


def test_pauses_alone_cannot_make_a_track_of_days():
    """The older dialect states no length: the track is as long as its speech."""
    script = "I am. [pause 600s] " * 49
    assert parse_job({"script": script[:-20], "voice": {"voice_id": "x"}}).duration_min is None
    says = refused({"script": script, "voice": {"voice_id": "x"}})
    assert says == "script: found pauses of 29400 s in all, allowed are at most 480 minutes"


def test_several_errors_give_the_first_and_the_count():
    message = refused({**TONE, "durationMin": 0, "pauseSec": -1, "fade": {"inMs": "x"}})
    assert message == "durationMin: found 0, allowed is a number from 0.05 to 480 (minutes) (and 2 more errors)"
    assert refused({**TONE, "durationMin": 0, "pauseSec": -1}).endswith("(and 1 more error)")


def test_a_long_value_is_shown_in_short_and_on_one_line():
    message = refused({"voice": {"provider": "line\nbreak" * 500}})
    assert len(message) < 250
    assert "(5000 characters)" in message


@pytest.mark.parametrize("voice", [{"tidy": False}, {"care": "gentle"}])
def test_tidy_and_care_leave_the_seed_alone(voice):
    assert parse_job({**TONE, "voice": voice}).seed == parse_job(TONE).seed


class TestSeed:
    def test_a_stated_seed_is_kept(self):
        assert parse_job({**TONE, "seed": 0}).seed == 0
        assert parse_job({**TONE, "seed": 7.0}).seed == 7
        for bad in (-1, 1.5, 2**63, True, "7"):
            assert refused({**TONE, "seed": bad}).startswith("seed: found ")

    def test_else_it_comes_from_what_is_heard(self):
        seed = parse_job(BASE).seed
        assert seed == parse_job(json.dumps(BASE)).seed
        for silent_change in ({"outputFormat": "wav"}, {"metadata": {"title": "Mine"}}, {"unknown": 1}):
            assert parse_job({**BASE, **silent_change}).seed == seed
        assert parse_job({**BASE, "script": "Other."}).seed != seed


def test_unknown_keys_are_listed_and_ignored():
    job = parse_job({**BASE, "voice": {"pitch": 3}, "x": {"y": 1}, "gains": {"timeline": {"drums": 1}}})
    assert set(job.unknown_keys) == {"voice.pitch", "x", "gains.timeline.drums"}
    assert parse_job(BASE).unknown_keys == ()


@pytest.mark.parametrize("format_", ["mp3", "wav"])
def test_the_schema_names_the_web_apps_keys_with_ranges(format_):
    schema = RenderJob.model_json_schema()
    assert schema["properties"]["durationMin"]["anyOf"][0] == {"minimum": 0.05, "type": "number"}
    assert format_ in schema["$defs"]["Output"]["properties"]["format"]["enum"]
    assert "dialect" not in schema["properties"]
    json.dumps(schema)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


spelled = st.sampled_from(sorted({name for names in SPELLINGS.values() for name in names}))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(spelled, json_values, max_size=5), json_values)
def test_any_json_is_a_job_or_a_job_error(fields, anything):
    payload: dict[str, Any] = {"script": "Hi"}
    for name, value in fields.items():
        *sections, key = name.split(".")
        inner = payload
        for section in sections:
            inner = inner.setdefault(section, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict):
            inner[key] = value
    for candidate in (payload, anything, json.dumps(payload)):
        try:
            job = parse_job(candidate)
        except JobError as error:
            message = str(error)
        else:
            message = ""
            assert isinstance(job, RenderJob)
        assert "\n" not in message


def test_a_take_is_a_whole_number_and_changes_nothing_but_the_voice():
    job = parse_job({"script": "Hi", "voice": {"take": 2.0}})
    assert job.voice.take == 2
    assert job.seed == parse_job({"script": "Hi"}).seed
    for value in (0, 100, 1.5, "2", True):
        assert refused({"script": "Hi", "voice": {"take": value}}).startswith("voice.take: found ")
