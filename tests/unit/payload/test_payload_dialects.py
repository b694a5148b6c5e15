"""Both dialects of the payload, every spelling of every field, and the named sessions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from paths import ROOT

from worker.errors import JobError
from worker.payload.aliases import SPELLINGS
from worker.payload.parse import RenderJob, parse_job
from worker.payload.sessions import SESSIONS

FULL = {
    "script": "I am calm. I am safe.",
    "voice": {"provider": "openai", "id": "nova", "model": "tts-1", "speed": 0.9},
    "durationMin": 10,
    "pauseSec": 5,
    "loopMode": True,
    "startDelaySec": 3,
    "backgroundMusic": {"id": "serene", "name": "Serene", "url": "https://project.example/music/serene.mp3"},
    "solfeggio": {"enabled": True, "hz": 528, "volume_db": -18},
    "binaural": {"enabled": True, "band": "theta", "carrierHz": None, "beatHz": None, "volume_db": -20},
    "gains": {"voiceDb": -1, "musicDb": -10, "solfeggioDb": -18, "binauralDb": -20},
}
OLDER = {
    "script": "I meet this day with a quiet mind.",
    "voice": {
        "provider": "elevenlabs",
        "voice_id": "21m00Tcm4TlvDq8ikWAM",
        "settings": {"stability": 0.5, "similarity_boost": 0.75},
    },
    "background_music": {"track_id": "tibetan-singing-bowls.mp3", "volume": -20},
    "solfeggio": {"frequency": 417, "volume": -30},
    "binaural": {"base_frequency": 200, "beat_frequency": 7, "volume": -30},
    "output": {"format": "mp3", "quality": "standard", "normalize": True, "target_lufs": -16},
}
TONES = {
    "durationMin": 30,
    "solfeggio": {"enabled": True, "hz": 396},
    "binaural": {"enabled": True, "band": "delta", "carrierHz": 180},
    "carrierType": "pink",
    "carrierGainDb": -30,
    "voice": None,
    "backgroundMusic": None,
}


# spellings that nobody writes down, but which cost nothing to read
CONVENIENCE = {"backgroundMusic.track_id", "background_music.volume_db"}


def nested(name: str, value: object) -> dict[str, Any]:
    for key in reversed(name.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def joined(*payloads: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for payload in payloads:
        for key, value in payload.items():
            old = whole.get(key)
            whole[key] = joined(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return whole


def at(job: RenderJob, path: str) -> Any:
    found: Any = job
    for name in path.split("."):
        found = getattr(found, name)
    return found


def test_the_web_apps_payload():
    job = parse_job(FULL)
    assert job.dialect == "app"
    assert job.layers == ("voice", "music", "solfeggio", "binaural")
    assert (job.voice.provider, job.voice.id, job.voice.model, job.voice.speed) == (
        "openai",
        "nova",
        "tts-1",
        0.9,
    )
    assert (job.duration_min, job.pause_s, job.loop_mode, job.start_delay_s) == (10, 5, "repeat", 3)
    assert job.background_music.url == "https://project.example/music/serene.mp3"
    assert (job.solfeggio.hz, job.binaural.beat_hz, job.binaural.carrier_hz) == (528, 6, 200)
    assert (job.gains.voice_db, job.gains.music_db, job.gains.solfeggio_db, job.gains.binaural_db) == (
        -1,
        -10,
        -18,
        -20,
    )
    assert (job.output.format, job.output.quality, job.target_lufs) == ("mp3", "medium", -16)


def test_the_older_payload():
    job = parse_job(OLDER)
    assert job.dialect == "edge"
    assert job.layers == ("voice", "music", "solfeggio", "binaural")
    assert (job.voice.id, job.voice.model, job.voice.speed) == (
        "21m00Tcm4TlvDq8ikWAM",
        "eleven_multilingual_v2",
        1.0,
    )
    assert (job.voice.settings.stability, job.voice.settings.similarity_boost) == (0.5, 0.75)
    assert job.background_music.url == "tibetan-singing-bowls.mp3"
    assert (job.gains.voice_db, job.gains.music_db, job.gains.solfeggio_db, job.gains.binaural_db) == (
        -1,
        -20,
        -30,
        -30,
    )
    assert job.binaural.beat_hz == 7
    assert job.binaural.carrier_hz == 203.5  # so that the left ear gets 200 Hz and the right 207 Hz
    assert job.output.quality == "medium"
    assert job.duration_min is None  # as long as the speech


def test_tones_alone():
    job = parse_job(TONES)
    assert job.layers == ("solfeggio", "binaural", "noise")
    assert (job.duration_min, job.binaural.beat_hz, job.binaural.carrier_hz) == (30, 2, 180)
    assert (job.carrier_type, job.carrier_gain_db) == ("pink", -30)


# (spelling, value, where it lands); the first spelling of each field is covered by test_job
ALIASES = [
    ("voice.voice_id", "nova", "voice.id"),
    ("voice_id", "nova", "voice.id"),
    ("voice.settings.speed", 1.25, "voice.speed"),
    ("duration", 12, "duration_min"),
    ("loop.pause_seconds", 0, "pause_s"),
    ("loop.interval_seconds", 90, "interval_s"),
    ("start_delay_seconds", 0, "start_delay_s"),
    ("backgroundMusic.url", "https://a.example/b.mp3", "background_music.url"),
    ("backgroundMusic.id", "rain", "background_music.id"),
    ("background_music.id", "rain", "background_music.id"),
    ("backgroundMusic.name", "Gentle Rain", "background_music.name"),
    ("background_music.name", "Gentle Rain", "background_music.name"),
    ("backgroundMusic.loop", "whole", "background_music.loop.way"),
    ("background_music.loop", "whole", "background_music.loop.way"),
    ("background_music.track_id", "rain.mp3", "background_music.url"),
    ("background_music.url", "https://a.example/b.mp3", "background_music.url"),
    ("backgroundMusic.volume_db", 0, "gains.music_db"),
    ("background_music.volume", -22, "gains.music_db"),
    ("backgroundMusic.volume", -22, "gains.music_db"),
    ("solfeggio.frequency", 639, "solfeggio.hz"),
    ("solfeggio.volume_db", 0, "gains.solfeggio_db"),
    ("solfeggio.volume", -25, "gains.solfeggio_db"),
    ("binaural.beat_frequency", 4, "binaural.beat_hz"),
    ("binaural.volume_db", 0, "gains.binaural_db"),
    ("binaural.volume", -25, "gains.binaural_db"),
    ("output.format", "flac", "output.format"),
    ("output.target_lufs", -20, "target_lufs"),
]


@pytest.mark.parametrize(("name", "value", "path"), ALIASES)
@pytest.mark.parametrize(
    "around",
    [
        {"script": "Hi", "binaural": {"enabled": True}, "solfeggio": {"enabled": True}},
        {"script": "Hi", "binaural": {"base_frequency": 100}, "solfeggio": {"frequency": 528}},
    ],
    ids=["app", "edge"],
)
def test_every_alias_works_in_either_dialect(around, name, value, path):
    if name.startswith("solfeggio.v"):
        around = joined(around, {"solfeggio": {"hz": 528}})
    elif not name.startswith("solfeggio"):
        around = joined(around, {"solfeggio": None})
    if name.endswith("usic.loop"):
        around = joined(around, {"backgroundMusic": {"url": "rain.mp3"}})
    assert at(parse_job(joined(around, nested(name, value))), path) == value


def test_no_alias_is_untested():
    later = {name for names in SPELLINGS.values() for name in names[1:]}
    elsewhere = {"loop.enabled", "binaural.base_frequency"}
    assert later - {row[0] for row in ALIASES} == CONVENIENCE | elsewhere


@pytest.mark.parametrize("names", [names for names in SPELLINGS.values() if len(names) > 1], ids=lambda n: n[0])
def test_a_refusal_uses_the_senders_own_name(names):
    for name in names:
        with pytest.raises(JobError) as caught:
            parse_job(joined({"script": "Hi"}, nested(name, {"not": "this"})))
        assert str(caught.value).startswith(f"{name}: found an object")


@pytest.mark.parametrize("names", [names for names in SPELLINGS.values() if len(names) > 1], ids=lambda n: n[0])
def test_null_gives_way_to_the_next_spelling(names):
    """A null under the first name must not hide a (bad) value under the second."""
    first, second = names[:2]
    with pytest.raises(JobError, match="found an object"):
        parse_job(joined({"script": "Hi"}, nested(first, None), nested(second, {"not": "this"})))


@pytest.mark.parametrize(
    ("value", "mode"),
    [(True, "repeat"), (False, "once"), ("repeat", "repeat"), ("interval", "interval"), (None, "repeat")],
)
def test_loop_modes(value, mode):
    assert parse_job({"script": "Hi", "loopMode": value}).loop_mode == mode
    assert parse_job({"script": "Hi", "loop": {"enabled": value}}).loop_mode == mode


@pytest.mark.parametrize(
    ("value", "marks"),
    [(True, "auto"), (False, "none"), ("lines", "lines"), ("repetitions", "repetitions"), (None, "auto")],
)
def test_chapter_marks(value, marks):
    assert parse_job({"script": "Hi", "chapters": value}).chapters == marks


def test_gains_win_over_the_layers_own_volume():
    job = parse_job(joined(FULL, {"solfeggio": {"volume_db": -40}, "gains": {"musicDb": None}}))
    assert job.gains.solfeggio_db == -18
    assert job.gains.music_db == -10


def test_zero_is_a_value():
    job = parse_job(
        joined(
            FULL,
            {"pauseSec": 0, "startDelaySec": 0, "gains": {"voiceDb": 0}, "fade": {"inMs": 0, "outMs": 0}},
        )
    )
    assert (job.pause_s, job.start_delay_s, job.gains.voice_db, job.fade.in_ms, job.fade.out_ms) == (
        0,
        0,
        0,
        0,
        0,
    )


class TestDocuments:
    """docs/reference/job-payload.md and examples/ against the code."""

    TEXT = (ROOT / "docs" / "reference" / "job-payload.md").read_text()
    EXAMPLES = tuple(path.read_text() for path in sorted((ROOT / "examples").glob("*.json")))

    def jobs(self) -> list[dict[str, Any]]:
        """Every JSON object of the page's examples and of the example files."""
        found = []
        for block in re.findall(r"```json\n(.*?)```", self.TEXT, re.DOTALL) + list(self.EXAMPLES):
            rest = block.strip()
            while rest:
                payload, end = json.JSONDecoder().raw_decode(rest)
                found.append(payload)
                rest = rest[end:].strip()
        return found

    def test_every_example_is_a_job_without_unknown_keys(self):
        jobs = self.jobs()
        assert len(jobs) >= 12
        for payload in jobs:
            recordings = () if payload.keys() & {"script", "session", "voice", "binaural", "solfeggio"} else ("voice",)
            assert parse_job(payload, recordings=recordings).unknown_keys == ()

    @pytest.mark.parametrize("key", [key for key in SPELLINGS if not key.startswith("gains.timeline.")])
    def test_every_field_has_an_example_and_a_row(self, key):
        names = SPELLINGS[key]

        def has(payload: dict[str, Any], name: str) -> bool:
            section, _, rest = name.partition(".")
            return section in payload and (
                not rest or (isinstance(payload[section], dict) and has(payload[section], rest))
            )

        assert any(has(payload, name) for payload in self.jobs() for name in names)
        for name in names:
            if name not in CONVENIENCE:
                assert re.search(rf"`(\w+\.)*\.?{name.rpartition('.')[2]}`", self.TEXT), name

    @pytest.mark.parametrize("name", sorted(SESSIONS))
    def test_every_session_has_a_row_with_its_facts(self, name):
        row = next(line for line in self.TEXT.splitlines() if line.startswith(f"| `{name}` |"))
        session = SESSIONS[name]
        facts = [
            f"{session.minutes:g}",
            session.noise[0],
            *(f"{fade_ms / 1000:g} s" for fade_ms in session.fades_ms),
        ]
        facts += [f"{beat_hz:g}" for _, beat_hz, _ in session.course] + [f"{hz:g}" for _, _, hz in session.course]
        assert [fact for fact in facts if fact not in row] == []


class TestOlderDialect:
    def test_presence_means_on(self):
        assert parse_job({"solfeggio": {"frequency": 528}}).layers == ("solfeggio",)
        assert parse_job({"binaural": {"volume": -30}}).layers == ("binaural",)
        assert parse_job({"binaural": {"band": "alpha", "volume": -30}}).binaural.beat_hz == 10
        assert parse_job(joined(OLDER, {"binaural": None, "solfeggio": {}})).layers == (
            "voice",
            "music",
            "solfeggio",
        )

    def test_enabled_false_wins_over_presence(self):
        job = parse_job(joined(OLDER, {"binaural": {"enabled": False}}))
        assert job.binaural is None

    @pytest.mark.parametrize("base_hz", [50, 1000])
    def test_base_frequency_is_the_left_ear(self, base_hz):
        binaural = parse_job({"binaural": {"base_frequency": base_hz, "beat_frequency": 40}}).binaural
        assert binaural.carrier_hz - binaural.beat_hz / 2 == base_hz

    def test_a_carrier_of_the_app_wins_over_the_base(self):
        binaural = parse_job({"binaural": {"base_frequency": 100, "carrierHz": 300, "beatHz": 10}}).binaural
        assert binaural.carrier_hz == 300

    def test_normalize_false_leaves_the_level_alone_and_keeps_the_limiter(self):
        job = parse_job(joined(OLDER, {"output": {"normalize": False}}))
        assert job.target_lufs is None
        assert job.safety.limiter is True
        assert parse_job(OLDER).target_lufs == -16

    def test_without_speech_it_lasts_five_minutes(self):
        assert parse_job(joined(OLDER, {"script": None})).duration_min == 5
        assert parse_job(joined(OLDER, {"script": None}), recordings=("voice",)).duration_min is None

    @pytest.mark.parametrize("key", [{"durationMin": 7}, {"pauseSec": 5}, {"gains": {"musicDb": -9}}])
    def test_one_key_of_the_apps_makes_it_the_apps(self, key):
        job = parse_job(joined(OLDER, key))
        assert (job.dialect, job.voice.speed) == ("app", 0.9)
        assert job.duration_min == key.get("durationMin", 5)
        assert job.binaural.carrier_hz == 203.5

    @pytest.mark.parametrize("key", [{"durationMin": None}, {"seed": 3}, {"metadata": {"title": "x"}}, {"new": 1}])
    def test_nulls_later_features_and_unknown_keys_do_not(self, key):
        assert parse_job(joined(OLDER, key)).dialect == "edge"


class TestSwitchedOn:
    @pytest.mark.parametrize("tone", [{"band": "beta"}, {"beatHz": 5}, {"carrierHz": 150}, {"mode": "isochronic"}])
    def test_a_tone_is_on_unless_said_otherwise(self, tone):
        assert parse_job({"binaural": tone}).binaural.enabled
        assert parse_job({"script": "Hi", "binaural": {**tone, "enabled": False}}).binaural is None

    def test_values_of_a_layer_that_is_off_are_checked_all_the_same(self):
        with pytest.raises(JobError, match=r"^binaural\.beatHz: found 101"):
            parse_job({"script": "Hi", "binaural": {"enabled": False, "beatHz": 101}})

    def test_ducking_is_off_unless_asked_for(self):
        assert parse_job({"script": "Hi"}).ducking is None
        assert parse_job({"script": "Hi", "ducking": {"enabled": False, "depthDb": 3}}).ducking is None
        assert parse_job({"script": "Hi", "ducking": {"enabled": True}}).ducking.depth_db == 8


class TestSessions:
    def test_there_are_six_and_each_is_a_whole_job(self):
        assert len(SESSIONS) == 6
        for name, session in SESSIONS.items():
            job = parse_job({"session": name})
            assert job.duration_min == session.minutes
            assert len(job.binaural.timeline) == len(session.course)
            assert job.binaural.timeline[-1].at_min == session.minutes

    def test_the_course_stretches_with_the_track(self):
        job = parse_job({"session": "fall-asleep", "durationMin": 10})
        assert [point.at_min for point in job.binaural.timeline] == [0, 2.5, 6, 10]

    def test_what_the_job_states_wins(self):
        job = parse_job({"session": "fall-asleep", "carrierType": "none", "fade": {"inMs": 0}, "durationMin": 20})
        assert job.carrier_type == "none"
        assert (job.fade.in_ms, job.fade.out_ms) == (0, 30_000)
        assert parse_job({"session": "focus", "binaural": {"enabled": False}}).layers == ("noise",)

    def test_a_stated_level_leaves_the_course_alone(self):
        job = parse_job({"session": "focus", "binaural": {"volume_db": -30}})
        assert job.gains.binaural_db == -30
        assert len(job.binaural.timeline) == 3

    def test_a_stated_carrier_leaves_the_course_of_the_beat(self):
        job = parse_job({"session": "fall-asleep", "binaural": {"carrierHz": 120}})
        assert job.binaural.carrier_hz == 120
        assert {point.carrier_hz for point in job.binaural.timeline} == {None}
        assert [point.beat_hz for point in job.binaural.timeline] == [10, 6, 2.5, 2]

    @pytest.mark.parametrize(("stated", "beat_hz"), [({"beatHz": 4}, 4), ({"band": "beta"}, 20)])
    def test_a_stated_beat_replaces_the_course_of_the_beat(self, stated, beat_hz):
        binaural = parse_job({"session": "fall-asleep", "binaural": stated}).binaural
        assert binaural.beat_hz == beat_hz
        assert {point.beat_hz for point in binaural.timeline} == {None}

    def test_an_unknown_one_is_refused_with_the_list(self):
        with pytest.raises(JobError, match=r'^session: found "sleep", allowed is one of fall-asleep, deep-rest,'):
            parse_job({"session": "sleep"})

    @pytest.mark.parametrize("minutes", [0, -1, "x", True, 10**400, 1e300])
    def test_a_bad_length_is_still_what_is_complained_of(self, minutes):
        with pytest.raises(JobError, match=r"^durationMin: found"):
            parse_job({"session": "focus", "durationMin": minutes})
