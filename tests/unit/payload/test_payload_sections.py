"""Sections of a payload that are more than single fields: music, tones, beats, timelines, what is delivered."""

from __future__ import annotations

from typing import Any

import pytest
from payload_cases import TONE, refused, with_value

from worker.payload.parse import parse_job


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
