"""One job, checked: every range, every default, and what a refusal says."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import JobError
from worker.payload.aliases import SPELLINGS
from worker.payload.parse import RenderJob, parse_job

TONE = {"solfeggio": {"enabled": True, "hz": 528}}
BASE: dict[str, Any] = {"script": "I am calm.", "binaural": {"enabled": True}, **TONE}

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


def with_value(name: str, value: object) -> dict[str, Any]:
    """BASE with one dotted key set."""
    payload: dict[str, Any] = json.loads(json.dumps(BASE))
    *sections, key = name.split(".")
    inner = payload
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    return payload


def at(job: RenderJob, path: str) -> Any:
    found: Any = job
    for name in path.split("."):
        found = getattr(found, name)
    return found


def refused(payload: Any, **limits: Any) -> str:
    with pytest.raises(JobError) as caught:
        parse_job(payload, **limits)
    message = str(caught.value)
    assert "\n" not in message
    return message


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


@pytest.mark.parametrize(
    ("written", "way", "part"),
    [
        ("auto", "auto", (0.0, 0.0)),
        (" Whole", "whole", (0.0, 0.0)),
        ({"from": 3, "to": 9.5}, "stated", (3.0, 9.5)),
    ],
)
def test_music_loops_by_itself_as_a_whole_or_where_it_is_told(written, way, part):
    payload = with_value("backgroundMusic.loop", written)
    payload["backgroundMusic"]["url"] = "rain.mp3"
    loop = parse_job(payload).background_music.loop
    assert (loop.way, (loop.from_s, loop.to_s)) == (way, part)


def test_without_a_word_music_loops_by_itself():
    assert parse_job(with_value("backgroundMusic.url", "rain.mp3")).background_music.loop.way == "auto"


def test_a_way_to_loop_alone_asks_for_no_music():
    payload = with_value("backgroundMusic.loop", "whole")
    assert parse_job(payload).background_music is None
    assert parse_job(payload, recordings=("music",)).background_music.loop.way == "whole"


@pytest.mark.parametrize(
    "written", ["never", 3, [], {}, {"from": 3}, {"from": 5, "to": 3}, {"from": 5, "to": 5.05}, {"way": "whole"}]
)
def test_any_other_loop_of_music_is_refused_with_what_is_allowed(written):
    message = refused(with_value("backgroundMusic.loop", written))
    assert message.startswith("backgroundMusic.loop: found ")
    assert message.endswith(
        'allowed is true, false, "auto", "whole" or {"from", "to"} in seconds, at least 0.1 s apart'
    )


def test_a_second_of_a_loop_that_is_none_is_named():
    message = refused(with_value("backgroundMusic.loop", {"from": -1, "to": 5}))
    assert message == "backgroundMusic.loop.from: found -1, allowed is a number from 0 to 86400"


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


@pytest.mark.parametrize("hz", [174, 285, 396, 417, 528, 639, 741, 852, 963, 528.0])
def test_solfeggio_takes_the_nine_tones(hz):
    job = parse_job({"solfeggio": {"enabled": True, "hz": hz}})
    assert job.solfeggio is not None
    assert [tone.hz for tone in job.solfeggio.tones] == [hz]


@pytest.mark.parametrize("hz", [440, 0, -528, 527.999, 528.5])
def test_solfeggio_takes_no_other(hz):
    message = refused({"solfeggio": {"enabled": True, "hz": hz}})
    assert message == f"solfeggio.hz: found {hz}, allowed is one of 174, 285, 396, 417, 528, 639, 741, 852, 963"


def test_solfeggio_that_is_on_needs_a_tone():
    assert refused({"solfeggio": {"enabled": True}}).startswith("solfeggio.hz: found nothing")
    assert refused({"output": {"normalize": True}, "solfeggio": {"volume": -20}}).startswith("solfeggio.frequency:")


@pytest.mark.parametrize("band", [("delta", 2), ("theta", 6), ("alpha", 10), ("beta", 20), ("gamma", 40)])
def test_the_beat_comes_from_the_band_unless_stated(band):
    name, beat_hz = band
    assert parse_job({"binaural": {"enabled": True, "band": name}}).binaural.beat_hz == beat_hz
    assert parse_job({"binaural": {"enabled": True, "band": name, "beatHz": 7.83}}).binaural.beat_hz == 7.83


class TestNoLayer:
    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"script": ""},
            {"script": " \n\t "},
            {"script": "[pause 3s] ..."},
            {"script": None, "voice": {"provider": "openai", "id": "nova"}},
            {"solfeggio": {"enabled": False, "hz": 528}, "binaural": {"enabled": False, "band": "theta"}},
            {"backgroundMusic": {"url": " ", "id": "", "name": None}},
            {"carrierType": "none", "carrierGainDb": -20},
            {"solfeggio": {"volume_db": -18}, "binaural": {"volume_db": -20}},
        ],
    )
    def test_is_refused(self, payload):
        assert refused(payload).startswith("the job has no layer: at least one of script,")

    @pytest.mark.parametrize(
        ("payload", "layers"),
        [
            ({"script": "Hi"}, ("voice",)),
            ({"voice": {"provider": "uploaded", "url": "me.wav"}}, ("voice",)),
            ({"backgroundMusic": {"name": "rain"}}, ("music",)),
            (TONE, ("solfeggio",)),
            ({"binaural": {"enabled": True}}, ("binaural",)),
            ({"carrierType": "pink"}, ("noise",)),
            ({"session": "focus"}, ("binaural", "noise")),
        ],
    )
    def test_one_is_enough(self, payload, layers):
        assert parse_job(payload).layers == layers

    def test_a_recording_from_elsewhere_is_one(self):
        assert parse_job({}, recordings=("voice",)).layers == ()
        assert parse_job({}, recordings=("music",)).layers == ()
        assert parse_job({"voice": {"provider": "uploaded"}}, recordings=("voice",)).voice.url is None


def test_uploaded_needs_a_url():
    assert refused({"voice": {"provider": "uploaded"}, **TONE}).startswith("voice.url: found nothing")


@pytest.mark.parametrize("section", ["voice", "voice.settings", "solfeggio", "binaural", "gains", "gains.timeline"])
@pytest.mark.parametrize("value", ["x", 1, True, []])
def test_a_section_that_is_no_object_is_refused(section, value):
    assert refused(with_value(section, value)).startswith(f"{section}: found ")


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


class TestTimelines:
    def test_points_are_read(self):
        job = parse_job(
            {
                "binaural": {"timeline": [{"atMin": 0, "beatHz": 10, "carrierHz": 200}, {"atMin": 5, "beatHz": 4.5}]},
                "gains": {"timeline": {"binaural": [{"atMin": 0, "db": -30}, {"atMin": 1.5, "db": -20}]}},
            }
        )
        assert [(p.at_min, p.beat_hz, p.carrier_hz) for p in job.binaural.timeline] == [
            (0, 10, 200),
            (5, 4.5, None),
        ]
        assert [(p.at_min, p.db) for p in job.gains.timeline.binaural] == [(0, -30), (1.5, -20)]

    @pytest.mark.parametrize(
        ("points", "refusal"),
        [
            (
                [{"atMin": 0, "beatHz": 500}],
                "binaural.timeline[0].beatHz: found 500, allowed is a number from 0.1 to 100",
            ),
            ([{"beatHz": 5}], "binaural.timeline[0].atMin: found nothing"),
            (
                [{"atMin": 1, "beatHz": 5}, {"atMin": 1, "beatHz": 6}],
                "binaural.timeline: each atMin must be later",
            ),
            ([{"atMin": 1}], "binaural.timeline[0]: beatHz, carrierHz or both are needed"),
            ([7], "binaural.timeline[0]: found 7, allowed is an object"),
            ({"atMin": 0}, "binaural.timeline: found an object, allowed is a list"),
            ([None], "binaural.timeline[0]: found null"),
        ],
    )
    def test_a_bad_point_is_named(self, points, refusal):
        assert refused({"binaural": {"timeline": points}}).startswith(refusal)

    def test_a_bad_gain_point_is_named(self):
        points = [{"atMin": 0, "db": -10}, {"atMin": 1, "db": -61}]
        message = refused({**TONE, "gains": {"timeline": {"music": points}}})
        assert message == "gains.timeline.music[1].db: found -61, allowed is a number from -60 to 10"

    def test_a_sequence_takes_numbers_and_objects(self):
        job = parse_job({"solfeggio": {"sequence": [396, {"hz": 528, "minutes": 2}]}})
        assert [(tone.hz, tone.minutes) for tone in job.solfeggio.tones] == [(396, None), (528, 2)]
        assert refused({"solfeggio": {"sequence": [396, 400]}}).startswith("solfeggio.sequence[1].hz: found 400")


def test_tidy_is_a_switch_or_a_list_of_what_to_correct():
    def tidy(value: Any) -> tuple[str, ...]:
        return parse_job({**TONE, "voice": {"tidy": value}}).voice.tidy

    assert tidy(None) == tidy(True) == ("dc", "channel", "polarity", "ends", "measure")
    assert tidy(False) == tidy([]) == ()
    assert tidy(["DC", "ends"]) == ("dc", "ends")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("dc", 'voice.tidy: found "dc", allowed is true, false or a list of dc, channel, polarity, ends, measure'),
        (1, "voice.tidy: found 1, allowed is true, false or a list"),
        (["dc", "hum"], 'voice.tidy[1]: found "hum", allowed is one of dc, channel, polarity, ends, measure'),
    ],
)
def test_a_tidy_that_means_nothing_is_refused(value, says):
    assert refused({**TONE, "voice": {"tidy": value}}).startswith(says)


@pytest.mark.parametrize("voice", [{"tidy": False}, {"care": "gentle"}])
def test_tidy_and_care_leave_the_seed_alone(voice):
    assert parse_job({**TONE, "voice": voice}).seed == parse_job(TONE).seed


def test_deliver():
    assert parse_job(TONE).deliver == ("headphones",)
    assert parse_job({**TONE, "deliver": ["headphones", "speakers"]}).deliver == ("headphones", "speakers")
    assert "headphones, speakers, stems or formats" in refused({**TONE, "deliver": []})
    assert refused({**TONE, "deliver": ["car"]}) == (
        'deliver[0]: found "car", allowed is one of headphones, speakers, stems, mp3, m4a, aac, wav, flac'
    )


@pytest.mark.parametrize(
    ("deliver", "listenings", "further"),
    [
        (["speakers"], ("speakers",), ()),
        (["speakers", "headphones"], ("headphones", "speakers"), ()),
        (["stems"], ("headphones",), ()),
        (["flac", "mp3", "speakers", "wav"], ("speakers",), ("flac", "wav")),
    ],
)
def test_what_is_delivered_beside_the_track_says_nothing_of_its_beat(deliver, listenings, further):
    job = parse_job({**TONE, "deliver": deliver})
    assert (job.listenings, job.further_formats) == (listenings, further)


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


def test_a_take_is_a_whole_number_and_changes_nothing_but_the_voice():
    job = parse_job({"script": "Hi", "voice": {"take": 2.0}})
    assert job.voice.take == 2
    assert job.seed == parse_job({"script": "Hi"}).seed
    for value in (0, 100, 1.5, "2", True):
        assert refused({"script": "Hi", "voice": {"take": value}}).startswith("voice.take: found ")
