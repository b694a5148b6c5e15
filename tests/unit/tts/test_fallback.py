"""When another voice speaks, which, and what becomes of a job that none will speak; no service is asked."""

from __future__ import annotations

import math
import time
from datetime import date

import pytest
from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError, WaitError
from worker.fallbacks import VoiceName, read_fallbacks
from worker.payload.schema import VoiceChoice
from worker.tts import fallback, open_voice
from worker.tts.fallback import may_be_own, refused_just_now, spoken_by_first, voice_name
from worker.tts.service_errors import RewordedError, SpoiltError
from worker.vendors import VoiceUse, shutdown_of, speech_figures

RULES = (
    "openai/*/* -> openai-realtime/gpt-realtime-2/*; openai-realtime/*/* -> local/*/heart; "
    "elevenlabs/*/mine -> local/*/heart"
)
ENDED = ConfigurationError("gone", code="voice.model")
OUT = TransientError("503", code="voice.unavailable", retry_after_s=7)
NOVA = VoiceChoice(provider="openai", model="tts-1", id="nova", speed=0.8)


class Stage:
    """Voices that fail as the test says."""

    def __init__(self, tmp_path, *errors, rules=RULES, after_min=30.0, **settings):
        self.config = Config(
            cache_dir=tmp_path, voice_fallbacks=read_fallbacks(rules), voice_fallback_after_min=after_min, **settings
        )
        self.errors = list(errors)
        self.asked = []
        self.notes = []

    def speak(self, turn):
        assert turn.number == len(self.asked)
        self.asked.append(turn)
        if self.errors:
            raise self.errors.pop(0)
        return turn.name

    def spoken(self, choice=NOVA, *, waited_s=math.inf):
        return str(spoken_by_first(choice, self.config, self.speak, waited_s=waited_s, notes=self.notes))


def test_without_a_failure_nothing_is_noted(tmp_path):
    stage = Stage(tmp_path)
    assert (stage.spoken(), stage.notes) == ("openai/tts-1/nova", [])


@pytest.mark.parametrize(
    "error",
    [
        ENDED,
        JobError("gone", code="voice.model"),
        JobError("gone", code="voice.unknown"),
        ConfigurationError("402", code="voice.plan"),
        RewordedError("other words"),
        SpoiltError("silent twice"),
    ],
)
def test_what_has_ended_falls_back_at_once_and_says_so(tmp_path, error):
    stage = Stage(tmp_path, error)
    assert stage.spoken(waited_s=0.0) == "openai-realtime/gpt-realtime-2/nova"
    (note,) = stage.notes
    assert note.startswith("voice: openai-realtime/gpt-realtime-2/nova spoke, since openai/tts-1/nova ")


def test_a_fallback_is_asked_for_as_a_setting_and_keeps_the_rest(tmp_path):
    stage = Stage(tmp_path, ENDED)
    stage.spoken()
    choice, config = stage.asked[1].choice, stage.asked[1].config
    assert (choice.provider, choice.id, choice.model, choice.speed) == ("openai-realtime", None, None, 0.8)
    assert (config.openai_tts_model, config.openai_tts_voice) == ("gpt-realtime-2", "nova")


def test_fallbacks_of_fallbacks_speak_in_order(tmp_path):
    stage = Stage(tmp_path, ENDED, OUT)
    assert stage.spoken(waited_s=0.0) == "local/-/heart"
    assert (
        "openai/tts-1/nova is not offered any more and openai-realtime/gpt-realtime-2/nova did not answer"
        in stage.notes[0]
    )


@pytest.mark.parametrize(
    "error",
    [
        JobError("flagged", code="voice.refused"),
        ConfigurationError("401", code="voice.key"),
        ConfigurationError("402", code="voice.quota"),
        ConfigurationError("no key", code="configuration.key"),
        WaitError("429", code="voice.full"),
        TransientError("storage", code="storage.unavailable"),
    ],
)
def test_where_another_voice_is_no_help_none_speaks(tmp_path, error):
    stage = Stage(tmp_path, error)
    with pytest.raises(type(error)) as caught:
        stage.spoken()
    assert caught.value is error
    assert len(stage.asked) == 1


class TestOutages:
    def test_a_short_one_is_waited_out_uncounted(self, tmp_path):
        stage = Stage(tmp_path, OUT)
        with pytest.raises(WaitError) as caught:
            stage.spoken(waited_s=600)
        assert (caught.value.code, caught.value.retry_after_s) == ("voice.unavailable", 60)
        assert "openai-realtime/gpt-realtime-2/nova speaks instead in 20 min" in caught.value.message

    def test_a_long_one_falls_back(self, tmp_path):
        assert Stage(tmp_path, OUT).spoken(waited_s=1800) == "openai-realtime/gpt-realtime-2/nova"
        assert Stage(tmp_path / "other", OUT, after_min=0).spoken(waited_s=0) == "openai-realtime/gpt-realtime-2/nova"

    def test_its_beginning_is_remembered_for_all_jobs(self, tmp_path, monkeypatch):
        now = 1_800_000_000.0
        monkeypatch.setattr(time, "time", lambda: now)
        for minute in range(0, 30, 5):
            now = 1_800_000_000.0 + 60 * minute
            with pytest.raises(WaitError):
                Stage(tmp_path, OUT).spoken(waited_s=0)
        now += 300
        assert Stage(tmp_path, OUT).spoken(waited_s=0) == "openai-realtime/gpt-realtime-2/nova"
        Stage(tmp_path).spoken()
        with pytest.raises(WaitError):  # it has spoken meanwhile: another outage
            Stage(tmp_path, OUT).spoken(waited_s=0)
        now += 3600
        with pytest.raises(WaitError):  # nobody has noticed anything for an hour
            Stage(tmp_path, OUT).spoken(waited_s=0)

    def test_without_a_fallback_they_are_retried_as_ever(self, tmp_path):
        stage = Stage(tmp_path, OUT, rules="")
        with pytest.raises(TransientError) as caught:
            stage.spoken(waited_s=0)
        assert caught.value is OUT


class TestWhenNoneSpeaks:
    def test_what_passes_comes_before_what_fails_the_job(self, tmp_path):
        stage = Stage(tmp_path, JobError("gone", code="voice.unknown"), OUT, OUT)
        with pytest.raises(TransientError):
            stage.spoken()

    def test_what_a_fallback_lacks_is_for_the_operator(self, tmp_path):
        gone = JobError("gone", code="voice.unknown")
        with pytest.raises(ConfigurationError, match="VOICE_FALLBACKS"):
            Stage(tmp_path, gone, gone, gone).spoken()

    def test_a_script_that_a_fallback_refuses_fails_the_job(self, tmp_path):
        with pytest.raises(JobError) as caught:
            Stage(tmp_path, ENDED, JobError("flagged", code="voice.refused")).spoken()
        assert caught.value.code == "voice.refused"


class TestNames:
    @pytest.mark.parametrize(
        ("choice", "settings", "name", "own"),
        [
            (NOVA, {}, "openai/tts-1/nova", False),
            (NOVA.model_copy(update={"id": "Nova"}), {}, "openai/tts-1/nova", False),
            (VoiceChoice(), {}, "openai-realtime/gpt-realtime-2.1-mini/marin", False),
            (VoiceChoice(), {"openai_tts_voice": "coral"}, "openai-realtime/gpt-realtime-2.1-mini/coral", False),
            (VoiceChoice(model="eleven_v3"), {}, "openai-realtime/gpt-realtime-2.1-mini/marin", False),
            (VoiceChoice(), {"openai_base_url": "https://tts.example.com/v1"}, "openai/tts-1/nova", False),
            (NOVA, {"openai_tts_model": "gpt-realtime"}, "openai-realtime/gpt-realtime/nova", False),
            (
                VoiceChoice(provider="openai-realtime"),
                {"openai_tts_model": "kokoro"},
                "openai-realtime/gpt-realtime-2.1-mini/marin",
                False,
            ),
            (VoiceChoice(id="voice_12", model="tts-1"), {}, "openai/tts-1/voice_12", True),
            (VoiceChoice(provider="elevenlabs", id="mine"), {}, "elevenlabs/eleven_multilingual_v2/mine", True),
            (VoiceChoice(provider="elevenlabs"), {}, "elevenlabs/eleven_multilingual_v2/-", False),
            (VoiceChoice(provider="local", id="emma"), {}, "local/-/emma", False),
        ],
    )
    def test_a_voice_is_named_by_what_is_in_effect(self, choice, settings, name, own):
        config = Config(**settings)
        assert (str(voice_name(choice, config)), may_be_own(choice, config)) == (name, own)

    def test_a_cloned_voice_falls_back_where_it_is_named(self, tmp_path):
        gone = JobError("gone", code="voice.unknown")
        mine, other = (VoiceChoice(provider="elevenlabs", id=name) for name in ("mine", "other"))
        assert Stage(tmp_path, gone).spoken(mine) == "local/-/heart"
        with pytest.raises(JobError):
            Stage(tmp_path, gone, rules="elevenlabs/*/* -> local/*/heart").spoken(other)


class TestDefaults:
    def test_none_was_announced_to_end(self):
        for choice in (VoiceChoice(), VoiceChoice(provider="elevenlabs"), VoiceChoice(provider="openai-realtime")):
            assert shutdown_of(voice_name(choice, Config())) is None
        assert shutdown_of(VoiceName("openai", "tts-1", "nova")) == date(2027, 1, 6)

    def test_elevenlabs_has_no_voice_that_stays_so_the_operator_names_one(self):
        config = Config(elevenlabs_api_key=SecretStr("k"))
        with pytest.raises(ConfigurationError) as caught:
            open_voice(VoiceChoice(provider="elevenlabs"), config)
        assert (caught.value.code, "ELEVENLABS_TTS_VOICE" in caught.value.message) == ("configuration.voice", True)
        named = config.model_copy(update={"elevenlabs_tts_voice": "kept"})
        assert "kept" in open_voice(VoiceChoice(provider="elevenlabs"), named).fingerprint

    def test_jobs_of_the_app_keep_their_model(self):
        config = Config(openai_api_key=SecretStr("k"))
        assert open_voice(NOVA, config).fingerprint.startswith("openai tts-1 nova ")


class TestFigures:
    def test_figures_are_of_all_voices_and_the_name_of_the_last(self):
        uses = [
            VoiceUse(VoiceName("openai", "tts-1", "nova"), 2000, 100),
            VoiceUse(VoiceName("local", "-", "heart"), 5000, 0),
        ]
        figures = speech_figures(uses)
        assert figures is not None
        assert (figures["provider"], figures["voice"]) == ("local", "heart")
        assert (figures["characters_asked"], figures["characters_cached"]) == (7000, 100)
        assert figures["cents"] == pytest.approx(3.0)
        assert figures["prices_of"] == "2026-11-29"

    def test_an_unknown_price_is_no_price(self):
        figures = speech_figures([VoiceUse(VoiceName("openai", "kokoro", "af"), 2000, 0)])
        assert figures is not None
        assert figures["cents"] is None
        assert speech_figures([VoiceUse(VoiceName("openai", "kokoro", "af"), 0, 10)])["cents"] == 0
        assert speech_figures([]) is None


class TestSpoiltPieces:
    def test_a_voice_is_strict_while_another_may_speak(self, tmp_path):
        stage = Stage(tmp_path, ENDED, ENDED)
        stage.spoken()
        assert [turn.another_may_speak for turn in stage.asked] == [True, True, False]

    def test_without_a_fallback_silence_is_retried_as_ever(self, tmp_path):
        stage = Stage(tmp_path, SpoiltError("silent twice"), rules="")
        with pytest.raises(SpoiltError):
            stage.spoken()
        assert [turn.another_may_speak for turn in stage.asked] == [False]

    def test_where_no_fallback_speaks_the_spoilt_voice_is_taken(self, tmp_path):
        stage = Stage(tmp_path, SpoiltError("silent twice"), ENDED, OUT)
        assert stage.spoken(waited_s=0.0) == "openai/tts-1/nova"
        assert not stage.asked[-1].another_may_speak
        (note,) = stage.notes
        assert note.startswith("voice: openai/tts-1/nova spoke all the same, since openai/tts-1/nova spoke a piece ")
        assert "openai-realtime/gpt-realtime-2/nova is not offered any more" in note


def test_every_reason_has_its_words():
    assert set(fallback.IN_WORDS) == {"ended", "out", "reworded", "spoilt"}


KEY = {"openai_api_key": SecretStr("sk-one"), "rules": ""}
REFUSED = ConfigurationError("tts-1 is gone", code="voice.model", about=("openai", "tts-1"))


class TestRefusedJustNow:
    def refused(self, stage, *, choice=NOVA, asks_anyway=False):
        with pytest.raises(ConfigurationError) as caught:
            spoken_by_first(choice, stage.config, stage.speak, waited_s=0.0, notes=stage.notes, asks_anyway=asks_anyway)
        return caught.value

    def test_the_next_job_does_not_ask_and_waits_for_the_same_cause(self, tmp_path):
        stage = Stage(tmp_path, REFUSED, **KEY)
        first, second = self.refused(stage), self.refused(stage)
        assert len(stage.asked) == 1
        assert (str(second), second.code, second.cause) == (str(first), first.code, first.cause)
        assert refused_just_now(NOVA, stage.config) is not None

    def test_a_probe_asks(self, tmp_path):
        stage = Stage(tmp_path, REFUSED, **KEY)
        self.refused(stage)
        spoken_by_first(NOVA, stage.config, lambda turn: turn.name, waited_s=0.0, notes=[], asks_anyway=True)

    def test_a_voice_that_has_spoken_is_not_refused_any_more(self, tmp_path):
        stage = Stage(tmp_path, REFUSED, **KEY)
        self.refused(stage)
        assert refused_just_now(NOVA, stage.config) is not None
        Stage(tmp_path, **KEY).spoken()
        assert refused_just_now(NOVA, stage.config) is None

    def test_a_refusal_is_forgotten_before_the_first_probe(self, tmp_path, monkeypatch):
        stage = Stage(tmp_path, REFUSED, **KEY)
        self.refused(stage)
        later = time.time() + 25
        monkeypatch.setattr(time, "time", lambda: later)
        assert refused_just_now(NOVA, stage.config) is None

    def test_another_key_model_or_voice_is_asked(self, tmp_path):
        self.refused(Stage(tmp_path, REFUSED, **KEY))
        another_key = Stage(tmp_path, rules="", openai_api_key=SecretStr("sk-two"))
        assert refused_just_now(NOVA, another_key.config) is None
        for change in ({"id": "alloy"}, {"model": "gpt-4o-mini-tts"}):
            assert refused_just_now(NOVA.model_copy(update=change), Stage(tmp_path, **KEY).config) is None

    def test_a_fallback_speaks_and_the_refused_voice_is_not_asked_again(self, tmp_path):
        stage = Stage(tmp_path, REFUSED)
        stage.spoken()
        again = Stage(tmp_path)
        again.speak = lambda turn: turn.name
        notes: list[str] = []
        spoken = spoken_by_first(NOVA, again.config, again.speak, waited_s=0.0, notes=notes, asks_anyway=False)
        assert str(spoken) == "openai-realtime/gpt-realtime-2/nova"
        assert "openai/tts-1/nova is not offered any more" in notes[0]
        assert refused_just_now(NOVA, again.config) is None

    @pytest.mark.parametrize("error", [JobError("too long"), OUT, ConfigurationError("format", code="voice.format")])
    def test_what_depends_on_the_job_or_will_pass_is_not_remembered(self, tmp_path, error):
        stage = Stage(tmp_path, error, **KEY)
        with pytest.raises(type(error)):
            spoken_by_first(NOVA, stage.config, stage.speak, waited_s=0.0, notes=[])
        assert refused_just_now(NOVA, stage.config) is None

    def test_a_damaged_file_is_no_refusal(self, tmp_path):
        stage = Stage(tmp_path, REFUSED, **KEY)
        self.refused(stage)
        (file,) = (tmp_path / "refused-voices").iterdir()
        for content in (b"", b"[]", b'{"at": "x"}', b"\xff", b'{"at": 1e999}'):
            file.write_bytes(content)
            assert refused_just_now(NOVA, stage.config) is None
