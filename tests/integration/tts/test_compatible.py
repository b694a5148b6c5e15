"""OpenAI's API at another address: models, voices and formats that are not OpenAI's, and what they do to the cache."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr
from short_limits import QUICK
from standins.compatible import compatible_service, sound_of
from standins.speech import RATE, speech_service

from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.payload.schema import VoiceChoice
from worker.tts import cloud_voice
from worker.tts.elevenlabs_voice import ElevenLabsVoice
from worker.tts.openai_realtime_voice import OpenAIRealtimeVoice
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.samples import is_sound_file, write_samples
from worker.tts.service_errors import PieceTooLongError
from worker.tts.voice import Utterance

MAP = {"nova": "bf_emma", "alloy": "af_heart"}
TEXT = "I am calm and safe."


@pytest.fixture(autouse=True)
def forgotten():
    cloud_voice.allowed_formats.clear()


def voice(service, **choice):
    settings = {
        "openai_tts_model": "kokoro",
        "openai_voice_map": MAP,
        "service_limits": QUICK,
        **choice.pop("settings", {}),
    }
    config = Config(openai_api_key=SecretStr("not-needed"), openai_base_url=service.url, **settings)
    return OpenAIVoice(VoiceChoice(provider="openai", speed=1.0, **choice), config)


def samples_in(path):
    return soundfile.read(path, dtype="float64")[0]


@pytest.mark.parametrize(
    ("named", "sent"), [("nova", "bf_emma"), (None, "bf_emma"), ("Alloy", "af_heart"), ("am_adam", "am_adam")]
)
def test_its_own_voices_speak(tmp_path, named, sent):
    with compatible_service() as service:
        there = voice(service, id=named, model="tts-1")
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
    (request,) = service.requests
    assert (request["model"], request["voice"]) == ("kokoro", sent)
    assert len(samples_in(tmp_path / "a")) > RATE


@pytest.mark.parametrize(
    ("knows", "took"), [(("mp3", "wav"), "mp3"), (("wav",), "wav"), (("pcm",), "pcm"), (("flac",), "flac")]
)
def test_the_formats_that_it_does_not_know_are_not_asked_for_again(tmp_path, knows, took):
    with compatible_service(formats=knows) as service:
        for name in "ab":
            there = voice(service)
            there.speak(Utterance(TEXT), tmp_path / name)
            there.close()
    assert [request["response_format"] for request in service.requests[-2:]] == [took, took]
    assert len(service.requests) <= 5
    assert np.std(samples_in(tmp_path / "b")) < 0.3, "speech, no noise"


@pytest.mark.parametrize("gives", ["flac", "wav", "mp3", "ogg"])
def test_a_file_that_comes_instead_of_samples_is_read_as_a_file(tmp_path, gives):
    with compatible_service(formats=("pcm",), gives=gives) as service:
        there = voice(service)
        there.speak(Utterance(TEXT), tmp_path / "a")
        there.close()
    expected = np.frombuffer(sound_of(TEXT, "pcm"), "<i2") / 32768
    if gives == "mp3":
        assert (tmp_path / "a").read_bytes() == sound_of(TEXT, "mp3")
    elif gives != "wav":  # whose length nothing but FFmpeg believes
        found = samples_in(tmp_path / "a")[: len(expected)]
        assert np.std(found - expected[: len(found)]) < 0.05


@pytest.mark.parametrize("gives", ["flac", "mp3", "ogg", "wav"])
def test_so_it_is_behind_a_gateway_of_elevenlabs(tmp_path, gives):
    sent = sound_of(TEXT, gives)
    write_samples(tmp_path / "a", [b"", sent[:5], sent[5:]], 44_100, provider="elevenlabs")
    assert (tmp_path / "a").read_bytes() == sent


def test_samples_are_samples_however_they_arrive(tmp_path):
    samples = sound_of(TEXT, "pcm")
    for size in (1, 7, 4096, len(samples)):
        pieces = (samples[at : at + size] for at in range(0, len(samples), size))
        write_samples(tmp_path / "a", pieces, RATE, provider="openai")
        sound, rate = soundfile.read(tmp_path / "a", dtype="int16")
        assert rate == RATE
        assert sound.astype("<i2").tobytes() == samples
    rng = np.random.default_rng(1)
    assert not any(is_sound_file(rng.bytes(8192)) for _ in range(500))
    assert not is_sound_file(b"")


def test_what_it_lacks_is_for_the_operator_where_the_job_means_openai(tmp_path):
    """A customer who chose OpenAI's nova cannot know that the operator's server has none."""
    with compatible_service() as service:
        for refused, code in (
            (voice(service, id="onyx"), "voice.unknown"),
            (voice(service, settings={"openai_tts_model": None}, model="tts-1"), "voice.model"),
            (voice(service, settings={"openai_voice_map": {"nova": "gone"}}), "voice.unknown"),
            (voice(service, settings={"openai_tts_model": "gone"}), "voice.model"),
        ):
            with pytest.raises(ConfigurationError) as raised:
                refused.speak(Utterance(TEXT), tmp_path / "a")
            assert raised.value.code == code
            assert TEXT not in raised.value.message
        with pytest.raises(JobError) as raised:
            voice(service, id="af_nobody").speak(Utterance(TEXT), tmp_path / "a")
        assert raised.value.code == "voice.unknown"


def test_a_service_without_the_endpoint_is_named_as_such(tmp_path):
    with compatible_service() as service:
        service.url = service.url.removesuffix("/v1")
        with pytest.raises(ConfigurationError) as raised:
            voice(service).speak(Utterance(TEXT), tmp_path / "a")
    assert raised.value.code == "voice.address"


@pytest.mark.parametrize("kind", [OpenAIVoice, ElevenLabsVoice, OpenAIRealtimeVoice])
def test_another_address_is_another_voice(kind):
    """After a change of the address the old sound must not come back; a slash or a capital is no change."""

    def fingerprint(url):
        config = Config(
            openai_api_key=SecretStr("k"),
            elevenlabs_api_key=SecretStr("k"),
            openai_base_url=url,
            elevenlabs_base_url=url,
            elevenlabs_tts_voice="v",
        )
        there = kind(VoiceChoice(provider=kind.provider), config)
        return there.fingerprint, there.pace_key

    own = "https://api.elevenlabs.io" if kind is ElevenLabsVoice else "https://api.openai.com/v1"
    assert fingerprint(None) == fingerprint(own) == fingerprint(f"{own}/")
    assert " at=" not in fingerprint(None)[0], "pieces that were paid before the address counted stay good"
    one, other = "https://tts.example.com/v1", "https://tts.example.com/v2"
    assert fingerprint(one) == fingerprint("HTTPS://TTS.example.com/v1/")
    prints = [fingerprint(url) for url in (None, one, other)]
    assert len({first for first, _ in prints}) == len({second for _, second in prints}) == 3


def test_without_an_address_the_sdk_reads_no_environment_of_its_own(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "'https://quoted.example/v1'")
    there = OpenAIVoice(VoiceChoice(), Config(openai_api_key=SecretStr("k")))
    assert str(there._client().base_url) == "https://api.openai.com/v1/"


def test_openai_itself_still_gets_its_own_names(tmp_path):
    with speech_service() as service:
        config = Config(openai_api_key=SecretStr("k"), openai_base_url=f"{service.url}/v1")
        OpenAIVoice(VoiceChoice(id="onyx"), config).speak(Utterance(TEXT), tmp_path / "a")
    assert service.requests[0]["body"]["voice"] == "onyx"


def test_a_text_that_is_too_long_for_it_is_cut(tmp_path):
    with compatible_service(most_characters=10) as service, pytest.raises(PieceTooLongError):
        voice(service).speak(Utterance(TEXT), tmp_path / "a")
