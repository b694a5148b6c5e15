"""What the voice services are asked for: model, format, speed, stability, context; and what they take instead."""

from __future__ import annotations

import pytest
import soundfile
from cloud_voices import voice
from pydantic import SecretStr
from standins.speech import Answer, elevenlabs_refusal, openai_refusal

from worker.config import Config
from worker.errors import JobError
from worker.payload.schema import VoiceChoice, VoiceSettings
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.voice import Utterance


@pytest.mark.parametrize(
    ("provider", "stated", "asked"),
    [
        ("elevenlabs", "tts-1", "eleven_multilingual_v2"),
        ("elevenlabs", "tts-1-hd", "eleven_multilingual_v2"),
        ("elevenlabs", "GPT-4o-mini-tts", "eleven_multilingual_v2"),
        ("openai", "eleven_v3", "tts-1"),
        ("openai", "eleven_turbo_v2_5", "tts-1"),
    ],
)
def test_a_model_of_the_other_provider_counts_as_none(service, tmp_path, provider, stated, asked):
    there = voice(service, provider, model=stated)
    there.speak(Utterance("Hi."), tmp_path / "a")
    body = service.requests[0]["body"]
    assert (body.get("model") or body["model_id"]) == asked
    assert len(there.notes) == 1
    assert stated in there.notes[0]
    assert asked in there.notes[0]


@pytest.mark.parametrize(
    ("provider", "setting", "other"), [("openai", "tts-1-hd", "eleven_v3"), ("elevenlabs", "eleven_v3", "tts-1")]
)
def test_a_setting_wins_over_the_jobs_model(service, tmp_path, provider, setting, other):
    for stated in (other, None):
        voice(service, provider, setting=setting, model=stated).speak(Utterance("Hi."), tmp_path / "a")
    bodies = [request["body"] for request in service.requests]
    assert [body.get("model") or body["model_id"] for body in bodies] == [setting, setting]


def test_a_service_that_knows_no_flac_is_asked_for_mp3(service, tmp_path):
    service.answers = [openai_refusal(400, "Unsupported format.", param="response_format")]
    there = voice(service, "openai")
    for name in ("a", "b"):
        there.speak(Utterance("Hello."), tmp_path / name)
    assert [request["body"]["response_format"] for request in service.requests] == ["flac", "mp3", "mp3"]


def test_context_that_is_refused_is_left_out_from_then_on(service, tmp_path):
    message = "Providing previous_request_ids is not yet supported with this model."
    service.answers = [elevenlabs_refusal(400, "unsupported_model", message)]
    there = voice(service, "elevenlabs")
    there.speak(Utterance("One.", following="Two."), tmp_path / "a")
    there.speak(Utterance("Two.", previous="One."), tmp_path / "b")
    assert "next_text" in service.requests[0]["body"]
    for request in service.requests[1:]:
        assert not {"previous_text", "next_text", "previous_request_ids"} & request["body"].keys()
    assert len(service.requests) == 3
    assert not voice(service, "elevenlabs").uses_context


def test_stability_is_brought_to_a_step_that_v3_knows(service, tmp_path):
    there = voice(service, "elevenlabs", model="eleven_v3", settings=VoiceSettings(stability=0.7))
    there.speak(Utterance("Hi."), tmp_path / "a")
    assert service.requests[0]["body"]["voice_settings"]["stability"] == 0.5
    assert any("0.7 became 0.5" in note for note in there.notes)


@pytest.mark.parametrize(
    "refused",
    [
        elevenlabs_refusal(
            400, "invalid_ttd_stability", "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0]"
        ),
        Answer(422, {"detail": [{"loc": ["body", "voice_settings", "stability"], "msg": "must be one of 0, 0.5, 1"}]}),
    ],
)
def test_stability_is_rounded_as_any_models_refusal_says(service, tmp_path, refused):
    service.answers = [refused]
    there = voice(service, "elevenlabs", model="eleven_v4", settings=VoiceSettings(stability=0.7))
    key = there.fingerprint
    there.speak(Utterance("Hi."), tmp_path / "a")
    again = voice(service, "elevenlabs", model="eleven_v4", settings=VoiceSettings(stability=0.7))
    again.speak(Utterance("Hi."), tmp_path / "b")
    assert [request["body"]["voice_settings"]["stability"] for request in service.requests] == [0.7, 0.5, 0.5]
    assert there.fingerprint == again.fingerprint == key, "what was paid before is found"
    for each in (there, again):
        assert any("eleven_v4 takes 0, 0.5 and 1 only, so 0.7 became 0.5" in note for note in each.notes)
    other = voice(service, "elevenlabs", model="eleven_flash_v2_5", settings=VoiceSettings(stability=0.7))
    other.speak(Utterance("Hi."), tmp_path / "c")
    assert service.requests[-1]["body"]["voice_settings"]["stability"] == 0.7


def test_a_stability_that_is_refused_at_its_step_fails_the_job(service, tmp_path):
    refused = elevenlabs_refusal(400, "invalid_ttd_stability", "Must be one of: [0.0, 0.5, 1.0]")
    service.answers = [refused] * 3
    there = voice(service, "elevenlabs", model="eleven_v4", settings=VoiceSettings(stability=0.5))
    with pytest.raises(JobError) as caught:
        there.speak(Utterance("Hi."), tmp_path / "a")
    assert (caught.value.code, len(service.requests)) == ("voice.settings", 1)


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.7, 1.0, 1.2, 1.5, 4.0])
def test_elevenlabs_speaks_as_fast_as_it_can_and_the_rest_is_stretched(service, tmp_path, speed):
    there = voice(service, "elevenlabs", speed=speed)
    there.speak(Utterance("Hi."), tmp_path / "a")
    asked = service.requests[0]["body"]["voice_settings"]["speed"]
    assert 0.7 <= asked <= 1.2
    assert asked * there.tempo == pytest.approx(speed)
    assert (there.tempo == 1.0) == (0.7 <= speed <= 1.2) == (not there.notes)


def test_openai_is_asked_as_its_models_take_it(service, tmp_path):
    voice(service, "openai", id="nova", speed=0.9, instructions="Softly.").speak(Utterance("Hi."), tmp_path / "a")
    voice(service, "openai", model="gpt-4o-mini-tts", instructions="Softly.").speak(Utterance("Hi."), tmp_path / "b")
    first, second = (request["body"] for request in service.requests)
    assert first == {"input": "Hi.", "model": "tts-1", "voice": "nova", "response_format": "flac", "speed": 0.9}
    assert second["instructions"] == "Softly."
    assert service.requests[0]["headers"]["authorization"] == "Bearer sk-test"


def test_a_voice_of_the_account_s_own_is_asked_for_as_such(service, tmp_path):
    voice(service, "openai", id="voice_1234").speak(Utterance("Hi."), tmp_path / "a")
    assert service.requests[0]["body"]["voice"] == {"id": "voice_1234"}


def test_the_configured_model_wins(service, tmp_path):
    config = Config(openai_api_key=SecretStr("k"), openai_base_url=f"{service.url}/v1", openai_tts_model="tts-1-hd")
    OpenAIVoice(VoiceChoice(model="gpt-4o-mini-tts"), config).speak(Utterance("Hi."), tmp_path / "a")
    assert service.requests[0]["body"]["model"] == "tts-1-hd"


def test_elevenlabs_falls_back_to_the_format_that_the_account_allows(service, tmp_path):
    refused = Answer(403, {"detail": {"status": "output_format_not_allowed", "message": "upgrade for pcm"}})
    service.answers = [refused, refused]
    there = voice(service, "elevenlabs", settings=VoiceSettings(stability=0.5), speed=4.0)
    there.speak(Utterance("One.", following="Two."), tmp_path / "a")
    there.speak(Utterance("Two.", previous="One."), tmp_path / "b")
    asked = [request["query"]["output_format"] for request in service.requests]
    assert asked == ["pcm_44100", "mp3_44100_192", "mp3_44100_128", "mp3_44100_128"]
    body = service.requests[-1]["body"]
    assert body["voice_settings"] == {"stability": 0.5, "speed": 1.2}
    assert body["previous_text"] == "One."
    assert service.requests[0]["body"]["next_text"] == "Two."
    assert any("1.2" in note for note in there.notes)


def test_a_page_that_calls_itself_samples_is_not_taken_for_noise(service, tmp_path):
    service.answers = [Answer(kind="text")]
    voice(service, "elevenlabs").speak(Utterance("Hello there."), tmp_path / "a")
    assert len(service.requests) == 2
    assert soundfile.info(tmp_path / "a").frames > 10_000


def test_context_is_text_and_never_an_earlier_request(service, tmp_path):
    """So pieces can be asked for in any order."""
    there = voice(service, "elevenlabs")
    there.speak(Utterance("One.", following="Two."), tmp_path / "a")
    there.speak(Utterance("Two.", previous="One."), tmp_path / "b")
    first, second = (request["body"] for request in service.requests)
    assert (first.get("previous_text"), first["next_text"]) == (None, "Two.")
    assert (second["previous_text"], second.get("next_text")) == ("One.", None)
    assert "previous_request_ids" not in second


@pytest.mark.parametrize("model", ["eleven_v3", "eleven_v3_conversational"])
def test_elevenlabs_v3_is_told_nothing_of_the_other_pieces(service, tmp_path, model):
    """It answers 400, unsupported_model, to each of these."""
    there = voice(service, "elevenlabs", model=model)
    there.speak(Utterance("One.", following="Two."), tmp_path / "a")
    there.speak(Utterance("Two.", previous="One."), tmp_path / "b")
    for request in service.requests:
        assert not {"previous_text", "next_text", "previous_request_ids"} & set(request["body"])
    assert not there.uses_context
    assert there.limit_characters == 3000


def test_models_that_count_tokens_are_given_shorter_pieces(service):
    assert voice(service, "openai").limit_characters == 4096
    assert voice(service, "openai", model="gpt-4o-mini-tts-2025-12-15").limit_characters == 2000
