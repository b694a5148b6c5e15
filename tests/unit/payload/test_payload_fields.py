"""Every number, choice and switch of a payload: its range, its default, and what a refusal says."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_cases import BASE, at, refused, with_value

from worker.payload.aliases import SPELLINGS
from worker.payload.parse import parse_job

# (the app's key, where it lands in the job, lowest, highest, default)
NUMBERS = [
    ("voice.speed", "voice.speed", 0.25, 4, 0.9),
    ("voice.highPassHz", "voice.high_pass_hz", 20, 200, None),
    ("voice.settings.stability", "voice.settings.stability", 0, 1, None),
    ("voice.settings.similarity_boost", "voice.settings.similarity_boost", 0, 1, None),
    ("voice.settings.style", "voice.settings.style", 0, 1, None),
    ("durationMin", "duration_min", 0.05, 480, 5),
    ("pauseSec", "pause_s", 0, 600, 5),
    ("pauseJitterSec", "pause_jitter_s", 0, 60, 0),
    ("intervalSec", "interval_s", 30, 300, 60),
    ("startDelaySec", "start_delay_s", 0, 300, 3),
    ("solfeggio.crossfadeSec", "solfeggio.crossfade_s", 0, 60, 4),
    ("binaural.beatHz", "binaural.beat_hz", 0.1, 100, 10),
    ("binaural.carrierHz", "binaural.carrier_hz", 50, 1000, 200),
    ("gains.voiceDb", "gains.voice_db", -60, 10, -1),
    ("gains.musicDb", "gains.music_db", -60, 10, -10),
    ("gains.solfeggioDb", "gains.solfeggio_db", -60, 10, -18),
    ("gains.binauralDb", "gains.binaural_db", -60, 10, -20),
    ("carrierGainDb", "carrier_gain_db", -60, 0, -24),
    ("fade.inMs", "fade.in_ms", 0, 600000, 1000),
    ("fade.outMs", "fade.out_ms", 0, 600000, 1500),
    ("safety.targetLufs", "target_lufs", -30, -6, -16),
    ("ducking.depthDb", "ducking.depth_db", 0, 40, 8),
    ("ducking.attackMs", "ducking.attack_ms", 0, 5000, 300),
    ("ducking.holdMs", "ducking.hold_ms", 0, 10000, 600),
    ("ducking.releaseMs", "ducking.release_ms", 0, 10000, 1200),
]


CHOICES = [
    ("voice.provider", "voice.provider", ("openai", "elevenlabs", "local"), "openai"),
    ("loopMode", "loop_mode", ("repeat", "interval"), "repeat"),
    ("solfeggio.wave", "solfeggio.wave", ("sine", "triangle", "square"), "sine"),
    ("binaural.band", "binaural.band", ("delta", "theta", "alpha", "beta", "gamma"), None),
    ("binaural.mode", "binaural.mode", ("binaural", "monaural", "isochronic"), "binaural"),
    ("binaural.speakersMode", "binaural.speakers_mode", ("monaural", "isochronic"), "isochronic"),
    ("gains.reference", "gains.reference", ("normalized", "source"), "normalized"),
    ("safety.loudness", "safety.loudness", ("balance", "exact"), "balance"),
    ("chapters", "chapters", ("lines", "repetitions"), "auto"),
    ("safety.measure", "safety.measure", ("programme", "speech"), "programme"),
    ("voice.care", "voice.care", ("none", "gentle"), "none"),
    ("carrierType", "carrier_type", ("pink", "brown", "white", "none"), "none"),
    ("outputFormat", "output.format", ("mp3", "m4a", "aac", "wav", "flac"), "mp3"),
    ("output.quality", "output.quality", ("low", "medium", "high"), "medium"),
]


SWITCHES = [
    ("voice.shuffle", "voice.shuffle", False),
    ("voice.declick", "voice.declick", False),
    ("voice.settings.use_speaker_boost", "voice.settings.use_speaker_boost", None),
    ("safety.limiter", "safety.limiter", True),
    ("output.normalize", "output.normalize", True),
    ("lyrics", "lyrics", False),
]


@pytest.mark.parametrize(("name", "path", "low", "high", "default"), NUMBERS)
class TestNumbers:
    def test_both_ends_of_the_range_are_taken_as_they_are(self, name, path, low, high, default):
        assert at(parse_job(with_value(name, low)), path) == low
        assert at(parse_job(with_value(name, high)), path) == high
        assert at(parse_job(with_value(name, float(high))), path) == high

    def test_beyond_the_range_names_field_value_and_range(self, name, path, low, high, default):
        for value in (low - 0.01, high + 0.5, 10**400, -(10**400)):
            message = refused(with_value(name, value))
            assert message.startswith(f"{name}: found ")
            assert f"allowed is a number from {low:g} to {high:g}" in message.replace(".0 ", " ")
        assert f"found {high + 1}" in refused(with_value(name, high + 1))

    def test_null_is_absent(self, name, path, low, high, default):
        payload = with_value(name, None)
        if name.startswith("ducking"):
            payload["ducking"]["enabled"] = True
        assert at(parse_job(payload), path) == default

    @pytest.mark.parametrize("value", [True, False, "5", "", [], {}, math.nan, math.inf, -math.inf])
    def test_what_is_no_number_is_refused(self, name, path, low, high, default, value):
        assert refused(with_value(name, value)).startswith(f"{name}: found ")
        if not isinstance(value, list | dict):
            assert refused(json.dumps(with_value(name, value))).startswith(f"{name}: found ")


@pytest.mark.parametrize(("name", "path", "choices", "default"), CHOICES)
class TestChoices:
    def test_each_is_taken_whatever_its_case(self, name, path, choices, default):
        for choice in choices:
            assert at(parse_job(with_value(name, choice)), path) == choice
            assert at(parse_job(with_value(name, f" {choice.upper()}")), path) == choice

    def test_another_is_refused_with_the_list(self, name, path, choices, default):
        message = refused(with_value(name, "acme"))
        assert message.startswith(f'{name}: found "acme", allowed is ')
        assert all(choice in message for choice in choices)

    @pytest.mark.parametrize("value", [1, 0.0, ["mp3"], {"a": 1}])
    def test_another_kind_is_refused(self, name, path, choices, default, value):
        assert refused(with_value(name, value)).startswith(f"{name}: found ")

    def test_null_is_absent(self, name, path, choices, default):
        assert at(parse_job(with_value(name, None)), path) == default


@pytest.mark.parametrize(("name", "path", "default"), SWITCHES)
class TestSwitches:
    def test_true_false_and_null(self, name, path, default):
        assert at(parse_job(with_value(name, True)), path) is True
        assert at(parse_job(with_value(name, False)), path) is False
        assert at(parse_job(with_value(name, None)), path) is default

    @pytest.mark.parametrize("value", [0, 1, "true", []])
    def test_anything_else_is_refused(self, name, path, default, value):
        assert refused(with_value(name, value)).startswith(f"{name}: found ")


def test_every_payload_field_is_in_the_tables_above():
    elsewhere = {
        "script",
        "seed",
        "pronounce",
        "voice.take",
        "voice.tidy",
        "deliver",
        "peaks",
        "session",
        "binaural.timeline",
        "solfeggio.sequence",
        "solfeggio.hz",
    }
    elsewhere |= {
        "solfeggio.enabled",
        "binaural.enabled",
        "ducking.enabled",
        "backgroundMusic.url",
        "backgroundMusic.id",
        "backgroundMusic.name",
        "backgroundMusic.loop",
        "voice.url",
        "layers",
    }
    elsewhere |= {"voice.id", "voice.model", "voice.instructions", "output.format"}
    tested = {row[0] for table in (NUMBERS, CHOICES, SWITCHES) for row in table}
    rest = {key for key in SPELLINGS if not key.startswith(("gains.timeline.", "metadata."))} - elsewhere - tested
    assert rest == set()


def stated(table: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields of a table of numbers, at values within their ranges."""
    return st.fixed_dictionaries({}, optional={row[0]: st.floats(row[2], row[3]) for row in table})


@settings(max_examples=60, deadline=None)
@given(stated([row for row in NUMBERS if not re.search("^durationMin$|^voice.speed$", row[0])]))
def test_valid_numbers_are_kept_and_a_dumped_job_parses_to_itself(fields):
    payload = json.loads(json.dumps(BASE))
    for name, value in fields.items():
        payload = merged(payload, name, value)
    job = parse_job(json.dumps(payload))
    paths = {row[0]: row[1] for row in NUMBERS}
    assert {name: at(job, paths[name]) for name in fields} == fields
    assert parse_job(job.model_dump(mode="json", by_alias=True)) == job


def merged(payload: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    *sections, key = name.split(".")
    inner = payload
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    return payload
