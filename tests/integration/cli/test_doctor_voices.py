"""doctor about voices: which end, and with `--online` which the services have."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import SecretStr
from standins.speech import ELEVENLABS_VOICES, speech_service

from worker.cli.arguments import build_parser
from worker.cli.doctor_voices import examine_voices
from worker.config import Config
from worker.fallbacks import read_fallbacks

TODAY = date(2026, 11, 29)


@pytest.fixture
def service():
    with speech_service() as service:
        yield service


def findings(service=None, *, today=TODAY, key="k", **settings):
    urls = {"openai_base_url": f"{service.url}/v1", "elevenlabs_base_url": service.url} if service else {}
    keys = {"openai_api_key": SecretStr(key), "elevenlabs_api_key": SecretStr(key)}
    config = Config(**{**keys, "elevenlabs_tts_voice": ELEVENLABS_VOICES[1], **urls, **settings})
    found = list(examine_voices(config, online=service is not None, today=today))
    return {finding.what: finding for finding in found}


class TestOffline:
    def test_a_model_that_ends_is_told_from_sixty_days_on(self):
        found = findings()["voice tts-1"]
        assert found.good is None
        assert "ends on 2027-01-06, in 38 days; set OPENAI_TTS_MODEL or VOICE_FALLBACKS" in found.says
        assert findings(today=date(2026, 11, 1))["voice tts-1"].good is True

    def test_after_its_end_it_is_a_fault_unless_another_speaks(self):
        later = date(2027, 1, 7)
        assert findings(today=later)["voice tts-1"].good is False
        rules = read_fallbacks("openai/*/* -> openai-realtime/gpt-realtime-2.1-mini/*")
        found = findings(today=later, voice_fallbacks=rules)["voice tts-1"]
        assert (found.good, "openai-realtime/gpt-realtime-2.1-mini/* speaks then" in found.says) == (None, True)

    def test_what_ends_nowhere_is_not_told(self):
        assert "voice gpt-realtime-2.1-mini" not in findings()

    def test_elevenlabs_without_a_voice_is_told(self):
        found = findings(elevenlabs_tts_voice=None)["voice eleven_multilingual_v2"]
        assert "set ELEVENLABS_TTS_VOICE" in found.says

    def test_a_voice_that_ends_is_told(self):
        found = findings(elevenlabs_tts_voice="21m00Tcm4TlvDq8ikWAM")["voice eleven_multilingual_v2"]
        assert "2026-12-31, in 32 days" in found.says


class TestOnline:
    def test_the_services_own_word_counts(self, service):
        found = findings(service)
        assert found["voice tts-1"].good is None
        assert "2027-01-06" in found["voice tts-1"].says
        assert found["voice eleven_multilingual_v2"].good is True

    def test_a_model_that_is_not_there_is_a_fault(self, service):
        found = findings(service, openai_tts_model="tts-9", elevenlabs_tts_model="scribe_v2")
        assert (found["voice tts-9"].good, found["voice scribe_v2"].good) == (False, False)
        assert "OPENAI_TTS_MODEL" in found["voice tts-9"].says

    def test_a_voice_that_is_not_there_is_a_fault(self, service):
        found = findings(service, elevenlabs_tts_voice="gone")["voice eleven_multilingual_v2"]
        assert (found.good, "gone is not among the account's; set ELEVENLABS_TTS_VOICE" in found.says) == (False, True)

    def test_fallbacks_are_asked_about_too(self, service):
        rules = read_fallbacks("openai/*/* -> elevenlabs/eleven_v3/gone; openai/*/* -> elevenlabs/eleven_v9/*")
        found = findings(service, voice_fallbacks=rules)
        assert (found["voice eleven_v3"].good, found["voice eleven_v9"].good) == (False, False)

    def test_a_refused_key_is_a_fault_and_a_missing_list_is_none(self, service):
        found = findings(service, key="refused")["voice tts-1"]
        assert (found.good, "check OPENAI_API_KEY" in found.says) == (False, True)
        lost = findings(service, openai_base_url=f"{service.url}/elsewhere")["voice tts-1"]
        assert (lost.good, "gave no list" in lost.says) == (None, True)


def test_the_command_takes_online():
    assert build_parser().parse_args(["doctor", "--online"]).online is True
    assert build_parser().parse_args(["doctor"]).online is False
