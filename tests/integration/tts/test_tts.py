"""Voices: the real SDKs against services that misbehave as the real ones do; the cache; the script, spoken."""

from __future__ import annotations

import time

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr
from short_limits import IMPATIENT, QUICK
from standins.speech import (
    ELEVENLABS_PAID_VOICES,
    ELEVENLABS_VOICES,
    Answer,
    elevenlabs_refusal,
    openai_refusal,
    speech_service,
)

from dsp.blocks import spans
from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice, VoiceSettings
from worker.payload.script import Pause, parse_script
from worker.tts import available_voices, cloud_voice, elevenlabs_voice, local_voice, open_voice
from worker.tts.cache import SpeechCache
from worker.tts.elevenlabs_voice import ElevenLabsVoice
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.recording import recorded_speech
from worker.tts.speech import PARAGRAPH_GAP_S, SENTENCE_GAP_S, SpeechStats, speak_script
from worker.tts.voice import Utterance

RATE = 44_100
QUOTA = {
    "error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
}


@pytest.fixture
def service():
    cloud_voice.allowed_formats.clear()
    elevenlabs_voice.models_without_context.clear()
    elevenlabs_voice.stabilities_of_models.clear()
    with speech_service() as service:
        yield service


def voice(service, provider: str, *, setting: str | None = None, named: str | None = None, limits=QUICK, **choice):
    config = Config(
        openai_tts_model=setting if provider == "openai" else None,
        elevenlabs_tts_model=setting if provider == "elevenlabs" else None,
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=f"{service.url}/v1",
        elevenlabs_api_key=SecretStr("el-test"),
        elevenlabs_base_url=service.url,
        openai_tts_voice=named,
        elevenlabs_tts_voice=named or ELEVENLABS_VOICES[0],
        service_limits=limits,
    )
    kind = OpenAIVoice if provider == "openai" else ElevenLabsVoice
    return kind(VoiceChoice(provider=provider, **choice), config)


PROVIDERS = ("openai", "elevenlabs")


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


@pytest.mark.parametrize(
    "refused",
    [
        openai_refusal(400, "Invalid 'input': string too long.", param="input", code="string_above_max_length"),
        openai_refusal(400, "This model's maximum context length is 2000 tokens.", param="input"),
    ],
)
def test_a_piece_that_is_too_long_for_the_service_is_cut_smaller(service, tmp_path, refused):
    script = ", ".join(f"part number {n} of a sentence" for n in range(40)) + "."
    service.answers = [refused]
    speech = speak(service, tmp_path, script)
    texts = [request["body"]["input"] for request in service.requests]
    assert texts[0] == script
    assert " ".join(texts[1:]) == script
    assert max(map(len, texts[1:])) <= len(script) // 2
    assert len([part for part in speech.parts if not isinstance(part, Pause)]) == len(texts) - 1


def test_a_service_that_finds_everything_too_long_is_for_the_operator(service, tmp_path):
    service.answers = [openai_refusal(400, "no", param="input", code="string_above_max_length")] * 9
    with pytest.raises(ConfigurationError) as refused:
        speak(service, tmp_path, "I am calm.")
    assert refused.value.code == "voice.too_long"
    assert len(service.requests) == 1


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


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_key_is_named_with_what_works_without(provider):
    with pytest.raises(ConfigurationError) as caught:
        open_voice(VoiceChoice(provider=provider), Config())
    assert f"{provider.upper()}_API_KEY" in caught.value.message
    assert "--voice" in caught.value.message
    assert not next(info for info in available_voices(Config()) if info.provider == provider).usable


def speak(service, tmp_path, script, *, cache=None, said=None, **choice):
    return speak_parts(script, voice(service, "openai", **choice), tmp_path, cache=cache, said=said)


def speak_parts(script, there, tmp_path, *, cache=None, **options):
    folder = tmp_path / f"job-{time.monotonic_ns()}"
    folder.mkdir()
    return speak_script(
        parse_script(script).parts,
        there,
        cache=cache or SpeechCache(tmp_path / "cache", 100),
        ffmpeg=find_ffmpeg(),
        folder=folder,
        **options,
    )


def test_nothing_is_paid_twice(service, tmp_path):
    for expected in (1, 1, 2):
        said = SpeechStats()
        speed = 0.9 if expected == 1 else 1.1  # another voice sounds otherwise, and is paid
        speak(service, tmp_path, "I am calm.", said=said, speed=speed)
        assert len(service.requests) == expected
    assert (said.hits, said.misses) == (0, 1)


def test_a_damaged_cache_entry_is_spoken_anew(service, tmp_path):
    speak(service, tmp_path, "I am calm.")
    (entry,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    entry.write_bytes(entry.read_bytes()[:100])
    assert np.isfinite(speak(service, tmp_path, "I am calm.").loudness_lufs)
    assert len(service.requests) == 2


def test_a_piece_that_is_damaged_in_the_shared_store_is_taken_out_of_it(service, tmp_path):
    class Store(dict):
        def put(self, key, data):
            self.setdefault(key, data)  # nothing is overwritten

        def remove(self, key):
            self.pop(key, None)

    store, said = Store(), []
    for number in range(3):
        said.append(SpeechStats())
        cache = SpeechCache(tmp_path / f"dyno-{number}", 100, store)
        speak(service, tmp_path, "I am calm.", cache=cache, said=said[-1])
        if number == 0:
            store.update({key: data[:100] for key, data in store.items()})
    assert len(service.requests) == 2
    assert [(each.hits, each.misses) for each in said] == [(0, 1), (0, 1), (1, 0)]


def test_a_cache_that_cannot_be_written_costs_money_but_no_job(service, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    assert np.isfinite(speak(service, tmp_path, "I am calm.").loudness_lufs)


@pytest.mark.parametrize("kind", ["empty", "silence", "text", "cut"])
def test_sound_that_is_none_is_not_kept(service, tmp_path, kind):
    service.answers = [Answer(kind=kind)] * 2
    with pytest.raises(TransientError):
        speak(service, tmp_path, "I am calm.")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    service.answers = [Answer(kind=kind)]
    speak(service, tmp_path, "I am calm.")
    assert service.whole == {"I am calm.": 1}
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_cache_stays_below_its_size_and_drops_what_was_used_least(tmp_path):
    cache = SpeechCache(tmp_path / "cache", max_mb=1)
    for number in range(4):
        piece = tmp_path / str(number)
        piece.write_bytes(b"x" * 400_000)
        cache.keep(cache.key("voice", str(number)), piece)
        time.sleep(0.02)  # file times are no finer than the kernel's tick
        assert cache.find(cache.key("voice", "0")) is not None or number > 2
        time.sleep(0.02)
    kept = [number for number in range(4) if cache.find(cache.key("voice", str(number))) is not None]
    assert 3 in kept
    assert len(kept) == 2


@pytest.mark.parametrize("provider", [*PROVIDERS, "local"])
def test_pauses_are_exact_and_gaps_are_the_documented_ones(service, tmp_path, provider):
    if provider == "local":
        there = open_voice(VoiceChoice(provider="local", speed=1.0), Config())
    else:
        there = voice(service, provider, speed=1.0)
    speech = speak_parts("One. Two.\nThree. [pause 2.5s] Four.\n\nFive.", there, tmp_path)
    assert [part.text for part in speech.parts if not isinstance(part, Pause)] == [
        "One.",
        "Two.",
        "Three.",
        "Four.",
        "Five.",
    ]
    pauses = [part.seconds for part in speech.parts if isinstance(part, Pause)]
    assert pauses == [SENTENCE_GAP_S, SENTENCE_GAP_S, 2.5, PARAGRAPH_GAP_S]


@pytest.mark.parametrize(("provider", "paid"), [("openai", 1), ("elevenlabs", 3)])
def test_a_changed_word_costs_its_line_and_what_continues_it(service, tmp_path, provider, paid):
    """ElevenLabs gets the end of the line before and the beginning of the next, so these change, too."""
    lines = [f"This is line number {number} of a calm script." for number in range(8)]
    speak_parts("\n".join(lines), voice(service, provider), tmp_path)
    assert len(service.requests) == 8
    lines[4] = lines[4].replace("calm", "quiet")
    speak_parts("\n".join(lines), voice(service, provider), tmp_path)
    assert len(service.requests) == 8 + paid


@pytest.mark.further
def test_of_a_long_neighbour_only_what_is_near_counts(service, tmp_path):
    long = ", ".join(f"Part number {number}" for number in range(40))
    speak_parts(f"{long}.\nI am calm.\n{long}!", voice(service, "elevenlabs"), tmp_path)
    middle = next(request["body"] for request in service.requests if request["body"]["text"] == "I am calm.")
    assert middle["previous_text"] == f"{long}."[-200:]
    assert middle["next_text"] == f"{long}!"[:200]
    speak_parts(f"Another {long}.\nI am calm.\n{long}, and more!", voice(service, "elevenlabs"), tmp_path)
    assert [request["body"]["text"] for request in service.requests].count("I am calm.") == 1


def test_pieces_begin_and_end_in_silence_and_at_one_level(service, tmp_path):
    speech = speak(service, tmp_path, ", ".join(f"part number {n} of many" for n in range(300)) + ".")
    clips = [part.clip for part in speech.parts if not isinstance(part, Pause)]
    assert len(clips) > 1, "4096 characters are OpenAI's limit"
    assert all(len(request["body"]["input"]) <= 4096 for request in service.requests)
    for clip in clips:
        samples = np.concatenate([clip.read(*span) for span in spans(0, clip.frames, 509)])
        assert np.array_equal(samples, clip.read(0, clip.frames))
        assert np.abs(samples[[0, -1]]).max() < 1e-3
        assert np.abs(samples).max() > 0.05


def test_a_recording_is_taken_as_it_is(tmp_path):
    n = np.arange(3 * 24_000)
    soundfile.write(tmp_path / "me.wav", 0.3 * np.sin(2 * np.pi * 300 * n / 24_000), 24_000)
    speech = recorded_speech(tmp_path / "me.wav", ffmpeg=find_ffmpeg(), folder=tmp_path, max_seconds=60)
    assert speech.parts[0].clip.frames == 3 * RATE
    assert speech.loudness_lufs == pytest.approx(-11.2, abs=0.5)  # one channel in, the same in both


def test_the_local_voice_says_the_same_the_same_way(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = open_voice(VoiceChoice(provider="local"), Config())
    for name in ("a", "b"):
        there.speak(Utterance("I am calm."), tmp_path / name)
    there.close()
    first, second = (soundfile.read(tmp_path / name)[0] for name in ("a", "b"))
    assert np.array_equal(first, second)
    assert np.abs(first).max() > 0.05
    assert not (tmp_path / "cache").exists(), "the ONNX runtime keeps a number for its maker"
    with pytest.raises(JobError, match=r"voice\.id"):
        open_voice(VoiceChoice(provider="local", id="nobody"), Config())


def test_a_default_local_voice_that_is_missing_is_for_the_operator(monkeypatch):
    monkeypatch.setattr(local_voice, "hibari_voices", lambda: ("another",))
    with pytest.raises(ConfigurationError) as refused:
        open_voice(VoiceChoice(provider="local"), Config())
    assert refused.value.code == "voice.unknown"
    with pytest.raises(JobError):
        open_voice(VoiceChoice(provider="local", id="heart"), Config())
