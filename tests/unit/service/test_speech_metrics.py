"""What metrics say of speech: characters, cents, days left."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from worker.fallbacks import VoiceName
from worker.queue.claims import Claim
from worker.service.metrics import Metrics
from worker.service.runner import JobResult
from worker.service.state import State
from worker.vendors import VoiceUse, days_left, speech_figures

TTS_1 = VoiceName("openai", "tts-1", "nova")
LOCAL = VoiceName("local", "-", "heart")


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    order = ("source", "provider", "model")
    return {
        (each.name, *(each.labels[label] for label in order if label in each.labels)): each.value
        for family in families
        for each in family.samples
    }


def ended(metrics: Metrics, *uses: VoiceUse) -> None:
    claim = Claim("id", "token", 1, None, None, None, 0.0)
    metrics.ended(JobResult(claim, "completed", None, {"speech": speech_figures(uses)}, 1.0))


def test_characters_and_cents_are_counted_by_model():
    metrics = Metrics(State("name", "queue"))
    ended(metrics, VoiceUse(TTS_1, 2000, 100), VoiceUse(LOCAL, 50, 0))
    ended(metrics, VoiceUse(TTS_1, 1000, 0))
    ended(metrics)
    found = samples(metrics)
    assert found["mindscript_speech_characters_total", "voice", "openai", "tts-1"] == 3000
    assert found["mindscript_speech_characters_total", "cache", "openai", "tts-1"] == 100
    assert found["mindscript_speech_cents_total", "openai", "tts-1"] == pytest.approx(4.5)
    assert found["mindscript_speech_cents_total", "local", "-"] == 0


def test_days_left_are_of_configured_voices_and_of_those_that_jobs_used():
    left = (date(2027, 1, 6) - datetime.now(UTC).date()).days
    key = ("mindscript_voice_days_left", "openai", "tts-1")
    assert samples(Metrics(State("name", "queue"), [TTS_1, LOCAL]))[key] == left
    metrics = Metrics(State("name", "queue"))
    assert key not in samples(metrics)
    ended(metrics, VoiceUse(TTS_1, 1, 0))
    assert samples(metrics)[key] == left


def test_days_are_counted_past_the_end():
    assert days_left(TTS_1, today=date(2026, 11, 29)) == 38
    assert days_left(TTS_1, today=date(2027, 1, 8)) == -2
    assert days_left(LOCAL) is None
