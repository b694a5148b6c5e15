"""The stand-ins of the voice services, with nothing learnt of them yet."""

from __future__ import annotations

import pytest
from fit_stage import Stage
from standins.speech import speech_service

from worker.tts import cloud_voice, elevenlabs_voice


@pytest.fixture
def service():
    cloud_voice.allowed_formats.clear()
    elevenlabs_voice.models_without_context.clear()
    elevenlabs_voice.stabilities_of_models.clear()
    with speech_service() as service:
        yield service


@pytest.fixture
def stage(service, tmp_path):
    return Stage(service, tmp_path)
