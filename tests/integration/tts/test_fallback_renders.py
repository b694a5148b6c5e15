"""Whole renders whose voice has ended or is out: the real SDKs against stand-ins that answer as the services do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import SecretStr
from short_limits import quick
from standins.realtime import realtime_service
from standins.speech import ELEVENLABS_VOICES, Answer, openai_refusal

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import ConfigurationError, JobError, WaitError
from worker.fallbacks import read_fallbacks
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.service_limits import ServiceLimits

SCRIPT = "I am calm. I am safe."
GONE = openai_refusal(404, "The model `tts-1` does not exist.", code="model_not_found")
TO_ELEVENLABS = f"openai/*/* -> elevenlabs/eleven_v3/{ELEVENLABS_VOICES[1]}"
APPS = {"provider": "openai", "model": "tts-1", "id": "nova"}


def render(service, tmp_path, *, rules, voice=APPS, waited_s=math.inf, **settings):
    given = {
        "openai_api_key": SecretStr("sk-test"),
        "openai_base_url": f"{service.url}/v1",
        "elevenlabs_api_key": SecretStr("el-test"),
        "elevenlabs_base_url": service.url,
        "voice_fallbacks": read_fallbacks(rules),
        "cache_dir": tmp_path / "cache",
        "speech_parallel": 1,
        "service_limits": ServiceLimits(voice_retries=quick(2)),
        **settings,
    }
    job = parse_job({"script": SCRIPT, "voice": voice, "durationMin": 0.2, "loopMode": False, "outputFormat": "wav"})
    materials = Materials(Config(**given), lambda *_, **__: tmp_path, waited_s=waited_s)
    return produce(job, tmp_path / "a.wav", materials=materials, encoding=Encoding.for_quality("wav", "medium")).report


def test_a_model_that_has_ended_is_spoken_for_at_once(service, tmp_path):
    service.answers = [GONE]
    report = render(service, tmp_path, rules=TO_ELEVENLABS, waited_s=0.0)
    asked = [(request["path"], request["body"].get("model_id")) for request in service.requests]
    assert asked[0] == ("/v1/audio/speech", None)
    assert {path for path, _ in asked[1:]} == {f"/v1/text-to-speech/{ELEVENLABS_VOICES[1]}"}
    assert {model for _, model in asked[1:]} == {"eleven_v3"}
    (note,) = (note for note in report.notes if note.startswith("voice: elevenlabs"))
    assert "openai/tts-1/nova is not offered any more" in note
    assert report.speech["provider"] == "elevenlabs"
    assert report.speech["characters_asked"] >= len(SCRIPT) - 1
    assert report.speech["cents"] == pytest.approx(report.speech["characters_asked"] / 100, rel=1e-3)


def test_an_outage_is_waited_out_and_then_spoken_for(service, tmp_path):
    service.answers = [Answer(503, b"")] * 2
    with pytest.raises(WaitError) as caught:
        render(service, tmp_path, rules=TO_ELEVENLABS, waited_s=60.0)
    assert caught.value.code == "voice.unavailable"
    service.answers = [Answer(503, b"")] * 2
    assert render(service, tmp_path, rules=TO_ELEVENLABS, waited_s=1801.0).speech["provider"] == "elevenlabs"
    service.answers = [Answer(503, b"")] * 2
    assert render(service, tmp_path, rules=TO_ELEVENLABS).speech["provider"] == "elevenlabs"


def test_a_whole_script_is_spoken_by_one_voice(service, tmp_path):
    """The first sentence is there when the second one is refused."""
    service.answers_for = {"safe": [Answer(503, b"")] * 2}
    report = render(service, tmp_path, rules=TO_ELEVENLABS)
    texts = [request["body"]["text"] for request in service.requests if "text" in request["body"]]
    assert " ".join(texts) == SCRIPT
    assert report.speech["provider"] == "elevenlabs"


def test_a_piece_that_is_spoilt_twice_changes_the_whole_voice(service, tmp_path):
    """At once: no wait would help. What the first voice was paid is counted."""
    service.answers_for = {"safe": [Answer(kind="silence")] * 2}
    report = render(service, tmp_path, rules=TO_ELEVENLABS, waited_s=0.0)
    texts = [request["body"]["text"] for request in service.requests if "text" in request["body"]]
    assert " ".join(texts) == SCRIPT
    (note,) = (note for note in report.notes if note.startswith("voice: elevenlabs"))
    assert "openai/tts-1/nova spoke a piece twice so that it cannot be used" in note
    first, second = report.speech["voices"]
    assert (first["provider"], first["characters_asked"]) == ("openai", len("I am calm.") + 2 * len("I am safe."))
    assert (second["provider"], second["characters_asked"]) == ("elevenlabs", len(SCRIPT) - 1)
    assert report.speech["characters_asked"] == first["characters_asked"] + second["characters_asked"]


def test_an_outage_of_the_fallback_leaves_the_spoilt_voice_and_a_note(service, tmp_path):
    hum = 0.2 * np.sin(2 * np.pi * 150 * np.arange(44_100) / 44_100)
    hole = Answer(sound=np.concatenate([hum, np.zeros(10 * 44_100), hum, np.zeros(900)]))
    service.answers_for = {"safe": [hole] * 4, "calm": [Answer()] + [Answer(503, b"")] * 9}
    report = render(service, tmp_path, rules=TO_ELEVENLABS)
    assert report.speech["provider"] == "openai"
    assert any("openai/tts-1/nova spoke all the same" in note for note in report.notes)
    assert any("it is silent in the middle" in note for note in report.notes)


def test_pieces_of_the_cache_are_counted_as_such(service, tmp_path):
    first = render(service, tmp_path, rules="")
    again = render(service, tmp_path, rules="")
    assert (again.speech["characters_asked"], again.speech["cents"]) == (0, 0.0)
    assert again.speech["characters_cached"] == first.speech["characters_asked"]


def test_a_customers_own_voice_is_not_replaced_by_a_wildcard(service, tmp_path):
    own = {"provider": "elevenlabs", "id": "cloned"}
    with pytest.raises(JobError):
        render(service, tmp_path, rules="elevenlabs/*/* -> openai/tts-1/nova", voice=own)
    report = render(service, tmp_path, rules="elevenlabs/*/cloned -> openai/tts-1/nova", voice=own)
    assert report.speech["provider"] == "openai"


def test_what_a_fallback_lacks_never_fails_the_job(service, tmp_path):
    service.answers = [GONE]
    with pytest.raises(ConfigurationError):
        render(service, tmp_path, rules="openai/*/* -> elevenlabs/eleven_v3/nobody")


def test_the_realtime_api_speaks_in_the_place_of_tts_1(service, tmp_path):
    """After January 2027: one key, one address, the same names of voices."""
    with realtime_service() as realtime:
        report = render(
            service,
            tmp_path,
            rules="openai/*/* → openai-realtime/gpt-realtime-2.1-mini/*",
            openai_base_url=realtime.url,
        )
        assert realtime.connections[0]["session"]["audio"]["output"]["voice"] == "marin"
    assert any("has no voice nova, so marin" in note for note in report.notes)
    assert (report.speech["model"], report.speech["provider"]) == ("gpt-realtime-2.1-mini", "openai-realtime")
