"""What a voice service refuses, or fails at: whose matter it is, what is tried again, what is paid."""

from __future__ import annotations

import time

import pytest
from cloud_voices import PROVIDERS, voice
from short_limits import IMPATIENT, QUICK
from standins.speech import ELEVENLABS_PAID_VOICES, Answer, elevenlabs_refusal, openai_refusal

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError
from worker.payload.schema import VoiceChoice
from worker.tts import available_voices, open_voice
from worker.tts.voice import Utterance

QUOTA = {
    "error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Answer(401, {"error": {"message": "Incorrect API key provided"}}), ConfigurationError, "voice.key"),
        (
            Answer(401, {"detail": {"status": "quota_exceeded", "message": "no credits"}}),
            ConfigurationError,
            "voice.quota",
        ),
        (Answer(402, {"detail": {"status": "payment_required"}}), ConfigurationError, "voice.quota"),
        (Answer(429, QUOTA), ConfigurationError, "voice.quota"),
        (Answer(422, {"detail": [{"msg": "text is refused"}]}), JobError, "voice.refused"),
        (Answer(400, {"error": {"message": "flagged by the content policy"}}), JobError, "voice.refused"),
        (Answer(404, {"error": {"code": "model_not_found", "message": "gone"}}), ConfigurationError, "voice.model"),
        (Answer(400, {"detail": {"status": "unsupported_model"}}), ConfigurationError, "voice.model"),
    ],
)
def test_a_refusal_is_sorted_at_once(service, tmp_path, provider, answer, error, code):
    service.answers = [answer]
    with pytest.raises(error) as caught:
        voice(service, provider).speak(Utterance("Hello."), tmp_path / "a")
    assert caught.value.code == code
    assert "Hello" not in caught.value.message
    assert len(service.requests) == 1, "a refusal must not be tried again: it may cost money"


def caught(service, tmp_path, provider, error, *, setting=None, named=None, text="Hello.", **choice):
    """What a voice raises; the service must have been asked once."""
    there = voice(service, provider, setting=setting, named=named, **choice)
    with pytest.raises(error) as refused:
        there.speak(Utterance(text), tmp_path / "a")
    assert len(service.requests) == 1
    return refused.value


GONE = [
    ("openai", None, "tts-9"),  # 404 model_not_found
    ("openai", None, "gpt-4o"),  # 404 "Invalid URL": a model that is served at another address
    ("openai", openai_refusal(400, "This model is not available.", param="model"), "tts-1-hd"),
    ("openai", openai_refusal(410, "The model has been shut down."), "tts-1-hd"),
    ("elevenlabs", None, "eleven_monolingual_v1"),
    ("elevenlabs", elevenlabs_refusal(400, "unsupported_model", "It cannot speak."), "eleven_flash_v2_5"),
]


@pytest.mark.parametrize(("provider", "answer", "model"), GONE, ids=lambda value: str(value)[:30])
def test_an_unknown_model_fails_the_job_that_names_it_and_no_other(service, tmp_path, provider, answer, model):
    service.answers = [answer] if answer else []
    refused = caught(service, tmp_path, provider, JobError, model=model)
    assert (refused.code, model in refused.message) == ("voice.model", True)
    assert refused.customer_message == "The chosen voice model is not available. Please choose another voice."


@pytest.mark.parametrize(("provider", "answer", "model"), GONE, ids=lambda value: str(value)[:30])
def test_an_unknown_model_of_a_setting_is_for_the_operator(service, tmp_path, provider, answer, model):
    service.answers = [answer] if answer else []
    refused = caught(service, tmp_path, provider, ConfigurationError, setting=model, model="tts-1")
    assert (refused.code, f"{provider.upper()}_TTS_MODEL" in refused.message) == ("voice.model", True)


@pytest.mark.parametrize("stated", ["tts-1", None])
@pytest.mark.parametrize("answer", [answer for provider, answer, _ in GONE if provider == "openai" and answer])
def test_when_the_default_model_ends_jobs_wait(service, tmp_path, answer, stated):
    """Also when they name it: the app writes it into every job."""
    service.answers = [answer]
    assert caught(service, tmp_path, "openai", ConfigurationError, model=stated).code == "voice.model"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_unknown_voice_is_the_customers_only_if_the_job_names_it(service, tmp_path, provider):
    refused = caught(service, tmp_path, provider, JobError, id="nobody")
    assert (refused.code, "nobody" in refused.message) == ("voice.unknown", True)
    service.requests.clear()
    refused = caught(service, tmp_path, provider, ConfigurationError, named="retired")
    assert (refused.code, "voice.id" in refused.message) == ("voice.unknown", True)


@pytest.mark.parametrize(
    ("provider", "answer", "code", "choice"),
    [
        # a voice of the library is a matter of the account's plan, and no lack of credit
        ("elevenlabs", None, "voice.plan", {"id": ELEVENLABS_PAID_VOICES[0]}),
        ("elevenlabs", elevenlabs_refusal(400, "output_format_not_allowed", "no"), "voice.format", {}),
        ("openai", openai_refusal(400, "Invalid speed.", param="speed"), "voice.request", {}),
        ("elevenlabs", Answer(422, {"detail": [{"loc": ["query", "seed"], "msg": "no"}]}), "voice.request", {}),
        # nothing there speaks this service's language: a wrong base URL
        *((provider, Answer(404, b"<html>404</html>"), "voice.address", {"id": "nova"}) for provider in PROVIDERS),
        ("openai", Answer(404, {"detail": "Not Found"}), "voice.address", {"id": "nova"}),
        ("openai", openai_refusal(404, "Invalid URL (POST /audio/speech)"), "voice.address", {"model": "tts-1-hd"}),
    ],
)
def test_what_this_program_chose_is_never_the_customers_fault(service, tmp_path, provider, answer, code, choice):
    service.answers = [answer] * 3 if answer else []
    with pytest.raises(ConfigurationError) as refused:
        voice(service, provider, **choice).speak(Utterance("Hello."), tmp_path / "a")
    assert refused.value.code == code


def test_a_busy_service_whose_page_speaks_of_billing_is_only_busy(service, tmp_path):
    busy = {"message": "Slow down, or see your billing page to raise the limit.", "code": "rate_limit_exceeded"}
    service.answers = [Answer(429, {"error": busy}, {"Retry-After": "0"})]
    voice(service, "openai").speak(Utterance("Hello."), tmp_path / "a")
    assert len(service.requests) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_reason_that_quotes_the_script_is_not_passed_on(service, tmp_path, provider):
    service.answers = [Answer(400, {"error": {"message": "refused: 'my dear brother Paul' is not allowed"}})]
    with pytest.raises(JobError) as caught:
        voice(service, provider).speak(Utterance("I forgive my dear brother Paul today."), tmp_path / "a")
    assert caught.value.message == f"script: refused by the voice ({provider} answered 400)"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"<html>oops</html>"),
        Answer(503, {"error": {"message": "overloaded"}}),
        Answer(429, {"error": {"message": "slow down"}}, headers={"Retry-After": "0"}),
        Answer(kind="stall"),
        Answer(kind="truncate"),
        Answer(kind="page"),
        Answer(kind="slow"),
    ],
    ids=lambda answer: f"{answer.status} {answer.kind}",
)
def test_what_passes_is_tried_again_and_then_speaks(service, tmp_path, provider, answer):
    service.answers = [answer]
    limits = IMPATIENT if answer.kind == "stall" else QUICK
    voice(service, provider, limits=limits).speak(Utterance("Hello there."), tmp_path / "a")
    assert len(service.requests) == (1 if answer.kind == "slow" else 2)
    assert (tmp_path / "a").stat().st_size > 1000


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_does_not_pass_is_transient_and_carries_the_wait(service, tmp_path, provider):
    service.answers = [Answer(429, {"error": {"message": "slow down"}}, headers={"Retry-After": "3000"})] * 5
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        voice(service, provider).speak(Utterance("Hello."), tmp_path / "a")
    assert caught.value.retry_after_s == 3000
    assert len(service.requests) == 1, "the queue waits better than a worker does"
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_service_that_is_not_there_is_transient(service, tmp_path, provider):
    there = voice(service, provider)
    there._base_url = "http://127.0.0.1:9"
    with pytest.raises(TransientError, match="cannot be reached"):
        there.speak(Utterance("Hello."), tmp_path / "a")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_key_is_named_with_what_works_without(provider):
    with pytest.raises(ConfigurationError) as caught:
        open_voice(VoiceChoice(provider=provider), Config())
    assert f"{provider.upper()}_API_KEY" in caught.value.message
    assert "--voice" in caught.value.message
    assert not next(info for info in available_voices(Config()) if info.provider == provider).usable
